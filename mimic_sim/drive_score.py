"""Closed-loop scores from the rows and events of drives: the formulas of METRICS.md, 'Closed loop'.

Of one drive (`score_route`; way, share and speed are measured up to where the drive ended):

| key | definition |
|---|---|
| is_success | 1 when the whole route was driven without an event that the ego is to blame for (too slow is no such event), and by its scenario's own test |
| is_completed | 1 when the whole route was driven |
| route_completion | RC: progress along the way over the route's length, 0 to 1, up to the first collision that the ego is to blame for |
| driving_score | 100 · RC · P, P = in_lane_share / (1 + Σ c) after CARLA leaderboard 2.1; c: see below |
| in_lane_share | share of the metres driven with the vehicle's whole width, at both axles, inside its own lane or on a necessary pass |
| speed_ratio | the expert's time to the same place over this drive's time: 1 is as fast; standing at lights counts for both |
| KIND_count | events of each kind of events.KINDS that the ego is to blame for (judge.py defines them); scenario_timeout: the time limit ended it |
| collisions, collisions_not_at_fault | contacts for which the ego is to blame, and the others |
| interventions | times that the vehicle interface took the wheel, and one for an end off the road, blocked or failed |
| flicker_events | see bag_tools/metrics.py, on the plans at 10 Hz |
| mean_speed_mps | way over time, from the standing start |
| max_offset_m | largest distance of the rear axle's middle from the lane's centre |
| rms_offset_m | its root mean square over the metres driven |
| comfort_share | share of 2 s windows (10 Hz) within nuPlan's bounds, see COMFORT |
| skipped_ticks | ticks that no node served |
| driven_m, duration_s | what the figures per km and per minute refer to |

c is, for every event that the ego is to blame for, what events.PENALTIES says of its kind; and 0.4·(1 − min(speed_ratio, 1)).
drive_statistics.py makes means and intervals of them. A figure that the drive does not allow (no way driven, too short
for one window) is NaN there and null in JSON.
"""

import numpy as np
from numpy.typing import NDArray

from bag_tools.metrics import flicker_times_s
from mimic_sim.drive_result import DriveResult
from mimic_sim.events import COLLISIONS, KINDS, PENALTIES, SCENARIO_TIMEOUT
from mimic_sim.scenarios import load_scenario
from mimic_sim.world import COMPLETED, TIME_LIMIT
from vehicle_interface.modes import EMERGENCY_STOP, MINIMAL_RISK_STOP

METRIC_VERSION = "2"
RATE_HZ = 10.0  # of the signals and plans that comfort and flicker are about
COMFORT_WINDOW_S = 2.0
# nuPlan's bounds: lowest and highest value of each signal.
COMFORT = {
    "jerk_mps3": (-8.37, 8.37),
    "lateral_acceleration_mps2": (-4.89, 4.89),
    "longitudinal_acceleration_mps2": (-4.05, 2.40),
    "yaw_acceleration_radps2": (-1.93, 1.93),
    "yaw_rate_radps": (-0.95, 0.95),
}
BELOW_MINIMUM_SPEED = 0.4  # CARLA leaderboard 2.1
MIN_WAY_M = 1.0


def score_route(drive: DriveResult, expert: DriveResult) -> dict[str, float]:
    """The figures of one drive; expert: the expert's drive of the same route."""
    counts = event_counts(drive)
    completion = route_completion(drive)
    way_m = float(drive.columns["progress_m"][-1]) if len(drive) else 0.0
    duration_s = float(_time_s(drive)[-1]) if len(drive) else 0.0
    step_m = _steps_m(drive)
    has_driven = way_m > MIN_WAY_M and step_m.sum() > 0.0
    in_lane = float((step_m * _is_in_lane(drive)).sum() / step_m.sum()) if has_driven else np.nan
    speed_ratio = _time_to(expert, way_m) / duration_s if has_driven and len(expert) else np.nan
    is_completed = drive.ended == COMPLETED
    return {
        "is_success": float(not failure_of(drive)),
        "is_completed": float(is_completed),
        "route_completion": completion,
        "driving_score": driving_score(completion=completion, in_lane_share=in_lane, speed_ratio=speed_ratio, counts=counts) if has_driven else 0.0,
        "in_lane_share": in_lane,
        "speed_ratio": speed_ratio,
        **{f"{kind}_count": float(counts[kind]) for kind in KINDS},
        "collisions": float(sum(counts[kind] for kind in COLLISIONS)),
        "collisions_not_at_fault": float(sum(event.kind in COLLISIONS and not event.at_fault for event in drive.events)),
        "interventions": float(_interventions(drive)),
        "flicker_events": float(_flicker_events(drive)),
        "mean_speed_mps": way_m / duration_s if has_driven else np.nan,
        "max_offset_m": float(np.abs(drive.columns["rear_offset_m"]).max()) if len(drive) else np.nan,
        "rms_offset_m": float(np.sqrt((step_m * drive.columns["rear_offset_m"] ** 2).sum() / step_m.sum())) if has_driven else np.nan,
        "comfort_share": comfort_share(_time_s(drive), drive.columns["speed_mps"], drive.columns["yaw_rate_radps"]) if len(drive) else np.nan,
        "skipped_ticks": float((drive.columns["skipped"] != "").sum()),
        "driven_m": float(step_m.sum()),
        "duration_s": duration_s,
    }


def driving_score(*, completion: float, in_lane_share: float, speed_ratio: float, counts: dict[str, int]) -> float:
    """100 · RC · P, P = in_lane_share / (1 + Σ c). Source: METRICS, after CARLA leaderboard 2.1."""
    total = sum(PENALTIES[kind] * number for kind, number in counts.items()) + BELOW_MINIMUM_SPEED * (1.0 - min(speed_ratio, 1.0))
    return 100.0 * completion * in_lane_share / (1.0 + total)


def event_counts(drive: DriveResult) -> dict[str, int]:
    """How many events of each kind the ego is to blame for, in the order of KINDS; the time limit is one."""
    counts = {kind: sum(event.kind == kind and event.at_fault for event in drive.events) for kind in KINDS}
    counts[SCENARIO_TIMEOUT] += drive.ended == TIME_LIMIT
    return counts


def route_completion(drive: DriveResult) -> float:
    """RC, 0 to 1: it freezes at the first collision that the ego is to blame for."""
    if not len(drive):
        return 0.0
    reached_m = drive.length_m if drive.ended == COMPLETED else float(drive.columns["progress_m"][-1])
    frozen_m = (event.progress_m for event in drive.events if event.kind in COLLISIONS and event.at_fault)
    return min(max(min([reached_m, *frozen_m]) / drive.length_m, 0.0), 1.0)


def failure_of(drive: DriveResult) -> str:
    """Why a drive was no success, in words: how it ended, everything that the ego is to blame for, and what its scenario's
    own test says; empty for a success."""
    reasons = [] if drive.ended == COMPLETED else [drive.ended]
    reasons += [str(event) for event in sorted(drive.events, key=lambda event: event.time_s) if event.at_fault]
    if drive.route.scenario and len(drive):
        reasons.append(load_scenario(drive.route.scenario).fault(drive))
    return "; ".join(reason for reason in reasons if reason)


def comfort_share(time_s: NDArray[np.float64], speed_mps: NDArray[np.float64], yaw_rate_radps: NDArray[np.float64]) -> float:
    """Share of consecutive 2 s windows at 10 Hz in which every signal keeps nuPlan's bounds; NaN below one window."""
    grid = np.arange(time_s[0], time_s[-1], 1.0 / RATE_HZ)
    size = round(COMFORT_WINDOW_S * RATE_HZ)
    if len(grid) < size + 2:
        return float("nan")
    speed, yaw_rate = np.interp(grid, time_s, speed_mps), np.interp(grid, time_s, yaw_rate_radps)
    acceleration = np.gradient(speed, 1.0 / RATE_HZ)
    signals = {
        "jerk_mps3": np.gradient(acceleration, 1.0 / RATE_HZ),
        "lateral_acceleration_mps2": speed * yaw_rate,
        "longitudinal_acceleration_mps2": acceleration,
        "yaw_acceleration_radps2": np.gradient(yaw_rate, 1.0 / RATE_HZ),
        "yaw_rate_radps": yaw_rate,
    }
    inside = np.all([(signals[name] >= low) & (signals[name] <= high) for name, (low, high) in COMFORT.items()], axis=0)
    windows = inside[: len(inside) // size * size].reshape(-1, size)
    return float(windows.all(axis=1).mean())


def _time_s(drive: DriveResult) -> NDArray[np.float64]:
    """(N,) since the first tick."""
    stamps = drive.columns["stamp_ns"]
    return np.asarray((stamps - stamps[:1]) / 1e9)


def _steps_m(drive: DriveResult) -> NDArray[np.float64]:
    """(N,) the metres driven around each tick."""
    if len(drive) < 2:
        return np.zeros(len(drive))
    return np.asarray(np.abs(drive.columns["speed_mps"]) * np.gradient(_time_s(drive)))


def _is_in_lane(drive: DriveResult) -> NDArray[np.bool_]:
    c = drive.columns
    return np.asarray(np.maximum(np.abs(c["rear_offset_m"]), np.abs(c["front_offset_m"])) <= c["lane_margin_m"])


def _interventions(drive: DriveResult) -> int:
    is_stopped = np.isin(drive.columns["mode"], (MINIMAL_RISK_STOP, EMERGENCY_STOP))
    return int((np.diff(is_stopped.astype(np.int8), prepend=0) > 0).sum()) + (drive.ended not in (COMPLETED, TIME_LIMIT))


def _flicker_events(drive: DriveResult) -> int:
    every = max(round(1.0 / (RATE_HZ * drive.route.tick_s)), 1)
    c = {name: drive.columns[name][::every] for name in ("x_m", "y_m", "yaw_rad")}
    if not len(c["x_m"]):
        return 0
    return len(flicker_times_s(_time_s(drive)[::every], np.stack(list(c.values()), axis=1), drive.plans[::every]))


def _time_to(drive: DriveResult, way_m: float) -> float:
    """Seconds that a drive took to a place of the route."""
    return float(np.interp(way_m, np.maximum.accumulate(drive.columns["progress_m"]), _time_s(drive)))
