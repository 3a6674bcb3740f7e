"""Left across oncoming traffic: wait for a gap that is long enough, and take it."""

from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import Cast, Empty, SignalWish, Site, platoon, site_through, turnings

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

BEFORE_M = (40.0, 60.0)
AHEAD_OF_EGO_M = (0.0, 12.0)
COUNT = (4, 7)
GREEN_S = 45.0


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Left where those who come towards the car have priority and their signal, if any, is green too."""
    places = [t for t in turnings(network) if t.command == "left" and t.rule in (None, "signal") and t.inner_lane.yields_to]
    found = (site_through(places[i], rng, before_m=BEFORE_M) for i in rng.permutation(len(places)))
    return next((site for site in found if site is not None), None)


def cast(world: "World", rng: np.random.Generator) -> Cast:
    """Some in a row who come towards the car; signals are green for both."""
    oncoming = [c for c in world.conflicts() if c.has_priority and c.indicator == "none" and not c.is_merge]
    if not oncoming:
        return Empty()
    conflict = oncoming[rng.integers(len(oncoming))]
    first_m = conflict.start_m - world.route.start_m - float(rng.uniform(*AHEAD_OF_EGO_M))
    green = () if conflict.own_link is None else (SignalWish(conflict.own_link, "G", GREEN_S),)
    return platoon(conflict, rng, first_m=first_m, count=int(rng.integers(*COUNT)), signals=green)


def fault(drive: "DriveResult") -> str:
    """Nothing of its own: the judge watches priority and contacts."""
    return ""
