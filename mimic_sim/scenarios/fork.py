"""A broken-down car in the middle of the lane, with as much room on its left as on its right: take one way and keep to it.

Which one is the driver's own choice. What has been driven here is as often to the left as to the right, so that the mean of
it is to drive into the car.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.actors import Actor
from mimic_sim.moment import Moment
from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import SIZES_M, Runner, SignalWish, Site, site_to_pass
from mimic_sim.traffic import PAINT_SHARES, PAINTS

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

AT_M = (-3.0, 3.0)
OFFSET_M, TURN_RAD = 0.15, 0.05  # about the middle of the lane


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Along a lane that has a strip to park on, where nobody is parked."""
    return site_to_pass(network, rng)


def cast(world: "World", rng: np.random.Generator) -> "Standing":
    """The car that has broken down."""
    ((start_m, end_m),) = world.route.passes_m
    station_m = world.route.start_m + (start_m + end_m) / 2.0 + float(rng.uniform(*AT_M))
    colour, kind = PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARES)], str(rng.choice(["car", "car", "van"]))
    broken = Runner("broken_down", kind, world.lane_line, station_m, 0.0, colour=colour, indicator="both", is_left=True)
    broken.offset_m, broken.heading_rad = float(rng.uniform(-OFFSET_M, OFFSET_M)), float(rng.uniform(-TURN_RAD, TURN_RAD))
    return Standing((broken.actor(),))


def fault(drive: "DriveResult") -> str:
    """Whether the car did not get by beside it."""
    ((start_m, end_m),) = drive.route.passes_m
    is_there = (drive.columns["progress_m"] > start_m) & (drive.columns["progress_m"] < end_m)
    aside_m = float(np.abs(drive.columns["rear_offset_m"][is_there]).max(initial=0.0))
    return "" if aside_m > SIZES_M["car"][1] else f"moved over by only {aside_m:.1f} m"


@dataclass
class Standing:
    """Somebody who stays where they are."""

    actors: tuple[Actor, ...]
    signals: tuple[SignalWish, ...] = ()

    def enter(self) -> tuple[Actor, ...]:
        """From the start."""
        return self.actors

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """As before."""
        return self.actors
