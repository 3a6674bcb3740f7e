"""Moving over for what stands in the way: how far, where, and whether the room beside it is free for long enough."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_parameters import Body, RuleParameters
from e2e_planner.rule_path import STEP_M, Line, RouteLine, on_road
from e2e_planner.rule_tracks import Track
from mimic_contracts.scene import Scene

AHEAD_M = 60.0  # how far ahead one moves over
BEHIND_M = 8.0
LANE_EDGE_M = 0.15  # that the car keeps free
BEFORE_M = 1.0  # of the standing vehicle, where the car is beside it in full, and after it
LEAST_RAMP_M = 6.0
STEERING_SHARE = 0.8  # of the greatest curvature, to move aside
QUEUE_SPACING_M = 12.0  # between standing vehicles of one queue
STEADY_MPS = 0.5
BESIDE_SPREAD_M = 1.0  # of the offsets of a lane that runs beside the route's
NEAR_LANE_M = 10.0  # of its first point in view
CATCHING_UP_S = 2.0  # for which one from behind may be faster before the ego is as fast

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
class Blocker:
    """One to pass: the offset of the rear axle that passes it, and whether the car leaves its lane for that."""

    other: Beside
    offset_m: float
    leaves_lane: bool


@dataclass(frozen=True, eq=False)
class Shift:
    """offset_m (N,) of the path from the route's line; waited_for: those that block the way until there is a gap;
    lane_end_m: the station at which a lane ends that the ego can't leave yet, infinity where it may."""

    offset_m: Values
    waited_for: frozenset[int] = frozenset()
    lane_end_m: float = np.inf


class Pace(NamedTuple):
    """How the ego moves: its speed, and for how long it has stood."""

    speed_mps: float
    waited_s: float


@dataclass
class Passing:
    """Keeps what it has begun to pass, and whether it has begun to change lanes."""

    body: Body
    parameters: RuleParameters
    _begun: frozenset[int] = field(default_factory=frozenset)
    _is_changing: bool = False

    def shift(self, route: RouteLine, scene: Scene, tracks: Sequence[Track], *, speed_mps: float, waited_s: float, queue_ends_m: Sequence[float]) -> Shift:
        """How the path moves over. waited_s: how long the ego has stood; queue_ends_m: stations before which standing
        vehicles queue (junctions, crossings)."""
        now = Pace(speed_mps, waited_s)
        others = _beside(tracks, route.line)
        own = self._own_lane(route, scene)
        self._is_changing = own is not None and (self._is_changing or self._lets_change(others, route, speed_mps))
        if own is not None and not self._is_changing:
            until_m = own[1] - self._ramp_m(abs(own[0]), speed_mps)
            return Shift(np.where(route.line.s_m < own[1], own[0], 0.0), lane_end_m=until_m)
        offset = np.zeros(len(route.line.s_m))
        waited_for: set[int] = set()
        begun: set[int] = set()
        for group in self._groups(self._left_standing(others, route, queue_ends_m), route, speed_mps):
            keys = frozenset(blocker.other.key for blocker in group)
            is_begun = not self._begun.isdisjoint(keys)
            is_beside = is_begun and group[0].other.s_m - group[0].other.along_m < route.ego_m + self.body.front_m  # no way back
            if group[0].leaves_lane and not is_beside and not self._is_free(group, others, route, scene, now, is_begun=is_begun):
                waited_for |= keys
                continue
            begun |= keys if group[0].leaves_lane else set()
            for blocker in group:
                self._widen(offset, route.line, blocker)
        self._begun = frozenset(begun)
        return Shift(_smooth(offset, self._ramp_m(float(np.abs(offset).max()), speed_mps)), frozenset(waited_for))

    def _own_lane(self, route: RouteLine, scene: Scene) -> tuple[float, float] | None:
        """Offset and last station of the lane that the ego is on beside the route's; None where it is on the route's."""
        ego_offset_m = float(route.line.project(np.zeros((1, 2)))[1][0])
        if abs(ego_offset_m) < route.width_m(route.ego_m) / 2.0:
            return None
        for lane in scene.lanes:
            if len(lane.centre_m) < 2 or lane in route.lanes:
                continue
            s, offset, yaw = route.line.project(lane.centre_m)
            step = lane.centre_m[-1] - lane.centre_m[0]
            is_parallel = np.cos(np.arctan2(step[1], step[0]) - yaw[0]) > 0.9 and np.ptp(offset) < BESIDE_SPREAD_M
            if is_parallel and s[0] - NEAR_LANE_M < route.ego_m < s[-1] and abs(float(np.median(offset)) - ego_offset_m) < lane.width_m / 2.0:
                return float(np.median(offset)), float(s[-1])
        return None

    def _lets_change(self, others: Sequence[Beside], route: RouteLine, speed_mps: float) -> bool:
        """Whether nobody in the route's lane would be cut off."""
        half = self.body.half_width_m + self.parameters.corridor_margin_m
        return all(self._leaves_room(o, route, speed_mps) for o in others if abs(o.offset_m) - o.across_m < half and not o.track.is_person)

    def _leaves_room(self, other: Beside, route: RouteLine, speed_mps: float) -> bool:
        """Whether one who goes the same way is far enough ahead or behind for the ego to go where it goes."""
        p = self.parameters
        ahead_m = other.s_m - other.along_m - route.ego_m - self.body.front_m
        behind_m = route.ego_m - self.body.rear_m - other.s_m - other.along_m
        is_ahead = ahead_m > p.standing_gap_m + CATCHING_UP_S * max(speed_mps - other.going_mps, 0.0)
        return is_ahead or behind_m > p.standing_gap_m + p.lane_change_gap_s * other.going_mps + CATCHING_UP_S * max(other.going_mps - speed_mps, 0.0)

    def _ramp_m(self, offset_m: float, speed_mps: float) -> float:
        """The way over which one moves aside: so that lateral jerk (at the speed of passing) and steering stay calm.

        A step smoothed by a Hann window of width W has at most the curvature 2π·offset/W² and its rate (2π)²·offset/W³.
        """
        p = self.parameters
        by_jerk_m = min(speed_mps, p.passing_mps) * (4.0 * np.pi**2 * offset_m / p.lateral_jerk_mps3) ** (1.0 / 3.0)
        by_steering_m = np.sqrt(2.0 * np.pi * offset_m / (STEERING_SHARE * self.body.max_curvature_1pm))
        return float(max(LEAST_RAMP_M, by_jerk_m, by_steering_m))

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

    def _groups(self, standing: Sequence[Beside], route: RouteLine, speed_mps: float) -> list[list[Blocker]]:
        """What has to be passed in one go: those outside the lane that leave no room to come back between them."""
        groups: list[list[Blocker]] = []
        for other in standing:
            blocker = self._blocker(other, route.width_m(other.s_m))
            if blocker is None:
                continue
            last = groups[-1][-1] if groups else None
            between_m = 2.0 * self._ramp_m(abs(blocker.offset_m), speed_mps) + self.body.length_m
            if last is not None and last.leaves_lane and blocker.leaves_lane and other.s_m - other.along_m < last.other.s_m + last.other.along_m + between_m:
                groups[-1].append(blocker)
            else:
                groups.append([blocker])
        return groups

    def _blocker(self, other: Beside, width_m: float) -> Blocker | None:
        """How far to move over: with clearance, or with less if that keeps the lane; None: it is not in the way."""
        p, half = self.parameters, self.body.half_width_m
        side = 1.0 if other.offset_m <= p.edge_m / 2.0 else -1.0  # to its left, unless it stands on the left
        edge = other.offset_m + side * other.across_m
        if (edge + side * (half + p.clearance_m)) * side <= 0.0:
            return None
        wanted, least = (max(side * (edge + side * (half + clearance)), 0.0) for clearance in (p.clearance_m, p.least_clearance_m))
        most = width_m / 2.0 - half - LANE_EDGE_M
        if least <= most:
            return Blocker(other, side * min(wanted, most), leaves_lane=False)
        return Blocker(other, side * wanted, leaves_lane=True)

    def _is_free(self, group: Sequence[Blocker], others: Sequence[Beside], route: RouteLine, scene: Scene, now: Pace, *, is_begun: bool) -> bool:
        """Whether the car can be beside the lane, there and back, before anybody comes."""
        p, body = self.parameters, self.body
        needed = max((blocker.offset_m for blocker in group), key=abs)
        end_m = max(b.other.s_m + b.other.along_m for b in group) + body.rear_m + BEFORE_M + self._ramp_m(abs(needed), now.speed_mps)
        if end_m + body.front_m > route.seen_m or not all(self._is_road(blocker, route, scene) for blocker in group):
            return False
        margin_s = p.kept_gap_s if is_begun else p.passing_margin_s
        duration_s = _duration(end_m - route.ego_m, now.speed_mps, acceleration_mps2=p.acceleration_mps2, most_mps=p.passing_mps) + margin_s
        if not is_begun and now.waited_s < p.patience_s and route.seen_m - p.unseen_oncoming_mps * duration_s < end_m:
            return False  # somebody may come from beyond the end of view; having waited long, one trusts that nobody does
        side = np.sign(needed)
        inner, outer = sorted((side * (body.half_width_m - p.corridor_margin_m), needed + side * (body.half_width_m + p.corridor_margin_m)))
        keys = {blocker.other.key for blocker in group}
        for o in others:
            is_beside = o.offset_m + o.across_m > inner and o.offset_m - o.across_m < outer
            if not is_beside or o.key in keys or o.track.is_person:
                continue
            meets = o.going_mps < -STEADY_MPS and o.s_m + o.along_m > route.ego_m and o.s_m - o.along_m + o.going_mps * duration_s < end_m
            is_cut_off = o.going_mps > STEADY_MPS and not is_begun and not self._leaves_room(o, route, now.speed_mps)
            if meets or is_cut_off:
                return False
        return True

    def _is_road(self, blocker: Blocker, route: RouteLine, scene: Scene) -> bool:
        """Whether the outer side of the car would still be on a road beside the standing vehicle."""
        outer = blocker.offset_m + np.sign(blocker.offset_m) * self.body.half_width_m
        near = np.abs(route.line.s_m - blocker.other.s_m) < blocker.other.along_m + 1.0
        yaw = route.line.yaw_rad[near]
        return on_road(route.line.points_m[near] + outer * np.stack([-np.sin(yaw), np.cos(yaw)], axis=1), scene)

    def _widen(self, offset: Values, line: Line, blocker: Blocker) -> None:
        """Ask for an offset (N,) while any part of the car is beside; where two sides are asked for, the middle of both."""
        other, needed = blocker.other, blocker.offset_m
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
