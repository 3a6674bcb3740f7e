"""Where other road users may go: along the lanes that they are on, each branch a way of its own, or straight on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_parameters import RuleParameters
from e2e_planner.rule_tracks import Track
from mimic_contracts.motion import wrap_angle
from mimic_contracts.scene import Agent, SceneLane

STEP_S = 0.4
LANE_SPACING_M = 4.0  # of the points by which lanes are searched: denser ones are thinned out
ON_LANE_M = 2.0  # of its middle
AS_NEAR_M = 0.7  # a second lane this much further away is as likely
SAME_WAY = 0.6  # cosine between a lane and one who drives along it
TURN_RAD = 0.5  # from which a lane turns off
MAX_WAYS = 6
TURNING_BRAKING_MPS2, TURNING_MPS2 = 3.0, 5.0  # nobody brakes harder for a turn, or takes it with more lateral acceleration
DRIFT_S = 2.0  # for which a heading across the lane is kept
STEADY_RAD = 0.04  # a smaller heading error is no lane change

Points = NDArray[np.float64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forecast:
    """One way that a track may take: poses (T, 3) [x_m, y_m, yaw_rad] every STEP_S, its way driven_m (T,) until then,
    and the lanes that it takes."""

    track: Track
    poses: Points
    driven_m: Values
    lane_ids: tuple[str, ...]


class LaneMap:
    """The scene's lanes as a graph that road users are found on and followed along."""

    def __init__(self, lanes: Sequence[SceneLane]) -> None:
        self._lanes = {lane.lane_id: lane for lane in lanes if len(lane.centre_m) > 1}
        self._points = {lane_id: _thinned(lane.centre_m) for lane_id, lane in self._lanes.items()}

    def feeders(self, lane_id: str) -> list[str]:
        """The lanes in view that lead into one."""
        return self._before.get(lane_id, [])

    def points(self, lane_id: str) -> Points | None:
        """(N, 2) of a lane; None when it is not in view."""
        return self._points.get(lane_id)

    @cached_property
    def _before(self) -> dict[str, list[str]]:
        result: dict[str, list[str]] = {}
        for lane_id, lane in self._lanes.items():
            for successor in lane.successors:
                result.setdefault(successor, []).append(lane_id)
        return result

    @cached_property
    def _segments(self) -> tuple[Points, Points, list[tuple[str, int]]]:
        starts = [points[:-1] for points in self._points.values()]
        steps = [np.diff(points, axis=0) for points in self._points.values()]
        owners = [(lane_id, i) for lane_id, points in self._points.items() for i in range(len(points) - 1)]
        return np.concatenate([np.zeros((0, 2)), *starts]), np.concatenate([np.zeros((0, 2)), *steps]), owners

    def locate(self, poses: Points) -> list[list[tuple[str, int]]]:
        """For each pose (A, 3): the lanes that it is on, along their direction, each with the segment's index."""
        starts, steps, owners = self._segments
        if not owners:
            return [[] for _ in poses]
        along = np.arctan2(steps[:, 1], steps[:, 0])
        squared = np.maximum((steps**2).sum(axis=1), 1e-9)
        dx, dy = (poses[:, k, None] - starts[:, k] for k in (0, 1))
        share = np.minimum(np.maximum((dx * steps[:, 0] + dy * steps[:, 1]) / squared, 0.0), 1.0)
        distance = np.sqrt((dx - share * steps[:, 0]) ** 2 + (dy - share * steps[:, 1]) ** 2)
        facing = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1) @ np.stack([np.cos(along), np.sin(along)])
        distance[facing < SAME_WAY] = np.inf
        nearest = distance.min(axis=1)
        result = []
        for row, best in zip(distance, nearest, strict=True):
            found: dict[str, tuple[float, int]] = {}
            for k in np.flatnonzero(row <= min(best + AS_NEAR_M, ON_LANE_M)).tolist():
                lane_id, index = owners[k]
                if lane_id not in found or row[k] < found[lane_id][0]:
                    found[lane_id] = (float(row[k]), index)
            result.append([(lane_id, index) for lane_id, (_, index) in sorted(found.items(), key=lambda item: (item[1][0], item[0]))])
        return result

    def ways(self, lane_id: str, index: int, *, length_m: float, agent: Agent) -> list[tuple[Points, tuple[str, ...]]]:
        """The polylines from a lane's segment on that are at least this long or leave the view, with their lanes; without
        turns that the agent's indicator speaks against, or that it is too fast for."""
        found: list[tuple[Points, tuple[str, ...]]] = []

        def follow(parts: tuple[Points, ...], ids: tuple[str, ...], left_m: float) -> None:
            left_m -= float(np.hypot(*np.diff(parts[-1], axis=0).T).sum())
            successors = [s for s in self._lanes[ids[-1]].successors if s in self._points and s not in ids]
            if left_m <= 0.0 or not successors:
                found.append((np.concatenate(parts), ids))
                return
            squared_speed = agent.speed_mps**2 - 2.0 * TURNING_BRAKING_MPS2 * (length_m - left_m)
            for successor in self._indicated(successors, agent.indicator):
                if len(found) < MAX_WAYS and squared_speed * _bend(self._points[successor]) < TURNING_MPS2:
                    follow((*parts, self._points[successor]), (*ids, successor), left_m)

        follow((self._points[lane_id][index:],), (lane_id,), length_m)
        return found

    def _indicated(self, successors: list[str], indicator: str) -> list[str]:
        """Those that turn to the indicated side, if any do."""
        sides = {"left": 1.0, "right": -1.0}
        if indicator not in sides or len(successors) == 1:
            return successors
        turning = [s for s in successors if _turn(self._points[s]) * sides[indicator] > TURN_RAD]
        return turning or successors


def forecast(tracks: Sequence[Track], lane_map: LaneMap, *, priority: frozenset[str], waited_s: float, parameters: RuleParameters) -> tuple[Forecast, ...]:
    """Every way that each track may take within the horizon.

    priority: lanes with right of way over the ego. One who stands before such a lane is expected to start, until it has
    let the ego wait for it in vain (waited_s: how long the ego has stood); one who brakes before it is not expected to
    go on braking; all others are.
    """
    times: Values = np.asarray(STEP_S * np.arange(round(parameters.horizon_s / STEP_S) + 1))
    poses = np.array([[t.agent.x_m, t.agent.y_m, t.agent.yaw_rad] for t in tracks]).reshape(-1, 3)
    on_lanes = [i for i, t in enumerate(tracks) if not t.is_person]
    places = dict(zip(on_lanes, lane_map.locate(poses[on_lanes]), strict=True))
    result = []
    nowhere: list[tuple[Points | None, tuple[str, ...]]] = [(None, ())]
    for i, track in enumerate(tracks):
        reach_m = (track.agent.speed_mps + 3.0) * parameters.horizon_s
        ways = [way for place in places.get(i, []) for way in lane_map.ways(*place, length_m=reach_m, agent=track.agent)]
        for points, ids in ways[:MAX_WAYS] or nowhere:
            driven = _driven(track, times, has_priority=not priority.isdisjoint(ids), waited_s=waited_s, parameters=parameters)
            along = _straight(poses[i], driven) if points is None else _along(points, poses[i], driven, speed_mps=track.agent.speed_mps, times_s=times)
            result.append(Forecast(track, along, driven, ids))
    return tuple(result)


def _driven(track: Track, times_s: Values, *, has_priority: bool, waited_s: float, parameters: RuleParameters) -> Values:
    """(T,) how far it goes until each time."""
    speed, p = track.agent.speed_mps, parameters
    if track.is_person:
        return speed * times_s
    if has_priority and speed < p.queue_mps and min(track.standing_s, waited_s) < p.patience_s:
        return speed * times_s + p.acceleration_mps2 / 2.0 * np.maximum(times_s - p.start_delay_s, 0.0) ** 2
    acceleration = min(max(track.acceleration_mps2, 0.0 if has_priority else -3.0), 1.0)
    lasting_s = min(DRIFT_S, speed / -acceleration) if acceleration < 0.0 else DRIFT_S
    t = np.minimum(times_s, lasting_s)
    after = max(speed + acceleration * lasting_s, 0.0)
    return np.asarray(speed * t + acceleration / 2.0 * t**2 + after * (times_s - t))


def _straight(pose: Values, driven_m: Values) -> Points:
    return np.stack([pose[0] + driven_m * np.cos(pose[2]), pose[1] + driven_m * np.sin(pose[2]), np.full(len(driven_m), pose[2])], axis=1)


def _along(points_m: Points, pose: Values, driven_m: Values, *, speed_mps: float, times_s: Values) -> Points:
    """(T, 3) along a polyline, beside it as far as now; a heading across a straight lane goes on for DRIFT_S."""
    steps = np.diff(points_m, axis=0)
    lengths = np.maximum(np.hypot(*steps.T), 1e-6)
    yaw = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    s = np.concatenate([[0.0], np.cumsum(lengths)])
    dx, dy = pose[:2] - points_m[0]
    start = float(dx * np.cos(yaw[0]) + dy * np.sin(yaw[0]))
    offset = float(-dx * np.sin(yaw[0]) + dy * np.cos(yaw[0]))
    at = start + driven_m
    index = np.clip(np.searchsorted(s, at, side="right") - 1, 0, len(steps) - 1)
    heading = float(wrap_angle(pose[2:3] - yaw[0])[0])
    is_straight = abs(yaw[min(3, len(yaw) - 1)] - yaw[0]) < STEADY_RAD
    drift = speed_mps * np.sin(heading) * np.minimum(times_s, DRIFT_S) if is_straight and abs(heading) > STEADY_RAD else np.zeros(len(at))
    beside = offset + drift
    beyond, along_yaw = at - s[index], yaw[index]
    x = points_m[index, 0] + beyond * np.cos(along_yaw) - beside * np.sin(along_yaw)
    y = points_m[index, 1] + beyond * np.sin(along_yaw) + beside * np.cos(along_yaw)
    return np.stack([x, y, along_yaw], axis=1)


def _thinned(centre_m: Points) -> Points:
    """The points of a lane, no denser than needed to find places on it."""
    length = float(np.hypot(*np.diff(centre_m, axis=0).T).sum())
    every = max(int(LANE_SPACING_M * (len(centre_m) - 1) / max(length, LANE_SPACING_M)), 1)
    return centre_m if every == 1 else np.concatenate([centre_m[:-1:every], centre_m[-1:]])


def _bend(points_m: Points) -> float:
    """Mean curvature of a polyline, 1/m."""
    return abs(_turn(points_m)) / max(float(np.hypot(*np.diff(points_m, axis=0).T).sum()), 1.0)


def _turn(points_m: Points) -> float:
    """Change of direction along a polyline, rad, positive to the left."""
    first, last = points_m[1] - points_m[0], points_m[-1] - points_m[-2]
    return float(np.arctan2(first[0] * last[1] - first[1] * last[0], first @ last))
