"""Putting topics on one clock: timing figures, clock jumps, frame choice, and signals at the moment of exposure.

All stamps are int64 nanoseconds.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.int64]
Floats = NDArray[np.float64]

BACKWARD_JUMP_NS = 1_000_000_000  # further back than messages overtake each other on a network: the clock was set
GAP_PERIODS = 1.5  # an interval longer than this many median periods has lost messages in it


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How regularly stamps come. rate_hz: of the median interval; jitter_s: 95th percentile of its deviation; dropped:
    messages that would fit into the intervals longer than 1.5 median ones; duplicated: stamps that occur again."""

    count: int
    duration_s: float
    rate_hz: float
    jitter_s: float
    longest_gap_s: float
    gaps: int
    dropped: int
    duplicated: int
    backward: int

    @classmethod
    def of(cls, stamp_ns: Stamps) -> "Timing":
        """Figures of a series in the order in which it was recorded; zeros where there are too few stamps."""
        ordered = np.unique(stamp_ns)
        intervals_s = np.diff(ordered) / 1e9
        backward = int((np.diff(stamp_ns) < 0).sum())
        duplicated = len(stamp_ns) - len(ordered)
        if not len(intervals_s):
            return cls(
                count=len(stamp_ns), duration_s=0.0, rate_hz=0.0, jitter_s=0.0, longest_gap_s=0.0, gaps=0, dropped=0, duplicated=duplicated, backward=backward
            )
        median_s = float(np.median(intervals_s))
        gaps = intervals_s[intervals_s > GAP_PERIODS * median_s]
        return cls(
            count=len(stamp_ns),
            duration_s=float(ordered[-1] - ordered[0]) / 1e9,
            rate_hz=1.0 / median_s,
            jitter_s=float(np.percentile(np.abs(intervals_s - median_s), 95)),
            longest_gap_s=float(intervals_s.max()),
            gaps=len(gaps),
            dropped=int(np.round(gaps / median_s - 1.0).sum()),
            duplicated=duplicated,
            backward=backward,
        )

    def as_dict(self) -> dict[str, float]:
        """For reports, rounded to what is meaningful."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


def clock_segments(stamp_ns: Stamps) -> NDArray[np.int64]:
    """(N,) number of the piece of unbroken clock that each message belongs to, in the order of recording."""
    return np.concatenate([[0], np.cumsum(np.diff(stamp_ns) < -BACKWARD_JUMP_NS)]).astype(np.int64)[: len(stamp_ns)]


def onto_clock(log_ns: Stamps, *, reference_log_ns: Stamps, reference_stamp_ns: Stamps) -> Stamps:
    """Log times as stamps of another topic's clock, whose log times and stamps are known: for topics without a header."""
    order = np.argsort(reference_log_ns, kind="stable")
    origin_ns = int(reference_log_ns[0])
    offset_ns = (reference_stamp_ns - reference_log_ns)[order]
    base_ns = int(offset_ns[0])
    drift_ns = np.interp((log_ns - origin_ns).astype(float), (reference_log_ns[order] - origin_ns).astype(float), (offset_ns - base_ns).astype(float))
    return log_ns + base_ns + np.round(drift_ns).astype(np.int64)


def at_rate(stamp_ns: Stamps, rate_hz: float) -> NDArray[np.bool_]:
    """(N,) which of increasing stamps to keep for about this rate; all of them when the source is not faster."""
    if len(stamp_ns) < 2:
        return np.ones(len(stamp_ns), bool)
    period_ns, slack_ns = 1e9 / rate_hz, float(np.median(np.diff(stamp_ns))) / 2.0
    keep = np.zeros(len(stamp_ns), bool)
    due_ns = float(stamp_ns[0])
    for i, stamp in enumerate(stamp_ns.tolist()):
        if stamp >= due_ns - slack_ns:
            keep[i] = True
            due_ns = due_ns + period_ns if stamp < due_ns + period_ns else stamp + period_ns
    return keep


def nearest(stamp_ns: Stamps, at_ns: Stamps, *, tolerance_ns: int) -> NDArray[np.int64]:
    """(M,) index of the stamp nearest to each time, -1 where none is within the tolerance; stamp_ns increases."""
    if not len(stamp_ns):
        return np.full(len(at_ns), -1)
    right = np.clip(np.searchsorted(stamp_ns, at_ns), 1, max(len(stamp_ns) - 1, 1)) if len(stamp_ns) > 1 else np.zeros(len(at_ns), np.int64)
    left = np.maximum(right - 1, 0)
    index = np.where(np.abs(stamp_ns[left] - at_ns) <= np.abs(stamp_ns[right] - at_ns), left, right)
    return np.where(np.abs(stamp_ns[index] - at_ns) <= tolerance_ns, index, -1)


def interpolate(stamp_ns: Stamps, values: Floats, at_ns: Stamps, *, max_gap_ns: int) -> Floats:
    """(M,) values (N,) at these times, linear; NaN outside the series and inside gaps longer than max_gap_ns.

    Samples that are not finite are left out; stamp_ns increases strictly.
    """
    usable = np.isfinite(values)
    stamps, samples = stamp_ns[usable], values[usable]
    if not len(stamps):
        return np.full(len(at_ns), np.nan)
    right = np.clip(np.searchsorted(stamps, at_ns, side="left"), 0, len(stamps) - 1)
    left = np.clip(np.searchsorted(stamps, at_ns, side="right") - 1, 0, len(stamps) - 1)
    span_ns = stamps[right] - stamps[left]
    is_inside = (at_ns >= stamps[0]) & (at_ns <= stamps[-1]) & (span_ns <= max_gap_ns)
    weight = (at_ns - stamps[left]) / np.maximum(span_ns, 1)
    return np.where(is_inside, samples[left] + weight * (samples[right] - samples[left]), np.nan)


def interpolate_poses(stamp_ns: Stamps, poses: Floats, at_ns: Stamps, *, max_gap_ns: int) -> Floats:
    """(M, 3) poses [x_m, y_m, yaw_rad] (N, 3) at these times, the yaw along the shorter way round."""
    usable = np.isfinite(poses).all(axis=1)
    stamps, x, y, yaw = stamp_ns[usable], poses[usable, 0], poses[usable, 1], np.unwrap(poses[usable, 2])
    columns = [interpolate(stamps, column, at_ns, max_gap_ns=max_gap_ns) for column in (x, y, yaw)]
    columns[2] = -((np.pi - columns[2]) % (2.0 * np.pi) - np.pi)
    return np.stack(columns, axis=1)


def hold(stamp_ns: Stamps, at_ns: Stamps) -> NDArray[np.int64]:
    """(M,) index of the last stamp at or before each time, -1 before the first; stamp_ns increases."""
    return np.searchsorted(stamp_ns, at_ns, side="right") - 1


def runs(stamp_ns: Stamps, labels: NDArray[np.int64], *, max_gap_ns: int) -> list[slice]:
    """Contiguous pieces: cut where the label changes, time steps back, or a gap is longer than max_gap_ns."""
    if not len(stamp_ns):
        return []
    steps = np.diff(stamp_ns)
    cuts = np.flatnonzero((np.diff(labels) != 0) | (steps > max_gap_ns) | (steps <= 0)) + 1
    edges = [0, *cuts.tolist(), len(stamp_ns)]
    return [slice(a, b) for a, b in pairwise(edges)]
