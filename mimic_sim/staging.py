"""What scenarios are made of: sites in a town, and actors that follow a script along a line."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import to_frame
from mimic_sim.actors import Actor
from mimic_sim.moment import Moment
from mimic_sim.parked import CLEAR_M, SHARPEST_1PM
from mimic_sim.right_of_way import Conflict, Link, distances_m, link_of, waiting_lines
from mimic_sim.road_network import Lane, Line, RoadNetwork
from mimic_sim.routing import TURN_RAD, Way, open_way, shortest_way, turn_rad

if TYPE_CHECKING:
    from mimic_sim.route_spec import RouteSpec
    from mimic_sim.world import World

SIZES_M = {  # length, width, height
    "car": (4.5, 1.8, 1.5),
    "van": (5.8, 2.0, 2.4),
    "truck": (8.5, 2.5, 3.4),
    "bus": (12.0, 2.5, 3.2),
    "bicycle": (1.7, 0.65, 1.75),
    "pedestrian": (0.4, 0.5, 1.72),
}
BRAKE_LIGHT_MPS2 = -0.5
STANDING_GAP_M = 2.5
GAP_S = 0.8
SETTING_OFF_MPS2 = 1.8
BEFORE_END_M = 25.0
BEYOND_M = 45.0  # after a junction, until the route ends
SETTING_OFF_S = 0.6  # until an acceleration is there, by its limited jerk and the car's latency
EGO_MIDDLE_M, EGO_HALF_M, EGO_HALF_WIDTH_M = 1.4, 2.3, 0.95  # of a car, from its rear axle
STEP_M = 0.7  # of somebody on foot
PARKING_STEP_M = 2.0
STRIP_M = 3.0  # no strip beside a lane is farther from its middle
TO_PASS_M, PASS_M = (36.0, 65.0), 22.0  # to the middle of what is passed, and the way over and back before and after that
PARKED_M = 14.0  # of the strip to park on, before and after it
AFTER_PASS_M = 12.0  # of the lane
TRIES = 10
FACING_S = 2.0  # for which one reckons that an ego on the wrong side comes nearer
IN_LANE_M = 2.2  # nearer than this to the line is on it


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a route of a scenario runs, in the fields of RouteSpec."""

    start_lane: str
    end_lane: str
    start_m: float
    length_m: float = 0.0
    passes_m: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Turning:
    """A way through a junction: from a lane by an internal lane onto a lane; command: left, right or straight; rule:
    signal, one of the stop line's rules, or None where it has priority."""

    from_lane: Lane
    inner_lane: Lane
    to_lane: Lane
    command: str
    rule: str | None


@dataclass(frozen=True)
class SignalWish:
    """What a signal shows at the start of a route on one link (r, y or G; any green will do), and how long it still does."""

    link: Link
    shows: str
    left_s: float


class Cast(Protocol):
    """The scripted actors of one route, and what its signals show at the start."""

    signals: tuple[SignalWish, ...]

    def enter(self) -> tuple[Actor, ...]:
        """Where they are at tick 0."""

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """Where they are one tick after a moment; called once a tick."""


def turnings(network: RoadNetwork) -> list[Turning]:
    """All ways through the junctions of a network, in its order."""
    by_id = {lane.lane_id: lane for lane in network.lanes}
    rules = {line.lane_id: line.rule for line in network.stop_lines}
    found = []
    for lane in network.lanes:
        for name in () if lane.is_internal else lane.successors:
            after = by_id[name]
            while after.is_internal:
                after = by_id[after.successors[0]]
            turn = turn_rad(by_id, lane, by_id[name])
            command = "straight" if abs(turn) <= TURN_RAD else "left" if turn > 0.0 else "right"
            rule = "signal" if link_of(network, lane.lane_id, name) is not None else rules.get(lane.lane_id)
            found.append(Turning(from_lane=lane, inner_lane=by_id[name], to_lane=after, command=command, rule=rule))
    return found


def lane_length_m(lane: Lane) -> float:
    """The length of a lane's middle."""
    return float(np.hypot(*np.diff(lane.centre_m, axis=0).T).sum())


def site_through(turning: Turning, rng: np.random.Generator, *, before_m: tuple[float, float]) -> Site | None:
    """From a random distance before a junction to the end of the lane beyond; None where the lane is too short."""
    length_m = lane_length_m(turning.from_lane)
    if length_m < before_m[0] + 8.0:
        return None
    start_m = length_m - float(rng.uniform(before_m[0], min(before_m[1], length_m - 6.0)))
    return Site(start_lane=turning.from_lane.lane_id, end_lane=turning.to_lane.lane_id, start_m=round(start_m, 1))


def way_of(network: RoadNetwork, site: "Site | RouteSpec") -> Way:
    """The way that a route takes."""
    return open_way(network, shortest_way(network, site.start_lane, site.end_lane))


def ending_beyond(network: RoadNetwork, site: Site) -> Site:
    """The site without what follows BEYOND_M after its first junction, or with the next junction."""
    way = way_of(network, site)
    after_m = way.manoeuvres[0].end_m
    end_m = after_m + float(np.clip(way.end_m - BEFORE_END_M - after_m, 8.0, BEYOND_M))
    return replace(site, length_m=round(end_m - site.start_m, 1)) if end_m < way.end_m - 1.0 else site


def arrival_s(world: "World", station_m: float) -> float:
    """When one who follows the way as on an empty road has the front bumper at a station of it, after the start."""
    driving, vehicle = world.driving, world.vehicle
    rear_m = np.array([world.route.start_m, station_m - (vehicle.length_m - vehicle.rear_overhang_m)])
    start_m, end_m = (driving.line.project(x, y)[0] for x, y, _ in world.lane_line.poses(rear_m))
    edges_m = np.linspace(start_m, end_m, 200)
    middles_m = (edges_m[1:] + edges_m[:-1]) / 2.0
    reached_mps = np.sqrt(2.0 * driving.style.acceleration_mps2 * (middles_m - start_m))
    speed_mps = np.minimum(driving.line.sample(driving.speed_mps, middles_m), reached_mps)
    return float((np.diff(edges_m) / speed_mps).sum()) + SETTING_OFF_S


def green_for(world: "World", left_s: float) -> tuple[SignalWish, ...]:
    """Green at the end of the lane where the route begins, if there is a signal."""
    links = (line.link for line in waiting_lines(world.network, world.way) if line.lane_id == world.route.start_lane)
    return tuple(SignalWish(link, "G", left_s) for link in links if link is not None)


@dataclass
class Empty:
    """A cast of nobody."""

    signals: tuple[SignalWish, ...] = ()

    def enter(self) -> tuple[Actor, ...]:
        """Nobody."""
        return ()

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """Nobody."""
        return ()


def site_along(lane: Lane, rng: np.random.Generator, *, length_m: tuple[float, float], before_end_m: float = BEFORE_END_M) -> Site:
    """A random length of a lane, which ends before_end_m before it, where nothing at the next junction matters yet."""
    room_m = lane_length_m(lane) - before_end_m
    drive_m = min(float(rng.uniform(*length_m)), room_m - 1.0)
    start_m = float(rng.uniform(1.0, room_m - drive_m))
    return Site(start_lane=lane.lane_id, end_lane=lane.lane_id, start_m=round(start_m, 1), length_m=round(drive_m, 1))


def parking_m(network: RoadNetwork, lane: Lane) -> NDArray[np.float64]:
    """Stations of a lane, every PARKING_STEP_M, beside which a car may be parked on the right."""
    line = network.line([lane.lane_id])
    stations_m = np.arange(0.0, line.length_m, PARKING_STEP_M)
    is_parking = np.zeros(len(stations_m), bool)
    for strip in network.parking:
        if distances_m(strip.centre_m[[len(strip.centre_m) // 2]], lane.centre_m)[0] > STRIP_M:
            continue
        beside = Line.through(strip.centre_m, closed=False)
        for i, (x, y, _) in enumerate(line.poses(stations_m)):
            along_m, left_m = beside.project(x, y)
            is_straight = abs(float(beside.sample(beside.curvature_1pm, np.array([along_m]))[0])) < SHARPEST_1PM
            is_parking[i] |= left_m > 0.0 and CLEAR_M < along_m < beside.length_m - CLEAR_M and is_straight
    return stations_m[is_parking]


def site_to_pass(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Along a lane at whose kerb cars may be parked, where one can be passed: halfway along passes_m."""
    lanes = [lane for lane in network.lanes if not lane.is_internal and lane_length_m(lane) > TO_PASS_M[0] + PASS_M + AFTER_PASS_M + 1.0]
    for i in rng.permutation(len(lanes)):
        stations_m, room_m = parking_m(network, lanes[i]), lane_length_m(lanes[i]) - PASS_M - AFTER_PASS_M
        for _ in range(TRIES if len(stations_m) else 0):
            to_m = float(rng.uniform(TO_PASS_M[0], min(TO_PASS_M[1], room_m - 1.0)))
            start_m = float(rng.uniform(1.0, room_m - to_m))
            is_there = np.abs(stations_m - start_m - to_m) < PARKED_M
            if PARKING_STEP_M * (is_there.sum() + 1) >= 2.0 * PARKED_M:
                passes_m = ((round(to_m - PASS_M, 1), round(to_m + PASS_M, 1)),)
                start_m, length_m = round(start_m, 1), round(to_m + PASS_M, 1)
                return Site(start_lane=lanes[i].lane_id, end_lane=lanes[i].lane_id, start_m=start_m, length_m=length_m, passes_m=passes_m)
    return None


@dataclass
class Runner:
    """An actor that follows a line: station and speed of its middle, and how far it is to the left of the line."""

    actor_id: str
    kind: str
    line: Line
    station_m: float
    speed_mps: float
    offset_m: float = 0.0
    heading_rad: float = 0.0  # against the line's direction
    colour: tuple[float, float, float] = (0.42, 0.02, 0.02)
    indicator: str = "none"
    is_left: bool = False  # nobody is in it, so that it has no brake lights on while it stands
    acceleration_mps2: float = field(default=0.0, init=False)

    def actor(self) -> Actor:
        """As it is now, in the steps of a trace."""
        x, y, yaw = self.line.poses(np.array([self.station_m]))[0]
        x, y = x - self.offset_m * np.sin(yaw), y + self.offset_m * np.cos(yaw)
        length_m, width_m, height_m = SIZES_M[self.kind]
        return Actor(
            actor_id=self.actor_id,
            kind=self.kind,
            x_m=round(float(x), 3),
            y_m=round(float(y), 3),
            yaw_rad=round(float(np.remainder(yaw + self.heading_rad + np.pi, 2.0 * np.pi) - np.pi), 4),
            speed_mps=round(self.speed_mps, 2),
            length_m=length_m,
            width_m=width_m,
            height_m=height_m,
            brake=self.kind != "pedestrian" and (self.acceleration_mps2 < BRAKE_LIGHT_MPS2 or (self.speed_mps == 0.0 and not self.is_left)),
            indicator=self.indicator,
            colour=self.colour,
        )

    def drive(self, tick_s: float, *, speed_mps: float, change_mps2: float = 2.0, offset_m: float | None = None, aside_mps: float = 1.2) -> None:
        """Go on for one tick, towards a speed and an offset."""
        change = float(np.clip(speed_mps - self.speed_mps, -change_mps2 * tick_s, change_mps2 * tick_s))
        self.acceleration_mps2 = change / tick_s
        self.station_m += (self.speed_mps + change / 2.0) * tick_s
        self.speed_mps = max(self.speed_mps + change, 0.0)
        if offset_m is not None:
            aside = float(np.clip(offset_m - self.offset_m, -aside_mps * tick_s, aside_mps * tick_s))
            self.offset_m += aside
            self.heading_rad = float(np.arctan2(aside / tick_s, max(self.speed_mps, 1.0)))

    def room_before_ego_m(self, now: Moment) -> float:
        """From its front to the ego, where that is ahead on its line; infinite else."""
        ego = now.ego
        station_m, offset_m = self.line.project(ego.x_m + EGO_MIDDLE_M * np.cos(ego.yaw_rad), ego.y_m + EGO_MIDDLE_M * np.sin(ego.yaw_rad))
        if abs(offset_m - self.offset_m) > IN_LANE_M or station_m < self.station_m:
            return np.inf
        return station_m - self.station_m - EGO_HALF_M - SIZES_M[self.kind][0] / 2.0

    def meets_ego(self, now: Moment) -> bool:
        """Whether the ego's direction is against its own."""
        yaw_rad = self.line.poses(np.array([self.station_m]))[0, 2]
        return bool(np.cos(now.ego.yaw_rad - yaw_rad) < 0.0)

    def faces_ego(self, now: Moment) -> bool:
        """Whether the ego is where one on foot would be with the next step."""
        actor, ego = self.actor(), now.ego
        ahead = np.array([[actor.x_m + STEP_M * np.cos(actor.yaw_rad), actor.y_m + STEP_M * np.sin(actor.yaw_rad), actor.yaw_rad]])
        x, y, _ = to_frame(ahead, ego.pose)[0]
        return bool(abs(x - EGO_MIDDLE_M) < EGO_HALF_M + STEP_M / 2.0 and abs(y) < EGO_HALF_WIDTH_M + STEP_M / 2.0)


def careful_speed_mps(room_m: float, wanted_mps: float, *, ahead_mps: float = 0.0, braking_mps2: float = 3.0) -> float:
    """The highest speed up to a wanted one from which one can get down to that of somebody ahead, behind them."""
    braking_m = room_m - STANDING_GAP_M - GAP_S * ahead_mps
    return min(wanted_mps, float(np.sqrt(max(ahead_mps**2 + 2.0 * braking_mps2 * braking_m, 0.0))))


@dataclass
class Platoon:
    """Runners on one line, the foremost first, who set out at a time; none drives into another or into the ego."""

    runners: list[Runner]
    speed_mps: float
    signals: tuple[SignalWish, ...] = ()
    sets_out_s: float = 0.0
    facing_room_m: float = 0.0  # left to an ego that comes towards them on their line
    _time_s: float = field(default=0.0, init=False)

    def time_to(self, distance_m: float) -> float:
        """How long the foremost takes for a distance, after setting out."""
        gaining_m = self.speed_mps**2 / 2.0 / SETTING_OFF_MPS2
        if distance_m < gaining_m:
            return float(np.sqrt(2.0 * max(distance_m, 0.0) / SETTING_OFF_MPS2))
        return self.speed_mps / SETTING_OFF_MPS2 + (distance_m - gaining_m) / self.speed_mps

    def enter(self) -> tuple[Actor, ...]:
        """In a queue."""
        return tuple(runner.actor() for runner in self.runners)

    def step(self, now: Moment, tick_s: float) -> tuple[Actor, ...]:
        """One tick on; who comes to the end of the line is gone."""
        self._time_s += tick_s
        before_m, before_mps = np.inf, 0.0
        for runner in self.runners if self._time_s > self.sets_out_s else ():
            half_m = SIZES_M[runner.kind][0] / 2.0
            room_m, faces = runner.room_before_ego_m(now), runner.meets_ego(now)
            ego = (room_m - self.facing_room_m - FACING_S * now.ego.speed_mps, 0.0) if faces and self.facing_room_m else (room_m, now.ego.speed_mps)
            ahead = (before_m - runner.station_m - half_m, before_mps), ego
            wanted_mps = min(careful_speed_mps(room_m, self.speed_mps, ahead_mps=mps) for room_m, mps in ahead)
            runner.drive(tick_s, speed_mps=wanted_mps, change_mps2=SETTING_OFF_MPS2 if wanted_mps >= runner.speed_mps else 6.0)
            before_m, before_mps = runner.station_m - half_m, runner.speed_mps
        self.runners = [runner for runner in self.runners if runner.station_m < runner.line.length_m - 1.0]
        return tuple(runner.actor() for runner in self.runners)


def platoon(conflict: Conflict, rng: np.random.Generator, *, first_m: float, count: int, signals: tuple[SignalWish, ...] = ()) -> Platoon:
    """A queue of cars on the way to a conflict, whose foremost front is first_m before it, or as far as the road goes."""
    kinds = rng.choice(["car", "car", "car", "van"], count)
    station_m = max(conflict.path_start_m - first_m, 12.0 * count)
    runners = []
    for i, kind in enumerate(kinds):
        runners.append(Runner(f"platoon_{i}", str(kind), conflict.path, station_m - SIZES_M[str(kind)][0] / 2.0, 0.0, indicator=conflict.indicator))
        station_m -= SIZES_M[str(kind)][0] + float(rng.uniform(3.5, 7.0))
    return Platoon(runners, float(rng.uniform(9.0, 12.5)), signals)
