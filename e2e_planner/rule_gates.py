"""Where the ego has to wait: lights, stop signs, right of way, full junctions, people on crossings.

Decisions are kept until something speaks clearly against them: yellow lights, gaps, the order at an all-way stop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_conflicts import Claim, OnPath, is_blocked
from e2e_planner.rule_forecast import STEP_S, LaneMap
from e2e_planner.rule_junctions import Junction, junctions_along
from e2e_planner.rule_parameters import Body, RuleParameters
from e2e_planner.rule_path import Path, RouteLine
from e2e_planner.rule_speed import Lead, Motion
from e2e_planner.rule_tracks import moved_pose
from mimic_contracts.motion import to_frame
from mimic_contracts.observation import EgoState
from mimic_contracts.scene import Scene

BESIDE_M = 0.3  # a conflict that the front has reached by more is left ahead, not waited for
AT_JUNCTION_M = 1.0  # around a junction's stretch of the path
ENTERED_M = 1.0  # beyond its line the front is in the junction
FORGET_LINE_M = 15.0  # behind the ego
DECIDING_M = 25.0  # before a line, from which on a decision is kept
QUEUE_AT_JUNCTION_M = 8.0  # beside the conflict: one who drives here is on its way at an all-way stop
STEPPING_MPS = 0.2  # towards the road, from which on somebody walks onto a crossing
FASTEST_SHARE, SLOWEST_SHARE = 1.5, 0.8  # of the speed now, at which people may go on
FACING = 0.7  # cosine below which somebody faces across the road
NO_STOP = float("inf")


@dataclass
class _Memory:
    """Of one junction, until the ego is through."""

    standing_s: float = 0.0  # at the line
    has_stopped: bool = False
    is_going: bool = False
    runs_light: bool | None = None  # decided when it was first seen not to be green
    looked_s: float = 0.0
    first_ones: frozenset[int] = frozenset()  # who was at an all-way stop before the ego
    light: str | None = None
    light_age_s: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that the decisions at one moment are made on; going: how the ego moves on if nothing holds it."""

    speed_mps: float
    junctions: tuple[Junction, ...]
    crossings: tuple[tuple[float, float], ...]
    claims: Sequence[Claim]
    projected: Sequence[OnPath]
    leads: Sequence[Lead]
    going: Motion


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """stop_m: where the rear axle stands at the latest (infinity: nowhere); creep_m: from where to where it only creeps."""

    stop_m: float = NO_STOP
    creep_m: tuple[float, float] | None = None


@dataclass
class Gates:
    """The decisions, with what they need to remember."""

    body: Body
    parameters: RuleParameters
    _memories: dict[str, _Memory] = field(default_factory=dict)
    _lines: dict[str, tuple[str, NDArray[np.float64]]] = field(default_factory=dict)

    def look(self, scene: Scene, route: RouteLine, path: Path, lane_map: LaneMap, ego: EgoState, *, step_s: float) -> tuple[Junction, ...]:
        """The junctions along the path; stop lines that the car's own front hides are remembered."""
        driven = moved_pose(ego, step_s)
        moved = {key: (rule, to_frame(np.array([[*middle, 0.0]]), driven)[0, :2]) for key, (rule, middle) in self._lines.items()}
        seen = {line.lane_id: (line.rule, line.ends_m.mean(axis=0)) for line in scene.stop_lines}
        self._lines = {key: line for key, line in (moved | seen).items() if line[1][0] > -FORGET_LINE_M}
        junctions = junctions_along(scene, route, path, lane_map, lines=self._lines)
        self._memories = {j.key: self._memories.get(j.key, _Memory()) for j in junctions}
        for junction in junctions:
            self._note(junction, self._memories[junction.key], ego.speed_mps or 0.0, step_s)
        return junctions

    def _note(self, junction: Junction, memory: _Memory, speed_mps: float, step_s: float) -> None:
        p = self.parameters
        to_line_m = junction.line_m - self.body.front_m
        is_at_line = speed_mps < p.standstill_mps and to_line_m < p.stop_sign_reach_m
        memory.standing_s = memory.standing_s + step_s if is_at_line else 0.0
        memory.light_age_s += step_s
        if junction.light not in (None, "unknown"):
            memory.light, memory.light_age_s = junction.light, 0.0
        elif memory.light_age_s > p.light_memory_s:
            memory.light = None

    def decide(self, now: Situation, *, step_s: float) -> Verdict:
        """Where to wait, and where to creep."""
        stops, creep = [self._for_claims(now), self._for_crossings(now)], None
        for junction in now.junctions:
            verdict = self._at(junction, self._memories[junction.key], now, step_s)
            stops.append(verdict.stop_m)
            creep = creep or verdict.creep_m
        return Verdict(stop_m=min(stops), creep_m=creep)

    def _at(self, junction: Junction, memory: _Memory, now: Situation, step_s: float) -> Verdict:
        p, body = self.parameters, self.body
        to_line_m = junction.line_m - body.front_m
        if junction.end_m + body.rear_m < 0.0:
            return Verdict()
        has_entered = to_line_m < -ENTERED_M
        rule = self._rule(junction, memory)
        blocking = self._blocking(junction, rule, memory, now)
        if not has_entered and self._waits_at_line(junction, rule, memory, now, blocking):
            memory.is_going = False
            return Verdict(stop_m=to_line_m - p.stop_margin_m)
        if blocking:
            memory.is_going = False
            waits_inside = has_entered or rule in ("signal", None)
            return self._before_conflicts(junction, blocking, now) if waits_inside else Verdict(stop_m=to_line_m - p.stop_margin_m)
        edge_m = min((zone.start_m for zone in junction.zones), default=NO_STOP) - body.front_m - p.stop_margin_m / 2.0
        if memory.is_going or edge_m == NO_STOP or self._sees_enough(junction, now):
            memory.is_going = to_line_m < DECIDING_M
            return Verdict()
        # Too little of the others' way is in view: up to their edge slowly, and on after a look.
        is_at_edge = edge_m < p.restart_m and now.speed_mps < p.standstill_mps
        memory.looked_s = memory.looked_s + step_s if is_at_edge else memory.looked_s
        memory.is_going = memory.looked_s >= p.look_s or edge_m < -ENTERED_M
        return Verdict(stop_m=NO_STOP if memory.is_going else edge_m, creep_m=(max(edge_m - body.front_m, 0.0), junction.end_m))

    def _waits_at_line(self, junction: Junction, rule: str | None, memory: _Memory, now: Situation, blocking: Sequence[Claim]) -> bool:
        """Before a light, at a stop sign until it has stood, and where it would block the junction."""
        if rule == "signal" and self._must_stop(memory, junction.line_m - self.body.front_m, now.speed_mps):
            return True
        if rule in ("stop", "all_way_stop") and not memory.has_stopped:
            memory.has_stopped = memory.standing_s >= self.parameters.stop_sign_s
            memory.first_ones = frozenset(claim.track_id for claim in blocking)
            return True
        return not self._has_room(junction, now, is_going=memory.is_going)

    def _rule(self, junction: Junction, memory: _Memory) -> str | None:
        """A signal that is off, or shows nothing for long, is a stop sign."""
        is_dark = memory.light == "off" or (memory.light is None and memory.standing_s > self.parameters.unseen_light_s)
        return "stop" if junction.rule == "signal" and (is_dark or memory.has_stopped) and memory.light in (None, "off") else junction.rule

    def _must_stop(self, memory: _Memory, to_line_m: float, speed_mps: float) -> bool:
        """At a signal. What is decided when it turns yellow holds: to go on, as long as stopping would be too hard."""
        p = self.parameters
        if memory.light == "green":
            memory.runs_light = None
            return False
        is_too_late = speed_mps**2 / (2.0 * max(to_line_m - speed_mps * p.reaction_s, 0.1)) > p.yellow_braking_mps2
        if memory.runs_light is None:
            memory.runs_light = memory.light == "yellow" and is_too_late
        return not (memory.runs_light and is_too_late)

    def _blocking(self, junction: Junction, rule: str | None, memory: _Memory, now: Situation) -> list[Claim]:
        """The claims at a junction that the ego gives way to."""
        p, front_m = self.parameters, self.body.front_m
        result = []
        for claim in now.claims:
            is_here = not claim.is_person and _is_at(claim, junction) and claim.start_m > front_m - BESIDE_M
            has_priority = not junction.yields_to.isdisjoint(claim.lane_ids)
            if rule == "all_way_stop" and memory.has_stopped:
                is_on_its_way = claim.speed_mps > p.queue_mps and claim.from_s * claim.speed_mps < QUEUE_AT_JUNCTION_M
                has_priority = has_priority and (claim.track_id in memory.first_ones or is_on_its_way)
            elif rule == "all_way_stop":
                has_priority = has_priority and claim.speed_mps < p.queue_mps
            if is_here and (has_priority or claim.is_sudden):
                is_full = has_priority and not memory.is_going
                before_s, after_s = (p.gap_before_s, p.gap_after_s) if is_full else (p.kept_gap_s, p.kept_gap_s)
                if is_blocked(claim, now.going, self.body, before_s=before_s, after_s=after_s):
                    result.append(claim)
        return result

    def _before_conflicts(self, junction: Junction, blocking: Sequence[Claim], now: Situation) -> Verdict:
        """Wait before the first place where others may come, if the front is not there yet; else before the next that is claimed."""
        starts = [zone.start_m for zone in junction.zones] + [claim.start_m for claim in blocking]
        wait_m = min(starts) - self.body.front_m - self.parameters.conflict_margin_m
        if wait_m < -ENTERED_M:
            wait_m = min(claim.start_m for claim in blocking) - self.body.front_m - self.parameters.conflict_margin_m / 2.0
        can_stop = now.speed_mps**2 / 2.0 < self.parameters.emergency_braking_mps2 * max(wait_m + self.parameters.conflict_margin_m, 0.0)
        return Verdict(stop_m=max(wait_m, 0.0)) if can_stop or now.speed_mps < self.parameters.creep_mps else Verdict()

    def _has_room(self, junction: Junction, now: Situation, *, is_going: bool) -> bool:
        """Whether the ego fits between the junction and the queue behind it; not asked where it stands before the junction."""
        needed_m = self.body.length_m + (self.parameters.room_m if is_going else self.parameters.room_m + 1.0)
        rears_m = [
            lead.gap_m + self.body.front_m
            for lead in now.leads
            if lead.speed_mps < self.parameters.queue_mps and lead.gap_m + self.body.front_m > junction.line_m
        ]
        return min(rears_m, default=np.inf) - junction.end_m >= needed_m

    def _sees_enough(self, junction: Junction, now: Situation) -> bool:
        p = self.parameters
        for zone in junction.zones:
            through_s = now.going.time_s(zone.end_m + self.body.rear_m) + p.kept_gap_s
            if zone.sight_m < min((zone.limit_mps or p.unknown_limit_mps) * min(through_s, p.horizon_s), p.enough_sight_m):
                return False
        return True

    def _for_claims(self, now: Situation) -> float:
        """Before people, and before vehicles that can't stop any more, wherever they will be on the path."""
        p, stop_m = self.parameters, NO_STOP
        for claim in now.claims:
            is_at_junction = any(_is_at(claim, j) for j in now.junctions)
            is_mine = claim.is_person or (claim.is_sudden and not is_at_junction)
            if is_mine and claim.end_m > self.body.front_m and self._is_in_time(claim, now):
                stop_m = min(stop_m, max(claim.start_m - self.body.front_m - p.conflict_margin_m, 0.0))
        return stop_m

    def _is_in_time(self, claim: Claim, now: Situation) -> bool:
        """Whether the ego would come too near to somebody whom it must never hit."""
        return is_blocked(claim, now.going, self.body, before_s=self.parameters.pedestrian_gap_s, after_s=self.parameters.kept_gap_s)

    def _for_crossings(self, now: Situation) -> float:
        """Before crossings that somebody is on, walks to, or waits at (where no signal tells who goes)."""
        p, stop_m = self.parameters, NO_STOP
        for start_m, end_m in now.crossings:
            wait_m = start_m - self.body.front_m - p.conflict_margin_m
            is_signalled = any(j.rule == "signal" and j.line_m - 10.0 < start_m < j.end_m + 10.0 for j in now.junctions)
            if wait_m < -p.conflict_margin_m:
                continue
            for seen in now.projected:
                claim = self._on_crossing(seen, start_m, end_m, is_signalled=is_signalled)
                if claim is not None and self._is_in_time(claim, now):
                    stop_m = min(stop_m, max(wait_m, 0.0))
        return stop_m

    def _on_crossing(self, seen: OnPath, start_m: float, end_m: float, *, is_signalled: bool) -> Claim | None:
        """The claim of one on foot on a crossing, or None."""
        p, track = self.parameters, seen.forecast.track
        if not track.is_person or not start_m - 2.0 < seen.s_m[0] < end_m + 2.0 or seen.gap_m[0] > p.kerb_m:
            return None
        beside_m = max(float(seen.gap_m[0]) - p.conflict_margin_m / 2.0, 0.0)
        across_mps = (abs(float(seen.offset_m[0])) - abs(float(seen.offset_m[1]))) / STEP_S
        if seen.gap_m[0] < p.conflict_margin_m:
            from_s, to_s = 0.0, np.inf if track.agent.speed_mps < p.standstill_mps else 2.0 * self.body.half_width_m / track.agent.speed_mps
        elif across_mps > STEPPING_MPS:
            way_m = beside_m + 2.0 * self.body.half_width_m + p.conflict_margin_m
            from_s, to_s = beside_m / (FASTEST_SHARE * across_mps), way_m / (SLOWEST_SHARE * across_mps)
        elif (
            track.agent.speed_mps < 0.3 and not is_signalled and track.standing_s < p.patience_s and beside_m < p.waiting_person_m and abs(seen.cosine[0]) < 0.7
        ):
            from_s, to_s = 0.0, np.inf
        else:
            return None
        return Claim(track_id=track.agent.track_id, start_m=start_m, end_m=end_m, from_s=from_s, to_s=to_s, is_person=True)

    def _waits_to_cross(self, seen: OnPath) -> bool:
        """Whether one on foot stands at the kerb, faces across, and has not let others go for long."""
        p, track = self.parameters, seen.forecast.track
        is_standing = track.agent.speed_mps < p.standing_person_mps and track.standing_s < p.patience_s
        return is_standing and seen.gap_m[0] < p.waiting_person_m and abs(seen.cosine[0]) < FACING


def _is_at(claim: Claim, junction: Junction) -> bool:
    return junction.line_m - AT_JUNCTION_M <= claim.start_m <= junction.end_m + AT_JUNCTION_M
