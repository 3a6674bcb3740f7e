"""What a planner wants, and what the vehicle is told."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import ActionSpec
from mimic_contracts.errors import ContractError
from mimic_contracts.validation import check_array, check_number, check_stamp_ns, check_text


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan that drives, and its alternatives, in the vehicle frame at stamp_ns.

    values: (T, C) float64, rows at spec.times_s after stamp_ns, columns spec.channels.
    alternatives: (K, T, C) float64 (K may be 0); probabilities: (K,) float64, sum 1 when K > 0.
    is_emergency: a marked emergency, for which the envelope brakes harder.
    """

    stamp_ns: int
    spec: ActionSpec
    values: NDArray[np.float64]
    alternatives: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    model_id: str
    is_emergency: bool = False

    def __post_init__(self) -> None:
        steps, channels = len(self.spec.times_s), len(self.spec.channels)
        check_stamp_ns("plan.stamp_ns", self.stamp_ns)
        check_array("plan.values", self.values, shape=(steps, channels), dtype=np.float64)
        check_array("plan.alternatives", self.alternatives, shape=(None, steps, channels), dtype=np.float64)
        check_array("plan.probabilities", self.probabilities, shape=(len(self.alternatives),), dtype=np.float64)
        check_text("plan.model_id", self.model_id)
        if len(self.probabilities) and (self.probabilities.min() < 0 or abs(self.probabilities.sum() - 1.0) > 1e-6):
            raise ContractError(f"plan.probabilities: are {self.probabilities}, must be at least 0 and sum to 1")

    @classmethod
    def single(cls, *, stamp_ns: int, spec: ActionSpec, values: NDArray[np.float64], model_id: str) -> "Plan":
        """A plan without alternatives."""
        none = np.zeros((0, len(spec.times_s), len(spec.channels)))
        return cls(stamp_ns=stamp_ns, spec=spec, values=values, alternatives=none, probabilities=np.zeros(0), model_id=model_id)

    def channel(self, name: str) -> NDArray[np.float64]:
        """(T,) one channel by name; raises ContractError on an unknown one."""
        return self.values[:, self.spec.index(name)]

    def at(self, time_s: float) -> NDArray[np.float64]:
        """(C,) linear interpolation at seconds after the stamp, held beyond both ends."""
        return np.array([np.interp(time_s, self.spec.times_s, column) for column in self.values.T])


@dataclass(frozen=True, kw_only=True)
class Command:
    """What the vehicle is told after the safety envelope; curvature is positive to the left."""

    stamp_ns: int
    acceleration_mps2: float
    curvature_1pm: float
    target_speed_mps: float

    def __post_init__(self) -> None:
        check_stamp_ns("command.stamp_ns", self.stamp_ns)
        for name in ("acceleration_mps2", "curvature_1pm", "target_speed_mps"):
            check_number(f"command.{name}", getattr(self, name))
