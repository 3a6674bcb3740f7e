"""What a learned planner is compared with: planners without eyes (METRICS, 'Beside every learned figure')."""

from collections import deque

import numpy as np

from mimic_contracts.action_spec import CAR, STEERING_ONLY
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from vehicle_interface.kinematics import advance_pose

HOLD_DELAY_S = 1.0


class ConstantVelocity:
    """`car`: speed and yaw rate stay as they are (CTRV). Needs speed; an unknown yaw rate counts as zero."""

    spec = CAR
    rig_name: str | None = None

    def reset(self) -> None:
        """Nothing is kept."""

    def plan(self, observation: Observation) -> Plan:
        """An arc at constant speed; raises MimicError without a speed."""
        return _arc(observation, acceleration_mps2=0.0, model_id="constant_velocity")


class HoldLast:
    """`car`: acceleration and curvature stay as they are, until standstill. Where no acceleration is recorded it is the
    slope between the last two speeds; zero at the first."""

    spec = CAR
    rig_name: str | None = None

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last speed."""
        self._last: tuple[int, float] | None = None

    def plan(self, observation: Observation) -> Plan:
        """An arc at constant acceleration; raises MimicError without a speed."""
        acceleration, speed = observation.ego.acceleration_mps2, observation.ego.speed_mps
        if acceleration is None and speed is not None and self._last is not None and observation.stamp_ns > self._last[0]:
            acceleration = (speed - self._last[1]) / ((observation.stamp_ns - self._last[0]) / 1e9)
        if speed is not None:
            self._last = (observation.stamp_ns, speed)
        return _arc(observation, acceleration_mps2=acceleration or 0.0, model_id="hold_last")


class HoldSteering:
    """`steering_only`: the steering wheel angle of HOLD_DELAY_S ago, or the oldest since reset."""

    spec = STEERING_ONLY
    rig_name: str | None = None

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the angles."""
        self._angles: deque[tuple[int, float]] = deque()

    def plan(self, observation: Observation) -> Plan:
        """One angle; raises MimicError when none was recorded."""
        angle = observation.ego.steering_wheel_rad
        if angle is None:
            raise MimicError("hold_last: the observation has no steering_wheel_rad: map it in the topic map")
        self._angles.append((observation.stamp_ns, angle))
        while len(self._angles) > 1 and observation.stamp_ns - self._angles[1][0] >= HOLD_DELAY_S * 1e9:
            self._angles.popleft()
        return _angle(observation, self._angles[0][1], "hold_last")


class ConstantSteering:
    """`steering_only`: always the same angle: zero, or the training mean, which is the twin of an image-only model."""

    spec = STEERING_ONLY
    rig_name: str | None = None

    def __init__(self, angle_rad: float = 0.0) -> None:
        self._angle_rad = angle_rad

    def reset(self) -> None:
        """Nothing is kept."""

    def plan(self, observation: Observation) -> Plan:
        """The angle."""
        return _angle(observation, self._angle_rad, "constant_steering")


def _angle(observation: Observation, angle_rad: float, model_id: str) -> Plan:
    return Plan.single(stamp_ns=observation.stamp_ns, spec=STEERING_ONLY, values=np.array([[angle_rad]]), model_id=model_id)


def _arc(observation: Observation, *, acceleration_mps2: float, model_id: str) -> Plan:
    ego = observation.ego
    if ego.speed_mps is None:
        raise MimicError(f"{model_id}: the observation has no speed: map odometry in the topic map")
    speed0 = max(ego.speed_mps, 0.0)
    curvature = (ego.yaw_rate_radps or 0.0) / speed0 if speed0 > 1.0 else 0.0
    times = CAR.times_s
    # Braking ends at standstill, never in reverse.
    moving_s = np.minimum(times, speed0 / -acceleration_mps2) if acceleration_mps2 < 0 else times
    speed = speed0 + acceleration_mps2 * moving_s
    distance = speed0 * moving_s + acceleration_mps2 * moving_s**2 / 2.0
    poses = np.array([advance_pose(np.zeros(3), distance_m=float(d), curvature_1pm=curvature) for d in distance])
    acceleration = np.where(moving_s < times, 0.0, acceleration_mps2)
    values = np.column_stack([poses, speed, acceleration, np.full(len(times), curvature)])
    return Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=values, model_id=model_id)
