"""What can be seen from the car now: in the rig's view and not occluded, in the vehicle frame of the observation.

Filled by the simulator or by perception heads; only rule-based planners read it. Lanes also carry what a map knows of
them: speed limit, right of way, and whether they are on the route (a learned planner gets no such thing).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.validation import check_array, check_choice, check_number, check_text

AGENT_KINDS = ("car", "van", "truck", "bus", "bicycle", "pedestrian")
INDICATORS = ("none", "left", "right", "both")
LIGHT_STATES = ("red", "red_yellow", "yellow", "green", "off", "unknown")
STOP_RULES = ("signal", "stop", "all_way_stop", "give_way")


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A road user: centre, heading and velocity along it, in the vehicle frame of the observation.

    track_id: the same as long as it stays in view; brake, indicator: the lights that it shows.
    """

    track_id: int
    kind: str
    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float
    length_m: float
    width_m: float
    brake: bool = False
    indicator: str = "none"

    def __post_init__(self) -> None:
        check_choice("agent.kind", self.kind, AGENT_KINDS)
        for name in ("x_m", "y_m", "yaw_rad", "speed_mps"):
            check_number(f"agent.{name}", getattr(self, name))
        check_number("agent.length_m", self.length_m, low=0.1, high=40.0)
        check_number("agent.width_m", self.width_m, low=0.1, high=6.0)
        check_choice("agent.indicator", self.indicator, INDICATORS)


@dataclass(frozen=True, kw_only=True)
class SceneLane:
    """A lane, or the part of it in view: centre (N, 2) float64, m, in driving direction.

    on_route: lane guidance for the route's command would take it. successors: lanes that it leads into. yields_to: lanes
    through the same junction whose traffic has the right of way over it (signals at green leave that in force).
    Ids may name lanes that are not in view. speed_limit_mps: None where unknown.
    """

    lane_id: str
    centre_m: NDArray[np.float64]
    width_m: float
    speed_limit_mps: float | None = None
    on_route: bool = False
    successors: tuple[str, ...] = ()
    yields_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_text("scene_lane.lane_id", self.lane_id)
        check_array("scene_lane.centre_m", self.centre_m, shape=(None, 2), dtype=np.float64)
        check_number("scene_lane.width_m", self.width_m, low=1.0, high=10.0)
        if self.speed_limit_mps is not None:
            check_number("scene_lane.speed_limit_mps", self.speed_limit_mps, low=1.0, high=60.0)


@dataclass(frozen=True, kw_only=True)
class TrafficLight:
    """A signal that holds the ego at the end of lane_id, a lane on its route: state, and position (3,) float64, m."""

    state: str
    position_m: NDArray[np.float64]
    lane_id: str

    def __post_init__(self) -> None:
        check_choice("traffic_light.state", self.state, LIGHT_STATES)
        check_array("traffic_light.position_m", self.position_m, shape=(3,), dtype=np.float64)
        check_text("traffic_light.lane_id", self.lane_id)


@dataclass(frozen=True, kw_only=True)
class StopLine:
    """Where a lane waits: ends (2, 2) float64, m, left and right; rule: one of STOP_RULES."""

    lane_id: str
    rule: str
    ends_m: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_text("stop_line.lane_id", self.lane_id)
        check_choice("stop_line.rule", self.rule, STOP_RULES)
        check_array("stop_line.ends_m", self.ends_m, shape=(2, 2), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """drivable_area: polygons (N, 2); crossings: outlines (N, 2) of what pedestrians cross on; float64, m."""

    lanes: tuple[SceneLane, ...] = ()
    drivable_area: tuple[NDArray[np.float64], ...] = ()
    crossings: tuple[NDArray[np.float64], ...] = ()
    agents: tuple[Agent, ...] = ()
    lights: tuple[TrafficLight, ...] = ()
    stop_lines: tuple[StopLine, ...] = ()

    def __post_init__(self) -> None:
        for name in ("drivable_area", "crossings"):
            for i, outline in enumerate(getattr(self, name)):
                check_array(f"scene.{name}[{i}]", outline, shape=(None, 2), dtype=np.float64)
