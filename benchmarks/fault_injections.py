"""How faults are brought about, and taken back: each `begin`s, and `end`s when it has lasted, on a running FaultDrive."""

import multiprocessing
import resource
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fault_changes import Change
from faulty_car import OPERATOR_MPS
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from std_srvs.srv import SetBool

from bag_tools.bag_reader import Bag
from mimic_contracts.errors import MimicError
from mimic_contracts.ros_lifecycle import ERROR
from vehicle_interface import modes

if TYPE_CHECKING:
    from fault_drive import FaultDrive

RECORDER, RECORDED = "record_node", ("/perception/frame", "/localization/kinematic_state")
BAG, PARTIAL = "bag", ".bag.partial"  # while it records, and where it could not be made whole
RECORD_BYTES, RECORD_MESSAGES = 4_000_000, 10
TAKEN_OVER_MPS = 0.3


class Injection:
    """A fault's begin and end."""

    def begin(self, drive: "FaultDrive") -> None:
        """Bring it about; `drive.mark()` where it really begins later than now."""

    def end(self, drive: "FaultDrive") -> None:
        """Take it back, so that the next one can be tried."""


@dataclass(frozen=True)
class Signal(Injection):
    """To a node's process: SIGKILL, after which it is started anew, SIGSTOP until SIGCONT, or SIGUSR1, see fault_node.py."""

    node: str
    number: int

    def begin(self, drive: "FaultDrive") -> None:
        drive.signal(self.node, self.number)

    def end(self, drive: "FaultDrive") -> None:
        if self.number == signal.SIGKILL:
            drive.restart(self.node)
        elif self.number == signal.SIGSTOP:
            drive.signal(self.node, signal.SIGCONT)


@dataclass(frozen=True)
class Spoil(Injection):
    """A change of each message of some streams: 'pictures', 'route', 'odometry', 'plans', 'clock'."""

    change: Change
    streams: tuple[str, ...]

    def begin(self, drive: "FaultDrive") -> None:
        for stream in self.streams:
            drive.car.spoil(stream, self.change)

    def end(self, drive: "FaultDrive") -> None:
        drive.car.unspoil()


@dataclass(frozen=True)
class Vanish(Injection):
    """The car's DDS participant is gone, and comes back as a new one."""

    def begin(self, drive: "FaultDrive") -> None:
        drive.car.leave()

    def end(self, drive: "FaultDrive") -> None:
        drive.car.join()


@dataclass(frozen=True)
class Starve(Injection):
    """Processes that do nothing but compute."""

    count: int
    _processes: list[Any] = field(default_factory=list)

    def begin(self, drive: "FaultDrive") -> None:
        self._processes.extend(multiprocessing.get_context("spawn").Process(target=burn, daemon=True) for _ in range(self.count))
        for process in self._processes:
            process.start()

    def end(self, drive: "FaultDrive") -> None:
        while self._processes:
            self._processes.pop().kill()


def burn() -> None:
    """Take a processor."""
    while True:
        pass


@dataclass(frozen=True)
class Override(Injection):
    """The driver takes over in a mode, then lets go."""

    mode: str

    def begin(self, drive: "FaultDrive") -> None:
        if self.mode == modes.DISENGAGED:
            drive.call(SetBool, "/vehicle/engage", SetBool.Request(data=False))
        elif self.mode == modes.EMERGENCY_STOP:
            drive.call(SetBool, "/vehicle/emergency_stop", SetBool.Request(data=True))
        elif self.mode == modes.MINIMAL_RISK_STOP:
            drive.car.spoil("plans", lambda message, last, count: None)
        drive.wait_until(lambda: drive.mode == self.mode, f"mode {self.mode}")
        drive.car.unspoil()
        drive.mark()
        drive.car.is_overriding = True

    def end(self, drive: "FaultDrive") -> None:
        drive.car.is_overriding = False
        drive.wait_until(lambda: drive.mode == modes.DISENGAGED, "that the driver's end disengages")


@dataclass(frozen=True)
class LoseOverride(Injection):
    """The heartbeat of the driver override ceases."""

    def begin(self, drive: "FaultDrive") -> None:
        drive.car.is_overriding = None

    def end(self, drive: "FaultDrive") -> None:
        drive.car.is_overriding = False


@dataclass(frozen=True)
class Joystick(Injection):
    """The operator lets go of the dead-man's button (False), or the joystick falls silent (None)."""

    holds: bool | None

    def begin(self, drive: "FaultDrive") -> None:
        drive.car.holds_joystick = self.holds


@dataclass(frozen=True)
class WhileOperatorDrives(Injection):
    """He takes over from the planner, and drives, when something else happens; after it the joystick is silent."""

    then: Injection

    def begin(self, drive: "FaultDrive") -> None:
        drive.car.holds_joystick = True
        drive.wait_until(lambda: drive.driven_by == "operator" and abs(drive.speed_mps - OPERATOR_MPS) < TAKEN_OVER_MPS, "operator who drives")
        drive.mark()
        self.then.begin(drive)

    def end(self, drive: "FaultDrive") -> None:
        self.then.end(drive)
        drive.car.holds_joystick = None


@dataclass(frozen=True)
class ChangeParameters(Injection):
    """Somebody sets every parameter of every node to something else; none may take it."""

    nodes: tuple[str, ...]

    def begin(self, drive: "FaultDrive") -> None:
        for node in self.nodes:
            names = drive.call(ListParameters, f"/{node}/list_parameters", ListParameters.Request()).result.names
            values = drive.call(GetParameters, f"/{node}/get_parameters", GetParameters.Request(names=names)).values
            changed = [Parameter(name=name, value=_other(value)) for name, value in zip(names, values, strict=True)]
            results = drive.call(SetParameters, f"/{node}/set_parameters", SetParameters.Request(parameters=changed)).results
            taken = [name for name, result in zip(names, results, strict=True) if result.successful]
            if taken or not names:
                drive.findings.append(f"{node} took other parameters while driving: {', '.join(taken) or 'it has none'}")


def _other(value: ParameterValue) -> ParameterValue:
    """Another value of the same type."""
    other = ParameterValue(type=value.type)
    if value.type == ParameterType.PARAMETER_BOOL:
        other.bool_value = not value.bool_value
    elif value.type == ParameterType.PARAMETER_INTEGER:
        other.integer_value = value.integer_value + 1
    elif value.type == ParameterType.PARAMETER_DOUBLE:
        other.double_value = value.double_value * 1.01
    elif value.type == ParameterType.PARAMETER_STRING:
        other.string_value = value.string_value + "_"
    else:
        other.string_array_value = [*value.string_array_value, "more"]
    return other


@dataclass(frozen=True)
class FillDisk(Injection):
    """The recorder's files cannot grow any more (RLIMIT_FSIZE: as a full disk, without one)."""

    def begin(self, drive: "FaultDrive") -> None:
        process, partial = drive.process(RECORDER), drive.scratch / PARTIAL
        drive.wait_until(lambda: _recorded(drive) >= RECORD_MESSAGES, f"{RECORD_MESSAGES} messages of each topic in the bag")
        enough = _bytes(partial) + RECORD_BYTES  # what has been taken is written by then
        drive.wait_until(lambda: _bytes(partial) > enough, f"{enough} bytes in the bag")
        drive.mark()
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (max(_sizes(partial)), resource.RLIM_INFINITY))
        is_told = lambda: any(s.name == RECORDER and s.level == ERROR and "cannot be written" in s.message for s in drive.statuses)  # noqa: E731
        drive.wait_until(is_told, "that the recorder says that it cannot write")
        if process.poll() is not None:
            drive.findings.append(f"the recorder ended with {process.returncode}")

    def end(self, drive: "FaultDrive") -> None:
        process = drive.process(RECORDER)
        process.send_signal(signal.SIGINT)
        process.wait()
        left = next(path for path in (drive.scratch / BAG, drive.scratch / PARTIAL) if path.exists())
        bag = left.rename(drive.scratch / f"disk_was_full_{drive.number}")
        try:
            with Bag(bag if left.name == BAG else next(bag.rglob("*.mcap"))) as reader:
                counts = {name: topic.message_count for name, topic in reader.topics.items()}
        except MimicError as error:
            drive.findings.append(f"what was recorded cannot be read: {error}")
        else:
            if min(counts.get(topic, 0) for topic in RECORDED) < RECORD_MESSAGES:
                drive.findings.append(f"of what was recorded only {counts} can be read")
        drive.restart(RECORDER)


def _recorded(drive: "FaultDrive") -> int:
    """Messages of the topic that has the fewest, as the recorder says."""
    said = next((status.values for status in reversed(drive.statuses) if status.name == RECORDER), [])
    counts = {pair.key: pair.value for pair in said}
    return min(int(counts.get(topic, 0)) for topic in RECORDED)


def _sizes(directory: Path) -> list[int]:
    return [path.stat().st_size for path in directory.rglob("*.mcap")] if directory.is_dir() else []


def _bytes(directory: Path) -> int:
    return sum(_sizes(directory))
