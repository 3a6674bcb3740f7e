"""Parameters of the supervisor node and its core."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class SupervisorParameters:
    """See config/nodes/supervisor_node.yaml."""

    vehicle: str = parameter("simulator", "Vehicle file: a path, or a name in config/vehicles.")
    rig: str = parameter("mono", "Rig whose pictures are packed: a path, or a name in config/rigs.")
    node_names: tuple[str, ...] = parameter(("camera_node", "planner_node", "vehicle_interface_node"), "Nodes whose heartbeats must come.")
    complaint_names: tuple[str, ...] = parameter(
        ("camera_node", "planner_node", "route_node"), "Nodes whose errors in /diagnostics stop, and whose warnings degrade."
    )
    calibration_required: bool = parameter(False, "Degraded, until calibration_node says that the cameras are mounted as is thought.")
    rate_hz: float = parameter(50.0, "How often it judges, and says so.", low=10.0, high=200.0)
    heartbeat_timeout_s: float = parameter(0.15, "Without a heartbeat for this long a node is dead or hangs.", low=0.1, high=5.0)
    frame_timeout_s: float = parameter(0.5, "Age of the packed pictures, by stamp or by arrival, beyond which the vehicle is stopped.", low=0.05, high=5.0)
    odometry_timeout_s: float = parameter(0.3, "The same for odometry.", low=0.05, high=5.0)
    frozen_after_s: float = parameter(0.5, "Pictures that stay the same for this long while the vehicle moves are frozen.", low=0.1, high=10.0)
    frame_topic: str = parameter("perception/frame", "sensor_msgs/Image in.")
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry in.")
    trajectory_topic: str = parameter("planning/trajectory", "trajectory_msgs/JointTrajectory in.")
