"""Parameters of the simulator node."""

from dataclasses import dataclass

from mimic_contracts.errors import ContractError
from mimic_contracts.parameters import parameter
from mimic_sim.engine import PICTURES
from mimic_sim.looks import LOOKS
from mimic_sim.route_spec import RouteSpec

DRIVERS = ("expert", "planner")


@dataclass(frozen=True, kw_only=True)
class SimParameters:
    """See config/nodes/sim_node.yaml."""

    route_id: str = parameter("drive", "Name of the drive in the rows.")
    course: str = parameter("course", "The road: the built-in course, or a town by its name in config/towns or the path of its .net.xml.gz.")
    look: str = parameter("day", "Light and weather.", choices=tuple(LOOKS))
    seed: int = parameter(1, "Varies light, buildings, trees and disturbances; never the road.", low=0, high=2**31 - 1)
    start_m: float = parameter(0.0, "Where on the lap or the start lane the car starts.", low=0.0, high=1e5)
    start_lane: str = parameter("", "In a town: the lane on which the car starts.")
    end_lane: str = parameter("", "In a town: the lane at whose end the drive ends, and with it the node.")
    laps: float = parameter(1.0, "How far to drive; the drive then ends, and with it the node.", low=0.01, high=1000.0)
    duration_s: float = parameter(0.0, "Simulated time after which the drive ends in any case; 0: twice the expert's and 20 s.", low=0.0, high=1e6)
    tick_s: float = parameter(0.05, "Simulated time between two ticks: 0.05 to drive, 0.1 to record.", low=0.01, high=0.2)
    vehicle: str = parameter("simulator", "Vehicle file: a path, or a name in config/vehicles.")
    rig: str = parameter("mono", "Rig whose cameras are rendered: a path, or a name in config/rigs.")
    driver: str = parameter("planner", "Who drives: the expert, or what arrives on the command topic.", choices=DRIVERS)
    is_disturbed: bool = parameter(False, "Seeded pushes and slips in a third of the time, for recordings.")
    lockstep: bool = parameter(True, "Wait for the answer to each tick; otherwise the steady clock paces the ticks.")
    answer_timeout_s: float = parameter(10.0, "In lockstep: how long a node may take to answer (steady clock).", low=0.1, high=600.0)
    engage: bool = parameter(True, "Call the engage service after the first plan, as an operator would.")
    pictures: str = parameter("as_is", "black: nothing can be seen, to show that the policy needs its eyes.", choices=PICTURES)
    is_compressed: bool = parameter(False, "Publish pictures as JPEG on …/image_raw/compressed, as recordings have them.")
    jpeg_quality: int = parameter(95, "Of compressed pictures.", low=1, high=100)
    publishes_mounting: bool = parameter(False, "Publish the cameras' mounting on /tf_static; needs tf2_msgs.")
    out: str = parameter("", "Parquet file for the rows, one a tick, written when the drive ends; empty: none.")
    command_topic: str = parameter("/vehicle/command", "geometry_msgs/TwistStamped in.")
    trajectory_topic: str = parameter("/planning/trajectory", "trajectory_msgs/JointTrajectory in, for the rows.")
    route_command_topic: str = parameter("/planning/route_command", "std_msgs/String out: follow, left, right or straight.")
    odometry_topic: str = parameter("/localization/kinematic_state", "nav_msgs/Odometry out.")
    engage_service: str = parameter("/vehicle/engage", "std_srvs/SetBool of the vehicle interface.")

    def __post_init__(self) -> None:
        if self.driver == "expert" and self.pictures != "as_is":
            raise ContractError(f"pictures: is '{self.pictures}', must be as_is when the expert drives: a recording without pictures teaches nothing")

    def route(self) -> RouteSpec:
        """The drive that these parameters mean."""
        return RouteSpec(
            route_id=self.route_id,
            course=self.course,
            look=self.look,
            seed=self.seed,
            laps=self.laps,
            start_m=self.start_m,
            start_lane=self.start_lane,
            end_lane=self.end_lane,
            tick_s=self.tick_s,
            time_limit_s=self.duration_s,
            vehicle=self.vehicle,
            is_disturbed=self.is_disturbed,
        )
