"""What a planner remembers: the road users that it saw a moment ago, from where the vehicle is now.

How fast somebody far ahead drives can hardly be told from two pictures, but from where it was a second ago.
"""

from collections import deque
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import to_frame
from vehicle_interface.kinematics import advance_pose

TOLERANCE_S = 0.06  # between the moment that is remembered and recall_s ago
LONGEST_STEP_S = 1.0  # between two moments: after a longer pause nothing is remembered
SLOWEST_MPS = 0.1  # below it no turn is reckoned with
Noted = TypeVar("Noted")


class Recall(Generic[Noted]):
    """Is told of moment after moment of a drive, and what to note of each; in training and at run time the same."""

    def __init__(self, recall_s: float) -> None:
        self._recall_ns = round(recall_s * 1e9)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._last_ns: int | None = None
        self._pose = np.zeros(3)  # by dead reckoning, since something was forgotten
        self._notes: deque[tuple[int, NDArray[np.float64], Noted]] = deque()

    def at(self, stamp_ns: int, speed_mps: float | None, yaw_rate_radps: float | None) -> tuple[Noted, NDArray[np.float64]] | None:
        """What was noted recall_s ago, and (3,) [x_m, y_m, yaw_rad] the vehicle's pose now in the frame of then; None: nothing, or
        its speed is unknown."""
        step_s = 0.0 if self._last_ns is None else (stamp_ns - self._last_ns) / 1e9
        if speed_mps is None or not 0.0 <= step_s <= LONGEST_STEP_S:
            self.reset()
        elif self._last_ns is not None:
            curvature = (yaw_rate_radps or 0.0) / speed_mps if abs(speed_mps) > SLOWEST_MPS else 0.0
            self._pose = advance_pose(self._pose, distance_m=speed_mps * step_s, curvature_1pm=curvature)
        self._last_ns = None if speed_mps is None else stamp_ns
        wanted_ns = stamp_ns - self._recall_ns
        while len(self._notes) > 1 and abs(self._notes[1][0] - wanted_ns) <= abs(self._notes[0][0] - wanted_ns):
            self._notes.popleft()
        if not self._notes or abs(self._notes[0][0] - wanted_ns) > TOLERANCE_S * 1e9:
            return None
        _, pose, noted = self._notes[0]
        return noted, to_frame(self._pose[None], pose)[0]

    def note(self, what: Noted) -> None:
        """Of the moment that it was told of last."""
        if self._last_ns is not None:
            self._notes.append((self._last_ns, self._pose, what))
