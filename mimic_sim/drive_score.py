"""Closed-loop scores from the rows of drives: METRICS.md's formulas, with the parts that a course without traffic has.

Per route (`score_route`), then over routes with a 95 % bootstrap interval (`score_routes`):

| key | definition |
|---|---|
| is_completed | 1 when the whole route was driven |
| route_completion | RC: progress along the lane over the route's length, 0 to 1 |
| in_lane_share | share of the way on which the vehicle's whole width, at the rear and at the front axle, is inside its own lane |
| driving_score | 100 · RC · in_lane_share / (1 + 0.4·(1 − min(speed_ratio, 1))): CARLA leaderboard 2.1's form |
| speed_ratio | the expert's time to the same place over this drive's time: 1 is as fast |
| mean_speed_mps | way over time, from the standing start |
| max_offset_m | largest distance of the rear axle's middle from the lane's centre |
| rms_offset_m | its root mean square over the way |
| comfort_share | share of 2 s windows (10 Hz) within nuPlan's bounds, see COMFORT |
| skipped_ticks | ticks that no node served |

A figure that the drive does not allow (no way driven, too short for one window) is NaN there and null in JSON.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_sim.drive_result import DriveResult
from mimic_sim.world import COMPLETED

METRIC_VERSION = "1"
COMFORT_RATE_HZ = 10.0
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
BOOTSTRAPS = 2000


def score_route(drive: DriveResult, expert: DriveResult) -> dict[str, float]:
    """The figures of one drive; expert: the expert's drive of the same route."""
    if len(drive) == 0:
        return {**dict.fromkeys(_KEYS, np.nan), "is_completed": 0.0, "route_completion": 0.0, "driving_score": 0.0, "skipped_ticks": 0.0}
    c = drive.columns
    time_s = (c["stamp_ns"] - c["stamp_ns"][0]) / 1e9
    step_m = np.maximum(np.gradient(c["progress_m"]) if len(drive) > 1 else np.zeros(1), 0.0)
    way_m, duration_s = float(c["progress_m"][-1]), float(time_s[-1])
    is_completed = drive.ended == COMPLETED
    completion = 1.0 if is_completed else min(max(way_m / drive.length_m, 0.0), 1.0)
    has_driven = way_m > 1.0 and step_m.sum() > 0.0
    inside = (np.abs(c["rear_offset_m"]) <= c["lane_margin_m"]) & (np.abs(c["front_offset_m"]) <= c["lane_margin_m"])
    in_lane = float((step_m * inside).sum() / step_m.sum()) if has_driven else np.nan
    speed_ratio = _time_to(expert, way_m) / duration_s if has_driven else np.nan
    penalty = 1.0 + BELOW_MINIMUM_SPEED * (1.0 - min(speed_ratio, 1.0)) if has_driven else 1.0
    return {
        "is_completed": float(is_completed),
        "route_completion": completion,
        "in_lane_share": in_lane,
        "driving_score": 100.0 * completion * in_lane / penalty if has_driven else 0.0,
        "speed_ratio": speed_ratio,
        "mean_speed_mps": way_m / duration_s if has_driven else np.nan,
        "max_offset_m": float(np.abs(c["rear_offset_m"]).max()),
        "rms_offset_m": float(np.sqrt((step_m * c["rear_offset_m"] ** 2).sum() / step_m.sum())) if has_driven else np.nan,
        "comfort_share": comfort_share(time_s, c["speed_mps"], c["yaw_rate_radps"]),
        "skipped_ticks": float((c["skipped"] != "").sum()),
    }


_KEYS = (
    "is_completed",
    "route_completion",
    "in_lane_share",
    "driving_score",
    "speed_ratio",
    "mean_speed_mps",
    "max_offset_m",
    "rms_offset_m",
    "comfort_share",
    "skipped_ticks",
)


def score_routes(routes: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Means over routes as flat keys, each with KEY_ci95 [low, high] where there are two routes or more.

    `success_rate` is the mean of is_completed; `max_offset_m` is the largest of all. NaN becomes None.
    Raises MimicError when there is no route.
    """
    if not routes:
        raise MimicError("no route was driven, so there is nothing to score")
    rows = list(routes.values())
    flat: dict[str, Any] = {"metric_version": METRIC_VERSION, "routes": len(rows)}
    for key in _KEYS:
        values = np.array([row[key] for row in rows], np.float64)
        known = values[np.isfinite(values)]
        name = "success_rate" if key == "is_completed" else key
        mean = float(known.max() if key == "max_offset_m" else known.mean()) if len(known) else None
        flat[name] = mean
        if len(known) >= 2 and key != "max_offset_m":
            flat[f"{name}_ci95"] = _interval(known)
        if len(known) < len(values):
            flat[f"{name}_not_scored"] = len(values) - len(known)
    return flat


def comfort_share(time_s: NDArray[np.float64], speed_mps: NDArray[np.float64], yaw_rate_radps: NDArray[np.float64]) -> float:
    """Share of consecutive 2 s windows at 10 Hz in which every signal keeps nuPlan's bounds; NaN below one window."""
    grid = np.arange(time_s[0], time_s[-1], 1.0 / COMFORT_RATE_HZ)
    size = round(COMFORT_WINDOW_S * COMFORT_RATE_HZ)
    if len(grid) < size + 2:
        return float("nan")
    speed, yaw_rate = np.interp(grid, time_s, speed_mps), np.interp(grid, time_s, yaw_rate_radps)
    acceleration = np.gradient(speed, 1.0 / COMFORT_RATE_HZ)
    signals = {
        "jerk_mps3": np.gradient(acceleration, 1.0 / COMFORT_RATE_HZ),
        "lateral_acceleration_mps2": speed * yaw_rate,
        "longitudinal_acceleration_mps2": acceleration,
        "yaw_acceleration_radps2": np.gradient(yaw_rate, 1.0 / COMFORT_RATE_HZ),
        "yaw_rate_radps": yaw_rate,
    }
    inside = np.all([(signals[name] >= low) & (signals[name] <= high) for name, (low, high) in COMFORT.items()], axis=0)
    windows = inside[: len(inside) // size * size].reshape(-1, size)
    return float(windows.all(axis=1).mean())


def _time_to(drive: DriveResult, way_m: float) -> float:
    """Seconds that a drive took to a place of the route."""
    time_s = (drive.columns["stamp_ns"] - drive.columns["stamp_ns"][0]) / 1e9
    return float(np.interp(way_m, np.maximum.accumulate(drive.columns["progress_m"]), time_s))


def _interval(values: NDArray[np.float64]) -> list[float]:
    """95 % bootstrap interval of the mean over routes."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(axis=1)
    return [float(q) for q in np.quantile(means, [0.025, 0.975])]
