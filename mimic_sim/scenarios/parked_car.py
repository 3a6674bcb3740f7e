"""A parked car in the way. One stands askew and sticks into the lane: move over a little. One has stopped to deliver: wait
for those who come towards the car, and pass. Or one pulls out before the car: slow down and follow it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.actors import Actor
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import distances_m
from mimic_sim.road_network import Line, RoadNetwork
from mimic_sim.staging import EGO_HALF_M, EGO_HALF_WIDTH_M, EGO_MIDDLE_M, SIZES_M, Cast, Platoon, Runner, SignalWish, Site, arrival_s, site_to_pass
from mimic_sim.traffic import PAINT_SHARES, PAINTS

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

WAYS = ("askew", "delivers", "pulls_out")
STICKS_IN_M = (0.3, 0.8)  # into the way of a car in the middle of the lane
ASKEW_RAD = (0.04, 0.12)
DELIVERS_AT_M = (-0.5, 0.2)  # left of the lane's middle
KERB_M = 1.1  # from the lane's edge to the middle of a parked car
COMING = (1, 4)
COMING_MPS = (8.0, 11.0)
FACING_ROOM_M = 14.0  # so much they leave a car that is on their side
COMING_GAP_M = (5.0, 12.0)
COMING_LATE_S = (-2.0, 3.0)  # after when a car that does not wait is there
PULLS_OUT_S, LOOKS_S = (1.9, 2.5), 1.5  # before such a car is there; and so long before it indicates
OUT_MPS, OUT_ASIDE_MPS, ON_MPS, ON_AFTER_S = 3.5, 1.2, 9.0, 4.0
HARD_BRAKING_MPS2 = 3.2
OPPOSITE_COS, BESIDE_M = -0.9, 5.0


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Along a lane at whose kerb cars are parked."""
    return site_to_pass(network, rng)


def cast(world: "World", rng: np.random.Generator) -> Cast:
    """The parked car, and those who come towards it."""
    ((start_m, end_m),) = world.route.passes_m
    station_m = world.route.start_m + (start_m + end_m) / 2.0
    way = WAYS[rng.integers(len(WAYS))]
    kind = str(rng.choice(["van", "truck"] if way == "delivers" else ["car", "car", "van"]))
    width_m = SIZES_M[kind][1]
    edge_m = -world.way.lane_at(station_m).width_m / 2.0
    car = Runner("parked", kind, world.lane_line, station_m, 0.0, edge_m - KERB_M, colour=PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARES)], is_left=True)
    if way == "pulls_out":
        return PullsOut(car, float(rng.uniform(*PULLS_OUT_S)))
    if way == "askew":
        car.offset_m, car.heading_rad = -EGO_HALF_WIDTH_M - width_m / 2.0 + float(rng.uniform(*STICKS_IN_M)), float(rng.uniform(*ASKEW_RAD))
    else:
        car.offset_m, car.indicator = float(rng.uniform(*DELIVERS_AT_M)), "both"
    return Standing(car.actor(), _coming(world, rng, station_m))


def fault(drive: "DriveResult") -> str:
    """Whether somebody who came towards the car had to brake hard for it."""
    trace = drive.trace
    for who, look in enumerate(trace.looks):
        if look.actor_id.startswith("coming_"):
            speed_mps = trace.columns["speed_mps"][trace.columns["who"] == who] / 100.0
            hardest_mps2 = float(-np.diff(speed_mps).min(initial=0.0)) / drive.route.tick_s
            if hardest_mps2 > HARD_BRAKING_MPS2:
                return f"made '{look.actor_id}' brake with {hardest_mps2:.1f} m/s²"
    return ""


def _coming(world: "World", rng: np.random.Generator, station_m: float) -> Platoon:
    """Those on the oncoming lane, nobody where there is none; the first is beside a station of the way about when the car is."""
    x, y, yaw = world.lane_line.poses(np.array([station_m]))[0]
    line = _opposite(world.network, x, y, yaw)
    count, speed_mps, late_s = int(rng.integers(*COMING)), float(rng.uniform(*COMING_MPS)), float(rng.uniform(*COMING_LATE_S))
    if line is None:
        return Platoon([], speed_mps)
    row = Platoon([], speed_mps, facing_room_m=FACING_ROOM_M)
    beside_m = line.project(x, y)[0]
    first_m = max(beside_m - speed_mps * max(arrival_s(world, station_m) + late_s, 0.0), 12.0 * count)
    row.sets_out_s = max(arrival_s(world, station_m) + late_s - row.time_to(beside_m - first_m), 0.0)
    for i in range(count):
        kind = str(rng.choice(["car", "car", "van"]))
        row.runners.append(Runner(f"coming_{i}", kind, line, first_m, 0.0, colour=PAINTS[rng.choice(len(PAINTS), p=PAINT_SHARES)]))
        first_m -= SIZES_M[kind][0] + float(rng.uniform(*COMING_GAP_M))
    row.runners = [runner for runner in row.runners if runner.station_m > 3.0]
    return row


def _opposite(network: RoadNetwork, x_m: float, y_m: float, yaw_rad: float) -> Line | None:
    """The lane beside a place that leads the other way."""
    for lane in network.lanes:
        if not lane.is_internal and distances_m(np.array([[x_m, y_m]]), lane.centre_m)[0] < BESIDE_M:
            line = network.line([lane.lane_id])
            if np.cos(line.poses(np.array([line.project(x_m, y_m)[0]]))[0, 2] - yaw_rad) < OPPOSITE_COS:
                return line
    return None


@dataclass
class Standing:
    """A car that stays where it is, and a row of others."""

    car: Actor
    coming: Platoon
    signals: tuple[SignalWish, ...] = ()

    def enter(self) -> tuple[Actor, ...]:
        """At the kerb, and at the end of the street."""
        return (self.car, *self.coming.enter())

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """One tick on."""
        return (self.car, *self.coming.step(now, tick_s))


@dataclass
class PullsOut:
    """Indicates and pulls out when the ego would be there within a time."""

    car: Runner
    before_s: float
    signals: tuple[SignalWish, ...] = ()
    _out_s: float = field(default=0.0, init=False)

    def enter(self) -> tuple[Actor, ...]:
        """At the kerb."""
        return (self.car.actor(),)

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """One tick on."""
        car, ego = self.car, now.ego
        room_m = car.station_m - SIZES_M[car.kind][0] / 2.0 - car.line.project(ego.x_m, ego.y_m)[0] - EGO_MIDDLE_M - EGO_HALF_M
        if self._out_s > 0.0 or (0.0 < room_m < ego.speed_mps * self.before_s):
            self._out_s += tick_s
            car.drive(tick_s, speed_mps=OUT_MPS if self._out_s < ON_AFTER_S else ON_MPS, offset_m=0.0, aside_mps=OUT_ASIDE_MPS)
        is_out = self._out_s > 0.0 and abs(car.offset_m) < 0.5
        car.indicator = "left" if not is_out and room_m < ego.speed_mps * (self.before_s + LOOKS_S) else "none"
        return (car.actor(),)
