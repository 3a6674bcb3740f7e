"""What the driver did after a frame: the targets of training and the truth of scoring."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bag_tools.clip_store import ClipFrames
from mimic_contracts.action_spec import CAR, STEERING_ONLY, ActionSpec
from mimic_contracts.errors import MimicError
from mimic_contracts.motion import wrap_angle

MIN_CURVATURE_SPEED_MPS = 1.0  # below it, yaw rate / speed is noise (as EgoState.from_motion)
ACCELERATION_SPAN_S = 0.2  # a(t) = (v(t + span) − v(t − span)) / 2 span: noise of single samples is not driving


def human_future(frames: ClipFrames, index: int, spec: ActionSpec) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What the driver did after frame `index`, in the vehicle frame there: see frame_targets.

    Returns values (T, C) float64 in the spec's channels and units, zero where unknown, and (T,) bool: known.
    """
    values, known = _targets(frames, np.array([index]), spec)
    return values[0], known[0]


def frame_targets(frames: ClipFrames, spec: ActionSpec) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What the driver did after every frame of a clip: values (N, T, C) float64, zero where unknown, and (N, T) bool: known.

    `car`: the expert's own plan where it was recorded; else the logged future, interpolated between frames and ending
    with the clip. `steering_only`: the steering wheel angle at the frame. Raises MimicError on another spec.
    """
    return _targets(frames, np.arange(len(frames)), spec)


def _targets(frames: ClipFrames, index: NDArray[np.int64], spec: ActionSpec) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if spec.name == STEERING_ONLY.name:
        values = frames.steering_wheel_rad[index].reshape(-1, 1, 1)
    elif spec.name == CAR.name:
        plans = frames.expert_plan[index]
        values = plans if not np.isnan(plans).any() else np.where(np.isnan(plans), _logged_future(frames, index, spec), plans)
    else:
        raise MimicError(f"action spec: '{spec.name}' has no targets in recordings of cars; it must be {CAR.name} or {STEERING_ONLY.name}")
    known = np.asarray(np.isfinite(values).all(axis=2))
    return np.where(known[:, :, None], values, 0.0), known


def _logged_future(frames: ClipFrames, index: NDArray[np.int64], spec: ActionSpec) -> NDArray[np.float64]:
    """(M, T, C) of `car`; NaN after the end of the clip and where pose or speed is missing."""
    seconds = (frames.stamp_ns - frames.stamp_ns[0]) / 1e9
    pose, speed = driven_poses(frames, seconds), _speeds(frames, seconds)
    times = seconds[index][:, None] + spec.times_s
    at = _Interpolation.of(seconds, times)
    heading = pose[index, 2][:, None]
    dx, dy = at.linear(pose[:, 0]) - pose[index, 0][:, None], at.linear(pose[:, 1]) - pose[index, 1][:, None]
    channels = {
        "x_m": np.cos(heading) * dx + np.sin(heading) * dy,
        "y_m": -np.sin(heading) * dx + np.cos(heading) * dy,
        "yaw_rad": wrap_angle(at.angular(pose[:, 2]) - heading),
        "speed_mps": at.linear(speed),
        "acceleration_mps2": at.linear(_accelerations(frames, seconds, speed)),
        "curvature_1pm": at.linear(_curvatures(frames, seconds, pose, speed)),
    }
    return np.stack([channels[name] for name in spec.channels], axis=2)


def driven_poses(frames: ClipFrames, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3): as recorded, else dead reckoning from speed and yaw rate (trapezoidal, midpoint heading)."""
    if not np.isnan(frames.pose).all():
        return frames.pose
    yaw_rate = np.where(np.isnan(frames.yaw_rate_radps), frames.speed_mps * frames.curvature_1pm, frames.yaw_rate_radps)
    step_s = np.diff(seconds)
    yaw = np.concatenate([[0.0], np.cumsum(step_s * (yaw_rate[1:] + yaw_rate[:-1]) / 2.0)])
    middle, distance = (yaw[1:] + yaw[:-1]) / 2.0, step_s * (frames.speed_mps[1:] + frames.speed_mps[:-1]) / 2.0
    x = np.concatenate([[0.0], np.cumsum(distance * np.cos(middle))])
    y = np.concatenate([[0.0], np.cumsum(distance * np.sin(middle))])
    return np.stack([x, y, yaw], axis=1)


def _speeds(frames: ClipFrames, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,): as recorded, else the pose's velocity along its heading."""
    if not np.isnan(frames.speed_mps).all() or len(frames) < 2:
        return frames.speed_mps
    velocity = np.gradient(frames.pose[:, :2], seconds, axis=0)
    return velocity[:, 0] * np.cos(frames.pose[:, 2]) + velocity[:, 1] * np.sin(frames.pose[:, 2])


def _accelerations(frames: ClipFrames, seconds: NDArray[np.float64], speed: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,): as recorded, else the slope of the speed over ± ACCELERATION_SPAN_S, one-sided at the clip's ends."""
    if not np.isnan(frames.acceleration_mps2).all() or len(frames) < 2:
        return frames.acceleration_mps2
    before, after = np.maximum(seconds - ACCELERATION_SPAN_S, seconds[0]), np.minimum(seconds + ACCELERATION_SPAN_S, seconds[-1])
    return (_Interpolation.of(seconds, after).linear(speed) - _Interpolation.of(seconds, before).linear(speed)) / (after - before)


def _curvatures(frames: ClipFrames, seconds: NDArray[np.float64], pose: NDArray[np.float64], speed: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,): as recorded, else yaw rate / speed; carried over the moments slower than MIN_CURVATURE_SPEED_MPS."""
    if not np.isnan(frames.curvature_1pm).all() or len(frames) < 2:
        return frames.curvature_1pm
    yaw_rate = frames.yaw_rate_radps
    if np.isnan(yaw_rate).all():
        yaw_rate = np.gradient(np.unwrap(pose[:, 2]), seconds)
    is_moving = np.abs(speed) > MIN_CURVATURE_SPEED_MPS
    curvature = yaw_rate / np.where(is_moving, speed, 1.0)
    usable = is_moving & np.isfinite(curvature)
    carried = np.interp(seconds, seconds[usable], curvature[usable]) if usable.any() else np.zeros(len(frames))
    return np.where(is_moving, curvature, np.where(np.isnan(speed), np.nan, carried))


@dataclass(frozen=True, eq=False)
class _Interpolation:
    """Where in a series (N,) the queried times fall: left neighbour and weight of the right one, NaN outside."""

    left: NDArray[np.int64]
    weight: NDArray[np.float64]

    @classmethod
    def of(cls, seconds: NDArray[np.float64], times: NDArray[np.float64]) -> "_Interpolation":
        left = np.clip(np.searchsorted(seconds, times + 1e-9, side="right") - 1, 0, max(len(seconds) - 2, 0))
        right = np.minimum(left + 1, len(seconds) - 1)
        weight = (times - seconds[left]) / np.maximum(seconds[right] - seconds[left], 1e-9)
        weight = np.where(np.abs(weight) < 1e-6, 0.0, np.where(np.abs(weight - 1.0) < 1e-6, 1.0, weight))
        return cls(left, np.where((weight < 0.0) | (weight > 1.0), np.nan, weight))

    def linear(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolated; NaN where a neighbour that counts is NaN."""
        return self._blend(values, values[np.minimum(self.left + 1, len(values) - 1)] - values[self.left])

    def angular(self, angles_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Interpolated along the shorter way round."""
        return self._blend(angles_rad, wrap_angle(angles_rad[np.minimum(self.left + 1, len(angles_rad) - 1)] - angles_rad[self.left]))

    def _blend(self, values: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
        right = values[np.minimum(self.left + 1, len(values) - 1)]
        blended = values[self.left] + self.weight * step
        return np.where(self.weight == 0.0, values[self.left], np.where(self.weight == 1.0, right, blended))
