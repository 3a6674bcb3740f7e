"""How a vehicle moved from one picture to the next, by the speed and the yaw rate of its odometry."""

from collections import deque
from dataclasses import dataclass

import numpy as np

MAX_GAP_NS = 200_000_000  # between two odometry messages: how it moved in a longer one is not known
KEPT_NS = 5_000_000_000


@dataclass(frozen=True, kw_only=True)
class Travel:
    """Along the path of the rear axle's middle, and the turn to the left; the lowest speed and the highest yaw rate on the way."""

    distance_m: float
    yaw_rad: float
    min_speed_mps: float
    max_yaw_rate_radps: float


class Odometer:
    """Integrates what the odometry measures, and answers for any stretch of the last seconds."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, float, float, float, float]] = deque()  # stamp, speed, yaw rate, and since the first row distance and turn

    def note(self, *, stamp_ns: int, speed_mps: float, yaw_rate_radps: float) -> None:
        """Odometry arrived; a gap, or a stamp that is not later than the last one, begins anew."""
        distance_m = yaw_rad = 0.0
        if self._rows:
            last_ns, last_mps, last_radps, distance_m, yaw_rad = self._rows[-1]
            if not 0 < stamp_ns - last_ns <= MAX_GAP_NS:
                self._rows.clear()
            step_s = (stamp_ns - last_ns) / 1e9
            distance_m, yaw_rad = distance_m + (last_mps + speed_mps) / 2.0 * step_s, yaw_rad + (last_radps + yaw_rate_radps) / 2.0 * step_s
        self._rows.append((stamp_ns, speed_mps, yaw_rate_radps, distance_m, yaw_rad))
        while stamp_ns - self._rows[0][0] > KEPT_NS:
            self._rows.popleft()

    @property
    def latest_ns(self) -> int:
        """Stamp up to which it can answer; 0 before the first odometry."""
        return self._rows[-1][0] if self._rows else 0

    def between(self, begin_ns: int, end_ns: int) -> Travel | None:
        """From one stamp to a later one; None where the odometry does not tell."""
        if not self._rows or not self._rows[0][0] <= begin_ns < end_ns <= self.latest_ns:
            return None
        stamps, speeds, yaw_rates, distances, turns = np.array(self._rows).T
        first, last = np.searchsorted(stamps, begin_ns, side="right") - 1, np.searchsorted(stamps, end_ns) + 1
        at = np.array([begin_ns, end_ns])
        return Travel(
            distance_m=float(np.diff(np.interp(at, stamps, distances))[0]),
            yaw_rad=float(np.diff(np.interp(at, stamps, turns))[0]),
            min_speed_mps=float(speeds[first:last].min()),
            max_yaw_rate_radps=float(np.abs(yaw_rates[first:last]).max()),
        )
