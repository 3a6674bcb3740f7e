"""Situations that are driven on purpose. Each module here is a class of them; a further class is a file and its test.

A module has three functions:

    site(network, rng) -> Site | None    where it is driven; None: this network has no such place
    cast(world, rng) -> Cast             the scripted actors, and what the signals show at the start
    fault(drive) -> str                  why a drive that completed without infraction still failed; empty: it did not

Both generators come from the route's seed. Situations can be solved within the limits of METRICS ('Actuation limits').
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from mimic_contracts.errors import MimicError
from mimic_sim.road_network import RoadNetwork
from mimic_sim.routing import open_way, shortest_way
from mimic_sim.staging import Cast, Site

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

SITE, CAST = 11, 12  # streams of random numbers of a route


class Scenario(Protocol):
    """What a module in this package is."""

    def site(self, network: RoadNetwork, rng: np.random.Generator) -> Site | None:
        """Where it is driven."""

    def cast(self, world: "World", rng: np.random.Generator) -> Cast:
        """Who takes part."""

    def fault(self, drive: "DriveResult") -> str:
        """Why the drive failed by the class's own test."""


def find_site(name: str, network: RoadNetwork, seed: int) -> Site | None:
    """Where the scenario of a route's seed is driven; None where there is no such place, or no drivable way from its start
    to its end."""
    try:
        site = load_scenario(name).site(network, np.random.default_rng([seed, SITE]))
        if site is not None:
            open_way(network, shortest_way(network, site.start_lane, site.end_lane))
    except MimicError:
        return None
    return site


def scenario_names() -> tuple[str, ...]:
    """The classes, in alphabetic order."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def load_scenario(name: str) -> Scenario:
    """The module of a class; raises MimicError that lists the known ones."""
    if name not in scenario_names():
        raise MimicError(f"scenario: '{name}' is unknown, must be one of: {', '.join(scenario_names())}")
    return cast(Scenario, import_module(f"{__name__}.{name}"))
