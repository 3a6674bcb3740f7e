"""What can be seen from the car now: in the rig's view and not occluded. Only rule-based planners read it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.validation import check_array, check_choice, check_number

AGENT_KINDS = ("car", "van", "truck", "bus", "bicycle", "pedestrian")
LIGHT_STATES = ("red", "red_yellow", "yellow", "green", "off", "unknown")


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A road user: centre, heading and velocity along it, in the vehicle frame of the observation."""

    track_id: int
    kind: str
    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float
    length_m: float
    width_m: float

    def __post_init__(self) -> None:
        check_choice("agent.kind", self.kind, AGENT_KINDS)
        for name in ("x_m", "y_m", "yaw_rad", "speed_mps"):
            check_number(f"agent.{name}", getattr(self, name))
        check_number("agent.length_m", self.length_m, low=0.1, high=40.0)
        check_number("agent.width_m", self.width_m, low=0.1, high=6.0)


@dataclass(frozen=True, kw_only=True)
class TrafficLight:
    """A signal that holds for the ego: state, and position (3,) float64, m, vehicle frame."""

    state: str
    position_m: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_choice("traffic_light.state", self.state, LIGHT_STATES)
        check_array("traffic_light.position_m", self.position_m, shape=(3,), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """lanes, stop_lines: polylines (N, 2); drivable_area: polygons (N, 2); all float64, m, vehicle frame."""

    lanes: tuple[NDArray[np.float64], ...] = ()
    drivable_area: tuple[NDArray[np.float64], ...] = ()
    agents: tuple[Agent, ...] = ()
    lights: tuple[TrafficLight, ...] = ()
    stop_lines: tuple[NDArray[np.float64], ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("lanes", "drivable_area", "stop_lines"):
            for i, line in enumerate(getattr(self, name)):
                check_array(f"scene.{name}[{i}]", line, shape=(None, 2), dtype=np.float64)
