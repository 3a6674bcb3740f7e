"""Process tables: what a bring-up starts, for the launch files and for `mimic up` alike.

A table (config/bringup/NAME.yaml) lists processes; each `${argument}` in it is replaced by the argument's value, and where it
has an argument `vehicle`, `${vehicle.KEY}` by what that vehicle file says (see `vehicle_values`). One that `extends` another
says only what is different. Every table has the arguments OF_A_FLEET, too.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Any

import yaml

from mimic.domain import LAST_DOMAIN, child_environment
from mimic.release import check_release, release_of
from mimic_contracts.config import build, config_dir, load_yaml, resolve_config
from mimic_contracts.errors import ContractError, UsageError
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
OWN_TOPICS = ("planning/route_command", "planning/route", "planning/trajectory", "vehicle/mode", "supervisor/verdict", "diagnostics")  # recorded, too
NAMESPACE = re.compile(r"(/?[a-zA-Z_]\w*(/[a-zA-Z_]\w*)*)?", re.ASCII)


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
