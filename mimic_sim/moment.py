"""Everything that is true at one tick: picture, labels, plan and score are made from the same one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mimic_sim.actors import Actor
from mimic_sim.ego import EgoMotion


@dataclass(frozen=True, kw_only=True)
class Moment:
    """stamp_ns of the tick; the ego; the other road users; signals: SUMO's tlLogic id → its state string."""

    stamp_ns: int
    ego: EgoMotion
    actors: tuple[Actor, ...] = ()
    signals: Mapping[str, str] = field(default_factory=dict)
