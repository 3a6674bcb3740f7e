"""Weighted linear regression on samples of time series, whose regressors depend on a parameter that is searched on a grid.

For a lag the least residual is the greatest cross-correlation; a parabola about it gives parts of a step. Outliers weigh less (Huber,
Robust Estimation of a Location Parameter, 1964). Samples near in time are no independent evidence, so intervals come from a
bootstrap over blocks of time (Künsch, The Jackknife and the Bootstrap for General Stationary Observations, 1989), widened by
Student's t for few blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

STEP_S, STRIDE = 0.02, 5  # of the grid that signals come on; every how many of its steps is a sample
BLOCK_S, MIN_BLOCKS = 10.0, 5
RESAMPLES, SEED = 200, 20240229
LAGS = np.arange(-10, 51)  # steps: -0.2 to 1.0 s
HUBER, ROBUST_ROUNDS = 1.345, 3  # 95 % efficient where there are no outliers
AROUND = 4  # steps
RIDGE = 1e-10  # of normalised columns, so that columns of zeros are no error


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The best candidate: its index and coefficients (P,), the residuals of all (K,); the same of each resample, (R, …) in front."""

    index: int
    beta: Floats
    residual: Floats
    resampled_index: Indices
    resampled_beta: Floats
    resampled_residual: Floats
    block_count: int

    def half_width(self, resampled: Floats) -> float:
        """Half of the 95 % interval of a statistic, from its resamples (R,)."""
        blocks = self.block_count
        return float(_student_975(blocks - 1) * np.std(resampled) * np.sqrt(blocks / (blocks - 1)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Regressors (N, M), target (N,), the block of time of each sample, in order, and its weight."""

    columns: Floats
    target: Floats
    block: Indices
    weight: Floats

    @classmethod
    def none(cls, column_count: int) -> "Samples":
        """No samples of so many columns."""
        return cls(columns=np.zeros((0, column_count)), target=np.zeros(0), block=np.zeros(0, np.int64), weight=np.zeros(0))

    @classmethod
    def at(cls, index: Indices, *, columns: Floats, target: Floats, weight: Floats) -> "Samples":
        """Those that are whole, of a drive's steps `index`."""
        is_whole = np.isfinite(target) & np.isfinite(columns).all(axis=1)
        return cls(columns=columns[is_whole], target=target[is_whole], block=(index[is_whole] * STEP_S // BLOCK_S).astype(np.int64), weight=weight[is_whole])

    @classmethod
    def lagged(cls, signal: Floats, *, target: Floats, weight: Floats) -> "Samples":
        """A signal before the target by each of LAGS."""
        index = np.arange(LAGS[-1], len(signal) + min(LAGS[0], 0), STRIDE)
        return cls.at(index, columns=signal[index[:, None] - LAGS], target=target[index], weight=weight[index])

    @classmethod
    def of(cls, drives: Sequence["Samples"]) -> "Samples":
        """All drives together, with blocks of their own; no drives: no samples."""
        if not drives:
            return cls.none(len(LAGS))
        first = np.cumsum([0, *(int(d.block[-1]) + 1 if len(d.block) else 0 for d in drives)])
        blocks = np.concatenate([d.block + start for d, start in zip(drives, first[:-1], strict=True)])
        columns, target, weight = (np.concatenate([getattr(d, name) for d in drives]) for name in ("columns", "target", "weight"))
        return cls(columns=columns, target=target, block=blocks, weight=weight)

    @property
    def seconds(self) -> float:
        """Seconds of driving."""
        return len(self.target) * STRIDE * STEP_S

    def too_few(self, when: str) -> str:
        """Why these are too few; empty when they are enough."""
        least_s = MIN_BLOCKS * BLOCK_S
        if self.seconds >= least_s and len(np.unique(self.block)) >= MIN_BLOCKS:
            return ""
        return f"{self.seconds:.0f} s of driving {when} with all signals, at least {least_s:.0f} s are needed"

    def where(self, chosen: NDArray[np.bool_]) -> "Samples":
        """Those that are chosen (N,)."""
        return Samples(columns=self.columns[chosen], target=self.target[chosen], block=self.block[chosen], weight=self.weight[chosen])

    def with_constant(self) -> "Samples":
        """With a last column of ones."""
        columns = np.column_stack([self.columns, np.ones(len(self.target))])
        return Samples(columns=columns, target=self.target, block=self.block, weight=self.weight)

    def fit(self, candidates: Indices) -> Fit:
        """Choose among candidates (K, P), each a choice of columns."""
        table = np.column_stack([self.columns, self.target])
        edges = np.concatenate([[0], np.flatnonzero(np.diff(self.block)) + 1])
        parts = [slice(a, b) for a, b in zip(edges, [*edges[1:], len(table)], strict=True)]
        weight = self.weight / self.weight.mean()
        for round_number in range(ROBUST_ROUNDS):
            grams = np.stack([(table[part] * weight[part, None]).T @ table[part] for part in parts])
            index, beta, residual = (values[0] for values in _solved(grams.sum(axis=0)[None], candidates))
            if round_number < ROBUST_ROUNDS - 1:
                errors = np.abs(self.target - self.columns[:, candidates[index]] @ beta) * np.sqrt(self.weight / self.weight.mean())
                bound = HUBER * max(float(np.median(errors)) / 0.6745, 1e-12)
                weight = self.weight / self.weight.mean() * np.minimum(1.0, bound / np.maximum(errors, 1e-12))
        draws = np.random.default_rng(SEED).multinomial(len(parts), np.full(len(parts), 1.0 / len(parts)), size=RESAMPLES).astype(np.float64)
        resampled = _solved(np.tensordot(draws, grams, axes=1), candidates)
        return Fit(
            index=int(index),
            beta=beta,
            residual=residual,
            resampled_index=resampled[0],
            resampled_beta=resampled[1],
            resampled_residual=resampled[2],
            block_count=len(parts),
        )


def _solved(grams: Floats, candidates: Indices) -> tuple[Indices, Floats, Floats]:
    """For each of (R, M + 1, M + 1) sums of products, target last: best candidate (R,), its coefficients (R, P), all residuals (R, K)."""
    products = grams[:, candidates[:, :, None], candidates[:, None, :]]
    towards = grams[:, candidates, -1]
    size = np.sqrt(np.diagonal(products, axis1=2, axis2=3))
    size = np.where(size > 0.0, size, 1.0)
    normalised = products / (size[..., :, None] * size[..., None, :]) + RIDGE * np.eye(candidates.shape[1])
    beta = np.linalg.solve(normalised, (towards / size)[..., None])[..., 0] / size
    residual = grams[:, -1, -1, None] - (beta * towards).sum(axis=-1)
    index = residual.argmin(axis=1)
    return index, beta[np.arange(len(grams)), index], residual


def vertex(residual: Floats) -> float:
    """Index of the least value (K,), with parts: the vertex of the parabola through AROUND values to either side, which noise of single
    lags moves less than its neighbours alone would."""
    k = int(residual.argmin())
    low, high = max(k - AROUND, 0), min(k + AROUND + 1, len(residual))
    bend, slope, _ = np.polyfit(np.arange(low, high) - k, residual[low:high] / residual.max(), 2)
    return k + float(np.clip(-slope / (2.0 * bend), -AROUND, AROUND)) if bend > 0.0 else float(k)


def _student_975(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, by its expansion about the normal one (Abramowitz and Stegun, 26.7.5)."""
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def lag_candidates(count: int) -> Indices:
    """Candidates: each lag with the constant, which comes last."""
    return np.column_stack([np.arange(count), np.full(count, count)])
