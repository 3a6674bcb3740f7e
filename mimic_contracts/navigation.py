"""A route as a navigation map knows it: rough points along its roads, and what to do in its junctions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mimic_contracts.config import build, load_yaml
from mimic_contracts.errors import ContractError
from mimic_contracts.observation import ROUTE_COMMANDS
from mimic_contracts.validation import check_array, check_choice, check_number, check_text

POINT_EVERY_M = 30.0  # between the points that a planner is told
ANNOUNCED_M = 50.0  # before a junction, what to do in it is told
LONGEST_STEP_M = 50.0  # between two points of a route file; more is a gap


@dataclass(frozen=True, kw_only=True)
class Manoeuvre:
    """What is done in one junction, between two stations of a route: left, right, straight or u_turn."""

    start_m: float
    end_m: float
    command: str

    def __post_init__(self) -> None:
        check_number("start_m", self.start_m, low=0.0)
        check_number("end_m", self.end_m, low=self.start_m)
        check_choice("command", self.command, [name for name in ROUTE_COMMANDS if name not in ("follow", "park")])


def command_at(manoeuvres: Sequence[Manoeuvre], station_m: float) -> str:
    """The route command of ROUTE_COMMANDS: of the junction that the car is in or nears, else follow."""
    return next((m.command for m in manoeuvres if m.start_m - ANNOUNCED_M <= station_m < m.end_m), "follow")


@dataclass(frozen=True, eq=False, kw_only=True)
class RouteFile:
    """A route to follow. points_m: (N, 2) float64 [x_m, y_m] along its roads, in the frame of the odometry, which must be
    the same each time (a localisation, not wheels alone); stations count from the first point along straight lines.
    closed: after the last point comes the first. Raises ContractError naming the key."""

    name: str
    points_m: NDArray[np.float64]
    closed: bool = False
    manoeuvres: tuple[Manoeuvre, ...] = ()

    def __post_init__(self) -> None:
        check_text("name", self.name)
        if not isinstance(self.closed, bool):
            raise ContractError(f"closed: is {self.closed!r}, must be true or false")
        try:
            points = np.array(self.points_m, np.float64)
        except (TypeError, ValueError) as error:
            raise ContractError("points_m: must be a list of points [x, y]") from error
        object.__setattr__(self, "points_m", check_array("points_m", points, shape=(None, 2), dtype=np.float64))
        if len(points) < 2:
            raise ContractError(f"points_m: has {len(points)} points, must have at least two")
        steps_m = np.hypot(*np.diff(self.ring_m, axis=0).T)
        for bad, text in ((steps_m > LONGEST_STEP_M, f"more than {LONGEST_STEP_M:g} m"), (steps_m == 0.0, "no distance at all")):
            if bad.any():
                raise ContractError(f"points_m: between point {bad.argmax()} and the next there is {text} ({steps_m[bad.argmax()]:.1f} m)")
        for before, after in zip(self.manoeuvres, self.manoeuvres[1:], strict=False):
            if after.start_m < before.end_m:
                raise ContractError(f"manoeuvres: the one from {after.start_m:g} m begins before the one from {before.start_m:g} m ends")
        if self.manoeuvres and self.manoeuvres[-1].end_m > self.length_m:
            raise ContractError(f"manoeuvres: the last ends at {self.manoeuvres[-1].end_m:g} m, the route at {self.length_m:.1f} m")

    @property
    def ring_m(self) -> NDArray[np.float64]:
        """The points, and of a closed route the first again."""
        return np.concatenate([self.points_m, self.points_m[:1]]) if self.closed else self.points_m

    @property
    def length_m(self) -> float:
        """From the first point to the last, or round to the first again."""
        return float(np.hypot(*np.diff(self.ring_m, axis=0).T).sum())


def load_route(path: str | Path) -> RouteFile:
    """Read a route file; raises MimicError or ContractError naming the key."""
    content = load_yaml(path)
    listed = content.get("manoeuvres") or []
    if not isinstance(listed, list):
        raise ContractError(f"{path}: manoeuvres: is a {type(listed).__name__}, must be a list")
    manoeuvres = tuple(build(Manoeuvre, values, f"{path}: manoeuvres[{index}]") for index, values in enumerate(listed))
    return build(RouteFile, {**content, "manoeuvres": manoeuvres}, str(path))


def route_text(route: RouteFile) -> str:
    """The route as a route file."""
    content: Mapping[str, Any] = {
        "name": route.name,
        "closed": route.closed,
        "manoeuvres": [{"command": m.command, "start_m": round(m.start_m, 1), "end_m": round(m.end_m, 1)} for m in route.manoeuvres],
        "points_m": np.round(route.points_m, 2).tolist(),
    }
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)
