"""The one interface between a planner and everything that scores, replays or drives it."""

from typing import Protocol, runtime_checkable

from mimic_contracts.action_spec import ActionSpec
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan


@runtime_checkable
class Policy(Protocol):
    """Pure: the same observations since `reset` give plans with the same canonical bytes.

    spec: what its plans mean; rig_name: the rig that it needs, or None when it needs no pictures.
    Optional: needs_scene = True makes the simulator fill in observation.scene, which costs time; without it there is none.
    """

    spec: ActionSpec
    rig_name: str | None

    def reset(self) -> None:
        """Forget everything seen: the next observation begins a new drive."""

    def plan(self, observation: Observation) -> Plan:
        """The plan from this observation on; raises MimicError when it cannot make one."""
        ...
