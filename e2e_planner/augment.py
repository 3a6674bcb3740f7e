"""Other light, other lenses, and the vehicle where the driver was not: what training pictures are varied by."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from e2e_planner.recipe import Augmentation
from e2e_planner.standing import STANDING_MPS
from mimic_contracts.action_spec import CAR, STEERING_ONLY, ActionSpec
from mimic_contracts.image_geometry import lateral_shift_homography, rotation_homography
from mimic_contracts.motion import to_frame
from mimic_contracts.rig import CameraSpec

Array = NDArray[np.float64]
STEERING_WHEELBASE_M = 2.85
STEERING_RATIO = 15.0  # steering wheel / road wheel, of a passenger car
SPEED_GROWTH = 0.15  # 1/(m/s): how much more than a slow vehicle's speed a fast one's is varied
BACK_S = 0.7  # in which it is back at the driver's speed,
HARDEST_MPS2, STRONGEST_MPS2 = -4.5, 2.5  # braking or accelerating by no more than this
STEPS = 2  # between two of the target's times


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """How one sample is varied: where the vehicle stands (left positive), mirrored or not."""

    yaw_rad: float
    lateral_m: float
    is_mirrored: bool

    @property
    def pose(self) -> Array:
        """(3,) [x_m, y_m, yaw_rad] of the vehicle in the frame of where the driver was, before it is mirrored."""
        return np.array([0.0, self.lateral_m, np.arctan(self.yaw_rad)])

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


def perturb_speed(values: Array, settings: Augmentation, rng: np.random.Generator) -> tuple[Array, float]:
    """The target (T, C) of a car, and how much faster it is than the driver was, m/s: in some samples another speed, from which it
    comes back to what the driver drove at each place; in the others 0. A vehicle that stands is left standing.

    Who has learned from drivers alone has never seen how to stop at a line for which it is too fast.
    """
    share, drawn = rng.uniform(), rng.normal()
    speed_mps = float(values[0, CAR.index("speed_mps")])
    if share >= settings.speed_share or speed_mps <= STANDING_MPS:
        return values, 0.0
    other_mps = max(speed_mps + settings.speed_mps * (1.0 + SPEED_GROWTH * speed_mps) * drawn, 1.1 * STANDING_MPS)
    return at_other_speed(values, other_mps), other_mps - speed_mps


def at_other_speed(values: Array, speed_mps: float) -> Array:
    """The target (T, C) of a car that moves, if it did speed_mps now. Where the driver stops it stops, and stays."""
    x, y, yaw, speed, acceleration, curvature = (CAR.index(n) for n in ("x_m", "y_m", "yaw_rad", "speed_mps", "acceleration_mps2", "curvature_1pm"))
    times_s, was_mps = CAR.times_s, values[:, speed]
    arc_m = np.concatenate([[0.0], np.cumsum((was_mps[1:] + was_mps[:-1]) / 2.0 * np.diff(times_s))])
    stops = np.flatnonzero(was_mps < STANDING_MPS)
    end = int(stops[0]) + 1 if len(stops) else len(values)
    wanted_mps, places_m = was_mps[:end].copy(), arc_m[:end]
    if len(stops):
        wanted_mps[-1] = 0.0
    slope_mps2 = np.append(np.diff(wanted_mps) / np.diff(times_s[:end]), 0.0)
    gone_m, now_mps, gone, speeds = 0.0, speed_mps, [0.0], [speed_mps]
    for step_s in np.diff(times_s) / STEPS:
        for _ in range(STEPS):
            ahead_mps2 = float(np.interp(gone_m, places_m, slope_mps2)) + (float(np.interp(gone_m, places_m, wanted_mps)) - now_mps) / BACK_S
            before_mps, now_mps = now_mps, max(now_mps + step_s * min(max(ahead_mps2, HARDEST_MPS2), STRONGEST_MPS2), 0.0)
            gone_m += (before_mps + now_mps) / 2.0 * step_s
        gone.append(gone_m)
        speeds.append(now_mps)
    result, moves = values.copy(), np.append(True, np.diff(arc_m) > 1e-6)
    for channel in (x, y, yaw, curvature):
        result[:, channel] = np.interp(gone, arc_m[moves], values[moves, channel])
    beyond_m = np.maximum(np.array(gone) - arc_m[-1], 0.0)  # straight on
    result[:, x] += beyond_m * np.cos(values[-1, yaw])
    result[:, y] += beyond_m * np.sin(values[-1, yaw])
    result[:, speed], result[:, acceleration] = speeds, np.gradient(np.array(speeds), times_s)
    return result


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
