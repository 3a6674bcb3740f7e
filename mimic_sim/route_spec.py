"""One drive to be made, as text that a file or a command line can hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mimic_contracts.config import build
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.validation import check_choice, check_integer, check_number, check_text
from mimic_sim.camera_effects import CAMERAS
from mimic_sim.course import COURSES
from mimic_sim.expert import STYLES
from mimic_sim.looks import LOOKS
from mimic_sim.scenarios import scenario_names
from mimic_sim.scenery import SCENERIES


@dataclass(frozen=True, kw_only=True)
class RouteSpec:
    """One drive to be made. seed varies light, buildings, trees, traffic and disturbances; never the road.

    course: a built-in course, driven for laps from start_m on; or a town (a name in config/towns, a path to a
    .net.xml.gz), driven from start_m on start_lane by the shortest way to the end of end_lane, or for length_m, if given.
    camera: "varied" has noise, errors of exposure and a dirty lens by the seed; "clean" has none.
    scenery: which set of facades, roofs, trees and cars there is: "varied" by the seed; "east" is kept for validation, "south" for tests.
    vehicles, pedestrians: how many others there are in a town. time_limit_s 0: twice the time on
    an empty road, and 20 s more, in a town 110 s.
    is_disturbed: seeded pushes, for recordings. scenario: the class that the route is counted in; empty: none.
    driver: a style of the expert; empty: calm, and in a recording: not told.
    passes_m: stretches [from, to] of the progress on which leaving the lane is necessary, and so no fault; nobody parks there.
    """

    route_id: str = "drive"
    course: str = "course"
    look: str = "day"
    camera: str = "clean"
    scenery: str = "north"
    seed: int = 0
    laps: float = 1.0
    start_m: float = 0.0
    length_m: float = 0.0
    start_lane: str = ""
    end_lane: str = ""
    vehicles: int = 0
    pedestrians: int = 0
    tick_s: float = 0.05
    time_limit_s: float = 0.0
    vehicle: str = "simulator"
    is_disturbed: bool = False
    driver: str = ""
    scenario: str = ""
    passes_m: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        check_text("route.route_id", self.route_id)
        check_text("route.course", self.course)
        if bool(self.start_lane) != bool(self.end_lane):
            raise ContractError(f"route.start_lane, end_lane: are '{self.start_lane}' and '{self.end_lane}', must be both given or both empty")
        if not self.start_lane and self.course not in COURSES:
            raise ContractError(f"route.course: is '{self.course}', must be one of {', '.join(COURSES)}, or a town with start_lane and end_lane")
        if self.start_lane and self.laps != 1.0:
            raise ContractError(f"route.laps: is {self.laps}, must be 1 on the way from start_lane to end_lane")
        check_choice("route.look", self.look, tuple(LOOKS))
        check_choice("route.camera", self.camera, CAMERAS)
        check_choice("route.scenery", self.scenery, SCENERIES)
        check_integer("route.seed", self.seed, low=0, high=2**31 - 1)
        for name in ("vehicles", "pedestrians"):
            check_integer(f"route.{name}", getattr(self, name), low=0, high=1000)
            if getattr(self, name) and not self.start_lane:
                raise ContractError(f"route.{name}: is {getattr(self, name)}, must be 0 on a built-in course, which has no traffic")
        check_number("route.laps", self.laps, low=0.01, high=1000.0)
        check_number("route.start_m", self.start_m, low=0.0, high=1e5)
        check_number("route.length_m", self.length_m, low=0.0, high=1e5)
        check_number("route.tick_s", self.tick_s, low=0.01, high=0.2)
        check_number("route.time_limit_s", self.time_limit_s, low=0.0, high=1e6)
        if self.driver:
            check_choice("route.driver", self.driver, tuple(STYLES))
        if self.scenario:
            check_choice("route.scenario", self.scenario, scenario_names())
        object.__setattr__(self, "passes_m", _stretches(self.passes_m))


def _stretches(passes_m: Any) -> tuple[tuple[float, float], ...]:
    """Pairs from a file, as lists, or as they were."""
    if not isinstance(passes_m, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in passes_m):
        raise ContractError(f"route.passes_m: is {passes_m!r}, must be a list of stretches [from, to] in metres")
    pairs = tuple((check_number("route.passes_m", start), check_number("route.passes_m", end)) for start, end in passes_m)
    if any(start >= end for start, end in pairs):
        raise ContractError(f"route.passes_m: is {passes_m!r}, every stretch must begin before it ends")
    return pairs


def read_route(text: str) -> RouteSpec:
    """A route from the path of a YAML or JSON file, or from such text itself: a mapping with fields of RouteSpec.

    Empty: a lap of the course by day. Raises MimicError or ContractError that names the key.
    """
    is_file = text.endswith((".yaml", ".yml", ".json"))
    try:
        content = yaml.safe_load(Path(text).read_text(encoding="utf-8") if is_file else text) or {}
    except OSError as error:
        raise MimicError(f"route: '{text}' cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise MimicError(f"route: '{text}' is not valid YAML: {' '.join(str(error).split())}") from error
    return build(RouteSpec, content, f"route {text}" if is_file else "route")
