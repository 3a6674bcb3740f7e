"""How a camera is mounted, from what moves past it: synthetic flow, and a few rendered pictures."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from mounting_helpers import CAMERA, Street, otherwise

from mimic_contracts.motion import from_frame
from mimic_contracts.rig import Mounting
from perception.calibration_core import CalibrationCore
from perception.calibration_parameters import CalibrationParameters
from perception.expansion import expansion, heights_m, turned
from perception.mounting_estimate import SIGHTINGS
from perception.mounting_sight import MountingSight
from perception.travel import Odometer, Travel

FOCAL_PX = float(CAMERA.intrinsics()[0, 0])
STREET = Street()


def flow(*, ahead: tuple[float, float] = (0.0, 0.0), turn_rad: tuple[float, ...] = (0.0, 0.0, 0.0), noise_px: float = 0.1, moving: int = 0, seed: int = 0):
    """Tracks (200, 2) → (200, 2) of points before a camera that goes 1 m along `ahead`; the first `moving` of them go their own way."""
    rng = np.random.default_rng(seed)
    points_m = np.column_stack([rng.uniform(-8.0, 8.0, 200), rng.uniform(-3.0, 1.4, 200), rng.uniform(6.0, 30.0, 200)])
    direction = np.array([*ahead, 1.0]) / np.linalg.norm([*ahead, 1.0])
    later_m = points_m - direction
    later_m[:moving] += (0.4, 0.1, 0.8)  # as a car that crosses
    before = points_m[:, :2] / points_m[:, 2:]
    after = turned(later_m[:, :2] / later_m[:, 2:], -np.array(turn_rad))
    return before, after + rng.normal(0.0, noise_px / FOCAL_PX, after.shape)


# Flow


@pytest.mark.parametrize("ahead", [(0.0, 0.0), (0.05, -0.08), (-0.15, 0.1)])
@pytest.mark.parametrize("nod_deg", [0.0, 0.25])
def test_the_focus_is_where_the_camera_goes_however_it_nods(ahead: tuple[float, float], nod_deg: float) -> None:
    nod_rad = np.radians(nod_deg)
    found = [expansion(*flow(ahead=ahead, turn_rad=(nod_rad, 0.0, 0.0), seed=seed), expected=np.zeros(2), focal_px=FOCAL_PX) for seed in range(8)]
    off = np.array([each.ahead[:2] - ahead for each in found if each is not None])
    assert len(off) == 8 and np.degrees(np.abs(off.mean(axis=0)).max()) < 0.15
    assert (off.std(axis=0) < 2.0 * np.mean([each.sigma_rad for each in found if each is not None], axis=0)).all()
    assert np.mean([each.turn_rad[0] for each in found if each is not None]) == pytest.approx(nod_rad, abs=np.radians(0.02))


def test_what_drives_by_itself_is_left_aside() -> None:
    found = [expansion(*flow(moving=40, seed=seed), expected=np.zeros(2), focal_px=FOCAL_PX) for seed in range(8)]
    assert np.mean([each.fits[:40].mean() for each in found if each is not None]) < 0.2
    assert np.degrees(np.abs(np.median([each.ahead[:2] for each in found if each is not None], axis=0)).max()) < 0.25


def test_what_tells_no_direction_is_none() -> None:
    before, after = flow()
    expected = np.zeros(2)
    assert expansion(before[:20], after[:20], expected=expected, focal_px=FOCAL_PX) is None, "too few"
    assert expansion(before, before, expected=expected, focal_px=FOCAL_PX) is None, "nothing moves"
    assert expansion(after, before, expected=expected, focal_px=FOCAL_PX) is None, "backwards"
    everywhere = before + np.random.default_rng(0).normal(0.0, 0.03, before.shape)
    assert expansion(before, everywhere, expected=expected, focal_px=FOCAL_PX) is None, "no common direction"
    assert expansion(before, after, expected=np.array([0.4, 0.0]), focal_px=FOCAL_PX) is None, "nowhere near"


def test_heights_are_those_of_points_that_stand_still() -> None:
    before, after = flow(ahead=(0.02, -0.03), noise_px=0.0)
    rng = np.random.default_rng(0)
    true_m = np.column_stack([rng.uniform(-8.0, 8.0, 200), rng.uniform(-3.0, 1.4, 200)])[:, 1]
    found, told = heights_m(before, after, ahead=np.array([0.02, -0.03, 1.0]), travel_m=1.0, down=np.array([0.0, 1.0, 0.0]))
    assert np.allclose(found, true_m, atol=1e-6) and (told > 0.0).all() and (told < 1.0).all()


# Pictures


def seen(mounted: Mounting, thought: Mounting, *, pairs: int = 12, bend_rad: float = 0.0) -> np.ndarray:
    """Medians (3,) of what pictures of a street tell; thought: the mounting that the rig's pictures are made with."""
    # What the rig's camera seems to look like, when pictures of a camera mounted as `mounted` are warped as if it were mounted as `thought`.
    apparent = mounted.rotation() @ thought.rotation().T @ CAMERA.mounting.rotation()
    forward, left, up = apparent.T
    angles = {"yaw_rad": np.arctan2(forward[1], forward[0]), "pitch_rad": np.arcsin(-forward[2]), "roll_rad": np.arctan2(left[2], up[2])}
    street, sight = Street(replace(mounted, **angles)), MountingSight(CAMERA, thought)
    pose, found = np.zeros(3), []
    for _ in range(pairs):
        half = bend_rad / 2.0
        step = np.array([np.sinc(half / np.pi) * np.cos(half), np.sinc(half / np.pi) * np.sin(half), bend_rad])
        later = from_frame(step[None], pose)[0]
        pictures = [cv2.cvtColor(street.picture(at), cv2.COLOR_RGB2GRAY) for at in (pose, later)]
        sighting = sight.compare(*pictures, Travel(distance_m=1.0, yaw_rad=bend_rad, min_speed_mps=8.0, max_yaw_rate_radps=0.0))
        if sighting is not None:
            found.append((sighting.yaw_rad, sighting.pitch_rad, sighting.height_m))
        pose = np.array([later[0], 0.0, 0.0])
    assert len(found) > pairs / 2
    return np.asarray(np.nanmedian(found, axis=0))


def check(estimate: np.ndarray, mounted: Mounting) -> None:
    assert np.degrees(estimate[:2]) == pytest.approx(np.degrees([mounted.yaw_rad, mounted.pitch_rad]), abs=0.35)
    assert estimate[2] == pytest.approx(mounted.z_m, abs=0.08)


@pytest.mark.parametrize("change", [{}, {"pitch_deg": 2.0, "yaw_deg": -1.5}, {"pitch_deg": -1.5, "up_m": -0.3}])
def test_a_camera_that_is_mounted_otherwise_is_found_to_be(change: dict[str, float]) -> None:
    mounted = otherwise(CAMERA.mounting, **change)
    check(seen(mounted, CAMERA.mounting), mounted)


def test_a_mounting_that_is_not_the_rigs_is_told_as_it_is_whether_it_was_known_or_not() -> None:
    known = replace(CAMERA.mounting, pitch_rad=np.radians(6.0), yaw_rad=np.radians(3.0), roll_rad=np.radians(1.0))
    check(seen(known, known), known)
    turned_by = otherwise(known, pitch_deg=1.0, yaw_deg=-1.0)
    check(seen(turned_by, known), turned_by)


@pytest.mark.parametrize("bend_rad", [0.015, -0.015])
def test_a_bend_is_not_taken_for_a_turned_camera(bend_rad: float) -> None:
    check(seen(CAMERA.mounting, CAMERA.mounting, bend_rad=bend_rad), CAMERA.mounting)


def test_black_pictures_and_a_black_border_tell_nothing_and_no_wrong_thing() -> None:
    sight, still = MountingSight(CAMERA, CAMERA.mounting), Travel(distance_m=1.0, yaw_rad=0.0, min_speed_mps=8.0, max_yaw_rate_radps=0.0)
    black = np.zeros((CAMERA.height_px, CAMERA.width_px), np.uint8)
    assert sight.compare(black, black, still) is None
    pictures = [STREET.picture(np.array([x_m, 0.0, 0.0]))[..., 0].copy() for x_m in (0.0, 1.0)]
    for picture in pictures:
        picture[:, :60] = 0
    sighting = sight.compare(*pictures, still)
    assert sighting is not None and abs(np.degrees(sighting.yaw_rad)) < 1.0


# The core


def driven(core: CalibrationCore, *, speed_mps: float, yaw_rate_radps: float = 0.0, pictures: int = 12, late: bool = False, first_ns: int = 0) -> bool:
    """Pictures along the street at 10 Hz; the odometry before each, or a picture late; whether a block became whole."""
    is_new = False
    for index in range(pictures):
        stamp_ns = first_ns + index * 100_000_000
        picture = STREET.picture(np.array([speed_mps * 0.1 * index, 0.0, 0.0]))
        if late:
            is_new |= core.note_picture(picture, stamp_ns=stamp_ns)
        core.note_odometry(stamp_ns=stamp_ns, speed_mps=speed_mps, yaw_rate_radps=yaw_rate_radps)
        if not late:
            is_new |= core.note_picture(picture, stamp_ns=stamp_ns)
    return is_new


def new_core() -> CalibrationCore:
    return CalibrationCore(CAMERA, CAMERA.mounting, CalibrationParameters())


def test_it_looks_where_it_is_fast_and_straight_only() -> None:
    for options, looks in (({"speed_mps": 10.0}, 11), ({"speed_mps": 6.0}, 5), ({"speed_mps": 3.0}, 0), ({"speed_mps": 10.0, "yaw_rate_radps": 0.1}, 0)):
        core = new_core()
        driven(core, **options)
        assert core.looks == looks, options


def test_pictures_wait_for_their_odometry() -> None:
    early, late = new_core(), new_core()
    driven(early, speed_mps=10.0)
    driven(late, speed_mps=10.0, late=True)
    assert (early.looks, late.looks) == (11, 10)


def test_a_jump_of_the_clock_is_no_travel() -> None:
    core = new_core()
    driven(core, speed_mps=10.0, pictures=6, first_ns=10**15)
    driven(core, speed_mps=10.0, pictures=6, first_ns=10**9)
    driven(core, speed_mps=10.0, pictures=6, first_ns=10**12)
    assert core.looks == 15


def test_a_block_becomes_whole_and_is_right() -> None:
    core = new_core()
    assert driven(core, speed_mps=10.0, pictures=SIGHTINGS + 12)
    (block,) = core.blocks
    check(np.array(block), CAMERA.mounting)
    assert core.judge().progress == pytest.approx(0.2, abs=0.1)


# Odometry


def test_travel_is_the_integral_between_any_two_stamps() -> None:
    odometer = Odometer()
    for tick in range(20):
        odometer.note(stamp_ns=tick * 50_000_000, speed_mps=4.0 + 0.2 * tick, yaw_rate_radps=0.01 * tick)
    travel = odometer.between(125_000_000, 825_000_000)
    assert travel is not None
    assert travel.distance_m == pytest.approx(0.7 * (4.5 + 7.3) / 2.0, abs=0.01) and travel.yaw_rad == pytest.approx(0.7 * (0.025 + 0.165) / 2.0, abs=1e-3)
    assert travel.min_speed_mps == pytest.approx(4.4) and travel.max_yaw_rate_radps == pytest.approx(0.17)
    assert odometer.between(500_000_000, 951_000_000) is None and odometer.between(-1, 500_000_000) is None and odometer.between(5, 5) is None


def test_a_gap_begins_anew() -> None:
    odometer = Odometer()
    assert odometer.latest_ns == 0 and odometer.between(0, 1) is None
    for stamp_ns in (0, 100_000_000, 900_000_000, 1_000_000_000):
        odometer.note(stamp_ns=stamp_ns, speed_mps=5.0, yaw_rate_radps=0.0)
    assert odometer.between(0, 1_000_000_000) is None
    travel = odometer.between(900_000_000, 1_000_000_000)
    assert travel is not None and travel.distance_m == pytest.approx(0.5)
