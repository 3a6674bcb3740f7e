"""Vehicles of a fleet: namespaces and domains keep them apart, and what may be started again comes back."""

import signal
import threading
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import SetBool

from mimic.bringup import Bringup, start
from mimic.domain import own_domain_id
from mimic.process_table import MOVES_A_VEHICLE, ProcessSpec, Table
from mimic_contracts.config import config_dir
from mimic_contracts.errors import ContractError, UsageError
from mimic_contracts.ros_lifecycle import LATCHED_QOS, RELIABLE_QOS, SENSOR_QOS
from vehicle_interface import modes

TABLES = sorted(path.stem for path in (config_dir() / "bringup").glob("*.yaml"))
CAR_7 = {"vehicle": "twist_car", "policy": "p", "namespace": "car_7", "domain_id": "7"}
FOR_ALL = {"/rosout", "/parameter_events"}  # which ROS itself shares


def own_table(path: Path, *processes: dict) -> str:
    names = [process["name"] for process in processes]
    own_manager = {"executable": "lifecycle_manager_node", "name": "lifecycle_manager_node", "parameters": {"node_names": names}, "ends_all": True}
    content = {"description": "A test.", "loopback": True, "arguments": {}, "processes": [*processes, own_manager]}
    file = path / f"{'_'.join(names)}.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(file)


def test_every_bring_up_goes_into_a_namespace_and_a_domain():
    for name in TABLES:
        table = Table.load(name)
        given = {key: CAR_7.get(key, f"some_{key}") for key, argument in table.arguments.items() if argument.required} | {"namespace": "/fleet/car_7"}
        specs = table.process_specs(given)
        assert {spec.namespace for spec in specs} == {"/fleet/car_7"}
        for spec in specs:
            assert ["-r", "__ns:=/fleet/car_7", "--enclave", f"/fleet/car_7/{spec.name}"] == spec.ros_arguments()[2:6]
        assert table.environment({"domain_id": "42"})["ROS_DOMAIN_ID"] == "42"


def test_nothing_in_a_table_leaves_the_namespace():
    def texts(value):
        if isinstance(value, (list, tuple)):
            return [text for item in value for text in texts(item)]
        return [value.rpartition("=")[2]] if isinstance(value, str) else []

    for name in TABLES:
        table = Table.load(name)
        given = {key: CAR_7.get(key, f"some_{key}") for key, argument in table.arguments.items() if argument.required}
        for spec in table.process_specs(given):
            assert not [text for value in spec.parameters.values() for text in texts(value) if text.startswith("/")], (name, spec.name)


def test_a_fleet_member_must_say_its_namespace_and_domain_and_is_otherwise_a_drive():
    fleet, drive = Table.load("fleet"), Table.load("drive")
    assert fleet.process_specs(CAR_7) == drive.process_specs(CAR_7) and not fleet.loopback
    for missing in ("namespace", "domain_id", "vehicle", "policy"):
        with pytest.raises(UsageError, match=f"fleet: argument {missing} is needed"):
            fleet.process_specs({key: value for key, value in CAR_7.items() if key != missing})


@pytest.mark.parametrize("namespace", ["7", "car-7", "car 7", "car_7/", "~car", "a//b", "/", "käfer"])
def test_impossible_namespaces_are_refused(namespace):
    with pytest.raises(UsageError, match=f"drive: namespace is '{namespace}', must be names of letters"):
        Table.load("drive").process_specs(CAR_7 | {"namespace": namespace})


@pytest.mark.parametrize("domain_id", ["-1", "233", "1.5", "seven"])
def test_impossible_domains_are_refused(domain_id):
    with pytest.raises(UsageError, match=f"drive: domain_id is '{domain_id}', must be 0 to 232"):
        Table.load("drive").environment({"domain_id": domain_id})


def test_what_moves_a_vehicle_is_never_started_again(tmp_path):
    for executable in MOVES_A_VEHICLE:
        with pytest.raises(ContractError, match="respawns: 'n' must not be started again"):
            ProcessSpec(executable=executable, name="n", respawns=True)
    respawned = {name: [p["name"] for p in Table.load(name).processes if p.get("respawns")] for name in TABLES}
    drives = ["calibration_node", "teleop_node", "overlay_node", "sound_node", "record_node"]
    everything = ["camera_node", "planner_node", "route_node", "overlay_node", "calibration_node", "record_node"]
    assert {name: names for name, names in respawned.items() if names} == {
        "drive": drives,
        "fleet": drives,
        "teleop": ["teleop_node", "calibration_node", "sound_node", "record_node"],
        "record": ["camera_node", "calibration_node", "record_node"],
        "shadow": everything,
    }
    manager = Table.load("drive").process_specs(CAR_7 | {"teleop": "true"})[-1]
    assert manager.parameters["respawned_names"] == ["calibration_node", "teleop_node", "sound_node"]
    assert Table.load("drive").process_specs(CAR_7 | {"sound": "false", "vehicle": "simulator"})[-1].parameters["respawned_names"] == [""]


@pytest.mark.ros
def test_two_simulators_side_by_side_do_not_hear_each_other(ros, tmp_path):
    sim = {"executable": "sim_node", "name": "sim_node", "parameters": {"driver": "expert", "lockstep": False}}
    interface = {"executable": "vehicle_interface_node", "name": "vehicle_interface_node"}
    both, alone = own_table(tmp_path, interface, sim), own_table(tmp_path, interface)
    elsewhere = str(own_domain_id.__wrapped__())  # one more
    driven = {name: ros.collect(Odometry, f"/{name}/localization/kinematic_state", SENSOR_QOS) for name in ("one", "two")}
    clocks = {name: ros.collect(Clock, f"/{name}/clock", RELIABLE_QOS) for name in ("one", "two")}
    nobodys = ros.collect(Odometry, "/localization/kinematic_state", SENSOR_QOS)
    mode = {name: ros.collect(String, f"/{name}/vehicle/mode", LATCHED_QOS) for name in ("one", "two")}
    context = Context()
    rclpy.init(context=context, domain_id=int(elsewhere))
    other = rclpy.create_node("other_harness", context=context)
    far_modes: list[String] = []
    other.create_subscription(String, "/one/vehicle/mode", far_modes.append, LATCHED_QOS)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(other)

    def far_mode() -> str:
        executor.spin_once(timeout_sec=0.0)
        return far_modes[-1].data if far_modes else ""

    with (
        start(both, {"namespace": "one"}),
        start(both, {"namespace": "two"}),
        start(alone, {"namespace": "one", "domain_id": elsewhere}),
    ):
        ros.wait_until(lambda: all(len(m) > 5 for m in (*driven.values(), *clocks.values())) and all(mode.values()) and far_mode(), "two drives")
        wait_active = lambda: ros.call(GetState, "/one/vehicle_interface_node/get_state", GetState.Request()).current_state.id  # noqa: E731
        ros.wait_until(lambda: wait_active() == State.PRIMARY_STATE_ACTIVE, "an active vehicle interface")
        assert ros.call(SetBool, "/one/vehicle/emergency_stop", SetBool.Request(data=True)).success
        ros.wait_until(lambda: mode["one"][-1].data == modes.EMERGENCY_STOP, "the emergency stop of one")
        ros.spin_for(0.3)
        assert (mode["two"][-1].data, far_mode(), nobodys) == (modes.DISENGAGED, modes.DISENGAGED, [])
        for topic, _ in ros.node.get_topic_names_and_types():
            ends = [*ros.node.get_publishers_info_by_topic(topic), *ros.node.get_subscriptions_info_by_topic(topic)]
            assert topic in FOR_ALL or len({end.node_namespace for end in ends} - {"/"}) <= 1, topic
        assert {space for name, space in ros.node.get_node_names_and_namespaces() if name == "sim_node"} == {"/one", "/two"}
    executor.shutdown()
    other.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.ros
def test_a_recorder_that_is_killed_comes_back_and_loses_nothing(ros, tmp_path):
    parameters = {"out": str(tmp_path / "bag"), "topics": ["notes"]}
    recorder = {"executable": "record_node", "name": "record_node", "parameters": parameters, "respawns": True}
    notes = ros.publisher(String, "/car_7/notes", matched=False)
    ros.node.create_timer(0.05, lambda: notes.publish(String(data="note")))
    with start(own_table(tmp_path, recorder), {"namespace": "car_7"}, log_directory=tmp_path) as bringup:
        waiting = threading.Thread(target=Bringup.wait, args=(bringup,))
        waiting.start()
        ros.wait_until(lambda: notes.get_subscription_count() and "active: record_node" in bringup.last_lines("lifecycle_manager_node"), "the recorder")
        bringup.process("record_node").send_signal(signal.SIGKILL)
        ros.wait_until(lambda: "active again: record_node" in bringup.last_lines("lifecycle_manager_node"), "its return")
        said = ros.collect(DiagnosticArray, "/car_7/diagnostics")
        written = lambda: [int(pair.value) for message in said for status in message.status for pair in status.values if pair.key == "/notes"]  # noqa: E731
        ros.wait_until(lambda: any(written()), "a message in the bag")
        bringup.process("lifecycle_manager_node").send_signal(signal.SIGINT)
        waiting.join(timeout=10.0)
    assert (tmp_path / ".bag.1.partial").is_dir(), "what the first has recorded"
    from bag_tools.bag_reader import Bag

    with Bag(tmp_path / "bag") as bag:
        assert bag.topics["/notes"].message_count >= max(written()), "by its name without the namespace"
