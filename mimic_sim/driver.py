"""What the expert decides: whom it follows, where it stops, when it goes. It knows nothing but the road and what it sees.

`look` is told what can be seen at each tick and remembers it; `plan` is pure: it may be asked from any state of the ego,
as often as one likes, and the answer depends on nothing but that state and what was looked at.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.plan import Plan
from mimic_sim import expert
from mimic_sim.actors import Actor
from mimic_sim.ego import EgoMotion
from mimic_sim.expert import Ahead, Lead
from mimic_sim.passing import PASSING_MPS, Pass, Passing
from mimic_sim.right_of_way import SIGNAL, Conflict, Zebra, conflicts, waiting_lines, zebras
from mimic_sim.sight import Seen

if TYPE_CHECKING:
    from mimic_sim.world import World

HORIZON_M = 90.0  # ahead of the car
SIDE_MARGIN_M, PARKED_MARGIN_M = 0.35, 0.15  # beside the car that others are kept out of
STANDING_MPS = 0.3
BUMPER_M = 0.4  # the front bumper stays so far from a stop line
STOP_SIGN_S = 1.0
AT_LINE_M = 3.0  # a car that stands nearer to a stop line than this stands at it
YELLOW_BRAKING_MPS2 = 3.0
STALE_GREEN_S = 1.5
GAP_BEFORE_S, GAP_AFTER_S = 1.2, 1.8  # free time before and after somebody with the right of way
HESITATION_S = 0.7  # how much more a car that waits wants
PARKED_S = 2.0  # who has stood for so long is not about to come
RELUCTANCE_S = 4.0  # at an all-way stop: then it goes first all the same
ROOM_M = 2.0  # beyond a junction, besides the car's length
ON_FOOT_MARGIN_M = 1.2
ON_FOOT_AHEAD_S = 3.0
BEFORE_CONFLICT_M = 1.0
LEAVING_M = 3.0  # who waits nearer than this to a conflict waits inside the junction
BESIDE_PARKED_M = 1.2  # who passes standing cars nearer than this
BESIDE_PARKED_MPS = 6.0  # drives no faster: somebody may step out from behind them
BEFORE_PARKED_M = 4.0


@dataclass(frozen=True, eq=False)
class Other:
    """Somebody in the coordinates of the way's line: station and offset (left) of their middle, half extents along and
    across it, speed along and across it, and how long they have stood."""

    actor: Actor
    station_m: float
    offset_m: float
    half_along_m: float
    half_across_m: float
    along_mps: float
    across_mps: float
    stood_s: float


@dataclass(frozen=True, eq=False)
class Now:
    """What a look shows: the ego, the station of its front bumper, and everybody in view."""

    time_s: float
    ego: EgoMotion
    bumper_m: float
    others: tuple[Other, ...]


@dataclass(frozen=True, eq=False)
class Junction:
    """One on the way, by stations of its line: where it begins and ends, where the front bumper waits before it, lane_id
    that leads into it and the rule of its line (None: no line), and whom the way has to let pass."""

    start_m: float
    end_m: float
    stop_m: float
    lane_id: str
    rule: str | None
    conflicts: tuple[Conflict, ...]


@dataclass
class Memory:
    """What a driver remembers: since when who stands; lights by lane, with the time they were seen; and of junctions, by
    their index on the way, since when it stands there, where it waits, and where it stops for a yellow light."""

    standing_since_s: dict[str, float] = field(default_factory=dict)
    glances: deque[tuple[float, Mapping[str, str]]] = field(default_factory=deque)
    lights: dict[str, str] = field(default_factory=dict)
    light_seen_s: dict[str, float] = field(default_factory=dict)
    stood_since_s: dict[int, float] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)
    stopping_for_yellow: set[int] = field(default_factory=set)


class Driver:
    """The sighted expert on one world's way."""

    def __init__(self, world: "World") -> None:
        self._world, self._style, self._line, vehicle = world, world.driving.style, world.way.line, world.vehicle
        self._front_m, self._half_m, self._length_m = vehicle.length_m - vehicle.rear_overhang_m, vehicle.width_m / 2.0, vehicle.length_m
        self._junctions = junctions(world)
        self._zebras = zebras(world.network, world.way)
        self._memory = Memory()
        self._passing = Passing(world)
        self._ahead = expert.FREE
        self._follow(None)

    def look(self, seen: Seen) -> None:
        """Take in what can be seen now, once per tick, in order."""
        moment = seen.moment
        time_s = moment.stamp_ns / 1e9
        if time_s % expert.LOOKS_AWAY_EVERY_S < self._style.away_s:
            return
        self._glance(time_s, seen.light_states())
        self._note_who_stands(time_s, moment.actors)
        bumper_m = self._line.project(moment.ego.x_m, moment.ego.y_m)[0] + self._front_m
        now = Now(time_s, moment.ego, bumper_m, tuple(self._in_line_coordinates(moment.actors, time_s)))
        before, waits_m = self._passing.path, self._passing.look(now, seen.eyes)
        path, passed = self._passing.path, self._passing.under_way
        if path is not before:
            self._follow(path)
        if path is not None:
            now = replace(now, others=tuple(replace(o, offset_m=o.offset_m - float(path.at(o.station_m))) for o in now.others))
        leads = [lead for other in now.others if (lead := self._lead(other, now)) is not None]
        stops = [self._stop_at(i, junction, now) for i, junction in enumerate(self._junctions)]
        stops += [zebra.start_m - ROOM_M / 2.0 if self._is_walked_on(zebra, now) else None for zebra in self._zebras]
        to_driving = np.interp([*(s for s in (*stops, waits_m) if s is not None), *(lead.station_m for lead in leads)], *self._stations).tolist()
        count = len(to_driving) - len(leads)
        moved = tuple(Lead(station_m=s, speed_mps=lead.speed_mps) for s, lead in zip(to_driving[count:], leads, strict=True))
        caps = [self._cap(other) for other in now.others if self._hides_the_kerb(other, now)]
        if passed is not None:
            start_m, end_m = np.interp(passed.beside_m, *self._stations).tolist()
            caps.append((start_m, end_m, PASSING_MPS))
        self._ahead = Ahead(front_m=self._front_m, stops_m=tuple(to_driving[:count]), leads=moved, caps=tuple(caps))

    def plan(self, ego: EgoMotion, *, stamp_ns: int) -> Plan:
        """(21, 6) of CAR in the vehicle frame, from a state of the ego, given what was looked at last."""
        return expert.plan(self._driving, ego, stamp_ns=stamp_ns, ahead=self._ahead)

    def _follow(self, path: Pass | None) -> None:
        """Drive along the expert's line, or beside it."""
        self._driving, marks = self._world.driving, self._line.s_m[::4]
        self._stations = marks, self._on_driving_line(marks)
        if path is not None:
            driving_m = self._driving.line.s_m
            self._driving = expert.moved_aside(self._driving, path.at(np.interp(driving_m, self._stations[1], marks)))
            self._stations = marks, self._on_driving_line(marks)

    def _on_driving_line(self, marks_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """The stations of the driving line (M,) at stations of the way (M,)."""
        return np.maximum.accumulate([self._driving.line.project(x, y)[0] for x, y, _ in self._line.poses(marks_m)])

    def _glance(self, time_s: float, lights: Mapping[str, str]) -> None:
        """A light counts as it was a reaction time ago; out of sight it is remembered, a green one not for long."""
        memory = self._memory
        memory.glances.append((time_s, lights))
        while memory.glances and memory.glances[0][0] <= time_s - self._style.reaction_s + 1e-6:
            glance_s, states = memory.glances.popleft()
            memory.lights.update(states)
            memory.light_seen_s.update(dict.fromkeys(states, glance_s))

    def _note_who_stands(self, time_s: float, actors: Sequence[Actor]) -> None:
        for actor in actors:
            if actor.speed_mps > STANDING_MPS:
                self._memory.standing_since_s.pop(actor.actor_id, None)
            else:
                self._memory.standing_since_s.setdefault(actor.actor_id, time_s)

    def _in_line_coordinates(self, actors: Sequence[Actor], time_s: float) -> Iterator[Other]:
        line = self._line
        for actor in actors:
            station_m, offset_m = line.project(actor.x_m, actor.y_m)
            turn = actor.yaw_rad - float(line.sample(line.yaw_rad, np.array([station_m]))[0])
            c, s = float(np.cos(turn)), float(np.sin(turn))
            half_along_m = (actor.length_m * abs(c) + actor.width_m * abs(s)) / 2.0
            half_across_m = (actor.length_m * abs(s) + actor.width_m * abs(c)) / 2.0
            stood_s = time_s - self._memory.standing_since_s.get(actor.actor_id, time_s)
            yield Other(actor, station_m, offset_m, half_along_m, half_across_m, actor.speed_mps * c, actor.speed_mps * s, stood_s)

    def _lead(self, other: Other, now: Now) -> Lead | None:
        """Somebody who is, or soon will be, where the car wants to drive."""
        near_m = other.station_m - other.half_along_m
        if other.station_m < now.bumper_m - self._front_m / 2.0 or near_m > now.bumper_m + HORIZON_M:
            return None
        reach_m = self._half_m + (PARKED_MARGIN_M if other.stood_s > PARKED_S else SIDE_MARGIN_M) + other.half_across_m
        is_on_foot = other.actor.kind == "pedestrian"
        if is_on_foot and other.actor.speed_mps > STANDING_MPS:
            reach_m += ON_FOOT_MARGIN_M
        if abs(other.offset_m) >= reach_m and not self._comes_into(other, reach_m, near_m, now):
            return None
        if self._crosses(other):
            return None
        if other.along_mps < -1.0 and not is_on_foot:  # it comes towards us
            return Lead(station_m=near_m + 2.0 * other.along_mps, speed_mps=0.0)
        return Lead(station_m=near_m, speed_mps=max(other.along_mps, 0.0))

    def _crosses(self, other: Other) -> bool:
        """Whether somebody is on the move across a junction: that is a question of the right of way."""
        is_on_its_way = other.actor.speed_mps > STANDING_MPS and other.along_mps < 0.7 * other.actor.speed_mps
        return is_on_its_way and any(c.place(other.actor) is not None for junction in self._junctions for c in junction.conflicts)

    def _comes_into(self, other: Other, reach_m: float, near_m: float, now: Now) -> bool:
        """Whether somebody beside the line is about to be on it where and when the car gets there."""
        if other.offset_m * other.across_mps >= 0.0 or abs(other.across_mps) < 0.2:
            return False
        arrives_s = (abs(other.offset_m) - reach_m) / abs(other.across_mps)
        leaves_s = (abs(other.offset_m) + reach_m) / abs(other.across_mps)
        if other.actor.kind == "pedestrian":
            mine_s = max(near_m - now.bumper_m, 0.0) / max(now.ego.speed_mps, 1.0)
            return arrives_s < ON_FOOT_AHEAD_S and mine_s < leaves_s + 1.0
        return other.along_mps > 2.0 * abs(other.across_mps) and arrives_s < 1.5

    def _hides_the_kerb(self, other: Other, now: Now) -> bool:
        """Whether somebody may step out from behind a standing vehicle on the right."""
        stands = other.actor.kind not in ("pedestrian", "bicycle") and other.stood_s > PARKED_S
        is_ahead = now.bumper_m - self._length_m < other.station_m + other.half_along_m < now.bumper_m + HORIZON_M
        return stands and is_ahead and 0.0 < -other.offset_m - other.half_across_m - self._half_m < BESIDE_PARKED_M

    def _cap(self, other: Other) -> tuple[float, float, float]:
        """The stretch of the driving line, for the rear axle, beside a standing vehicle, and the speed there."""
        start_m, end_m = np.interp([other.station_m - other.half_along_m, other.station_m + other.half_along_m], *self._stations).tolist()
        return start_m - self._front_m - BEFORE_PARKED_M, end_m, BESIDE_PARKED_MPS

    def _stop_at(self, index: int, junction: Junction, now: Now) -> float | None:
        """Where the bumper has to stop for a junction now; None when the way through it is free."""
        if now.bumper_m > junction.end_m or junction.stop_m > now.bumper_m + HORIZON_M:
            return None
        waiting = self._memory.waiting
        is_before = now.bumper_m < junction.stop_m + 1.0
        if is_before and (self._has_to_stop(index, junction, now) or not self._has_room_beyond(junction, now)):
            waiting.add(index)
            return junction.stop_m
        for conflict in junction.conflicts:
            if now.bumper_m < conflict.start_m + 1.0 and not self._is_clear(conflict, index in waiting, now):
                waiting.add(index)
                waits_inside = junction.rule == SIGNAL or not is_before
                return max(conflict.start_m - BEFORE_CONFLICT_M, junction.stop_m) if waits_inside else junction.stop_m
        waiting.discard(index)
        return None

    def _has_to_stop(self, index: int, junction: Junction, now: Now) -> bool:
        """Whether light or sign forbid to enter."""
        if junction.rule == SIGNAL:
            return self._is_held_by_light(index, junction, now)
        return junction.rule in ("stop", "all_way_stop") and self._is_held_by_sign(index, junction, now)

    def _is_held_by_light(self, index: int, junction: Junction, now: Now) -> bool:
        memory = self._memory
        state = memory.lights.get(junction.lane_id, "unknown")
        if state == "green" and now.time_s - memory.light_seen_s[junction.lane_id] > STALE_GREEN_S:
            state = "unknown"
        if state != "yellow":
            memory.stopping_for_yellow.discard(index)
            return state not in ("green", "off")
        room_m = max(junction.stop_m - now.bumper_m, 0.01)
        if now.ego.speed_mps**2 <= 2.0 * YELLOW_BRAKING_MPS2 * room_m:
            memory.stopping_for_yellow.add(index)
        return index in memory.stopping_for_yellow

    def _is_held_by_sign(self, index: int, junction: Junction, now: Now) -> bool:
        memory = self._memory
        if now.ego.speed_mps < self._style.rolling_mps and junction.stop_m - now.bumper_m < AT_LINE_M:
            memory.stood_since_s.setdefault(index, -np.inf)  # that will do, it thinks
        if now.ego.speed_mps < STANDING_MPS / 2.0 and junction.stop_m - now.bumper_m < AT_LINE_M:
            memory.stood_since_s.setdefault(index, now.time_s)
        since_s = memory.stood_since_s.get(index, now.time_s)
        if now.time_s - since_s < STOP_SIGN_S:
            return True
        if junction.rule == "stop" or now.time_s - since_s > RELUCTANCE_S:
            return False
        return any(self._stands_at_approach(other, junction) and now.time_s - other.stood_s < since_s for other in now.others)

    def _stands_at_approach(self, other: Other, junction: Junction) -> bool:
        """Whether somebody waits to enter a junction from another side."""
        places = ((conflict, conflict.place(other.actor)) for conflict in junction.conflicts)
        return other.actor.speed_mps <= STANDING_MPS and any(p is not None and -15.0 < p - c.path_inside_m < 1.0 for c, p in places)

    def _has_room_beyond(self, junction: Junction, now: Now) -> bool:
        """Whether the car would not have to stand in the junction behind somebody slow."""
        needed_m = junction.end_m + self._length_m + ROOM_M
        for other in now.others:
            is_on_line = abs(other.offset_m) < self._half_m + other.half_across_m
            is_there = junction.start_m < other.station_m and other.station_m - other.half_along_m < needed_m
            if is_on_line and is_there and abs(other.along_mps) < 2.0 and abs(other.across_mps) < 1.0:
                return False
        return True

    def _is_clear(self, conflict: Conflict, is_waiting: bool, now: Now) -> bool:
        """Whether the car can cross a conflict before or after each of those with the right of way."""
        speed_mps, acceleration = now.ego.speed_mps, self._style.acceleration_mps2
        arrives_s = _time_to(conflict.start_m - now.bumper_m, speed_mps, acceleration)
        leaves_s = _time_to(conflict.end_m + self._length_m - now.bumper_m, speed_mps, acceleration)
        hesitation_s = HESITATION_S if is_waiting else 0.0
        is_inside = is_waiting and now.bumper_m > conflict.start_m - LEAVING_M
        through_m = conflict.path_start_m + (conflict.end_m - conflict.start_m)
        for other in now.others:
            place_m = None if other.stood_s > PARKED_S else conflict.place(other.actor)
            if place_m is None or place_m - other.actor.length_m > through_m:
                continue
            room_m = conflict.path_inside_m - place_m
            if is_inside and other.actor.brake and other.actor.speed_mps**2 < 2.0 * YELLOW_BRAKING_MPS2 * room_m:
                continue  # its light has changed, and whoever waits in the junction has to leave it
            comes_s = _time_to(conflict.path_start_m - place_m, other.actor.speed_mps, 1.0)
            goes_s = max(through_m + other.actor.length_m - place_m, 0.0) / max(other.actor.speed_mps, 1.0)
            if leaves_s + GAP_AFTER_S + hesitation_s > comes_s and arrives_s < goes_s + GAP_BEFORE_S:
                return False
        return True

    def _is_walked_on(self, zebra: Zebra, now: Now) -> bool:
        """Whether somebody is on a zebra, or about to step on it, in the car's way or towards it."""
        if now.bumper_m > zebra.start_m + 0.5 or zebra.start_m > now.bumper_m + HORIZON_M:
            return False
        reach_m = self._half_m + ON_FOOT_MARGIN_M
        for other in now.others:
            if other.actor.kind not in ("pedestrian", "bicycle") or not zebra.start_m - 2.5 <= other.station_m <= zebra.end_m + 2.5:
                continue
            is_coming = other.offset_m * other.across_mps < 0.0 and abs(other.across_mps) > STANDING_MPS
            soon_m = abs(other.offset_m) - abs(other.across_mps) * ON_FOOT_AHEAD_S
            is_on = zebra.holds(other.actor.x_m, other.actor.y_m)
            if (is_on and abs(other.offset_m) < reach_m) or (is_coming and soon_m < reach_m):
                return True
        return False


def junctions(world: "World") -> tuple[Junction, ...]:
    """The junctions along a world's way, in order."""
    way = world.way
    lines = waiting_lines(world.network, way)
    met = [c for c in conflicts(world.network, way, width_m=world.vehicle.width_m) if c.has_priority]
    found = []
    for manoeuvre in way.manoeuvres:
        line = next((line for line in lines if -5.0 < manoeuvre.start_m - line.station_m < 10.0), None)
        stop_m = (manoeuvre.start_m if line is None else line.station_m) - BUMPER_M
        own = tuple(c for c in met if manoeuvre.start_m - 1.0 <= c.start_m <= manoeuvre.end_m + 1.0)
        lane_id = "" if line is None else line.lane_id
        found.append(Junction(manoeuvre.start_m, manoeuvre.end_m, stop_m, lane_id, None if line is None else line.rule, own))
    return tuple(found)


def _time_to(distance_m: float, speed_mps: float, acceleration_mps2: float) -> float:
    """Seconds for a distance from a speed, speeding up to at most 4 m/s more."""
    if distance_m <= 0.0:
        return 0.0
    top = max(speed_mps, min(speed_mps + 4.0, 8.0))
    gaining_m = (top**2 - speed_mps**2) / (2.0 * acceleration_mps2)
    if distance_m <= gaining_m:
        return float((np.sqrt(speed_mps**2 + 2.0 * acceleration_mps2 * distance_m) - speed_mps) / acceleration_mps2)
    return float((top - speed_mps) / acceleration_mps2 + (distance_m - gaining_m) / top)
