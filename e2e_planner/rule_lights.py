"""The signal at the ego's next stop line, as a perception head tells of it picture by picture, made steady over time.

The map tells that there is a signal. So what the head gives to 'none' tells how much of it is to be seen, and what it gives to
the states counts as shares of the rest.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.scene import LIGHT_STATES

HEAD_CLASSES = ("none", *LIGHT_STATES)  # perception.situation.LIGHTS, which needs torch
STOPPING = ("red", "yellow")
GO, NOTHING = "green", "unknown"


@dataclass(frozen=True, kw_only=True)
class LightParameters:
    """How sure a head has to be, and for how long it may be unsure."""

    reach_m: float = 50.0  # of the front bumper to a stop line whose signal is looked at
    passed_m: float = 1.0  # beyond it the line does not hold the ego any more
    seen: float = 0.1  # probability that there is one at all, from which on its states are heard of
    stop_share: float = 0.5  # of a state in what is not 'none', from which on it counts: of states that hold the ego,
    go_share: float = 0.65  # and of green
    certain_share: float = 0.85  # from which on one look is enough to stop
    hits: int = 2
    looks: int = 3  # of which so many have to be hits for any other change
    hold_s: float = 1.0  # for which the last state holds when none is seen


class LightFilter:
    """Of one drive."""

    def __init__(self, parameters: LightParameters | None = None) -> None:
        self._parameters = parameters or LightParameters()
        self._lane_id: str | None = None
        self._state: str | None = None
        self._age_s = 0.0
        self._looks: deque[str] = deque(maxlen=self._parameters.looks)

    def update(self, lane_id: str | None, probabilities: NDArray[np.float64], *, step_s: float) -> str | None:
        """The state of the signal at the end of a lane, None: not known; lane_id None: no signal is next.

        probabilities: (len(HEAD_CLASSES),) of this picture; step_s: since the picture before.
        """
        if lane_id != self._lane_id:
            self._lane_id, self._state, self._age_s = lane_id, None, 0.0
            self._looks.clear()
        if lane_id is None:
            return None
        p = self._parameters
        said, share = self._said(probabilities)
        self._looks.append(said)
        self._age_s += step_s
        is_urgent = said in STOPPING and share >= p.certain_share
        if said != NOTHING and (said == self._state or is_urgent or self._looks.count(said) >= p.hits):
            self._state, self._age_s = said, 0.0
        elif self._age_s > p.hold_s + 1e-6:
            self._state = None
        return self._state

    def _said(self, probabilities: NDArray[np.float64]) -> tuple[str, float]:
        """The most likely state and its share, or NOTHING."""
        p, seen = self._parameters, float(probabilities[1:].sum())
        best = int(probabilities[1:].argmax())
        state, share = LIGHT_STATES[best], float(probabilities[1:][best]) / max(seen, 1e-6)
        is_heard = seen >= p.seen and share >= (p.go_share if state == GO else p.stop_share)
        return (state, share) if is_heard else (NOTHING, 0.0)
