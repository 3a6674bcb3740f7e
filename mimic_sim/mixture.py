"""Who drives when, while a learner is corrected: it, or now and then the expert, so that a bad learner sees more of the route.

The expert says at every tick what it would do from where the learner came to: DAgger (Ross, Gordon and Bagnell 2011), whose
beta is the expert's share.
"""

import numpy as np

BLOCK_S = (3.0, 8.0)
MIXTURE_SALT = 29


class Mixture:
    """The blocks of one drive, all fixed by the seed; each is the expert's with a probability of its share."""

    def __init__(self, *, expert_share: float, seed: int, duration_s: float) -> None:
        rng = np.random.default_rng([seed, MIXTURE_SALT])
        count = int(duration_s / BLOCK_S[0]) + 1
        self._ends_s = np.cumsum(rng.uniform(*BLOCK_S, count))
        self._are_experts = rng.random(count) < expert_share

    def expert_drives(self, time_s: float) -> bool:
        """Whether the expert has the wheel at this time of the drive, up to its duration."""
        return bool(self._are_experts[np.searchsorted(self._ends_s, time_s, side="right")])
