"""Parameters of the simulator node."""

from dataclasses import dataclass

from mimic_contracts.errors import ContractError
from mimic_contracts.parameters import parameter
from mimic_sim.engine import PICTURES

DRIVERS = ("expert", "planner")


@dataclass(frozen=True, kw_only=True)
class SimParameters:
    """See config/nodes/sim_node.yaml."""

    route: str = parameter("", "The drive: a YAML or JSON file with fields of RouteSpec, or such text, as {look: rain}; empty: a lap of the course by day.")
    vehicle: str = parameter("simulator", "Vehicle file, in place of the route's: a path, or a name in config/vehicles.")
    rig: str = parameter("mono", "Rig whose cameras are rendered: a path, or a name in config/rigs.")
    driver: str = parameter("planner", "Who drives: the expert, or what arrives on the command topic.", choices=DRIVERS)
    lockstep: bool = parameter(True, "Wait for the answer to each tick; otherwise the steady clock paces the ticks.")
    answer_timeout_s: float = parameter(10.0, "In lockstep: how long a node may take to answer (steady clock).", low=0.1, high=600.0)
    engage: bool = parameter(True, "Call the engage service after the first plan, as an operator would.")
    pictures: str = parameter(
        "as_is", "black: nothing can be seen; grey_lights: no signal's lamp shines; to show that the policy needs its eyes.", choices=PICTURES
    )
    is_compressed: bool = parameter(False, "Publish pictures as JPEG on …/image_raw/compressed, as recordings have them.")
    jpeg_quality: int = parameter(95, "Of compressed pictures.", low=1, high=100)
    publishes_mounting: bool = parameter(False, "Publish the cameras' mounting on /tf_static; needs tf2_msgs.")
    publishes_scene: bool = parameter(False, "Publish what can be seen as a Scene, which takes time; for policies that need one.")
    out: str = parameter("", "Parquet file for the rows, one a tick, written when the drive ends; empty: none.")
    command_topic: str = parameter("vehicle/command", "geometry_msgs/TwistStamped in.")
    trajectory_topic: str = parameter("planning/trajectory", "trajectory_msgs/JointTrajectory in, for the rows.")
    route_command_topic: str = parameter("planning/route_command", "std_msgs/String out: follow, left, right or straight.")
    route_topic: str = parameter("planning/route", "nav_msgs/Path out, frame odom: road-level points ahead, as a navigation map has them.")
    scene_topic: str = parameter("sim/ground_truth/scene", "std_msgs/String out, a Scene as JSON, with publishes_scene.")
    odometry_topic: str = parameter("localization/kinematic_state", "nav_msgs/Odometry out.")
    engage_service: str = parameter("vehicle/engage", "std_srvs/SetBool of the vehicle interface.")

    def __post_init__(self) -> None:
        if self.driver == "expert" and self.pictures != "as_is":
            raise ContractError(f"pictures: is '{self.pictures}', must be as_is when the expert drives: a recording without pictures teaches nothing")
