"""Recording over DDS: nothing of a lockstep drive is lost, latched topics are included, the bag ends up whole."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bag_tools.bag_reader import Bag
from bag_tools.record_parameters import RecordParameters
from mimic.domain import child_environment
from mimic_contracts.errors import ContractError
from mimic_contracts.parameters import parameters_from, parameters_from_file

ROOT = Path(__file__).resolve().parents[1]
TOPICS = ["/camera/front/image_raw", "/odom", "/vehicle/mode"]
TICKS = 300


def start(*command: str) -> subprocess.Popen[str]:
    environment = child_environment(loopback=True)
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, *command], env=environment, cwd=ROOT, text=True, **pipes)


def peer() -> subprocess.Popen[str]:
    return start(str(ROOT / "test" / "bag_ros_peer.py"), str(TICKS))


def publish(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate("go\n", timeout=60)
    assert process.returncode == 0 and "done" in out, err


def finish(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, err


def check_whole(bag_path: Path) -> None:
    with Bag(bag_path) as bag:
        assert bag.damage == []
        assert {name: topic.message_count for name, topic in bag.topics.items()} == {TOPICS[0]: TICKS, TOPICS[1]: TICKS, TOPICS[2]: 1}
        stamps = [bag.header_stamp_ns(message) for message in bag.messages([TOPICS[0]])]
        assert sorted(stamps) == [(tick + 1) * 50_000_000 for tick in range(TICKS)], "what had to be sent again arrives later"
        assert [bag.decode(message).data for message in bag.messages([TOPICS[2]])] == ["engaged"]
    assert not (bag_path.parent / f".{bag_path.name}.partial").exists()


@pytest.mark.ros
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_records_everything_until_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    recorder = start("-m", "mimic.cli", "bag", "record", *TOPICS, "--out", str(tmp_path / "drive"))
    publish(peer())
    out, _ = finish(recorder, number)
    assert '"/odom": 300' in out
    check_whole(tmp_path / "drive")


@pytest.mark.ros
def test_the_node_records_everything_between_activate_and_deactivate(ros, tmp_path: Path) -> None:
    ros.start("bag_tools.record_node", "record_node", {"topics": TOPICS, "out": str(tmp_path / "drive"), "lockstep": True})
    publisher = peer()  # for which the node's activation waits
    assert ros.configure("record_node") and ros.activate("record_node")
    publish(publisher)
    assert ros.deactivate("record_node")
    code, output = ros.stop("record_node")
    assert code == 0 and "lost 0, published before the recording {}" in output
    check_whole(tmp_path / "drive")


@pytest.mark.ros
def test_a_killed_recording_does_not_look_whole_but_can_be_read(tmp_path: Path) -> None:
    recorder = start("-m", "mimic.cli", "bag", "record", *TOPICS, "--out", str(tmp_path / "drive"))
    publish(peer())
    recorder.kill()
    recorder.communicate(timeout=60)
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
