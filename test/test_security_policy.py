"""The security policy allows what the real nodes do, and nothing else."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from mimic.domain import child_environment, own_domain_id
from mimic.lifecycle_manager_node import LifecycleManagerNode
from mimic.process_table import EXECUTABLES, ProcessSpec, Table
from mimic_contracts.config import config_dir
from mimic_contracts.ros_lifecycle import MimicNode

pytestmark = pytest.mark.ros

FOLDER = config_dir() / "security"
INCLUDE = "{http://www.w3.org/2001/XInclude}include"
SWITCHES = dict.fromkeys(("teleop", "overlay", "sound"), "true")
CAR = {"vehicle": "twist_car", "policy": "constant_velocity", **SWITCHES}
ON_A_VEHICLE = ("drive", "teleop", "shadow", "record")  # everything else runs on one machine
KINDS = {"publish": "publisher", "subscribe": "subscriber", "reply": "service", "request": "client"}


def allowed(namespace: str) -> dict[str, dict[str, set[str]]]:
    """By node and kind, what the policy allows, by full names, after the includes."""
    result = {}
    for enclave in ElementTree.parse(FOLDER / "policy.xml").getroot().iter("enclave"):
        profile = enclave.find("profiles/profile")
        node = profile.get("node")
        assert (profile.get("ns"), enclave.get("path")) == ("/", f"/{node}")
        rules = [rule for child in profile for rule in (ElementTree.parse(FOLDER / child.get("href")).getroot() if child.tag == INCLUDE else [child])]
        result[node] = {kind: set() for kind in KINDS}
        for rule in rules:
            for kind, qualifier in rule.attrib.items():
                names = {item.text.replace("~", node) for item in rule}
                assert qualifier == "ALLOW" and not result[node][kind] & names and "*" not in "".join(names)
                result[node][kind] |= {name if name.startswith("/") else f"{namespace}/{name}" for name in names}
    return result


def node_of(spec: ProcessSpec) -> MimicNode:
    """The real node of a process, with its parameters."""
    module = import_module(EXECUTABLES[spec.executable])
    own = [member for member in vars(module).values() if isinstance(member, type) and issubclass(member, MimicNode) and member is not MimicNode]
    node = own[0](spec.name)
    node.set_parameters([Parameter(name, value=value) for name, value in spec.parameters.items()])
    return node


class WatchedManager(LifecycleManagerNode):
    """The lifecycle manager, and which services it has asked: its clients don't last."""

    def __init__(self, name):
        super().__init__(name)
        self.asked = set()

    def create_client(self, service_type, name):
        self.asked.add(self.resolve_service_name(name))
        return super().create_client(service_type, name)


def used(table: str, arguments: dict[str, str]) -> dict[str, dict[str, set[str]]]:
    """By node and kind, the full names of what the nodes of a bring-up have in their graph when the manager has brought them up.

    Each bring-up needs a namespace of its own: the graph may still know nodes that have gone."""
    *specs, manager_spec = Table.load(table).process_specs(arguments)
    rclpy.init(args=["--ros-args", "-r", f"__ns:={manager_spec.namespace}"], domain_id=own_domain_id())
    executor, nodes = SingleThreadedExecutor(), [node_of(spec) for spec in specs]
    manager, viewer = WatchedManager(manager_spec.name), rclpy.create_node("viewer")
    viewer.create_subscription(Image, "perception/overlay", lambda _: None, qos_profile_sensor_data)  # the overlay node listens while somebody looks
    manager.parameters = replace(manager.parameters, node_names=tuple(manager_spec.parameters["node_names"]))
    for node in nodes:
        executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    try:
        manager.bring_up()
        for name in manager.parameters.node_names:
            manager.bring_back(name)
        listener = next((node for node in nodes if node.get_name() == "overlay_node"), None)
        wait_until(lambda: listener is None or len(names_of(listener)["subscribe"]) > 1)
        for node in (*nodes, manager):
            wait_until(lambda own=node: own_names(own) <= set().union(*names_of(own).values()))
        names = {node.get_name(): names_of(node) for node in (*nodes, manager)}
        names[manager_spec.name]["request"] |= manager.asked
        return names
    finally:
        executor.shutdown()
        spinning.join()
        for node in (*nodes, manager, viewer):
            node.destroy_node()
        rclpy.shutdown()


def wait_until(condition: Callable[[], bool]) -> None:
    """The graph follows what the nodes make."""
    deadline_s, pause = time.monotonic() + 20.0, threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s and not pause.wait(0.02)


def own_names(node: Node) -> set[str]:
    """What rclpy itself knows of a node's topics and services: not those of its life cycle."""
    topics = {entity.topic_name for entity in (*node.publishers, *node.subscriptions)}
    return topics | {entity.service_name for entity in node.services} | {entity.service_name for entity in node.clients}


def names_of(node: Node) -> dict[str, set[str]]:
    """By kind, what a node has in its graph."""
    ask = {kind: getattr(node, f"get_{what}_names_and_types_by_node") for kind, what in KINDS.items()}
    return {kind: {name for name, _ in names_and_types(node.get_name(), node.get_namespace())} for kind, names_and_types in ask.items()}


@pytest.fixture(autouse=True)
def _loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in child_environment(loopback=True).items():
        monkeypatch.setenv(key, value)


def test_the_policy_allows_what_the_nodes_do_and_nothing_else(tmp_path: Path) -> None:
    route = tmp_path / "route.yaml"
    route.write_text("name: d\npoints_m: [[0.0, 0.0], [30.0, 0.0]]\n", encoding="utf-8")
    found: dict[str, dict[str, set[str]]] = {}
    for table in ON_A_VEHICLE:
        arguments = {
            key: value
            for key, value in {**CAR, "namespace": table, "route": str(route), "out": str(tmp_path / table)}.items()
            if key in Table.load(table).arguments
        }
        for name, names in used(table, arguments).items():
            for kind in KINDS:
                found.setdefault(name, {kind: set() for kind in KINDS})[kind] |= {text.replace(f"/{table}/", "/car_7/") for text in names[kind]}
    specs = {spec.name: spec for spec in Table.load("record").process_specs({"vehicle": "twist_car", "out": "bag", "namespace": "car_7"})}
    found["record_node"]["subscribe"] |= {f"/car_7/{topic}" for topic in specs["record_node"].parameters["topics"]}  # it subscribes to what has a publisher
    wanted = allowed("/car_7")
    assert wanted.keys() == found.keys()
    differences = {f"{name} {kind}": wanted[name][kind] ^ found[name][kind] for name in found for kind in KINDS if wanted[name][kind] != found[name][kind]}
    assert differences == {}, "what only one of policy and node has"
    everything = {name for names in found.values() for kind in KINDS for name in names[kind]}
    assert {name for name in everything if not name.startswith("/car_7/")} == {"/rosout", "/parameter_events"}
