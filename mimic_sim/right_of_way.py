"""Who may go first along a way: the lines where it waits, the lanes that cross it in junctions, and its zebras."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimic_sim.actors import Actor
from mimic_sim.road_network import Lane, Line, Path, RoadNetwork
from mimic_sim.routing import TURN_RAD, Way, turn_rad

SIGNAL = "signal"
STEP_M = 0.5
VEHICLE_WIDTH_M = 2.0  # of those who cross: a wide car
JUNCTION_M = 80.0  # no junction is larger
APPROACH_M = 80.0  # of a crossing lane that is watched before the junction
MERGE_M = 10.0  # beyond a junction, in which one who joins is still joining
KERB_M = 0.3  # into a zebra: who is nearer to its end waits
HEADING_RAD = np.radians(45.0)

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Link:
    """One character of a signal's state string: what it shows those who go one way through its junction."""

    signal_id: str
    index: int

    def shown(self, signals: Mapping[str, str]) -> str:
        """SUMO's character for the link: r, y, g, G and so on; empty where the signal says nothing."""
        return signals.get(self.signal_id, "")[self.index : self.index + 1]


@dataclass(frozen=True, kw_only=True)
class WaitingLine:
    """A line that the way crosses: its station, its lane, rule (one of STOP_RULES), and the signal's link if any."""

    station_m: float
    lane_id: str
    rule: str
    link: Link | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Conflict:
    """A lane that crosses or joins a lane of the way inside a junction, both as wide as the cars on them.

    lane_id, crossing_id: the way's lane and the other. start_m, end_m: the stations of the way between which a car is in the way
    of the other lane's traffic. path: the other lane with its approach, path_inside_m its station where the junction begins,
    path_start_m where the conflict begins. has_priority: the way's lane yields to it. is_merge: both lead into one lane.
    own_link, link: the signals' links of the way's lane and of the other.
    """

    lane_id: str
    crossing_id: str
    start_m: float
    end_m: float
    path: Line
    path_inside_m: float
    path_start_m: float
    width_m: float
    has_priority: bool
    is_merge: bool
    indicator: str
    own_link: Link | None
    link: Link | None

    @cached_property
    def _bounds(self) -> tuple[list[float], list[float]]:
        points = np.stack([self.path.x_m, self.path.y_m], axis=1)
        return (points.min(axis=0) - self.width_m).tolist(), (points.max(axis=0) + self.width_m).tolist()

    def place(self, actor: Actor) -> float | None:
        """The station on the path of a vehicle's front bumper, None for one that is not on the path: it is elsewhere,
        faces elsewhere, or does not indicate that it goes this way, as everybody here does."""
        if actor.kind == "pedestrian" or actor.indicator not in (self.indicator, "both"):
            return None
        (low_x, low_y), (high_x, high_y) = self._bounds
        if not (low_x <= actor.x_m <= high_x and low_y <= actor.y_m <= high_y):
            return None  # sooner than by projecting
        station_m, left_m = self.path.project(actor.x_m, actor.y_m)
        if abs(left_m) > self.width_m / 2.0 or not 0.0 < station_m < self.path.length_m:
            return None
        turn = actor.yaw_rad - float(self.path.sample(self.path.yaw_rad, np.array([station_m]))[0])
        return station_m + actor.length_m / 2.0 if np.cos(turn) > np.cos(HEADING_RAD) else None


@dataclass(frozen=True, kw_only=True)
class Zebra:
    """A zebra that the way crosses between two stations; name: its place among the network's."""

    name: str
    start_m: float
    end_m: float
    path: Path

    def holds(self, x_m: float, y_m: float) -> bool:
        """Whether a person there is on it, and not still at the kerb."""
        place, ends = np.array([x_m, y_m]), self.path.centre_m[[0, -1]]
        along = (ends[::-1] - ends) / np.hypot(*(ends[1] - ends[0]))
        is_past_kerbs = bool((((place - ends) * along).sum(axis=1) > KERB_M).all())
        return is_past_kerbs and bool(distances_m(place[None], self.path.centre_m)[0] <= self.path.width_m / 2.0)


def waiting_lines(network: RoadNetwork, way: Way) -> tuple[WaitingLine, ...]:
    """The stop and give-way lines of the way's lanes, in their order."""
    lines = {line.lane_id: line for line in network.stop_lines}
    found = []
    for i, lane in enumerate(way.lanes[:-1]):
        if lane.lane_id not in lines:
            continue
        line = lines[lane.lane_id]
        link = link_of(network, lane.lane_id, way.lanes[i + 1].lane_id)
        before_m = float(np.hypot(*((line.left_m + line.right_m) / 2.0 - lane.centre_m[-1])))
        rule = line.rule if link is None else SIGNAL
        found.append(WaitingLine(station_m=float(way.ends_m[i]) - before_m, lane_id=lane.lane_id, rule=rule, link=link))
    return tuple(found)


def conflicts(network: RoadNetwork, way: Way, *, width_m: float) -> tuple[Conflict, ...]:
    """Every lane that a car of this width meets inside the junctions of the way, but those that begin where it comes from."""
    inside, origins = [lane for lane in network.lanes if lane.is_internal], _Origins(network)
    own = {lane.lane_id for lane in way.lanes}
    apart_m = (width_m + VEHICLE_WIDTH_M) / 2.0
    starts_m = np.append(0.0, way.ends_m[:-1])
    found = []
    for i, lane in enumerate(way.lanes):
        if not lane.is_internal:
            continue
        stations = np.append(np.arange(starts_m[i], way.ends_m[i], STEP_M), way.ends_m[i])
        points = way.line.poses(stations)[:, :2]
        for other in inside:
            if np.abs(other.centre_m[0] - points[0]).max() > JUNCTION_M or other.lane_id in own or origins.through(other)[0] is origins.through(lane)[0]:
                continue
            is_met = distances_m(points, other.centre_m) < apart_m
            if is_met.any():
                span_m = float(stations[is_met][0]), float(stations[is_met][-1])
                found.append(_conflict(network, origins, lane, other, points=points, span_m=span_m, apart_m=apart_m))
    return tuple(found)


def zebras(network: RoadNetwork, way: Way) -> tuple[Zebra, ...]:
    """The zebras that the way's line runs over, one for each."""
    points = np.stack([way.line.x_m, way.line.y_m], axis=1)
    found = []
    for i, path in enumerate(network.crossings):
        low, high = path.centre_m.min(axis=0) - path.width_m, path.centre_m.max(axis=0) + path.width_m
        near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
        on = near[distances_m(points[near], path.centre_m) <= path.width_m / 2.0] if len(near) else near
        if len(on):
            found.append(Zebra(name=f"zebra_{i}", start_m=float(way.line.s_m[on[0]]), end_m=float(way.line.s_m[on[-1]]), path=path))
    return tuple(found)


def link_of(network: RoadNetwork, from_lane: str, inner_lane: str) -> Link | None:
    """The signal's link from a lane into a lane of the junction; None without a signal.

    SUMO numbers the lanes of a junction as its links, `:JUNCTION_FIRST_LANE`, which tells apart those that one lane has.
    """
    held = [signal for signal in network.signals if from_lane in signal.lane_ids]
    if not held:
        return None
    numbers = re.fullmatch(r":.+_(\d+)_(\d+)", inner_lane)
    number = -1 if numbers is None else int(numbers[1]) + int(numbers[2])
    signal = next((signal for signal in held if number in signal.link_indices), held[0])
    return Link(signal_id=signal.signal_id, index=number if number in signal.link_indices else signal.link_indices[0])


class _Origins:
    """Where the lanes of a network come from."""

    def __init__(self, network: RoadNetwork) -> None:
        self.before: dict[str, list[Lane]] = {}
        for lane in network.lanes:
            for successor in lane.successors:
                self.before.setdefault(successor, []).append(lane)

    def through(self, lane: Lane) -> list[Lane]:
        """The lanes inside the junction up to this one, after the lane that leads into them (where there is one)."""
        chain = [lane]
        while chain[0].is_internal and self.before.get(chain[0].lane_id):
            chain.insert(0, self.before[chain[0].lane_id][0])
        return chain

    def approach(self, lane: Lane) -> list[Lane]:
        """This lane, after those before it: APPROACH_M long where there is but one way to come."""
        chain = [lane]
        while sum(map(length_m, chain)) < APPROACH_M and len(self.before.get(chain[0].lane_id, ())) == 1:
            (first,) = self.before[chain[0].lane_id]
            if first in chain:
                break
            chain.insert(0, first)
        return chain


def _conflict(network: RoadNetwork, origins: _Origins, lane: Lane, other: Lane, *, points: Points, span_m: tuple[float, float], apart_m: float) -> Conflict:
    """points: (N, 2) of the way on its lane, which between the stations of span_m is nearer than apart_m to the other."""
    own, through = origins.through(lane), origins.through(other)
    shared = sorted(set(lane.successors) & set(other.successors))[:1]
    path = network.line([*(piece.lane_id for piece in (*origins.approach(through[0]), *through[1:])), *shared])
    inside_m, begin_m = (path.project(*piece.centre_m[0])[0] for piece in (through[1 % len(through)], other))
    is_met = (path.s_m >= begin_m) & (distances_m(np.stack([path.x_m, path.y_m], axis=1), points) < apart_m)
    turn = turn_rad({piece.lane_id: piece for piece in network.lanes}, through[0], through[1 % len(through)])
    return Conflict(
        lane_id=lane.lane_id,
        crossing_id=other.lane_id,
        start_m=span_m[0],
        end_m=span_m[1] + (MERGE_M if shared else 0.0),
        path=path,
        path_inside_m=inside_m,
        path_start_m=float(path.s_m[is_met][0]) if is_met.any() else begin_m,
        width_m=other.width_m,
        has_priority=other.lane_id in yields_to(lane) and lane.lane_id not in yields_to(other),
        is_merge=bool(shared),
        indicator="none" if abs(turn) <= TURN_RAD else "left" if turn > 0.0 else "right",
        own_link=_link_through(network, own),
        link=_link_through(network, through),
    )


def _link_through(network: RoadNetwork, through: Sequence[Lane]) -> Link | None:
    return link_of(network, through[0].lane_id, through[1].lane_id) if len(through) > 1 else None


def length_m(lane: Lane) -> float:
    """The length of a lane's middle."""
    return float(np.hypot(*np.diff(lane.centre_m, axis=0).T).sum())


def yields_to(lane: Lane) -> tuple[str, ...]:
    """The lanes whose traffic has the right of way over that of a lane inside a junction."""
    return tuple(getattr(lane, "yields_to", ()))


def distances_m(points: Points, polyline: Points) -> Points:
    """(N,) distances of points (N, 2) from a polyline (M, 2)."""
    start, step = polyline[:-1], np.diff(polyline, axis=0)
    offset = points[:, None] - start
    share = np.clip((offset * step).sum(axis=2) / np.maximum((step**2).sum(axis=1), 1e-9), 0.0, 1.0)
    return np.asarray(np.hypot(*(offset - share[:, :, None] * step).transpose(2, 0, 1)).min(axis=1))
