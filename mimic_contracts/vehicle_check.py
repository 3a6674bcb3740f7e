"""What a vehicle file says between its lines: values that contradict each other, and what follows from all of them."""

import math
from collections.abc import Mapping

import numpy as np

from mimic_contracts.rig import CameraSpec, Mounting, Rig
from mimic_contracts.vehicle import VehicleSpec

STEEPEST_WHEEL_DEG = 50.0  # of front wheels that are steered
LOCK_TO_MIDDLE_DEG = 720.0  # of steering wheels: two turns to either side
SHORTEST_TIMEOUT_S = 0.1  # two commands at 20 Hz
AROUND_M, HIGHEST_M = 0.3, 4.5  # how far from the vehicle's outline a camera may be mounted
CALIBRATION_MPS = 5.0  # at 4 m/s calibration_node begins to look
OTHER_HEIGHT = 1.5  # times as high or as low as the rig's: a picture can be turned, but not lifted


def mistakes(vehicle: VehicleSpec, rig: Rig) -> list[str]:
    """What cannot be right, each with the keys, their values and the mend; rig: the vehicle's."""
    found = []
    if vehicle.wheelbase_m + vehicle.rear_overhang_m > vehicle.length_m:
        found.append(
            f"length_m: is {vehicle.length_m}, shorter than wheelbase_m {vehicle.wheelbase_m} and rear_overhang_m {vehicle.rear_overhang_m} together: "
            "measure all three along the vehicle, from bumper to bumper"
        )
    wheel_deg = _wheel_deg(vehicle)
    if vehicle.adapter == "ackermann" and wheel_deg > STEEPEST_WHEEL_DEG:
        found.append(
            f"limits.max_curvature_1pm: is {vehicle.limits.max_curvature_1pm}, which takes {wheel_deg:.0f}° at the front wheels: 1 over the radius of the "
            "tightest circle of the rear axle's middle, in m"
        )
    elif vehicle.steering_ratio > 1.0 and vehicle.steering_ratio * wheel_deg > LOCK_TO_MIDDLE_DEG:
        found.append(
            f"steering_ratio: is {vehicle.steering_ratio}, so that the steering wheel turns by {vehicle.steering_ratio * wheel_deg:.0f}° to "
            f"max_curvature_1pm {vehicle.limits.max_curvature_1pm}: angle of the steering wheel over angle of the road wheels"
        )
    if vehicle.command_timeout_s < SHORTEST_TIMEOUT_S:
        found.append(f"command_timeout_s: is {vehicle.command_timeout_s}, so that one late command stops the vehicle: at least {SHORTEST_TIMEOUT_S}")
    found += _weak_pedals(vehicle)
    seen = {camera.name: camera for camera in rig.cameras}
    strangers = [f"topics.{kind}.{name}" for kind in ("images", "camera_infos") for name in getattr(vehicle.topics, kind) if name not in seen]
    found += [f"{key}: rig '{rig.name}' has no such camera, it has {', '.join(seen)}" for key in strangers]
    for name, mounting in vehicle.cameras.items():
        if name not in seen:
            found.append(f"cameras.{name}: rig '{rig.name}' has no such camera, it has {', '.join(seen)}")
            continue
        found += [f"cameras.{name}.{what}" for what in _misplaced(mounting, vehicle) + _astray(mounting, seen[name])]
    return found


def notes(vehicle: VehicleSpec, rig: Rig) -> list[str]:
    """What may be right, and has consequences that are easily overlooked."""
    found = []
    for camera in rig.cameras:
        mounting = vehicle.cameras.get(camera.name)
        if mounting is None:
            found.append(f"cameras.{camera.name}: is not here: the mounting of all cameras must come from /tf_static")
        elif not 1.0 / OTHER_HEIGHT <= mounting.z_m / camera.mounting.z_m <= OTHER_HEIGHT:
            found.append(
                f"cameras.{camera.name}.z_m: is {mounting.z_m}, the rig's is {camera.mounting.z_m}: models of other vehicles see another world from there; "
                "learn from this vehicle's own drives"
            )
    if vehicle.calibration_required and vehicle.limits.max_speed_mps < CALIBRATION_MPS:
        found.append(
            f"calibration_required: is true, and limits.max_speed_mps {vehicle.limits.max_speed_mps} is below the {CALIBRATION_MPS} m/s at which somebody must "
            "drive it before it can be engaged: false, where it does not go so fast"
        )
    return found


def inferred(vehicle: VehicleSpec) -> Mapping[str, float]:
    """What follows from the values: to be compared with the vehicle that stands in front of you.

    turning_radius_m: of the rear axle's middle, at full lock; front_wheel_deg, steering_wheel_deg: there; full_lock_below_mps: the
    speed above which the lateral acceleration bounds the curvature; front_m: front bumper before the origin, the middle of the rear
    axle; stop_m, emergency_stop_m: from the maximum speed on, by the limits; silent_m: how far it goes from there in the
    time after which it brakes by itself when commands cease.
    """
    limits, wheel_deg = vehicle.limits, _wheel_deg(vehicle)
    return {
        "turning_radius_m": 1.0 / limits.max_curvature_1pm,
        "front_wheel_deg": wheel_deg,
        "steering_wheel_deg": vehicle.steering_ratio * wheel_deg,
        "full_lock_below_mps": min(math.sqrt(limits.max_lateral_acceleration_mps2 / limits.max_curvature_1pm), limits.max_speed_mps),
        "front_m": vehicle.length_m - vehicle.rear_overhang_m,
        "stop_m": stopping_m(limits.max_speed_mps, braking_mps2=-limits.min_acceleration_mps2, jerk_mps3=limits.max_jerk_mps3),
        "emergency_stop_m": stopping_m(
            limits.max_speed_mps, braking_mps2=-limits.min_emergency_acceleration_mps2, jerk_mps3=limits.max_emergency_jerk_mps3
        ),
        "silent_m": limits.max_speed_mps * vehicle.command_timeout_s,
    }  # fmt: skip


def stopping_m(speed_mps: float, *, braking_mps2: float, jerk_mps3: float) -> float:
    """Distance to standstill, when the brakes come on with a jerk up to braking_mps2."""
    ramp_s = min(braking_mps2 / jerk_mps3, math.sqrt(2.0 * speed_mps / jerk_mps3))  # it may stand before they are fully on
    left_mps = speed_mps - jerk_mps3 * ramp_s**2 / 2.0
    return speed_mps * ramp_s - jerk_mps3 * ramp_s**3 / 6.0 + left_mps**2 / (2.0 * braking_mps2)


def _wheel_deg(vehicle: VehicleSpec) -> float:
    return math.degrees(math.atan(vehicle.wheelbase_m * vehicle.limits.max_curvature_1pm))


def _weak_pedals(vehicle: VehicleSpec) -> list[str]:
    pedals, limits = vehicle.longitudinal, vehicle.limits
    if pedals is None:
        return []
    braking = pedals.brake_gain_mps2 * (1.0 - pedals.brake_dead_band) + pedals.rolling_mps2
    driving = pedals.throttle_gain_mps2 * (1.0 - pedals.throttle_dead_band)
    drag = pedals.drag_mps2(limits.max_speed_mps)
    found = []
    if braking < -limits.min_emergency_acceleration_mps2:
        found.append(
            f"limits.min_emergency_acceleration_mps2: is {limits.min_emergency_acceleration_mps2}, and the whole brake of longitudinal.brake_gain_mps2 "
            f"{pedals.brake_gain_mps2} gives {braking:.1f} m/s²: what the vehicle cannot do must not be planned with"
        )
    if driving < drag:
        found.append(
            f"longitudinal.throttle_gain_mps2: is {pedals.throttle_gain_mps2}, and at limits.max_speed_mps {limits.max_speed_mps} the drag is {drag:.2f} m/s²: "
            "it can't be that fast"
        )
    return found


def _misplaced(mounting: Mounting, vehicle: VehicleSpec) -> list[str]:
    ends = {
        "x_m": (-vehicle.rear_overhang_m - AROUND_M, vehicle.length_m - vehicle.rear_overhang_m + AROUND_M),
        "y_m": (-vehicle.width_m / 2.0 - AROUND_M, vehicle.width_m / 2.0 + AROUND_M),
        "z_m": (0.0, HIGHEST_M),
    }
    return [
        f"{key}: is {getattr(mounting, key)}, which is not on this vehicle ({low:.2f} to {high:.2f}): metres from the middle of the rear axle, on the ground, "
        "x forward, y left, z up"
        for key, (low, high) in ends.items()
        if not low <= getattr(mounting, key) <= high
    ]


def _astray(mounting: Mounting, camera: CameraSpec) -> list[str]:
    away_deg = math.degrees(math.acos(np.clip(mounting.rotation()[:, 0] @ camera.mounting.rotation()[:, 0], -1.0, 1.0)))
    half_deg = math.degrees(camera.horizontal_fov_rad) / 2.0
    if away_deg <= half_deg:
        return []
    return [
        f"yaw_deg: the camera looks {away_deg:.0f}° away from the rig's, which sees {half_deg:.0f}° to either side, so that most of its picture "
        "would be black: positive yaw is to the left, positive pitch down"
    ]
