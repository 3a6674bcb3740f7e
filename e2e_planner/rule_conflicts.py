"""Who is, or will be, on the ego's path: leads to follow, and claims to give way to or to go before."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_forecast import STEP_S, Forecast
from e2e_planner.rule_parameters import CLEARANCE_SPEEDS_MPS, CLEARANCES_M, Body, RuleParameters
from e2e_planner.rule_path import Path
from e2e_planner.rule_speed import STEP_S as MOTION_STEP_S
from e2e_planner.rule_speed import Lead, Motion
from e2e_planner.rule_tracks import Track

MERGING_MPS2 = 5.0  # by which the gap before one who comes from behind grows with the difference in speed
MERGE_M = 10.0  # of the ego's path that one claims who will then drive along it
ALONG = 0.5  # cosine of the directions from which on two go the same way
HEAD_ON = -0.8
ACROSS = 0.9  # cosine below which a person's way leads across the road
BESIDE_M = 1.0  # one beside the front bumper by less is ahead
PERSON_RADIUS_M = 0.35
NEAR_MISS_M = 4.0  # between an oncoming one and the front bumper

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A stretch of the path, by arc length, that somebody will be on between two times, s from now.

    lane_ids: the lanes that it takes; speed_mps: its own; is_merging, is_head_on: it goes the ego's way there, or comes
    towards it; may_stop: it still could, before it gets there.
    """

    track_id: int
    start_m: float
    end_m: float
    from_s: float
    to_s: float
    lane_ids: tuple[str, ...] = ()
    speed_mps: float = 0.0
    is_merging: bool = False
    is_head_on: bool = False
    is_person: bool = False
    may_stop: bool = False

    @property
    def is_sudden(self) -> bool:
        """Whether it crosses the ego's way and can't stop before: it has to be braked for whoever has to give way."""
        return not (self.may_stop or self.is_merging or self.is_head_on)


@dataclass(frozen=True, eq=False)
class OnPath:
    """A forecast (or K tracks now) in the path's coordinates: extents along s_m ± along_m and gap_m to the car's side, (T,)."""

    forecast: Forecast
    s_m: Values
    offset_m: Values
    along_m: Values
    gap_m: Values
    cosine: Values


def on_path(forecasts: Sequence[Forecast], path: Path, body: Body) -> list[OnPath]:
    """Each forecast, projected on the path."""
    if not forecasts:
        return []
    poses = np.stack([f.poses for f in forecasts])
    shape = poses.shape[:2]
    s, offset, yaw = path.project(poses[..., :2].reshape(-1, 2))
    s, offset, yaw = s.reshape(shape), offset.reshape(shape), yaw.reshape(shape)
    turn = poses[..., 2] - yaw
    cosine, sine = np.cos(turn), np.sin(turn)
    half_length = np.array([f.track.agent.length_m / 2.0 for f in forecasts])[:, None]
    half_width = np.array([f.track.agent.width_m / 2.0 for f in forecasts])[:, None]
    along = half_length * np.abs(cosine) + half_width * np.abs(sine)
    across = half_length * np.abs(sine) + half_width * np.abs(cosine)
    gap = np.abs(offset) - across - body.half_width_m
    return [OnPath(*row) for row in zip(forecasts, s, offset, along, gap, cosine, strict=True)]


def leads_now(projected: Sequence[OnPath], body: Body, parameters: RuleParameters, *, waited_for: frozenset[int]) -> list[Lead]:
    """Those in the corridor ahead, going the same way or standing, nearest first; waited_for: those that the ego would pass."""
    leads = {}
    for seen in projected:
        agent = seen.forecast.track.agent
        ahead_m = float(seen.s_m[0] - seen.along_m[0] - body.front_m)
        is_going_along = seen.cosine[0] > ALONG or agent.speed_mps < parameters.queue_mps
        if seen.gap_m[0] < _margin(seen.forecast.track, parameters) and is_going_along and ahead_m > -BESIDE_M:
            braking = min(max(seen.forecast.track.acceleration_mps2, -parameters.emergency_braking_mps2), 0.0)
            leads[agent.track_id] = Lead(
                gap_m=ahead_m,
                speed_mps=max(agent.speed_mps * float(seen.cosine[0]), 0.0),
                acceleration_mps2=braking if agent.brake or braking < -0.7 else 0.0,
                gap_wanted_m=parameters.passing_gap_m if agent.track_id in waited_for else parameters.standing_gap_m,
            )
    return sorted(leads.values(), key=lambda lead: lead.gap_m)


def leads_to_come(projected: Sequence[OnPath], going: Motion, body: Body, parameters: RuleParameters, *, priority: frozenset[str]) -> list[Lead]:
    """Those about to drive into the corridor ahead: cutting in, pulling out with an indicator on, or oncoming in it.

    going: how the ego goes on if nobody else comes.
    """
    p, leads = parameters, {}
    times = STEP_S * np.arange(round(p.horizon_s / STEP_S) + 1)
    ego_m = np.interp(times, MOTION_STEP_S * np.arange(len(going.s_m)), going.s_m)
    for seen in projected:
        track, margin_m = seen.forecast.track, _margin(seen.forecast.track, p)
        is_behind = seen.s_m[0] + seen.along_m[0] < 0.0
        is_lead_now = seen.gap_m[0] < margin_m and seen.cosine[0] > -ALONG
        if track.is_person or is_behind or is_lead_now:
            continue
        in_corridor = seen.gap_m < margin_m
        first = int(np.argmax(in_corridor))
        ahead_m = seen.s_m - seen.along_m - body.front_m
        is_entering = in_corridor[first] and seen.cosine[first] > ALONG and times[first] <= p.cut_in_s and ahead_m[first] > ego_m[first] - BESIDE_M
        if _signals_into(seen, p):
            leads[track.agent.track_id] = _expected(track, float(ahead_m[0]), p)
        elif is_entering and priority.isdisjoint(seen.forecast.lane_ids):
            leads[track.agent.track_id] = _expected(track, float(ahead_m[first] - seen.forecast.driven_m[first]), p)
        elif in_corridor[0] and ahead_m[0] > 0.0:
            meets = in_corridor & (ahead_m < ego_m + NEAR_MISS_M) & (seen.s_m + seen.along_m > ego_m - body.rear_m)
            if meets.any():  # head-on: each has half of what is between
                leads[track.agent.track_id] = Lead(gap_m=float(ahead_m[0]) / 2.0, speed_mps=0.0, acceleration_mps2=0.0, gap_wanted_m=0.0)
    return sorted(leads.values(), key=lambda lead: lead.gap_m)


def _expected(track: Track, gap_m: float, parameters: RuleParameters) -> Lead:
    return Lead(gap_m=gap_m, speed_mps=track.agent.speed_mps, acceleration_mps2=0.0, gap_wanted_m=parameters.standing_gap_m, is_expected=True)


def claims(projected: Sequence[OnPath], parameters: RuleParameters) -> list[Claim]:
    """What those who cross the path, or merge into it, claim of it."""
    result = []
    for seen in projected:
        track, p = seen.forecast.track, parameters
        inside = (seen.gap_m < _claim_margin(seen, p)) & (seen.s_m + seen.along_m > 0.0)
        first = int(np.argmax(inside))
        is_along_now = first == 0 and abs(seen.cosine[0]) > ALONG and not track.is_person  # a lead, or head-on
        if not inside.any() or is_along_now:
            continue
        is_merging = bool(seen.cosine[first] > ALONG)
        end = first + int(np.argmin(inside[first:])) if not inside[first:].all() else len(inside)
        if is_merging:
            near = seen.s_m[first:end] - seen.along_m[first:end] < seen.s_m[first] + MERGE_M
            end = first + max(int(near.sum()), 1)
        low, high = (seen.s_m - seen.along_m)[first:end].min(), (seen.s_m + seen.along_m)[first:end].max()
        stopping_m = track.agent.speed_mps**2 / (2.0 * p.yield_braking_mps2) + 1.0
        result.append(
            Claim(
                track_id=track.agent.track_id,
                start_m=float(low),
                end_m=float(min(high, low + MERGE_M + 2.0 * seen.along_m[first]) if is_merging else high),
                from_s=max(first - 1, 0) * STEP_S * (1.0 - p.speed_doubt),
                to_s=end * STEP_S * (1.0 + p.speed_doubt) if end < len(inside) else np.inf,
                lane_ids=seen.forecast.lane_ids,
                speed_mps=track.agent.speed_mps,
                is_merging=is_merging,
                is_head_on=bool(seen.cosine[first] < HEAD_ON),
                is_person=track.is_person,
                may_stop=not track.is_person and first > 0 and bool(seen.forecast.driven_m[first] > stopping_m),
            )
        )
    return result


def is_blocked(claim: Claim, going: Motion, body: Body, *, before_s: float, after_s: float) -> bool:
    """Whether the ego, going on like this, would be on the claimed stretch too near in time.

    before_s: between the ego's leaving and the other's arrival; after_s: between the other's leaving and the ego's arrival.
    """
    enters_s, leaves_s = going.time_s(claim.start_m - body.front_m), going.time_s(claim.end_m + body.rear_m)
    if claim.is_merging and leaves_s < np.inf:  # the one behind needs time to become as slow as the ego
        before_s += max(claim.speed_mps - float(np.interp(leaves_s, MOTION_STEP_S * np.arange(len(going.s_m)), going.speed_mps)), 0.0) / MERGING_MPS2
    return not (leaves_s + before_s <= claim.from_s or enters_s >= claim.to_s + after_s)


def clearance_speeds(projected: Sequence[OnPath], path: Path, body: Body, parameters: RuleParameters) -> Values:
    """(N,) how fast the path can be driven past what stands or walks slowly beside it."""
    limit = np.full(len(path.s_m), np.inf)
    for seen in projected:
        track = seen.forecast.track
        gap = float(seen.gap_m[0]) - (PERSON_RADIUS_M if track.is_person else 0.0)
        if track.agent.speed_mps < parameters.queue_mps and _margin(track, parameters) <= gap < CLEARANCES_M[-1]:
            beside = np.abs(path.s_m + body.front_m / 2.0 - seen.s_m[0]) < seen.along_m[0] + body.length_m / 2.0
            limit[beside] = np.minimum(limit[beside], np.interp(gap, CLEARANCES_M, CLEARANCE_SPEEDS_MPS))
    return limit


def _margin(track: Track, parameters: RuleParameters) -> float:
    """Beside the car: one who stands is passed more closely than one who drives."""
    return parameters.corridor_margin_m if track.agent.speed_mps > parameters.standstill_mps else parameters.corridor_margin_m / 2.0


def _claim_margin(seen: OnPath, parameters: RuleParameters) -> float:
    """Beside the car: wide for a person who walks across, not for one on the pavement along the road."""
    is_crossing = seen.forecast.track.is_person and abs(seen.cosine[0]) < ACROSS and seen.forecast.driven_m[-1] > 1.0
    return parameters.crossing_margin_m if is_crossing else _margin(seen.forecast.track, parameters)


def _signals_into(seen: OnPath, parameters: RuleParameters) -> bool:
    """Whether one beside the corridor, going the same way ahead of the ego, indicates towards it."""
    track = seen.forecast.track
    towards = "left" if seen.offset_m[0] < 0.0 else "right"
    is_beside = 0.0 < seen.gap_m[0] < 2.5 and seen.s_m[0] - seen.along_m[0] > 0.0 and seen.cosine[0] > ALONG
    return track.agent.indicator == towards and is_beside and track.standing_s < parameters.patience_s
