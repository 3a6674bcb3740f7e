"""`mimic top` without ROS: note what arrives, then ask how the pipeline does.

Times of publication (source_ns) are the publishers' clocks' and say how regular and how late things are, whatever this process is
busy with; arrivals on the steady clock (steady_ns) say how long ago something was heard.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bag_tools.synchronise import Timing
from mimic_contracts.rig import Rig
from mimic_contracts.vehicle import VehicleSpec

WINDOW_NS = 10_000_000_000  # of the figures
COMPLAINT_NS = 1_500_000_000  # nodes repeat twice a second what is wrong
PLANNED_AHEAD_S = 1.0
ONE_CLOCK_NS = 60_000_000_000  # stamps further than this from their publication are of another clock, as a simulator's
PLAN_TOPIC, FRAME_TOPIC, VERDICT_TOPIC, DIAGNOSTICS_TOPIC = "/planning/trajectory", "/perception/frame", "/supervisor/verdict", "/diagnostics"
MODE_TOPIC, REQUEST_TOPIC = "/vehicle/mode", "/vehicle/takeover_request"
HEARTBEAT_END = "/heartbeat"
LEVELS = ("ok", "warn", "error", "stale")  # of a DiagnosticStatus, by its number
ASKED, COMMANDED = "asked_", "commanded_"


@dataclass(frozen=True, kw_only=True)
class PipelineTopics:
    """The topics of a vehicle's pipeline; pictures: by camera of the rig, the first is the one that plans are stamped by."""

    pictures: tuple[str, ...]
    odometry: str
    command: str
    optional: tuple[str, ...]  # told of only where somebody publishes them

    @classmethod
    def of(cls, vehicle: VehicleSpec, rig: Rig) -> "PipelineTopics":
        """As the vehicle file names them."""
        topics = vehicle.topics
        return cls(
            pictures=tuple(topics.image(camera.name) for camera in rig.cameras),
            odometry=topics.odometry,
            command=topics.command,
            optional=(topics.steering, topics.driver_override, "/planning/route_command", "/planning/route", "/teleop/trajectory"),
        )

    @property
    def required(self) -> tuple[str, ...]:
        """Those that are told of even when nobody publishes them, in the order of the way."""
        return (*self.pictures, FRAME_TOPIC, self.odometry, PLAN_TOPIC, self.command, VERDICT_TOPIC)


@dataclass(kw_only=True)
class _Arrivals:
    """The last WINDOW_NS of a topic: when it was heard, published, and what stamp it had (0: none)."""

    heard: deque[tuple[int, int, int]] = field(default_factory=deque)
    last_steady_ns: int | None = None

    def add(self, *, steady_ns: int, source_ns: int, stamp_ns: int) -> None:
        self.last_steady_ns = steady_ns
        self.heard.append((steady_ns, source_ns, stamp_ns))
        self.forget(steady_ns)

    def forget(self, steady_ns: int) -> None:
        while self.heard and steady_ns - self.heard[0][0] > WINDOW_NS:
            self.heard.popleft()


class TopCore:
    """One per view."""

    def __init__(self, topics: PipelineTopics) -> None:
        self._topics = topics
        self._arrivals: dict[str, _Arrivals] = {topic: _Arrivals() for topic in topics.required}
        self._mode = ""
        self._wants_driver: bool | None = None
        self._verdict: tuple[str, str] | None = None
        self._speed_mps: float | None = None
        self._planned_mps: float | None = None
        self._interface: tuple[int, str, Mapping[str, str]] | None = None  # when the vehicle interface said what
        self._complaints: dict[tuple[str, str], tuple[int, str, str]] = {}

    def note(self, topic: str, *, steady_ns: int, source_ns: int, stamp_ns: int = 0) -> None:
        """A message of a topic arrived; stamp_ns: of its header, for pictures and plans."""
        self._arrivals.setdefault(topic, _Arrivals()).add(steady_ns=steady_ns, source_ns=source_ns, stamp_ns=stamp_ns)

    def note_mode(self, mode: str) -> None:
        """Who drives."""
        self._mode = mode

    def note_takeover_request(self, wants_driver: bool) -> None:
        """Whether a driver is asked for."""
        self._wants_driver = wants_driver

    def note_verdict(self, level: int, reason: str) -> None:
        """The supervisor's, level as in a DiagnosticStatus."""
        self._verdict = (LEVELS[min(level, len(LEVELS) - 1)], reason)

    def note_speed(self, speed_mps: float) -> None:
        """By odometry."""
        self._speed_mps = speed_mps

    def note_planned_speed(self, speed_mps: float) -> None:
        """What the last plan wants in PLANNED_AHEAD_S."""
        self._planned_mps = speed_mps

    def note_status(self, node: str, level: int, message: str, values: Mapping[str, str], *, steady_ns: int) -> None:
        """A node says how it does; of its subject (what is before the colon) the last word counts."""
        if "mode" in values:
            self._interface = (steady_ns, message, values)
        elif level:
            self._complaints[node, message.partition(":")[0]] = (steady_ns, LEVELS[min(level, len(LEVELS) - 1)], message)
        else:
            self._complaints.pop((node, message.partition(":")[0]), None)

    def figures(self, *, steady_ns: int) -> dict[str, Any]:
        """All of it, in plain values; None: unknown, or too little was heard."""
        for arrivals in self._arrivals.values():
            arrivals.forget(steady_ns)
        said_ns, reason, values = self._interface or (0, "", {})
        limits = [part.rpartition(" ") for part in filter(None, values.get("limits", "").split(", "))]
        level, why = self._verdict or (None, "")
        return {
            "mode": self._mode or None,
            "driven_by": values.get("driven_by"),
            "reason": reason,
            "takeover_requested": self._wants_driver,
            "verdict": level,
            "verdict_reason": why,
            "speed_mps": self._speed_mps,
            "planned_speed_mps": self._planned_mps,
            "asked": _numbers(values, ASKED),
            "commanded": _numbers(values, COMMANDED),
            "limits": {name: float(share) for name, _, share in limits},
            "interface_age_s": (steady_ns - said_ns) / 1e9 if self._interface else None,
            "latency_ms": self._latencies_ms(),
            "topics": [self._row(topic, arrivals, steady_ns) for topic, arrivals in sorted(self._arrivals.items(), key=self._place)],
            "complaints": [
                {"node": node, "level": grade, "message": message}
                for (node, _), (heard_ns, grade, message) in sorted(self._complaints.items())
                if steady_ns - heard_ns <= COMPLAINT_NS and message != why  # which the supervisor says once more in diagnostics
            ],
        }

    def _place(self, item: tuple[str, _Arrivals]) -> tuple[int, str]:
        """Where a topic stands: in the order of the way, heartbeats last."""
        topic, _ = item
        order = (*self._topics.required, *self._topics.optional)
        return (order.index(topic) if topic in order else len(order), topic)

    def _row(self, topic: str, arrivals: _Arrivals, steady_ns: int) -> dict[str, Any]:
        timing = Timing.of(np.array([source_ns for _, source_ns, _ in arrivals.heard], np.int64))
        is_known = len(arrivals.heard) > 1
        return {
            "topic": topic,
            "rate_hz": timing.rate_hz if is_known else None,
            "age_s": None if arrivals.last_steady_ns is None else (steady_ns - arrivals.last_steady_ns) / 1e9,
            "longest_gap_s": timing.longest_gap_s if is_known else None,
            "gaps": timing.gaps if is_known else None,
        }

    def _latencies_ms(self) -> dict[str, Any]:
        """Between publications; the command of a picture is the first after its plan: the vehicle interface acts upon plans at once."""
        published = {stamp_ns: source_ns for _, source_ns, stamp_ns in self._arrivals[self._topics.pictures[0]].heard}
        commands = sorted(source_ns for _, source_ns, _ in self._arrivals[self._topics.command].heard)
        stamp_to_picture = [source_ns - stamp_ns for stamp_ns, source_ns in published.items() if abs(source_ns - stamp_ns) < ONE_CLOCK_NS]
        plans = {stamp_ns: source_ns for _, source_ns, stamp_ns in self._arrivals[PLAN_TOPIC].heard}
        picture_to_plan = [source_ns - published[stamp_ns] for stamp_ns, source_ns in plans.items() if stamp_ns in published]
        picture_to_command = []
        for stamp_ns, planned_ns in plans.items():
            index = bisect_right(commands, planned_ns)
            if stamp_ns in published and 0 < index < len(commands):  # before the first it would be one of before the window
                picture_to_command.append(commands[index] - published[stamp_ns])
        return {
            "stamp_to_picture": _percentiles_ms(stamp_to_picture),
            "picture_to_plan": _percentiles_ms(picture_to_plan),
            "picture_to_command": _percentiles_ms(picture_to_command),
        }


def _percentiles_ms(durations_ns: Sequence[int]) -> dict[str, float | int] | None:
    if not durations_ns:
        return None
    p50, p99 = np.percentile(np.array(durations_ns) / 1e6, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "count": len(durations_ns)}


def _numbers(values: Mapping[str, str], prefix: str) -> dict[str, float]:
    return {key.removeprefix(prefix): float(value) for key, value in values.items() if key.startswith(prefix)}
