"""Parameters of the calibration node and its core."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class CalibrationParameters:
    """See config/nodes/calibration_node.yaml."""

    vehicle: str = parameter("simulator", "Vehicle file, for the mounting, and for the name to remember it by: a path, or a name in config/vehicles.")
    rig: str = parameter("mono", "Rig whose pictures are packed: a path, or a name in config/rigs.")
    camera: str = parameter("front", "Camera of the rig that looks ahead.")
    mounting: str = parameter("vehicle_file", "Where the mounting in use comes from, as the camera node has it.", choices=("vehicle_file", "tf_static"))
    base_frame: str = parameter("base_link", "Frame of the vehicle in /tf_static.")
    info_topics: tuple[str, ...] = parameter(("front=camera/front/camera_info",), "Rig camera = camera_info topic: names the camera's frame in /tf_static.")
    memory: str = parameter("~/.ros/mimic_calibration", "Directory in which VEHICLE.CAMERA.json remembers what was seen; empty: nothing is remembered.")
    min_speed_mps: float = parameter(4.0, "It looks while the vehicle drives faster,", low=1.0, high=30.0)
    max_yaw_rate_radps: float = parameter(0.035, "and turns less.", low=0.005, high=0.2)
    angle_tolerance_rad: float = parameter(0.0175, "The mounting in use may differ from what is seen by this much of yaw and of pitch,", low=0.002, high=0.2)
    height_tolerance_m: float = parameter(0.15, "and of height.", low=0.01, high=1.0)
    frame_topic: str = parameter("perception/frame", "sensor_msgs/Image in.")
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry in.")
