"""Plans as people see them in a picture: laid on the road, with words below."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.image_geometry import project_points
from mimic_contracts.rig import CameraSpec

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

RIBBON_HALF_M = 0.85
RIBBON_RGB: Colour = (70, 200, 120)
RIBBON_OPACITY = 0.45
WHITE_RGB: Colour = (255, 255, 255)
NEAR_PX = 20_000.0  # further outside of the picture a line means nothing, and overflows what OpenCV counts with
SUBPIXEL_BITS = 4


def draw_plan(picture: Picture, plan: NDArray[np.float64], camera: CameraSpec) -> None:
    """Lay a plan (T, C) of CAR, in the vehicle frame, as a ribbon on the road of a picture; NaN: there was none."""
    if not np.isfinite(plan).all():
        return
    x, y, yaw = (np.interp(np.linspace(0.0, 4.0, 41), CAR.times_s, plan[:, CAR.index(name)]) for name in ("x_m", "y_m", "yaw_rad"))
    (left, is_left_seen), (right, is_right_seen) = (
        _on_road(np.stack([x - side * np.sin(yaw), y + side * np.cos(yaw)], axis=1), camera) for side in (RIBBON_HALF_M, -RIBBON_HALF_M)
    )
    is_seen = is_left_seen & is_right_seen
    drawn = picture.copy()
    for i in np.flatnonzero(is_seen[:-1] & is_seen[1:]).tolist():
        corners = _subpixels(np.array([left[i], left[i + 1], right[i + 1], right[i]]))
        cv2.fillConvexPoly(drawn, corners, RIBBON_RGB, cv2.LINE_AA, shift=SUBPIXEL_BITS)
    cv2.addWeighted(drawn, RIBBON_OPACITY, picture, 1.0 - RIBBON_OPACITY, 0.0, dst=picture)


def draw_line(picture: Picture, points_m: NDArray[np.float64], camera: CameraSpec, *, colour: Colour, opacity: float, width_px: int) -> None:
    """Lay a line through points (N, 2) of the vehicle frame on the road of a picture."""
    pixels, is_seen = _on_road(points_m, camera)
    drawn = picture.copy()
    for i in np.flatnonzero(is_seen[:-1] & is_seen[1:]).tolist():
        begin, end = _subpixels(pixels[i : i + 2]).tolist()
        cv2.line(drawn, begin, end, colour, width_px, cv2.LINE_AA, shift=SUBPIXEL_BITS)
    cv2.addWeighted(drawn, opacity, picture, 1.0 - opacity, 0.0, dst=picture)


def write_lines(picture: Picture, lines: Sequence[tuple[str, Colour]]) -> None:
    """Write lines of ASCII text into the lower left corner, each in its colour, with a shadow."""
    scale = picture.shape[0] / 720.0
    thickness = max(round(1.5 * scale), 1)
    for count, (text, colour) in enumerate(reversed(lines)):
        x, y = round(18 * scale), picture.shape[0] - round((20 + 40 * count) * scale)
        for shift, rgb in ((thickness, (0, 0, 0)), (0, colour)):
            cv2.putText(picture, text, (x + shift, y + shift), cv2.FONT_HERSHEY_SIMPLEX, scale, rgb, thickness, cv2.LINE_AA)


def _on_road(points_m: NDArray[np.float64], camera: CameraSpec) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pixels (N, 2) of points (N, 2) on the flat ground, and which can be drawn (N,)."""
    pixels, is_in_front = project_points(camera, np.column_stack([points_m, np.zeros(len(points_m))]))
    return pixels, is_in_front & (np.abs(pixels).max(axis=1) < NEAR_PX)


def _subpixels(pixels: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.round(pixels * 2**SUBPIXEL_BITS).astype(np.int32)
