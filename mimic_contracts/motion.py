"""Poses in the plane (SE(2)): x forward, y left, yaw counter-clockwise."""

import numpy as np
from numpy.typing import NDArray


def wrap_angle(angle_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same angles within (-π, π]."""
    return -((np.pi - np.asarray(angle_rad)) % (2.0 * np.pi) - np.pi)


def to_frame(poses: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses (N, 3) [x_m, y_m, yaw_rad] of a fixed frame, seen from `origin` (3,) of the same frame."""
    c, s = np.cos(origin[2]), np.sin(origin[2])
    dx, dy = poses[:, 0] - origin[0], poses[:, 1] - origin[1]
    return np.stack([c * dx + s * dy, -s * dx + c * dy, wrap_angle(poses[:, 2] - origin[2])], axis=1)


def points_to_frame(points_m: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) points of a fixed frame, seen from `origin` (3,) [x_m, y_m, yaw_rad] of the same frame."""
    c, s = np.cos(origin[2]), np.sin(origin[2])
    dx, dy = points_m[:, 0] - origin[0], points_m[:, 1] - origin[1]
    seen = np.empty((len(points_m), 2))
    seen[:, 0], seen[:, 1] = c * dx + s * dy, c * dy - s * dx
    return seen


def from_frame(poses: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses (N, 3) seen from `origin` (3,), back in the fixed frame that `origin` is given in."""
    c, s = np.cos(origin[2]), np.sin(origin[2])
    x, y = poses[:, 0], poses[:, 1]
    return np.stack([origin[0] + c * x - s * y, origin[1] + s * x + c * y, wrap_angle(poses[:, 2] + origin[2])], axis=1)


def yaw_quaternion(yaw_rad: float) -> tuple[float, float]:
    """(z, w) of the unit quaternion of a rotation about z."""
    return float(np.sin(yaw_rad / 2.0)), float(np.cos(yaw_rad / 2.0))


def quaternion_yaw(*, x: float, y: float, z: float, w: float) -> float:
    """Yaw of a unit quaternion, rad within (-π, π]."""
    return float(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)))
