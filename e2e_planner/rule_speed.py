"""The speed along a path: limits and stops as an envelope, leads by the intelligent driver model, jerk within limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e2e_planner.rule_parameters import RuleParameters

STEP_S = 0.1
LANDING_GAIN_1PS = 0.4
NEAREST_M = 0.05  # of a distance that is divided by

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Lead:
    """One ahead, or about to be: gap_m from the front bumper, now; its speed and acceleration along the path.

    gap_wanted_m: at standstill; is_expected: it is not in the corridor yet, and braked for gently.
    """

    gap_m: float
    speed_mps: float
    acceleration_mps2: float
    gap_wanted_m: float
    is_expected: bool = False


@dataclass(frozen=True, eq=False)
class Motion:
    """The way s_m, speed_mps and acceleration_mps2 (T,) every STEP_S from now on."""

    s_m: Values
    speed_mps: Values
    acceleration_mps2: Values

    def time_s(self, s_m: float) -> float:
        """When a way is driven; infinity when not within this motion."""
        if s_m <= 0.0:
            return 0.0
        if s_m > self.s_m[-1]:
            return math.inf
        index = int(np.searchsorted(self.s_m, s_m))
        before, after = self.s_m[index - 1], self.s_m[index]
        return float(STEP_S * (index - 1 + (s_m - before) / max(after - before, 1e-9)))


def speed_envelope(limit_mps: Values, *, step_m: float, parameters: RuleParameters) -> Values:
    """The highest speeds (N,) below limits (N,) at every step_m from which comfortable braking keeps them.

    Braking fades to landing_mps2 towards standstill, as a calm driver's does.
    """
    p = parameters
    speeds = limit_mps.tolist()
    for i in range(len(speeds) - 2, -1, -1):
        after = speeds[i + 1]
        braking = _calm_braking(after, p)
        speeds[i] = min(speeds[i], math.sqrt(after * after + 2.0 * braking * step_m))
    return np.array(speeds)


def roll_out(
    *,
    speed_mps: float,
    acceleration_mps2: float,
    envelope_mps: Values,
    step_m: float,
    stop_m: float,
    leads: Sequence[Lead],
    duration_s: float,
    parameters: RuleParameters,
) -> Motion:
    """What a calm driver does from this speed and acceleration: under an envelope (N,) over the way, to standstill at
    stop_m (infinity: none), behind the leads. Jerk is limited, more widely where braking is urgent."""
    p = parameters
    envelope, slopes = envelope_mps.tolist(), np.gradient(envelope_mps, step_m).tolist()
    last = len(envelope) - 1
    is_held = speed_mps < p.standstill_mps and (stop_m < p.restart_m or any(_holds(lead, p) for lead in leads))
    s, v, a = 0.0, max(speed_mps, 0.0), acceleration_mps2
    rows = [(s, v, a)]
    for step in range(round(duration_s / STEP_S)):
        i = min(int((s + v * p.preview_s) / step_m), last)
        wish = min(envelope[i] * slopes[i], 0.0) + p.speed_gain_1ps * (envelope[i] - v - max(a, -p.braking_mps2) * p.preview_s)
        wish = min(max(wish, -p.firm_braking_mps2), p.acceleration_mps2)
        if stop_m < math.inf:
            wish = min(wish, _to_stop(stop_m - s, v, a, p))
        for lead in leads:
            wish = min(wish, _behind(lead, time_s=step * STEP_S, s_m=s, speed_mps=v, parameters=p))
        if is_held:
            wish = min(wish, -p.landing_mps2)
        jerk = p.emergency_jerk_mps3 if wish < -p.firm_braking_mps2 else p.urgent_jerk_mps3 if wish < -p.braking_mps2 else p.jerk_mps3
        before = a
        a = min(max(wish, before - jerk * STEP_S), before + max(jerk, p.urgent_jerk_mps3 if before < 0.0 else 0.0) * STEP_S)
        after = v + (before + a) / 2.0 * STEP_S
        if after <= 0.0:
            s += v * v / (2.0 * max(-(before + a) / 2.0, p.landing_mps2)) if v > 0.0 else 0.0
            v = a = 0.0
        else:
            s += (v + after) / 2.0 * STEP_S
            v = after
        rows.append((s, v, a))
    way, speed, acceleration = np.array(rows).T
    return Motion(way, speed, acceleration)


def _calm_braking(speed_mps: float, p: RuleParameters) -> float:
    """How hard a calm driver brakes at a speed: ever more gently towards standstill."""
    return min(p.landing_mps2 + LANDING_GAIN_1PS * speed_mps, p.braking_mps2)


def _to_stop(distance_m: float, speed_mps: float, acceleration_mps2: float, p: RuleParameters) -> float:
    """The acceleration that ends at standstill after a distance; nothing while gentler braking will do."""
    # The braking still has to build up: part of the way is lost to that.
    build_up_m = speed_mps * max(acceleration_mps2 + p.landing_mps2, 0.0) / p.urgent_jerk_mps3 / 2.0
    needed = speed_mps**2 / (2.0 * max(distance_m - build_up_m, NEAREST_M))
    return math.inf if needed < _calm_braking(speed_mps / 2.0, p) else -min(needed, p.emergency_braking_mps2)


def _behind(lead: Lead, *, time_s: float, s_m: float, speed_mps: float, parameters: RuleParameters) -> float:
    """The intelligent driver model (Treiber 2000) behind a lead that brakes, at most, to standstill."""
    p = parameters
    stop_s = lead.speed_mps / -lead.acceleration_mps2 if lead.acceleration_mps2 < 0.0 else math.inf
    t = min(time_s, stop_s)
    ahead = max(lead.speed_mps + lead.acceleration_mps2 * t, 0.0)
    gap = lead.gap_m + lead.speed_mps * t + lead.acceleration_mps2 * t * t / 2.0 - s_m
    closing = speed_mps - ahead
    wanted = lead.gap_wanted_m + max(speed_mps * p.time_gap_s + speed_mps * closing / (2.0 * math.sqrt(p.acceleration_mps2 * p.braking_mps2)), 0.0)
    wish = p.acceleration_mps2 * (1.0 - (wanted / max(gap, NEAREST_M)) ** 2)
    if closing > 0.0 and closing**2 / (2.0 * max(gap - 1.0, NEAREST_M)) > p.firm_braking_mps2 and not lead.is_expected:
        return max(wish, -p.emergency_braking_mps2)
    return max(wish, -p.braking_mps2 if lead.is_expected else -p.firm_braking_mps2)


def _holds(lead: Lead, p: RuleParameters) -> bool:
    return lead.speed_mps < p.standstill_mps and lead.gap_m < lead.gap_wanted_m + p.restart_m
