"""The views for RViz and Foxglove, which cannot be opened here: what they name exists, by our nodes' own code and by those programs'.

Plugins of RViz: rviz_default_plugins/plugins_description.xml and rviz_common/panel_factory.cpp (ros2/rviz). Panels of Foxglove and the
syntax of its paths: docs.foxglove.dev, and the layouts that foxglove/foxglove-sdk brings along.
"""

import ast
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from mimic.process_table import EXECUTABLES
from mimic_contracts.action_spec import CAR
from mimic_contracts.config import config_dir

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, ReliabilityPolicy

ROOT = Path(__file__).resolve().parents[1]
RVIZ = yaml.safe_load((config_dir() / "view" / "mimic.rviz").read_text(encoding="utf-8"))
FOXGLOVE = json.loads((config_dir() / "view" / "mimic_foxglove.json").read_text(encoding="utf-8"))
DISPLAYED = {"Path": "nav_msgs/Path", "MarkerArray": "visualization_msgs/MarkerArray", "Odometry": "nav_msgs/Odometry", "Image": "sensor_msgs/Image"}
WITHOUT_TOPIC = {"Grid", "Axes", "TF"}
RVIZ_PANELS = {"Displays", "Help", "Selection", "Time", "Tool Properties", "Transformation", "Views"}
RVIZ_TOOLS = {"MoveCamera", "PublishPoint", "Select", "SetGoal", "Measure", "FocusCamera", "SetInitialPose", "Interact"}
RVIZ_VIEWS = {"FPS", "Orbit", "TopDownOrtho", "XYOrbit", "ThirdPersonFollower"}
FOXGLOVE_PANELS = {"3D", "Image", "Plot", "StateTransitions", "DiagnosticSummary", "DiagnosticStatusPanel", "RawMessages", "Tab"}
SHOWN_IN_3D = {"visualization_msgs/MarkerArray", "nav_msgs/Path", "nav_msgs/Odometry"}
STEP = re.compile(r"\.(\w+)(?:\[(:|-?\d+)\])?(?:\{(\w+)==\"([^\"]+)\"\})?")


def published() -> dict[str, tuple[Any, QoSProfile | None]]:
    """Topic → message class and QoS (None: it depends) of every publisher that a node's code makes by type and name."""
    found = {}
    for module in map(import_module, EXECUTABLES.values()):
        node = next(
            (value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__ and hasattr(value, "parameters_class")), None
        )

        def meaning(argument: ast.expr, module: Any = module, node: Any = node) -> Any:
            """Of an argument: a text, a parameter by its default, or a name of the module; None: what only the running node knows."""
            if isinstance(argument, ast.Attribute):
                return getattr(node.parameters_class(), argument.attr, None)
            return argument.value if isinstance(argument, ast.Constant) else getattr(module, getattr(argument, "id", ""), None)

        for call in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "create_publisher":
                kind, topic, qos = map(meaning, call.args)
                if kind is not None and topic is not None:
                    found[f"/{topic}".replace("//", "/")] = (kind, qos)
    return {**found, "/diagnostics": (DiagnosticArray, None)}  # of every node: ros_lifecycle.py


GRAPH = published()


def type_name(kind: Any) -> str:
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def test_the_graph_is_found_in_the_nodes() -> None:
    assert type_name(GRAPH["/planning/trajectory"][0]) == "trajectory_msgs/JointTrajectory" and GRAPH["/vehicle/mode"][1].depth == 1
    assert type_name(GRAPH["/localization/kinematic_state"][0]) == "nav_msgs/Odometry"


# RViz


def test_rviz_has_every_plugin_that_is_named() -> None:
    manager = RVIZ["Visualization Manager"]
    assert {panel["Class"] for panel in RVIZ["Panels"]} <= {f"rviz_common/{name}" for name in RVIZ_PANELS}
    assert {tool["Class"] for tool in manager["Tools"]} <= {f"rviz_default_plugins/{name}" for name in RVIZ_TOOLS}
    assert manager["Views"]["Current"]["Class"] in {f"rviz_default_plugins/{name}" for name in RVIZ_VIEWS}
    assert {display["Class"] for display in manager["Displays"]} <= {f"rviz_default_plugins/{name}" for name in {*DISPLAYED, *WITHOUT_TOPIC}}
    assert manager["Global Options"]["Fixed Frame"] == "base_link"


def test_rviz_shows_topics_of_ours_by_their_type_and_qos() -> None:
    shown = {}
    for display in RVIZ["Visualization Manager"]["Displays"]:
        name = display["Class"].split("/")[1]
        assert ("Topic" in display) == (name in DISPLAYED) and isinstance(display["Enabled"], bool) and display["Enabled"] == display["Value"]
        if name in DISPLAYED:
            topic = shown[display["Name"]] = display["Topic"]
            kind, qos = GRAPH[topic["Value"]]
            assert type_name(kind) == DISPLAYED[name]
            is_reliable = qos is not None and qos.reliability == ReliabilityPolicy.RELIABLE
            assert topic["Reliability Policy"] in ("Reliable", "Best Effort") and (is_reliable or topic["Reliability Policy"] == "Best Effort")
            assert (topic["History Policy"], topic["Durability Policy"]) == ("Keep Last", "Volatile")
    assert {topic["Value"] for topic in shown.values()} == {
        "/planning/path", "/planning/markers", "/vehicle/markers", "/localization/kinematic_state", "/perception/overlay",
    }  # fmt: skip


# Foxglove


def panels_of(node: Any) -> list[str]:
    """The panels of a layout's tree."""
    if isinstance(node, str):
        return [node]
    assert set(node) == {"direction", "first", "second", "splitPercentage"} and node["direction"] in ("row", "column") and 0 < node["splitPercentage"] < 100
    return panels_of(node["first"]) + panels_of(node["second"])


def paths_of(kind: str) -> list[str]:
    return [path["value"] for name, panel in FOXGLOVE["configById"].items() if name.startswith(f"{kind}!") for path in panel["paths"]]


def test_every_panel_of_the_layout_is_there_once_and_of_a_known_type() -> None:
    assert {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"} == set(FOXGLOVE)
    panels = panels_of(FOXGLOVE["layout"])
    assert sorted(panels) == sorted(FOXGLOVE["configById"])
    assert {panel.split("!")[0] for panel in panels} == {"3D", "Image", "Plot", "StateTransitions", "DiagnosticSummary"} <= FOXGLOVE_PANELS


@pytest.mark.parametrize("path", [*paths_of("Plot"), *paths_of("StateTransitions")])
def test_every_path_leads_to_a_value_of_a_message_of_ours(path: str) -> None:
    topic = max((topic for topic in GRAPH if path.startswith(f"{topic}.")), key=len)
    kind, rest = GRAPH[topic][0], path.removeprefix(topic)
    steps = list(STEP.finditer(rest))
    assert "".join(step.group(0) for step in steps) == rest
    for step in steps:
        name, index, key, wanted = step.groups()
        declared = kind.get_fields_and_field_types()[name]
        inner = re.sub(r"^sequence<(.*)>$", r"\1", declared)
        assert (inner != declared) == (index is not None), "an index belongs to a sequence"
        if "/" in inner:
            package, message = inner.split("/")
            kind = getattr(import_module(f"{package}.msg"), message)
        if key is not None:
            assert kind.get_fields_and_field_types()[key] == "string"
        if (name, key) == ("values", "key"):  # what a node says of itself in diagnostics
            assert f'"{wanted}"' in (ROOT / "vehicle_interface" / "vehicle_interface_node.py").read_text(encoding="utf-8")
    assert inner in ("double", "string", "boolean", "octet")


def test_the_planned_speed_is_that_of_one_second_ahead() -> None:
    path = next(path for path in paths_of("Plot") if path.startswith("/planning/trajectory"))
    point, position = map(int, re.findall(r"\[(\d+)\]", path))
    assert CAR.times_s[point] == 1.0 and CAR.channels[position] == "speed_mps"


def test_pictures_scenes_and_diagnostics_are_ours() -> None:
    panels = FOXGLOVE["configById"]
    assert type_name(GRAPH[panels["Image!overlay"]["imageMode"]["imageTopic"]][0]) == "sensor_msgs/Image"
    assert {type_name(GRAPH[topic][0]) for topic in panels["3D!plan"]["topics"]} <= SHOWN_IN_3D
    assert panels["DiagnosticSummary!nodes"]["topicToRender"] == "/diagnostics" and panels["3D!plan"]["followTf"] == "base_link"
