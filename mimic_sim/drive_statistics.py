"""What many drives say together: in total and per scenario class, with 95 % intervals by bootstrap over routes.

A route with another seed is another route: others are around, in another light. Flat keys, and KEY_ci95 [low, high] beside
each where two routes or more were scored. The success rate is macro-averaged: the mean of the classes' rates, each class
resampled for itself. Other figures are means over routes; those per km and per minute are sums over sums; max_offset_m
is the largest of all; counts are sums.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_sim.drive_score import METRIC_VERSION
from mimic_sim.events import KINDS

BOOTSTRAPS, SEED = 2000, 0
MEANS = ("driving_score", "route_completion", "in_lane_share", "speed_ratio", "mean_speed_mps", "rms_offset_m", "comfort_share")
RATES = {  # name: counts, over which figure, in units of how much of it
    "collisions_per_km": ("collisions", "driven_m", 1000.0),
    "collisions_not_at_fault_per_km": ("collisions_not_at_fault", "driven_m", 1000.0),
    "interventions_per_km": ("interventions", "driven_m", 1000.0),
    "flicker_per_min": ("flicker_events", "duration_s", 60.0),
}
SUMS = (*(f"{kind}_count" for kind in KINDS), "skipped_ticks")

Array = NDArray[np.float64]
Figures = Mapping[str, Mapping[str, float]]  # route id → figures of score_route


def score_routes(routes: Figures, *, class_of: Mapping[str, str]) -> dict[str, Any]:
    """All routes together, and the same under `per_class` by class; class_of: route id → scenario class, '' for none.

    None: no drive allows the figure; KEY_not_scored: how many don't. Raises MimicError when there is no route.
    """
    if not routes:
        raise MimicError("no route was driven, so there is nothing to score")
    names: dict[str, list[str]] = {}
    for route in routes:
        names.setdefault(class_of[route], []).append(route)
    per_class = {scenario: _total({route: routes[route] for route in names[scenario]}, class_of) for scenario in sorted(names) if scenario}
    return {"metric_version": METRIC_VERSION, **_total(routes, class_of), "per_class": per_class}


def paired_difference(one: Figures, other: Figures, *, class_of: Mapping[str, str]) -> dict[str, Any]:
    """By how much one policy is better than another on the same routes: KEY_difference = one − other, with a paired
    bootstrap, which draws the same routes for both. Raises MimicError naming routes that only one of them has driven."""
    apart = sorted(set(one) ^ set(other))
    if apart or not one:
        raise MimicError(f"two policies are compared on the same routes: only one has driven {', '.join(apart[:10]) or 'none at all'}")
    differences = {route: {key: one[route][key] - other[route][key] for key in ("is_success", *MEANS)} for route in one}
    figures = _success(differences, class_of, name="success_rate_difference") | _means(differences, ending="_difference")
    return {"metric_version": METRIC_VERSION, "routes": len(one), **figures}


def _total(routes: Figures, class_of: Mapping[str, str]) -> dict[str, Any]:
    flat = {"routes": len(routes), **_success(routes, class_of), "completion_rate": float(_column(routes, "is_completed").mean()), **_means(routes)}
    for name, (key, per, unit) in RATES.items():
        flat |= _estimate(name, _column(routes, key), _column(routes, per) / unit)
    offsets_m = _column(routes, "max_offset_m")
    flat["max_offset_m"] = float(np.nanmax(offsets_m)) if np.isfinite(offsets_m).any() else None
    return flat | {key: int(_column(routes, key).sum()) for key in SUMS}


def _success(routes: Figures, class_of: Mapping[str, str], *, name: str = "success_rate") -> dict[str, Any]:
    classes = [class_of[route] for route in routes]
    weight = np.array([1.0 / classes.count(scenario) for scenario in classes])
    return _estimate(name, weight * _column(routes, "is_success"), weight, classes=classes)


def _means(routes: Figures, *, ending: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key in MEANS:
        values = _column(routes, key)
        known = values[np.isfinite(values)]
        flat |= _estimate(key + ending, known, np.ones(len(known)))
        if len(known) < len(values):
            flat[f"{key}{ending}_not_scored"] = len(values) - len(known)
    return flat


def _column(routes: Figures, key: str) -> Array:
    return np.array([figures[key] for figures in routes.values()], np.float64)


def _estimate(name: str, numerator: Array, denominator: Array, *, classes: Sequence[str] | None = None) -> dict[str, Any]:
    """Σ numerator / Σ denominator, (R,) each, and its 95 % interval: routes are drawn with replacement, within each class
    where classes are given."""
    if not denominator.sum() > 0.0:
        return {name: None}
    flat: dict[str, Any] = {name: float(numerator.sum() / denominator.sum())}
    if len(numerator) >= 2:
        rng = np.random.default_rng(SEED)
        groups = [np.flatnonzero([c == scenario for c in classes]) for scenario in sorted(set(classes))] if classes else [np.arange(len(numerator))]
        drawn = np.concatenate([group[rng.integers(len(group), size=(BOOTSTRAPS, len(group)))] for group in groups], axis=1)
        below = denominator[drawn].sum(axis=1)
        values = numerator[drawn].sum(axis=1)[below > 0.0] / below[below > 0.0]
        flat[f"{name}_ci95"] = [float(q) for q in np.quantile(values, [0.025, 0.975])]
    return flat
