"""The simulator as a real node: the same numbers as in process, recordings that are whole, and silence that is named."""

import json
import time
from dataclasses import replace
from pathlib import Path

import drive_policies
import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rosbags.highlevel import AnyReader
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from test_drive_pool import street
from trajectory_msgs.msg import JointTrajectory

from e2e_planner.rule_based import RuleBasedOracle
from mimic.cli import main
from mimic.drive_replay import compare
from mimic.over_ros import drive_over_ros
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import plan_from_message, stamp_to_ns
from mimic_contracts.vehicle import load_vehicle
from mimic_sim import engine, ros_sim
from mimic_sim.drive_result import DriveResult
from mimic_sim.ego import EgoMotion
from mimic_sim.route_spec import RouteSpec
from mimic_sim.view import View
from mimic_sim.world import build_world
from vehicle_interface.adapters import Twist2D

RELATIVE_TOPICS = {"/clock", "/localization/kinematic_state", "/camera/front/image_raw/compressed", "/vehicle/steering", "/sim/expert_trajectory"}


class TowardsTheDark:
    """Speeds up to 6 m/s and turns towards the darker half of the picture: every byte of what it sees counts."""

    spec = CAR
    rig_name = "mono"

    def reset(self) -> None:
        pass

    def plan(self, observation: Observation) -> Plan:
        below_horizon = observation.frames["front"].image[60:].astype(np.float64)
        left, right = np.split(below_horizon, 2, axis=1)
        curvature = float(np.clip((right.mean() - left.mean()) / 2000.0, -0.02, 0.02)) + 1e-6
        speed = observation.ego.speed_mps or 0.0
        acceleration = float(np.clip(6.0 - speed, -1.0, 1.0))
        speeds = speed + acceleration * CAR.times_s
        way = speed * CAR.times_s + acceleration * CAR.times_s**2 / 2.0
        yaw = curvature * way
        columns = [np.sin(yaw) / curvature, (1.0 - np.cos(yaw)) / curvature, yaw, np.maximum(speeds, 0.0), np.full(21, acceleration), np.full(21, curvature)]
        return Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=np.stack(columns, axis=1), model_id="dark")


@pytest.mark.ros
@pytest.mark.parametrize("place", ["course", "town"])
def test_lockstep_over_ros_gives_the_numbers_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    in_town = replace(street(), look="dusk", time_limit_s=3.0, vehicles=20)
    route = in_town if place == "town" else RouteSpec(route_id="same", look="rain", seed=4, start_m=100.0, time_limit_s=3.0)
    over_ros = drive_over_ros("test_sim_ros:TowardsTheDark", route, tmp_path, pictures="as_is")
    world = build_world(route)
    with View(world, load_rig("mono").cameras) as view:
        in_process = engine.drive(TowardsTheDark(), world, look=view.pictures)
    assert over_ros.ended == in_process.ended == "time_limit" and len(over_ros) == len(in_process) == 60
    verdict = compare(in_process, over_ros)
    assert verdict["is_identical"], verdict
    assert over_ros.canonical_hash() == in_process.canonical_hash()
    assert all(np.array_equal(over_ros.trace.columns[name], column) for name, column in in_process.trace.columns.items())
    assert {"lead"} < {actor.actor_id for actor in in_process.trace.looks} or place == "course"
    assert in_process.columns["speed_mps"].max() > 1.0 and np.ptp(in_process.plans[:, 0, 5]) > 0.0


@pytest.mark.ros
def test_a_rule_based_planner_gets_its_scene_over_ros(tmp_path: Path) -> None:
    route = replace(street(), time_limit_s=3.0, vehicles=20)
    over_ros = drive_over_ros("rule_based_oracle", route, tmp_path, pictures="as_is")
    in_process = engine.drive(RuleBasedOracle(), build_world(route), look=lambda moment: {})
    assert compare(in_process, over_ros)["is_identical"], compare(in_process, over_ros)
    assert over_ros.canonical_hash() == in_process.canonical_hash()
    assert len(over_ros) == 60 and in_process.columns["speed_mps"].max() > 1.0


@pytest.mark.ros
@pytest.mark.parametrize("policy", ["Raises", "NotANumber"])
def test_what_a_policy_does_wrong_ends_its_drive_as_in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    route = RouteSpec(route_id="wrong", laps=0.02)
    over_ros = drive_over_ros(f"drive_policies:{policy}", route, tmp_path, pictures="as_is")
    in_process = engine.drive(getattr(drive_policies, policy)(), build_world(route), look=lambda moment: {})
    assert over_ros.ended == in_process.ended and over_ros.ended.startswith("failed: ") and len(over_ros) == 19
    assert compare(in_process, over_ros)["is_identical"], compare(in_process, over_ros)


@pytest.mark.parametrize(("policy", "message"), [("WrongSpec", "action spec is 'steering_only', only 'car' can be driven"), ("WrongRig", "needs rig 'quad'")])
def test_a_policy_that_cannot_drive_the_vehicle_is_refused_before_any_node_starts(tmp_path: Path, policy: str, message: str) -> None:
    with pytest.raises(MimicError, match=message):
        drive_over_ros(f"drive_policies:{policy}", RouteSpec(route_id="wrong"), tmp_path, pictures="as_is")
    assert not list(tmp_path.iterdir())


@pytest.mark.ros
def test_a_recording_holds_every_tick(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "drives"
    assert main(["sim", "record", "--towns", "course", "--hours", "0.0005", "--seed", "3", "--over-ros", "--image-rate", "10", "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["drives"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["drives"]
    bag = out / "drive_0000"
    rows = DriveResult.load(bag / "rows.parquet")
    stamps = rows.columns["stamp_ns"].tolist()
    with AnyReader([bag]) as reader:
        seen: dict[str, list[int]] = {topic: [] for topic in RELATIVE_TOPICS}
        commands: list[str] = []
        for connection, _, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            if connection.topic in seen:
                stamp = message.clock if connection.topic == "/clock" else message.header.stamp
                seen[connection.topic].append(stamp.sec * 10**9 + stamp.nanosec)
            elif connection.topic == "/planning/route_command":
                commands.append(message.data)
    assert all(found == stamps for found in seen.values()), {topic: len(found) for topic, found in seen.items()}
    assert commands == ["follow"] * len(stamps)
    assert json.loads((bag / "drive.json").read_text(encoding="utf-8"))["look"] == "day"


@pytest.mark.ros
def test_silence_is_named_and_fails_the_process(ros: object) -> None:
    clocks = ros.collect(Clock, "/clock")  # type: ignore[attr-defined]
    odometry = ros.collect(Odometry, "/localization/kinematic_state")  # type: ignore[attr-defined]
    ros.collect(Odometry, "/localization/kinematic_state")  # type: ignore[attr-defined]  # planner and vehicle interface both listen
    commands = ros.collect(String, "/planning/route_command")  # type: ignore[attr-defined]
    routes = ros.collect(PathMessage, "/planning/route")  # type: ignore[attr-defined]
    pictures, infos = ros.collect(Image, "/camera/front/image_raw"), ros.collect(CameraInfo, "/camera/front/camera_info")  # type: ignore[attr-defined]
    plans = ros.collect(JointTrajectory, "/sim/expert_trajectory")  # type: ignore[attr-defined]
    process = ros.start("mimic_sim.sim_node", "sim_node", {"answer_timeout_s": 1.0})  # type: ignore[attr-defined]
    assert ros.configure("sim_node") and ros.activate("sim_node")  # type: ignore[attr-defined]
    ros.wait_until(lambda: clocks and odometry and commands and routes and pictures and infos and plans, "the first tick")  # type: ignore[attr-defined]
    assert {stamp_to_ns(m.header.stamp) for m in (odometry[0], pictures[0], plans[0])} == {10**9}
    assert (pictures[0].height, pictures[0].width, pictures[0].encoding) == (128, 256, "rgb8")
    assert plan_from_message(plans[0]).model_id == "expert" and commands[0].data == "follow"
    deadline_s = time.monotonic() + 20.0
    while process.poll() is None and time.monotonic() < deadline_s:
        ros.spin_for(0.1)  # type: ignore[attr-defined]
    code, output = ros.stop("sim_node")  # type: ignore[attr-defined]
    assert code == 1 and "no answer to tick 0 within 1.0 s: planner_node is silent" in output, output
    assert len(clocks) == 1, "no tick goes on without an answer"


def test_camera_info_and_mounting_say_what_the_rig_says() -> None:
    from mimic_contracts.static_transforms import StaticTransforms

    for camera in load_rig("quad").cameras:
        message = ros_sim.camera_info_message(camera, stamp_ns=5)
        assert np.array(message.k).reshape(3, 3) == pytest.approx(camera.intrinsics())
        m = camera.mounting
        tree = StaticTransforms()
        quaternion = np.array(ros_sim.quaternion(m.rotation() @ ros_sim.OPTICAL_FROM_BODY.T))
        tree.set("optical", parent="base_link", translation_m=np.array([m.x_m, m.y_m, m.z_m]), quaternion=quaternion)
        found = tree.mounting("optical", base_frame="base_link")
        assert [found.yaw_rad, found.pitch_rad, found.roll_rad] == pytest.approx([m.yaw_rad, m.pitch_rad, m.roll_rad], abs=1e-9)


def test_the_steering_wheel_turns_with_the_ratio() -> None:
    vehicle = load_vehicle("simulator")
    message = ros_sim.steering_message(EgoMotion(x_m=0.0, y_m=0.0, yaw_rad=0.0, curvature_1pm=0.1), vehicle, stamp_ns=0)
    assert message.position[0] == pytest.approx(15.0 * np.arctan(0.28))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_command_that_is_not_finite_is_not_taken_over(value: float) -> None:
    message = TwistStamped()
    message.twist.linear.x, message.twist.angular.z = 5.0, 0.5
    assert ros_sim.twist_from_message(message) == Twist2D(speed_mps=5.0, yaw_rate_radps=0.5)
    for part, field in ((message.twist.linear, "x"), (message.twist.angular, "z")):
        before = getattr(part, field)
        setattr(part, field, value)
        with pytest.raises(ContractError, match=r"command\.twist\."):
            ros_sim.twist_from_message(message)
        setattr(part, field, before)
