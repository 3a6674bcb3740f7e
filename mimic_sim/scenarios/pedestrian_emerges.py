"""Somebody steps out from between parked cars that hide the kerb: drive slowly beside those, and stop."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.actors import Actor
from mimic_sim.collisions import actor_boxes, touching
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import distances_m
from mimic_sim.road_network import LINE_STEP_M, Line, RoadNetwork
from mimic_sim.staging import (
    EGO_HALF_M,
    EGO_MIDDLE_M,
    PARKING_STEP_M,
    STRIP_M,
    TRIES,
    Cast,
    Empty,
    Runner,
    SignalWish,
    Site,
    lane_length_m,
    parking_m,
    site_along,
)

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

LENGTH_M = (64.0, 130.0)
AFTER_M, BEFORE_M = 26.0, 10.0  # where somebody may step out: from the route's start, and to its end
BEFORE_LANE_END_M = 12.0
KERB_M = 28.0  # of kerb there to park at, so that a car is sure to stand there
BEHIND_CAR_M = (0.6, 0.9)  # from its front bumper to the middle of who steps out there
HIDDEN_M = 0.7  # from there to the end of its side
# From the moment when she can be seen to when a car that does not slow down is there. Enough to react within 0.5 s and
# to brake with 6 m/s², from the 30 km/h of these streets as well as from less.
SEEN_S = (1.35, 1.7)
MET_M = (-0.5, 0.5)  # where across its path such a car meets her
NEAREST_M = 4.0  # she sets out before a car is so near
WALKING_MPS2 = 3.0
WIDEST_M = 14.0  # nobody walks farther to the left


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Along a lane at whose kerb cars can be parked."""
    lanes = [lane for lane in network.lanes if not lane.is_internal and lane_length_m(lane) >= LENGTH_M[0] + BEFORE_LANE_END_M]
    for i in rng.permutation(len(lanes)):
        stations_m = parking_m(network, lanes[i])
        for _ in range(TRIES if len(stations_m) else 0):
            found = site_along(lanes[i], rng, length_m=LENGTH_M, before_end_m=BEFORE_LANE_END_M)
            is_there = (stations_m > found.start_m + AFTER_M) & (stations_m < found.start_m + found.length_m - BEFORE_M)
            if PARKING_STEP_M * is_there.sum() >= KERB_M:
                return found
    return None


def cast(world: "World", rng: np.random.Generator) -> Cast:
    """Somebody behind one of the parked cars, who wants to the other side."""
    line, route = world.lane_line, world.route
    cars = []
    for car in world.parked:
        station_m, left_m = line.project(car.x_m, car.y_m)
        if -STRIP_M < left_m < 0.0 and AFTER_M < station_m + car.length_m / 2.0 - route.start_m < world.length_m - BEFORE_M:
            cars.append((station_m + car.length_m / 2.0, -left_m - car.width_m / 2.0))
    if not cars:
        return Empty()
    front_m, side_m = cars[rng.integers(len(cars))]
    her_m = front_m + float(rng.uniform(*BEHIND_CAR_M))
    seen_s = float(rng.uniform(*SEEN_S))
    speed_mps = (side_m + float(rng.uniform(*MET_M))) / seen_s
    across = _across(world, her_m, from_m=-side_m - HIDDEN_M)
    person = Runner("emerging", "pedestrian", across, 0.0, 0.0, colour=tuple(rng.uniform(0.02, 0.6, 3).tolist()))
    return Emerging(person, line, her_m, speed_mps, seen_s + HIDDEN_M / speed_mps + speed_mps / WALKING_MPS2 / 2.0)


def fault(drive: "DriveResult") -> str:
    """Nothing of its own: not to hit anybody is the test."""
    return ""


@dataclass
class Emerging:
    """A person who stands, and sets out over the road when the ego would be at a station of a line within a time."""

    person: Runner
    line: Line
    station_m: float
    speed_mps: float
    before_s: float
    signals: tuple[SignalWish, ...] = ()

    def enter(self) -> tuple[Actor, ...]:
        """Hidden."""
        return (self.person.actor(),)

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """One tick on."""
        person, ego = self.person, now.ego
        room_m = self.station_m - self.line.project(ego.x_m, ego.y_m)[0] - EGO_MIDDLE_M - EGO_HALF_M
        if person.station_m > 0.0 or 0.0 < room_m < max(ego.speed_mps * self.before_s, NEAREST_M):
            walks = person.station_m < person.line.length_m - 0.5 and not person.faces_ego(now)
            person.drive(tick_s, speed_mps=self.speed_mps if walks else 0.0, change_mps2=WALKING_MPS2)
        return (person.actor(),)


def _across(world: "World", station_m: float, *, from_m: float) -> Line:
    """Straight over the road at a station of the way, from a distance to the left of it to the pavement or a car there."""
    x, y, yaw = world.lane_line.poses(np.array([station_m]))[0]
    left_m = np.arange(from_m, WIDEST_M, LINE_STEP_M)
    points = np.stack([x - left_m * np.sin(yaw), y + left_m * np.cos(yaw)], axis=1)
    is_end = np.any([distances_m(points, path.centre_m) < path.width_m / 2.0 for path in world.network.sidewalks], axis=0)
    is_end |= [bool(touching(np.array([*point, yaw, LINE_STEP_M, LINE_STEP_M]), actor_boxes(world.parked)).any()) for point in points]
    is_end &= left_m > 0.0
    return Line.through(points[: int(np.argmax(is_end)) if is_end.any() else None], closed=False)
