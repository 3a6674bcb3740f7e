"""A stop sign: stand before the line, let those with priority pass, and go."""

from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import Cast, Empty, Site, platoon, site_through, turnings

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

BEFORE_M = (35.0, 60.0)
AHEAD_OF_EGO_M = (-5.0, 15.0)  # how much nearer to the conflict the foremost of the others is


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Across or into the road with priority."""
    places = [t for t in turnings(network) if t.rule == "stop"]
    found = (site_through(places[i], rng, before_m=BEFORE_M) for i in rng.permutation(len(places)))
    return next((site for site in found if site is not None), None)


def cast(world: "World", rng: np.random.Generator) -> Cast:
    """One to four who come along the road with priority."""
    conflicts = [c for c in world.conflicts() if c.has_priority]
    if not conflicts:
        return Empty()
    conflict = conflicts[rng.integers(len(conflicts))]
    first_m = conflict.start_m - world.route.start_m - float(rng.uniform(*AHEAD_OF_EGO_M))
    return platoon(conflict, rng, first_m=first_m, count=int(rng.integers(1, 5)))


def fault(drive: "DriveResult") -> str:
    """Nothing of its own: the judge watches line and priority."""
    return ""
