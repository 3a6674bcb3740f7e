"""Lockstep bookkeeping: which parts of the answer to a tick have arrived, in whatever order."""

from dataclasses import dataclass

from mimic_contracts.plan import Plan
from vehicle_interface import modes
from vehicle_interface.adapters import Twist2D

COMMANDING = (modes.ENGAGED, modes.MINIMAL_RISK_STOP, modes.EMERGENCY_STOP)


@dataclass(frozen=True, kw_only=True)
class TickAnswer:
    """A complete answer: twist None where the mode commands nothing; plan None where failure says why."""

    mode: str
    twist: Twist2D | None
    plan: Plan | None
    failure: str


class TickAnswers:
    """Collects the plan (or why there is none), the vehicle interface's mode, and its command, by stamp."""

    def __init__(self) -> None:
        self._commands: dict[int, Twist2D] = {}
        self._plans: dict[int, Plan] = {}
        self._modes: dict[int, str] = {}
        self._failures: dict[int, str] = {}

    def add_command(self, twist: Twist2D, *, stamp_ns: int) -> None:
        """An actuation stamped with a tick."""
        self._commands[stamp_ns] = twist

    def add_plan(self, plan: Plan) -> None:
        """A plan; its stamp is the tick."""
        self._plans[plan.stamp_ns] = plan

    def add_mode(self, mode: str, *, stamp_ns: int) -> None:
        """The vehicle interface has served a tick in this mode."""
        self._modes[stamp_ns] = mode

    def add_failure(self, reason: str, *, stamp_ns: int) -> None:
        """A node can't serve a tick; the first reason counts."""
        self._failures.setdefault(stamp_ns, reason)

    def complete(self, stamp_ns: int) -> TickAnswer | None:
        """The answer to a tick, or None while a part of it is on its way."""
        mode = self._modes.get(stamp_ns)
        is_planned = stamp_ns in self._plans or stamp_ns in self._failures
        if mode is None or not is_planned or (mode in COMMANDING and stamp_ns not in self._commands):
            return None
        return TickAnswer(mode=mode, twist=self._commands.get(stamp_ns), plan=self._plans.get(stamp_ns), failure=self._failures.get(stamp_ns, ""))

    def who_is_silent(self, stamp_ns: int) -> str:
        """The node whose part of the answer is missing, for an error message."""
        if stamp_ns in self._failures and stamp_ns not in self._modes:
            return f"vehicle_interface_node is silent ({self._failures[stamp_ns]})"
        if stamp_ns not in self._plans:
            return "planner_node is silent (or camera_node before it)"
        return "vehicle_interface_node is silent"

    def forget_before(self, stamp_ns: int) -> None:
        """Drop what belongs to ticks that are over."""
        for entries in (self._commands, self._plans, self._modes, self._failures):
            for old in [stamp for stamp in entries if stamp < stamp_ns]:
                del entries[old]  # type: ignore[attr-defined]
