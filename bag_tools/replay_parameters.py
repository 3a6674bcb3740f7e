"""Parameters of the replay node."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class ReplayParameters:
    """See config/nodes/replay_node.yaml."""

    bag: str = parameter("", "The recorded drive: a rosbag2 directory or file, or a ROS 1 bag.")
    topics: str = parameter("", "Topic map of the drive: a path, or a name in config/topics.")
    out: str = parameter("", "Bag for the results, with a report of the same name and .json beside it.")
    overwrite: bool = parameter(False, "Replace an earlier result.")
    has_vehicle_interface: bool = parameter(True, "Wait for the vehicle interface's answer too; needs recorded odometry.")
    answer_timeout_s: float = parameter(10.0, "Fail when a tick is not answered within this time (steady clock).", low=0.1, high=600.0)
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry out, at the stamp of each picture.")
    route_command_topic: str = parameter("planning/route_command", "std_msgs/String out, where the recording has it.")
    route_topic: str = parameter("planning/route", "nav_msgs/Path out, in the vehicle frame at each picture, where the recording has it.")
    trajectory_topic: str = parameter("planning/trajectory", "trajectory_msgs/JointTrajectory in: the planner's answer.")
    command_topic: str = parameter("vehicle/command", "geometry_msgs/TwistStamped in: the vehicle interface's answer.")
    engage_service: str = parameter("vehicle/engage", "std_srvs/SetBool of the vehicle interface.")
