"""Path geometry of the rule-based planner: lines through lanes, and the way that a car steers along one.

All in the vehicle frame of the observation. Offsets are positive to the left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_parameters import Body, RuleParameters
from mimic_contracts.errors import MimicError
from mimic_contracts.motion import wrap_angle
from mimic_contracts.scene import Scene, SceneLane

STEP_M = 0.5
SEARCH_STRIDE = 2  # of the points among which the nearest is looked for
SMOOTHING_M = 6.0  # a polyline's corners become bends over this length
MAX_HEADING_RAD = 1.2  # against the line; beyond it the line's own coordinates degenerate
MAX_STRETCHES = 8  # of the length over which errors are steered out, by a fifth each
BEYOND_M = 60.0  # straight on beyond the end of what is seen, so that every plan has a line
PATH_LENGTH_M = 110.0
LOOK_FOR_LANES_M = 80.0
LANE_CHANGE_M_PER_M = 0.1  # metres that the ego would move aside for each metre by which a lane leads further

Points = NDArray[np.float64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Line:
    """points_m (N, 2) about every STEP_M; arc length s_m, yaw_rad and curvature_1pm (N,)."""

    points_m: Points
    s_m: Values
    yaw_rad: Values
    curvature_1pm: Values

    def project(self, points_m: Points) -> tuple[Values, Values, Values]:
        """(K,) arc length, offset, and the line's yaw at the nearest place of each point (K, 2)."""
        x, y = self.points_m[::SEARCH_STRIDE].T
        # |p - q|² = |q|² - 2 p·q + |p|², of which the last says nothing about which q is nearest
        nearest = SEARCH_STRIDE * np.argmin((x**2 + y**2) - 2.0 * (points_m @ np.stack([x, y])), axis=1)
        yaw = self.yaw_rad[nearest]
        dx, dy = (points_m - self.points_m[nearest]).T
        along = dx * np.cos(yaw) + dy * np.sin(yaw)
        return self.s_m[nearest] + along, -dx * np.sin(yaw) + dy * np.cos(yaw), yaw

    def shifted(self, offset_m: Values) -> "Line":
        """The line moved to its left by an offset (N,) at each of its points."""
        left = np.stack([-np.sin(self.yaw_rad), np.cos(self.yaw_rad)], axis=1)
        return line_of(self.points_m + offset_m[:, None] * left)


@dataclass(frozen=True, eq=False)
class Path(Line):
    """What the rear axle drives, from the ego on; station_m (N,): where that is on the route's line."""

    station_m: Values

    def way(self, station_m: float) -> float:
        """Arc length of this path at a station of the route's line; beyond both ends by the difference."""
        if station_m <= self.station_m[0]:
            return float(station_m - self.station_m[0])
        return float(np.interp(station_m, self.station_m, self.s_m) + max(station_m - self.station_m[-1], 0.0))


@dataclass(frozen=True, eq=False)
class RouteLine:
    """The line through the route's lanes; lanes in order, with their first and last station (L, 2).

    ego_m: the ego's station; seen_m: the last one that is seen, after which the line goes straight on.
    """

    line: Line
    lanes: tuple[SceneLane, ...]
    spans_m: Points
    ego_m: float
    seen_m: float

    def limits_mps(self, station_m: Values, *, unknown_mps: float) -> Values:
        """(K,) speed limit at stations; where a lane tells none, the one before it."""
        limits, known = [], unknown_mps
        for lane in self.lanes:
            known = lane.speed_limit_mps or known
            limits.append(known)
        return np.array(limits)[np.clip(np.searchsorted(self.spans_m[:, 0], station_m, side="right") - 1, 0, None)]

    def width_m(self, station_m: float) -> float:
        """Of the lane at a station."""
        return self.lanes[max(int(np.searchsorted(self.spans_m[:, 0], station_m, side="right")) - 1, 0)].width_m


def line_of(points_m: Points) -> Line:
    """The line through points that are already smooth and even."""
    steps = np.diff(points_m, axis=0)
    lengths = np.hypot(*steps.T)
    yaw = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    yaw = np.concatenate([yaw[:1], (yaw[1:] + yaw[:-1]) / 2.0, yaw[-1:]])
    s_m = np.concatenate([[0.0], np.cumsum(lengths)])
    return Line(points_m, s_m, yaw, np.gradient(yaw, s_m))


def smooth_line(points_m: Points) -> Line:
    """The line every STEP_M through a lane's polyline (N, 2), its corners bent over SMOOTHING_M."""
    even = resampled(points_m, STEP_M)
    half = round(SMOOTHING_M / STEP_M / 2.0)
    window = np.hanning(2 * half + 3)[1:-1]
    window /= window.sum()
    before, after = even[0] - even[1], even[-1] - even[-2]
    steps = np.arange(1, half + 1)[:, None]
    padded = np.concatenate([even[0] + before * steps[::-1], even, even[-1] + after * steps])
    smooth = np.stack([np.convolve(column, window, mode="valid") for column in padded.T], axis=1)
    return line_of(smooth)


def resampled(points_m: Points, step_m: float) -> Points:
    """(M, 2) at least two points every step_m along a polyline (N, 2), without its double ones."""
    lengths = np.hypot(*np.diff(points_m, axis=0).T)
    points_m = points_m[np.concatenate([[True], lengths > 0.01])]
    if len(points_m) < 2:
        points_m = points_m[0] + np.array([[0.0, 0.0], [step_m, 0.0]])
    s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points_m, axis=0).T))])
    at = np.linspace(0.0, s[-1], max(round(s[-1] / step_m), 1) + 1)
    return np.stack([np.interp(at, s, column) for column in points_m.T], axis=1)


def route_line(lanes: Sequence[SceneLane]) -> RouteLine:
    """The line through the lanes on the route from where the ego is; raises MimicError when the scene has none."""
    chain = _route_chain(lanes)
    parts = [lane.centre_m for lane in chain]
    points = np.concatenate(parts)
    first, last = points[1] - points[0], points[-1] - points[-2]
    ahead_m = float(points[0] @ first / max(np.hypot(*first), 0.01))  # the lane's first point in view may lie before the car
    back = points[0] - first / max(np.hypot(*first), 0.01) * max(ahead_m + 10.0, 10.0)
    on = points[-1] + last / max(np.hypot(*last), 0.01) * BEYOND_M
    line = smooth_line(np.concatenate([back[None], points, on[None]]))
    ends = line.project(np.array([[part[0], part[-1]] for part in parts]).reshape(-1, 2))[0].reshape(-1, 2)
    ego_m = float(line.project(np.zeros((1, 2)))[0][0])
    return RouteLine(line, chain, np.maximum.accumulate(ends, axis=0), ego_m, float(ends[-1, 1]))


def _route_chain(lanes: Sequence[SceneLane]) -> tuple[SceneLane, ...]:
    """The lanes on the route in order, from the one that the ego is on, or that is nearest and leads on."""
    on = {lane.lane_id: lane for lane in lanes if lane.on_route and len(lane.centre_m) > 1}
    if not on:
        ids = ", ".join(lane.lane_id for lane in lanes) or "none at all"
        raise MimicError(f"observation.scene.lanes: no lane with two points is on_route (lanes: {ids}): the planner has no way to follow")
    chains = {lane_id: _longest(lane_id, on, ()) for lane_id in sorted(on)}

    def cost(chain: tuple[SceneLane, ...]) -> tuple[float, float]:
        centre = resampled(chain[0].centre_m, 2.0)
        distances = np.hypot(*centre.T)
        nearest = int(np.argmin(distances))
        step = np.diff(centre, axis=0)[min(nearest, len(centre) - 2)]
        wrong_way_m = 50.0 if step[0] < 0.0 else 0.0
        ahead_m = 2.0 * (len(centre) - nearest) + sum(float(np.hypot(*np.diff(lane.centre_m, axis=0).T).sum()) for lane in chain[1:])
        return float(distances[nearest] + wrong_way_m - LANE_CHANGE_M_PER_M * min(ahead_m, LOOK_FOR_LANES_M)), -ahead_m

    return min(chains.values(), key=cost)


def _longest(lane_id: str, on: dict[str, SceneLane], before: tuple[str, ...]) -> tuple[SceneLane, ...]:
    """The longest chain of successors on the route from a lane."""
    followers = [s for s in on[lane_id].successors if s in on and s not in before and s != lane_id]
    tails = [_longest(s, on, (*before, lane_id)) for s in followers[:2]]
    return (on[lane_id], *max(tails, key=len, default=()))


def steer(line: Line, *, ego_m: float, curvature_1pm: float, speed_mps: float, body: Body, parameters: RuleParameters) -> Path:
    """The path of a car that steers back to a line and along it, from the ego's pose and curvature.

    The steering rate over the way brings offset, heading error and curvature error to zero together (a triple pole at
    1/length), within what lateral jerk and the steering's rate allow: curvature is continuous from any state.
    """
    p = parameters
    count = int(min(PATH_LENGTH_M, line.s_m[-1] - ego_m) / STEP_M)
    rates = np.gradient(line.curvature_1pm, line.s_m)
    speeds = np.minimum(max(speed_mps, 2.0), np.sqrt(p.lateral_acceleration_mps2 / np.maximum(np.abs(line.curvature_1pm), 1e-3)))
    most = np.where(speeds < 5.0, p.steering_rate_radps / body.wheelbase_m / np.maximum(speeds, 0.5), p.lateral_jerk_mps3 / np.maximum(speeds, 1.0) ** 3)
    # plain floats: a loop over numpy scalars takes ten times as long
    bend, bend_rate, limit = line.curvature_1pm.tolist(), rates.tolist(), most.tolist()
    _, offsets, yaws = line.project(np.zeros((1, 2)))
    s, curvature = ego_m, curvature_1pm
    offset, heading = float(offsets[0]), float(np.clip(wrap_angle(-yaws)[0], -MAX_HEADING_RAD, MAX_HEADING_RAD))
    step_line = float(line.s_m[1])
    length = _steering_length(max(p.min_steering_length_m, p.steering_time_s * speed_mps), offset, heading, curvature - bend[int(s / step_line)], limit[0])
    stations, curvatures = [s], [curvature]
    for _ in range(max(count, 2)):
        i = min(int(s / step_line), len(bend) - 1)
        wanted = bend[i]
        turn = bend_rate[i] - 3.0 / length * (curvature - wanted) - 3.0 / length**2 * heading - offset / length**3
        turn = min(max(turn, -limit[i]), limit[i])
        curvature = min(max(curvature + turn * STEP_M, -body.max_curvature_1pm), body.max_curvature_1pm)
        along = math.cos(heading) / max(1.0 - wanted * offset, 0.3)
        offset += math.sin(heading) * STEP_M
        heading = min(max(heading + (curvature - wanted * along) * STEP_M, -MAX_HEADING_RAD), MAX_HEADING_RAD)
        s += along * STEP_M
        stations.append(s)
        curvatures.append(curvature)
    return _integrated(np.array(curvatures), np.array(stations))


def _steering_length(shortest_m: float, offset: float, heading: float, bend: float, limit: float) -> float:
    """The shortest length whose first steering stays within its limit: beyond it the errors would be swung across."""
    length = shortest_m
    for _ in range(MAX_STRETCHES):
        if abs(3.0 / length * bend + 3.0 / length**2 * heading + offset / length**3) <= limit:
            break
        length *= 1.2
    return length


def _integrated(curvature: Values, station_m: Values) -> Path:
    yaw = np.concatenate([[0.0], np.cumsum((curvature[1:] + curvature[:-1]) / 2.0 * STEP_M)])
    middle = (yaw[1:] + yaw[:-1]) / 2.0
    points = np.concatenate([np.zeros((1, 2)), np.cumsum(np.stack([np.cos(middle), np.sin(middle)], axis=1) * STEP_M, axis=0)])
    return Path(points, np.asarray(STEP_M * np.arange(len(points))), yaw, curvature, station_m)


def inside(points_m: Points, outline_m: Points) -> NDArray[np.bool_]:
    """(K,) whether points (K, 2) lie in a polygon (N, 2), by the number of its edges to their right."""
    result = np.zeros(len(points_m), dtype=bool)
    if len(outline_m) < 3:
        return result
    x, y = points_m.T
    for (x0, y0), (x1, y1) in pairwise(np.concatenate([outline_m[-1:], outline_m]).tolist()):
        if y0 != y1:
            result ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return result


def on_road(points_m: Points, scene: Scene) -> bool:
    """Whether all points (K, 2) lie on the scene's drivable area or one of its lanes, of either direction."""
    on = np.zeros(len(points_m), dtype=bool)
    for outline in scene.drivable_area:
        on |= inside(points_m, outline)
    for lane in scene.lanes:
        if len(lane.centre_m) > 1 and not on.all():
            starts, steps = lane.centre_m[:-1], np.diff(lane.centre_m, axis=0)
            away = points_m[:, None] - starts
            share = np.clip((away * steps).sum(axis=2) / np.maximum((steps**2).sum(axis=1), 1e-9), 0.0, 1.0)
            distance = np.hypot(*(away - share[..., None] * steps).transpose(2, 0, 1)).min(axis=1)
            on |= distance < lane.width_m / 2.0
    return bool(on.all())
