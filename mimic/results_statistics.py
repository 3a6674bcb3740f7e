"""What a page of evidence computes from the drives of several drivers: pools of training seeds, the share of a gap, correlations.

Figures are those of score_route by route; NaN: not scored. Intervals are 95 %, by bootstrap over routes, within each class
where rates are macro-averaged, the same routes for all drivers.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bag_tools.score_statistics import drawn_within
from mimic_sim.drive_statistics import BOOTSTRAPS, SEED

FORK = "fork"
WORDS = ("scenario", "ended", "failure", "failure_kind", "scenario_fault", "canonical_hash")  # of an entry, no figures
MIN_POINTS = 3  # through two there is always a line
Array = NDArray[np.float64]
Routes = Mapping[str, Mapping[str, Any]]  # route id → its entry in per_route of score.json
Figures = dict[str, dict[str, float]]


class Fork(NamedTuple):
    """Runs of the class fork: all of them, those that took a way, and of these those with any flicker."""

    runs: int
    took_way: int
    flickered: int


def pooled(runs: Sequence[Routes]) -> Figures:
    """Route id → the mean over the runs, which have the same routes, of each figure; NaN where no run has it."""
    figures = [_figures(run) for run in runs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN, as it should be
        return {route: {key: float(np.nanmean([run[route][key] for run in figures])) for key in values} for route, values in figures[0].items()}


def not_scored(runs: Sequence[Routes], key: str) -> int:
    """How many drives do not allow a figure."""
    return sum(entry[key] is None for run in runs for entry in run.values())


def fork_flicker(runs: Sequence[Routes]) -> Fork | None:
    """None where nobody drove at a fork. A way was taken where the scenario's own test says nothing against it."""
    forks = [entry for run in runs for entry in run.values() if entry["scenario"] == FORK]
    took_way = [entry for entry in forks if entry["scenario_fault"] == ""]
    return Fork(len(forks), len(took_way), sum(entry["flicker_events"] > 0 for entry in took_way)) if forks else None


def gap_closed(one: Figures, low: Figures, high: Figures, key: str, *, class_of: Mapping[str, str] | None = None) -> dict[str, Any]:
    """(one − low) / (high − low) of the means of a figure, over the same routes, as `share` and `share_ci95`; class_of:
    macro-averaged over these classes. Without a gap there is no share, without one in some resample no interval."""
    classes = [class_of[route] if class_of else "" for route in one]
    weight = np.array([1.0 / classes.count(name) for name in classes])
    gained, gap = (np.array([who[route][key] - low[route][key] for route in one]) for who in (one, high))
    drawn = drawn_within(classes, count=BOOTSTRAPS, rng=np.random.default_rng(SEED))
    gaps = drawn @ (weight * gap)
    result: dict[str, Any] = {"share": float(weight @ gained / (weight @ gap)) if weight @ gap > 0.0 else None}
    if len(classes) >= 2 and (gaps > 0.0).all():
        result["share_ci95"] = [float(q) for q in np.quantile(drawn @ (weight * gained) / gaps, [0.025, 0.975])]
    return result


def pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Correlation of two figures; None for fewer than MIN_POINTS, or where one of them never changes."""
    a, b = np.array(x, np.float64), np.array(y, np.float64)
    if len(a) < MIN_POINTS or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return None
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / scale, -1.0, 1.0)) if scale > 0.0 else None


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's correlation of the ranks; ties have their mean rank."""
    return pearson(_ranks(x), _ranks(y))


def _ranks(values: Sequence[float]) -> list[float]:
    _, inverse, counts = np.unique(np.array(values, np.float64), return_inverse=True, return_counts=True)
    return [float(rank) for rank in (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]]


def _figures(routes: Routes) -> Figures:
    """The numbers of each route, in the routes' alphabetic order, which the bootstrap draws in."""
    return {route: {key: np.nan if value is None else value for key, value in routes[route].items() if key not in WORDS} for route in sorted(routes)}
