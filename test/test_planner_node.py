"""The planner node over real DDS, and the parts of it that need none."""

from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMsg
from sensor_msgs.msg import Image
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from e2e_planner.observation_assembler import ObservationAssembler
from e2e_planner.planner_parameters import PlannerParameters
from mimic_contracts.config import config_dir
from mimic_contracts.errors import MimicError
from mimic_contracts.images import Frame
from mimic_contracts.observation import EgoState
from mimic_contracts.parameters import parameters_from_file
from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import odometry_message, plan_from_message, rgb_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import SENSOR_QOS
from mimic_contracts.scene import Scene

RIG = load_rig("mono")
TICK_NS = 50_000_000
FRAMES = {"front": Frame(image=np.zeros((128, 256, 3), np.uint8), stamp_ns=0)}


def frame_message(stamp_ns: int, *, rows: int = 128) -> Image:
    return rgb_message(np.zeros((rows, 256, 3), np.uint8), stamp_ns=stamp_ns, frame_id="mono")


def odometry(stamp_ns: int, speed_mps: float = 10.0) -> Odometry:
    return odometry_message(stamp_ns=stamp_ns, pose=np.zeros(3), speed_mps=speed_mps, yaw_rate_radps=0.1)


def test_the_parameter_file_has_every_key_and_no_other() -> None:
    path = config_dir() / "nodes" / "planner_node.yaml"
    assert parameters_from_file(PlannerParameters, str(path), "planner_node") == PlannerParameters()
    for name in PlannerParameters.__dataclass_fields__:
        assert f"    {name}:" in path.read_text()


def test_the_nearest_odometry_within_the_tolerance_counts() -> None:
    assembler = ObservationAssembler(odometry_required=True, tolerance_ns=TICK_NS)
    for i in range(5):
        assembler.add_ego(EgoState(speed_mps=float(i)), stamp_ns=i * TICK_NS)
    assert assembler.assemble(FRAMES, stamp_ns=2 * TICK_NS + 1000).ego.speed_mps == 2.0
    assert assembler.assemble(FRAMES, stamp_ns=5 * TICK_NS).ego.speed_mps == 4.0
    with pytest.raises(MimicError, match=r"within 0\.05 s.*-0\.051 s"):
        assembler.assemble(FRAMES, stamp_ns=5 * TICK_NS + 1_000_000)


def test_without_odometry_it_says_so_or_goes_on_without() -> None:
    with pytest.raises(MimicError, match="none has arrived"):
        ObservationAssembler(odometry_required=True, tolerance_ns=0).assemble(FRAMES, stamp_ns=0)
    assembler = ObservationAssembler(odometry_required=False, tolerance_ns=0)
    assembler.set_route_command("left")
    observation = assembler.assemble(FRAMES, stamp_ns=7)
    assert observation.ego == EgoState() and observation.route.command == "left" and observation.stamp_ns == 7


def test_route_points_are_told_from_where_the_vehicle_is() -> None:
    assembler = ObservationAssembler(odometry_required=False, tolerance_ns=0)
    assembler.set_route_points(np.array([[10.0, 5.0]]), is_fixed=True)
    assert assembler.assemble(FRAMES, stamp_ns=0).route.points_m.shape == (0, 2)  # nobody knows where that is from here
    assembler.add_ego(EgoState(), stamp_ns=0, pose=np.array([10.0, 0.0, np.pi / 2.0]))
    np.testing.assert_allclose(assembler.assemble(FRAMES, stamp_ns=0).route.points_m, [[5.0, 0.0]], atol=1e-9)
    assembler.set_route_points(np.array([[3.0, 1.0]]), is_fixed=False)
    np.testing.assert_array_equal(assembler.assemble(FRAMES, stamp_ns=0).route.points_m, [[3.0, 1.0]])


def test_a_clock_that_is_set_back_forgets_the_odometry() -> None:
    assembler = ObservationAssembler(odometry_required=True, tolerance_ns=TICK_NS)
    assembler.add_ego(EgoState(speed_mps=9.0), stamp_ns=100 * TICK_NS)
    assembler.add_ego(EgoState(speed_mps=1.0), stamp_ns=TICK_NS)
    assert assembler.assemble(FRAMES, stamp_ns=TICK_NS).ego.speed_mps == 1.0 and not assembler.is_complete(100 * TICK_NS)


def test_a_policy_that_needs_a_scene_gets_the_one_of_its_frame() -> None:
    assembler = ObservationAssembler(odometry_required=False, tolerance_ns=TICK_NS, scene_required=True)
    with pytest.raises(MimicError, match=r"no Scene within 0\.05 s of the picture: none has arrived"):
        assembler.assemble(FRAMES, stamp_ns=0)
    scene = Scene(crossings=(np.zeros((4, 2)),))
    assembler.set_scene(scene, stamp_ns=2 * TICK_NS)
    assert assembler.is_complete(2 * TICK_NS) and not assembler.is_complete(TICK_NS)
    assert assembler.assemble(FRAMES, stamp_ns=3 * TICK_NS).scene is scene
    with pytest.raises(MimicError, match=r"the last is -0\.100 s away; the simulator sends Scenes with publishes_scene"):
        assembler.assemble(FRAMES, stamp_ns=4 * TICK_NS)
    assert ObservationAssembler(odometry_required=False, tolerance_ns=0).assemble(FRAMES, stamp_ns=0).scene is None


@pytest.mark.ros
def test_lockstep_answers_every_tick(ros) -> None:
    ros.start("e2e_planner.planner_node", "planner_node", {"lockstep": True, "policy": "constant_velocity"})
    trajectories = ros.collect(JointTrajectory, "/planning/trajectory")
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    assert ros.configure("planner_node") and ros.activate("planner_node")
    frames, states = ros.publisher(Image, "/perception/frame"), ros.publisher(Odometry, "/localization/kinematic_state")
    for tick in range(1, 7):
        messages = [(frames, frame_message(tick * TICK_NS)), (states, odometry(tick * TICK_NS, speed_mps=float(tick)))]
        for publisher, message in messages if tick % 2 else reversed(messages):
            publisher.publish(message)
        ros.wait_until(lambda n=tick: len(trajectories) == n, f"the trajectory of tick {tick}")
        plan = plan_from_message(trajectories[-1])
        assert plan.stamp_ns == tick * TICK_NS and plan.channel("speed_mps")[0] == float(tick)
    states.publish(odometry(7 * TICK_NS))
    frames.publish(frame_message(7 * TICK_NS, rows=64))  # not the rig's size: no plan, but an answer
    stamped = lambda: [s for a in diagnostics if stamp_to_ns(a.header.stamp) == 7 * TICK_NS for s in a.status]  # noqa: E731
    ros.wait_until(stamped, "the reason of tick 7")
    assert stamped()[0].level == DiagnosticStatus.ERROR and "packed frame" in stamped()[0].message and stamped()[0].name == "planner_node"
    assert len(trajectories) == 6


@pytest.mark.ros
def test_real_time_is_silent_without_odometry_and_shows_its_plans(ros) -> None:
    ros.start("e2e_planner.planner_node", "planner_node", {"policy": "constant_velocity"})
    trajectories = ros.collect(JointTrajectory, "/planning/trajectory")
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    paths, markers = ros.collect(PathMsg, "/planning/path", SENSOR_QOS), ros.collect(MarkerArray, "/planning/markers", SENSOR_QOS)
    assert ros.configure("planner_node") and ros.activate("planner_node")
    frames = ros.publisher(Image, "/perception/frame", SENSOR_QOS)
    states = ros.publisher(Odometry, "/localization/kinematic_state", SENSOR_QOS)
    commands = ros.publisher(String, "/planning/route_command")
    said = lambda: [s.message for a in diagnostics for s in a.status if "no odometry" in s.message]  # noqa: E731
    _repeat(ros, lambda: frames.publish(frame_message(TICK_NS)), said, "the reason")
    assert not trajectories
    commands.publish(String(data="upwards"))  # not a command: ignored with a warning
    tick = iter(range(2, 10_000))

    def drive() -> None:
        stamp_ns = next(tick) * TICK_NS
        states.publish(odometry(stamp_ns - 10_000_000))
        frames.publish(frame_message(stamp_ns))

    _repeat(ros, drive, lambda: trajectories and paths and markers, "a trajectory, a path and markers")
    assert plan_from_message(trajectories[-1]).channel("speed_mps")[0] == 10.0 and len(paths[-1].poses) == 21


def _repeat(ros, act, condition, what: str) -> None:
    """Best-effort topics may lose a message: act until the condition holds."""

    def once() -> bool:
        act()
        ros.spin_for(0.02)
        return bool(condition())

    ros.wait_until(once, what)


@pytest.mark.ros
def test_a_policy_that_needs_no_odometry_and_one_that_cannot_be_loaded(ros) -> None:
    ros.start("e2e_planner.planner_node", "wheel_planner", {"lockstep": True, "odometry_required": False, "policy": "e2e_planner.baselines:ConstantSteering"})
    ros.start("e2e_planner.planner_node", "bad_planner", {"policy": "absent/run"})
    trajectories = ros.collect(JointTrajectory, "/planning/trajectory")
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    assert not ros.configure("bad_planner")
    ros.wait_until(lambda: [s for a in diagnostics for s in a.status if "absent/run" in s.message and s.level == DiagnosticStatus.ERROR], "the reason")
    assert ros.configure("wheel_planner") and ros.activate("wheel_planner")
    ros.publisher(Image, "/perception/frame").publish(frame_message(TICK_NS))
    ros.wait_until(lambda: trajectories, "a trajectory")
    assert plan_from_message(trajectories[0]).spec.name == "steering_only"


@pytest.mark.ros
def test_a_policy_of_another_rig_is_refused(ros, tmp_path: Path) -> None:
    (tmp_path / "narrow.yaml").write_text(
        "name: narrow\ncameras:\n  front: {height_px: 64, width_px: 64, horizontal_fov_deg: 30.0, x_m: 0.0, y_m: 0.0, z_m: 1.0}\n", encoding="utf-8"
    )
    (tmp_path / "planner_of_mono.py").write_text(
        "from e2e_planner.baselines import ConstantVelocity\n\n\nclass Planner(ConstantVelocity):\n    rig_name = 'mono'\n", encoding="utf-8"
    )
    ros._environment["PYTHONPATH"] = str(tmp_path)
    ros.start("e2e_planner.planner_node", "planner_node", {"policy": "planner_of_mono:Planner", "rig": str(tmp_path / "narrow.yaml")})
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    assert not ros.configure("planner_node")
    ros.wait_until(lambda: [s for a in diagnostics for s in a.status if "needs rig 'mono'" in s.message and "'narrow'" in s.message], "the reason")
