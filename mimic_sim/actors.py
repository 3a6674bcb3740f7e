"""Other road users at one moment: where each is, how large, and what its lights show."""

from dataclasses import dataclass
from typing import Any

from mimic_contracts.errors import ContractError
from mimic_contracts.scene import AGENT_KINDS, INDICATORS
from mimic_contracts.validation import check_choice, check_number, check_text


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A road user: x_m, y_m is the middle of its box on the ground, in the network's frame, yaw_rad where it faces;
    brake: its brake lights are on; colour: linear RGB of its paint or clothes, each within [0, 1]."""

    actor_id: str
    kind: str
    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float
    length_m: float
    width_m: float
    height_m: float
    brake: bool
    indicator: str
    colour: tuple[float, float, float]

    def __post_init__(self) -> None:
        check_text("actor.actor_id", self.actor_id)
        check_choice("actor.kind", self.kind, AGENT_KINDS)
        for name in ("x_m", "y_m", "yaw_rad", "speed_mps"):
            check_number(f"actor.{name}", getattr(self, name))
        check_number("actor.length_m", self.length_m, low=0.1, high=40.0)
        check_number("actor.width_m", self.width_m, low=0.1, high=6.0)
        check_number("actor.height_m", self.height_m, low=0.1, high=6.0)
        check_choice("actor.indicator", self.indicator, INDICATORS)
        if len(self.colour) != 3:
            raise ContractError(f"actor.colour: is {self.colour!r}, must be three numbers (r, g, b)")
        for value in self.colour:
            check_number("actor.colour", value, low=0.0, high=1.0)


def moved(actor: Actor, **motion: Any) -> Actor:
    """The actor with other values of some fields, past its checks: a hundred of them a tick would cost as much as SUMO itself."""
    other = object.__new__(Actor)
    other.__dict__.update(actor.__dict__, **motion)
    return other
