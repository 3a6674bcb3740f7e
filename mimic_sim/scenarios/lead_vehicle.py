"""Somebody ahead drives stop-and-go, or brakes hard to a standstill: keep the distance, and go on when they do."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.actors import Actor
from mimic_sim.moment import Moment
from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import BEFORE_END_M, Runner, SignalWish, Site, lane_length_m, site_along

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

LENGTH_M = (110.0, 220.0)
AHEAD_M = (14.0, 22.0)  # from the ego's rear axle to the other's middle
CRUISE_MPS = (7.0, 11.0)
BRAKING_MPS2 = (2.5, 6.0)
STANDING_S = (2.0, 5.0)
RHYTHM_S = (5.0, 9.0)  # from one start to the next braking


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Along a lane that is long enough."""
    lanes = [lane for lane in network.lanes if not lane.is_internal and lane_length_m(lane) >= LENGTH_M[0] + BEFORE_END_M]
    if not lanes:
        return None
    return site_along(lanes[rng.integers(len(lanes))], rng, length_m=LENGTH_M)


def cast(world: "World", rng: np.random.Generator) -> "Lead":
    """The one ahead."""
    runner = Runner("lead", str(rng.choice(["car", "car", "van", "truck"])), world.lane_line, world.route.start_m + float(rng.uniform(*AHEAD_M)), 0.0)
    rhythm_s = np.cumsum(rng.uniform(*RHYTHM_S, 20) + rng.uniform(*STANDING_S))
    return Lead(runner, float(rng.uniform(*CRUISE_MPS)), float(rng.uniform(*BRAKING_MPS2)), float(rng.uniform(*STANDING_S)), rhythm_s.tolist())


def fault(drive: "DriveResult") -> str:
    """Nothing of its own: not to hit them, and to get on, is the test."""
    return ""


@dataclass
class Lead:
    """Speeds up, and brakes to a standstill again and again."""

    runner: Runner
    cruise_mps: float
    braking_mps2: float
    standing_s: float
    brakes_at_s: list[float]
    signals: tuple[SignalWish, ...] = ()
    _time_s: float = field(default=0.0, init=False)
    _stands_since_s: float = field(default=np.inf, init=False)

    def enter(self) -> tuple[Actor, ...]:
        """Ahead of the ego, standing."""
        return (self.runner.actor(),)

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """One tick on."""
        self._time_s += tick_s
        is_braking = bool(self.brakes_at_s) and self._time_s >= self.brakes_at_s[0]
        self.runner.drive(tick_s, speed_mps=0.0 if is_braking else self.cruise_mps, change_mps2=self.braking_mps2 if is_braking else 1.8)
        if is_braking and self.runner.speed_mps == 0.0:
            self._stands_since_s = min(self._stands_since_s, self._time_s)
            if self._time_s - self._stands_since_s > self.standing_s:
                self._stands_since_s = np.inf
                self.brakes_at_s.pop(0)
        return (self.runner.actor(),)
