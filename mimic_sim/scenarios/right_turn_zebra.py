"""Right, where people walk over the zebra of the road turned into: let them pass, and go."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.actors import Actor
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import Zebra, zebras
from mimic_sim.road_network import Line, RoadNetwork
from mimic_sim.routing import Way
from mimic_sim.staging import Runner, SignalWish, Site, arrival_s, ending_beyond, green_for, site_through, turnings, way_of

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

BEFORE_M = (35.0, 55.0)
GREEN_S = 45.0
EXIT_M = 8.0  # from the end of the junction's lanes to a zebra that belongs to it
PAVEMENT_M = 3.0  # where they come from and go to, beside the zebra
WALKING_MPS = (1.0, 1.7)
WALKING_MPS2 = 3.0
COUNT = (2, 5)
# When each is before the car, after a blind driver is there: the first for certain, another soon after, others later.
MEETS_S = ((-0.3, 0.3), (0.4, 1.4), (1.5, 3.0), (2.5, 4.0))


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Right with priority, past a give-way line or at signals, into a road with a zebra."""
    places = [t for t in turnings(network) if t.command == "right" and t.rule in (None, "give_way", "signal")]
    for i in rng.permutation(len(places)):
        found = site_through(places[i], rng, before_m=BEFORE_M)
        if found is not None and exit_zebra(network, way_of(network, found)) is not None:
            return ending_beyond(network, found)
    return None


def exit_zebra(network: RoadNetwork, way: Way) -> Zebra | None:
    """The zebra where a way leaves its first junction."""
    turn = way.manoeuvres[0]
    middle_m = (turn.start_m + turn.end_m) / 2.0
    return next((zebra for zebra in zebras(network, way) if middle_m < zebra.start_m < turn.end_m + EXIT_M), None)


def cast(world: "World", rng: np.random.Generator) -> "Walkers":
    """Two to four on foot, in both directions; the signal is green."""
    zebra = exit_zebra(world.network, world.way)
    if zebra is None:
        return Walkers([], [], [], ())
    meeting_m = (zebra.start_m + zebra.end_m) / 2.0
    x, y, _ = world.lane_line.poses(np.array([meeting_m]))[0]
    lines = _walked(zebra)
    first = int(rng.integers(2))
    walkers, speeds_mps, starts_s = [], [], []
    for i in range(int(rng.integers(*COUNT))):
        line, speed_mps = lines[(first + i) % 2], float(rng.uniform(*WALKING_MPS))
        aside_m = float(rng.uniform(0.2, zebra.path.width_m / 2.0 - 0.3))  # everybody keeps to the right
        there_s = arrival_s(world, meeting_m) + float(rng.uniform(*MEETS_S[i]))
        start_s = there_s - line.project(x, y)[0] / speed_mps - speed_mps / WALKING_MPS2 / 2.0
        on_way_m = max(-start_s, 0.0) * speed_mps
        colour = tuple(rng.uniform(0.02, 0.6, 3).tolist())
        walkers.append(Runner(f"walker_{i}", "pedestrian", line, on_way_m, speed_mps if on_way_m else 0.0, -aside_m, colour=colour))
        speeds_mps.append(speed_mps)
        starts_s.append(start_s)
    return Walkers(walkers, speeds_mps, starts_s, green_for(world, GREEN_S))


def fault(drive: "DriveResult") -> str:
    """Nothing of its own: the judge watches the zebra and contacts."""
    return ""


def _walked(zebra: Zebra) -> tuple[Line, Line]:
    """Over a zebra, there and back, from pavement to pavement."""
    points = zebra.path.centre_m
    out = [(a - b) / np.hypot(*(a - b)) * PAVEMENT_M for a, b in ((points[0], points[1]), (points[-1], points[-2]))]
    whole = np.concatenate([[points[0] + out[0]], points, [points[-1] + out[1]]])
    return Line.through(whole, closed=False), Line.through(whole[::-1], closed=False)


@dataclass
class Walkers:
    """Runners on foot who set out at times of their own, and stay where their lines end."""

    walkers: list[Runner]
    speeds_mps: list[float]
    starts_s: list[float]
    signals: tuple[SignalWish, ...]
    _time_s: float = field(default=0.0, init=False)

    def enter(self) -> tuple[Actor, ...]:
        """Beside the zebra, or on their way already."""
        return tuple(walker.actor() for walker in self.walkers)

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """One tick on."""
        self._time_s += tick_s
        for walker, start_s, speed_mps in zip(self.walkers, self.starts_s, self.speeds_mps, strict=True):
            walks = start_s <= self._time_s and walker.station_m < walker.line.length_m - 0.5 and not walker.faces_ego(now)
            walker.drive(tick_s, speed_mps=speed_mps if walks else 0.0, change_mps2=WALKING_MPS2)
        return tuple(walker.actor() for walker in self.walkers)
