"""The judge of a drive: it looks at every tick and notes what the ego does wrong, each thing once.

Collisions, by what is hit (collisions.py says whose fault each is). And, always the ego's fault:

- red_light: the front bumper crosses the line of a signal that was red, or red and yellow, when the tick began.
- stop_sign: it crosses the line of a stop sign or an all-way stop, and has not stood from 3 m before to 1 m past it.
- failing_to_yield, to a vehicle: the ego is where a lane crosses or joins its way that has priority over it, and a
  vehicle that comes along there, and doesn't face red or yellow, would have to brake harder than 3 m/s² not to reach the
  ego: to stop before the crossing, unless the ego is out of it sooner at its present speed; or, where it joins, to get
  down to the ego's speed. A signal's protected green ("G") frees the ego of this; if it ran a red, that is noted instead.
- failing_to_yield, on a zebra: the front bumper moves over it while somebody on it, not behind the car, is in the
  car's path or within 1 m of it, and not walking away from it.
- blocked_box: the ego has stood for 3 s where a lane crosses or joins its way, and a vehicle stands before it that is
  free to go: it has a protected green, or without signals priority.
- outside_lane: the middle of an axle, so half of the car, is beyond the edge of the lane. Necessary passes are exempt.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.vehicle import VehicleSpec
from mimic_sim import events
from mimic_sim.actors import Actor
from mimic_sim.collisions import ContactWatch, ego_box, touching
from mimic_sim.events import Event
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import Conflict, Link, Zebra, conflicts, waiting_lines, zebras
from mimic_sim.road_network import RoadNetwork
from mimic_sim.routing import Way

STOOD_MPS = 0.2  # slower than this the ego stands, as far as anybody could tell
BEFORE_LINE_M, PAST_LINE_M = 3.0, 1.0  # where standing counts as a stop: SUMO's cars stop half a metre past the line
HARD_BRAKING_MPS2 = 3.0
STOP_SHORT_M = 1.0  # those who are hindered may stop so far into the conflict: the edge of it is wide
ZEBRA_MPS = 0.5  # slower than this the ego lets people pass
ASIDE_M = 1.0
OFF_WAY_M = 3.0  # farther beside its way the ego is somewhere else, and in nobody's way there
BLOCKING_S = 3.0
HELD_UP_M = 15.0
HELD_UP_MPS = 0.5
AGAIN_S = 5.0  # the same thing is noted again when it had ceased for so long

NO_BOXES = np.zeros((0, 5))


class Judge:
    """Judges one drive along a way. static_boxes: (N, 5) float64 [x_m, y_m, yaw_rad, length_m, width_m] of what stands
    beside the road; `look` is called once a tick, after the move, in order of time."""

    def __init__(self, network: RoadNetwork, way: Way, vehicle: VehicleSpec, *, static_boxes: NDArray[np.float64] = NO_BOXES) -> None:
        self.way, self.vehicle, self.static_boxes = way, vehicle, static_boxes
        self.lines = waiting_lines(network, way)
        self.conflicts = conflicts(network, way, width_m=vehicle.width_m)
        self.zebras = zebras(network, way)
        self._contacts = ContactWatch(vehicle)
        self._front_m: float | None = None  # station of the front bumper at the last tick
        self._shown: Mapping[str, str] = {}  # by the signals at the last tick
        self._stood_at_m = -np.inf  # where the front bumper was when the ego last stood
        self._stands_since_s: float | None = None
        self._entered_on: dict[Link, str] = {}  # what the signal showed when its line was crossed
        self._last_s: dict[tuple[str, str], float] = {}

    def look(self, moment: Moment, *, time_s: float, station_m: float, progress_m: float, lane_margin_m: float) -> tuple[Event, ...]:
        """What begins at this tick. station_m: of the rear axle on the way; lane_margin_m: how far the middle of an axle may
        be from the lane's with the whole width inside (infinite where leaving the lane is necessary)."""
        place = _Place.of(moment, self.way, self.vehicle, station_m=station_m)
        if abs(place.speed_mps) >= STOOD_MPS:
            self._stands_since_s = None
        else:
            self._stood_at_m = place.front_m
            self._stands_since_s = time_s if self._stands_since_s is None else self._stands_since_s

        def event(kind: str, what: str | Actor, *, at_fault: bool = True) -> Event:
            who, other_speed_mps = (what, 0.0) if isinstance(what, str) else (what.actor_id, what.speed_mps)
            speeds = {"ego_speed_mps": place.speed_mps, "other_speed_mps": other_speed_mps}
            return Event(time_s=time_s, kind=kind, with_what=who, progress_m=progress_m, **speeds, at_fault=at_fault)

        contacts = self._contacts.look(time_s, place.pose, moment.actors, ego_speed_mps=place.speed_mps, in_lane=place.offset_m <= lane_margin_m)
        collisions = [event(_collision_with(contact.actor), contact.actor, at_fault=contact.at_fault) for contact in contacts]
        found = [event(events.STATIC_COLLISION, what) for what in self._static_contacts(place)]
        found += [event(kind, lane_id) for kind, lane_id in self._lines_crossed(place)]
        found += [event(events.FAILING_TO_YIELD, actor) for actor in self._hindered(place, moment) + self._hindered_on_foot(place, moment)]
        found += [event(events.BLOCKED_BOX, lane_id) for lane_id in self._blocked_boxes(place, moment, time_s)]
        if place.offset_m > lane_margin_m + self.vehicle.width_m / 2.0:
            found.append(event(events.OUTSIDE_LANE, "lane"))
        self._front_m, self._shown = place.front_m, moment.signals
        return (*collisions, *(noted for noted in found if self._is_new(noted)))

    def _is_new(self, noted: Event) -> bool:
        """Whether a thing begins, for things that last."""
        key = (noted.kind, noted.with_what)
        last_s, self._last_s[key] = self._last_s.get(key, -np.inf), noted.time_s
        return noted.time_s - last_s > AGAIN_S

    def _static_contacts(self, place: "_Place") -> list[str]:
        box = ego_box(place.pose, self.vehicle)
        return [f"box_{i}" for i in np.flatnonzero(touching(box, self.static_boxes))]

    def _lines_crossed(self, place: "_Place") -> list[tuple[str, str]]:
        """Kind and lane of each line crossed wrongly in this tick."""
        found = []
        for line in self.lines:
            if line.link is not None and self._passes(line.station_m, place):
                self._entered_on[line.link] = shown = line.link.shown(self._shown)
                if shown in ("r", "u"):
                    found.append((events.RED_LIGHT, line.lane_id))
            has_stopped = line.station_m - BEFORE_LINE_M <= self._stood_at_m <= line.station_m + PAST_LINE_M
            if line.rule in ("stop", "all_way_stop") and not has_stopped and self._passes(line.station_m + PAST_LINE_M, place):
                found.append((events.STOP_SIGN, line.lane_id))
        return found

    def _passes(self, station_m: float, place: "_Place") -> bool:
        return self._front_m is not None and self._front_m < station_m <= place.front_m

    def _hindered(self, place: "_Place", moment: Moment) -> list[Actor]:
        """The vehicles with priority that would have to brake hard for the ego."""
        found = []
        for conflict in self._occupied(place):
            own = "" if conflict.own_link is None else self._entered_on.get(conflict.own_link, "")
            if not conflict.has_priority or own in ("G", "r", "u"):
                continue
            for actor in moment.actors:
                at_m = conflict.place(actor)
                if at_m is not None and _may_go(conflict, at_m, moment.signals) and _is_cut_off(conflict, actor, at_m, place):
                    found.append(actor)
        return found

    def _hindered_on_foot(self, place: "_Place", moment: Moment) -> list[Actor]:
        if place.speed_mps < ZEBRA_MPS:
            return []
        here = [zebra for zebra in self.zebras if zebra.start_m <= place.front_m <= zebra.end_m]
        people = [actor for actor in moment.actors if actor.kind == "pedestrian"]
        return [person for zebra in here for person in people if self._is_in_the_way(zebra, person, place)]

    def _is_in_the_way(self, zebra: Zebra, person: Actor, place: "_Place") -> bool:
        if not zebra.holds(person.x_m, person.y_m):
            return False
        line = self.way.line
        station_m, left_m = self.way.project_near(person.x_m, person.y_m, station_m=zebra.start_m)
        leftwards_mps = person.speed_mps * np.sin(person.yaw_rad - line.sample(line.yaw_rad, np.array([station_m]))[0])
        left_m -= place.left_m
        beside_m = abs(left_m) - self.vehicle.width_m / 2.0
        walks_away = beside_m > 0.0 and leftwards_mps * np.sign(left_m) > 0.1
        return station_m > place.rear_m and beside_m < ASIDE_M and not walks_away

    def _blocked_boxes(self, place: "_Place", moment: Moment, time_s: float) -> list[str]:
        """The lanes of the way on which the ego stands before somebody who is free to go."""
        if self._stands_since_s is None or time_s - self._stands_since_s < BLOCKING_S:
            return []
        return sorted({conflict.lane_id for conflict in self._occupied(place) if _holds_up(conflict, moment)})

    def _occupied(self, place: "_Place") -> list[Conflict]:
        """The conflicts that a part of the ego is in."""
        if abs(place.left_m) > OFF_WAY_M:
            return []
        return [conflict for conflict in self.conflicts if conflict.start_m <= place.front_m and place.rear_m <= conflict.end_m]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the ego is: stations of its bumpers on the way; how far left of the lane's middle its front is; and how far
    the middle of the farther axle is from it."""

    pose: NDArray[np.float64]
    rear_bumper: NDArray[np.float64]
    speed_mps: float
    front_m: float
    rear_m: float
    left_m: float
    offset_m: float

    @classmethod
    def of(cls, moment: Moment, way: Way, vehicle: VehicleSpec, *, station_m: float) -> "_Place":
        ego = moment.ego
        ahead = np.array([np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)])

        def on_way(reach_m: float) -> tuple[float, float]:
            x, y = ego.pose[:2] + reach_m * ahead
            return way.project_near(x, y, station_m=station_m)

        front_m, left_m = on_way(vehicle.length_m - vehicle.rear_overhang_m)
        return cls(
            pose=ego.pose,
            rear_bumper=ego.pose[:2] - vehicle.rear_overhang_m * ahead,
            speed_mps=ego.speed_mps,
            front_m=front_m,
            rear_m=front_m - vehicle.length_m,
            left_m=left_m,
            offset_m=max(abs(on_way(reach_m)[1]) for reach_m in (0.0, vehicle.wheelbase_m)),
        )


def _collision_with(actor: Actor) -> str:
    return events.PEDESTRIAN_COLLISION if actor.kind == "pedestrian" else events.VEHICLE_COLLISION


def _holds_up(conflict: Conflict, moment: Moment) -> bool:
    """Whether a vehicle that is free to go stands before a conflict."""
    if not (conflict.has_priority if conflict.link is None else conflict.link.shown(moment.signals) == "G"):
        return False
    places = (conflict.place(actor) for actor in moment.actors if actor.speed_mps < HELD_UP_MPS)
    return any(at_m is not None and 0.0 <= conflict.path_start_m - at_m < HELD_UP_M for at_m in places)


def _may_go(conflict: Conflict, at_m: float, signals: Mapping[str, str]) -> bool:
    """Whether one on a crossing lane need not wait for a signal: it is in the junction already, or its signal lets it go."""
    return at_m > conflict.path_inside_m or conflict.link is None or conflict.link.shown(signals) not in ("r", "u", "y")


def _is_cut_off(conflict: Conflict, actor: Actor, at_m: float, ego: _Place) -> bool:
    """Whether the ego, which is in a conflict, makes an actor brake hard whose front bumper is at a station of the path."""
    ego_mps = max(ego.speed_mps, 0.0)
    if conflict.is_merge:
        gap_m, closing_mps = conflict.path.project(*ego.rear_bumper)[0] - at_m, max(actor.speed_mps - ego_mps, 0.0)
        arrives_first = True
    else:
        gap_m, closing_mps = conflict.path_start_m - at_m, actor.speed_mps
        ego_is_out_s = (conflict.end_m - ego.rear_m) / max(ego_mps, STOOD_MPS)
        arrives_first = gap_m < actor.speed_mps * ego_is_out_s
    return gap_m > 0.0 and arrives_first and closing_mps**2 > 2.0 * HARD_BRAKING_MPS2 * (gap_m + STOP_SHORT_M)
