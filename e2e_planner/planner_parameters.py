"""Parameters of the planner node."""

from dataclasses import dataclass

from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class PlannerParameters:
    """See config/nodes/planner_node.yaml."""

    policy: str = parameter("constant_velocity", "A run directory, an .onnx file with its card, a built-in name, or module:Class.")
    rig: str = parameter("mono", "Rig file of the packed frames: a path, or a name in config/rigs.")
    execution_provider: str = parameter("CPUExecutionProvider", "ONNX Runtime's execution provider: CPU, CUDA or TensorrtExecutionProvider.")
    inference_threads: int = parameter(1, "Processor cores for ONNX Runtime, where it computes on the CPU.", low=1, high=64)
    lockstep: bool = parameter(False, "Answer every tick of a simulator or replay, with the odometry of exactly its stamp.")
    listeners: int = parameter(1, "Lockstep: how many must listen to the trajectory before the first tick, or it may miss one of them.", low=1, high=10)
    odometry_required: bool = parameter(True, "Don't plan without odometry. False: for recordings that have none.")
    odometry_tolerance_s: float = parameter(0.1, "Real time: how far odometry may be from the picture's exposure.", low=0.0, high=1.0)
    frame_topic: str = parameter("perception/frame", "sensor_msgs/Image in: the rig's pictures packed in one.")
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry in.")
    steering_topic: str = parameter("vehicle/steering", "sensor_msgs/JointState in: steering wheel angle, optional.")
    route_command_topic: str = parameter("planning/route_command", "std_msgs/String in, optional: follow until one arrives.")
    route_topic: str = parameter("planning/route", "nav_msgs/Path in, optional: road-level points ahead, in the odometry's frame or base_link.")
    scene_topic: str = parameter("sim/ground_truth/scene", "std_msgs/String in, a Scene as JSON, for policies that need one: only the simulator knows it.")
    trajectory_topic: str = parameter("planning/trajectory", "trajectory_msgs/JointTrajectory out.")
    trace: str = parameter("", "Directory for a trace of when each frame passed each stage, as NAME.json; empty: none.")
