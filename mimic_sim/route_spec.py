"""One drive to be made, as text that a file or a command line can hold."""

from dataclasses import dataclass

from mimic_contracts.validation import check_choice, check_integer, check_number, check_text
from mimic_sim.course import COURSES
from mimic_sim.looks import LOOKS


@dataclass(frozen=True, kw_only=True)
class RouteSpec:
    """One drive to be made. seed varies light, buildings, trees and disturbances; never the road.

    time_limit_s 0: twice the expert's time and 20 s more. is_disturbed: seeded pushes, for recordings.
    """

    route_id: str
    course: str = "course"
    look: str = "day"
    seed: int = 0
    laps: float = 1.0
    start_m: float = 0.0
    tick_s: float = 0.05
    time_limit_s: float = 0.0
    vehicle: str = "simulator"
    is_disturbed: bool = False

    def __post_init__(self) -> None:
        check_text("route.route_id", self.route_id)
        check_choice("route.course", self.course, tuple(COURSES))
        check_choice("route.look", self.look, tuple(LOOKS))
        check_integer("route.seed", self.seed, low=0)
        check_number("route.laps", self.laps, low=0.01, high=1000.0)
        check_number("route.start_m", self.start_m, low=0.0, high=1e5)
        check_number("route.tick_s", self.tick_s, low=0.01, high=0.2)
        check_number("route.time_limit_s", self.time_limit_s, low=0.0, high=1e6)
