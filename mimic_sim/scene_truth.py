"""The Scene that the rig can see, from ground truth: what perfect perception heads beside a map would tell a planner.

A lane is given as far as something on it would be seen: between the sides of a picture, before walls, within LANES_M, and
close to the car all around. What lies behind the first hidden place is not there, which is why a planner has to creep. The
route is known for ROUTE_M even so: the map tells it.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import points_to_frame, to_frame
from mimic_contracts.scene import Agent, Scene, SceneLane, StopLine, TrafficLight
from mimic_sim.actors import Actor
from mimic_sim.right_of_way import SIGNAL, link_of
from mimic_sim.road_network import Lane, Path
from mimic_sim.sight import Seen

if TYPE_CHECKING:
    from mimic_sim.world import World

LANES_M, ROUTE_M, LINES_M, AREAS_M = 100.0, 60.0, 80.0, 60.0  # how far from the car they are given
CLOSE_M = 15.0  # around and behind the car, where its driver knows the road

Points = NDArray[np.float64]
Contract = TypeVar("Contract")


class SceneTruth:
    """Makes Scenes of one world. Agents and lights are those of a Sight."""

    def __init__(self, world: "World") -> None:
        network = world.network
        by_id = {lane.lane_id: lane for lane in network.lanes}
        self._way_ids = [lane.lane_id for lane in world.way.lanes]
        self._lanes, self._stop_lines = network.lanes, network.stop_lines
        self._rules = [SIGNAL if _has_signal(world, by_id[line.lane_id]) else line.rule for line in network.stop_lines]
        self._centres = _Shapes(_endless(lane) for lane in network.lanes)
        self._lines = _Shapes(np.stack([line.left_m, line.right_m]) for line in network.stop_lines)
        self._crossings = _Shapes(_outline(path) for path in network.crossings)
        self._areas = _Shapes(area.outline_m for area in network.junctions)
        self._ids: dict[str, int] = {}

    def scene(self, seen: Seen, *, station_lane: str) -> Scene:
        """What is in view at a moment; station_lane: the lane of the way that the car is on."""
        pose = seen.moment.ego.pose
        first = self._way_ids.index(station_lane)
        lanes = tuple(self._lanes_in_view(seen, behind=self._way_ids[max(first - 1, 0) : first], ahead=self._way_ids[first:]))
        named = {lane.lane_id for lane in lanes}.union(self._way_ids[first:])
        lines = [(k, ends) for k, ends in self._lines.near(pose, LINES_M) if self._stop_lines[k].lane_id in named]
        return Scene(
            lanes=lanes,
            drivable_area=tuple(outline for _, outline in self._areas.near(pose, AREAS_M)),
            crossings=tuple(outline for _, outline in self._crossings.near(pose, AREAS_M)),
            agents=self._agents(seen.moment.actors, pose),
            lights=tuple(
                TrafficLight(state=state, position_m=np.append(points_to_frame(signal.position_m[None, :2], pose), signal.position_m[2]), lane_id=lane_id)
                for signal, lane_id, state in seen.lights
            ),
            stop_lines=tuple(StopLine(lane_id=self._stop_lines[k].lane_id, rule=self._rules[k], ends_m=ends) for k, ends in lines),
        )

    def _lanes_in_view(self, seen: Seen, *, behind: Sequence[str], ahead: Sequence[str]) -> Iterable[SceneLane]:
        """Of each lane the piece next to the car that is in view, or that the map tells; of the route's, behind and ahead, those
        are on_route that lie before the first gap."""
        pose = seen.moment.ego.pose
        which = self._centres.within(pose, LANES_M)
        parts = [self._centres.shapes[k] for k in which]
        ends = np.cumsum([0, *(len(part) for part in parts)])
        is_of_route = np.array([self._lanes[k].lane_id in (*behind, *ahead) for k in which], bool)
        points = np.concatenate([np.zeros((0, 2)), *parts])
        own = points_to_frame(points, pose)
        away_m = np.hypot(own[:, 0], own[:, 1])
        is_told = np.repeat(is_of_route, np.diff(ends)) & (away_m < ROUTE_M) & (own[:, 0] > -CLOSE_M)
        is_given = is_told | (away_m < CLOSE_M)
        asked = np.flatnonzero(~is_given & (away_m < LANES_M))
        is_given[asked] = np.any([eye.sees_ground(points[asked]) for eye in seen.eyes], axis=0)
        runs = {self._lanes[which[i]].lane_id: (i, start, stop) for i, start, stop in _nearest_runs(is_given, away_m, ends)}
        line = {*behind, ahead[0]}
        for here, after in pairwise(ahead):
            if here not in runs or after not in runs or runs[here][2] < ends[runs[here][0] + 1] or runs[after][1] > ends[runs[after][0]]:
                break
            line.add(after)
        for i, start, stop in runs.values():
            lane = self._lanes[which[i]]
            yield _made(
                SceneLane,
                lane_id=lane.lane_id,
                centre_m=own[start:stop],
                width_m=lane.width_m,
                speed_limit_mps=lane.speed_limit_mps,
                on_route=lane.lane_id in line,
                successors=lane.successors,
                yields_to=lane.yields_to,
            )

    def _agents(self, actors: Sequence[Actor], pose: Points) -> tuple[Agent, ...]:
        poses = to_frame(np.array([(a.x_m, a.y_m, a.yaw_rad) for a in actors]).reshape(-1, 3), pose).tolist()
        return tuple(
            _made(
                Agent,
                track_id=self._ids.setdefault(actor.actor_id, len(self._ids)),
                kind=actor.kind,
                x_m=x,
                y_m=y,
                yaw_rad=yaw,
                speed_mps=actor.speed_mps,
                length_m=actor.length_m,
                width_m=actor.width_m,
                brake=actor.brake,
                indicator=actor.indicator,
            )
            for actor, (x, y, yaw) in zip(actors, poses, strict=True)
        )


class _Shapes:
    """Lines or outlines (N, 2) of the network, of which those near the car are found at once."""

    def __init__(self, shapes: Iterable[Points]) -> None:
        self.shapes = tuple(shapes)
        self._middles = np.array([(shape.min(axis=0) + shape.max(axis=0)) / 2.0 for shape in self.shapes]).reshape(-1, 2)
        self._radii_m = np.array([np.hypot(*(shape - middle).T).max() for shape, middle in zip(self.shapes, self._middles, strict=True)])

    def within(self, pose: Points, reach_m: float) -> list[int]:
        """Indices of those of which a part may lie within reach of the car."""
        away = self._middles - pose[:2]
        return np.flatnonzero(np.hypot(away[:, 0], away[:, 1]) < reach_m + self._radii_m).tolist()

    def near(self, pose: Points, reach_m: float) -> list[tuple[int, Points]]:
        """Indices and vehicle-frame points of those with a corner within reach."""
        which = self.within(pose, reach_m)
        own = points_to_frame(np.concatenate([np.zeros((0, 2)), *(self.shapes[k] for k in which)]), pose)
        is_near = np.hypot(own[:, 0], own[:, 1]) < reach_m
        ends = np.cumsum([0, *(len(self.shapes[k]) for k in which)]).tolist()
        return [(k, own[start:stop]) for k, start, stop in zip(which, ends[:-1], ends[1:], strict=True) if is_near[start:stop].any()]


def _nearest_runs(is_given: NDArray[np.bool_], away_m: Points, ends: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Of each lane, whose points end where the next one's begin, the run of at least two given points that comes nearest to
    the car: (lane, start, stop)."""
    lane_of = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    joins = is_given[1:] & is_given[:-1] & (lane_of[1:] == lane_of[:-1])
    is_first, is_last = joins & ~np.append(False, joins[:-1]), joins & ~np.append(joins[1:], False)
    starts, stops = np.flatnonzero(is_first), np.flatnonzero(is_last) + 2
    if not len(starts):
        return []
    is_in_run = np.append(joins, False) | np.append(False, joins)
    nearest_m = np.minimum.reduceat(np.where(is_in_run, away_m, np.inf), starts)
    order = np.lexsort((nearest_m, lane_of[starts]))
    lanes, first = np.unique(lane_of[starts][order], return_index=True)
    chosen = order[first]
    return list(zip(lanes.tolist(), starts[chosen].tolist(), stops[chosen].tolist(), strict=True))


def _made(contract: type[Contract], **values: Any) -> Contract:
    """A contract's value past its checks, which network and actors have passed: sixty a tick would take longer than all the rest."""
    one = object.__new__(contract)
    one.__dict__.update(values)
    return one


def _endless(lane: Lane) -> Points:
    """The lane's middle; of a closed lane two laps, so that no view of it is cut where it begins."""
    return np.concatenate([lane.centre_m, lane.centre_m]) if lane.lane_id in lane.successors else lane.centre_m


def _has_signal(world: "World", lane: Lane) -> bool:
    return any(link_of(world.network, lane.lane_id, successor) is not None for successor in lane.successors)


def _outline(path: Path) -> Points:
    """(4, 2) the rectangle of a straight path."""
    start, end = path.centre_m[0], path.centre_m[-1]
    along = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
    aside = path.width_m / 2.0 * np.array([-along[1], along[0]])
    return np.stack([start + aside, start - aside, end - aside, end + aside])
