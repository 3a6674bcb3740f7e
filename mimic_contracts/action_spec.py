"""What a planner's output means for one embodiment: the channels, the horizon, how actions become motion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_contracts.validation import check_array, check_choice, check_increasing, check_text

CONTRACT_VERSION = "1"  # of inputs, frames, horizon and normalisation; a checkpoint that carries another one is refused


@dataclass(frozen=True, eq=False)
class ActionSpec:
    """An embodiment. channels: names with units; times_s: (T,) float64, seconds after the plan's stamp, increasing;
    integrator: how (a, κ) become poses ("bicycle") or that channels are used as they are ("none")."""

    name: str
    channels: tuple[str, ...]
    times_s: NDArray[np.float64]
    integrator: str

    def __post_init__(self) -> None:
        check_text("action_spec.name", self.name)
        check_array("action_spec.times_s", self.times_s, shape=(None,), dtype=np.float64)
        check_increasing("action_spec.times_s", self.times_s)
        check_choice("action_spec.integrator", self.integrator, ("bicycle", "none"))
        if len(set(self.channels)) != len(self.channels) or not self.channels:
            raise ContractError(f"action_spec.channels: are {self.channels}, must be at least one and all different")

    def index(self, channel: str) -> int:
        """Column of a channel in a plan's values; raises ContractError that lists the known ones."""
        if channel not in self.channels:
            raise ContractError(f"channel: '{channel}' is not in action spec '{self.name}', which has {', '.join(self.channels)}")
        return self.channels.index(channel)


CAR = ActionSpec(
    name="car",
    channels=("x_m", "y_m", "yaw_rad", "speed_mps", "acceleration_mps2", "curvature_1pm"),
    times_s=np.arange(21, dtype=np.float64) / 5.0,  # 0.0, 0.2 … 4.0
    integrator="bicycle",
)
STEERING_ONLY = ActionSpec(name="steering_only", channels=("steering_wheel_rad",), times_s=np.zeros(1), integrator="none")

ACTION_SPECS = {spec.name: spec for spec in (CAR, STEERING_ONLY)}


def action_spec(name: str) -> ActionSpec:
    """The action spec of this name; raises ContractError that lists the known ones."""
    return ACTION_SPECS[check_choice("action_spec", name, tuple(ACTION_SPECS))]
