"""Ways through a road network: chains of lanes as one line, and what a navigation map would say along it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from heapq import heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.motion import wrap_angle
from mimic_contracts.navigation import Manoeuvre, command_at
from mimic_sim.road_network import LINE_STEP_M, Lane, Line, RoadNetwork

TURN_RAD = np.radians(30.0)  # a smaller change of direction in a junction is straight on
TURNAROUND_RAD = np.radians(150.0)  # no car gets round it in one go
CORNER_M = 1.0  # over which the corners of a town's lanes are rounded: 6 cm inside a bend of 8 m
RUN_OUT_M = 60.0  # of line beyond an open way's end, so that nobody brakes for it
APART_M, APART_ALONG_M = 2.5, 30.0  # a way keeps so far from itself, so that each place has one station
LENGTH_TOLERANCE = 0.2
TIGHTEST_1PM = 0.17  # over some metres, of bends that a car takes inside its lane
TRIES = 50
NEAR_M = 15.0  # of line on either side, in which a car that was there a tick ago is looked for


@dataclass(frozen=True, eq=False)
class Way:
    """Lanes that follow each other, the line through their middles, and the station where each lane ends (len(lanes),).

    end_m: station of the way's end; lanes and line of an open way go on beyond it.
    """

    lanes: tuple[Lane, ...]
    line: Line
    ends_m: NDArray[np.float64]
    end_m: float
    manoeuvres: tuple[Manoeuvre, ...] = ()

    def lane_at(self, station_m: float) -> Lane:
        """The lane at a station; the first and last ones reach beyond the ends."""
        return self.lanes[min(int(np.searchsorted(self.ends_m, station_m, side="right")), len(self.lanes) - 1)]

    def project_near(self, x_m: float, y_m: float, *, station_m: float) -> tuple[float, float]:
        """As `line.project`, but only onto the part of the line within NEAR_M of a station: what comes near another part
        of the way has not taken a short cut."""
        step_m = float(self.line.s_m[1])
        first, reach = round(station_m / step_m) - round(NEAR_M / step_m), 2 * round(NEAR_M / step_m) + 1
        count = len(self.line.s_m)
        if self.line.closed:
            index = np.arange(first, first + reach) % (count - 1)  # the last point repeats the first
        else:
            first = min(max(first, 0), max(count - reach, 0))
            index = np.arange(first, min(first + reach, count))
        columns = {f.name: getattr(self.line, f.name)[index] for f in fields(Line) if f.name not in ("s_m", "closed")}
        along_m, left_m = Line(s_m=np.arange(float(len(index))) * step_m, **columns, closed=False).project(x_m, y_m)
        return float(self.line.within(np.array(first * step_m + along_m))), left_m

    def speed_limits_mps(self) -> NDArray[np.float64]:
        """(N,) the speed limit at each place of the line."""
        return np.array([self.lane_at(s).speed_limit_mps for s in self.line.s_m])

    def command_at(self, station_m: float) -> str:
        """The route command of ROUTE_COMMANDS: of the junction that the car is in or nears, else follow."""
        return command_at(self.manoeuvres, station_m)


def closed_way(network: RoadNetwork, lane_id: str) -> Way:
    """The lap along one lane that leads into itself."""
    line = network.line([lane_id])
    return Way((network.lane(lane_id),), line, np.array([line.length_m]), line.length_m)


def open_way(network: RoadNetwork, lane_ids: Sequence[str]) -> Way:
    """The way along lanes from the start of the first to the end of the last, with its run-out.

    Raises ContractError where a lane does not lead into the next, and MimicError for a way that crosses itself.
    """
    lanes = tuple(network.lane(lane_id) for lane_id in lane_ids)
    lanes += _run_out(network, lanes)
    for here, after in pairwise(lanes):
        if after.lane_id not in here.successors:
            raise ContractError(f"way: lane '{here.lane_id}' does not lead into '{after.lane_id}'")
    points = np.concatenate([lane.centre_m for lane in lanes])
    points = points[np.append(True, np.hypot(*np.diff(points, axis=0).T) > 1e-3)]  # a lane ends where the next begins
    chord = np.append(0.0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
    s = np.linspace(0.0, chord[-1], int(np.ceil(chord[-1] / LINE_STEP_M)) + 1)
    even = np.stack([np.interp(s, chord, points[:, 0]), np.interp(s, chord, points[:, 1])], axis=1)
    line = Line.through(even, closed=False).smoothed(width_m=CORNER_M)
    if _comes_near_itself(line):
        raise MimicError(f"way: from '{lane_ids[0]}' to '{lane_ids[-1]}' it crosses itself: choose a nearer end")
    ends_m = np.array([line.project(*lane.centre_m[-1])[0] for lane in lanes])
    return Way(lanes, line, ends_m, float(ends_m[len(lane_ids) - 1]), _manoeuvres(lanes, line, ends_m))


def shortest_way(network: RoadNetwork, start_lane: str, end_lane: str) -> tuple[str, ...]:
    """Lane ids from start to end, both included, over the fewest metres, without turning round on the spot.

    Raises ContractError for a lane that the network lacks, MimicError when the end can't be reached.
    """
    network.lane(start_lane), network.lane(end_lane)
    lengths_m, before = _reach(network, start_lane)
    if end_lane not in lengths_m:
        raise MimicError(f"way: no lanes of network '{network.name}' lead from '{start_lane}' to '{end_lane}': choose another end")
    return _chain(before, end_lane)


def random_way(network: RoadNetwork, rng: np.random.Generator, *, length_m: float) -> tuple[str, str]:
    """Start and end lane (none inside a junction) of a way of length_m within a fifth, which can be driven:
    it does not cross itself, and no bend is tighter than a car can take inside its lane.

    Raises MimicError that names the longest way found when there is none.
    """
    names = [lane.lane_id for lane in network.lanes if not _is_internal(lane)]
    longest_m = 0.0
    for _ in range(TRIES):
        start = names[rng.integers(len(names))]
        lengths_m, before = _reach(network, start)
        longest_m = max(longest_m, *(lengths_m.get(name, 0.0) for name in names))
        ends = [name for name in names if abs(lengths_m.get(name, 0.0) - length_m) <= LENGTH_TOLERANCE * length_m]
        for i in rng.permutation(len(ends))[:3]:
            try:
                line = open_way(network, _chain(before, ends[i])).line
            except MimicError:
                continue  # it crosses itself
            if np.abs(line.smooth(line.curvature_1pm, width_m=2.0)).max() < TIGHTEST_1PM:
                return start, ends[i]
    raise MimicError(
        f"way: network '{network.name}' has no drivable way of {length_m:.0f} m within a fifth, the longest found is {longest_m:.0f} m: ask for another length"
    )


def _run_out(network: RoadNetwork, lanes: Sequence[Lane]) -> tuple[Lane, ...]:
    """The straightest lanes after a way, RUN_OUT_M long where the network has them."""
    by_id = {lane.lane_id: lane for lane in network.lanes}
    chain = list(lanes)
    known = {lane.lane_id for lane in lanes}
    while sum(map(_length_m, chain[len(lanes) :])) < RUN_OUT_M:
        turns_rad = {name: abs(turn_rad(by_id, chain[-1], by_id[name])) for name in chain[-1].successors if name not in known}
        straightest = min(turns_rad, key=turns_rad.__getitem__, default="")
        if not straightest or turns_rad[straightest] > TURNAROUND_RAD:
            break
        chain.append(by_id[straightest])
        known.add(straightest)
    return tuple(chain[len(lanes) :])


def _is_internal(lane: Lane) -> bool:
    """Whether a lane lies inside a junction: SUMO's ids of such lanes begin with a colon."""
    return lane.lane_id.startswith(":")


def _length_m(lane: Lane) -> float:
    return float(np.hypot(*np.diff(lane.centre_m, axis=0).T).sum())


def _reach(network: RoadNetwork, start_lane: str) -> tuple[dict[str, float], dict[str, str]]:
    """Dijkstra from the start of a lane: lane id → metres to its end, and lane id → the lane before it."""
    lanes = {lane.lane_id: lane for lane in network.lanes}
    lengths_m: dict[str, float] = {}
    before: dict[str, str] = {}
    waiting = [(_length_m(lanes[start_lane]), start_lane, "")]
    while waiting:
        so_far_m, name, came_from = heappop(waiting)
        if name in lengths_m:
            continue
        lengths_m[name] = so_far_m
        if came_from:
            before[name] = came_from
        for after in lanes[name].successors:
            if _is_internal(lanes[name]) or abs(turn_rad(lanes, lanes[name], lanes[after])) < TURNAROUND_RAD:
                heappush(waiting, (so_far_m + _length_m(lanes[after]), after, name))
    return lengths_m, before


def _chain(before: dict[str, str], end_lane: str) -> tuple[str, ...]:
    chain = [end_lane]
    while chain[-1] in before:
        chain.append(before[chain[-1]])
    return tuple(reversed(chain))


def turn_rad(lanes: Mapping[str, Lane], here: Lane, after: Lane) -> float:
    """Change of direction from the end of one lane to the next one outside the junction, left positive."""
    while _is_internal(after) and after.successors:
        after = lanes[after.successors[0]]
    last, first = here.centre_m[-1] - here.centre_m[-2], after.centre_m[1] - after.centre_m[0]
    return float(wrap_angle(np.array([np.arctan2(first[1], first[0]) - np.arctan2(last[1], last[0])]))[0])


def _manoeuvres(lanes: Sequence[Lane], line: Line, ends_m: NDArray[np.float64]) -> tuple[Manoeuvre, ...]:
    """One for each run of lanes inside a junction (SUMO parts a left turn in two)."""
    found: list[Manoeuvre] = []
    starts_m = np.append(0.0, ends_m[:-1])
    first = 0
    for i, lane in enumerate(lanes):
        if not _is_internal(lane):
            first = i + 1
        elif i + 1 == len(lanes) or not _is_internal(lanes[i + 1]):
            start_m, end_m = float(starts_m[first]), float(ends_m[i])
            before, after = line.sample(line.yaw_rad, np.array([start_m - 2.0 * CORNER_M, end_m + 2.0 * CORNER_M]))
            command = "straight" if abs(after - before) <= TURN_RAD else "left" if after > before else "right"
            found.append(Manoeuvre(start_m=start_m, end_m=end_m, command=command))
    return tuple(found)


def _comes_near_itself(line: Line) -> bool:
    every = 4
    points = np.stack([line.x_m, line.y_m], axis=1)[::every]
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    i, j = np.indices(distance.shape)
    return bool((distance[np.abs(i - j) * every * LINE_STEP_M > APART_ALONG_M] < APART_M).any())
