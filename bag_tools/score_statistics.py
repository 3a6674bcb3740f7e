"""Means with honest intervals: neighbouring frames are no independent samples, blocks of driving nearly are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_S = 10.0
RESAMPLES, SEED = 1000, 20240229

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure, its 95 % interval (None: fewer than two blocks, or nothing to count) and how many samples it is made of."""

    value: float | None
    ci95: tuple[float, float] | None
    count: int


def blocks_of_clips(stamps_ns: Sequence[NDArray[np.int64]]) -> list[Indices]:
    """For each clip, the block (numbered through all clips) of each frame: about 10 s long, never across clips."""
    first, result = 0, []
    for stamp_ns in stamps_ns:
        seconds = (stamp_ns - stamp_ns[0]) / 1e9
        count = max(1, round(float(seconds[-1]) / BLOCK_S))
        result.append(first + np.minimum(np.floor(seconds / max(float(seconds[-1]), 1e-9) * count), count - 1).astype(np.int64))
        first += count
    return result


def drawn_within(groups: Sequence[str], *, count: int, rng: np.random.Generator) -> Array:
    """(count, U) how often each of U units is drawn, with replacement from its own group."""
    drawn = np.zeros((count, len(groups)))
    for name in sorted(set(groups)):
        members = np.flatnonzero([group == name for group in groups])
        drawn[:, members] = rng.multinomial(len(members), np.full(len(members), 1.0 / len(members)), size=count)
    return drawn


class Bootstrap:
    """Resamples blocks with replacement; seeded, so that the same rows give the same intervals."""

    def __init__(self, block_count: int) -> None:
        self.block_count = block_count
        shares = np.full(block_count, 1.0 / block_count)
        self._weights = np.random.default_rng(SEED).multinomial(block_count, shares, size=RESAMPLES).astype(np.float64)

    def mean(self, values: Array, blocks: Indices, *, root: bool = False) -> Estimate:
        """Mean of the values that are not NaN (root: its square root, for mean squares); each value lies in a block."""
        finite = np.isfinite(values)
        total, number = np.zeros(self.block_count), np.zeros(self.block_count)
        np.add.at(total, blocks[finite], values[finite])
        np.add.at(number, blocks[finite], 1.0)
        return self.ratio(total, number, count=int(finite.sum()), root=root)

    def ratio(self, numerator: Array, denominator: Array, *, count: int, root: bool = False) -> Estimate:
        """Σ numerator / Σ denominator, both summed by block: (block_count,)."""
        return self._estimate(lambda w: _ratio(w @ numerator, w @ denominator, root), count)

    def mean_of_groups(self, values: Array, groups: Sequence[NDArray[np.bool_]], blocks: Indices) -> Estimate:
        """Mean over the frames of each group, then over the groups that occur, with equal weight; NaN values are left out."""
        finite = np.isfinite(values)
        members = [finite & group for group in groups]
        sums = np.stack([np.bincount(blocks[m], values[m], self.block_count) for m in members], axis=1)
        counts = np.stack([np.bincount(blocks[m], minlength=self.block_count) for m in members], axis=1)
        any_member = np.logical_or.reduce(members)

        def statistic(weights: Array) -> Array:
            parts = _ratio(weights @ sums, weights @ counts, False)
            present = np.isfinite(parts)
            return _ratio(np.where(present, parts, 0.0).sum(axis=-1), present.sum(axis=-1).astype(np.float64), False)

        return self._estimate(statistic, int(any_member.sum()))

    def median(self, values: Array, blocks: Indices) -> Estimate:
        """Median of the values; each lies in a block."""

        def statistic(weights: Array) -> Array:
            repeats = weights[:, blocks].astype(np.int64)
            return np.array([np.median(np.repeat(values, row)) if row.any() else np.nan for row in repeats])

        return self._estimate(statistic, len(values))

    def _estimate(self, statistic: Callable[[Array], Array], count: int) -> Estimate:
        if count == 0:
            return Estimate(value=None, ci95=None, count=0)
        value = float(statistic(np.ones((1, self.block_count)))[0])
        if self.block_count < 2:
            return Estimate(value=value, ci95=None, count=count)
        low, high = np.nanpercentile(statistic(self._weights), [2.5, 97.5]).tolist()
        return Estimate(value=value, ci95=(low, high), count=count)


def _ratio(numerator: Array, denominator: Array, root: bool) -> Array:
    ratio = np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)
    return np.sqrt(ratio) if root else ratio
