"""A suite of routes: what `mimic drive` drives (config/suites/NAME.yaml)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mimic_contracts.config import build, load_yaml, resolve_config
from mimic_contracts.errors import ContractError
from mimic_sim.route_spec import RouteSpec


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Routes without a seed, and the hash of the file that declares them."""

    name: str
    routes: tuple[RouteSpec, ...]
    file_hash: str

    def with_seeds(self, seeds: Sequence[int]) -> list[RouteSpec]:
        """Every route with every seed, named ROUTE_sSEED."""
        return [replace(route, route_id=f"{route.route_id}_s{seed}", seed=seed) for route in self.routes for seed in seeds]


def load_suite(name_or_path: str | Path) -> Suite:
    """Read a suite file: keys name and routes (a list of mappings with the fields of RouteSpec but the seed).

    Raises MimicError or ContractError naming the file and the key.
    """
    path = resolve_config("suites", name_or_path)
    content = load_yaml(path)
    if set(content) != {"name", "routes"} or not isinstance(content["routes"], list) or not content["routes"]:
        raise ContractError(f"{path}: keys are {sorted(content)}, must be name and routes (a list of at least one)")
    routes = tuple(build(RouteSpec, values, f"{path}: routes[{i}]") for i, values in enumerate(content["routes"]))
    ids = [route.route_id for route in routes]
    if len(set(ids)) != len(ids):
        raise ContractError(f"{path}: route_id are {ids}, must all be different")
    return Suite(name=str(content["name"]), routes=routes, file_hash=hashlib.sha256(path.read_bytes()).hexdigest()[:16])
