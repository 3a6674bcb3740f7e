"""Matrices that take points of the world to where they are drawn. GL wants clip coordinates within [-1, 1]."""

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.rig import CameraSpec

NEAR_M, FAR_M = 0.4, 700.0
SHADOW_M, SHADOW_DEPTH_M = 128.0, 160.0


def direction(azimuth_rad: float, elevation_rad: float) -> NDArray[np.float64]:
    """(3,) unit vector."""
    flat = np.cos(elevation_rad)
    return np.array([flat * np.cos(azimuth_rad), flat * np.sin(azimuth_rad), np.sin(elevation_rad)])


def camera_pose(camera: CameraSpec, pose: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eye (3,) and body axes (3, 3, columns x forward, y left, z up) of a camera in the world."""
    c, s = np.cos(pose[2]), np.sin(pose[2])
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    m = camera.mounting
    return np.array([pose[0], pose[1], 0.0]) + turn @ np.array([m.x_m, m.y_m, m.z_m]), turn @ m.rotation()


def view_matrix(eye: NDArray[np.float64], rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4) world → GL camera axes: x right, y up, z backwards."""
    axes = np.stack([-rotation[:, 1], rotation[:, 2], -rotation[:, 0]])
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = axes, -axes @ eye
    return view


def projection_matrix(camera: CameraSpec) -> NDArray[np.float64]:
    """(4, 4) pinhole with square pixels and the principal point in the middle, as CameraSpec.intrinsics."""
    focal = camera.intrinsics()[0, 0]
    projection = np.zeros((4, 4))
    projection[0, 0], projection[1, 1] = 2.0 * focal / camera.width_px, 2.0 * focal / camera.height_px
    projection[2, 2:], projection[3, 2] = ((FAR_M + NEAR_M) / (NEAR_M - FAR_M), 2.0 * FAR_M * NEAR_M / (NEAR_M - FAR_M)), -1.0
    return projection


def sun_matrix(middle: NDArray[np.float64], sun: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4) orthographic view from the sun onto a square of SHADOW_M around a place."""
    right = np.cross([0.0, 0.0, 1.0], sun)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(sun, right), sun])
    scale = np.array([2.0 / SHADOW_M, 2.0 / SHADOW_M, -1.0 / SHADOW_DEPTH_M])
    projection = np.eye(4)
    projection[:3, :3], projection[:3, 3] = scale[:, None] * axes, -scale * (axes @ middle)
    return projection
