"""Cars that stand at the kerb all day: by the route's seed, in the parking strips near its way."""

from collections.abc import Sequence

import numpy as np

from mimic_sim.actors import Actor
from mimic_sim.road_network import Line, RoadNetwork
from mimic_sim.routing import Way
from mimic_sim.traffic import PAINT_SHARES, PAINTS, VEHICLE_TYPES

BESIDE_M = 12.0
NEAR_M = 150.0  # of the way; farther ones would hardly be seen
CLEAR_M = 10.0  # of a strip's ends, where they would hide those who come to the junction
BAY_M, TAKEN = 6.0, 0.6
SHARPEST_1PM = 0.012  # of a bend in which one may park: else the corners stand in the way
SPREAD_M, SPREAD_RAD = 0.12, 0.03  # how well people park
KINDS = [t for t in VEHICLE_TYPES if t.kind in ("car", "van")]


def parked_cars(network: RoadNetwork, way: Way, *, seed: int, free_m: Sequence[tuple[float, float]] = ()) -> tuple[Actor, ...]:
    """The same for the same network, way and seed. free_m: stretches [from, to] of the way at whose sides nobody parks."""
    found = []
    for index, strip in enumerate(network.parking):
        rng = np.random.default_rng([seed, 21, index])
        line = Line.through(strip.centre_m, closed=False)
        for bay, station_m in enumerate(np.arange(CLEAR_M + BAY_M / 2.0, line.length_m - CLEAR_M, BAY_M)):
            is_bent = abs(float(line.sample(line.curvature_1pm, np.array([station_m]))[0])) > SHARPEST_1PM
            is_taken, kind = rng.random() < TAKEN, KINDS[int(rng.random() < 0.15)]
            colour = PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARES)]
            along, aside, turn = rng.normal(0.0, (SPREAD_M, SPREAD_M, SPREAD_RAD))
            x, y, yaw = line.poses(np.array([station_m + along]))[0]
            if not is_taken or is_bent or np.hypot(way.line.x_m - x, way.line.y_m - y).min() > NEAR_M:
                continue
            if free_m and _is_beside(way, (float(x), float(y)), free_m):
                continue
            size = dict(zip(("length_m", "width_m", "height_m"), kind.size_m, strict=True))
            place = {"x_m": round(x - aside * np.sin(yaw), 3), "y_m": round(y + aside * np.cos(yaw), 3), "yaw_rad": round(yaw + turn, 4)}
            name = f"parked_{index}_{bay}"
            found.append(Actor(actor_id=name, kind=kind.kind, **place, **size, speed_mps=0.0, brake=False, indicator="none", colour=colour))
    return tuple(found)


def _is_beside(way: Way, place_m: tuple[float, float], stretches_m: Sequence[tuple[float, float]]) -> bool:
    station_m, left_m = way.line.project(*place_m)
    return abs(left_m) < BESIDE_M and any(start_m <= station_m <= end_m for start_m, end_m in stretches_m)
