"""A lens from a checkerboard: rendered by a camera that is known, and what is refused."""

import re
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from bag_tools.bag_writer import BagWriter
from bag_tools.message_bytes import header, message_bytes
from mimic.cli import main
from mimic_contracts.errors import MimicError, UsageError
from perception.checkerboard import Board, calibrate, camera_info_yaml, coverage, find_board, varied

BOARD = Board(columns=9, rows=6, square_m=0.025)
WIDTH, HEIGHT = 480, 300
K = np.array([[390.0, 0.0, 248.0], [0.0, 386.0, 144.0], [0.0, 0.0, 1.0]])
D = np.array([-0.25, 0.08, 0.001, -0.0015, 0.0])
TOPIC = "/camera/front/image_raw"


def poses(count: int, *, seed: int = 0, tilt_rad: float = 0.6, aside_m: float = 0.12, near_m: float = 0.28) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotation vector and place of the board's first corner before the camera."""
    rng = np.random.default_rng(seed)
    middle_m = BOARD.points_m.mean(axis=0)
    found = []
    for _ in range(count):
        turn = rng.uniform(-1.0, 1.0, 3) * (tilt_rad, tilt_rad, 0.3)
        away_m = near_m + rng.uniform(0.0, 0.22)
        place_m = np.array([*(rng.uniform(-1.0, 1.0, 2) * (aside_m * 1.6, aside_m) * away_m / 0.35), away_m])
        found.append((turn, place_m - cv2.Rodrigues(turn)[0] @ middle_m))
    return found


def corners(turn: np.ndarray, place_m: np.ndarray, *, noise_px: float = 0.0, seed: int = 0) -> np.ndarray:
    seen = cv2.projectPoints(BOARD.points_m, turn, place_m, K, D)[0].reshape(-1, 2)
    return (seen + np.random.default_rng(seed).normal(0.0, noise_px, seen.shape)).astype(np.float32)


def inside(view: np.ndarray) -> bool:
    return bool((view > 8.0).all() and (view < (WIDTH - 9.0, HEIGHT - 9.0)).all())


def views(count: int = 120, *, noise_px: float = 0.1, **options: float) -> list[np.ndarray]:
    seen = [corners(*pose, noise_px=noise_px, seed=index) for index, pose in enumerate(poses(count, **options))]
    return [view for view in seen if inside(view)]


@cache
def rays() -> np.ndarray:
    """(9 H W, 3) through nine places in each pixel."""
    v, u = (np.mgrid[0 : 3 * HEIGHT, 0 : 3 * WIDTH] - 1.0) / 3.0
    undistorted = cv2.undistortPoints(np.stack([u.ravel(), v.ravel()], axis=1)[:, None], K, D).reshape(-1, 2)
    return np.column_stack([undistorted, np.ones(len(undistorted))])


def rendered(turn: np.ndarray, place_m: np.ndarray) -> np.ndarray:
    """(H, W) grey picture: each ray meets the board's plane."""
    rotation = cv2.Rodrigues(turn)[0]
    onto_board = np.linalg.inv(np.column_stack([rotation[:, :2], place_m])) @ rays().T
    x, y = onto_board[:2] / onto_board[2] / BOARD.square_m
    is_board = (x > -1) & (x < BOARD.columns) & (y > -1) & (y < BOARD.rows)
    is_paper = (x > -2) & (x < BOARD.columns + 1) & (y > -2) & (y < BOARD.rows + 1)
    is_dark = (np.floor(x) + np.floor(y)) % 2 == 0
    grey = np.where(is_board & is_dark, 30.0, np.where(is_paper, 220.0, 110.0)).reshape(3 * HEIGHT, 3 * WIDTH)
    return cv2.resize(grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).round().astype(np.uint8)


def write_bag(path: Path, pictures: list[np.ndarray], *, damaged: int = 0) -> None:
    """A bag of these pictures, and of some whose rows are too short."""
    writer = BagWriter(path, overwrite=False)
    writer.add_topic(TOPIC, "sensor_msgs/msg/Image")
    writer.add_topic("/said", "std_msgs/msg/String")
    writer.write("/said", 0, message_bytes("std_msgs/msg/String", data="x").data)
    for index, picture in enumerate(pictures):
        stamp_ns = (index + 1) * 600_000_000
        fields = {"height": picture.shape[0], "width": picture.shape[1], "encoding": "mono8", "step": picture.shape[1], "data": picture.ravel()}
        writer.write(TOPIC, stamp_ns, message_bytes("sensor_msgs/msg/Image", header=header(stamp_ns), **fields).data)
    for index in range(damaged):
        fields = {"height": 8, "width": 8, "encoding": "mono8", "step": 5, "data": np.zeros(40, np.uint8)}
        writer.write(TOPIC, 10**12 * (1 + index), message_bytes("sensor_msgs/msg/Image", **fields).data)
    writer.close()


def test_a_bag_of_a_rendered_board_gives_the_camera_that_rendered_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = [pose for pose in poses(60) if inside(corners(*pose))][:14]
    write_bag(tmp_path / "board", [rendered(*pose) for pose in seen])
    out = tmp_path / "camera_info.yaml"
    command = ["vehicle", "intrinsics", str(tmp_path / "board"), "--topic", TOPIC, "--board", "9x6", "--square-m", "0.025", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out == out.read_text(encoding="utf-8")
    assert re.search(r"views that differ, \d+% of the picture, corners off by 0\.\d\d px", said.err) and "fx_px 3" in said.err
    told = yaml.safe_load(said.out)
    assert (told["image_width"], told["image_height"], told["camera_name"], told["distortion_model"]) == (WIDTH, HEIGHT, "front", "plumb_bob")
    k, d = np.reshape(told["camera_matrix"]["data"], (3, 3)), np.array(told["distortion_coefficients"]["data"])
    assert np.abs(k - K).max() < 1.5  # px, of 390
    everywhere = np.stack(np.meshgrid(np.linspace(-0.55, 0.5, 9), np.linspace(-0.33, 0.36, 7)), axis=-1).reshape(-1, 2)
    rays = np.column_stack([everywhere, np.ones(len(everywhere))])
    there, then = (cv2.projectPoints(rays, np.zeros(3), np.zeros(3), *lens)[0] for lens in ((K, D), (k, d)))
    assert np.abs(there - then).max() < 1.5  # px, to the edges
    assert main(command) == 2 and "--overwrite replaces it" in capsys.readouterr().err


def test_corners_are_found_where_they_are_and_no_board_is_none() -> None:
    pose = next(pose for pose in poses(60) if inside(corners(*pose)))
    found, there = find_board(rendered(*pose), BOARD), corners(*pose)
    assert found is not None
    assert min(np.abs(found - there).max(), np.abs(found - there[::-1]).max()) < 0.3
    assert find_board(np.full((HEIGHT, WIDTH), 128, np.uint8), BOARD) is None


def test_intervals_hold_the_truth_and_noise_widens_them() -> None:
    quiet, noisy = (calibrate(views(noise_px=noise), BOARD, width_px=WIDTH, height_px=HEIGHT) for noise in (0.05, 0.4))
    for lens, noise in ((quiet, 0.05), (noisy, 0.4)):
        off = np.abs([lens.info.k[0, 0] - K[0, 0], lens.info.k[1, 1] - K[1, 1], lens.info.k[0, 2] - K[0, 2], lens.info.k[1, 2] - K[1, 2]])
        assert (off < 2.0 * lens.half_widths[:4]).all()
        assert lens.rms_px == pytest.approx(noise * np.sqrt(2.0), rel=0.15)
    assert (noisy.half_widths[:4] > 4.0 * quiet.half_widths[:4]).all()
    assert quiet.info.d[4] == 0.0  # there is no k3 in it, so none is made up


def test_a_bad_view_is_left_out() -> None:
    seen = views()
    seen[7] = seen[7] + np.random.default_rng(1).normal(0.0, 4.0, seen[7].shape).astype(np.float32)
    assert calibrate(seen, BOARD, width_px=WIDTH, height_px=HEIGHT).rms_px < 0.25


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (views()[:9], "too few views: the board was found in 9 pictures, at least 10"),
        ([views()[0] + 0.01 * k for k in range(30)], "the views are all alike: 1 of 30 differ"),
        (views(tilt_rad=0.0), "the views are all alike: the board was hardly tilted"),
        (views(aside_m=0.02, near_m=0.45), r"the board was in \d\d% of the picture only, must be 70%"),
        (views(noise_px=1.2), r"the corners are off by 1\.\d\d px, must be at most 1.0"),
        (views(tilt_rad=0.4, near_m=0.4, noise_px=0.65)[:20], r"the focal length is known to ± \d+\.\d% only, must be 1%"),
    ],
)
def test_what_does_not_tell_the_lens_is_refused(seen: list[np.ndarray], said: str) -> None:
    with pytest.raises(MimicError, match=said):
        calibrate(seen, BOARD, width_px=WIDTH, height_px=HEIGHT)


def test_views_that_differ_are_kept_and_few_of_those_that_do_not() -> None:
    seen = views()
    doubled = varied([view for view in seen for _ in range(3)], BOARD, width_px=WIDTH, height_px=HEIGHT)
    assert len(doubled) == len(varied(seen, BOARD, width_px=WIDTH, height_px=HEIGHT)) <= 40
    assert coverage([seen[0]], width_px=WIDTH, height_px=HEIGHT) < coverage(seen, width_px=WIDTH, height_px=HEIGHT)


@pytest.mark.parametrize(("text", "square_m"), [("9", 0.025), ("9x9", 0.025), ("9x2", 0.025), ("axb", 0.025), ("9x6", 0.0), ("9x6", 25.0)])
def test_impossible_boards_are_refused(text: str, square_m: float) -> None:
    with pytest.raises(UsageError, match=r"board|square-m"):
        Board.parse(text, square_m)


def test_wrong_topics_are_refused_with_those_that_there_are_and_damaged_pictures_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_bag(tmp_path / "board", [np.full((HEIGHT, WIDTH), 128, np.uint8)], damaged=1)
    command = ["vehicle", "intrinsics", str(tmp_path / "board"), "--board", "9x6", "--square-m", "0.025", "--topic"]
    assert main([*command, "/nothing"]) == 2 and f"it has {TOPIC}, /said" in capsys.readouterr().err
    assert main([*command, "/said"]) == 2 and "is of type std_msgs/msg/String" in capsys.readouterr().err
    assert main([*command, TOPIC]) == 1
    assert "the board was found in 0 of 1 pictures\n1 pictures are damaged, the last one: image.step: is 5 bytes" in capsys.readouterr().err


def test_the_file_has_what_camera_calibration_parsers_reads() -> None:
    told = yaml.safe_load(camera_info_yaml(calibrate(views(), BOARD, width_px=WIDTH, height_px=HEIGHT).info, camera_name="front"))
    shapes = {name: (value["rows"], value["cols"], len(value["data"])) for name, value in told.items() if isinstance(value, dict)}
    assert shapes == {"camera_matrix": (3, 3, 9), "distortion_coefficients": (1, 5, 5), "rectification_matrix": (3, 3, 9), "projection_matrix": (3, 4, 12)}
