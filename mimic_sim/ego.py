"""The simulated car: it follows speed and curvature with the lags of real actuators, and brakes when nobody commands it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import wrap_angle
from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface.kinematics import advance_pose, curvature_of_road_wheel, road_wheel_angle

SUBSTEP_S = 0.01
SPEED_LAG_S = 0.3  # time constant of a drive-by-wire car's speed controller
STEERING_LAG_S = 0.15
MAX_STEERING_RATE_RADPS = 0.6  # of the road wheels: 9 rad/s at the steering wheel with a ratio of 15
MAX_ACCELERATION_MPS2 = 3.0
MAX_BRAKING_MPS2 = 8.0
SELF_BRAKING_MPS2 = 3.0  # what the car does by itself when commands cease
MIN_SPEED_FOR_YAW_RATE_MPS = 0.1  # below it a yaw rate says nothing about the wheels, which are then held


@dataclass(frozen=True, kw_only=True)
class EgoMotion:
    """State of the car at the middle of the rear axle, in the world frame; curvature is that of the wheels now."""

    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float = 0.0
    acceleration_mps2: float = 0.0
    curvature_1pm: float = 0.0

    @property
    def pose(self) -> NDArray[np.float64]:
        """(3,) float64 [x_m, y_m, yaw_rad]."""
        return np.array([self.x_m, self.y_m, self.yaw_rad])

    @property
    def yaw_rate_radps(self) -> float:
        """Turning speed, positive to the left."""
        return self.speed_mps * self.curvature_1pm


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What disturbs the car during one tick: sideways speed, additional yaw rate (a gust, a sloping road)."""

    left_mps: float = 0.0
    yaw_rate_radps: float = 0.0


CALM = Drift()


@dataclass(frozen=True, kw_only=True)
class Control:
    """What the car is told: speed, and the curvature that a twist asks for (None: hold the wheels)."""

    speed_mps: float
    curvature_1pm: float | None

    @classmethod
    def from_twist(cls, *, speed_mps: float, yaw_rate_radps: float) -> "Control":
        """Curvature is yaw rate over speed, where there is speed; the car does not reverse."""
        is_moving = speed_mps > MIN_SPEED_FOR_YAW_RATE_MPS
        return cls(speed_mps=max(speed_mps, 0.0), curvature_1pm=yaw_rate_radps / speed_mps if is_moving else None)


def step(ego: EgoMotion, vehicle: VehicleSpec, control: Control | None, *, duration_s: float, drift: Drift = CALM) -> EgoMotion:
    """The car after duration_s under one control; None: no command for too long, so the car brakes by itself.

    Kinematic bicycle at the rear axle in substeps of SUBSTEP_S; speed and steering follow with first-order lags,
    both limited in rate.
    """
    for _ in range(round(duration_s / SUBSTEP_S)):
        ego = _substep(ego, vehicle, control, drift)
    return ego


def _substep(ego: EgoMotion, vehicle: VehicleSpec, control: Control | None, drift: Drift) -> EgoMotion:
    wanted_mps2 = -SELF_BRAKING_MPS2 if control is None else (control.speed_mps - ego.speed_mps) / SPEED_LAG_S
    acceleration = min(max(wanted_mps2, -MAX_BRAKING_MPS2), MAX_ACCELERATION_MPS2)
    speed = max(ego.speed_mps + acceleration * SUBSTEP_S, 0.0)
    curvature = ego.curvature_1pm if control is None or control.curvature_1pm is None else _steered(ego.curvature_1pm, control.curvature_1pm, vehicle)
    pose = advance_pose(ego.pose, distance_m=(ego.speed_mps + speed) / 2.0 * SUBSTEP_S, curvature_1pm=(ego.curvature_1pm + curvature) / 2.0)
    slip_m = drift.left_mps * SUBSTEP_S
    return EgoMotion(
        x_m=float(pose[0] - slip_m * np.sin(pose[2])),
        y_m=float(pose[1] + slip_m * np.cos(pose[2])),
        yaw_rad=float(wrap_angle(pose[2] + drift.yaw_rate_radps * SUBSTEP_S)),
        speed_mps=speed,
        acceleration_mps2=(speed - ego.speed_mps) / SUBSTEP_S,
        curvature_1pm=curvature,
    )


def _steered(curvature_1pm: float, wanted_1pm: float, vehicle: VehicleSpec) -> float:
    """The curvature after one substep of the steering actuator."""
    limit = vehicle.limits.max_curvature_1pm
    angle = road_wheel_angle(curvature_1pm, wheelbase_m=vehicle.wheelbase_m)
    target = road_wheel_angle(min(max(wanted_1pm, -limit), limit), wheelbase_m=vehicle.wheelbase_m)
    rate = min(max((target - angle) / STEERING_LAG_S, -MAX_STEERING_RATE_RADPS), MAX_STEERING_RATE_RADPS)
    return curvature_of_road_wheel(angle + rate * SUBSTEP_S, wheelbase_m=vehicle.wheelbase_m)
