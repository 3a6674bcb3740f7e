"""Somebody moves over close before the car and slows down: open the gap again without a shock.

They come from the next lane in the same direction; where there is none they overtake, and come from the oncoming one.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.actors import Actor
from mimic_sim.moment import Moment
from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import BEFORE_END_M, EGO_HALF_M, EGO_MIDDLE_M, SIZES_M, Runner, SignalWish, Site, lane_length_m, site_along

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

LENGTH_M = (95.0, 130.0)
CUTS_AFTER_M = (20.0, 40.0)
GAP_M = (5.0, 9.0)  # between the two, until it moves over
SLOWS_TO = (0.35, 0.6)  # of its speed
BRAKING_MPS2 = 3.0
SLOW_S = 4.0


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Along a lane, one that has a neighbour in the same direction where there are any."""
    names = {lane.lane_id for lane in network.lanes}
    lanes = [lane for lane in network.lanes if not lane.is_internal and lane_length_m(lane) >= LENGTH_M[0] + BEFORE_END_M]
    lanes = [lane for lane in lanes if neighbours(lane.lane_id) & names] or lanes
    return site_along(lanes[rng.integers(len(lanes))], rng, length_m=LENGTH_M) if lanes else None


def neighbours(lane_id: str) -> set[str]:
    """Ids of the lanes to the right and left, as SUMO counts lanes."""
    edge, _, index = lane_id.rpartition("_")
    return {f"{edge}_{int(index) + side}" for side in (-1, 1)}


def cast(world: "World", rng: np.random.Generator) -> "CutIn":
    """The one who cuts in."""
    line, names = world.lane_line, {lane.lane_id for lane in world.network.lanes}
    offset_m = world.network.lane(world.route.start_lane).width_m
    beside = sorted(neighbours(world.route.start_lane) & names)
    if beside:
        own = world.network.line([beside[rng.integers(len(beside))]])
        x, y, _ = line.poses(np.array([world.route.start_m]))[0]
        offset_m = line.project(*own.poses(np.array([own.project(float(x), float(y))[0]]))[0, :2])[1]
    kind, gap_m = str(rng.choice(["car", "car", "van"])), float(rng.uniform(*GAP_M))
    station_m = world.route.start_m + EGO_MIDDLE_M + EGO_HALF_M + gap_m + SIZES_M[kind][0] / 2.0
    runner = Runner("cut_in", kind, line, station_m, 0.0, offset_m=offset_m)
    return CutIn(runner, float(rng.uniform(*CUTS_AFTER_M)), gap_m, float(rng.uniform(*SLOWS_TO)), world.route.start_m)


def fault(drive: "DriveResult") -> str:
    """Nothing of its own: not to hit them, and to get on, is the test."""
    return ""


@dataclass
class CutIn:
    """Keeps a little ahead of the ego on the next lane, moves over and slows down for a while."""

    runner: Runner
    after_m: float
    gap_m: float
    slows_to: float
    start_m: float
    signals: tuple[SignalWish, ...] = ()
    _is_cutting: bool = field(default=False, init=False)
    _slow_mps: float = field(default=0.0, init=False)
    _slow_left_s: float = field(default=SLOW_S, init=False)

    def enter(self) -> tuple[Actor, ...]:
        """On the next lane, a little ahead of the ego."""
        return (self.runner.actor(),)

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """One tick on."""
        runner, ego = self.runner, now.ego
        station_m = runner.line.project(ego.x_m, ego.y_m)[0] + EGO_MIDDLE_M
        gap_m = runner.station_m - station_m - EGO_HALF_M - SIZES_M[runner.kind][0] / 2.0
        is_due = station_m - self.start_m > self.after_m
        if not self._is_cutting:
            runner.indicator = "none" if not is_due else "right" if runner.offset_m > 0.0 else "left"
            runner.drive(tick_s, speed_mps=max(ego.speed_mps + 0.8 * (self.gap_m - gap_m), 0.0), change_mps2=3.0)
            self._is_cutting, self._slow_mps = is_due, self.slows_to * runner.speed_mps
            return (runner.actor(),)
        is_across = abs(runner.offset_m) < 1.0
        self._slow_left_s -= tick_s * is_across
        if self._slow_left_s > 0.0:
            runner.drive(tick_s, speed_mps=self._slow_mps if is_across else runner.speed_mps, change_mps2=BRAKING_MPS2, offset_m=0.0, aside_mps=1.6)
        else:
            runner.indicator = "none"
            runner.drive(tick_s, speed_mps=13.0, offset_m=0.0)
        return (runner.actor(),)
