"""Plans as people see them: drawn into pictures, as markers, and by the node that does so while somebody looks."""

import numpy as np
import pytest
from vehicle_helpers import arc_plan

from mimic_contracts.action_spec import CAR, STEERING_ONLY
from mimic_contracts.errors import ContractError
from mimic_contracts.image_geometry import project_points
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig
from perception.overlay_core import KEPT_NS, DrivingStatus, OverlayCore
from perception.plan_drawing import RIBBON_HALF_M, WHITE_RGB, draw_line, draw_plan, write_lines

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker, MarkerArray

from mimic_contracts.ros_conversions import odometry_message, plan_message, rgb_array, rgb_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import LATCHED_QOS, RELIABLE_QOS, SENSOR_QOS
from mimic_contracts.ros_markers import GREEN_MPS, SHOWN_PROBABILITY, alternatives_of, plan_markers, plan_path

RIG = load_rig("mono")
CAMERA = RIG.cameras[0]
TICK_NS = 50_000_000
NODE = "overlay_node"


def black() -> np.ndarray:
    return np.zeros(CAMERA.shape, np.uint8)


def with_alternatives(*probabilities: float, stamp_ns: int = TICK_NS) -> Plan:
    """A plan with alternatives that bend more and more to the left."""
    plans = [arc_plan(stamp_ns=stamp_ns, curvature=0.02 * index) for index in range(len(probabilities))]
    values = np.array([plan.values for plan in plans])
    return Plan(stamp_ns=stamp_ns, spec=CAR, values=values[0], alternatives=values, probabilities=np.array(probabilities), model_id="test")


# Drawing


def test_a_plan_is_a_ribbon_as_wide_as_a_car_on_the_road() -> None:
    picture = black()
    draw_plan(picture, arc_plan(speed=8.0).values, CAMERA)
    for x_m in (8.0, 12.0, 20.0):
        (left, row), (right, _) = project_points(CAMERA, np.array([(x_m, side, 0.0) for side in (RIBBON_HALF_M, -RIBBON_HALF_M)]))[0]
        columns = np.flatnonzero(picture[round(row)].any(axis=1))
        assert abs(columns.min() - left) <= 1.5 and abs(columns.max() - right) <= 1.5
    assert not picture[: round(row) - 20].any(), "nothing above the road"
    untouched = black()
    draw_plan(untouched, np.full((21, 6), np.nan), CAMERA)
    draw_plan(untouched, arc_plan(speed=0.0).values, CAMERA)
    assert not untouched.any()


def test_a_line_goes_through_its_points_and_not_behind_the_camera() -> None:
    picture, points = black(), np.array([(-10.0, 0.0), (8.0, 0.5), (15.0, 2.0), (1e9, -1e9)])
    draw_line(picture, points, CAMERA, colour=(200, 100, 0), opacity=0.5, width_px=1)
    rows, columns = np.nonzero(picture.any(axis=2))
    ends = project_points(CAMERA, np.column_stack([points[1:3], np.zeros(2)]))[0]
    assert rows.max() == pytest.approx(ends[0, 1], abs=2.0) and columns.min() == pytest.approx(ends[1, 0], abs=2.0)
    assert picture[..., 0].max() <= 101 and not picture[..., 2].any(), "half as opaque, in its colour"


def test_words_stand_below_one_another() -> None:
    one, two = np.zeros((384, 768, 3), np.uint8), np.zeros((384, 768, 3), np.uint8)
    write_lines(one, [("engaged", WHITE_RGB)])
    write_lines(two, [("planned", WHITE_RGB), ("engaged", WHITE_RGB)])
    top = np.flatnonzero(two.any(axis=(1, 2))).min()
    assert 0 < np.flatnonzero(one.any(axis=(1, 2))).min() - top < 40
    assert np.array_equal(one[-25:], two[-25:]), "the last line is where the only one was"


# What is drawn when


def test_each_picture_shows_the_plan_that_was_made_from_it() -> None:
    core = OverlayCore(RIG, width_px=512)
    assert core.draw() is None
    core.note_frame(black(), stamp_ns=TICK_NS)
    core.note_frame(np.full(CAMERA.shape, 90, np.uint8), stamp_ns=2 * TICK_NS)
    core.note_plan(arc_plan(stamp_ns=TICK_NS))
    picture, stamp_ns = core.draw()
    assert stamp_ns == TICK_NS and picture.shape == (256, 512, 3) and picture[:60].max() == 0, "the first picture, whose plan it is"
    assert picture[180, 256, 1] > 60, "with the plan"
    assert core.draw() is None, "once"
    core.note_plan(arc_plan(stamp_ns=2 * TICK_NS))
    assert core.draw()[1] == 2 * TICK_NS
    core.note_frame(black(), stamp_ns=2 * TICK_NS + KEPT_NS)
    assert core.draw() is None, "the next plan may still come"
    core.note_frame(black(), stamp_ns=2 * TICK_NS + KEPT_NS + 1)
    picture, stamp_ns = core.draw()
    assert stamp_ns == 2 * TICK_NS + KEPT_NS + 1 and not picture[180, 256].any(), "no plan comes: the newest picture, without"
    core.note_frame(black(), stamp_ns=3)
    assert core.draw()[1] == 3, "the clock was set back"


def test_alternatives_are_drawn_with_their_own_plan_the_more_opaque_the_more_probable() -> None:
    def blue(*probabilities: float, stamp_ns: int = TICK_NS) -> int:
        core = OverlayCore(RIG, width_px=512)
        core.note_frame(black(), stamp_ns=TICK_NS)
        core.note_plan(arc_plan(stamp_ns=TICK_NS))
        core.note_alternatives([(p, np.array([(5.0, 3.0), (20.0, 6.0)])) for p in probabilities], stamp_ns=stamp_ns)
        return int(core.draw()[0][:180, :110, 2].max())  # beside the plan, above the words

    assert blue(0.9) > blue(0.5) > blue(0.1) > blue() == blue(0.9, stamp_ns=2 * TICK_NS)


def test_what_is_no_plan_of_a_car_or_no_picture_of_the_rig() -> None:
    core = OverlayCore(RIG, width_px=512)
    with pytest.raises(ContractError, match="packed frame"):
        core.note_frame(np.zeros((8, 8, 3), np.uint8), stamp_ns=0)
    with pytest.raises(ContractError, match=r"frame\.stamp_ns: is -1"):
        core.note_frame(black(), stamp_ns=-1)
    core.note_frame(black(), stamp_ns=0)
    core.note_plan(Plan.single(stamp_ns=0, spec=STEERING_ONLY, values=np.zeros((1, 1)), model_id="test"))
    assert not core.draw()[0][180, 256].any()


def test_words_say_who_drives_and_what_limits() -> None:
    status = DrivingStatus(mode="engaged", driven_by="planner", limits="max_jerk_mps3 0.40", reason="no plan arrived")
    texts = [text for text, _ in status.lines(wants_driver=True)]
    assert texts == ["engaged, plans by planner", "limited by max_jerk_mps3 0.40", "TAKE OVER: no plan arrived"]
    assert len({colour for _, colour in status.lines(wants_driver=True)}) == 3
    assert DrivingStatus().lines(wants_driver=False) == [("no vehicle interface", WHITE_RGB)]


# Markers


def test_markers_show_the_speed_and_the_alternatives_and_can_be_read_back() -> None:
    plan = with_alternatives(0.7, 0.29, 0.01)
    message = plan_markers(plan)
    assert message.markers[0].action == Marker.DELETEALL and SHOWN_PROBABILITY > 0.01
    driven = message.markers[1]
    assert (driven.ns, driven.header.frame_id, stamp_to_ns(driven.header.stamp)) == ("plan", "base_link", TICK_NS)
    assert len(driven.colors) == len(driven.points) == 21
    stamp_ns, alternatives = alternatives_of(message)
    assert stamp_ns == TICK_NS and [probability for probability, _ in alternatives] == [0.7, 0.29]
    np.testing.assert_allclose(alternatives[1][1], plan.alternatives[1, :, :2])
    assert alternatives_of(MarkerArray()) == (0, [])
    standing, fast = (plan_markers(arc_plan(speed=speed)).markers[1].colors[0] for speed in (0.0, GREEN_MPS))
    assert (standing.r, standing.g, fast.r, fast.g) == (1.0, 0.0, 0.0, 1.0)
    path = plan_path(plan)
    assert path.header == driven.header and [pose.pose.position.x for pose in path.poses] == plan.values[:, 0].tolist()


# The node


@pytest.mark.ros
def test_the_node_listens_while_somebody_looks(ros) -> None:
    ros.start("perception.overlay_node", NODE, {"rate_hz": 20.0, "width_px": 512})
    assert ros.configure(NODE) and ros.activate(NODE)
    frames, plans = ros.publisher(Image, "/perception/frame", matched=False), ros.publisher(JointTrajectory, "/planning/trajectory", matched=False)
    markers, odometry = ros.publisher(MarkerArray, "/planning/markers", matched=False), ros.publisher(Odometry, "/localization/kinematic_state", matched=False)
    diagnostics = ros.publisher(DiagnosticArray, "/diagnostics", matched=False)
    ros.publisher(String, "/vehicle/mode", LATCHED_QOS, matched=False).publish(String(data="engaged"))
    ros.publisher(Bool, "/vehicle/takeover_request", LATCHED_QOS, matched=False).publish(Bool(data=True))
    ros.spin_for(0.3)
    assert frames.get_subscription_count() == 0, "nobody looks"

    pictures, words = ros.collect(Image, "/perception/overlay", SENSOR_QOS), ros.collect(MarkerArray, "/vehicle/markers", RELIABLE_QOS)
    ros.wait_until(lambda: all(p.get_subscription_count() for p in (frames, plans, markers, odometry, diagnostics)), "its subscriptions")
    status = DiagnosticStatus(level=DiagnosticStatus.OK, name="vehicle_interface_node", message="engaged by request")
    status.values = [KeyValue(key=k, value=v) for k, v in (("mode", "engaged"), ("driven_by", "planner"), ("limits", "max_jerk_mps3 0.40"))]
    ticks = iter(range(1, 1000))

    def tick() -> None:
        plan = with_alternatives(1.0, stamp_ns=next(ticks) * TICK_NS)
        frames.publish(rgb_message(black(), stamp_ns=plan.stamp_ns, frame_id="mono"))
        frames.publish(Image(encoding="mono8", height=1, width=1, step=1, data=b"x"))  # of no use, and no harm
        markers.publish(plan_markers(plan))
        markers.publish(MarkerArray(markers=[Marker(ns="alternatives", text="no number")]))
        odometry.publish(odometry_message(stamp_ns=plan.stamp_ns, pose=np.zeros(3), speed_mps=8.0, yaw_rate_radps=0.0))
        plans.publish(plan_message(plan))
        diagnostics.publish(DiagnosticArray(status=[status]))

    timer = ros.node.create_timer(0.05, tick)
    ros.wait_until(lambda: len(pictures) > 2 and rgb_array(pictures[-1])[180, 256, 1] > 60, "a picture with a plan")
    assert (pictures[-1].width, pictures[-1].height) == (512, 256) and stamp_to_ns(pictures[-1].header.stamp) % TICK_NS == 0
    ros.wait_until(lambda: words and words[-1].markers[0].text.endswith("TAKE OVER: engaged by request"), "the words")
    assert words[-1].markers[0].text.startswith("engaged, plans by planner\nlimited by max_jerk_mps3 0.40")
    for subscription in list(ros.node.subscriptions):
        if subscription.topic_name in ("/perception/overlay", "/vehicle/markers"):
            ros.node.destroy_subscription(subscription)
    ros.wait_until(lambda: frames.get_subscription_count() == 0, "that it listens no more")
    ros.node.destroy_timer(timer)
    assert ros.deactivate(NODE) and ros.activate(NODE)
    ros.collect(Image, "/perception/overlay", SENSOR_QOS)
    ros.wait_until(lambda: frames.get_subscription_count() == 1, "that it listens again")
    code, output = ros.stop(NODE)
    assert code == 0 and "Traceback" not in output, output
