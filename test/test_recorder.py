"""Recording: in process the messages of ROS, the same bytes however often it is interrupted, and pictures that come again."""

import argparse
import json
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader

from bag_tools.message_bytes import TYPES, message_bytes
from mimic.cli import main
from mimic.commands import sim as sim_command
from mimic.record_plan import driver_id, jobs_of
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.labels import CLASS_INDEX
from mimic_contracts.rig import load_rig
from mimic_contracts.scene import AGENT_KINDS
from mimic_sim import engine
from mimic_sim.bag_messages import JPEG_QUALITY
from mimic_sim.drive_result import DriveResult
from mimic_sim.events import Event
from mimic_sim.moment import Moment
from mimic_sim.record_jobs import Job, answer_of, make
from mimic_sim.record_pool import make_all
from mimic_sim.recorder import TRUTH, picture_ticks
from mimic_sim.route_spec import RouteSpec
from mimic_sim.suite import load_suite
from mimic_sim.view import View
from mimic_sim.world import build_world

STREET = str(Path(__file__).parent / "street.net.xml.gz")
PICTURE = "/camera/front/image_raw/compressed"
TOWN_ROUTE = RouteSpec(
    route_id="drive_0000",
    course=STREET,
    start_lane="s1-lights_1",
    end_lane="lights-n1_1",
    start_m=55.0,
    length_m=50.0,
    vehicles=25,
    pedestrians=15,
    seed=3,
    tick_s=0.1,
    driver="calm",
)


def messages(bag: Path) -> dict[str, list[Any]]:
    """Topic → its messages in the order of recording; (type, log time, message)."""
    found: dict[str, list[Any]] = {}
    with AnyReader([bag]) as reader:
        for connection, log_ns, raw in reader.messages():
            found.setdefault(connection.topic, []).append((connection.msgtype, log_ns, reader.deserialize(raw, connection.msgtype)))
    return found


def plain(value: Any) -> Any:
    """A message as mappings, lists and numbers, to be compared field by field."""
    if hasattr(value, "__msgtype__"):
        return {name: plain(getattr(value, name)) for name, _ in TYPES.fielddefs[value.__msgtype__][1]}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(one) for one in value] if isinstance(value, list) else value


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def sim(*arguments: object) -> int:
    return main(["sim", *map(str, arguments)])


@pytest.fixture(scope="module")
def town_bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short drive in a street with others, recorded with ground truth."""
    out = tmp_path_factory.mktemp("town")
    answer = make(Job(route=TOWN_ROUTE, driver_id="driver_x", image_rate_hz=4.0, with_ground_truth=True), out)
    assert answer["left_out"] == "" and answer["route"]["driver"] == "calm"
    return out / "drive_0000"


@pytest.mark.ros
def test_the_messages_are_those_of_ros(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    course = ["record", "--towns", "course", "--hours", "0.002", "--seed", "4", "--disturb", "--looks", "rain", "--image-rate", "10"]
    assert sim(*course, "--out", tmp_path / "here") == 0
    assert sim(*course, "--out", tmp_path / "ros", "--over-ros") == 0
    here, ros = messages(tmp_path / "here" / "drive_0000"), messages(tmp_path / "ros" / "drive_0000")
    assert here.keys() == ros.keys() and len(here["/clock"]) > 50
    for topic, own in here.items():
        assert [(kind, plain(message)) for kind, _, message in own] == [(kind, plain(message)) for kind, _, message in ros[topic]], topic
    for name in ("drive.json", "rows.parquet", "rows.trace.parquet"):
        assert (tmp_path / "here" / "drive_0000" / name).read_bytes() == (tmp_path / "ros" / "drive_0000" / name).read_bytes(), name
    assert (tmp_path / "here" / "answers.json").read_text() == (tmp_path / "ros" / "answers.json").read_text()


def test_the_pictures_are_what_the_car_saw(town_bag: Path) -> None:
    """While driving there is more than in the file: whoever is far, and in another order."""
    world, seen = build_world(TOWN_ROUTE), list[Moment]()
    engine.drive(None, world, look=lambda _: {}, on_tick=lambda simulation, _: seen.append(simulation.moment()))
    recorded = messages(town_bag)
    ticks = sorted(picture_ticks(len(seen), tick_s=0.1, image_rate_hz=4.0))
    assert len(recorded["/clock"]) == len(seen) and len(recorded[PICTURE]) == len(ticks) and max(len(m.actors) for m in seen) > 8
    with View(world, load_rig("mono").cameras) as view:
        for tick, (_, log_ns, message) in list(zip(ticks, recorded[PICTURE], strict=True))[::9]:
            expected = simplejpeg.encode_jpeg(view.pictures(seen[tick])["front"], quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
            assert log_ns == seen[tick].stamp_ns and bytes(message.data) == expected, tick


def test_a_drive_rendered_again_is_the_same_bag(town_bag: Path, tmp_path: Path) -> None:
    assert sim("render", town_bag, "--jobs", 1, "--out", tmp_path / "again") == 0
    assert bytes_below(tmp_path / "again" / "drive_0000") == bytes_below(town_bag)


def test_another_rig_and_look_show_the_same_drive(town_bag: Path, tmp_path: Path) -> None:
    assert sim("render", town_bag, "--rig", "quad", "--look", "fog", "--image-rate", 1, "--no-ground-truth", "--jobs", 1, "--out", tmp_path / "fog") == 0
    bag, first = tmp_path / "fog" / "drive_0000", messages(town_bag)
    other = messages(bag)
    assert {f"/camera/{name}/image_raw/compressed" for name in ("front", "tele", "left", "right")} <= other.keys() and not any(TRUTH in t for t in other)
    for topic in ("/localization/kinematic_state", "/sim/expert_trajectory", "/planning/route_command", "/planning/route"):
        assert [plain(m) for *_, m in other[topic]] == [plain(m) for *_, m in first[topic]]
    assert len(other[PICTURE]) < len(first[PICTURE]) / 3 and bytes(other[PICTURE][0][2].data) != bytes(first[PICTURE][0][2].data)
    card = json.loads((bag / "drive.json").read_text())
    assert (card["look"], card["vehicle_id"], card["driver_id"], card["image_rate_hz"]) == ("fog", "simulator_quad", "driver_x", 1.0)


def test_ground_truth_agrees_with_itself(town_bag: Path) -> None:
    recorded = messages(town_bag)
    pictures = [log_ns for _, log_ns, _ in recorded[PICTURE]]
    truth = {topic: own for topic, own in recorded.items() if topic.startswith(TRUTH)}
    assert len(truth) == 7 and all([log_ns for _, log_ns, _ in own] == pictures for own in truth.values())
    pedestrians = 0
    columns = [
        truth[f"{TRUTH}/{name}"] for name in ("front/semantic/compressed", "front/instance/compressed", "front/depth/compressed", "front/boxes_2d", "boxes_3d")
    ]
    for semantic, instance, depth, flat, solid in zip(*columns, strict=True):
        classes, numbers, mm = (cv2.imdecode(message.data, cv2.IMREAD_UNCHANGED) for *_, message in (semantic, instance, depth))
        assert (classes.dtype, numbers.dtype, mm.dtype) == (np.uint8, np.uint16, np.uint16) and classes.shape == numbers.shape == mm.shape
        assert ((mm == 0) == (classes == CLASS_INDEX["sky"])).all()
        boxes = {box["id"]: box for box in json.loads(flat[2].data)["boxes"]}
        assert set(boxes) <= set(np.unique(numbers).tolist())
        markers = {marker.id: marker for marker in solid[2].markers}
        for number, box in boxes.items():
            where = numbers == number
            assert set(classes[where].tolist()) == {CLASS_INDEX[box["kind"]]}
            rows, left_to_right = np.nonzero(where)
            assert box["bounds_px"][0] - 2 <= left_to_right.min() and rows.max() <= box["bounds_px"][3] + 2
            if number in markers:
                depth_m = min(markers[number].pose.position.x - 1.6, 65.535)  # from the camera
                assert markers[number].ns == box["kind"]
                assert abs(depth_m - np.median(mm[where]) / 1e3) < markers[number].scale.x / 2.0 + 1.0
        pedestrians += sum(box["kind"] == "pedestrian" for box in boxes.values())
    assert pedestrians and {marker.ns for *_, message in truth[f"{TRUTH}/boxes_3d"] for marker in message.markers} <= set(AGENT_KINDS)


def test_the_situation_is_that_of_the_way(town_bag: Path) -> None:
    recorded = messages(town_bag)
    found = [json.loads(message.data) for *_, message in recorded[f"{TRUTH}/situation"]]
    distances = [s["stop_line"]["distance_m"] for s in found if s["stop_line"]]
    assert distances == sorted(distances, reverse=True) and len(distances) > 10
    assert {s["light"]["state"] for s in found if s["light"]} <= {"red", "red_yellow", "yellow", "green"} and any(s["light"] for s in found)
    first, of_line = found[0]["junction"], [s for s in found if s["stop_line"]]
    assert all(s["junction"]["start_m"] == pytest.approx(s["stop_line"]["distance_m"], abs=10.0) for s in of_line)
    assert all(s["junction"]["end_m"] - s["junction"]["start_m"] == pytest.approx(first["end_m"] - first["start_m"], abs=0.02) for s in of_line)
    assert first["start_m"] - 10.0 < found[0]["zebra"]["distance_m"] < first["end_m"] + 10.0
    lane = recorded[f"{TRUTH}/lane"][0][2]
    assert lane.header.frame_id == "base_link" and abs(lane.poses[0].pose.position.y) < 0.2 and lane.poses[10].pose.position.x == pytest.approx(20.0, abs=0.5)


def test_a_bag_does_not_tell_the_style(town_bag: Path) -> None:
    assert not any(b"calm" in content for content in bytes_below(town_bag).values())
    drive = DriveResult.load(town_bag / "rows.parquet")
    assert drive.route == replace(TOWN_ROUTE, driver="") and drive.events == ()
    assert "calm" not in driver_id(1, "calm") != driver_id(2, "calm")


def test_who_does_not_arrive_is_left_out(tmp_path: Path) -> None:
    job = Job(route=RouteSpec(time_limit_s=1.0, tick_s=0.1), driver_id="driver_x", image_rate_hz=4.0, with_ground_truth=False)
    assert make(job, tmp_path)["left_out"] == "time_limit" and not list(tmp_path.iterdir())


def test_an_interrupted_recording_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def short_jobs(args: argparse.Namespace) -> list[Job]:
        routes = [RouteSpec(route_id=f"drive_000{k}", laps=0.01, tick_s=0.1, seed=args.seed, start_m=50.0 * k) for k in range(3)]
        return [Job(route=route, driver_id="d", image_rate_hz=1.0, with_ground_truth=True) for route in routes]

    monkeypatch.setattr(sim_command, "jobs_of", short_jobs)
    whole, broken, partial = tmp_path / "whole", tmp_path / "broken", tmp_path / ".broken.partial"
    record = ["record", "--towns", "course", "--hours", 1]
    assert sim(*record, "--jobs", 2, "--out", whole) == 0
    assert json.loads(capsys.readouterr().out)["drives"] == 3
    shutil.copytree(whole, partial)
    answers = json.loads((partial / "answers.json").read_text())
    (partial / "answers.json").write_text(json.dumps({"drive_0001": answers["drive_0001"]}))
    (partial / "drive_0002" / "drive.json").unlink()
    shutil.rmtree(partial / "drive_0000")
    kept = (partial / "drive_0001" / "drive_0001.mcap").stat().st_mtime_ns
    assert sim(*record, "--jobs", 1, "--resume", "--out", broken) == 0
    assert bytes_below(broken) == bytes_below(whole)
    assert (broken / "drive_0001" / "drive_0001.mcap").stat().st_mtime_ns == kept
    assert sim(*record, "--seed", 2, "--resume", "--out", broken) == 2
    assert "drive_0000 was recorded with other arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--hours", "0"], "--hours: is 0.0, must be over 0"),
        (["--image-rate", "20"], "--image-rate: is 20.0, must be over 0 and at most 10"),
        (["--vehicles", "-1"], "--vehicles: is -1"),
        (["--drivers", "calm,wild"], "--drivers: 'wild' is unknown, must be of: calm"),
        (["--jobs", "0"], "--jobs: is 0"),
        (["--seed", "99999999999"], "--seed: is 99999999999, must be 0 to 2147483647"),
        (["--over-ros"], "--over-ros: records --rig mono at --image-rate 10"),
        (["--towns", "atlantis"], "--towns: "),
        (["--suite", "train"], "--towns, --suite: exactly one of them must be given"),
        (["--seeds", "1"], "--seeds: belongs to --suite: leave it out"),
        (["--disturb", "1.5"], "--disturb: is 1.5, must be 0 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("record", "--towns", "course", "--hours", "0.01", "--out", tmp_path / "out", *arguments) == 2
    assert reason in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_plan_mixes_towns_looks_and_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(sim_command, "run", lambda args: seen.append(args) or 0)
    assert sim("record", "--towns", "course,train_1", "--looks", "day,rain", "--hours", 0.2, "--out", "nowhere", "--seed", 2, "--rig", "quad") == 0
    jobs = jobs_of(seen[0])
    assert jobs == jobs_of(seen[0]) and len({job.route.seed for job in jobs}) == len(jobs) > 4
    assert {(job.route.course, job.route.look) for job in jobs} == {(town, look) for town in ("course", "train_1") for look in ("day", "rain")}
    for job in jobs:
        is_town = job.route.course == "train_1"
        assert (job.route.vehicles, job.route.pedestrians, job.with_ground_truth) == ((60, 20, True) if is_town else (0, 0, False))
        assert job.route.vehicle == "simulator_quad" and job.route.driver == "calm" and job.image_rate_hz == 4.0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "--towns, --suite: exactly one of them must be given"),
        (["--towns", "course"], "--hours: must be given with --towns"),
        (["--suite", "atlantis"], "--suite: "),
        (["--suite", "train", "--hours", "1", "--looks", "day"], "--hours, --looks: belongs to --towns; a suite says it itself: leave it out"),
        (["--suite", "train", "--seeds", "1,x"], "--seeds: is '1,x', must be whole numbers"),
        (["--suite", "train", "--seeds", "1,1"], "--seeds: is '1,1', must be different"),
        (["--suite", "train", "--over-ros"], "--over-ros: records --rig mono"),
    ],
)
def test_towns_and_suites_are_not_mixed(arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("record", "--out", tmp_path / "out", *arguments) == 2
    assert reason in capsys.readouterr().err and not list(tmp_path.iterdir())


def parsed(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sim_command.add_arguments(parser)
    return parser.parse_args(["record", "--out", "nowhere", *map(str, arguments)])


def test_a_suite_is_recorded_in_an_order_by_lot(tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text("towns: [train_5]\nlooks: [day, night]\nscenarios: {red_light: 10, lead_vehicle: 10}\n", encoding="utf-8")
    args = parsed("--suite", suite, "--seeds", "1,2", "--disturb", "0.33", "--drivers", "calm,assertive")
    jobs, given = jobs_of(args), load_suite(suite).with_seeds([1, 2])
    assert jobs == jobs_of(args) and [job.name for job in jobs] == [f"drive_{k:04d}" for k in range(40)]
    assert sorted(job.route.seed for job in jobs) == sorted(route.seed for route in given) != [job.route.seed for job in jobs]
    origin = {route.seed: route for route in given}
    for job in jobs:
        own = {"route_id": job.name, "tick_s": 0.1, "is_disturbed": job.route.is_disturbed, "driver": job.route.driver}
        assert job.route == replace(origin[job.route.seed], **own) and (job.route.vehicle, job.with_ground_truth) == ("simulator_quad", True)
        assert job.route.driver not in json.loads(job.card).values()
    assert {job.route.scenario for job in jobs[3::10] + jobs[8::10]} == {"red_light", "lead_vehicle"}
    assert 6 <= sum(job.route.is_disturbed for job in jobs) <= 21 and {job.route.driver for job in jobs} == {"calm", "assertive"}
    assert all(job.route.is_disturbed and job.route.vehicle == "simulator" for job in jobs_of(parsed("--suite", suite, "--disturb", "--rig", "mono")))


def test_a_drive_that_fails_its_scenario_is_left_out_unless_it_was_pushed() -> None:
    course = RouteSpec(scenario="lane_following", laps=0.01, tick_s=0.1)
    drive = engine.drive(None, build_world(course), look=lambda _: {})
    aside = replace(drive, columns={**drive.columns, "rear_offset_m": drive.columns["rear_offset_m"] + 3.0})
    job = Job(route=course, driver_id="d", image_rate_hz=4.0, with_ground_truth=False)
    assert answer_of(job, drive)["left_out"] == "" and "outside its lane" in answer_of(job, aside)["left_out"]
    assert answer_of(replace(job, route=replace(course, is_disturbed=True)), aside)["left_out"] == ""


def test_what_is_no_recorded_drive_is_not_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("render", tmp_path, "--out", tmp_path / "out") == 1
    assert "must be a drive of `mimic sim record`" in capsys.readouterr().err


@given(count=st.integers(1, 400), tick_s=st.sampled_from([0.05, 0.1]), rate_hz=st.sampled_from([0.5, 1.0, 2.5, 4.0, 5.0, 10.0, 20.0, 30.0]))
def test_pictures_come_at_their_rate(count: int, tick_s: float, rate_hz: float) -> None:
    ticks = sorted(picture_ticks(count, tick_s=tick_s, image_rate_hz=rate_hz))
    period = max(1.0 / rate_hz / tick_s, 1.0)
    assert ticks[0] == 0 and len(ticks) == int((count - 1) / period + 1e-6) + 1
    assert all(0 <= tick - k * period < 1.0 - 1e-6 for k, tick in enumerate(ticks))


def test_a_drive_with_a_collision_at_fault_is_left_out(town_bag: Path) -> None:
    hit = Event(time_s=1.0, kind="vehicle_collision", with_what="v1", progress_m=2.0, ego_speed_mps=3.0)
    job = Job(route=TOWN_ROUTE, driver_id="d", image_rate_hz=4.0, with_ground_truth=True)
    drive = replace(DriveResult.load(town_bag / "rows.parquet"), events=(hit,))
    assert answer_of(job, drive)["left_out"] == "vehicle_collision at 1.0 s (v1)"
    assert answer_of(job, replace(drive, events=(replace(hit, at_fault=False),)))["left_out"] == ""


def test_fields_that_are_not_given_are_zero_and_wrong_ones_are_named() -> None:
    made = message_bytes("sensor_msgs/msg/CameraInfo", height=3, d=[0.5])
    message = TYPES.deserialize_cdr(made.data, made.type_name)
    assert (message.height, message.width, message.d.tolist(), message.k.tolist(), message.roi.do_rectify) == (3, 0, [0.5], [0.0] * 9, False)
    with pytest.raises(ContractError, match="has no field hight; it has header, height"):
        message_bytes("sensor_msgs/msg/CameraInfo", hight=3)
    with pytest.raises(ContractError, match="type 'a/msg/B' is unknown"):
        message_bytes("a/msg/B")


def test_a_process_that_fails_or_dies_is_named(tmp_path: Path) -> None:
    lost = replace(TOWN_ROUTE, route_id="lost", course="atlantis")
    job = Job(route=lost, driver_id="d", image_rate_hz=1.0, with_ground_truth=False)
    with pytest.raises(MimicError, match=r"lost: .*atlantis.*; go on with --resume"):
        make_all([job], tmp_path, processes=1, on_share=lambda share: None, on_answer=lambda job, answer: None)

    def kill(share: float) -> None:
        multiprocessing.active_children()[0].kill()

    job = replace(job, route=RouteSpec(route_id="short", laps=0.5, tick_s=0.1))
    with pytest.raises(MimicError, match="short: its process ended with -9; go on with --resume"):
        make_all([job], tmp_path, processes=1, on_share=kill, on_answer=lambda job, answer: None)
