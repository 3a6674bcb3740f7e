"""Open-loop metrics: how close plans come to what the human did. Formulas: METRICS, 'Open loop'.

Everywhere: N frames, T steps and C channels of the action spec `car`; plan and human (N, T, C) float64 in the vehicle
frame of their frame; known (N, T) bool: the human's step was recorded. The time grid is t = 0.2, 0.4 … 4.0 s (the step at
t = 0 is given and not scored). Per-frame results are (N,) float64, NaN: not scored, never zero for what is missing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import ContractError

METRIC_VERSION = "1"
HORIZONS_S = (1.0, 2.0, 3.0, 4.0)
TAGS = ("straight", "turn", "stop", "start", "follow")

UNREACHED_COST_M = 2.0  # of a station that the plan doesn't reach
MIN_DISTANCE_M = 2.0  # of the human, for a lateral error
MIN_CONTROL_SPEED_MPS = 3.0

TURN_RAD = np.radians(15.0)  # heading change within the horizon; METRICS names the tags, these bounds are ours
STANDING_MPS, MOVING_MPS = 0.5, 1.0

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

X, Y, YAW, SPEED, ACCELERATION, CURVATURE = (CAR.index(name) for name in ("x_m", "y_m", "yaw_rad", "speed_mps", "acceleration_mps2", "curvature_1pm"))
POSITION = slice(X, Y + 1)
TIMES_S = CAR.times_s
TOLERANCE = 1e-6  # of float arithmetic, in metres and seconds


def displacement_m(plan: Array, human: Array) -> Array:
    """(N, T) |p(t) − p*(t)|."""
    return np.asarray(np.linalg.norm(plan[:, :, POSITION] - human[:, :, POSITION], axis=2))


def ade_m(plan: Array, human: Array, known: Mask, *, horizon_s: float) -> Array:
    """ADE@H = mean over t ≤ H of |p(t) − p*(t)|. Source: METRICS."""
    return _mean_until(displacement_m(plan, human), known, horizon_s)


def fde_m(plan: Array, human: Array, known: Mask, *, horizon_s: float) -> Array:
    """FDE@H = |p(H) − p*(H)|. Source: METRICS."""
    at = int(np.flatnonzero(_scored_until(horizon_s))[-1])
    return np.where(known[:, at], displacement_m(plan, human)[:, at], np.nan)


def min_ade_m(alternatives: Array, human: Array, known: Mask, *, horizon_s: float) -> Array:
    """minADE@H over K: the least ADE@H of the alternatives (N, K, T, C), NaN rows where a frame has fewer.

    Printed apart, because no car can drive the best of K. Source: METRICS.
    """
    errors = [ade_m(alternatives[:, k], human, known, horizon_s=horizon_s) for k in range(alternatives.shape[1])]
    return np.fmin.reduce(errors) if errors else np.full(len(human), np.nan)


def lateral_error_m(plan: Array, human: Array, known: Mask) -> Array:
    """Mean distance between the two lines at equal arc length s = 1, 2 … S m, S: the human's 4 s distance.

    A station that the plan doesn't reach costs 2 m. Not scored: S < 2 m. Source: METRICS.
    """
    plan_arc, human_arc = _arc_length_m(plan), _arc_length_m(human)
    total_m = human_arc[:, -1]
    cost, count = np.zeros(len(plan)), np.zeros(len(plan))
    for station_m in np.arange(1.0, np.floor(total_m.max(initial=0.0) + TOLERANCE) + 1.0):
        apart = np.linalg.norm(_point_at(plan, plan_arc, station_m) - _point_at(human, human_arc, station_m), axis=1)
        is_counted = station_m <= total_m + TOLERANCE
        cost += np.where(is_counted, np.where(station_m <= plan_arc[:, -1] + TOLERANCE, apart, UNREACHED_COST_M), 0.0)
        count += is_counted
    return np.where(known.all(axis=1) & (total_m >= MIN_DISTANCE_M), cost / np.maximum(count, 1.0), np.nan)


def speed_error_mps(plan: Array, human: Array, known: Mask) -> Array:
    """Mean over t ≤ 4 s of |v − v*|. Source: METRICS."""
    return _mean_until(np.abs(plan[:, :, SPEED] - human[:, :, SPEED]), known, TIMES_S[-1])


def lateral_control_error_mps2(plan: Array, human: Array, known: Mask) -> Array:
    """Mean over t ≤ 4 s of |κ − κ*|·max(v*, 3)². Source: METRICS; the mean over time as for the speed error."""
    weight = np.maximum(human[:, :, SPEED], MIN_CONTROL_SPEED_MPS) ** 2
    return _mean_until(np.abs(plan[:, :, CURVATURE] - human[:, :, CURVATURE]) * weight, known, TIMES_S[-1])


def longitudinal_control_error_mps2(plan: Array, human: Array, known: Mask) -> Array:
    """Mean over t ≤ 4 s of |a − a*|. Source: METRICS; the mean over time as for the speed error."""
    return _mean_until(np.abs(plan[:, :, ACCELERATION] - human[:, :, ACCELERATION]), known, TIMES_S[-1])


def rmse(errors: Array) -> float:
    """√(mean of e²), for the steering wheel angle in rad; NaN when nothing is known. Source: METRICS."""
    return float(np.sqrt(np.mean(errors**2))) if len(errors) else float("nan")


def frame_score(*, lateral_m: Array, speed_mps: Array, fde_3s_m: Array, lateral_mps2: Array, longitudinal_mps2: Array) -> Array:
    """A frame's part of the human score, 0 … 1: 0.35·e^(−lateral error/0.5) + 0.25·e^(−speed error/1.0)
    + 0.25·e^(−FDE@3/2.0) + 0.15·e^(−(lateral + longitudinal control error)/2).

    Only where all four parts are scored. Source: METRICS.
    """
    line, pace, place = 0.35 * np.exp(-lateral_m / 0.5), 0.25 * np.exp(-speed_mps), 0.25 * np.exp(-fde_3s_m / 2.0)
    return np.asarray(line + pace + place + 0.15 * np.exp(-(lateral_mps2 + longitudinal_mps2) / 2.0))


def frame_tags(human: Array, known: Mask) -> dict[str, Mask]:
    """Tag → (N,) bool, by what the human does within the next 4 s; a frame can carry several.

    stop: from at least 1 m/s to below 0.5 m/s; start: the reverse; turn: heading changes by more than 15°; straight:
    none of these. follow needs the distance to a lead vehicle, which no clip carries yet: it is absent.
    """
    whole = known.all(axis=1)
    first, last = human[:, 0, SPEED], human[:, -1, SPEED]
    stop = whole & (first >= MOVING_MPS) & (last < STANDING_MPS)
    start = whole & (first < STANDING_MPS) & (last >= MOVING_MPS)
    turn = whole & (np.abs(human[:, :, YAW]).max(axis=1) > TURN_RAD)
    return {"straight": whole & ~(turn | stop | start), "turn": turn, "stop": stop, "start": start}


def human_score(scores: Array, tags: Mapping[str, Mask]) -> tuple[float, dict[str, float]]:
    """100 × mean over the frames of each tag, then over the tags that occur, with equal weight; and its parts by tag.

    scores: (N,) of frame_score. NaN and {} when nothing is scored. Source: METRICS.
    """
    scored = np.isfinite(scores)
    parts = {tag: 100.0 * float(scores[mask & scored].mean()) for tag, mask in tags.items() if (mask & scored).any()}
    return (float(np.mean(list(parts.values()))) if parts else float("nan")), parts


# --- over a whole clip --------------------------------------------------------------------------------------------

ONSET_MPS2, QUIET_MPS2, KEPT_S, QUIET_S = 1.0, 0.5, 0.4, 1.0
MATCH_EARLY_S, MATCH_LATE_S = 2.0, 1.5


@dataclass(frozen=True, kw_only=True)
class Onset:
    """Begin of braking (sign −1) or accelerating (+1) at `time_s`; made_s: when the plan that announced it was made."""

    time_s: float
    sign: int
    made_s: float


@dataclass(frozen=True, kw_only=True)
class OnsetMatches:
    """pairs: (human, planner) onsets; false_alarms: the planner's without a human one; missed: the reverse."""

    pairs: tuple[tuple[Onset, Onset], ...]
    false_alarms: tuple[Onset, ...]
    missed: tuple[Onset, ...]

    def all(self) -> Iterator[Onset]:
        """Every onset, human and planner."""
        return chain(*self.pairs, self.false_alarms, self.missed)


def human_onsets(times_s: Array, acceleration_mps2: Array) -> tuple[list[Onset], Mask]:
    """Where |a*| passes 1.0 m/s² and keeps it 0.4 s, after 1 s below 0.5; and (N,) bool: an onset is possible next.

    times_s, acceleration_mps2: (N,) of one clip. Source: METRICS.
    """
    found: list[Onset] = []
    is_ready, quiet_since_s = False, np.nan
    ready = np.zeros(len(times_s), np.bool_)
    for i, (now_s, a) in enumerate(zip(times_s.tolist(), acceleration_mps2.tolist(), strict=True)):
        if not abs(a) < QUIET_MPS2:
            quiet_since_s = np.nan
        elif np.isnan(quiet_since_s):
            quiet_since_s = now_s
        is_ready = (is_ready and not np.isnan(a)) or now_s - quiet_since_s >= QUIET_S - TOLERANCE
        if is_ready and abs(a) >= ONSET_MPS2 and _is_kept(times_s[i:] - now_s, acceleration_mps2[i:] * np.sign(a)):
            found.append(Onset(time_s=now_s, sign=int(np.sign(a)), made_s=now_s))
            is_ready = False
        ready[i] = is_ready
    return found, ready


def planner_onsets(times_s: Array, plan: Array, ready: Mask) -> list[Onset]:
    """Onsets that plans announce before the human's: the first planned |a| ≥ 1.0 m/s² that is kept for 0.4 s, in plans
    made while the human has been quiet (`ready` of human_onsets). Plans that announce the same one (same sign, within
    1 s of each other) count once, at the time that the first of them planned. Source: METRICS.
    """
    steps = round(KEPT_S / float(TIMES_S[1] - TIMES_S[0]))
    a = plan[:, :, ACCELERATION]
    found: list[Onset] = []
    for sign in (-1, 1):
        strong = sign * a >= ONSET_MPS2
        kept = np.logical_and.reduce([strong[:, k : strong.shape[1] - steps + k] for k in range(steps + 1)])
        last_s = -np.inf
        for i in np.flatnonzero(ready & kept.any(axis=1)):
            planned_s = float(times_s[i] + TIMES_S[kept[i].argmax()])
            if planned_s - last_s > QUIET_S:
                found.append(Onset(time_s=planned_s, sign=sign, made_s=float(times_s[i])))
            last_s = planned_s
    return sorted(found, key=lambda onset: (onset.time_s, onset.sign))


def match_onsets(human: list[Onset], planner: list[Onset]) -> OnsetMatches:
    """One to one, closest first: same sign, planned −2 … +1.5 s from the human's, by a plan made before it.

    precision = pairs / (pairs + false alarms), recall = pairs / (pairs + missed), lead = human's time − planner's.
    Source: METRICS.
    """
    candidates = [
        (abs(p.time_s - h.time_s), i, j)
        for i, h in enumerate(human)
        for j, p in enumerate(planner)
        if h.sign == p.sign and -MATCH_EARLY_S <= p.time_s - h.time_s <= MATCH_LATE_S and p.made_s < h.time_s
    ]
    partner_of: dict[int, int] = {}
    for _, i, j in sorted(candidates):
        if i not in partner_of and j not in partner_of.values():
            partner_of[i] = j
    return OnsetMatches(
        pairs=tuple((human[i], planner[j]) for i, j in sorted(partner_of.items())),
        false_alarms=tuple(p for j, p in enumerate(planner) if j not in partner_of.values()),
        missed=tuple(h for i, h in enumerate(human) if i not in partner_of),
    )


FLICKER_M, FLICKER_MPS, REVERSED_WITHIN_S = 0.5, 2.0, 1.5
FLICKER_AHEAD_S = np.arange(1, 8) * 0.5  # absolute times that are watched, after the plan at the turning point


def flicker_times_s(times_s: Array, poses: Array, plan: Array) -> Array:
    """When plans waver: the place planned for one absolute time moves by more than 0.5 m (or its speed by 2 m/s), and
    back by more than that again within 1.5 s. Turning points less than 1.5 s apart are one event.

    times_s (N,) and poses (N, 3) [x_m, y_m, yaw_rad] in a fixed frame: where the plans of one run were made. Returns
    the time of each event. Source: METRICS.
    """
    states = np.concatenate([_fixed_positions(poses, plan), plan[:, :, [SPEED]]], axis=2)
    turning = np.zeros(len(times_s), np.bool_)
    reach = _frames_within(times_s, REVERSED_WITHIN_S)
    seen_from = {lag: _seen_from(times_s, states, lag) for lag in range(-reach, reach + 1)}
    middle = seen_from[0]
    for before in range(1, reach):
        out = middle - seen_from[-before]
        for after in range(1, reach - before + 1):
            back = seen_from[after] - middle
            duration_s = _shifted(times_s, after) - _shifted(times_s, -before)
            length = np.linalg.norm(out[:, :, :2], axis=2)
            returned = -np.sum(out[:, :, :2] * back[:, :, :2], axis=2) / np.maximum(length, TOLERANCE)
            moved = (length > FLICKER_M) & (returned > FLICKER_M)
            hurried = (np.abs(out[:, :, 2]) > FLICKER_MPS) & (-np.sign(out[:, :, 2]) * back[:, :, 2] > FLICKER_MPS)
            turning |= (moved | hurried).any(axis=1) & (duration_s <= REVERSED_WITHIN_S + TOLERANCE)
    at = times_s[turning]
    return at[np.concatenate([[True], np.diff(at) > REVERSED_WITHIN_S])] if len(at) else at


def continuity_m2(times_s: Array, poses: Array, plan: Array) -> Array:
    """Squared distance between consecutive plans at the same absolute time, mean over the time both cover; NaN for the
    first plan. Plan continuity is the root of its mean over frames, in m. Source: METRICS.
    """
    positions = _fixed_positions(poses, plan)
    squared = np.full(len(times_s), np.nan)
    if len(times_s) > 1:
        earlier = _sample(positions[:-1], TIMES_S + np.diff(times_s)[:, None])
        apart = np.sum((earlier - positions[1:]) ** 2, axis=2)
        counts = np.isfinite(apart).sum(axis=1)
        squared[1:] = np.where(counts > 0, np.nansum(apart, axis=1) / np.maximum(counts, 1), np.nan)
    return squared


def _scored_until(horizon_s: float) -> Mask:
    """(T,) bool: 0 < t ≤ H."""
    if not TIMES_S[1] - TOLERANCE <= horizon_s <= TIMES_S[-1] + TOLERANCE:
        raise ContractError(f"horizon_s: is {horizon_s}, must be within {TIMES_S[1]} and {TIMES_S[-1]}")
    return np.asarray((TIMES_S > 0) & (horizon_s - TIMES_S > -TOLERANCE))


def _mean_until(errors: Array, known: Mask, horizon_s: float) -> Array:
    scored = _scored_until(horizon_s)
    return np.where(known[:, scored].all(axis=1), errors[:, scored].mean(axis=1), np.nan)


def _arc_length_m(paths: Array) -> Array:
    """(N, T) distance along the path from its first point."""
    steps = np.linalg.norm(np.diff(paths[:, :, POSITION], axis=1), axis=2)
    return np.concatenate([np.zeros((len(paths), 1)), np.cumsum(steps, axis=1)], axis=1)


def _point_at(paths: Array, arc_m: Array, station_m: float) -> Array:
    """(N, 2) positions at one arc length; the end of a path that is shorter."""
    rows = np.arange(len(paths))
    left = np.clip((arc_m <= station_m).sum(axis=1) - 1, 0, arc_m.shape[1] - 2)
    length = arc_m[rows, left + 1] - arc_m[rows, left]
    weight = np.clip((station_m - arc_m[rows, left]) / np.maximum(length, TOLERANCE), 0.0, 1.0)[:, None]
    return np.asarray(paths[rows, left, POSITION] * (1.0 - weight) + paths[rows, left + 1, POSITION] * weight)


def _is_kept(after_s: Array, signed_mps2: Array) -> bool:
    within = after_s <= KEPT_S + TOLERANCE
    return bool(after_s[-1] >= KEPT_S - TOLERANCE and (signed_mps2[within] >= ONSET_MPS2).all())


def _fixed_positions(poses: Array, plan: Array) -> Array:
    """(N, T, 2) positions of the plans in the fixed frame of the poses."""
    c, s = np.cos(poses[:, 2])[:, None], np.sin(poses[:, 2])[:, None]
    x, y = plan[:, :, X], plan[:, :, Y]
    return np.stack([poses[:, :1] + c * x - s * y, poses[:, 1:2] + s * x + c * y], axis=2)


def _frames_within(times_s: Array, span_s: float) -> int:
    """The most frames that lie within a span after a frame."""
    return int((np.searchsorted(times_s, times_s + span_s + TOLERANCE, side="right") - np.arange(len(times_s))).max()) - 1


def _shifted(values: Array, lag: int) -> Array:
    """values[i + lag] at i; NaN beyond the ends."""
    result = np.full(values.shape, np.nan)
    if lag >= 0:
        result[: len(values) - lag] = values[lag:]
    else:
        result[-lag:] = values[:lag]
    return result


def _seen_from(times_s: Array, states: Array, lag: int) -> Array:
    """(N, H, D): what the plan made `lag` frames after frame i says about t_i + FLICKER_AHEAD_S."""
    later_s = _shifted(times_s, lag) - times_s
    return _sample(_shifted(states, lag), FLICKER_AHEAD_S - later_s[:, None])


def _sample(values: Array, times_s: Array) -> Array:
    """(N, T, D) on the plan's grid, read at times_s (N, M) after each plan: (N, M, D), NaN outside the plan."""
    step_s = TIMES_S[1] - TIMES_S[0]
    where = times_s / step_s
    left = np.clip(np.nan_to_num(np.floor(where + TOLERANCE)), 0, len(TIMES_S) - 2).astype(np.int64)
    weight = where - left
    weight = np.where((weight < -TOLERANCE) | (weight > 1.0 + TOLERANCE), np.nan, weight)[:, :, None]
    rows = np.arange(len(values))[:, None]
    return np.asarray(values[rows, left] * (1.0 - weight) + values[rows, left + 1] * weight)
