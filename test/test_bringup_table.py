"""Process tables: what they mean, what they refuse, and that what they start would accept its parameters."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from bag_tools.record_parameters import RecordParameters
from bag_tools.replay_parameters import ReplayParameters
from e2e_planner.planner_parameters import PlannerParameters
from e2e_planner.route_parameters import RouteParameters
from mimic.commands.up import key_values
from mimic.domain import child_environment, own_domain_id
from mimic.lifecycle_manager_parameters import LifecycleManagerParameters
from mimic.process_table import EXECUTABLES, ProcessSpec, Table
from mimic_contracts.config import config_dir, load_yaml
from mimic_contracts.errors import ContractError, MimicError, UsageError
from mimic_contracts.parameters import parameters_from, parameters_from_file
from mimic_sim.sim_parameters import SimParameters
from perception.calibration_parameters import CalibrationParameters
from perception.camera_parameters import CameraParameters
from perception.overlay_parameters import OverlayParameters
from vehicle_interface.command_timeout_parameters import CommandTimeoutParameters
from vehicle_interface.sounds import SoundParameters
from vehicle_interface.supervisor_parameters import SupervisorParameters
from vehicle_interface.teleop import TeleopParameters
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

PARAMETERS = {
    "camera_node": CameraParameters,
    "overlay_node": OverlayParameters,
    "planner_node": PlannerParameters,
    "route_node": RouteParameters,
    "vehicle_interface_node": VehicleInterfaceParameters,
    "calibration_node": CalibrationParameters,
    "supervisor_node": SupervisorParameters,
    "teleop_node": TeleopParameters,
    "sound_node": SoundParameters,
    "command_timeout_node": CommandTimeoutParameters,
    "sim_node": SimParameters,
    "replay_node": ReplayParameters,
    "record_node": RecordParameters,
    "lifecycle_manager_node": LifecycleManagerParameters,
}
TABLES = sorted(path.stem for path in (config_dir() / "bringup").glob("*.yaml"))
LAUNCHED = ("sim", "replay", "drive", "fleet", "gazebo", "teleop", "shadow", "record")
ON_A_CAR = ("drive", "fleet", "gazebo", "teleop", "shadow", "record", "first_day")
ROS_OWN = ("use_sim_time",)
VALUES = {"vehicle": "twist_car", "namespace": "car_7", "domain_id": "7"}  # of arguments that are read while the table is


def required_arguments(table: Table) -> dict[str, str]:
    return {name: VALUES.get(name, f"some_{name}") for name, argument in table.arguments.items() if argument.required}


def argument_sets() -> list[tuple[str, dict[str, str]]]:
    """Every table with its defaults, and with each choice of each argument."""
    sets = []
    for name in TABLES:
        table = Table.load(name)
        sets.append((name, required_arguments(table)))
        sets += [(name, required_arguments(table) | {key: choice}) for key, argument in table.arguments.items() for choice in argument.choices]
    return sets


def own_table(tmp_path: Path, processes: object, **arguments: object) -> Table:
    content = {"description": "A test.", "loopback": True, "arguments": arguments, "processes": processes}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return Table.load(str(path))


def with_parameters(tmp_path: Path, parameters: dict[str, object], **arguments: object) -> Table:
    return own_table(tmp_path, [{"executable": "camera_node", "name": "camera_node", "parameters": parameters}], **arguments)


# The tables of the suite


def test_every_executable_has_a_parameter_file_and_a_node_to_run():
    assert EXECUTABLES.keys() == PARAMETERS.keys()
    for name, module in EXECUTABLES.items():
        assert find_spec(module) is not None
        assert parameters_from_file(PARAMETERS[name], str(config_dir() / "nodes" / f"{name}.yaml"), name) == PARAMETERS[name]()


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameter_files_have_every_key(name):
    assert load_yaml(config_dir() / "nodes" / f"{name}.yaml")["/**"]["ros__parameters"].keys() == PARAMETERS[name].__dataclass_fields__.keys()


@pytest.mark.parametrize(("name", "arguments"), argument_sets(), ids=lambda value: value if isinstance(value, str) else ",".join(value.values()))
def test_nodes_accept_what_the_tables_give_them(name, arguments):
    for spec in Table.load(name).process_specs(arguments):
        values = {}
        if Path(spec.parameters_file).is_file():
            values = dict(load_yaml(spec.parameters_file)["/**"]["ros__parameters"])
        values |= {key: value for key, value in spec.parameters.items() if key not in ROS_OWN}
        assert parameters_from(PARAMETERS[spec.executable], values, spec.name)


@pytest.mark.parametrize("name", TABLES)
def test_all_nodes_are_managed_in_their_order_and_the_master_is_last(name):
    table = Table.load(name)
    specs = table.process_specs(required_arguments(table))
    manager = specs[-1]
    assert manager.executable == "lifecycle_manager_node"
    assert manager.parameters["node_names"] == [spec.name for spec in specs[:-1]]
    masters = [spec.name for spec in specs if spec.ends_all]
    assert masters == ([specs[-2].name] if table.loopback else [manager.name])


def test_on_a_car_the_sites_own_settings_hold():
    assert {name for name in TABLES if not Table.load(name).loopback} == set(ON_A_CAR)


def test_nothing_in_a_shadow_could_move_a_vehicle():
    for name in ("shadow", "record"):
        table = Table.load(name)
        everything = {key: "true" for key, argument in table.arguments.items() if "true" in argument.choices}
        assert {spec.executable for spec in table.process_specs(required_arguments(table) | everything)} <= {
            "camera_node",
            "planner_node",
            "overlay_node",
            "calibration_node",
            "record_node",
            "lifecycle_manager_node",
        }


def test_a_replay_without_vehicle_interface_does_not_manage_one():
    table = Table.load("replay")
    specs = table.process_specs(required_arguments(table) | {"has_vehicle_interface": "false"})
    assert [spec.name for spec in specs] == ["camera_node", "planner_node", "replay_node", "lifecycle_manager_node"]
    assert specs[-1].parameters["node_names"] == ["camera_node", "planner_node", "replay_node"]


# Arguments


def test_arguments_are_required_known_and_of_their_choices():
    table = Table.load("drive")
    with pytest.raises(UsageError, match="drive: argument vehicle is needed: Vehicle file of this car"):
        table.process_specs({"policy": "p"})
    with pytest.raises(UsageError, match="drive: unknown argument colour; it has vehicle, policy"):
        table.process_specs({"vehicle": "v", "policy": "p", "colour": "red"})
    with pytest.raises(MimicError, match="vehicles: 'v' is neither a YAML file nor one of: ackermann_car"):
        table.process_specs({"vehicle": "v", "policy": "p"})
    with pytest.raises(UsageError, match="sim: pictures is 'smoke', must be one of as_is, black, grey_lights"):
        Table.load("sim").process_specs({"pictures": "smoke"})


def test_a_vehicle_file_alone_says_rig_and_topics(tmp_path):
    content = load_yaml(config_dir() / "vehicles" / "simulator_quad.yaml")
    topics = {"odometry": "/odom", "transport": "compressed", "images": {"tele": "/zoom/jpeg"}, "camera_infos": {"left": "/l/info"}, "command": "/cmd"}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, "topics": topics, "driver_override_required": True}), encoding="utf-8")
    camera, planner, supervisor, _, interface, _ = (spec.parameters for spec in Table.load("drive").process_specs({"vehicle": str(path), "policy": "p"}))
    assert camera["rig"] == planner["rig"] == supervisor["rig"] == "quad"
    assert camera["topics"] == [
        "front=camera/front/image_raw/compressed",
        "tele=zoom/jpeg",
        "left=camera/left/image_raw/compressed",
        "right=camera/right/image_raw/compressed",
    ]
    assert camera["info_topics"][2] == "left=l/info" and (camera["transport"], camera["mounting"]) == ("compressed", "vehicle_file")
    assert planner["odometry_topic"] == supervisor["odometry_topic"] == interface["odometry_topic"] == "odom"
    assert (interface["command_topic"], interface["override_required"]) == ("cmd", True)

    path.write_text(yaml.safe_dump({**content, "cameras": {}}), encoding="utf-8")
    assert Table.load("drive").process_specs({"vehicle": str(path), "policy": "p"})[0].parameters["mounting"] == "tf_static"


@pytest.mark.parametrize("name", ["drive", "teleop"])
def test_a_drive_is_recorded_where_somebody_says_into_what(name):
    table = Table.load(name)
    given = required_arguments(table)
    recorders = [[spec.parameters for spec in table.process_specs(given | {"out": out}) if spec.name == "record_node"] for out in ("", "bag")]
    assert recorders[0] == [] and [recorder["out"] for recorder in recorders[1]] == ["bag"]
    assert {"vehicle/mode", "vehicle/driver_override", "vehicle/command", "planning/trajectory"} <= set(recorders[1][0]["topics"])


def test_what_a_vehicle_file_does_not_say_is_named(tmp_path):
    table = with_parameters(tmp_path, {"rig": "${vehicle.colour}"}, vehicle={"description": "A vehicle.", "default": "simulator"})
    with pytest.raises(ContractError, match=r"'\$\{vehicle.colour\}' names what no vehicle file says; it says vehicle.rig, "):
        table.process_specs({})


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [("1.0", "2", 2.0), ("1.0", "1e3", 1000.0), ("1", "7", 7), ("true", "false", False), ("day", "2024", "2024"), ("", "0001", "0001"), ("x", "${x}", "${x}")],
)
def test_values_get_the_type_of_the_default(tmp_path, default, text, value):
    table = with_parameters(tmp_path, {"rig": "${a}"}, a={"description": "An argument.", "default": default})
    given = table.process_specs({"a": text})[0].parameters["rig"]
    assert (given, type(given)) == (value, type(value))


@pytest.mark.parametrize(("default", "text", "words"), [("1", "1.5", "a whole number"), ("1.0", "fast", "a number"), ("1", "", "a whole number")])
def test_what_is_no_number_is_refused(tmp_path, default, text, words):
    table = with_parameters(tmp_path, {"rig": "${a}"}, a={"description": "An argument.", "default": default})
    with pytest.raises(UsageError, match=f"a: is '{text}', must be {words}"):
        table.process_specs({"a": text})


def test_arguments_are_replaced_inside_texts_lists_and_nothing_else(tmp_path):
    table = with_parameters(tmp_path, {"topics": ["front=${a}/raw", "$${a}"], "lockstep": True}, a={"description": "An argument.", "default": "/camera"})
    assert table.process_specs({})[0].parameters == {"topics": ["front=/camera/raw", "${a}"], "lockstep": True}


def test_an_undeclared_argument_is_named(tmp_path):
    with pytest.raises(ContractError, match=re.escape("'${b}' names argument 'b', which the table does not declare")):
        with_parameters(tmp_path, {"rig": "${b}"}).process_specs({})


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ({"executable": "tea_node", "name": "n"}, "executable: is 'tea_node', must be one of camera_node"),
        ({"executable": "camera_node"}, "missing key name"),
        ({"executable": "camera_node", "name": "n", "nice": 5}, "unknown key nice"),
    ],
)
def test_impossible_processes_are_refused(tmp_path, process, words):
    with pytest.raises(ContractError, match=words):
        own_table(tmp_path, [process]).process_specs({})


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"default": "a"}, "missing key description"),
        ({"description": "D", "default": "c", "choices": ["a"]}, "default: is 'c'"),
        (3, "is 3, must be a mapping"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path, argument, words):
    with pytest.raises(ContractError, match=f"arguments.a: .*{words}"):
        own_table(tmp_path, [], a=argument)


def test_an_unknown_table_lists_the_known():
    with pytest.raises(MimicError, match=f"bringup: 'fly' is neither a YAML file nor one of: {', '.join(TABLES)}"):
        Table.load("fly")


# Command lines and environments


def test_ros_arguments_keep_types_and_quotes():
    spec = ProcessSpec(
        executable="camera_node", name="cam", parameters_file="/f.yaml", parameters={"a": 1.0, "b": "yes", "c": ["x y", ""], "d": True}, remaps={"/in": "/out"}
    )
    arguments = spec.ros_arguments()
    assert arguments[:8] == ["-r", "__node:=cam", "-r", "__ns:=/", "--enclave", "/cam", "--params-file", "/f.yaml"]
    assert arguments[8:] == ["-p", "a:=1.0", "-p", 'b:="yes"', "-p", 'c:=["x y", ""]', "-p", "d:=true", "-r", "/in:=/out"]


def test_key_values():
    assert key_values(["a:=1", "b:=x:=y", "c:="]) == {"a": "1", "b": "x:=y", "c": ""}
    for text in ("a=1", ":=1", "a"):
        with pytest.raises(UsageError, match="must be key:=value"):
            key_values([text])


def test_children_find_the_suite_and_bootstrap_their_own_python(monkeypatch):
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    monkeypatch.setenv("PYTHONPATH", "/else")
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    car, here = child_environment(loopback=False), child_environment(loopback=True)
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in car
    assert car["PYTHONPATH"] == f"{config_dir().parent}{os.pathsep}/else"
    assert "ROS_DOMAIN_ID" not in car and "FASTDDS_DEFAULT_PROFILES_FILE" not in car
    assert here["ROS_DOMAIN_ID"] == str(own_domain_id()) and here["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert Path(here["FASTDDS_DEFAULT_PROFILES_FILE"]).is_file()


def test_no_two_processes_have_the_same_domain():
    program = "from mimic.domain import own_domain_id as o; a = o(); assert a == o(); print(a, flush=True); input()"
    others = [subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    domains = [int(other.stdout.readline()) for other in others]
    for other in others:
        other.communicate("\n", timeout=10)
    assert len({own_domain_id(), *domains}) == 5
    assert all(1 <= domain <= 101 for domain in domains)


# Launch files


@pytest.mark.parametrize("name", LAUNCHED)
def test_launch_files_are_made_from_the_table(name):
    text = (config_dir().parent / "launch" / f"{name}.launch.py").read_text(encoding="utf-8")
    assert f'describe("{name}")' in text


@pytest.mark.parametrize("name", LAUNCHED)
def test_launch_starts_what_mimic_up_starts(name, monkeypatch):
    try:  # the folder launch/ of this project makes `import launch` succeed in any case
        from launch import LaunchContext
    except ImportError:
        pytest.skip("launch is not installed: it comes with ROS 2")
    from launch.actions import DeclareLaunchArgument

    from mimic import launch_table

    class RecordedNode(launch_table.Node):
        def __init__(self, **options):
            self.options = options
            super().__init__(**options)

    monkeypatch.setattr(launch_table, "Node", RecordedNode)
    table = Table.load(name)
    arguments = required_arguments(table)
    declared = [entity for entity in launch_table.describe(name).entities if isinstance(entity, DeclareLaunchArgument)]
    assert [argument.name for argument in declared] == list(table.arguments)
    for argument in declared:
        own = table.arguments[argument.name]
        assert argument.description.startswith(own.description)
        assert tuple(argument.choices or ()) == own.choices
        assert (argument.default_value is None) == own.required
    context = LaunchContext()
    context.launch_configurations.update({key: argument.default for key, argument in table.arguments.items()} | arguments)
    nodes = [action.options for action in launch_table.actions(table, context) if isinstance(action, RecordedNode)]
    specs = table.process_specs(arguments)
    keys = ("package", "executable", "name", "namespace", "respawn", "ros_arguments")
    assert [tuple(node[key] for key in keys) for node in nodes] == [
        ("mimic_drive", spec.executable, spec.name, spec.namespace, spec.respawns, ["--enclave", spec.enclave]) for spec in specs
    ]
    for node, spec in zip(nodes, specs, strict=True):
        assert node["parameters"][0] == spec.parameters_file
        assert load_yaml(node["parameters"][1])["/**"]["ros__parameters"] == dict(spec.parameters)
        assert dict(node["remappings"]) == dict(spec.remaps)
