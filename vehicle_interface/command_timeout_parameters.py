"""Parameters of the command timeout node."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class CommandTimeoutParameters:
    """See config/nodes/command_timeout_node.yaml."""

    vehicle: str = parameter("gazebo", "Vehicle file, for its command timeout: a path, or a name in config/vehicles.")
    command_topic: str = parameter("vehicle/command", "geometry_msgs/Twist in, from the vehicle interface.")
    vehicle_topic: str = parameter("vehicle/cmd_vel", "geometry_msgs/Twist out, to a vehicle that holds its last command for ever.")
