"""The messages in which vehicles take commands, and say who has them, by the adapter that a vehicle file names.

Source of Autoware's: the definitions and documentation of autoware_control_msgs and autoware_vehicle_msgs.
"""

from importlib import import_module
from typing import Any

from rclpy.qos import QoSProfile

from mimic_contracts.errors import MimicError
from mimic_contracts.plan import Command
from mimic_contracts.ros_conversions import BASE_FRAME, ns_to_stamp, twist_stamped_message
from mimic_contracts.ros_lifecycle import LATCHED_QOS, RELIABLE_QOS, SENSOR_QOS
from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface.adapters import ackermann_from_command, steering_wheel_from_command, twist_from_command
from vehicle_interface.kinematics import road_wheel_angle
from vehicle_interface.longitudinal import Pedals
from vehicle_interface.plan_tracker import STANDSTILL_MPS

MESSAGES = {
    "twist": ("geometry_msgs", "Twist"),
    "twist_stamped": ("geometry_msgs", "TwistStamped"),
    "ackermann": ("ackermann_msgs", "AckermannDriveStamped"),
    "throttle_brake": ("sensor_msgs", "JointState"),  # ROS has no message for pedals; this one has a stamp and names, and every machine has it
    "autoware": ("autoware_control_msgs", "Control"),
}
PEDAL_JOINTS = ("throttle", "brake", "steering_wheel")  # positions: shares of the pedals' travel, rad with left positive
AUTONOMOUS = 1  # ControlModeReport.mode in which a vehicle takes commands of steering and speed; in all others somebody else has one of them


def actuation_type(adapter: str) -> type[Any]:
    """The class of an adapter's message; raises MimicError where its ROS package is not installed: few machines have all of them."""
    return _message_type(adapter, *MESSAGES[adapter])


def actuation_qos(adapter: str) -> QoSProfile:
    """Autoware's subscribers come with either durability, which transient local matches."""
    return LATCHED_QOS if adapter == "autoware" else RELIABLE_QOS


def override_type(adapter: str) -> type[Any]:
    """The class of what tells that the driver has the vehicle, which is also its heartbeat."""
    return _message_type(adapter, "autoware_vehicle_msgs", "ControlModeReport") if adapter == "autoware" else _message_type(adapter, "std_msgs", "Bool")


def override_qos(adapter: str) -> QoSProfile:
    """Best effort matches any publisher of a Bool, which repeats itself; Autoware's report is reliable, and latched or repeated."""
    return RELIABLE_QOS if adapter == "autoware" else SENSOR_QOS


def is_overridden(adapter: str, message: Any) -> bool:
    """Whether the driver has the vehicle."""
    return bool(message.mode != AUTONOMOUS) if adapter == "autoware" else bool(message.data)


def actuation_message(command: Command, pedals: Pedals | None, vehicle: VehicleSpec) -> Any:
    """A command in the message of the vehicle's adapter."""
    stamp = ns_to_stamp(command.stamp_ns)
    if vehicle.adapter in ("twist", "twist_stamped"):
        twist = twist_from_command(command)
        stamped = twist_stamped_message(stamp_ns=command.stamp_ns, speed_mps=twist.speed_mps, yaw_rate_radps=twist.yaw_rate_radps)
        return stamped if vehicle.adapter == "twist_stamped" else stamped.twist
    message = actuation_type(vehicle.adapter)()
    if vehicle.adapter == "autoware":
        ackermann = ackermann_from_command(command, vehicle)
        message.stamp = message.lateral.stamp = message.longitudinal.stamp = stamp
        message.lateral.steering_tire_angle = ackermann.steering_angle_rad
        message.longitudinal.velocity = command.target_speed_mps
        message.longitudinal.acceleration, message.longitudinal.is_defined_acceleration = command.acceleration_mps2, True
        return message
    message.header.stamp, message.header.frame_id = stamp, BASE_FRAME
    if vehicle.adapter == "ackermann":
        ackermann = ackermann_from_command(command, vehicle)
        # Its acceleration is a bound in both directions, 0: none. The speed itself changes within the envelope's.
        message.drive.speed, message.drive.steering_angle = ackermann.speed_mps, ackermann.steering_angle_rad
        return message
    assert pedals is not None, "the core makes them for adapter throttle_brake"
    message.name = PEDAL_JOINTS
    message.position = [pedals.throttle, pedals.brake, steering_wheel_from_command(command, vehicle)]
    return message


def told(message: Any, vehicle: VehicleSpec) -> tuple[float | None, float | None]:
    """The other way round: the speed, m/s, and the angle of the front wheel, rad, that a message tells; None: it says none.

    A twist says an angle only together with a speed.
    """
    if vehicle.adapter in ("twist", "twist_stamped"):
        twist = message.twist if vehicle.adapter == "twist_stamped" else message
        speed_mps = float(twist.linear.x)
        moves = abs(speed_mps) > STANDSTILL_MPS
        return speed_mps, road_wheel_angle(twist.angular.z / speed_mps, wheelbase_m=vehicle.wheelbase_m) if moves else None
    offset_rad = vehicle.steering_offset_rad / vehicle.steering_ratio
    if vehicle.adapter == "throttle_brake":
        return None, message.position[PEDAL_JOINTS.index("steering_wheel")] / vehicle.steering_ratio - offset_rad
    if vehicle.adapter == "autoware":
        return float(message.longitudinal.velocity), message.lateral.steering_tire_angle - offset_rad
    return float(message.drive.speed), message.drive.steering_angle - offset_rad


def _message_type(adapter: str, package: str, name: str) -> type[Any]:
    try:
        message_type: type[Any] = getattr(import_module(f"{package}.msg"), name)
    except ImportError as error:
        mend = f"apt install ros-$ROS_DISTRO-{package.replace('_', '-')}, or name another adapter in the vehicle file"
        raise MimicError(f"adapter '{adapter}': needs the ROS package {package}, which cannot be imported ({error}): {mend}") from error
    return message_type
