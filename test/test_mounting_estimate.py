"""From sightings to a verdict, and what is remembered of it."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from mimic_contracts.errors import MimicError
from mimic_contracts.rig import Mounting
from perception.calibration_memory import memory_path, recall, remember
from perception.mounting_estimate import CALIBRATED, HEIGHTS, KEPT, MOVED, NEEDED, SIGHTINGS, UNCALIBRATED, MountingEstimate
from perception.mounting_sight import Sighting

MOUNTING = Mounting(x_m=1.6, y_m=0.0, z_m=1.4, pitch_rad=math.radians(1.0))
RIGHT = (0.0, math.radians(1.0), 1.4)


def estimate(blocks: list[tuple[float, ...]] | None = None) -> MountingEstimate:
    return MountingEstimate(MOUNTING, angle_tolerance_rad=math.radians(1.0), height_tolerance_m=0.15, blocks=blocks or [])


def see(known: MountingEstimate, blocks: float, *, yaw_deg: float = 0.0, pitch_deg: float = 1.0, height_m: float = 1.4, noise_deg: float = 0.3) -> None:
    rng = np.random.default_rng(0)
    for _ in range(round(blocks * SIGHTINGS)):
        yaw, pitch = np.radians(rng.normal((yaw_deg, pitch_deg), noise_deg))
        known.add(Sighting(yaw_rad=yaw, pitch_rad=pitch, height_m=rng.normal(height_m, 0.1)))


def test_from_nothing_to_calibrated_with_its_progress() -> None:
    known, progress = estimate(), []
    for _ in range(2 * NEEDED):
        judged = known.judge()
        assert judged.status == UNCALIBRATED and np.isnan(judged.estimate).all() and "somebody must drive straight on" in judged.reason
        progress.append(judged.progress)
        see(known, 0.5)
    assert progress == pytest.approx(np.arange(2 * NEEDED) / (2 * NEEDED)) and f"{progress[-1]:.0%}".replace("%", " %") in judged.reason
    judged = known.judge()
    assert (judged.status, judged.progress) == (CALIBRATED, 1.0)
    assert np.degrees(judged.estimate[:2]) == pytest.approx([0.0, 1.0], abs=0.1) and judged.estimate[2] == pytest.approx(1.4, abs=0.05)


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({"pitch_deg": 2.5}, "pitch_deg is 1.00, seen is 2.[45]"),
        ({"yaw_deg": -1.2}, "yaw_deg is 0.00, seen is -1.2"),
        ({"height_m": 1.6}, r"z_m is 1.40, seen is 1.[56]\d \(must be within 0.15\)"),
        ({"pitch_deg": -1.0, "yaw_deg": 3.0}, "yaw_deg is 0.00, .*, pitch_deg is 1.00, seen is -1.0"),
    ],
)
def test_another_mounting_than_is_thought_is_found_and_told_as_the_vehicle_file_has_it(camera: dict[str, float], said: str) -> None:
    known = estimate()
    see(known, NEEDED, **camera)
    judged = known.judge()
    assert judged.status == MOVED
    assert re.search(said, judged.reason), judged.reason
    assert "or write there what is seen: yaw_deg: " in judged.reason and "pitch_deg: " in judged.reason and "z_m: " in judged.reason


@pytest.mark.parametrize("camera", [{"pitch_deg": 1.8}, {"yaw_deg": 0.8}, {"height_m": 1.5}])
def test_within_the_tolerance_it_is_right(camera: dict[str, float]) -> None:
    known = estimate()
    see(known, NEEDED, **camera)
    assert known.judge().status == CALIBRATED


def test_what_scatters_is_not_known() -> None:
    known = estimate([(math.radians(yaw_deg), RIGHT[1], 1.4) for yaw_deg in (-1.0, 1.0, -0.8, 0.9, 0.0)])
    judged = known.judge()
    assert judged.status == UNCALIBRATED and "scatters too much in yaw_deg" in judged.reason


def test_a_camera_that_is_pushed_is_noticed_and_what_was_before_is_forgotten() -> None:
    known = estimate()
    see(known, 30)
    assert known.judge().status == CALIBRATED
    needed = 0
    while known.judge().status == CALIBRATED:
        see(known, 1, pitch_deg=2.5)
        needed += 1
    assert needed <= NEEDED and known.judge().status in (MOVED, UNCALIBRATED)
    see(known, NEEDED - needed, pitch_deg=2.5)
    judged = known.judge()
    assert judged.status == MOVED and np.degrees(judged.estimate[1]) == pytest.approx(2.5, abs=0.15)
    see(known, NEEDED + 2)  # and pushed back
    assert known.judge().status == CALIBRATED


def test_no_more_is_kept_than_is_wanted_and_the_latest_counts() -> None:
    known = estimate()
    see(known, KEPT + 5)
    assert len(known.blocks) == KEPT


def test_without_heights_no_block_is_whole_and_it_says_so() -> None:
    known = estimate()
    for _ in range(3 * SIGHTINGS):
        assert not known.add(Sighting(yaw_rad=0.0, pitch_rad=RIGHT[1], height_m=math.nan))
    assert known.blocks == [] and f"only 0 of {3 * SIGHTINGS} pictures show the road move" in known.judge().reason
    made = [known.add(Sighting(yaw_rad=0.0, pitch_rad=RIGHT[1], height_m=1.4)) for _ in range(HEIGHTS)]
    assert made == [False] * (HEIGHTS - 1) + [True]


# Memory


def test_what_was_seen_is_remembered_and_the_next_drive_begins_with_it(tmp_path: Path) -> None:
    path = memory_path(str(tmp_path / "there"), vehicle="my car/2", camera="front")
    assert path.name == "my_car_2.front.json" and recall(path) == []
    first = estimate()
    see(first, NEEDED)
    remember(path, first.blocks, vehicle="my car/2", camera="front")
    again = estimate(recall(path))
    assert again.judge().status == CALIBRATED and again.blocks == first.blocks
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    see(again, NEEDED, pitch_deg=3.0)
    assert again.judge().status == MOVED


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"blocks": 3}', '{"blocks": [[0.0, 0.0]]}', '{"blocks": [[0.0, "x", 1.0]]}', '{"blocks": [[0.0, NaN, 1.0]]}']
)
def test_a_damaged_memory_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "car.front.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(MimicError, match=r"car.front.json: cannot be understood .* move it away"):
        recall(path)
    assert path.read_text(encoding="utf-8") == content


def test_a_memory_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "car.front.json"
    remember(path, [RIGHT], vehicle="car", camera="front")
    path.with_name(f".{path.name}.partial").mkdir()
    with pytest.raises(MimicError, match="cannot be written"):
        remember(path, [], vehicle="car", camera="front")
    assert json.loads(path.read_text(encoding="utf-8"))["blocks"] == [list(RIGHT)]


# The supervisor
