"""What a vehicle is told in its own terms."""

from dataclasses import dataclass

from mimic_contracts.plan import Command
from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface.kinematics import road_wheel_angle


@dataclass(frozen=True, kw_only=True)
class Twist2D:
    """Speed along x and yaw rate, positive to the left."""

    speed_mps: float
    yaw_rate_radps: float


@dataclass(frozen=True, kw_only=True)
class Ackermann:
    """Speed along x, and the angle of the (virtual, middle) front wheel, positive to the left."""

    speed_mps: float
    steering_angle_rad: float


def twist_from_command(command: Command) -> Twist2D:
    """Target speed, and the yaw rate of the commanded curvature at that speed: ω = v·κ."""
    return Twist2D(speed_mps=command.target_speed_mps, yaw_rate_radps=command.target_speed_mps * command.curvature_1pm)


def ackermann_from_command(command: Command, vehicle: VehicleSpec) -> Ackermann:
    """Target speed, and the wheel's angle for the commanded curvature."""
    angle_rad = steering_wheel_from_command(command, vehicle) / vehicle.steering_ratio
    return Ackermann(speed_mps=command.target_speed_mps, steering_angle_rad=angle_rad)


def steering_wheel_from_command(command: Command, vehicle: VehicleSpec) -> float:
    """Angle of the steering wheel in rad for the commanded curvature, positive to the left, from where it stands when not turned."""
    return vehicle.steering_ratio * road_wheel_angle(command.curvature_1pm, wheelbase_m=vehicle.wheelbase_m) + vehicle.steering_offset_rad
