"""Bring-ups of real processes: the lifecycle manager's order, its failures, and that nothing is left behind."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from mimic.bringup import Bringup, start
from mimic.domain import child_environment
from mimic_contracts.errors import MimicError

pytestmark = pytest.mark.ros
CAMERA = {"executable": "camera_node", "name": "camera_node"}
VEHICLE = {"executable": "vehicle_interface_node", "name": "vehicle_interface_node"}
HASTY_RECORDER = {
    "executable": "record_node",
    "name": "record_node",
    "parameters": {"lockstep": True, "discovery_timeout_s": 0.1, "topics": ["/nobody"], "out": "${bag}"},
}


def table(path: Path, *processes: dict, managed: list[str], ends_all: bool = False, loopback: bool = True) -> str:
    manager = {
        "executable": "lifecycle_manager_node",
        "name": "lifecycle_manager_node",
        "parameters": {"node_names": managed, "service_timeout_s": 10.0},
        "ends_all": ends_all,
    }
    arguments = {"bag": {"description": "A bag.", "default": str(path / "bag")}}
    content = {"description": "A test.", "loopback": loopback, "arguments": arguments, "processes": [*processes, manager]}
    file = path / "table.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(file)


def state_of(ros, name: str) -> int:
    return ros.call(GetState, f"/{name}/get_state", GetState.Request()).current_state.id


def wait_for_state(ros, name: str, state: int) -> None:
    ros.wait_until(lambda: state_of(ros, name) == state, f"state {state} of {name}")


def ended(bringup: Bringup, name: str) -> str:
    """The error with which a process ended."""
    with pytest.raises(MimicError) as caught:
        bringup.wait_for_exit_of(name, timeout_s=30.0)
    return str(caught.value)


def test_all_are_configured_then_activated_in_order(ros, tmp_path):
    with start(table(tmp_path, CAMERA, VEHICLE, managed=["vehicle_interface_node", "camera_node"]), {}, log_directory=tmp_path) as bringup:
        wait_for_state(ros, "camera_node", State.PRIMARY_STATE_ACTIVE)  # the last of the order
        assert state_of(ros, "vehicle_interface_node") == State.PRIMARY_STATE_ACTIVE
        ros.wait_until(lambda: "active: " in bringup.last_lines("lifecycle_manager_node"), "the manager's report")
        assert "active: vehicle_interface_node, camera_node" in bringup.last_lines("lifecycle_manager_node")
        processes = list(bringup._processes.values())
    assert [process.returncode for process in processes] == [0, 0, 0]


def test_a_node_that_cannot_configure_is_named_and_ends_the_bring_up(ros, tmp_path, capfd):
    broken = {**CAMERA, "parameters": {"rig": "no_such_rig"}}
    with start(table(tmp_path, broken, VEHICLE, managed=["camera_node", "vehicle_interface_node"]), {}, log_directory=tmp_path) as bringup:
        assert bringup.wait() == 1
        assert "camera_node: could not configure" in bringup.last_lines("lifecycle_manager_node")
        assert "rigs: 'no_such_rig' is neither a YAML file nor one of: mono, quad" in bringup.last_lines("camera_node")
        assert state_of(ros, "vehicle_interface_node") == State.PRIMARY_STATE_UNCONFIGURED
    assert "lifecycle_manager_node ended with exit code 1" in capfd.readouterr().err


def test_a_parameter_of_the_wrong_type_is_told_without_a_traceback(ros, tmp_path):
    with start(table(tmp_path, {**CAMERA, "parameters": {"rig": 3}}, managed=["camera_node"]), {}, log_directory=tmp_path) as bringup:
        assert bringup.wait() == 1
        log = bringup.last_lines("camera_node")
    assert "rig" in log and "Traceback" not in log


def test_what_was_active_is_deactivated_when_a_later_node_cannot(ros, tmp_path):
    managed = ["vehicle_interface_node", "record_node"]
    with start(table(tmp_path, VEHICLE, HASTY_RECORDER, managed=managed), {}, log_directory=tmp_path) as bringup:
        error = ended(bringup, "lifecycle_manager_node")
        assert "lifecycle_manager_node ended with exit code 1" in error
        assert "record_node: could not activate" in error
        assert state_of(ros, "vehicle_interface_node") == State.PRIMARY_STATE_INACTIVE


def test_on_a_car_the_death_of_one_node_leaves_the_vehicle_interface_alive(ros, tmp_path, capfd):
    file = table(tmp_path, CAMERA, VEHICLE, managed=["vehicle_interface_node", "camera_node"], ends_all=True, loopback=False)
    with start(file, {}, log_directory=tmp_path) as bringup:
        wait_for_state(ros, "camera_node", State.PRIMARY_STATE_ACTIVE)
        bringup._processes["camera_node"].kill()
        bringup._processes["camera_node"].wait(10.0)
        assert state_of(ros, "vehicle_interface_node") == State.PRIMARY_STATE_ACTIVE
        bringup._processes["lifecycle_manager_node"].send_signal(signal.SIGINT)  # which ends all
        assert bringup.wait() == 0
    assert "camera_node ended with exit code -9" in capfd.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 1)], ids=["SIGINT", "SIGTERM"])
def test_mimic_up_ends_its_nodes_with_itself(ros, tmp_path, number, code):
    file = table(tmp_path, VEHICLE, managed=["vehicle_interface_node"])
    command = [sys.executable, "-m", "mimic.cli", "up", file]
    up = subprocess.Popen(command, env=child_environment(loopback=True), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_state(ros, "vehicle_interface_node", State.PRIMARY_STATE_ACTIVE)
        up.send_signal(number)
        out, err = up.communicate(timeout=60.0)
    finally:
        if up.poll() is None:  # not with SIGKILL, which would leave its nodes among those of the next test
            up.terminate()
            up.wait(timeout=60.0)
    assert up.returncode == code, err
    assert out == "" and re.search(r"table: A test. To look at it: export ROS_DOMAIN_ID=\d+. Ctrl-C ends it.", err)
    client = ros.node.create_client(GetState, "/vehicle_interface_node/get_state")
    ros.wait_until(lambda: not client.service_is_ready(), "the end of the node")


def test_the_wait_for_a_process_that_goes_on_has_an_end(ros, tmp_path):
    with (
        start(table(tmp_path, VEHICLE, managed=["vehicle_interface_node"]), {}, log_directory=tmp_path) as bringup,
        pytest.raises(MimicError, match="vehicle_interface_node did not end within 0 s"),
    ):
        bringup.wait_for_exit_of("vehicle_interface_node", timeout_s=0.1)
