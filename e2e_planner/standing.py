"""For how long the vehicle has stood: the one thing of its own past that a planner may be told.

Who waits at a stop sign sees the same picture before having stopped and after. Of the way it moved nothing is told, or the
network would repeat it.
"""

import numpy as np
from numpy.typing import NDArray

STANDING_MPS = 0.3
LONGEST_S = 6.0  # longer is all the same


class StandingClock:
    """Is told of moment after moment of a drive."""

    def __init__(self) -> None:
        self._before: tuple[int, float] | None = None

    def at(self, stamp_ns: int, speed_mps: float | None) -> float | None:
        """s, at most LONGEST_S, since the vehicle last moved, or since the first moment; None: its speed is unknown."""
        if speed_mps is None:
            self._before = None
            return None
        standing = 0.0
        if speed_mps < STANDING_MPS and self._before is not None and stamp_ns > self._before[0]:
            standing = min(self._before[1] + (stamp_ns - self._before[0]) / 1e9, LONGEST_S)
        self._before = (stamp_ns, standing)
        return standing


def standing_s(stamp_ns: NDArray[np.int64], speed_mps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) of a clip's moments with speeds (N,), NaN where that is unknown."""
    clock = StandingClock()
    found = [clock.at(stamp, None if np.isnan(speed) else speed) for stamp, speed in zip(stamp_ns.tolist(), speed_mps.tolist(), strict=True)]
    return np.array([np.nan if seconds is None else seconds for seconds in found])
