"""Process tables: what a bring-up starts, for the launch files and for `mimic up` alike.

A table (config/bringup/NAME.yaml) lists processes; each `${argument}` in it is replaced by the argument's value, and where it
has an argument `vehicle`, `${vehicle.KEY}` by what that vehicle file says (see `vehicle_values`). One that `extends` another
says only what is different. Every table has the arguments OF_A_FLEET, too.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import yaml

from mimic.release import check_release, release_of
from mimic_contracts.config import build, config_dir, load_yaml, resolve_config
from mimic_contracts.errors import ContractError, MimicError, UsageError
from mimic_contracts.rig import load_rig
from mimic_contracts.validation import check_choice, check_text
from mimic_contracts.vehicle import load_vehicle

EXECUTABLES = {
    "camera_node": "perception.camera_node",
    "overlay_node": "perception.overlay_node",
    "planner_node": "e2e_planner.planner_node",
    "route_node": "e2e_planner.route_node",
    "vehicle_interface_node": "vehicle_interface.vehicle_interface_node",
    "calibration_node": "perception.calibration_node",
    "supervisor_node": "vehicle_interface.supervisor_node",
    "teleop_node": "vehicle_interface.teleop_node",
    "sound_node": "vehicle_interface.sound_node",
    "command_timeout_node": "vehicle_interface.command_timeout_node",
    "sim_node": "mimic_sim.sim_node",
    "replay_node": "bag_tools.replay_node",
    "record_node": "bag_tools.record_node",
    "lifecycle_manager_node": "mimic.lifecycle_manager_node",
}
MOVES_A_VEHICLE = ("vehicle_interface_node", "command_timeout_node")
NO = ("", "false")  # of a condition
GRACE_S = 5.0  # after SIGINT, and again after SIGTERM
RESPAWN_S = 1.0  # from the end of a process that is started again to its start
OWN_TOPICS = ("planning/route_command", "planning/route", "planning/trajectory", "vehicle/mode", "supervisor/verdict", "diagnostics")  # recorded, too
LAST_LINES = 12
POLL_S = 0.2
DOMAINS, LAST_DOMAIN = 101, 232
NAMESPACE = re.compile(r"(/?[a-zA-Z_]\w*(/[a-zA-Z_]\w*)*)?", re.ASCII)
_DOMAIN_HOLDERS: list[socket.socket] = []


@dataclass(frozen=True, kw_only=True)
class Argument:
    """An argument of a table. An empty default that is not optional must be given."""

    description: str
    default: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False

    def __post_init__(self) -> None:
        check_text("description", self.description)
        object.__setattr__(self, "choices", tuple(map(str, self.choices)))
        if self.choices and not self.required:
            check_choice("default", self.default, self.choices)


OF_A_FLEET = {
    "namespace": Argument(description="Namespace of all nodes, topics and services, as car_7; empty: none"),
    "domain_id": Argument(description=f"ROS domain, 0 to {LAST_DOMAIN}; empty: that of the environment"),
    "release": Argument(
        description="File that `mimic release` wrote: nothing is started unless code, configuration and policy are as it says; empty: not checked"
    ),
}


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One process with everything substituted. when, unless: it is started only if the one says something ('false' and nothing do
    not) and the other doesn't; ends_all: its end ends the bring-up; respawns: after its end it is started again, and the
    lifecycle manager activates it: only what can't move a vehicle by coming back."""

    executable: str
    name: str
    parameters_file: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remaps: Mapping[str, str] = field(default_factory=dict)
    when: str = "true"
    unless: str = ""
    ends_all: bool = False
    respawns: bool = False
    namespace: str = "/"

    def __post_init__(self) -> None:
        check_choice("executable", self.executable, tuple(EXECUTABLES))
        check_text("name", self.name)
        if self.respawns and (self.ends_all or self.executable in MOVES_A_VEHICLE):
            raise ContractError(f"respawns: '{self.name}' must not be started again: it ends the bring-up, or moves a vehicle")

    @property
    def enclave(self) -> str:
        """Where its security files are in a keystore: one enclave a process; without security it means nothing."""
        return f"{self.namespace.rstrip('/')}/{self.name}"

    def ros_arguments(self) -> list[str]:
        """What follows `--ros-args`."""
        arguments = ["-r", f"__node:={self.name}", "-r", f"__ns:={self.namespace}", "--enclave", self.enclave]
        if self.parameters_file:
            arguments += ["--params-file", self.parameters_file]
        for key, value in self.parameters.items():
            arguments += ["-p", f"{key}:={json.dumps(value)}"]  # JSON is YAML, without its traps
        for source, target in self.remaps.items():
            arguments += ["-r", f"{source}:={target}"]
        return arguments


@dataclass(frozen=True, kw_only=True)
class Table:
    """A bring-up: its arguments, and its processes before substitution.

    loopback: everything runs on this machine, in a domain of its own (simulator, replay, tests), and one process that
    fails ends all. On a car the site's own settings hold, and the others go on: the vehicle interface must still be
    there to brake when the planner has died.
    """

    name: str
    description: str
    loopback: bool
    arguments: Mapping[str, Argument]
    processes: Sequence[Mapping[str, Any]]

    @classmethod
    def load(cls, name_or_path: str) -> "Table":
        """Read config/bringup/NAME.yaml or a path to such a file; raises MimicError or ContractError naming the key."""
        path = resolve_config("bringup", name_or_path)
        content = load_yaml(path)
        extended = content.pop("extends", "")
        base = load_yaml(resolve_config("bringup", extended)) if extended else {}
        declared = {**(base.get("arguments") or {}), **(content.get("arguments") or {})}
        arguments = {name: build(Argument, values, f"{path}: arguments.{name}") for name, values in declared.items()}
        return build(cls, {**base, **content, "name": path.stem, "arguments": {**arguments, **OF_A_FLEET, **arguments}}, str(path))

    def process_specs(self, given: Mapping[str, str]) -> list[ProcessSpec]:
        """The processes for these argument values; raises UsageError on an unknown, missing or impossible value, and MimicError
        where they are not what the argument `release` names."""
        values = self._values(given)
        specs = self._specs(values)
        if values["release"]:
            check_release(Path(values["release"]), self._release(values, specs))
        return specs

    def release(self, given: Mapping[str, str]) -> dict[str, str]:
        """What `mimic release` prints for these argument values."""
        values = self._values(given)
        return self._release(values, self._specs(values))

    def _release(self, values: Mapping[str, str], specs: Sequence[ProcessSpec]) -> dict[str, str]:
        return release_of(self.processes, [spec.parameters_file for spec in specs if spec.parameters_file], values)

    def _values(self, given: Mapping[str, str]) -> dict[str, str]:
        unknown = sorted(set(given) - set(self.arguments))
        if unknown:
            raise UsageError(f"{self.name}: unknown argument {', '.join(unknown)}; it has {', '.join(self.arguments)}")
        values = {name: given.get(name, argument.default) for name, argument in self.arguments.items()}
        for name, argument in self.arguments.items():
            if argument.required and not values[name]:
                raise UsageError(f"{self.name}: argument {name} is needed: {argument.description}")
            if argument.choices and values[name] not in argument.choices:
                raise UsageError(f"{self.name}: {name} is '{values[name]}', must be one of {', '.join(argument.choices)}")
        if not NAMESPACE.fullmatch(values["namespace"]):
            raise UsageError(f"{self.name}: namespace is '{values['namespace']}', must be names of letters, digits and _, as car_7 or fleet/car_7")
        return values

    def _specs(self, values: Mapping[str, str]) -> list[ProcessSpec]:
        namespace = f"/{values['namespace'].strip('/')}"
        of_vehicle = vehicle_values(values["vehicle"]) if "vehicle" in values else {}
        processes = [{**self._substituted(process, values, of_vehicle), "namespace": namespace} for process in self.processes]
        specs = [build(ProcessSpec, process, f"{self.name}: processes") for process in processes]
        started = [spec for spec in specs if spec.when not in NO and spec.unless in NO]
        return [_only_started(spec, started) for spec in started]

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """The environment of its processes for these argument values; raises UsageError on a domain that there is not."""
        domain_id = given.get("domain_id", "")
        if domain_id and not (domain_id.isdecimal() and int(domain_id) <= LAST_DOMAIN):
            raise UsageError(f"{self.name}: domain_id is '{domain_id}', must be 0 to {LAST_DOMAIN}")
        return child_environment(loopback=self.loopback, domain_id=domain_id)

    def _substituted(self, process: Mapping[str, Any], values: Mapping[str, str], of_vehicle: Mapping[str, Any]) -> dict[str, Any]:
        def substitute(value: Any) -> Any:
            if isinstance(value, str):
                if value.startswith("${vehicle."):
                    if value[2:-1] not in of_vehicle:
                        raise ContractError(f"{self.name}: '{value}' names what no vehicle file says; it says {', '.join(of_vehicle)}")
                    return of_vehicle[value[2:-1]]
                try:
                    replaced = Template(value).substitute(values)
                except KeyError as error:
                    raise ContractError(f"{self.name}: '{value}' names argument {error}, which the table does not declare") from error
                name = value[2:-1] if value.startswith("${") and value.endswith("}") else ""
                return _typed(name, replaced, self.arguments[name].default) if name in self.arguments else replaced
            if isinstance(value, Mapping):
                return {key: substitute(item) for key, item in value.items()}
            return [substitute(item) for item in value] if isinstance(value, list) else value

        substituted = {key: substitute(value) for key, value in process.items()}
        if substituted.get("parameters_file"):
            substituted["parameters_file"] = str(config_dir() / "nodes" / substituted["parameters_file"])
        for condition in {"when", "unless"} & set(substituted):
            substituted[condition] = str(substituted[condition]).lower()
        return substituted


def vehicle_values(name_or_path: str) -> dict[str, Any]:
    """What nodes are told of a vehicle file: parameters by what a table calls them. Its topics are in the vehicle's namespace."""
    vehicle = load_vehicle(name_or_path)
    rig, topics = load_rig(vehicle.rig), vehicle.topics
    cameras = [camera.name for camera in rig.cameras]
    images, infos = ({camera: name(camera).lstrip("/") for camera in cameras} for name in (topics.image, topics.camera_info))
    odometry, steering, override, command = (name.lstrip("/") for name in (topics.odometry, topics.steering, topics.driver_override, topics.command))
    by_wire = [name.lstrip("/") for name in (topics.fault, topics.enable) if name]
    of_cameras = [topic for camera in cameras for topic in (images[camera], infos[camera])]
    return {
        "vehicle.rig": vehicle.rig,
        "vehicle.mounting": "vehicle_file" if set(cameras) <= set(vehicle.cameras) else "tf_static",
        "vehicle.image_topics": [f"{camera}={topic}" for camera, topic in images.items()],
        "vehicle.info_topics": [f"{camera}={topic}" for camera, topic in infos.items()],
        "vehicle.transport": topics.transport,
        "vehicle.odometry_topic": odometry,
        "vehicle.steering_topic": steering,
        "vehicle.override_topic": override,
        "vehicle.override_required": vehicle.driver_override_required,
        "vehicle.ahead_camera": min(rig.cameras, key=lambda camera: abs(camera.mounting.yaw_rad)).name,
        "vehicle.calibration_required": vehicle.calibration_required,
        "vehicle.command_topic": command,
        "vehicle.fault_topic": topics.fault.lstrip("/"),
        "vehicle.enable_topic": topics.enable.lstrip("/"),
        "vehicle.recorded_topics": [*of_cameras, "tf_static", odometry, steering, override, command, *by_wire, *OWN_TOPICS],
    }


def _typed(name: str, text: str, default: str) -> bool | int | float | str:
    """An argument's text as the type of its default: a switch, a number, or text. Raises UsageError naming the argument."""
    kind = type(yaml.safe_load(default)) if default else str
    if kind not in (bool, int, float):
        return text
    try:
        return yaml.safe_load(text) is True if kind is bool else kind(text)
    except ValueError as error:
        raise UsageError(f"{name}: is '{text}', must be {'a whole number' if kind is int else 'a number'}, as {default}") from error


def _only_started(spec: ProcessSpec, started: Sequence[ProcessSpec]) -> ProcessSpec:
    """The lifecycle manager manages, and the supervisor watches, what is started, not what a condition left out; the manager also
    looks after what may be started again."""
    parameters = dict(spec.parameters)
    if "node_names" in parameters:
        names = {other.name for other in started}
        parameters["node_names"] = [name for name in parameters["node_names"] if name in names]
    if spec.executable == "lifecycle_manager_node":
        parameters["respawned_names"] = [other.name for other in started if other.respawns] or [""]
    return replace(spec, parameters=parameters)


class Bringup:
    """Running processes of a bring-up; made by `start`."""

    def __init__(self, specs: Sequence[ProcessSpec], *, log_directory: Path, environment: Mapping[str, str], is_quiet: bool, fails_together: bool) -> None:
        self.log_directory = log_directory
        self.environment = environment
        self._fails_together = fails_together
        self._specs = {spec.name: spec for spec in specs}
        self._is_quiet = is_quiet
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._failed: dict[str, int] = {}
        self._respawn_s: dict[str, float] = {}
        for spec in specs:
            self._start(spec)

    def _start(self, spec: ProcessSpec) -> None:
        command = [sys.executable, "-m", EXECUTABLES[spec.executable], "--ros-args", *spec.ros_arguments()]
        with (self.log_directory / f"{spec.name}.log").open("ab") as log:
            self._processes[spec.name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log if self._is_quiet else None,
                stderr=subprocess.STDOUT if self._is_quiet else None,
                env=dict(self.environment),
                start_new_session=True,
            )

    def wait_for_exit_of(self, name: str, *, timeout_s: float) -> None:
        """Wait until this process ends with 0; raises MimicError when it, or any other meanwhile, fails, or time is up."""
        deadline_s = time.monotonic() + timeout_s
        while self._processes[name].poll() is None:
            self._raise_for_failed()
            if time.monotonic() > deadline_s:
                raise MimicError(f"{name} did not end within {timeout_s:.0f} s:\n{self.last_lines(name)}")
            with suppress(subprocess.TimeoutExpired):
                self._processes[name].wait(POLL_S)
        self._raise_for_failed()

    def _raise_for_failed(self) -> None:
        for name, process in self._processes.items():
            if process.poll():
                raise MimicError(f"{name} ended with exit code {process.returncode}:\n{self.last_lines(name)}")

    def wait(self) -> int:
        """Wait until a process whose end ends all does so, or all have ended, or one fails that the others need; returns the exit code."""
        while True:
            codes = {name: process.poll() for name, process in self._processes.items()}
            for name, code in codes.items():
                if code is not None and self._specs[name].respawns:
                    self._respawn(self._specs[name], code)
                    continue
                if code and name not in self._failed:
                    self._failed[name] = code
                    print(f"{name} ended with exit code {code}", file=sys.stderr)
                if code is not None and (self._specs[name].ends_all or (code and self._fails_together)):
                    return code
            running = [name for name, code in codes.items() if code is None]
            if not running:
                return next(iter(self._failed.values()), 0)
            with suppress(subprocess.TimeoutExpired):
                self._processes[running[0]].wait(POLL_S)

    def _respawn(self, spec: ProcessSpec, code: int) -> None:
        if spec.name not in self._respawn_s:
            self._respawn_s[spec.name] = time.monotonic() + RESPAWN_S
            print(f"{spec.name} ended with exit code {code}: it is started again", file=sys.stderr)
        elif time.monotonic() > self._respawn_s[spec.name]:
            del self._respawn_s[spec.name]
            self._start(spec)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its processes."""
        return tuple(self._processes)

    def process(self, name: str) -> "subprocess.Popen[bytes]":
        """One of the processes, for whoever wants to see how it does, or to end it."""
        return self._processes[name]

    def last_lines(self, name: str) -> str:
        """The end of a process's log."""
        path = self.log_directory / f"{name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        return "\n".join(f"  {line}" for line in lines[-LAST_LINES:]) or "  (it wrote nothing)"

    def stop(self) -> None:
        """End all processes, the last started first: SIGINT, then SIGTERM, then SIGKILL."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [process for process in reversed(self._processes.values()) if process.poll() is None]
            for process in running:
                os.killpg(process.pid, number)
            deadline_s = time.monotonic() + GRACE_S
            for process in running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.01, deadline_s - time.monotonic()))


@contextmanager
def start(name: str, arguments: Mapping[str, str], *, log_directory: Path | None = None, is_quiet: bool = True) -> Iterator[Bringup]:
    """Run a bring-up for the time of a `with` block; when quiet, logs go to log_directory, by default one that goes with it."""
    table = Table.load(name)
    specs = table.process_specs(arguments)
    environment = table.environment(arguments)
    with tempfile.TemporaryDirectory(prefix=f"mimic_{table.name}_") as scratch:
        directory = Path(scratch) if log_directory is None else log_directory
        directory.mkdir(parents=True, exist_ok=True)
        bringup = Bringup(specs, log_directory=directory, environment=environment, is_quiet=is_quiet, fails_together=table.loopback)
        try:
            yield bringup
        finally:
            bringup.stop()


def child_environment(*, loopback: bool, domain_id: str = "") -> dict[str, str]:
    """The environment of node processes: ours, in this domain; with loopback, on this machine only and, where nobody says which,
    in a domain of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    if domain_id:
        environment["ROS_DOMAIN_ID"] = domain_id
    if loopback:
        environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        environment.setdefault("ROS_DOMAIN_ID", str(own_domain_id()))
        environment["FASTDDS_DEFAULT_PROFILES_FILE"] = str(config_dir() / "dds" / "loopback.xml")
    root = config_dir().parent
    if (root / "setup.py").is_file():  # a source tree: its packages are found without an installation, from any directory
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH", "")]))
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


@cache
def own_domain_id() -> int:
    """A ROS domain that no other of our processes on this machine has, for the life of this process.

    A socket holds it, which ends with the process however that ends. Domains up to 101 only: the ports of higher ones
    lie where Linux takes ephemeral ports from. Raises MimicError when all are taken.
    """
    for offset in range(DOMAINS):
        domain_id = 1 + (os.getpid() + offset) % DOMAINS
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0mimic_drive_domain_{domain_id}")
        except OSError:
            holder.close()
            continue
        _DOMAIN_HOLDERS.append(holder)
        return domain_id
    raise MimicError(f"all {DOMAINS} ROS domains of this machine are taken: set ROS_DOMAIN_ID")
