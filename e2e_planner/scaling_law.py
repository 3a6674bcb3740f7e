"""What more data is worth: nested subsets, the law err(N) = E + A·N^-alpha, and how sure one can be of either.

N is the share of all the data, so E and A have the error's unit: E is what no data takes away, A what is left to take
away at N = 1. Fitted by least squares with E, A >= 0 for each alpha of ALPHAS; after Hestness et al. 2017. Intervals are
95 %, by bootstrap: units (drives or routes) are drawn with replacement, the same ones for all sizes (paired), and training
seeds for each size apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bag_tools.score_statistics import drawn_within

ALPHAS = np.linspace(0.05, 2.0, 196)
RESAMPLES, SEED = 2000, 0
SMALLEST_SHARE = 0.5  # of the next size
TIMES_THE_DATA = (2.0, 10.0)  # how much more is forecast for
MIN_SIZES = 4  # three parameters, and one size to hold out

Array = NDArray[np.float64]


def nested_counts(drives: int, sizes: int) -> list[int]:
    """How many of `drives` each size has: the last all of them, each before half of the next as far as they go, never two alike.

    Raises ValueError when there are fewer drives than sizes.
    """
    if drives < sizes:
        raise ValueError(f"{drives} drives cannot be {sizes} sizes")
    counts = [max(round(drives * SMALLEST_SHARE**k), 1) for k in reversed(range(sizes))]
    for k in range(1, sizes):
        counts[k] = max(counts[k], counts[k - 1] + 1)
    return [min(count, drives - (sizes - 1 - k)) for k, count in enumerate(counts)]


def nested_order(group_of: Mapping[str, str], *, seed: int = SEED) -> list[str]:
    """The drives in an order of which every beginning has about the same share of each group; group_of: drive → its group."""
    rng = np.random.default_rng(seed)
    groups: dict[str, list[str]] = {}
    for drive in sorted(group_of):
        groups.setdefault(group_of[drive], []).append(drive)
    places: dict[str, float] = {}
    for name in sorted(groups):
        members = [groups[name][i] for i in rng.permutation(len(groups[name]))]
        first = rng.uniform()
        places |= {drive: (rank + first) / len(members) for rank, drive in enumerate(members)}
    return sorted(places, key=lambda drive: places[drive])


class PowerLaw(NamedTuple):
    """err(N) = E + A·N^-alpha; of one curve (floats as arrays without dimension) or of many, (R,) each."""

    floor: Array
    factor: Array
    alpha: Array

    def at(self, share: float | Array) -> Array:
        """The error with this share of the data."""
        return np.asarray(self.floor + self.factor * np.asarray(share) ** -self.alpha)


def fit_power_law(shares: Array, errors: Array) -> PowerLaw:
    """shares: (K,), all different and over 0; errors: (K,) of one curve or (R, K) of many, not negative. The best in the least
    squares; where several alphas are as good (a flat curve), the lowest."""
    laws, misses = [], []
    for alpha in ALPHAS:
        x = shares**-alpha
        mean, spread = errors.mean(-1), x - x.mean()
        slope = errors @ spread / (spread @ spread)
        free = np.stack([mean - slope * x.mean(), slope])
        edges = [np.stack([mean, 0.0 * mean]), np.stack([0.0 * mean, errors @ x / (x @ x)])]  # A = 0; E = 0
        candidates = [free, *edges]
        costs = [np.square(c[0][..., None] + c[1][..., None] * x - errors).sum(-1) for c in candidates]
        costs[0] = np.where((free < 0.0).any(0), np.inf, costs[0])
        best = np.argmin(costs, axis=0)
        laws.append(np.choose(best, candidates))
        misses.append(np.min(costs, axis=0))
    which = np.argmin(np.round(misses, 15), axis=0)  # rounding errors tell no alphas apart
    chosen = np.take_along_axis(np.array(laws), which[None, None], axis=0)[0]
    return PowerLaw(chosen[0], chosen[1], ALPHAS[which])


def scaling_curve(shares: Sequence[float], errors: Array, weights: Array, *, groups: Sequence[str] | None = None) -> dict[str, Any]:
    """One measure's curve, as plain values for JSON.

    shares: (K,) of all the data, increasing, the last 1; errors: (K, S, U) of each size, training seed and unit, the lower the
    better; weights: (U,) of the units in the mean; groups: (U,) within which units are drawn. Returns points (a size each:
    value, ci95, per_seed), more_is_better (of each size and the next, then of the smallest and the largest: by how much the
    error changes, and the share of the resamples in which it falls), held_out (what all sizes but the largest say of it, beside
    'no change': the size before) and forecasts (what all sizes say of more data, beside 'no change': the largest).
    """
    amounts, per_seed = np.array(shares), errors @ weights / weights.sum()
    values, resampled = per_seed.mean(1), _resampled(errors, weights, groups)
    last = len(amounts) - 1
    pairs = [*((k, k + 1) for k in range(last)), (0, last)]
    law, laws = fit_power_law(amounts, values), fit_power_law(amounts, resampled)
    before, befores = fit_power_law(amounts[:-1], values[:-1]), fit_power_law(amounts[:-1], resampled[:, :-1])
    forecast, no_change = before.at(1.0), values[-2]
    closer = np.abs(befores.at(1.0) - resampled[:, -1]) < np.abs(resampled[:, -2] - resampled[:, -1])
    return {
        "points": [
            {"share": float(amounts[k]), "value": float(values[k]), "ci95": _interval(resampled[:, k]), "per_seed": per_seed[k].tolist()}
            for k in range(last + 1)
        ],
        "more_is_better": [
            {
                "sizes": [one, other],
                "change": float(values[other] - values[one]),
                "change_ci95": _interval(resampled[:, other] - resampled[:, one]),
                "share_of_resamples": float((resampled[:, other] < resampled[:, one]).mean()),
            }
            for one, other in pairs
        ],
        "held_out": {
            **_parameters(before),
            "observed": float(values[-1]),
            "forecast": float(forecast),
            "forecast_ci95": _interval(befores.at(1.0)),
            "forecast_error": float(abs(forecast - values[-1])),
            "no_change": float(no_change),
            "no_change_error": float(abs(no_change - values[-1])),
            "share_of_resamples_closer": float(closer.mean()),
        },
        "fit": {**_parameters(law), "alpha_ci95": _interval(laws.alpha)},
        "forecasts": [
            {"share": times, "value": float(law.at(times)), "ci95": _interval(laws.at(times)), "no_change": float(values[-1])} for times in TIMES_THE_DATA
        ],
    }


def _resampled(errors: Array, weights: Array, groups: Sequence[str] | None) -> Array:
    """(RESAMPLES, K) curves of drawn units and seeds."""
    rng = np.random.default_rng(SEED)
    sizes, seeds, units = errors.shape
    drawn = drawn_within([""] * units if groups is None else groups, count=RESAMPLES, rng=rng) * weights
    of_seeds = np.einsum("ru,ksu->rks", drawn / drawn.sum(1, keepdims=True), errors)
    return np.take_along_axis(of_seeds, rng.integers(seeds, size=(RESAMPLES, sizes, seeds)), axis=2).mean(2)


def _interval(values: Array) -> list[float]:
    return [float(q) for q in np.quantile(values, [0.025, 0.975])]


def _parameters(law: PowerLaw) -> dict[str, float]:
    return {"E": float(law.floor), "A": float(law.factor), "alpha": float(law.alpha)}
