"""Recording over DDS: nothing of a lockstep drive is lost, latched topics are included, the bag ends up whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bag_tools.bag_reader import Bag
from bag_tools.record_parameters import RecordParameters
from mimic_contracts.errors import ContractError
from mimic_contracts.parameters import parameters_from, parameters_from_file

ROOT = Path(__file__).resolve().parents[1]
TOPICS = ["/camera/front/image_raw", "/odom", "/vehicle/mode"]
TICKS = 300


def environment(domain: int) -> dict[str, str]:
    profile = str(ROOT / "config" / "dds" / "loopback.xml")
    ros = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "FASTDDS_DEFAULT_PROFILES_FILE": profile}
    return {**os.environ, **ros, "PYTHONPATH": str(ROOT)}


def start(domain: int, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *command], env=environment(domain), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def peer(domain: int, role: str) -> None:
    process = start(domain, str(ROOT / "test" / "bag_ros_peer.py"), role, str(TICKS))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "done" in out, err


def finish(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out, err


def check_whole(bag_path: Path) -> None:
    with Bag(bag_path) as bag:
        assert bag.damage == []
        assert {name: topic.message_count for name, topic in bag.topics.items()} == {TOPICS[0]: TICKS, TOPICS[1]: TICKS, TOPICS[2]: 1}
        stamps = [bag.header_stamp_ns(message) for message in bag.messages([TOPICS[0]])]
        assert stamps == [(tick + 1) * 50_000_000 for tick in range(TICKS)]
        assert [bag.decode(message).data for message in bag.messages([TOPICS[2]])] == ["engaged"]
    assert not (bag_path.parent / f".{bag_path.name}.partial").exists()


@pytest.mark.ros
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_records_everything_until_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    domain = 140 + number
    recorder = start(domain, "-m", "mimic.cli", "bag", "record", *TOPICS, "--out", str(tmp_path / "drive"))
    peer(domain, "publish")
    out, _ = finish(recorder, number)
    assert '"/odom": 300' in out
    check_whole(tmp_path / "drive")


@pytest.mark.ros
def test_the_node_records_everything_between_activate_and_deactivate(tmp_path: Path) -> None:
    parameters = ["-p", f"topics:=[{','.join(TOPICS)}]", "-p", f"out:={tmp_path / 'drive'}", "-p", "lockstep:=true"]
    node = start(143, "-m", "bag_tools.record_node", "--ros-args", *parameters)
    peer(143, "lifecycle")
    _, err = finish(node, signal.SIGINT)
    assert "lost 0, published before the recording {}" in err
    check_whole(tmp_path / "drive")


@pytest.mark.ros
def test_a_killed_recording_does_not_look_whole_but_can_be_read(tmp_path: Path) -> None:
    recorder = start(144, "-m", "mimic.cli", "bag", "record", *TOPICS, "--out", str(tmp_path / "drive"))
    peer(144, "publish")
    recorder.kill()
    recorder.communicate(timeout=30)
    assert not (tmp_path / "drive").exists()
    with Bag(tmp_path / ".drive.partial" / "drive") as bag:
        assert bag.damage
        assert bag.topics[TOPICS[0]].message_count > TICKS / 2


def test_the_parameter_file_has_exactly_the_declared_keys() -> None:
    parameters = parameters_from_file(RecordParameters, str(ROOT / "config" / "nodes" / "record_node.yaml"), "record_node")
    assert parameters == RecordParameters()


@pytest.mark.parametrize("topics", [[], ["/a", "/a"], [""]])
def test_topics_must_be_named_once(topics: list[str]) -> None:
    with pytest.raises(ContractError, match="topics"):
        parameters_from(RecordParameters, {"topics": topics}, "record_node")
