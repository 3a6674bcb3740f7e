"""Other light, other lenses, and the vehicle where the driver was not: what training pictures are varied by."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from e2e_planner.recipe import Augmentation
from mimic_contracts.action_spec import CAR, STEERING_ONLY, ActionSpec
from mimic_contracts.image_geometry import lateral_shift_homography, rotation_homography
from mimic_contracts.motion import to_frame
from mimic_contracts.rig import CameraSpec

Array = NDArray[np.float64]
STEERING_WHEELBASE_M = 2.85
STEERING_RATIO = 15.0  # steering wheel / road wheel, of a passenger car


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """How one sample is varied: where the vehicle stands (left positive), mirrored or not."""

    yaw_rad: float
    lateral_m: float
    is_mirrored: bool

    @classmethod
    def draw(cls, settings: Augmentation, rng: np.random.Generator) -> "Perturbation":
        """One at random: perturbed in a share of the samples."""
        yaw, lateral, share, mirror = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(), rng.uniform()
        strength = 1.0 if share < settings.perturbed_share else 0.0
        is_mirrored = settings.mirror and mirror < 0.5
        return cls(yaw_rad=strength * yaw * settings.yaw_rad, lateral_m=strength * lateral * settings.lateral_m, is_mirrored=is_mirrored)


def perturb_target(values: Array, perturbation: Perturbation, settings: Augmentation, spec: ActionSpec) -> Array:
    """The target (T, C) from where the perturbation puts the vehicle: it returns to the driver's line.

    The offset from the line follows a cubic Hermite curve over the distance driven, from the perturbed offset and
    heading to none; the curvature gains its second derivative.
    """
    values = values.copy()
    if perturbation.yaw_rad or perturbation.lateral_m:
        if spec is CAR:
            values = _return_to_line(values, perturbation, settings)
        elif spec is STEERING_ONLY:
            curvature = float(_hermite(np.zeros(1), perturbation.lateral_m, perturbation.yaw_rad, settings.return_m)[2][0])
            values[:, 0] += curvature * STEERING_WHEELBASE_M * STEERING_RATIO
    if perturbation.is_mirrored:
        for name in ("y_m", "yaw_rad", "curvature_1pm", "steering_wheel_rad"):
            if name in spec.channels:
                values[:, spec.index(name)] *= -1.0
    return values


def _return_to_line(values: Array, perturbation: Perturbation, settings: Augmentation) -> Array:
    columns = [CAR.index(name) for name in ("x_m", "y_m", "yaw_rad")]
    speed, kappa = CAR.index("speed_mps"), CAR.index("curvature_1pm")
    line = values[:, columns]
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line[:, :2], axis=0).T))])
    length_m = max(settings.return_m, settings.return_s * float(values[0, speed]))
    offset, slope, bend = _hermite(arc, perturbation.lateral_m, perturbation.yaw_rad, length_m)
    returned = line.copy()
    returned[:, 0] -= np.sin(line[:, 2]) * offset
    returned[:, 1] += np.cos(line[:, 2]) * offset
    returned[:, 2] += np.arctan(slope)
    values[:, columns] = to_frame(returned, returned[0])
    values[:, kappa] += bend
    return values


def _hermite(arc_m: Array, offset: float, slope: float, length_m: float) -> tuple[Array, Array, Array]:
    """Cubic from (offset, slope) at 0 to (0, 0) at length_m, zero beyond: value, first and second derivative at arc_m."""
    u = np.clip(arc_m / length_m, 0.0, 1.0)
    m = slope * length_m
    value = offset * (2 * u**3 - 3 * u**2 + 1) + m * (u**3 - 2 * u**2 + u)
    first = (offset * (6 * u**2 - 6 * u) + m * (3 * u**2 - 4 * u + 1)) / length_m
    second = np.where(u < 1.0, (offset * (12 * u - 6) + m * (6 * u - 4)) / length_m**2, 0.0)
    return value, first, second


def perturb_pictures(
    pictures: list[NDArray[np.uint8]], camera: CameraSpec, perturbation: Perturbation, settings: Augmentation, rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """The pictures (H, W, 3) of one camera at several times, all varied alike."""
    if perturbation.yaw_rad or perturbation.lateral_m:
        # The vehicle turns about its rear axle, which swings a camera at the windscreen to the side.
        swing_m = camera.mounting.x_m * np.sin(perturbation.yaw_rad)
        shift = lateral_shift_homography(camera, lateral_m=perturbation.lateral_m + swing_m)
        turn = rotation_homography(camera, yaw_rad=perturbation.yaw_rad)
        matrix = (shift @ turn).astype(np.float64)
        size = (camera.width_px, camera.height_px)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        pictures = [cv2.warpPerspective(p, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) for p in pictures]
    if perturbation.is_mirrored:
        pictures = [np.ascontiguousarray(p[:, ::-1]) for p in pictures]
    gain = 1.0 + rng.uniform(-settings.contrast, settings.contrast) + rng.uniform(-settings.colour, settings.colour, 3)
    bias = 128.0 * rng.uniform(-settings.brightness, settings.brightness) + 128.0 * (1.0 - gain)
    table = np.clip(np.arange(256)[:, None] * gain + bias, 0, 255).astype(np.uint8)[None]  # one table a colour
    pictures = [cv2.LUT(p, table) for p in pictures]
    blur_px = rng.uniform(0.0, settings.blur_px) if settings.blur_px else 0.0
    if blur_px > 0.3:
        pictures = [cv2.GaussianBlur(p, (0, 0), blur_px) for p in pictures]
    if settings.noise:
        # One field of noise for all times costs half as much, rolled so that it does not stand still.
        field = rng.integers(-128, 128, pictures[0].shape, dtype=np.int8).astype(np.int16) * rng.uniform(0.0, settings.noise) / 74.0
        pictures = [np.clip(p + np.roll(field, 17 * i, axis=1), 0, 255).astype(np.uint8) for i, p in enumerate(pictures)]
    return pictures
