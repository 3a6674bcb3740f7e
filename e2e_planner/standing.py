"""For how long the vehicle has stood, or how far it has come since: all of its own past that a planner may be told.

Who waits at a stop sign sees the same picture before having stopped and after, and so does who has begun to drive on. Of the way it
moved nothing is told, or the network would repeat it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STANDING_MPS = 0.3
LONGEST_S, FARTHEST_M = 6.0, 30.0  # longer and farther is all the same


class LastStop(NamedTuple):
    """standing_s: for how long it has stood, 0: it moves; since_stop_m: how far it has come since it last stood."""

    standing_s: float
    since_stop_m: float


class StandingClock:
    """Is told of moment after moment of a drive."""

    def __init__(self) -> None:
        self._before: tuple[int, float, LastStop] | None = None

    def at(self, stamp_ns: int, speed_mps: float | None) -> LastStop | None:
        """By what is known since the first moment, before which it drove; None: its speed is unknown."""
        if speed_mps is None:
            self._before = None
            return None
        is_standing, standing_s, since_stop_m = speed_mps < STANDING_MPS, 0.0, FARTHEST_M
        if self._before is not None and stamp_ns > self._before[0]:
            before_ns, before_mps, before = self._before
            step_s = (stamp_ns - before_ns) / 1e9
            standing_s = min(before.standing_s + step_s, LONGEST_S)
            since_stop_m = min(before.since_stop_m + (before_mps + speed_mps) / 2.0 * step_s, FARTHEST_M)
        stop = LastStop(standing_s, 0.0) if is_standing else LastStop(0.0, since_stop_m)
        self._before = (stamp_ns, speed_mps, stop)
        return stop


def last_stops(stamp_ns: NDArray[np.int64], speed_mps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) of a clip's moments with speeds (N,): LastStop, NaN where the speed is unknown."""
    clock = StandingClock()
    found = [clock.at(stamp, None if np.isnan(speed) else speed) for stamp, speed in zip(stamp_ns.tolist(), speed_mps.tolist(), strict=True)]
    return np.array([(np.nan, np.nan) if stop is None else stop for stop in found]).reshape(-1, 2)
