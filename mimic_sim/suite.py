"""A suite of routes: what `mimic drive` drives (config/suites/NAME.yaml).

Either a list of `routes`, each with the fields of RouteSpec but the seed; or `scenarios`, how many routes of each class,
which are found in the `towns` by each seed, with the `looks` in turn and the same traffic, vehicle and scenery for all.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from mimic_contracts.config import build, load_yaml, resolve_config
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.validation import check_choice, check_integer
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scenarios import find_site, scenario_names
from mimic_sim.sumo_network import town_path
from mimic_sim.world import load_road

TRIES = 40  # per route, in the towns in turn


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Scenarios to be found in towns: class → number of routes; the other fields are RouteSpec's, for all of them."""

    scenarios: Mapping[str, int]
    towns: Sequence[str]
    looks: Sequence[str]
    vehicles: int = 30
    pedestrians: int = 15
    vehicle: str = "simulator_quad"
    scenery: str = "north"
    camera: str = "clean"
    tick_s: float = 0.05

    def __post_init__(self) -> None:
        if not isinstance(self.scenarios, Mapping) or not self.scenarios or not self.towns or not self.looks:
            raise ContractError("scenarios, towns, looks: must hold at least one each, scenarios as CLASS: NUMBER OF ROUTES")
        for name, count in self.scenarios.items():
            check_choice("scenarios", name, scenario_names())
            check_integer(f"scenarios.{name}", count, low=1, high=1000)
        for town in self.towns:
            town_path(town)
        for look in self.looks:
            self._route("any", look=look)

    def routes(self, seed: int) -> list[RouteSpec]:
        """The routes of one seed; raises MimicError where no town has a site for a class."""
        return [self._found(name, i, look, seed) for name, count in self.scenarios.items() for i, look in zip(range(count), cycle(self.looks), strict=False)]

    def _found(self, name: str, index: int, look: str, seed: int) -> RouteSpec:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), index])
        for attempt in range(TRIES):
            town, own_seed = self.towns[(index + attempt) % len(self.towns)], int(rng.integers(2**31))
            site = find_site(name, load_road(town), own_seed)
            if site is not None:
                others = {"vehicles": self.vehicles, "pedestrians": self.pedestrians}
                return self._route(f"{name}_{index:02d}_s{seed}", look=look, course=town, scenario=name, seed=own_seed, **others, **asdict(site))
        raise MimicError(f"scenario '{name}': none of the towns {', '.join(self.towns)} has a place for it")

    def _route(self, route_id: str, **fields: Any) -> RouteSpec:
        return RouteSpec(route_id=route_id, vehicle=self.vehicle, scenery=self.scenery, camera=self.camera, tick_s=self.tick_s, **fields)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Routes without a seed and staged ones, and the hash of the file that declares them."""

    name: str
    routes: tuple[RouteSpec, ...]
    file_hash: str
    staged: Staged | None = field(default=None)

    def with_seeds(self, seeds: Sequence[int]) -> list[RouteSpec]:
        """Every route with every seed, named ROUTE_sSEED."""
        given = [replace(route, route_id=f"{route.route_id}_s{seed}", seed=seed) for route in self.routes for seed in seeds]
        return given + ([] if self.staged is None else [route for seed in seeds for route in self.staged.routes(seed)])


def load_suite(name_or_path: str | Path) -> Suite:
    """Read a suite file; raises MimicError or ContractError naming the file and the key."""
    path = resolve_config("suites", name_or_path)
    content = load_yaml(path)
    file_hash = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    name = str(content.pop("name", path.stem))
    if "scenarios" in content:
        try:
            return Suite(name=name, routes=(), file_hash=file_hash, staged=build(Staged, content, str(path)))
        except MimicError as error:
            raise error if str(path) in str(error) else ContractError(f"{path}: {error}") from error
    if set(content) != {"routes"} or not isinstance(content["routes"], list) or not content["routes"]:
        raise ContractError(f"{path}: keys are {sorted(content)}, must be name and routes (a list of at least one), or scenarios, towns and looks")
    routes = tuple(build(RouteSpec, values, f"{path}: routes[{i}]") for i, values in enumerate(content["routes"]))
    ids = [route.route_id for route in routes]
    if len(set(ids)) != len(ids):
        raise ContractError(f"{path}: route_id are {ids}, must all be different")
    return Suite(name=name, routes=routes, file_hash=file_hash)
