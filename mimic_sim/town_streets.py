"""What a town is before SUMO has it: nodes, edges, how lanes lead on and where people cross.

A Sketch collects junctions and streets in metres, x east and y north, and cuts streets where a zebra crossing, a change of
the speed limit or a lane for left turns begins. Traffic keeps to the right.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

KINK_RAD = np.radians(2.5)  # of a drawn bend: it turns by about this much at each of its points
POINT_STEP_M = 20.0  # at most, along a straight
SAMPLE_M = 0.5
STRAIGHT_RAD = np.radians(40.0)  # a smaller turn at a junction may go straight on
TURN_BACK_RAD = np.radians(150.0)  # a larger one turns back, which nobody does here
MEDIAN_M = 3.25  # between the directions of a street with lanes for left turns, which take its place before a junction
LEFT_LANE_M, TAPER_M = 68.0, 24.0  # length of such a lane with its taper, and of that alone

ENTRY_M = 70.0  # of a road outside, at either end, where the limit is the town's
GAP_M = 6.0  # left open where a street is cut: room for a zebra crossing, and for a smooth way on

SIGNALS, SIGNALS_IN_TURN = "signals", "signals in turn"  # for opposite arms at a time, for one arm at a time
STOP, STOP_ALL, GIVE_WAY = "stop", "stop for all", "give way"
JOINT, ZEBRA = "joint", "zebra"  # where a street is cut: nothing to see, a zebra crossing

Points = NDArray[np.float64]
Warp = Callable[[Points], Points]


@dataclass(frozen=True, kw_only=True)
class StreetKind:
    """How a street is built, on both sides alike. rank: the higher has priority; lanes: per direction; shut_out: SUMO's
    classes that may not drive there.
    """

    rank: int
    speed_limit_mps: float
    lanes: int = 1
    lane_width_m: float = 3.25
    has_sidewalk: bool = True
    shut_out: tuple[str, ...] = ()


HEAVY = ("bus", "truck")
MAIN = StreetKind(rank=3, speed_limit_mps=50.0 / 3.6, lanes=2)
COLLECTOR = StreetKind(rank=2, speed_limit_mps=50.0 / 3.6)
SIDE = StreetKind(rank=1, speed_limit_mps=30.0 / 3.6, lane_width_m=3.0, shut_out=HEAVY)
NARROW = StreetKind(rank=1, speed_limit_mps=30.0 / 3.6, lane_width_m=2.75, shut_out=HEAVY)
ENTRY = StreetKind(rank=2, speed_limit_mps=50.0 / 3.6, lane_width_m=3.5, has_sidewalk=False, shut_out=("bicycle",))
OUTSIDE = replace(ENTRY, speed_limit_mps=80.0 / 3.6)


@dataclass(frozen=True, kw_only=True)
class Node:
    """Where edges meet, and who goes first there: one of the words above."""

    node_id: str
    x_m: float
    y_m: float
    control: str


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One direction of a piece of street. line_m: the left border of its left lane, ((x, y), ...) as driven.

    From the right it has a sidewalk, a parking lane and the lanes, as far as it has them; left_lanes of them, 0 or 1,
    are for left turns only.
    """

    edge_id: str
    start: str
    end: str
    kind: StreetKind
    line_m: tuple[tuple[float, float], ...]
    has_parking: bool
    left_lanes: int = 0

    @property
    def lanes(self) -> int:
        """How many lanes are there to drive on."""
        return self.kind.lanes + self.left_lanes

    @property
    def first_lane(self) -> int:
        """Index of the right one, counted from the right as SUMO does."""
        return self.kind.has_sidewalk + self.has_parking


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A lane that leads into another. Indices count the lanes to drive on from the right."""

    start: Edge
    end: Edge
    start_lane: int
    end_lane: int


@dataclass(frozen=True, kw_only=True)
class TownLayout:
    """A town as drawn, in metres, x east and y north. has_protected_lefts: signals give left turns a phase of their own."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    has_protected_lefts: bool

    def connections(self) -> Iterator[Connection]:
        """How lanes lead on: right turns from the right lane, left turns from the left one, nobody back."""
        leaving = defaultdict(list)
        for edge in self.edges:
            leaving[edge.start].append(edge)
        for edge in self.edges:
            turns = {_turn(edge, after): after for after in leaving[edge.end]}
            turns = {turn: after for turn, after in turns.items() if abs(turn) < TURN_BACK_RAD}
            ahead = min(turns, key=abs)
            straight = turns.pop(ahead) if abs(ahead) < STRAIGHT_RAD else None
            rights, lefts = ([after for turn, after in turns.items() if (turn > 0.0) == is_left] for is_left in (False, True))
            for after in rights:
                yield Connection(start=edge, end=after, start_lane=0, end_lane=0)
            if straight is not None:
                through = edge.lanes - edge.left_lanes
                count = min(through, straight.lanes)
                first = 0 if lefts else through - count
                for i in range(count):
                    yield Connection(start=edge, end=straight, start_lane=first + i, end_lane=i)
                if straight.left_lanes and not lefts:  # here the lane for left turns begins
                    yield Connection(start=edge, end=straight, start_lane=edge.lanes - 1, end_lane=straight.lanes - 1)
            for after in lefts:
                yield Connection(start=edge, end=after, start_lane=edge.lanes - 1, end_lane=after.lanes - 1)

    def waiting(self) -> set[str]:
        """Ids of the edges that must let others go first at their end, by a stop sign or a give-way sign."""
        nodes = [node for node in self.nodes if node.control in (STOP, GIVE_WAY)]
        return {edge.edge_id for node in nodes for arm in _waiting(self._arms(node), node) for edge in arm if edge.end == node.node_id}

    def crossings(self) -> Iterator[tuple[Node, tuple[Edge, ...]]]:
        """Where people cross, and over which edges: at signals and all-way stops over every arm, else over those that wait."""
        for node in self.nodes:
            arms = self._arms(node) if node.control != JOINT else []
            if node.control in (STOP, GIVE_WAY):
                arms = _waiting(arms, node)
            for arm in arms[:1] if node.control == ZEBRA else arms:
                if arm[0].kind.has_sidewalk:
                    yield node, arm

    def _arms(self, node: Node) -> list[tuple[Edge, ...]]:
        """The edges at a node by the street that they are of."""
        arms: list[list[Edge]] = []
        for edge in self.edges:
            if node.node_id in (edge.start, edge.end):
                arm = next((arm for arm in arms if _angle(_away(arm[0], node), _away(edge, node)) < np.pi - TURN_BACK_RAD), None)
                arms.append([edge]) if arm is None else arm.append(edge)
        return [tuple(arm) for arm in arms]


class Sketch:
    """A town being drawn. warp moves every point that is given, so that straight streets get gentle bends."""

    def __init__(self, warp: Warp) -> None:
        self.warp = warp
        self._nodes: list[Node] = []
        self._at: dict[str, Points] = {}  # nodes before the warp
        self._edges: list[Edge] = []

    def layout(self, *, has_protected_lefts: bool = False) -> TownLayout:
        """What was drawn."""
        return TownLayout(nodes=tuple(self._nodes), edges=tuple(self._edges), has_protected_lefts=has_protected_lefts)

    def junction(self, point_m: Points | tuple[float, float], control: str) -> str:
        """Add a node and give its id."""
        point = np.array(point_m, np.float64)
        node_id = self._node(self.warp(point[None])[0], control)
        self._at[node_id] = point
        return node_id

    def place(self, node_id: str) -> Points:
        """Where a junction was put, (2,), before the warp."""
        return self._at[node_id]

    def street(
        self,
        start: str,
        end: str,
        kind: StreetKind,
        *,
        via: Sequence[Sequence[float] | Points] = (),
        parking: tuple[bool, bool] = (False, False),
        has_zebra: bool = False,
    ) -> None:
        """Both directions from one junction to another, near the points `via`. parking: at the right of each direction."""
        line = self._line(start, end, via)
        cuts = [_length(line) / 2.0] if has_zebra else []
        names = [start, *(self._node(_at(line, cut), ZEBRA) for cut in cuts), end]
        for first, last, part in zip(names[:-1], names[1:], _pieces(line, cuts), strict=True):
            self._edge(first, last, kind, part, has_parking=parking[0])
            self._edge(last, first, kind, part[::-1], has_parking=parking[1])

    def road_outside(self, start: str, end: str, *, via: Sequence[Sequence[float] | Points]) -> None:
        """A road around a part of the town, beyond ENTRY_M from its ends without the town's speed limit."""
        line = self._line(start, end, via)
        cuts = [ENTRY_M, _length(line) - ENTRY_M]
        names = [start, *(self._node(_at(line, cut), JOINT) for cut in cuts), end]
        for first, last, part, kind in zip(names[:-1], names[1:], _pieces(line, cuts), (ENTRY, OUTSIDE, ENTRY), strict=True):
            self._edge(first, last, kind, part, has_parking=False)
            self._edge(last, first, kind, part[::-1], has_parking=False)

    def avenue(self, start: str, end: str, kind: StreetKind, *, left_lanes: tuple[bool, bool]) -> None:
        """A street with a median, out of which comes a lane for left turns: in the one direction, in the other, or in both."""
        middle = self._line(start, end, ())
        for first, last, line, has_left_lane in ((start, end, middle, left_lanes[0]), (end, start, middle[::-1], left_lanes[1])):
            if not has_left_lane:
                self._edge(first, last, kind, _offset(line, -MEDIAN_M / 2.0), has_parking=False)
                continue
            cut_m = _length(line) - LEFT_LANE_M
            before = _offset(_part(line, 0.0, cut_m), -MEDIAN_M / 2.0)
            joint = self._node(before[-1], JOINT)
            after = _offset(_part(line, cut_m + TAPER_M, _length(line)), MEDIAN_M / 2.0)
            self._edge(first, joint, kind, before, has_parking=False)
            self._edge(joint, last, kind, after, has_parking=False, left_lanes=1)

    def _node(self, point_m: Points, control: str) -> str:
        x, y = (round(float(value), 2) for value in point_m)
        self._nodes.append(Node(node_id=f"n{len(self._nodes)}", x_m=x, y_m=y, control=control))
        return self._nodes[-1].node_id

    def _edge(self, start: str, end: str, kind: StreetKind, line: Points, *, has_parking: bool, left_lanes: int = 0) -> None:
        points = tuple((round(float(x), 2), round(float(y), 2)) for x, y in _thinned(line))
        edge_id = f"e{len(self._edges)}"
        self._edges.append(Edge(edge_id=edge_id, start=start, end=end, kind=kind, line_m=points, has_parking=has_parking, left_lanes=left_lanes))

    def _line(self, start: str, end: str, via: Sequence[Sequence[float] | Points]) -> Points:
        """(N, 2) about every SAMPLE_M along a smooth curve, warped."""
        corners = np.array([self._at[start], *via, self._at[end]], np.float64)
        return _even(self.warp(_even(_curve(corners))))


def _curve(corners_m: Points) -> Points:
    """The quadratic B-spline of corners (N, 2), with its ends on the first and the last (Chaikin's corner cutting)."""
    points = corners_m
    for _ in range(6 if len(points) > 2 else 0):
        a, b = points[:-1], points[1:]
        inner = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], axis=1).reshape(-1, 2)
        points = np.concatenate([points[:1], inner[1:-1], points[-1:]])
    return points


def _along(line: Points) -> Points:
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])


def _length(line: Points) -> float:
    return float(_along(line)[-1])


def _part(line: Points, start_m: float, stop_m: float) -> Points:
    """A part of a line, about every SAMPLE_M."""
    s = np.linspace(start_m, stop_m, max(round((stop_m - start_m) / SAMPLE_M), 1) + 1)
    along = _along(line)
    return np.stack([np.interp(s, along, line[:, i]) for i in range(2)], axis=1)


def _at(line: Points, place_m: float) -> Points:
    return np.array([np.interp(place_m, _along(line), line[:, i]) for i in range(2)])


def _pieces(line: Points, cuts_m: Sequence[float]) -> list[Points]:
    """A line cut at these places, with a gap of GAP_M at each."""
    borders = [-GAP_M / 2.0, *cuts_m, _length(line) + GAP_M / 2.0]
    return [_part(line, a + GAP_M / 2.0, b - GAP_M / 2.0) for a, b in pairwise(borders)]


def _even(line: Points) -> Points:
    return _part(line, 0.0, _length(line))


def _offset(line: Points, left_m: float) -> Points:
    tangent = np.gradient(line, axis=0)
    tangent /= np.hypot(*tangent.T)[:, None]
    return line + left_m * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def _thinned(line: Points) -> Points:
    """As few points as show the bends."""
    headings = np.unwrap(np.arctan2(*np.diff(line, axis=0).T[::-1]))
    along, kept = _along(line), [0]
    for i in range(1, len(line) - 1):
        if abs(headings[i] - headings[kept[-1]]) > KINK_RAD or along[i] - along[kept[-1]] > POINT_STEP_M:
            kept.append(i)
    return line[[*kept, len(line) - 1]]


def _waiting(arms: list[tuple[Edge, ...]], node: Node) -> list[tuple[Edge, ...]]:
    """The arms without the two that have priority: those of the highest rank, of more than two the straightest pair."""
    highest = max(arm[0].kind.rank for arm in arms)
    through = [arm for arm in arms if arm[0].kind.rank == highest]
    pair = max(combinations(through, 2), key=lambda two: _angle(_away(two[0][0], node), _away(two[1][0], node)))
    return [arm for arm in arms if arm not in pair]


def _turn(before: Edge, after: Edge) -> float:
    """The angle from the end of an edge to the start of another, rad, left positive."""
    (ax, ay), (bx, by) = (np.subtract(line[1], line[0]) for line in (before.line_m[-2:], after.line_m[:2]))
    return float(np.arctan2(ax * by - ay * bx, ax * bx + ay * by))


def _away(edge: Edge, node: Node) -> Points:
    near, next_to_it = edge.line_m[:2] if edge.start == node.node_id else edge.line_m[:-3:-1]
    return np.subtract(next_to_it, near)


def _angle(a: Points, b: Points) -> float:
    return float(np.arccos(np.clip(a @ b / np.hypot(*a) / np.hypot(*b), -1.0, 1.0)))
