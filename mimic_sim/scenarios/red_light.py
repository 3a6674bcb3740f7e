"""A signal is red, or turns yellow and red before the car gets there: stop before the line, and go at green."""

from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import Empty, SignalWish, Site, site_through, turnings

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

BEFORE_M = (45.0, 75.0)
RED_S = (14.0, 20.0)  # from the start: longer than anybody takes to the line
GREEN_S = (1.0, 3.5)  # then yellow, while there is still room to stop


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Straight through a junction with signals."""
    places = [t for t in turnings(network) if t.rule == "signal" and t.command == "straight"]
    found = (site_through(places[i], rng, before_m=BEFORE_M) for i in rng.permutation(len(places)))
    return next((site for site in found if site is not None), None)


def cast(world: "World", rng: np.random.Generator) -> Empty:
    """Nobody; the signal is red in two of three cases, else turns yellow."""
    link = world.signal_link()
    is_red = rng.uniform() < 2.0 / 3.0
    return Empty((SignalWish(link, "r", float(rng.uniform(*RED_S))) if is_red else SignalWish(link, "G", float(rng.uniform(*GREEN_S))),))


def fault(drive: "DriveResult") -> str:
    """Nothing of its own: the judge watches the line."""
    return ""
