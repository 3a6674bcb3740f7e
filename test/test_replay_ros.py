"""Golden replay: a recorded drive through the real nodes over DDS, twice, with the same canonical bytes."""

import json
from pathlib import Path

import numpy as np
import pytest
from replay_drive import PICTURE_NS, TowardsTheRoute, record_drive, write_map

from bag_tools.bag_reader import Bag
from bag_tools.replay import ReplayTally, TickAnswer, load_drive
from bag_tools.topic_map import load_topic_map
from e2e_planner.baselines import ConstantVelocity
from mimic.cli import main
from mimic_contracts.action_spec import CAR
from mimic_contracts.observation import EgoState, Observation, Route

pytestmark = pytest.mark.ros


def replay(tmp_path, bag, name, *, policy="constant_velocity"):
    arguments = ["replay", str(bag), "--policy", policy, "--topics", str(tmp_path / "map.yaml"), "--out", str(tmp_path / name)]
    code = main(arguments)
    report = tmp_path / f"{name}.json"
    return code, json.loads(report.read_text()) if report.exists() else None


@pytest.fixture
def bag(tmp_path):
    write_map(tmp_path / "map.yaml")
    return record_drive(tmp_path / "drive", broken=(20,))


def test_the_same_drive_twice_gives_the_same_bytes(tmp_path, bag, capsys):
    (first_code, first), (second_code, second) = replay(tmp_path, bag, "first"), replay(tmp_path, bag, "second")
    assert first_code == second_code == 0
    assert first["canonical_hash"] == second["canonical_hash"]
    assert {k: v for k, v in first.items() if k != "bag"} == {k: v for k, v in second.items() if k != "bag"}
    assert first["canonical_hash"] in capsys.readouterr().out
    # One broken picture is a skipped tick with its reason; the vehicle rolls on.
    assert first["ticks"] == 40 and first["planned"] == 39 and sum(first["skipped"].values()) == 1
    assert first["modes"]["engaged"] == 39 and first["modes"]["disengaged"] == 1
    check_answers(tmp_path / "first")
    assert first["plans_hash"] == in_process_plans_hash(bag, load_topic_map(tmp_path / "map.yaml"), left_out=(20,))


def test_a_route_is_told_as_it_was_when_it_was_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    topic_map = load_topic_map(write_map(tmp_path / "map.yaml"))
    bag = record_drive(tmp_path / "drive", has_route=True)
    code, report = replay(tmp_path, bag, "replayed", policy="replay_drive:TowardsTheRoute")
    assert code == 0 and report["planned"] == 40
    assert report["plans_hash"] == in_process_plans_hash(bag, topic_map, left_out=(), policy=TowardsTheRoute())
    with Bag(bag) as recorded:
        routes = load_drive(recorded, topic_map).routes
    assert [route.command for route in routes] == ["follow"] * 20 + ["left"] * 20
    np.testing.assert_allclose(routes[-1].points_m, [[60.0 - 8.0 * 39 * PICTURE_NS / 1e9, 20.0]], atol=1e-6)


def in_process_plans_hash(path, topic_map, *, left_out, policy=None):
    policy, tally = policy or ConstantVelocity(), ReplayTally()
    with Bag(path) as bag:
        drive = load_drive(bag, topic_map)
    for tick, (stamp_ns, sample) in enumerate(zip(drive.stamp_ns.tolist(), drive.odometry, strict=True)):
        if tick not in left_out:
            ego = EgoState.from_motion(speed_mps=sample.speed_mps, yaw_rate_radps=sample.yaw_rate_radps)
            route = drive.routes[tick] if drive.routes else Route()
            plan = policy.plan(Observation(stamp_ns=stamp_ns, frames={}, ego=ego, route=route))
            tally.add(TickAnswer(plan=plan, failure="", mode="", command=None), stamp_ns=stamp_ns)
    return tally.summary()["plans_hash"]


def check_answers(path):
    """Field by field: constant velocity along a straight line plans 8 m/s straight on, and the commands follow it."""
    with Bag(path) as bag:
        plans = [bag.decode(message) for message in bag.messages(["/planning/trajectory"])]
        commands = [bag.decode(message) for message in bag.messages(["/vehicle/command"])]
        modes = [bag.decode(message).data for message in bag.messages(["/vehicle/mode"])]
    assert len(plans) == 39 and len(commands) == 39 and modes[-1] == "engaged"
    values = np.array([[point.positions for point in plan.points] for plan in plans])
    np.testing.assert_allclose(values[:, :, CAR.index("x_m")], np.tile(8.0 * CAR.times_s, (39, 1)), atol=1e-6)
    np.testing.assert_allclose(values[:, :, CAR.index("y_m")], 0.0, atol=1e-9)
    stamps = np.array([command.header.stamp.sec * 10**9 + command.header.stamp.nanosec for command in commands])
    assert set(np.diff(stamps)) == {PICTURE_NS}
    np.testing.assert_allclose([command.twist.linear.x for command in commands], 8.0, atol=0.2)
    np.testing.assert_allclose([command.twist.angular.z for command in commands], 0.0, atol=1e-6)


def test_a_drive_without_odometry_goes_without_the_vehicle_interface_and_a_planner_that_needs_it_is_rejected(tmp_path, capsys):
    write_map(tmp_path / "map.yaml")
    blind = record_drive(tmp_path / "no_odometry", count=15, odometry_share=0.0)
    code, report = replay(tmp_path, blind, "steering", policy="e2e_planner.baselines:ConstantSteering")
    assert code == 0 and report["planned"] == 15 and not report["modes"] and "planner only" in report["odometry"]
    code, report = replay(tmp_path, blind, "car")
    assert code == 1 and report is None and not (tmp_path / "car").exists()
    assert "the planner never planned in 15 ticks" in capsys.readouterr().err


def test_a_silent_node_is_named(ros, tmp_path):
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import CompressedImage

    parameters = {
        "bag": str(record_drive(tmp_path / "drive", count=12)),
        "topics": str(write_map(tmp_path / "map.yaml")),
        "out": str(tmp_path / "out"),
        "has_vehicle_interface": False,
        "answer_timeout_s": 0.5,
    }
    pictures, odometry = ros.collect(CompressedImage, "/camera/front/image_raw/compressed"), ros.collect(Odometry, "/localization/kinematic_state")
    ros.start("bag_tools.replay_node", "replay_node", parameters)
    assert ros.configure("replay_node") and ros.activate("replay_node")
    with pytest.raises(AssertionError, match=r"ended with 1 .*(?s:.)*no answer to tick 0 within 0.5 s: planner_node \(or camera_node before it\) is silent"):
        ros.wait_until(lambda: len(pictures) > 1, "a second tick")
    assert len(pictures) == 1 and pictures[0].header.stamp == odometry[0].header.stamp
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.json").exists()
