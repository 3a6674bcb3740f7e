"""A SUMO network becomes roads: lanes that a car can follow, markings, junctions, crossings, signals and signs.

Lane ids are SUMO's. A lane through a junction is drawn anew, as the curve that bends least, because SUMO's has corners;
a connection too tight for a car (as turns back are) is left out.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.config import config_dir
from mimic_contracts.errors import MimicError, require_package
from mimic_contracts.motion import wrap_angle
from mimic_sim.road_network import RULES, Area, Lane, Path, RoadNetwork, Sign, Signal, StopLine

TOWN_SUFFIX = ".net.xml.gz"
POINT_STEP_M = 1.0
ROUNDING_M = 2.5  # standard deviation of the mean that rounds the corners of a road
MAX_CURVATURE_1PM = 0.19  # of a lane through a junction: about the tightest turn of a car
STOP_LINE_INSET_M = 0.15  # from the lane's edges
STOP_LINE_BEFORE_M = 0.5  # from the lane's end, so that it does not touch a crossing
PARKING_CLASS = "custom1"  # the only one let into a parking lane
KERB_CLEARANCE_M = 0.6  # from a road's edge to a signal or a sign
SIGNAL_HEIGHT_M = 2.7
ARM_HEIGHT_M = 5.2
NEAR_HEAD_BEYOND_M, NEAR_HEAD_ASIDE_M = 2.5, 1.2  # from the end of the lane, on the corner, where the first car in the queue sees it
HEAD_SPACING_M = 0.7  # between two signals on one side
DIRECTION_OF = {"s": "straight", "l": "left", "L": "left", "r": "right", "R": "right", "t": "left"}
RULE_OF = {"m": "give_way", "s": "stop", "w": "all_way_stop"}  # by SUMO's state of a connection

Points = NDArray[np.float64]


def town_path(name_or_path: str | FilePath) -> FilePath:
    """Path of a SUMO network given as a path or as the name of one in config/towns/; raises MimicError that lists those."""
    path = FilePath(name_or_path)
    if path.name.endswith((".net.xml", TOWN_SUFFIX)) and path.is_file():
        return path
    folder = config_dir() / "towns"
    named = folder / f"{name_or_path}{TOWN_SUFFIX}"
    if path.parent == FilePath(".") and named.is_file():
        return named
    known = ", ".join(sorted(p.name.removesuffix(TOWN_SUFFIX) for p in folder.glob(f"*{TOWN_SUFFIX}")))
    raise MimicError(f"town: '{name_or_path}' is neither a SUMO network (.net.xml or {TOWN_SUFFIX}) nor one of: {known}")


def load_network(path: FilePath) -> RoadNetwork:
    """Read a SUMO network; raises MimicError where it cannot be read or holds no lane for cars."""
    require_package("sumolib", extra="sim", purpose="reading a town")
    import sumolib

    try:
        net = sumolib.net.readNet(str(path), withInternal=True, withPedestrianConnections=True, withPrograms=True)
    except Exception as error:  # sumolib raises whatever its parsers raise
        raise MimicError(f"{path}: cannot be read as a SUMO network: {' '.join(str(error).split())}") from error
    return _Reader(net, path).network()


@dataclass(frozen=True, eq=False)
class _Link:
    """A connection from one road lane to another: its curve (N, 2) and the internal lanes along it, one or two."""

    connection: Any
    parts: tuple[Any, ...]
    curve_m: Points

    @property
    def direction(self) -> str:
        return DIRECTION_OF[self.connection.getDirection()]


class _Reader:
    """Walks over a sumolib network, once for each kind of thing, in the order of SUMO's ids."""

    def __init__(self, net: Any, path: FilePath) -> None:
        self.net, self.path = net, path
        edges = sorted(net.getEdges(), key=lambda edge: str(edge.getID()))
        self.roads = [edge for edge in edges if edge.getFunction() == "" and _car_lanes(edge)]
        self.on_foot = [edge for edge in edges if edge.getFunction() in ("crossing", "walkingarea")]
        self.lanes = {lane.getID(): lane for edge in self.roads for lane in _car_lanes(edge)}
        self.centre_m = {lane_id: _rounded(_points(lane)) for lane_id, lane in self.lanes.items()}
        self.links = {lane_id: self._links(lane) for lane_id, lane in self.lanes.items()}

    def network(self) -> RoadNetwork:
        """Everything; raises MimicError without a lane for cars."""
        if not self.lanes:
            raise MimicError(f"{self.path}: has no lane that a car may use")
        nodes = sorted(self.net.getNodes(), key=lambda node: str(node.getID()))
        walks = [lane for edge in self.roads for lane in edge.getLanes() if lane.allows("pedestrian") and not lane.allows("passenger")]
        parking = [lane for edge in self.roads for lane in edge.getLanes() if _is_parking(lane)]
        areas, crossings = ([edge.getLanes()[0] for edge in self.on_foot if edge.getFunction() == kind] for kind in ("walkingarea", "crossing"))
        return RoadNetwork(
            name=self.path.name.removesuffix(".gz").removesuffix(".net.xml"),
            lanes=(*self._road_lanes(), *self._internal_lanes()),
            junctions=tuple(Area(outline_m=np.array(node.getShape(), np.float64)[:, :2]) for node in nodes if len(node.getShape()) > 2),
            sidewalks=tuple(Path(centre_m=_rounded(_points(lane)), width_m=lane.getWidth()) for lane in walks),
            corners=tuple(Area(outline_m=_points(lane)) for lane in areas if len(lane.getShape()) > 2),
            parking=tuple(Path(centre_m=_rounded(_points(lane)), width_m=lane.getWidth()) for lane in parking),
            crossings=tuple(Path(centre_m=_points(lane), width_m=lane.getWidth()) for lane in crossings),
            stop_lines=tuple(self._stop_lines()),
            signals=tuple(self._signals()),
            signs=tuple(self._signs()),
            sumo_file=self.path,
        )

    def _links(self, lane: Any) -> list[_Link]:
        """The connections of a lane that a car can drive."""
        links = []
        for connection in lane.getOutgoing():
            after = connection.getToLane().getID()
            if after not in self.centre_m or not connection.getViaLaneID():
                continue
            parts = [self.net.getLane(connection.getViaLaneID())]
            while parts[-1].getOutgoing() and parts[-1].getOutgoing()[0].getViaLaneID():
                parts.append(self.net.getLane(parts[-1].getOutgoing()[0].getViaLaneID()))
            curve = _gentlest_curve(self.centre_m[lane.getID()], self.centre_m[after], count=2 * len(parts) + 1)
            if _curvature(curve).max() <= MAX_CURVATURE_1PM:
                links.append(_Link(connection, tuple(parts), curve))
        return sorted(links, key=lambda link: str(link.parts[0].getID()))

    def _road_lanes(self) -> list[Lane]:
        lanes = []
        for edge in self.roads:
            own = _car_lanes(edge)  # from the right
            all_directions = {link.direction for lane in own for link in self.links[lane.getID()]}
            for i, lane in enumerate(own):
                links = self.links[lane.getID()]
                directions = {link.direction for link in links}
                lanes.append(
                    Lane(
                        lane_id=lane.getID(),
                        centre_m=self.centre_m[lane.getID()],
                        width_m=lane.getWidth(),
                        speed_limit_mps=lane.getSpeed(),
                        left_marking="dashed" if i < len(own) - 1 else self._middle_marking(edge),
                        right_marking="solid" if i == 0 else "none",  # else the lane to the right has the line between them
                        has_sidewalk=False,
                        successors=tuple(link.parts[0].getID() for link in links),
                        arrows=tuple(sorted(directions)) if directions < all_directions else (),
                    )
                )
        return lanes

    def _middle_marking(self, edge: Any) -> str:
        """Between the two directions: of a narrow road one of them has the dashed line, of a wide one each has a solid one."""
        back = [e for e in self.roads if e.getFromNode() is edge.getToNode() and e.getToNode() is edge.getFromNode()]
        if not back or len(_car_lanes(edge)) + len(_car_lanes(back[0])) > 2:
            return "solid"
        return "dashed" if str(edge.getID()) < str(back[0].getID()) else "none"

    def _internal_lanes(self) -> list[Lane]:
        """The lanes of every connection; a turn that waits inside the junction has two, one after the other."""
        lanes = []
        for link in (link for links in self.links.values() for link in links):
            lengths = np.array([max(part.getLength(), 0.1) for part in link.parts])
            last = len(link.curve_m) - 1
            inner = np.round(np.cumsum(lengths)[:-1] / lengths.sum() * last).astype(int)
            cuts = [0, *(int(np.clip(cut, 2, last - 2)) for cut in inner), last]
            followers = [*(part.getID() for part in link.parts[1:]), link.connection.getToLane().getID()]
            for part, (start, stop), follower in zip(link.parts, pairwise(cuts), followers, strict=True):
                lanes.append(
                    Lane(
                        lane_id=part.getID(),
                        centre_m=link.curve_m[start : stop + 1],
                        width_m=part.getWidth(),
                        speed_limit_mps=max(part.getSpeed(), 1.0),
                        left_marking="none",
                        right_marking="none",
                        has_sidewalk=False,
                        successors=(follower,),
                        is_internal=True,
                        yields_to=self._yields_to(link),
                    )
                )
        return lanes

    def _yields_to(self, link: _Link) -> tuple[str, ...]:
        """The internal lanes of connections that this one has to let pass, but for those that a signal keeps apart."""
        node = link.connection.getFromLane().getEdge().getToNode()
        names: list[str] = []
        for other in (o for lane in _lanes_into(node) for o in self.links.get(lane, ())):
            if other is not link and node.forbids(other.connection, link.connection) and self._may_go_at_once(link, other):
                names.extend(part.getID() for part in other.parts)
        return tuple(names)

    def _may_go_at_once(self, one: _Link, other: _Link) -> bool:
        signal = one.connection.getTLSID()
        if not signal:
            return True
        light = next((light for light in self.net.getTrafficLights() if light.getID() == signal), None)
        programs = light.getPrograms().values() if light else []
        i, k = one.connection.getTLLinkIndex(), other.connection.getTLLinkIndex()
        return any(phase.state[i] in "gG" and phase.state[k] in "gG" for program in programs for phase in program.getPhases())

    def _rule(self, edge: Any) -> str | None:
        """What the end of a road asks for: nothing where any connection has priority (its left turns then yield all the same)."""
        links = [link for lane in _car_lanes(edge) for link in self.links[lane.getID()]]
        rules = {"stop" if link.connection.getTLSID() else RULE_OF.get(link.connection.getState()) for link in links}
        if rules == {"give_way"} and not any(self._yields_to(link) for link in links):
            return None  # nobody but those on a zebra is let pass
        return None if None in rules else next((rule for rule in RULES if rule in rules), None)

    def _stop_lines(self) -> list[StopLine]:
        lines = []
        for edge in self.roads:
            rule = self._rule(edge)
            for lane in _car_lanes(edge) if rule is not None else ():
                end, left = _end(self.centre_m[lane.getID()])
                end = end + STOP_LINE_BEFORE_M * np.array([-left[1], left[0]])
                half = lane.getWidth() / 2.0 - STOP_LINE_INSET_M
                lines.append(StopLine(lane_id=lane.getID(), rule=str(rule), left_m=end + half * left, right_m=end - half * left))
        return lines

    def _signals(self) -> list[Signal]:
        """For every approach and every group of its connections that change together: a head at the stop line, on the
        right, and one beyond the junction, where the straightest connection of the approach ends."""
        programs = {light.getID(): next(iter(light.getPrograms().values())) for light in self.net.getTrafficLights() if light.getPrograms()}
        signals = []
        for edge in self.roads:
            links = [link for lane in _car_lanes(edge) for link in self.links[lane.getID()] if link.connection.getTLSID() in programs]
            if not links:
                continue
            straightest = min(links, key=lambda link: abs(_turn(link.curve_m)))
            beyond = _car_lanes(straightest.connection.getTo())[0]
            here = _car_lanes(edge)[0]
            near, left = _end(self.centre_m[here.getID()])
            far, far_left = _end(self.centre_m[beyond.getID()][::-1])  # turned back: left is the road's right
            ahead = np.array([left[1], -left[0]])
            near = near + NEAR_HEAD_BEYOND_M * ahead - (here.getWidth() / 2.0 + NEAR_HEAD_ASIDE_M) * left
            far = far + (beyond.getWidth() / 2.0 + KERB_CLEARANCE_M) * far_left
            facing = float(wrap_angle(np.arctan2(-left[0], left[1]) + np.pi))
            groups: dict[tuple[str, str], list[_Link]] = defaultdict(list)
            for link in links:
                signal_id, index = link.connection.getTLSID(), link.connection.getTLLinkIndex()
                shown = "".join(phase.state[index] for phase in programs[signal_id].getPhases())
                groups[signal_id, shown.lower()].append(link)
            hung, arm_m = self._over_the_road(straightest, far)
            for k, ((signal_id, _), group) in enumerate(sorted(groups.items())):
                feet = [(near, -left, SIGNAL_HEIGHT_M, 0.0), (far, far_left, SIGNAL_HEIGHT_M, 0.0)]
                if arm_m:
                    feet.append((hung, far_left, ARM_HEIGHT_M, arm_m - k * HEAD_SPACING_M))
                for foot, outwards, height_m, reach_m in feet:
                    signals.append(
                        Signal(
                            signal_id=signal_id,
                            position_m=np.append(foot + k * HEAD_SPACING_M * outwards, height_m),
                            yaw_rad=facing,
                            lane_ids=tuple(sorted({link.connection.getFromLane().getID() for link in group})),
                            link_indices=tuple(sorted(link.connection.getTLLinkIndex() for link in group)),
                            arm_m=reach_m,
                        )
                    )
        return signals

    def _over_the_road(self, straightest: _Link, post_m: Points) -> tuple[Points, float]:
        """Where heads hang beyond a junction, over the leftmost lane, for those who wait beside a bus; and how far that is
        from their post (0: one lane needs none)."""
        lanes = _car_lanes(straightest.connection.getTo())
        over, _ = _end(self.centre_m[lanes[-1].getID()][::-1])
        return over, float(np.hypot(*(over - post_m))) if len(lanes) > 1 else 0.0

    def _signs(self) -> list[Sign]:
        """At the right of every approach that must give way or stop and has no signal."""
        signs = []
        for edge in self.roads:
            lanes = _car_lanes(edge)
            has_signal = any(link.connection.getTLSID() for lane in lanes for link in self.links[lane.getID()])
            kind = self._rule(edge)
            # Where every approach gives way to the right there are no signs.
            if kind is None or has_signal or edge.getToNode().getType() == "right_before_left":
                continue
            end, left = _end(self.centre_m[lanes[0].getID()])
            foot = end - (lanes[0].getWidth() / 2.0 + KERB_CLEARANCE_M) * left
            signs.append(Sign(kind=kind, position_m=foot, yaw_rad=float(wrap_angle(np.arctan2(-left[0], left[1]) + np.pi))))
        return signs


def _lanes_into(node: Any) -> list[str]:
    return [lane.getID() for edge in node.getIncoming() for lane in edge.getLanes()]


def _car_lanes(edge: Any) -> list[Any]:
    """The lanes of an edge that a car may use, from the right."""
    return [lane for lane in edge.getLanes() if lane.allows("passenger")]


def _is_parking(lane: Any) -> bool:
    """Whether a lane is one where cars stand: nobody moves along it (see town.py)."""
    return bool(lane.allows(PARKING_CLASS)) and not lane.allows("passenger") and not lane.allows("pedestrian")


def _points(lane: Any) -> Points:
    return np.array(lane.getShape(), np.float64)[:, :2]


def _end(centre_m: Points) -> tuple[Points, Points]:
    """The last point of a line and the unit vector to its left, (2,) each."""
    dx, dy = centre_m[-1] - centre_m[-2]
    return centre_m[-1], np.array([-dy, dx]) / np.hypot(dx, dy)


def _turn(curve_m: Points) -> float:
    """By how much a curve turns, rad, left positive."""
    (ax, ay), (bx, by) = curve_m[1] - curve_m[0], curve_m[-1] - curve_m[-2]
    return float(np.arctan2(ax * by - ay * bx, ax * bx + ay * by))


def _rounded(points_m: Points) -> Points:
    """(N, 2) about every POINT_STEP_M along a polyline, its corners rounded, its ends kept."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points_m, axis=0).T))])
    count = max(round(along[-1] / POINT_STEP_M), 2) + 1
    s = np.linspace(0.0, along[-1], count)
    points = np.stack([np.interp(s, along, points_m[:, i]) for i in range(2)], axis=1)
    reach = min(round(3.0 * ROUNDING_M / POINT_STEP_M), count - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * POINT_STEP_M / ROUNDING_M) ** 2)
    kernel /= kernel.sum()
    before = 2.0 * points[0] - points[reach:0:-1]
    after = 2.0 * points[-1] - points[-2 : -2 - reach : -1]
    padded = np.concatenate([before, points, after])
    return np.stack([np.convolve(padded[:, i], kernel, mode="valid") for i in range(2)], axis=1)


def _gentlest_curve(before_m: Points, after_m: Points, *, count: int) -> Points:
    """(N, 2), N at least count, about every half POINT_STEP_M: from the end of one line to the start of another, without a
    kink, the cubic Bézier curve whose sharpest place is the least sharp."""
    start, goal = before_m[-1], after_m[0]
    ahead, onward = before_m[-1] - before_m[-2], after_m[1] - after_m[0]
    ahead, onward = ahead / np.hypot(*ahead), onward / np.hypot(*onward)
    gap = max(float(np.hypot(*(goal - start))), 0.1)
    handles = gap * np.linspace(0.15, 1.2, 22)
    first, second = (h.ravel()[:, None, None] for h in np.meshgrid(handles, handles, indexing="ij"))
    t = np.linspace(0.0, 1.0, 41)[:, None]
    curves = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * (start + first * ahead) + 3 * (1 - t) * t**2 * (goal - second * onward) + t**3 * goal
    best = curves[int(np.argmin(_curvature(curves).max(axis=-1)))]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(best, axis=0).T))])
    number = max(round(2.0 * along[-1] / POINT_STEP_M) + 1, count)
    s = np.linspace(0.0, along[-1], number)
    return np.stack([np.interp(s, along, best[:, i]) for i in range(2)], axis=1)


def _curvature(points_m: Points) -> Points:
    """(..., N - 2) absolute curvature at the inner points of polylines (..., N, 2)."""
    a, b = points_m[..., 1:-1, :] - points_m[..., :-2, :], points_m[..., 2:, :] - points_m[..., 1:-1, :]
    cross = np.abs(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
    product = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1) * np.linalg.norm(a + b, axis=-1)
    return 2.0 * cross / np.maximum(product, 1e-9)
