"""Parameters of the overlay node."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class OverlayParameters:
    """See config/nodes/overlay_node.yaml."""

    rig: str = parameter("mono", "Rig of the packed frames: a path, or a name in config/rigs. Its first camera is shown.")
    rate_hz: float = parameter(10.0, "The most pictures a second.", low=0.5, high=60.0)
    width_px: int = parameter(768, "Width of the picture; the camera's is enlarged to it, so that words can be read.", low=256, high=1920)
    frame_topic: str = parameter("perception/frame", "sensor_msgs/Image in: the rig's pictures packed in one.")
    trajectory_topic: str = parameter("planning/trajectory", "trajectory_msgs/JointTrajectory in.")
    markers_topic: str = parameter("planning/markers", "visualization_msgs/MarkerArray in: the plan's alternatives.")
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry in: the speed.")
