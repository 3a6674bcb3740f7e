"""Ticks of a recorded drive, the bookkeeping of their answers, and when a replay is rejected."""

import json
from dataclasses import replace

import numpy as np
import pytest
from bag_helpers import START_NS
from replay_drive import MAP, PICTURE_NS, record_drive, write_map

from bag_tools.bag_reader import Bag
from bag_tools.replay import CommandSample, ReplayTally, TickAnswer, TickAnswers, load_drive
from bag_tools.replay_parameters import ReplayParameters
from bag_tools.topic_map import load_topic_map
from mimic.cli import main
from mimic.commands.replay import summary_text, takes_vehicle_interface, write_camera_parameters, write_vehicle
from mimic_contracts.action_spec import CAR, STEERING_ONLY
from mimic_contracts.config import config_dir, load_yaml
from mimic_contracts.errors import MimicError
from mimic_contracts.parameters import parameters_from_file
from mimic_contracts.plan import Plan
from mimic_contracts.rig import Mounting
from mimic_contracts.vehicle import load_vehicle


def plan(stamp_ns, speed_mps=8.0):
    return Plan.single(stamp_ns=stamp_ns, spec=CAR, values=np.full((21, 6), speed_mps), model_id="test")


@pytest.fixture
def topic_map(tmp_path):
    return load_topic_map(write_map(tmp_path / "map.yaml"))


def test_the_parameter_file_is_the_dataclass():
    path = config_dir() / "nodes" / "replay_node.yaml"
    assert parameters_from_file(ReplayParameters, str(path), "replay_node") == ReplayParameters()


def test_a_drive_has_a_tick_for_each_picture_with_odometry_at_its_exposure(tmp_path, topic_map):
    with Bag(record_drive(tmp_path / "drive", count=30)) as bag:
        drive = load_drive(bag, topic_map)
        assert drive.stamp_ns.tolist() == [START_NS + k * PICTURE_NS for k in range(30)]
        assert [sample.pose[0] for sample in drive.odometry] == pytest.approx([0.4 * k for k in range(30)], abs=1e-6)
        assert {sample.speed_mps for sample in drive.odometry} == {8.0}
        assert [bag.header_stamp_ns(pictures["front"]) for pictures in drive.pictures()] == drive.stamp_ns.tolist()


def test_the_map_says_how_many_ticks_a_second(tmp_path, topic_map):
    with Bag(record_drive(tmp_path / "drive", count=30)) as bag:
        drive = load_drive(bag, replace(topic_map, frame_rate_hz=10.0))
        assert np.diff(drive.stamp_ns).tolist() == [2 * PICTURE_NS] * 14
        assert len(list(drive.pictures())) == 15


def test_a_drive_without_odometry_says_so(tmp_path, topic_map):
    with Bag(record_drive(tmp_path / "drive", odometry_share=0.0)) as bag:
        assert load_drive(bag, topic_map).odometry is None


def test_ticks_without_odometry_are_left_out_and_counted(tmp_path, topic_map):
    with Bag(record_drive(tmp_path / "drive", count=60, odometry_share=0.5)) as bag:
        drive = load_drive(bag, topic_map)
        assert len(list(drive.pictures())) == len(drive.stamp_ns) == len(drive.odometry) == 32
    assert drive.left_out == {"odometry was not recorded at the moment of exposure": 28}


def test_a_vehicle_interface_needs_odometry_and_a_plan_that_drives(tmp_path, topic_map, capsys):
    class Policy:
        rig_name = None

        def __init__(self, spec):
            self.spec = spec

    with Bag(record_drive(tmp_path / "drive")) as bag:
        drive = load_drive(bag, topic_map)
    assert takes_vehicle_interface(drive, Policy(CAR))
    assert not takes_vehicle_interface(replace(drive, odometry=None), Policy(CAR))
    assert not takes_vehicle_interface(drive, Policy(STEERING_ONLY))
    assert "no odometry" in capsys.readouterr().err


def test_the_camera_node_is_told_what_the_map_says(tmp_path, topic_map):
    with Bag(record_drive(tmp_path / "drive")) as bag:
        path = write_camera_parameters(load_drive(bag, topic_map), tmp_path)
    values = load_yaml(path)["/**"]["ros__parameters"]
    assert values["topics"] == ["front=camera/front/image_raw/compressed"] and values["transport"] == "compressed"
    assert values["crops"] == ["front=0,40,160,80"] and values["info_topics"] == [""]
    assert set(values) == set(load_yaml(config_dir() / "nodes" / "camera_node.yaml")["/**"]["ros__parameters"])


def test_the_vehicle_file_gets_the_recordings_mountings(tmp_path):
    mounting = Mounting(x_m=1.0, y_m=0.1, z_m=1.5, pitch_rad=0.05)
    vehicle = load_vehicle(write_vehicle("simulator", {"front": mounting}, tmp_path))
    assert vehicle.limits == load_vehicle("simulator").limits
    assert vehicle.cameras["front"].pitch_rad == pytest.approx(0.05) and vehicle.cameras["front"].x_m == 1.0


def test_an_answer_is_complete_when_every_node_has_spoken():
    answers = TickAnswers(has_vehicle_interface=True)
    answers.begin(7)
    assert answers.complete() is None and "planner_node" in answers.silent_node()
    answers.add_plan(plan(7))
    assert answers.complete() is None and answers.silent_node() == "vehicle_interface_node"
    answers.add_mode("engaged", stamp_ns=7)
    assert answers.complete() is None
    answers.add_command(CommandSample(speed_mps=1.0, yaw_rate_radps=0.0), stamp_ns=7)
    assert answers.complete() == TickAnswer(plan=answers._plan, failure="", mode="engaged", command=CommandSample(speed_mps=1.0, yaw_rate_radps=0.0))


@pytest.mark.parametrize("mode", ["disengaged", "driver_override"])
def test_a_silent_mode_needs_no_command(mode):
    answers = TickAnswers(has_vehicle_interface=True)
    answers.begin(7)
    answers.add_failure("planner_node: blind", stamp_ns=7)
    answers.add_mode(mode, stamp_ns=7)
    assert answers.complete() == TickAnswer(plan=None, failure="planner_node: blind", mode=mode, command=None)


def test_answers_to_other_ticks_do_not_count():
    answers = TickAnswers(has_vehicle_interface=False)
    answers.begin(7)
    answers.add_plan(plan(6))
    answers.add_failure("late", stamp_ns=8)
    assert answers.complete() is None
    answers.add_plan(plan(7))
    assert answers.complete().plan.stamp_ns == 7
    answers.begin(8)
    assert answers.complete() is None


def answered(stamp_ns, *, speed_mps=8.0, mode="engaged"):
    return TickAnswer(plan=plan(stamp_ns, speed_mps), failure="", mode=mode, command=CommandSample(speed_mps=speed_mps, yaw_rate_radps=0.0))


def tally_of(answers):
    tally = ReplayTally()
    for stamp_ns, answer in answers:
        tally.add(answer, stamp_ns=stamp_ns)
    return tally


def test_the_hash_depends_on_plans_commands_stamps_and_order():
    base = [(1, answered(1)), (2, answered(2))]
    variants = [
        [(1, answered(1)), (2, answered(2, speed_mps=8.000001))],
        [(1, answered(1))],
        [(1, answered(1)), (2, replace(answered(2), command=None))],
        [(1, answered(1)), (2, replace(answered(2), command=CommandSample(speed_mps=8.0, yaw_rate_radps=1e-9)))],
        list(reversed(base)),
    ]
    hashes = [tally_of(answers).canonical_hash() for answers in [base, *variants]]
    assert len(set(hashes)) == len(hashes)
    assert tally_of(base).canonical_hash() == hashes[0]


def test_a_replay_in_which_nobody_planned_or_engaged_is_rejected():
    failed = TickAnswer(plan=None, failure="planner_node: no odometry within 0.0 s", mode="disengaged", command=None)
    assert "never planned in 2 ticks: 2 times: planner_node: no odometry" in tally_of([(1, failed), (2, failed)]).rejection(has_vehicle_interface=True)
    never_engaged = [(1, answered(1, mode="disengaged"))]
    assert "never engaged" in tally_of(never_engaged).rejection(has_vehicle_interface=True)
    assert tally_of(never_engaged).rejection(has_vehicle_interface=False) == ""
    assert tally_of([(1, answered(1))]).rejection(has_vehicle_interface=True) == ""
    assert "never planned in 0 ticks" in ReplayTally().rejection(has_vehicle_interface=False)


def test_skipped_ticks_are_counted_by_reason_without_their_numbers():
    tally = tally_of([(k, TickAnswer(plan=None, failure=f"camera_node: {k} bytes", mode="", command=None)) for k in (12, 345)])
    tally.skip("picture cannot be decoded")
    report = {**tally.summary(), "odometry": "none recorded", "left_out": {"same stamp again": 1}}
    assert report["skipped"] == {"camera_node: N bytes": 2, "picture cannot be decoded": 1} and report["ticks"] == 3
    text = summary_text(json.loads(json.dumps(report)), "out")
    assert "skipped 2: camera_node: N bytes" in text and "left out 1 frames: same stamp again" in text and report["canonical_hash"] in text


def test_a_bag_without_pictures_is_refused(tmp_path, topic_map):
    text = MAP.replace("/camera/front/image_raw/compressed", "/camera/rear/image_raw")
    with Bag(record_drive(tmp_path / "drive")) as bag, pytest.raises(MimicError, match="/camera/rear/image_raw has no messages"):
        load_drive(bag, load_topic_map(write_map(tmp_path / "rear.yaml", text)))


def test_the_command_refuses_what_makes_no_sense(tmp_path, capsys):
    bag, topics = record_drive(tmp_path / "drive", count=12), str(write_map(tmp_path / "map.yaml"))
    common = ["--policy", "constant_velocity", "--topics", topics]
    assert main(["replay", str(tmp_path / "nothing"), *common, "--out", str(tmp_path / "out")]) == 2
    assert main(["replay", str(bag), *common, "--out", str(bag)]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["replay", str(bag), "--policy", "nonsense", "--topics", topics, "--out", str(tmp_path / "out")]) == 1
    assert not (tmp_path / "out").exists()
