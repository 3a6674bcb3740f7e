"""Pure image geometry: real lenses to canonical cameras, points to pixels, and the warps that training perturbs with.

Camera axes inside this file are optical: x right, y down, z forward. Pixel (u, v) has its centre at integers.
Sources: sensor_msgs/CameraInfo and OpenCV's calib3d and fisheye models, which define the distortion formulas.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_contracts.images import CameraInfo
from mimic_contracts.rig import CameraSpec, Mounting
from mimic_contracts.validation import check_integer

Array = NDArray[np.float64]
OPTICAL_FROM_BODY = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])  # REP-103: body x forward, y left, z up
NEAREST_M = 0.1


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The part of a source picture that stands for the rig's camera, for recordings without camera_info."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int

    def __post_init__(self) -> None:
        check_integer("crop.left_px", self.left_px, low=0)
        check_integer("crop.top_px", self.top_px, low=0)
        check_integer("crop.width_px", self.width_px, low=8)
        check_integer("crop.height_px", self.height_px, low=8)


def optical_from_vehicle(mounting: Mounting) -> Array:
    """(3, 3) rotation from the vehicle frame to the camera's optical axes."""
    return OPTICAL_FROM_BODY @ mounting.rotation().T


def project_points(camera: CameraSpec, points_m: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Points (N, 3) of the vehicle frame → pixels (N, 2) [u, v] of a canonical camera, and which lie before it (N,).

    Pixels of points behind the camera are not meaningful; pixels may lie outside the picture.
    """
    origin = np.array([camera.mounting.x_m, camera.mounting.y_m, camera.mounting.z_m])
    optical = (points_m - origin) @ optical_from_vehicle(camera.mounting).T
    in_front = optical[:, 2] > NEAREST_M
    depth = np.where(in_front, optical[:, 2], 1.0)
    pixels = optical @ camera.intrinsics().T
    return pixels[:, :2] / depth[:, None], in_front


def ground_points(camera: CameraSpec, pixels: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Pixels (N, 2) → points (N, 2) [x, y] on the flat ground z = 0 of the vehicle frame, and which meet it (N,).

    Points of rays that don't are not meaningful. Raises ContractError for a camera that is not above the ground.
    """
    _check_above_ground(camera)
    rays = _pixel_rays(camera.intrinsics(), pixels) @ optical_from_vehicle(camera.mounting)
    below = rays[:, 2] < -1e-6
    scale = np.where(below, camera.mounting.z_m / np.where(below, -rays[:, 2], 1.0), 0.0)
    return np.stack([camera.mounting.x_m + scale * rays[:, 0], camera.mounting.y_m + scale * rays[:, 1]], axis=1), below


def distort(normalised: Array, *, model: str, coefficients: Array) -> Array:
    """Undistorted normalised coordinates (N, 2) [x/z, y/z] → distorted ones, by a sensor_msgs distortion model.

    No coefficients: a pinhole. Zeros with "equidistant" are an ideal fisheye, not a pinhole.
    """
    if coefficients.size == 0:
        return normalised
    x, y = normalised[:, 0], normalised[:, 1]
    r2 = x * x + y * y
    bent = normalised * _radial_scale(r2, model=model, coefficients=coefficients)[:, None]
    if model == "equidistant":
        return bent
    _, _, p1, p2, *_, s1, s2, s3, s4, tilt_x, tilt_y = _padded(coefficients)
    bent[:, 0] += 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x) + s1 * r2 + s2 * r2 * r2
    bent[:, 1] += p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y + s3 * r2 + s4 * r2 * r2
    return bent if tilt_x == tilt_y == 0.0 else _tilt(bent, tilt_x, tilt_y)


def widest_radius(*, model: str, coefficients: Array) -> float:
    """The undistorted radius beyond which a lens model folds back on itself (a polynomial, fitted only to what was seen).

    A ray further out would be drawn inside the picture, on top of what belongs there. Infinite where nothing folds.
    """
    if coefficients.size == 0:
        return np.inf
    radii = np.tan(np.linspace(0.0, np.radians(89.9), 4000))
    grows = np.diff(radii * _radial_scale(radii**2, model=model, coefficients=coefficients)) > 0.0
    return np.inf if grows.all() else float(radii[np.argmin(grows)])


def remap_table(camera: CameraSpec, info: CameraInfo, mounting: Mounting) -> Array:
    """For each pixel of the canonical camera, where it is in the real camera's picture: (H, W, 2) [u, v] pixels.

    Orientation and lens are exact. A difference of position is ignored (as if all were far away), because undoing it
    needs the depth of the scene: 0.3 m of height shift the ground 10 m ahead by 1.7°. Mount the camera within a few
    decimetres of the rig's, or train on data from there. What the real camera doesn't see gets -1, which remaps to black.
    """
    v, u = np.mgrid[0 : camera.height_px, 0 : camera.width_px].astype(np.float64)
    rays = _pixel_rays(camera.intrinsics(), np.stack([u.ravel(), v.ravel()], axis=1))
    to_real = optical_from_vehicle(mounting) @ optical_from_vehicle(camera.mounting).T
    if not np.allclose(to_real, np.eye(3), atol=1e-12):
        rays = rays @ to_real.T
    is_seen = rays[:, 2] > 1e-3
    normalised = rays[:, :2] / np.where(is_seen, rays[:, 2], 1.0)[:, None]
    is_seen &= np.hypot(normalised[:, 0], normalised[:, 1]) <= widest_radius(model=info.distortion_model, coefficients=info.d)
    bent = distort(np.where(is_seen[:, None], normalised, 0.0), model=info.distortion_model, coefficients=info.d)
    source = bent @ info.k[:2, :2].T + info.k[:2, 2]
    last = np.array([info.width_px - 1, info.height_px - 1])
    is_seen &= ((source >= -0.5) & (source <= last + 0.5)).all(axis=1)
    return np.where(is_seen[:, None], np.clip(source, 0.0, last), -1.0).reshape(camera.height_px, camera.width_px, 2)


def crop_table(camera: CameraSpec, crop: Crop) -> Array:
    """The same for a declared crop that is stretched to the canonical picture: (H, W, 2) [u, v] pixels."""
    u = crop.left_px - 0.5 + (np.arange(camera.width_px) + 0.5) * crop.width_px / camera.width_px
    v = crop.top_px - 0.5 + (np.arange(camera.height_px) + 0.5) * crop.height_px / camera.height_px
    u, v = np.clip(u, crop.left_px, crop.left_px + crop.width_px - 1), np.clip(v, crop.top_px, crop.top_px + crop.height_px - 1)
    return np.stack(np.meshgrid(u, v), axis=-1)


def rotation_homography(camera: CameraSpec, *, yaw_rad: float, pitch_rad: float = 0.0) -> Array:
    """(3, 3): pixel of the picture after the vehicle turned by these angles (left, down) → pixel of the picture before.

    Exact for any scene when the vehicle turns about the camera, so that only the direction of view changes.
    Use it as the inverse map of a warp (cv2.warpPerspective with cv2.WARP_INVERSE_MAP).
    """
    m = camera.mounting
    turned = Mounting(x_m=m.x_m, y_m=m.y_m, z_m=m.z_m, yaw_rad=yaw_rad, pitch_rad=pitch_rad).rotation()
    optical = optical_from_vehicle(m)
    k = camera.intrinsics()
    return k @ optical @ turned @ optical.T @ np.linalg.inv(k)


def lateral_shift_homography(camera: CameraSpec, *, lateral_m: float) -> Array:
    """(3, 3): pixel of the picture after the vehicle moved this far to the left → pixel of the picture before.

    Exact for the flat ground, z = 0 of the vehicle frame; what stands on it is sheared, and what is above the horizon
    moves the wrong way, as far as the ground equally far below it: hardly, where things are far. Use it as the inverse
    map of a warp. Source: plane-induced homography, H = K (R - t nᵀ/d) K⁻¹.
    """
    _check_above_ground(camera)
    optical = optical_from_vehicle(camera.mounting)
    up, left = optical @ np.array([0.0, 0.0, 1.0]), optical @ np.array([0.0, 1.0, 0.0])
    k = camera.intrinsics()
    # A ground point X (camera height z below: upᵀX = -z) seen from the shifted camera lies at X + left·lateral before.
    return k @ (np.eye(3) - np.outer(left * lateral_m, up) / camera.mounting.z_m) @ np.linalg.inv(k)


def _pixel_rays(k: Array, pixels: Array) -> Array:
    """(N, 3) rays with z = 1 in optical axes."""
    v = (pixels[:, 1] - k[1, 2]) / k[1, 1]
    u = (pixels[:, 0] - k[0, 2] - k[0, 1] * v) / k[0, 0]
    return np.stack([u, v, np.ones(len(pixels))], axis=1)


def _check_above_ground(camera: CameraSpec) -> None:
    if camera.mounting.z_m <= 0.0:
        raise ContractError(f"camera '{camera.name}': z_m is {camera.mounting.z_m}, must be above the ground (0 m) for ground geometry")


def _padded(coefficients: Array) -> Array:
    """(14,): k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 τx τy, zero where not given."""
    return np.concatenate([coefficients, np.zeros(14 - len(coefficients))])


def _radial_scale(r2: Array, *, model: str, coefficients: Array) -> Array:
    """(N,) distorted radius / undistorted radius, from the squared undistorted radius (N,)."""
    if model == "equidistant":
        k1, k2, k3, k4 = coefficients
        r = np.maximum(np.sqrt(r2), 1e-9)
        theta = np.arctan(r)
        t2 = theta * theta
        return theta * (1.0 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) / r
    k1, k2, _, _, k3, k4, k5, k6 = _padded(coefficients)[:8]
    return (1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1.0 + r2 * (k4 + r2 * (k5 + r2 * k6)))


def _tilt(bent: Array, tilt_x: float, tilt_y: float) -> Array:
    """Distorted coordinates (N, 2) on a sensor that is tilted against the lens (Scheimpflug)."""
    cx, sx, cy, sy = np.cos(tilt_x), np.sin(tilt_x), np.cos(tilt_y), np.sin(tilt_y)
    turned = np.array([[cy, 0.0, -sy], [0.0, 1.0, 0.0], [sy, 0.0, cy]]) @ np.array([[1.0, 0.0, 0.0], [0.0, cx, sx], [0.0, -sx, cx]])
    onto_sensor = np.array([[turned[2, 2], 0.0, -turned[0, 2]], [0.0, turned[2, 2], -turned[1, 2]], [0.0, 0.0, 1.0]]) @ turned
    homogeneous = np.column_stack([bent, np.ones(len(bent))]) @ onto_sensor.T
    return homogeneous[:, :2] / homogeneous[:, 2:]
