"""Left, right or straight on, as the route says, where others who come along have priority: let them pass, and go."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mimic_contracts.vehicle import load_vehicle
from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import SIZES_M, Cast, Empty, Site, arrival_s, ending_beyond, green_for, platoon, site_through, turnings

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

BEFORE_M = (40.0, 60.0)
FIRST_M = (25.0, 40.0)  # from the foremost of the others to where they meet the way
COUNT = (4, 7)
BEFORE_EGO_S = (1.0, 2.2)  # the foremost is there so much before who drives blind as the expert, and before who is faster
GREEN_S = 45.0


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Through a junction, past a give-way line or at green, where somebody has priority."""
    for command in rng.permutation(["left", "right", "straight"]):
        places = [t for t in turnings(network) if t.command == command and t.rule in (None, "give_way", "signal") and t.inner_lane.yields_to]
        for i in rng.permutation(len(places)):
            found = site_through(places[i], rng, before_m=BEFORE_M)
            if found is not None:
                return ending_beyond(network, found)
    return None


def cast(world: "World", rng: np.random.Generator) -> Cast:
    """Some in a row with priority, who arrive when a driver who does not look would; signals are green for both."""
    met = [c for c in world.conflicts() if c.has_priority and c.start_m < world.way.manoeuvres[0].end_m]
    if not met:
        return Empty()
    conflict = met[rng.integers(len(met))]
    row = platoon(conflict, rng, first_m=float(rng.uniform(*FIRST_M)), count=int(rng.integers(*COUNT)), signals=green_for(world, GREEN_S))
    first = row.runners[0]
    on_way_s = row.time_to(conflict.path_start_m - first.station_m - SIZES_M[first.kind][0] / 2.0)
    there_s = arrival_s(world, conflict.start_m) - float(rng.uniform(*BEFORE_EGO_S))
    return replace(row, sets_out_s=max(there_s - on_way_s, 0.0))


def fault(drive: "DriveResult") -> str:
    """Whether the car left its lane by more than half of its width."""
    half_m = load_vehicle(drive.route.vehicle).width_m / 2.0
    aside_m = np.maximum(abs(drive.columns["rear_offset_m"]), abs(drive.columns["front_offset_m"])) - drive.columns["lane_margin_m"]
    return f"left its lane by {aside_m.max():.1f} m" if aside_m.max() > half_m else ""
