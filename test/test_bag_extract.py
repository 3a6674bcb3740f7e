"""Extraction: what comes out of good bags."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from bag_helpers import (
    ALL_TRAIN,
    CAMERA,
    DAY_NS,
    JPEG,
    MAP,
    PERIOD_NS,
    ROUTE,
    SHARED,
    START_NS,
    STORE,
    Messages,
    StandIn,
    drive,
    header,
    no_progress,
    odometry,
    picture,
    route,
    run,
    text,
    topic_map,
    wheel,
    write_bag,
)
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_typestore

from bag_tools.clip_store import ClipStore
from bag_tools.extract import extract
from bag_tools.extract_report import report_text
from bag_tools.observations import clip_observations
from bag_tools.splits import refuse_overlap, split_margin_s
from bag_tools.topic_map import TopicMap
from mimic.cli import main
from mimic.commands.extract import bags_of
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import MimicError, UsageError

ROUTE_SIGNALS = ("route_command", "route_points")


def test_pictures_and_signals_meet_at_the_stamp(tmp_path: Path) -> None:
    store, report = run(tmp_path, drive(100))
    (clip,) = store.clips()
    frames = store.frames(clip.clip_id)
    assert (clip.start_ns, clip.end_ns, len(frames)) == (START_NS, START_NS + 99 * PERIOD_NS, 100)
    np.testing.assert_allclose(frames.steering_wheel_rad, 0.01 * np.arange(100), atol=1e-12)
    assert np.isnan(frames.speed_mps).all() and np.isnan(frames.pose).all() and np.isnan(frames.expert_plan).all()
    assert store.images(frames.row[[5, 2]], "front").shape == (2, 128, 256, 3)
    assert store.meta.signals == ("steering_wheel_rad",)
    assert store.meta.crop == "front: 160x80 at left 0, top 40"
    bag = report["bags"][0]
    assert bag["cameras"]["front"]["log_minus_header"]["median_s"] == pytest.approx(0.005)
    assert bag["cameras"]["front"]["clock"] == "header"
    assert set(bag["missing_signals"]) == {"pose", "speed_mps", "acceleration_mps2", "yaw_rate_radps", "curvature_1pm", *ROUTE_SIGNALS, "expert_plan"}
    assert json.loads((tmp_path / "store" / "extract_report.json").read_text()) == report
    assert "100 train frames" in report_text(report)


def test_signals_are_interpolated_at_the_exposure_and_masked_in_gaps(tmp_path: Path) -> None:
    messages: Messages = [(START_NS + k * PERIOD_NS, picture(START_NS + k * PERIOD_NS)) for k in range(60)]
    for k in range(80):
        stamp_ns = START_NS + 17_000_000 + k * 40_000_000
        if not 20 <= k < 35:
            messages.append((stamp_ns, wheel(stamp_ns, (stamp_ns - START_NS) / 1e9)))
    store, report = run(tmp_path, messages)
    frames = store.frames(store.clips()[0].clip_id)
    seconds = (frames.stamp_ns - START_NS) / 1e9
    known = ~np.isnan(frames.steering_wheel_rad)
    np.testing.assert_allclose(frames.steering_wheel_rad[known], seconds[known], atol=1e-9)
    np.testing.assert_array_equal(known, (seconds > 0.016) & ((seconds <= 0.777 + 1e-9) | (seconds >= 1.417)))
    assert report["bags"][0]["masked_frames"] == {"steering_wheel_rad": int((~known).sum())}


def test_topics_without_header_are_carried_onto_the_clock_of_the_pictures(tmp_path: Path) -> None:
    shift_ns = 5 * DAY_NS  # simulation time in the headers, wall time in the log, recorded at half speed
    messages: Messages = []
    for k in range(100):
        stamp_ns, log_ns = k * PERIOD_NS, shift_ns + 2 * k * PERIOD_NS
        messages += [(log_ns, picture(stamp_ns)), (log_ns, odometry(stamp_ns, x_m=0.5 * k, yaw_rad=0.1, speed_mps=10.0, yaw_rate_radps=0.2))]
        if k in (0, 40):
            messages.append((log_ns, text("follow" if k == 0 else "left")))
    signals = """signals:
  route_command: {topic: /planning/route_command}
  pose: {topic: /odom}
  speed_mps: {topic: /odom, field: twist.twist.linear.x}
  yaw_rate_radps: {topic: /odom, field: twist.twist.angular.z, factor: -1.0, offset: 0.5}
"""
    store, report = run(
        tmp_path, messages, ALL_TRAIN.replace('signals:\n  steering_wheel_rad: {topic: /vehicle/steering_wheel, field: "position[0]"}\n', signals)
    )
    frames = store.frames(store.clips()[0].clip_id)
    assert frames.stamp_ns[0] == 0 and len(frames) == 100
    assert frames.route_command.tolist() == ["follow"] * 40 + ["left"] * 60
    np.testing.assert_allclose(frames.pose, np.stack([0.5 * np.arange(100), np.zeros(100), np.full(100, 0.1)], axis=1), atol=1e-9)
    np.testing.assert_allclose(frames.yaw_rate_radps, 0.3)
    assert report["bags"][0]["signals"]["route_command"]["clock"] == "log"
    assert "LOG TIME is used" in report_text(report)
    assert set(store.meta.signals) == {"pose", "speed_mps", "yaw_rate_radps", "route_command"}


def test_without_header_stamps_the_log_time_serves_and_is_said(tmp_path: Path) -> None:
    messages: Messages = []
    for k in range(50):
        messages += [(START_NS + k * PERIOD_NS, picture(0)), (START_NS + k * PERIOD_NS, wheel(0, 0.01 * k))]
    store, report = run(tmp_path, messages)
    frames = store.frames(store.clips()[0].clip_id)
    np.testing.assert_allclose(frames.steering_wheel_rad, 0.01 * np.arange(50), atol=1e-9)
    assert report["bags"][0]["cameras"]["front"]["clock"] == "log"


def test_frames_are_thinned_to_the_rate_of_the_map(tmp_path: Path) -> None:
    store, report = run(tmp_path, drive(101), ALL_TRAIN.replace("frame_rate_hz: 20.0", "frame_rate_hz: 10.0"))
    frames = store.frames(store.clips()[0].clip_id)
    np.testing.assert_array_equal(np.diff(frames.stamp_ns), 2 * PERIOD_NS)
    assert report["bags"][0]["left_out"] == {"not needed at this rate": 50}


def test_gaps_cut_clips_and_short_pieces_are_counted(tmp_path: Path) -> None:
    messages = [m for k, m in enumerate(drive(100)) if not 40 <= k // 2 < 60 and not 63 <= k // 2 < 80]
    store, report = run(tmp_path, messages)
    assert [len(store.frames(clip.clip_id)) for clip in store.clips()] == [40, 20]
    assert report["bags"][0]["left_out"] == {"in pieces shorter than min_clip_s": 3}
    assert report["bags"][0]["cameras"]["front"]["gaps"] == 2
    assert report["bags"][0]["cameras"]["front"]["dropped"] == 37


def test_time_blocks_of_a_drive_become_splits_with_a_margin(tmp_path: Path) -> None:
    store, report = run(tmp_path, drive(400), MAP)
    assert {clip.split: len(store.frames(clip.clip_id)) for clip in store.clips()} == {"train": 230, "val": 80, "test": 80}
    assert report["bags"][0]["left_out"] == {"train frame within split_margin_s of held-out driving": 10}
    refuse_overlap(store.clips(), 0.5)
    with pytest.raises(MimicError, match=r"drive/drive/0 and drive/drive/1 \(val\): 0\.5. s"):
        refuse_overlap(store.clips(), split_margin_s(history_s=0.0, horizon_s=0.0))


def test_bags_of_other_drives_need_no_margin_and_globs_choose(tmp_path: Path) -> None:
    bags = [write_bag(tmp_path / name, drive(40)) for name in ("a", "b", "c")]
    globs = topic_map(tmp_path, ALL_TRAIN.replace('  train: ["*"]', '  train: ["*"]\n  val: ["b*"]\n  test: ["c"]'))
    extract(bags, globs, tmp_path / "store", ingest_factory=StandIn, progress=no_progress)
    assert [clip.split for clip in ClipStore.open(tmp_path / "store").clips()] == ["train", "val", "test"]
    extract(bags, globs.with_val_glob("a"), tmp_path / "store", ingest_factory=StandIn, progress=no_progress, overwrite=True)
    assert [clip.split for clip in ClipStore.open(tmp_path / "store").clips()] == ["val", "train", "test"]


def test_the_same_bags_give_the_same_hash_and_append_adds_up(tmp_path: Path) -> None:
    a, b = write_bag(tmp_path / "a", drive(40)), write_bag(tmp_path / "b", drive(50))
    once = topic_map(tmp_path, ALL_TRAIN)

    def extracted(bags: list[Path], out: str, **how: bool) -> str:
        extract(bags, once, tmp_path / out, ingest_factory=StandIn, progress=no_progress, **how)
        return ClipStore.open(tmp_path / out).meta.data_hash

    whole = extracted([a, b], "one")
    assert extracted([a, b], "two") == whole
    assert extracted([a], "three") != whole
    assert extracted([b], "three", append=True) == whole
    with pytest.raises(MimicError, match="has clip 'b/b/0' already"):
        extracted([b], "three", append=True)
    assert ClipStore.open(tmp_path / "three").meta.data_hash == whole
    with pytest.raises(UsageError, match="--append"):
        extracted([a], "three")


def test_a_bag_without_the_camera_is_refused_and_the_others_kept(tmp_path: Path) -> None:
    good = write_bag(tmp_path / "good", drive(40))
    blind = write_bag(tmp_path / "blind", [m for m in drive(40) if m[1][0] != CAMERA])
    empty = tmp_path / "empty.mcap"
    empty.write_bytes(b"")
    report = extract([blind, good, empty], topic_map(tmp_path, ALL_TRAIN), tmp_path / "store", ingest_factory=StandIn, progress=no_progress)
    assert sorted(report["refused"]) == sorted([str(blind), str(empty)])
    assert f"topic {CAMERA} has no messages" in report["refused"][str(blind)]
    with pytest.raises(MimicError, match="no frame of these bags can be used"):
        extract([blind, empty], topic_map(tmp_path, ALL_TRAIN), tmp_path / "other", ingest_factory=StandIn, progress=no_progress)
    assert not (tmp_path / "other").exists()


def test_a_wrong_field_is_an_error_that_names_it(tmp_path: Path) -> None:
    wrong = ALL_TRAIN.replace('"position[0]"', '"angle"')
    with pytest.raises(MimicError, match=r"signals.steering_wheel_rad: field does not fit .*JointState"):
        run(tmp_path, drive(40), wrong)


QUAD = """
rig: quad
frame_rate_hz: 10.0
drive_id: "{bag}"
vehicle_id: test_car
driver_id: tester
region: desk
cameras:
  front: {topic: /front, camera_info: /front/info}
  tele: {topic: /tele, crop: {left_px: 0, top_px: 0, width_px: 160, height_px: 80}}
  left: {topic: /left, crop: {left_px: 0, top_px: 0, width_px: 160, height_px: 64}}
  right: {topic: /right, crop: {left_px: 0, top_px: 0, width_px: 160, height_px: 64}}
splits: {train: ["*"]}
sync_tolerance_s: 0.03
max_gap_s: 0.4
"""


class Witness(StandIn):
    """Remembers how it was made."""

    made: ClassVar[list[Any]] = []

    def __init__(self, rig: Any, *, mountings: Any, crops: Any, sync_tolerance_ns: int) -> None:
        super().__init__(rig, mountings=mountings, crops=crops, sync_tolerance_ns=sync_tolerance_ns)
        Witness.made.append((mountings, crops, self.infos))


def test_several_cameras_are_grouped_and_placed_by_tf_static(tmp_path: Path) -> None:
    t = STORE.types
    messages: Messages = []
    rotation = t["geometry_msgs/msg/Quaternion"](x=-0.5, y=0.5, z=-0.5, w=0.5)  # optical axes: z forward, x right
    pose = t["geometry_msgs/msg/Transform"](translation=t["geometry_msgs/msg/Vector3"](x=1.6, y=0.1, z=1.4), rotation=rotation)
    link = t["geometry_msgs/msg/TransformStamped"](header=replace(header(START_NS), frame_id="base_link"), child_frame_id="camera", transform=pose)
    messages.append((START_NS, ("/tf_static", "tf2_msgs/msg/TFMessage", t["tf2_msgs/msg/TFMessage"](transforms=[link]))))
    region = t["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    matrix = np.array([150.0, 0.0, 80.0, 0.0, 150.0, 60.0, 0.0, 0.0, 1.0])
    lens = {"distortion_model": "plumb_bob", "d": np.zeros(5), "k": matrix, "r": np.eye(3).ravel(), "p": np.zeros(12)}
    info = t["sensor_msgs/msg/CameraInfo"](header=header(START_NS), height=120, width=160, **lens, binning_x=0, binning_y=0, roi=region)
    messages.append((START_NS, ("/front/info", "sensor_msgs/msg/CameraInfo", info)))
    for k in range(30):
        for late_ns, name in enumerate(("/front", "/tele", "/left", "/right")):
            stamp_ns = START_NS + k * 100_000_000 + late_ns * 9_000_000 + (name == "/tele" and k == 20) * 40_000_000
            if not (name == "/left" and k == 10):
                messages.append((stamp_ns, (name, *picture(stamp_ns)[1:])))
    bag = write_bag(tmp_path / "drive", sorted(messages, key=lambda m: m[0]))
    report = extract([bag], topic_map(tmp_path, QUAD), tmp_path / "store", ingest_factory=Witness, progress=no_progress)
    store = ClipStore.open(tmp_path / "store")
    assert store.meta.frame_count == 28
    assert report["bags"][0]["left_out"] == {"picture of another camera is missing": 2}
    assert [store.images(np.array([0, 27]), name).shape for name in ("front", "tele", "left", "right")] == [
        (2, 128, 256, 3),
        (2, 64, 128, 3),
        (2, 64, 160, 3),
        (2, 64, 160, 3),
    ]
    mountings, crops, infos = Witness.made[-1]
    assert sorted(crops) == ["left", "right", "tele"] and list(infos) == ["front"]
    np.testing.assert_allclose([mountings["front"].x_m, mountings["front"].yaw_rad, mountings["front"].pitch_rad], [1.6, 0.0, 0.0], atol=1e-9)


def test_a_ros1_bag_goes_in_like_any_other(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    t = store.types
    with Ros1Writer(tmp_path / "old.bag") as writer:
        cameras = writer.add_connection(CAMERA, "sensor_msgs/msg/CompressedImage", typestore=store)
        wheels = writer.add_connection("/vehicle/steering_wheel", "sensor_msgs/msg/JointState", typestore=store)
        for k in range(40):
            at = t["builtin_interfaces/msg/Time"](sec=1000, nanosec=k * 20_000_000)
            head = t["std_msgs/msg/Header"](seq=k, stamp=at, frame_id="camera")
            image = t["sensor_msgs/msg/CompressedImage"](header=head, format="jpeg", data=np.frombuffer(JPEG, np.uint8))
            joint = t["sensor_msgs/msg/JointState"](header=head, name=["w"], position=np.array([0.1 * k]), velocity=np.zeros(0), effort=np.zeros(0))
            writer.write(cameras, START_NS + k, store.serialize_ros1(image, "sensor_msgs/msg/CompressedImage"))
            writer.write(wheels, START_NS + k, store.serialize_ros1(joint, "sensor_msgs/msg/JointState"))
    extract([tmp_path / "old.bag"], topic_map(tmp_path, ALL_TRAIN), tmp_path / "store", ingest_factory=StandIn, progress=no_progress)
    frames = ClipStore.open(tmp_path / "store").frames("old/old/0")
    np.testing.assert_allclose(frames.steering_wheel_rad, 0.1 * (frames.stamp_ns - 1000 * 10**9) / 20_000_000, atol=1e-9)


@pytest.mark.skipif(not (SHARED / "udacity_hmb3").is_dir(), reason="../shared/data/udacity_hmb3 is absent")
def test_the_real_car_goes_in_with_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bags = [str(SHARED / "udacity_hmb3" / name) for name in ("train_060_096", "heldout_098_116", "train_118_138", "train_158_164")]
    assert main(["extract", *bags, "--topics", "udacity_hmb3", "--out", str(tmp_path / "store")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["splits"] == {"train": {"clips": 2, "frames": 833}, "val": {"clips": 1, "frames": 400}, "test": {"clips": 1, "frames": 360}}
    assert "7 train frame within split_margin_s" in err
    store = ClipStore.open(tmp_path / "store")
    refuse_overlap(store.clips(), split_margin_s(history_s=0.4, horizon_s=0.0))
    assert {clip.drive_id for clip in store.clips()} == {"udacity_hmb3"}
    assert main(["extract", *bags, "--topics", "udacity_hmb3", "--out", str(tmp_path / "store")]) == 2
    assert main(["extract", bags[0], bags[0], "--topics", "udacity_hmb3", "--out", str(tmp_path / "other")]) == 2


def test_a_directory_of_bags_means_all_of_them(tmp_path: Path) -> None:
    bags = [write_bag(tmp_path / "drives" / name, drive(5)) for name in ("a", "b")]
    assert bags_of([tmp_path / "drives"]) == bags
    assert bags_of(bags) == bags
    for wrong in ([tmp_path / "absent"], [bags[0], tmp_path / "drives"]):
        with pytest.raises(UsageError):
            bags_of(wrong)


def test_the_map_can_be_changed_without_touching_the_file(tmp_path: Path) -> None:
    changed = replace(topic_map(tmp_path), split_margin_s=3.0)
    assert isinstance(changed, TopicMap) and changed.with_val_glob("x").split_of_bag(Path("x")) == "val"
    assert ROUTE not in {source.topic for source in changed.signals.values()}


def test_bad_values_of_a_signal_are_counted_and_masked(tmp_path: Path) -> None:
    messages = drive(60)
    for k, angle_rad in ((10, np.nan), (11, np.inf)):
        stamp_ns = START_NS + k * PERIOD_NS
        messages[2 * k + 1] = (messages[2 * k + 1][0], wheel(stamp_ns, angle_rad))
    empty = messages[2 * 20 + 1][1]
    messages[2 * 20 + 1] = (messages[2 * 20 + 1][0], (*empty[:2], replace(empty[2], position=np.zeros(0))))
    store, report = run(tmp_path, messages)
    assert report["bags"][0]["signals"]["steering_wheel_rad"]["skipped"] == {"value is not finite": 2, "field is an empty list": 1}
    frames = store.frames(store.clips()[0].clip_id)  # the holes are shorter than max_signal_gap_s
    np.testing.assert_allclose(frames.steering_wheel_rad, 0.01 * np.arange(60), atol=1e-9)


def test_expert_plans_hold_only_for_their_own_frame(tmp_path: Path) -> None:
    t = STORE.types
    messages = drive(60)
    for k in range(60):
        stamp_ns = START_NS + k * PERIOD_NS + (k == 7) * 20_000_000
        rows = CAR.times_s[:, None] + np.arange(6) + k
        names = list(CAR.channels) if k != 9 else ["something", "else"]
        points = [
            t["trajectory_msgs/msg/JointTrajectoryPoint"](
                positions=row,
                velocities=np.zeros(0),
                accelerations=np.zeros(0),
                effort=np.zeros(0),
                time_from_start=t["builtin_interfaces/msg/Duration"](sec=0, nanosec=0),
            )
            for row in rows
        ]
        plan = t["trajectory_msgs/msg/JointTrajectory"](header=header(stamp_ns), joint_names=names, points=points)
        messages.append((stamp_ns, ("/plan", "trajectory_msgs/msg/JointTrajectory", plan)))
    text_ = ALL_TRAIN.replace("signals:\n", "signals:\n  expert_plan: {topic: /plan}\n")
    store, report = run(tmp_path, messages, text_)
    plans = store.frames(store.clips()[0].clip_id).expert_plan
    known = ~np.isnan(plans).any(axis=(1, 2))
    assert np.flatnonzero(~known).tolist() == [7, 9]
    np.testing.assert_allclose(plans[30], CAR.times_s[:, None] + np.arange(6) + 30)
    assert report["bags"][0]["masked_frames"]["expert_plan"] == 2


ROUTE_MAP = ALL_TRAIN.replace("signals:\n", "signals:\n  route_points: {topic: /planning/route}\n  pose: {topic: /odom}\n")


def test_route_points_are_held_and_seen_from_the_vehicle(tmp_path: Path) -> None:
    messages = drive(60)
    for k in range(60):
        stamp_ns = START_NS + k * PERIOD_NS
        topic, kind, message = odometry(stamp_ns, x_m=0.5 * k, yaw_rad=np.pi / 2, speed_mps=10.0, yaw_rate_radps=0.0)
        messages.append((stamp_ns, (topic, kind, replace(message, header=replace(message.header, frame_id="odom")))))
    for k, points, frame_id in [
        (5, [(30.0, 4.0), (60.0, 0.0)], "odom"),
        (20, [(1.0, 2.0)] * 6, "base_link"),
        (25, [(7.0, 7.0)], "map"),
        (30, [(np.nan, 0.0)], "odom"),
        (40, [], "odom"),
    ]:
        messages.append((START_NS + k * PERIOD_NS - 1, route(START_NS + k * PERIOD_NS - 1, points, frame_id)))
    store, report = run(tmp_path, sorted(messages, key=lambda message: message[0]), ROUTE_MAP)
    frames = store.frames(store.clips()[0].clip_id)
    assert np.isnan(frames.route_points[:5]).all() and np.isnan(frames.route_points[5:20, 2:]).all() and np.isnan(frames.route_points[40:]).all()
    k = np.arange(5, 20)
    np.testing.assert_allclose(frames.route_points[5:20, 0], np.stack([np.full(15, 4.0), 0.5 * k - 30.0], axis=1), atol=1e-9)
    np.testing.assert_allclose(frames.route_points[5:20, 1], np.stack([np.zeros(15), 0.5 * k - 60.0], axis=1), atol=1e-9)
    assert (frames.route_points[20:40] == [1.0, 2.0]).all()
    bag = report["bags"][0]
    assert bag["signals"]["route_points"]["skipped"] == {
        "route is in frame 'map', must be in base_link or in the pose's, 'odom'": 1,
        "route has a point that is not finite": 1,
    }
    assert bag["masked_frames"]["route_points"] == 25 and "route_points" in store.meta.signals
    observations = list(clip_observations(store, store.clips()[0]))
    assert [len(observations[i].route.points_m) for i in (4, 5, 20, 40)] == [0, 2, 4, 0]
    np.testing.assert_allclose(observations[7].route.points_m, [(4.0, -26.5), (0.0, -56.5)], atol=1e-9)


@pytest.mark.parametrize(("frame_id", "known"), [("odom", False), ("base_link", True)])
def test_routes_of_a_fixed_frame_need_a_pose(tmp_path: Path, frame_id: str, known: bool) -> None:
    store, report = run(tmp_path, [(START_NS, route(START_NS, [(30.0, 4.0)], frame_id)), *drive(30)], ROUTE_MAP)
    frames = store.frames(store.clips()[0].clip_id)
    assert np.isfinite(frames.route_points[:, 0]).all() == known and ("route_points" in store.meta.signals) == known
    assert report["bags"][0]["masked_frames"]["route_points"] == (0 if known else 30)
