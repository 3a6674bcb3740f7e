"""Straight on with priority or at green, while a queue stands beyond the junction: wait before it, and leave it free."""

from typing import TYPE_CHECKING

import numpy as np

from mimic_contracts.vehicle import load_vehicle
from mimic_sim.right_of_way import conflicts
from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import SIZES_M, Platoon, Runner, Site, ending_beyond, green_for, lane_length_m, site_through, turnings, way_of
from mimic_sim.traffic import PAINT_SHARES, PAINTS

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

BEFORE_M = (40.0, 60.0)
EXIT_LANE_M = 60.0
FREE_M = (0.3, 4.0)  # beyond the junction, before the queue: less than a car
GAP_M = (1.5, 3.5)
COUNT = (3, 7)
CLEARS_S = (15.0, 22.0)
GREEN_S = 60.0
SPEED_MPS = (8.0, 11.0)
CAR_WIDTH_M = 1.85
INSIDE_M = 1.0  # of the car beyond the entry
STOOD_MPS, STOOD_S = 1.0, 2.0  # creeping on behind the queue is no better than standing


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Straight through a junction where others cross."""
    places = [t for t in turnings(network) if t.command == "straight" and t.rule in (None, "signal") and lane_length_m(t.to_lane) > EXIT_LANE_M]
    for i in rng.permutation(len(places)):
        found = site_through(places[i], rng, before_m=BEFORE_M)
        if found is not None and any(not c.is_merge for c in conflicts(network, way_of(network, found), width_m=CAR_WIDTH_M)):
            return ending_beyond(network, found)
    return None


def cast(world: "World", rng: np.random.Generator) -> Platoon:
    """The queue, which sets out after a while; the signal is green."""
    station_m = world.way.manoeuvres[0].end_m + float(rng.uniform(*FREE_M))
    queue: list[Runner] = []
    for i in range(int(rng.integers(*COUNT))):
        kind = str(rng.choice(["car", "car", "car", "van", "truck"]))
        length_m = SIZES_M[kind][0]
        colour = PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARES)]
        queue.insert(0, Runner(f"queue_{i}", kind, world.lane_line, station_m + length_m / 2.0, 0.0, colour=colour))
        station_m += length_m + float(rng.uniform(*GAP_M))
    return Platoon(queue, float(rng.uniform(*SPEED_MPS)), green_for(world, GREEN_S), float(rng.uniform(*CLEARS_S)))


def fault(drive: "DriveResult") -> str:
    """Whether the car stood between the junction's entry and exit."""
    from mimic_sim.world import load_road  # the world knows this package

    route, vehicle = drive.route, load_vehicle(drive.route.vehicle)
    junction = way_of(load_road(route.course), route).manoeuvres[0]
    rear_m = route.start_m + drive.columns["progress_m"] - vehicle.rear_overhang_m
    is_inside = (rear_m + vehicle.length_m > junction.start_m + INSIDE_M) & (rear_m < junction.end_m)
    longest_s = run_s = 0.0
    for stands in is_inside & (drive.columns["speed_mps"] < STOOD_MPS):
        run_s = run_s + route.tick_s if stands else 0.0
        longest_s = max(longest_s, run_s)
    return f"stood inside the junction for {longest_s:.1f} s" if longest_s > STOOD_S else ""
