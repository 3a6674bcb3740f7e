"""The junctions and crossings along the ego's path, by its arc length."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_forecast import LaneMap
from e2e_planner.rule_path import Path, RouteLine, inside, resampled
from mimic_contracts.scene import Scene, SceneLane

TOUCHING_M = 2.2  # between the middles of two lanes on which cars touch
UNSEEN_JUNCTION_M = 12.0  # long, where its lanes are not in view
LIGHT_RANKS = ("red", "red_yellow", "yellow", "green", "off", "unknown")  # where heads differ, the first of these counts
SIGHT_DEPTH = 3  # lanes before a conflict along which sight is followed

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Zone:
    """Where a lane with the right of way meets the path: its stretch of the path; sight_m: for how long a way before
    it that lane is in view; limit_mps: its speed limit, if known."""

    lane_id: str
    start_m: float
    end_m: float
    sight_m: float
    limit_mps: float | None


@dataclass(frozen=True, kw_only=True)
class Junction:
    """One on the path. key: its first lane, or the lane that leads into it where that is not in view; line_m: where the front waits; rule: of the
    stop line, None where there is none; light: its state, None where none is in view; yields_to: lanes; zones: of those in view."""

    key: str
    line_m: float
    start_m: float
    end_m: float
    rule: str | None
    light: str | None
    yields_to: frozenset[str]
    zones: tuple[Zone, ...]


def junctions_along(scene: Scene, route: RouteLine, path: Path, lane_map: LaneMap, *, lines: Mapping[str, tuple[str, Points]]) -> tuple[Junction, ...]:
    """In order. lines: of each lane that waits, the rule and the line's middle (2,)."""
    lights = {}
    for light in sorted(scene.lights, key=lambda light: -LIGHT_RANKS.index(light.state)):
        lights[light.lane_id] = light.state
    preferred = {name for lane in scene.lanes for name in lane.yields_to}  # others yield to these

    def crosses(lane: SceneLane) -> bool:
        return bool(lane.yields_to) or lane.lane_id in preferred

    result = []
    index = 0
    while index < len(route.lanes):
        lane = route.lanes[index]
        has_line = lane.lane_id in lines or lane.lane_id in lights
        if not has_line and not crosses(lane):
            index += 1
            continue
        first = index + 1 if has_line else index
        last = first
        while last + 1 < len(route.lanes) and crosses(route.lanes[last + 1]):
            last += 1
        within = route.lanes[first : last + 1]
        start = path.way(float(route.spans_m[index, 1] if has_line else route.spans_m[index, 0]))
        end = path.way(float(route.spans_m[last, 1])) if within else start + UNSEEN_JUNCTION_M
        rule = "signal" if lane.lane_id in lights else lines[lane.lane_id][0] if has_line else None
        line = float(path.way(float(route.line.project(lines[lane.lane_id][1][None])[0][0]))) if lane.lane_id in lines else start
        yields_to = frozenset(name for inner in within for name in inner.yields_to)
        zones = sorted(_zones(yields_to, scene, path, lane_map), key=lambda zone: zone.start_m)
        result.append(
            Junction(
                key=within[0].lane_id if within else lane.lane_id,
                line_m=line,
                start_m=start,
                end_m=end,
                rule=rule,
                light=lights.get(lane.lane_id),
                yields_to=yields_to,
                zones=tuple(zones),
            )
        )
        index = max(last, index) + (1 if within else 2)
    return tuple(result)


def crossings_along(scene: Scene, path: Path, *, half_width_m: float) -> tuple[tuple[float, float], ...]:
    """The stretches of the path (start, end) on which the car is on a crossing, in order."""
    left = half_width_m * np.stack([-np.sin(path.yaw_rad), np.cos(path.yaw_rad)], axis=1)
    found = []
    for outline in scene.crossings:
        if len(outline) > 2:
            on = inside(path.points_m, outline) | inside(path.points_m + left, outline) | inside(path.points_m - left, outline)
            if on.any():
                found.append((float(path.s_m[np.argmax(on)]), float(path.s_m[len(on) - 1 - np.argmax(on[::-1])])))
    return tuple(sorted(found))


def _zones(yields_to: frozenset[str], scene: Scene, path: Path, lane_map: LaneMap) -> list[Zone]:
    limits = {lane.lane_id: lane.speed_limit_mps for lane in scene.lanes if lane.lane_id in yields_to}
    zones = []
    for lane_id in sorted(yields_to):
        points = lane_map.points(lane_id)
        if points is None:
            continue
        points = resampled(points, 1.0)
        s, offset, _ = path.project(points)
        touching = (np.abs(offset) < TOUCHING_M) & (s > -TOUCHING_M) & (s < path.s_m[-1])
        if touching.any():
            sight_m = float(np.argmax(touching)) + _sight_before(lane_id, lane_map, SIGHT_DEPTH)
            zones.append(
                Zone(lane_id=lane_id, start_m=float(s[touching].min()), end_m=float(s[touching].max()), sight_m=sight_m, limit_mps=limits.get(lane_id))
            )
    return zones


def _sight_before(lane_id: str, lane_map: LaneMap, depth: int) -> float:
    """Length in view of the shortest of the ways that lead into a lane."""
    lengths = []
    for feeder in lane_map.feeders(lane_id) if depth > 0 else ():
        points = lane_map.points(feeder)
        if points is not None:
            lengths.append(float(np.hypot(*np.diff(points, axis=0).T).sum()) + _sight_before(feeder, lane_map, depth - 1))
    return min(lengths, default=0.0)
