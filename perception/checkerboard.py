"""A camera's lens from pictures of a checkerboard, or why they do not tell it.

Distortion as sensor_msgs' plumb_bob; a fisheye shows by a large error. Needed views, and how they must differ: as Zhang (2000) and ROS's
camera_calibration ask for: everywhere in the picture, near and far, tilted to all sides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.images import CameraInfo

MIN_VIEWS, MAX_VIEWS = 10, 40
MIN_DIFFERENCE = 0.08  # of two views: of the picture's sides in place or size, or of their tilts
GRID = (4, 6)  # rows, columns of the picture,
MIN_COVERED = 0.7  # of whose fields the board must have been in so many
MIN_TILT = 0.15  # how much longer one side of the board must look than the other, from one view to another, in both directions
MAX_RMS_PX = 1.0
BAD_VIEW = 3.0  # times the median error: blurred, or a wrong corner
MAX_FOCAL_UNCERTAINTY = 0.01  # half of its 95 % interval, of the focal length
SIGMAS = 1.96  # of a 95 % interval
TILTS = slice(3, 5)  # of a look
FLAGS = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY
MEND = "move the board slowly through the whole picture, near and far, tilted to all sides by 30° and more"

Corners = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Board:
    """columns, rows: of inner corners."""

    columns: int
    rows: int
    square_m: float

    @classmethod
    def parse(cls, text: str, square_m: float) -> "Board":
        """Of '9x6'; raises UsageError for what is no board."""
        sides = text.split("x")
        if len(sides) != 2 or not all(side.isdigit() and 3 <= int(side) <= 50 for side in sides) or sides[0] == sides[1]:
            raise UsageError(
                f"board: is '{text}', must be COLUMNSxROWS of its inner corners, 3 to 50 each and not the same, as 9x6 (a square one could lie four ways)"
            )
        if not (math.isfinite(square_m) and 0.001 <= square_m <= 1.0):
            raise UsageError(f"square-m: is {square_m}, must be 0.001 to 1: side of one square in metres")
        return cls(columns=int(sides[0]), rows=int(sides[1]), square_m=square_m)

    @property
    def points_m(self) -> NDArray[np.float32]:
        """(columns · rows, 3) of its inner corners, row by row."""
        rows, columns = np.mgrid[0 : self.rows, 0 : self.columns]
        return np.stack([columns.ravel(), rows.ravel(), np.zeros(columns.size)], axis=1).astype(np.float32) * np.float32(self.square_m)


@dataclass(frozen=True, kw_only=True)
class Lens:
    """info: the intrinsics; half_widths: of the 95 % intervals of fx, fy, cx, cy, k1, k2, p1, p2, k3 (0: not fitted); rms_px: of the corners;
    covered: share of the picture's fields that the board was in; used: views."""

    info: CameraInfo
    half_widths: NDArray[np.float64]
    rms_px: float
    covered: float
    used: int


def find_board(grey: NDArray[np.uint8], board: Board) -> Corners | None:
    """(N, 2) pixels of the inner corners in a picture (H, W) uint8; None: the whole board is not in it."""
    found, corners = cv2.findChessboardCornersSB(grey, (board.columns, board.rows), flags=FLAGS)
    return corners.reshape(-1, 2) if found else None


def calibrate(views: Sequence[Corners], board: Board, *, width_px: int, height_px: int) -> Lens:
    """The lens from the corners in some pictures of one size; raises MimicError with the reason when they do not tell it."""
    if len(views) < MIN_VIEWS:
        raise MimicError(f"too few views: the board was found in {len(views)} pictures, at least {MIN_VIEWS} are needed: {MEND}")
    different = varied(views, board, width_px=width_px, height_px=height_px)
    if len(different) < MIN_VIEWS:
        raise MimicError(f"the views are all alike: {len(different)} of {len(views)} differ, at least {MIN_VIEWS} must: {MEND}")
    tilts = np.ptp([_look(view, board, width_px=width_px, height_px=height_px)[TILTS] for view in different], axis=0)
    if tilts.min() < MIN_TILT:  # of boards that face the camera no focal length follows, and no interval says so
        raise MimicError(f"the views are all alike: the board was hardly tilted {('to the side', 'back and forth')[int(tilts.argmin())]}: {MEND}")
    covered = coverage(different, width_px=width_px, height_px=height_px)
    if covered < MIN_COVERED:
        raise MimicError(f"the board was in {covered:.0%} of the picture only, must be {MIN_COVERED:.0%}: {MEND}")
    lens, errors = _fit(different, board, width_px=width_px, height_px=height_px, covered=covered)
    good = [view for view, error in zip(different, errors, strict=True) if error <= BAD_VIEW * np.median(errors)]
    if MIN_VIEWS <= len(good) < len(different):
        lens, _ = _fit(good, board, width_px=width_px, height_px=height_px, covered=covered)
    if lens.rms_px > MAX_RMS_PX:
        raise MimicError(
            f"the corners are off by {lens.rms_px:.2f} px, must be at most {MAX_RMS_PX:.1f}: is the board flat, its size {board.columns}x{board.rows} right, "
            "are the pictures sharp? A fisheye lens cannot be described so"
        )
    uncertain = float((lens.half_widths[:2] / np.diag(lens.info.k)[:2]).max())
    if uncertain > MAX_FOCAL_UNCERTAINTY:
        raise MimicError(f"the focal length is known to ± {uncertain:.1%} only, must be {MAX_FOCAL_UNCERTAINTY:.0%}: {MEND}")
    return lens


def varied(views: Sequence[Corners], board: Board, *, width_px: int, height_px: int) -> list[Corners]:
    """Those that differ most, at most MAX_VIEWS: the first one, then always the one that is least like all before."""
    looks = np.array([_look(view, board, width_px=width_px, height_px=height_px) for view in views])
    chosen, apart = [0], np.linalg.norm(looks - looks[0], axis=1)
    while len(chosen) < MAX_VIEWS and apart.max() > MIN_DIFFERENCE:
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(looks - looks[chosen[-1]], axis=1))
    return [views[index] for index in sorted(chosen)]


def coverage(views: Sequence[Corners], *, width_px: int, height_px: int) -> float:
    """Share of the picture's fields that a corner was in."""
    u, v = np.concatenate(views).T
    rows, columns = GRID
    row, column = np.clip((v * rows / height_px).astype(int), 0, rows - 1), np.clip((u * columns / width_px).astype(int), 0, columns - 1)
    return len(np.unique(row * columns + column)) / (rows * columns)


def camera_info_yaml(info: CameraInfo, *, camera_name: str) -> str:
    """As ROS's camera_calibration_parsers reads it, and drivers with it."""
    projection = np.column_stack([info.k, np.zeros(3)])
    matrices = {"camera_matrix": info.k, "distortion_coefficients": info.d[None], "rectification_matrix": np.eye(3), "projection_matrix": projection}
    text = {name: f"{name}:\n  rows: {len(m)}\n  cols: {m.shape[1]}\n  data: [{', '.join(f'{x:.8g}' for x in m.ravel())}]\n" for name, m in matrices.items()}
    return (
        f"image_width: {info.width_px}\nimage_height: {info.height_px}\ncamera_name: {camera_name}\n{text.pop('camera_matrix')}"
        f"distortion_model: {info.distortion_model}\n{''.join(text.values())}"
    )


def _look(view: Corners, board: Board, *, width_px: int, height_px: int) -> NDArray[np.float64]:
    """(5,): where the board is, how large, how much it is tilted to the side and back, all in about the same measure."""
    corners = view.reshape(board.rows, board.columns, 2).astype(np.float64)
    place = corners.mean(axis=(0, 1)) / (width_px, height_px)
    top, bottom, left, right = (float(np.linalg.norm(side[-1] - side[0])) for side in (corners[0], corners[-1], corners[:, 0], corners[:, -1]))
    size = math.sqrt((top + bottom) * (left + right) / (4.0 * width_px * height_px))
    return np.array([*place, size, math.log(left / right), math.log(top / bottom)])


def _fit(views: Sequence[Corners], board: Board, *, width_px: int, height_px: int, covered: float) -> tuple[Lens, NDArray[np.float64]]:
    """The lens, and the error of each view in pixels. k3 is fitted where the pictures tell it: it bends what no corner was near."""
    points = [board.points_m] * len(views)
    for flags in (0, cv2.CALIB_FIX_K3):
        try:
            rms_px, k, d, _, _, sigmas, _, errors = cv2.calibrateCameraExtended(points, list(views), (width_px, height_px), None, None, flags=flags)
        except cv2.error as error:
            raise MimicError(f"the views fit no camera ({' '.join(str(error).split())}): {MEND}") from error
        d, sigmas = np.ravel(d)[:5].astype(np.float64), np.ravel(sigmas)[:9]
        if abs(d[4]) > SIGMAS * sigmas[8]:
            break
    info = CameraInfo(height_px=height_px, width_px=width_px, distortion_model="plumb_bob", k=k.astype(np.float64), d=d)
    return Lens(info=info, half_widths=SIGMAS * sigmas, rms_px=float(rms_px), covered=covered, used=len(views)), np.ravel(errors)
