"""Moving over for what stands in the way: how far, where, and whether the room beside it is free for long enough."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_parameters import Body, RuleParameters
from e2e_planner.rule_path import STEP_M, Line, RouteLine, inside
from e2e_planner.rule_tracks import Track
from mimic_contracts.scene import Scene

AHEAD_M = 60.0  # how far ahead one moves over
BEHIND_M = 8.0
OUT_OF_LANE_M = 0.25  # by which the car's side may leave its lane without a gap
BEFORE_M = 1.0  # of the standing vehicle, where the car is beside it in full, and after it
LEAST_SHIFT_M = 6.0
STEERING_SHARE = 0.8  # of the greatest curvature, to move aside
QUEUE_SPACING_M = 12.0  # between standing vehicles of one queue
STEADY_MPS = 0.5
CATCHING_UP_S = 3.0  # for which one from behind may be faster before the ego is as fast

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Beside:
    """A track in the line's coordinates: its extents are s_m ± along_m, offset_m ± across_m; going_mps along the line."""

    track: Track
    s_m: float
    offset_m: float
    along_m: float
    across_m: float
    going_mps: float

    @property
    def key(self) -> int:
        """Its track_id."""
        return self.track.agent.track_id


@dataclass(frozen=True, eq=False)
class Shift:
    """offset_m (N,) of the path from the route's line; waited_for: those that block the way until there is a gap."""

    offset_m: Values
    waited_for: frozenset[int] = frozenset()


@dataclass
class Passing:
    """Keeps what it has begun to pass."""

    body: Body
    parameters: RuleParameters
    _begun: frozenset[int] = field(default_factory=frozenset)

    def shift(self, route: RouteLine, scene: Scene, tracks: Sequence[Track], *, speed_mps: float, queue_ends_m: Sequence[float]) -> Shift:
        """How the path moves over. queue_ends_m: stations before which standing vehicles queue (junctions, crossings)."""
        others = _beside(tracks, route.line)
        standing = self._left_standing(others, route, queue_ends_m)
        offset, waited_for, begun = np.zeros(len(route.line.s_m)), [], []
        for other in standing:
            needed = self._needed_offset(other, route.width_m(other.s_m))
            if needed is None:
                continue
            if self._leaves_lane(needed, route.width_m(other.s_m)):
                is_free = self._is_free(other, needed, others, route, scene, speed_mps=speed_mps, is_begun=other.key in self._begun)
                if not is_free:
                    waited_for.append(other.key)
                    continue
                begun.append(other.key)
            self._widen(offset, route.line, other, needed)
        self._begun = frozenset(begun)
        return Shift(_smooth(offset, self._ramp_m(float(np.abs(offset).max()), speed_mps)), frozenset(waited_for))

    def _ramp_m(self, offset_m: float, speed_mps: float) -> float:
        """The way over which one moves aside: so that lateral jerk (at the speed of passing) and steering stay calm.

        A step smoothed by a Hann window of width W has at most the curvature 2π·offset/W² and its rate (2π)²·offset/W³.
        """
        p = self.parameters
        by_jerk_m = min(speed_mps, p.passing_mps) * (4.0 * np.pi**2 * offset_m / p.lateral_jerk_mps3) ** (1.0 / 3.0)
        by_steering_m = np.sqrt(2.0 * np.pi * offset_m / (STEERING_SHARE * self.body.max_curvature_1pm))
        return float(max(LEAST_SHIFT_M, by_jerk_m, by_steering_m))

    def _left_standing(self, others: Sequence[Beside], route: RouteLine, queue_ends_m: Sequence[float]) -> list[Beside]:
        """Vehicles near the lane that stand for another reason than the traffic before them, nearest first."""
        p, result = self.parameters, []
        near = [o for o in others if -BEHIND_M < o.s_m - route.ego_m < AHEAD_M and not o.track.is_person and abs(o.going_mps) < STEADY_MPS]
        queue_m = list(queue_ends_m)  # stations that explain a vehicle standing before them
        for other in sorted(near, key=lambda o: -o.s_m):
            is_in_lane = abs(other.offset_m) < p.edge_m
            is_hazard = other.track.agent.indicator == "both"
            in_queue = any(-2.0 < end - other.s_m - other.along_m < p.queue_reach_m for end in queue_m)
            is_waiting = is_in_lane and not is_hazard and (other.track.agent.brake or in_queue)
            if is_waiting:
                queue_m.append(other.s_m - other.along_m + QUEUE_SPACING_M - p.queue_reach_m)
            elif other.key in self._begun or not is_in_lane or other.track.standing_s >= p.standing_s:
                result.append(other)
        return result[::-1]

    def _needed_offset(self, other: Beside, width_m: float) -> float | None:
        """Of the rear axle, to pass with clearance, or with less if that keeps the lane; None: it is not in the way."""
        p, half = self.parameters, self.body.half_width_m
        side = 1.0 if other.offset_m <= p.edge_m / 2.0 else -1.0  # to its left, unless it stands on the left
        edge = other.offset_m + side * other.across_m
        for clearance in (p.clearance_m, p.least_clearance_m):
            needed = edge + side * (half + clearance)
            if needed * side <= 0.0:
                return None
            if not self._leaves_lane(needed, width_m):
                return float(needed)
        return float(edge + side * (half + p.clearance_m))

    def _leaves_lane(self, offset_m: float, width_m: float) -> bool:
        return abs(offset_m) + self.body.half_width_m > width_m / 2.0 + OUT_OF_LANE_M

    def _is_free(self, other: Beside, needed: float, others: Sequence[Beside], route: RouteLine, scene: Scene, *, speed_mps: float, is_begun: bool) -> bool:
        """Whether the car can be beside the lane, there and back, before anybody comes."""
        p, body = self.parameters, self.body
        shift_m = self._ramp_m(abs(needed), speed_mps)
        end_m = other.s_m + other.along_m + body.rear_m + BEFORE_M + shift_m
        if end_m + body.front_m > route.seen_m or not self._is_road(other, needed, route, scene):
            return False
        margin_s = p.kept_gap_s if is_begun else p.passing_margin_s
        duration_s = _duration(end_m - route.ego_m, speed_mps, acceleration_mps2=p.acceleration_mps2, most_mps=p.passing_mps) + margin_s
        side = np.sign(needed)
        inner, outer = sorted((side * (body.half_width_m - p.corridor_margin_m), needed + side * (body.half_width_m + p.corridor_margin_m)))
        for o in others:
            is_in_the_way = o.offset_m + o.across_m > inner and o.offset_m - o.across_m < outer and o.key != other.key and not o.track.is_person
            if not is_in_the_way:
                continue
            rear, front = o.s_m - o.along_m, o.s_m + o.along_m
            if o.going_mps < -STEADY_MPS and route.ego_m < front and rear + o.going_mps * duration_s < end_m:
                return False
            gap_m = route.ego_m - body.rear_m - front
            needed_m = p.lane_change_gap_s * o.going_mps + CATCHING_UP_S * max(o.going_mps - speed_mps, 0.0)
            if o.going_mps > STEADY_MPS and not is_begun and gap_m < needed_m and rear < end_m:
                return False
        return True

    def _is_road(self, other: Beside, needed: float, route: RouteLine, scene: Scene) -> bool:
        """Whether the outer side of the car would still be on a road beside the standing vehicle."""
        outer = needed + np.sign(needed) * self.body.half_width_m
        near = np.abs(route.line.s_m - other.s_m) < other.along_m + 1.0
        yaw = route.line.yaw_rad[near]
        points = route.line.points_m[near] + outer * np.stack([-np.sin(yaw), np.cos(yaw)], axis=1)
        on = np.zeros(len(points), dtype=bool)
        for outline in scene.drivable_area:
            if len(outline) > 2:
                on |= inside(points, outline)
        for lane in scene.lanes:
            if len(lane.centre_m) > 1 and not on.all():
                starts, steps = lane.centre_m[:-1], np.diff(lane.centre_m, axis=0)
                away = points[:, None] - starts
                share = np.clip((away * steps).sum(axis=2) / np.maximum((steps**2).sum(axis=1), 1e-9), 0.0, 1.0)
                distance = np.hypot(*(away - share[..., None] * steps).transpose(2, 0, 1)).min(axis=1)
                on |= distance < lane.width_m / 2.0
        return bool(on.all())

    def _widen(self, offset: Values, line: Line, other: Beside, needed: float) -> None:
        """Ask for an offset (N,) while any part of the car is beside; where two sides are asked for, the middle of both."""
        first, last = other.s_m - other.along_m - self.body.front_m - BEFORE_M, other.s_m + other.along_m + self.body.rear_m + BEFORE_M
        beside = (line.s_m > first) & (line.s_m < last)
        before = offset[beside]
        farther = np.where(np.abs(needed) > np.abs(before), needed, before)
        offset[beside] = np.where(before * needed < 0.0, (before + needed) / 2.0, farther)


def _beside(tracks: Sequence[Track], line: Line) -> list[Beside]:
    if not tracks:
        return []
    poses = np.array([[t.agent.x_m, t.agent.y_m, t.agent.yaw_rad] for t in tracks])
    s, offset, yaw = line.project(poses[:, :2])
    cosine, sine = np.cos(poses[:, 2] - yaw), np.sin(poses[:, 2] - yaw)
    result = []
    for track, at, beside, c, d in zip(tracks, s.tolist(), offset.tolist(), cosine.tolist(), sine.tolist(), strict=True):
        half_length, half_width = track.agent.length_m / 2.0, track.agent.width_m / 2.0
        along, across = half_length * abs(c) + half_width * abs(d), half_length * abs(d) + half_width * abs(c)
        result.append(Beside(track, at, beside, along, across, track.agent.speed_mps * c))
    return result


def _smooth(offset: Values, shift_m: float) -> Values:
    """An offset (N,) every STEP_M with ramps of shift_m before and after what is asked for."""
    if not offset.any():
        return offset
    half = round(shift_m / STEP_M / 2.0)
    window = np.hanning(2 * half + 3)[1:-1]
    held = _held(np.maximum(offset, 0.0), half) - _held(np.maximum(-offset, 0.0), half)
    return np.convolve(np.pad(held, half, mode="edge"), window / window.sum(), mode="valid")


def _held(values: Values, half: int) -> Values:
    """The largest of values (N,) within half a window of each place."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(np.pad(values, half), 2 * half + 1).max(axis=1))


def _duration(way_m: float, speed_mps: float, *, acceleration_mps2: float, most_mps: float) -> float:
    """Time for a way, accelerating from a speed up to the most."""
    most_mps = max(most_mps, speed_mps)
    gained_m = (most_mps**2 - speed_mps**2) / (2.0 * acceleration_mps2)
    if way_m <= gained_m:
        return float((np.sqrt(speed_mps**2 + 2.0 * acceleration_mps2 * max(way_m, 0.0)) - speed_mps) / acceleration_mps2)
    return float((most_mps - speed_mps) / acceleration_mps2 + (way_m - gained_m) / most_mps)
