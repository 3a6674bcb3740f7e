"""A recorded drive as ticks, the bookkeeping of their answers, and what a replay comes to. The node is replay_node."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bag_tools.bag_reader import Bag, BagMessage
from bag_tools.frame_plan import FramePlan, plan_frames, signals_at
from bag_tools.recording import read_recording
from bag_tools.topic_map import BAG_PATTERN, TopicMap
from mimic_contracts.canonical import canonical_bytes
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import Route
from mimic_contracts.plan import Plan

SILENT_MODES = ("disengaged", "driver_override")  # of the vehicle interface: it publishes no command in them
ENGAGED = "engaged"
ODOMETRY_SIGNALS = ("pose", "speed_mps", "yaw_rate_radps")

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OdometrySample:
    """The vehicle's motion at a tick: pose (3,) float64 [x_m, y_m, yaw_rad] in a fixed frame."""

    pose: Array
    speed_mps: float
    yaw_rate_radps: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ReplayDrive:
    """The ticks of a recorded drive: one per frame of the reference camera, at the topic map's rate.

    stamp_ns: (N,) int64, increasing; odometry: one sample a tick, interpolated to the exposure, or None where the
    recording has none; routes: as they were told before each tick, or None; left_out: reason → frames that are no ticks.
    """

    bag: Bag
    topic_map: TopicMap
    frame_plan: FramePlan
    odometry: tuple[OdometrySample, ...] | None
    routes: tuple[Route, ...] | None
    left_out: dict[str, int]

    @property
    def stamp_ns(self) -> NDArray[np.int64]:
        """(N,) when each tick was."""
        return self.frame_plan.stamp_ns

    @property
    def camera_topics(self) -> dict[str, str]:
        """Camera of the rig → its picture topic."""
        return {name: source.topic for name, source in self.topic_map.cameras.items()}

    def pictures(self) -> Iterator[dict[str, BagMessage]]:
        """For each tick in turn, camera → its recorded picture."""
        camera_of = {source.topic: name for name, source in self.topic_map.cameras.items()}
        ticks_of: dict[tuple[str, int], list[int]] = {}
        for camera, numbers in self.frame_plan.ordinals.items():
            for tick, ordinal in enumerate(numbers.tolist()):
                ticks_of.setdefault((camera, ordinal), []).append(tick)
        ordinals: Counter[str] = Counter()
        waiting: dict[int, dict[str, BagMessage]] = {}
        due = 0
        for message in self.bag.messages(camera_of):
            camera = camera_of[message.channel.topic]
            ordinal, ordinals[camera] = ordinals[camera], ordinals[camera] + 1
            for tick in ticks_of.get((camera, ordinal), ()):
                waiting.setdefault(tick, {})[camera] = message
            while len(waiting.get(due, ())) == len(camera_of):
                yield waiting.pop(due)
                due += 1


def load_drive(bag: Bag, topic_map: TopicMap) -> ReplayDrive:
    """The drive in a bag, whatever split the map gives it. Of a clock that was set back, the longest piece is replayed.

    Raises MimicError when the bag has no usable pictures.
    """
    unnamed = replace(topic_map, drive_id="replay", vehicle_id="replay", driver_id="replay", region="replay")
    topic_map = replace(unnamed, bag_pattern=BAG_PATTERN, split_by="{bag}", splits={"test": ("*",)})
    plan = plan_frames(bag.path, read_recording(bag, topic_map), topic_map)
    if len(plan.stamp_ns):
        longest = np.bincount(plan.segment).argmax()
        plan.select(plan.segment == longest, "in another piece of a clock that was set back")
    signals = signals_at(plan, topic_map)
    if "yaw_rate_radps" not in signals and {"speed_mps", "curvature_1pm"} <= set(signals):
        signals["yaw_rate_radps"] = signals["speed_mps"] * signals["curvature_1pm"]
    has_odometry = set(ODOMETRY_SIGNALS) <= set(signals)
    if has_odometry:
        known = np.isfinite(signals["pose"]).all(axis=1) & np.isfinite(signals["speed_mps"]) & np.isfinite(signals["yaw_rate_radps"])
        plan.select(known, "odometry was not recorded at the moment of exposure")
        signals = {name: values[known] for name, values in signals.items()}
    if not len(plan.stamp_ns):
        raise MimicError(f"{bag.path}: has no frame to replay: {plan.counts}")
    samples = zip(*(signals[name] for name in ODOMETRY_SIGNALS), strict=True) if has_odometry else ()
    odometry = tuple(OdometrySample(pose=pose, speed_mps=float(speed), yaw_rate_radps=float(rate)) for pose, speed, rate in samples)
    left_out = {reason: count for reason, count in plan.counts.items() if count}
    routes = tuple(_routes(signals)) if {"route_command", "route_points"} & set(signals) else None
    return ReplayDrive(bag=bag, topic_map=topic_map, frame_plan=plan, odometry=odometry or None, routes=routes, left_out=left_out)


def _routes(signals: dict[str, NDArray[Any]]) -> Iterator[Route]:
    """Of each tick; points that are missing are left out, as they were."""
    count = len(next(iter(signals.values())))
    commands = signals.get("route_command", np.full(count, "follow"))
    points = signals.get("route_points", np.full((count, 0, 2), np.nan))
    for command, points_m in zip(commands.tolist(), points, strict=True):
        yield Route(command=command, points_m=points_m[np.isfinite(points_m).all(axis=1)])


@dataclass(frozen=True, kw_only=True)
class CommandSample:
    """An actuation message: speed along x and yaw rate."""

    speed_mps: float
    yaw_rate_radps: float


@dataclass(frozen=True, kw_only=True)
class TickAnswer:
    """plan: None where failure says why there is none; mode: '' without a vehicle interface; command: None where the
    mode publishes none."""

    plan: Plan | None
    failure: str
    mode: str
    command: CommandSample | None


class TickAnswers:
    """Collects the parts of the answer to one tick, in whatever order they arrive; those of other ticks are ignored."""

    def __init__(self, *, has_vehicle_interface: bool) -> None:
        self._has_vehicle_interface = has_vehicle_interface
        self.begin(-1)

    def begin(self, stamp_ns: int) -> None:
        """From now on, answers to this tick are collected."""
        self.stamp_ns = stamp_ns
        self._plan: Plan | None = None
        self._failure = self._mode = ""
        self._command: CommandSample | None = None

    def add_plan(self, plan: Plan) -> None:
        """A plan; its stamp is the tick."""
        if plan.stamp_ns == self.stamp_ns:
            self._plan = plan

    def add_failure(self, reason: str, *, stamp_ns: int) -> None:
        """A node cannot serve a tick; the first reason counts."""
        if stamp_ns == self.stamp_ns:
            self._failure = self._failure or reason

    def add_mode(self, mode: str, *, stamp_ns: int) -> None:
        """The vehicle interface served a tick in this mode."""
        if stamp_ns == self.stamp_ns:
            self._mode = mode

    def add_command(self, command: CommandSample, *, stamp_ns: int) -> None:
        """An actuation."""
        if stamp_ns == self.stamp_ns:
            self._command = command

    def complete(self) -> TickAnswer | None:
        """The answer, or None while a part of it is on its way."""
        if self.silent_node():
            return None
        return TickAnswer(plan=self._plan, failure="" if self._plan else self._failure, mode=self._mode, command=self._command)

    def silent_node(self) -> str:
        """Which node's part is missing; '' when none is."""
        if self._plan is None and not self._failure:
            return "planner_node (or camera_node before it)"
        if self._has_vehicle_interface and (not self._mode or (self._mode not in SILENT_MODES and self._command is None)):
            return "vehicle_interface_node"
        return ""


class ReplayTally:
    """Counts what the ticks came to, and hashes plans and commands in their order."""

    def __init__(self) -> None:
        self.ticks = self.planned = 0
        self.modes: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._plans, self._commands = hashlib.sha256(), hashlib.sha256()

    def add(self, answer: TickAnswer, *, stamp_ns: int) -> None:
        """Note the answer to a tick."""
        self.ticks += 1
        if answer.plan is None:
            self.skipped[re.sub(r"\d+", "N", answer.failure)] += 1  # so that equal reasons are counted together
        else:
            self.planned += 1
            self._plans.update(canonical_bytes(answer.plan))
        if answer.mode:
            self.modes[answer.mode] += 1
        if answer.command is not None:
            self._commands.update(np.int64(stamp_ns).astype("<i8").tobytes())
            self._commands.update(np.array([answer.command.speed_mps, answer.command.yaw_rate_radps]).astype("<f8").tobytes())

    def skip(self, reason: str) -> None:
        """Note a tick that could not be published."""
        self.ticks += 1
        self.skipped[reason] += 1

    def canonical_hash(self) -> str:
        """SHA-256 in hex over the canonical bytes of the plans, then of the commands, each in the order of ticks."""
        return hashlib.sha256(self._plans.digest() + self._commands.digest()).hexdigest()

    def rejection(self, *, has_vehicle_interface: bool) -> str:
        """Why this replay says nothing about the nodes; '' when it does."""
        reasons = "; ".join(f"{count} times: {reason}" for reason, count in self.skipped.most_common(3))
        if not self.planned:
            return f"the planner never planned in {self.ticks} ticks: {reasons}"
        if has_vehicle_interface and not self.modes[ENGAGED]:
            return f"the vehicle interface never engaged in {self.ticks} ticks, modes were {dict(self.modes)}"
        return ""

    def summary(self) -> dict[str, Any]:
        """For the report beside the bag."""
        return {
            "canonical_hash": self.canonical_hash(),
            "plans_hash": self._plans.hexdigest(),
            "commands_hash": self._commands.hexdigest(),
            "ticks": self.ticks,
            "planned": self.planned,
            "modes": dict(sorted(self.modes.items())),
            "skipped": dict(sorted(self.skipped.items())),
        }
