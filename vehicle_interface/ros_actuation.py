"""The message types in which vehicles take commands, by the adapter that a vehicle file names."""

from importlib import import_module
from typing import Any

from mimic_contracts.errors import MimicError

MESSAGES = {
    "twist": ("geometry_msgs", "Twist"),
    "twist_stamped": ("geometry_msgs", "TwistStamped"),
    "ackermann": ("ackermann_msgs", "AckermannDriveStamped"),
    "throttle_brake": ("sensor_msgs", "JointState"),  # ROS has no message for pedals; this one has a stamp and names, and every machine has it
}
PEDAL_JOINTS = ("throttle", "brake", "steering_wheel")  # positions: shares of the pedals' travel, rad with left positive


def actuation_type(adapter: str) -> type[Any]:
    """The class of an adapter's message; raises MimicError where its ROS package is not installed: few machines have all of them."""
    package, name = MESSAGES[adapter]
    try:
        message_type: type[Any] = getattr(import_module(f"{package}.msg"), name)
    except ImportError as error:
        mend = f"apt install ros-$ROS_DISTRO-{package.replace('_', '-')}, or name another adapter in the vehicle file"
        raise MimicError(f"adapter '{adapter}': needs the ROS package {package}, which cannot be imported ({error}): {mend}") from error
    return message_type
