"""The course of the first-day procedure: which question is open, what an answer or a measurement leads to, what came of each step.

A step begins when the person says so; then it is done and measured, by whoever drives this; then the person says what was seen. Only
both together pass it. The first step that fails ends the procedure: those after it trust it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vehicle_interface.first_day import Step
from vehicle_interface.first_day_figures import Measured

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
YES, NO, REPEAT, ABORT = "y", "n", "r", "a"
WORDS = {YES: "yes", NO: "no", REPEAT: "repeat", ABORT: "abort"}


@dataclass
class Result:
    """Of a step; answers: each with its time, as the person gave them."""

    step: Step
    outcome: str = SKIPPED
    attempts: int = 0
    measured: Measured = field(default_factory=Measured)
    answers: list[tuple[str, str]] = field(default_factory=list)
    why: str = ""


class Procedure:
    """Ask `question`, give the `answer`; where there is none, do `step` and give what was `measured`; until `is_over`."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.results = [Result(step) for step in steps]
        self._at, self._is_measuring, self._is_judging, self._is_over = 0, False, False, False

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return self._is_over

    @property
    def has_passed(self) -> bool:
        """Whether every step has."""
        return all(result.outcome == PASSED for result in self.results)

    @property
    def step(self) -> Step:
        """The one that it is about."""
        return self._result.step

    @property
    def index(self) -> int:
        """Which of `results` that is."""
        return self._at

    @property
    def is_beginning(self) -> bool:
        """Whether the person is asked before it is done, not after."""
        return not self._is_measuring and not self._is_judging

    @property
    def question(self) -> str:
        """What the person is asked now; empty while it is to be measured."""
        if self._is_measuring:
            return ""
        if not self._is_judging:
            return "Ready?" if self.step.question else "Is this so?"
        return "Do it again?" if self._result.measured.findings else self.step.question

    @property
    def choices(self) -> tuple[str, ...]:
        """The answers to it."""
        if not self._is_judging:
            return (YES, NO, ABORT)
        return (REPEAT, NO, ABORT) if self._result.measured.findings else (YES, NO, REPEAT, ABORT)

    def answer(self, text: str, *, time: str) -> bool:
        """Take an answer; False when it is none of the choices."""
        chosen = text.strip().lower()[:1]
        if chosen not in self.choices:
            return False
        result = self._result
        result.answers.append((time, WORDS[chosen]))
        if chosen == ABORT:
            self.abort("aborted by the person")
        elif chosen == NO:
            self._fail("; ".join(result.measured.findings) or ("the person saw otherwise" if self._is_judging else "the person was not ready"))
        elif chosen == REPEAT:
            self._is_judging = False
        elif self._is_judging or not self.step.question:
            self._pass()
        else:
            self._is_measuring = True
        return True

    def note(self, measured: Measured) -> None:
        """The step was done."""
        self._result.measured = measured
        self._result.attempts += 1
        self._is_measuring, self._is_judging = False, True

    def abort(self, why: str) -> None:
        """End it here; the step that it was about has not passed."""
        if not self._is_over:
            self._fail(why)

    @property
    def _result(self) -> Result:
        return self.results[self._at]

    def _pass(self) -> None:
        self._result.outcome = PASSED
        self._is_judging = False
        self._is_over = self._at + 1 == len(self.results)
        self._at += not self._is_over

    def _fail(self, why: str) -> None:
        self._result.outcome, self._result.why = FAILED, why
        self._is_over = True
