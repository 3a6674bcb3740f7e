"""What keeps the way from a picture to the actuation short: plans acted upon at once, garbage out of the way, a trace to look at it."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory
from vehicle_helpers import arc_plan

from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import odometry_message, plan_message, rgb_message
from mimic_contracts.ros_lifecycle import GARBAGE_BEATS, MimicNode
from mimic_contracts.stage_trace import TRAVELLED, read_trace
from vehicle_interface.vehicle_interface_node import VehicleInterfaceNode

pytestmark = pytest.mark.ros

SUCCESS = TransitionCallbackReturn.SUCCESS
MS = 1_000_000
SENT = {"source_timestamp": 1}


@dataclass(frozen=True)
class Parameters:
    """Of a node that works in real time, or not."""

    lockstep: bool = False


class Idle(MimicNode):
    """Does nothing."""

    parameters_class = Parameters

    def configure(self) -> None:
        """Nothing."""


@pytest.fixture
def context(ros) -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


class Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def idle(context, monkeypatch: pytest.MonkeyPatch) -> Iterator[Idle]:
    for field in Parameters.__dataclass_fields__.values():
        monkeypatch.setattr(field, "metadata", {"description": "…", "low": None, "high": None, "choices": ()})
    node = Idle("idle")
    yield node
    node.destroy_node()


def test_garbage_is_collected_between_callbacks_and_at_no_other_time(idle) -> None:
    assert idle.on_configure(None) == SUCCESS and gc.isenabled()
    assert idle.on_activate(None) == SUCCESS
    assert not gc.isenabled() and gc.get_freeze_count() > 10_000
    garbage = weakref.ref(Cycle())
    for _ in range(GARBAGE_BEATS - 1):
        idle._beat()
    assert garbage() is not None
    idle._beat()
    assert garbage() is None
    assert idle.on_deactivate(None) == SUCCESS
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_in_lockstep_nobody_waits_and_the_collector_runs_as_it_likes(idle) -> None:
    idle.set_parameters([Parameter("lockstep", value=True)])
    assert idle.on_configure(None) == SUCCESS and idle.on_activate(None) == SUCCESS
    assert gc.isenabled() and gc.get_freeze_count() == 0
    assert idle.on_deactivate(None) == SUCCESS


@pytest.fixture
def interface(context, tmp_path: Path) -> Iterator[VehicleInterfaceNode]:
    """Engaged at 6 m/s; its timer beats when the test says so, because nobody spins it."""
    node = VehicleInterfaceNode("vehicle_interface_node")
    patient = [Parameter(name, value=2.0) for name in ("plan_timeout_s", "odometry_timeout_s")]
    node.set_parameters([Parameter("trace", value=str(tmp_path)), Parameter("adapter", value="twist_stamped"), *patient])
    assert node.on_configure(None) == SUCCESS and node.on_activate(None) == SUCCESS
    sense(node)
    node._take_plan(plan(node))
    engage(node)
    yield node
    node.on_deactivate(None)
    node.destroy_node()


def engage(node: VehicleInterfaceNode) -> None:
    response = node._on_engage(SetBool.Request(data=True), SetBool.Response())
    assert response.success, response.message


def sense(node: VehicleInterfaceNode) -> None:
    now_ns = node.get_clock().now().nanoseconds
    node._on_odometry(odometry_message(stamp_ns=now_ns, pose=np.zeros(3), speed_mps=6.0, yaw_rate_radps=0.0))


def plan(node: VehicleInterfaceNode) -> JointTrajectory:
    return plan_message(arc_plan(stamp_ns=node.get_clock().now().nanoseconds, speed=6.0))


def test_a_plan_is_acted_upon_at_once_but_a_flood_of_them_is_not(ros, interface, tmp_path: Path) -> None:
    commands = ros.collect(TwistStamped, "/vehicle/command")
    ros.wait_until(interface._command_publisher.get_subscription_count, "that the commands are heard")
    for round_ in range(1, 4):
        sense(interface)
        interface._on_trajectory(plan(interface), SENT)
        ros.wait_until(lambda n=2 * round_ - 1: len(commands) == n, "the command of the plan")
        for _ in range(5):
            interface._on_trajectory(plan(interface), SENT)
        interface._on_timer()  # the next command is the timer's
        ros.wait_until(lambda n=2 * round_: len(commands) == n, "the command of the timer")
    broken = plan(interface)
    broken.points[3].positions[0] = float("nan")
    interface._on_trajectory(broken, SENT)
    interface._on_trajectory(plan(interface), SENT)
    ros.wait_until(lambda: len(commands) == 7, "the command of the plan after the broken one, which made none")
    interface.trace.close()
    stages = [one.stage for one in read_trace(tmp_path / "vehicle_interface_node.json")]
    assert stages[:4] == [TRAVELLED, "accepted", "stepped", "published"] and stages.count("published") == 7


def test_an_inactive_interface_acts_upon_no_plan(ros, interface) -> None:
    commands = ros.collect(TwistStamped, "/vehicle/command")
    ros.wait_until(interface._command_publisher.get_subscription_count, "that the commands are heard")
    interface.on_deactivate(None)
    sense(interface)
    interface._on_trajectory(plan(interface), SENT)
    assert interface.on_activate(None) == SUCCESS
    sense(interface)
    interface._on_trajectory(plan(interface), SENT)  # active, but not engaged
    engage(interface)
    interface._on_timer()
    ros.wait_until(lambda: commands, "the timer's command")
    assert len(commands) == 1


def test_camera_and_planner_say_when_a_picture_passed_each_stage(ros, tmp_path: Path) -> None:
    trace = {"trace": str(tmp_path), "lockstep": True}
    ros.start("perception.camera_node", "camera_node", trace)
    ros.start("e2e_planner.planner_node", "planner_node", {**trace, "odometry_required": False, "policy": "e2e_planner.baselines:ConstantSteering"})
    trajectories = ros.collect(JointTrajectory, "/planning/trajectory")
    for name in ("planner_node", "camera_node"):
        assert ros.configure(name)
    for name in ("planner_node", "camera_node"):
        assert ros.activate(name)
    camera = load_rig("mono").cameras[0]
    info = CameraInfo(height=camera.height_px, width=camera.width_px, distortion_model="plumb_bob", k=camera.intrinsics().ravel())
    ros.publisher(CameraInfo, "/camera/front/camera_info").publish(info)
    pictures = ros.publisher(Image, "/camera/front/image_raw")
    for number in range(1, 4):
        pictures.publish(rgb_message(np.full(camera.shape, number, np.uint8), stamp_ns=number * 50 * MS, frame_id="front"))
        ros.wait_until(lambda n=number: len(trajectories) == n, f"plan {number}")
    stages = {
        "camera_node": (TRAVELLED, "decoded", "warped", "packed", "published"),
        "planner_node": (TRAVELLED, "unpacked", "assembled", "inferred", "published"),
    }
    for name, expected in stages.items():
        assert ros.deactivate(name)  # answered between two callbacks: the last picture's is over
        code, output = ros.stop(name)
        assert code == 0, output
        slices = read_trace(tmp_path / f"{name}.json")
        assert [(one.stamp_ns, one.stage) for one in slices] == [(number * 50 * MS, stage) for number in range(1, 4) for stage in expected]
