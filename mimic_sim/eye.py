"""A camera in the world without its pictures: which places lie in its view, and what ends the view.

Rays run in the ground plane, with heights along them; a camera's roll is left out.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.rig import CameraSpec

BEARING_STEP_RAD = np.radians(0.5)  # 0.9 m at 100 m: how finely walls end the view

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Eye:
    """One camera at one moment: place_m (3,), its direction (positive pitch looks up), half of its fields of view, focal
    length; walls (N, 5) float64 boxes [x_m, y_m, yaw_rad, length_m, width_m] that nobody looks over; reach_m: of the view."""

    place_m: Array
    yaw_rad: float
    pitch_rad: float
    half_width_rad: float
    half_height_rad: float
    focal_px: float
    walls: Array
    reach_m: float

    @classmethod
    def of(cls, camera: CameraSpec, pose: Array, *, walls: Array, reach_m: float) -> "Eye":
        """The eye of a car's camera; pose: (3,) [x_m, y_m, yaw_rad] of the rear axle."""
        x, y, yaw = pose
        mounting, c, s = camera.mounting, np.cos(yaw), np.sin(yaw)
        focal_px = float(camera.intrinsics()[0, 0])
        return cls(
            place_m=np.array([x + c * mounting.x_m - s * mounting.y_m, y + s * mounting.x_m + c * mounting.y_m, mounting.z_m]),
            yaw_rad=float(yaw) + mounting.yaw_rad,
            pitch_rad=-mounting.pitch_rad,
            half_width_rad=camera.horizontal_fov_rad / 2.0,
            half_height_rad=float(np.arctan(camera.height_px / 2.0 / focal_px)),
            focal_px=focal_px,
            walls=walls,
            reach_m=reach_m,
        )

    def look_at(self, points_m: Array) -> tuple[Array, Array]:
        """Angles (...,) from the optical axis, left positive, and distances (...,) of points (..., 2)."""
        c, s = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        dx, dy = points_m[..., 0] - self.place_m[0], points_m[..., 1] - self.place_m[1]
        return np.arctan2(c * dy - s * dx, c * dx + s * dy), np.hypot(dx, dy)

    def free_m(self, bearings: Array) -> Array:
        """(...,) how far one sees at angles (...,) inside the picture before a wall; infinite where there is none."""
        index = np.rint((bearings + self.half_width_rad) / self._step_rad).astype(np.int64)
        return self._horizon_m[np.clip(index, 0, len(self._horizon_m) - 1)]

    def sees_ground(self, points_m: Array) -> NDArray[np.bool_]:
        """(N,) whether something that stands at places (N, 2) would be in view: between the sides of the picture, within
        reach, and before any wall."""
        bearings, away_m = self.look_at(points_m)
        is_seen: NDArray[np.bool_] = (np.abs(bearings) < self.half_width_rad) & (away_m < self.reach_m)
        is_seen[is_seen] = away_m[is_seen] < self.free_m(bearings[is_seen])
        return is_seen

    @property
    def _step_rad(self) -> float:
        return 2.0 * self.half_width_rad / round(2.0 * self.half_width_rad / BEARING_STEP_RAD)

    @cached_property
    def _horizon_m(self) -> Array:
        """(B,) distance of the nearest wall, from the right edge of the picture to the left one."""
        bearings, away_m = self.look_at(self.walls[:, :2])
        radius_m = np.hypot(self.walls[:, 3], self.walls[:, 4]) / 2.0
        is_around = away_m < radius_m
        spread = np.where(is_around, np.pi, np.arcsin(np.minimum(radius_m / np.maximum(away_m, 1e-6), 1.0)))
        walls = self.walls[(away_m - radius_m < self.reach_m) & (np.abs(bearings) - spread < self.half_width_rad)]
        angles = self.yaw_rad + np.arange(-self.half_width_rad, self.half_width_rad + self._step_rad / 2.0, self._step_rad)
        return entries_m(self.place_m, np.stack([np.cos(angles), np.sin(angles)], axis=1), walls).min(axis=1, initial=np.inf)


def corners_m(boxes: Array) -> Array:
    """(N, 4, 2) corners of boxes (N, 5)."""
    c, s = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    ahead, left = np.stack([c, s], axis=-1) * boxes[:, 3:4] / 2.0, np.stack([-s, c], axis=-1) * boxes[:, 4:5] / 2.0
    return boxes[:, None, :2] + np.stack([ahead + left, ahead - left, -ahead - left, left - ahead], axis=1)


def entries_m(place_m: Array, rays: Array, boxes: Array) -> Array:
    """(R, N) distance at which each ray, (R, 2) unit vectors from a place (2 or more,), enters each box (N, 5); infinite
    where it misses."""
    c, s = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    dx, dy = place_m[0] - boxes[:, 0], place_m[1] - boxes[:, 1]
    start = c * dx + s * dy, c * dy - s * dx
    step = rays[:, :1] * c + rays[:, 1:] * s, rays[:, 1:] * c - rays[:, :1] * s
    entry, leave = np.zeros((len(rays), len(boxes))), np.full((len(rays), len(boxes)), np.inf)
    for at, by, half in zip(start, step, (boxes[:, 3] / 2.0, boxes[:, 4] / 2.0), strict=True):
        slope = np.where(np.abs(by) < 1e-9, 1e-9, by)
        one, two = (-half - at) / slope, (half - at) / slope
        entry, leave = np.maximum(entry, np.minimum(one, two)), np.minimum(leave, np.maximum(one, two))
    return np.where(entry <= leave, entry, np.inf)
