"""Kinematics, adapters, and the following of plans that were made a moment ago."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vehicle_helpers import VEHICLE, Car, S, arc_plan, bent_plan, changed

from mimic_contracts.errors import ContractError
from mimic_contracts.motion import from_frame, to_frame
from mimic_contracts.plan import Command
from vehicle_interface import modes
from vehicle_interface.adapters import ackermann_from_command, steering_wheel_from_command, twist_from_command
from vehicle_interface.kinematics import advance_pose, curvature_of_road_wheel, road_wheel_angle
from vehicle_interface.plan_tracker import Motion, PlanTracker

ORIGIN = np.zeros(3)

# Kinematics.


@given(distance=st.floats(-50.0, 50.0), curvature=st.floats(-1.0, 1.0), parts=st.integers(2, 50))
def test_an_arc_is_exact_in_one_step_or_in_many(distance, curvature, parts):
    pose = np.array([3.0, -2.0, 0.5])
    whole = advance_pose(pose, distance_m=distance, curvature_1pm=curvature)
    for _ in range(parts):
        pose = advance_pose(pose, distance_m=distance / parts, curvature_1pm=curvature)
    np.testing.assert_allclose(pose[:2], whole[:2], atol=1e-9)
    assert math.cos(pose[2] - whole[2]) == pytest.approx(1.0)


def test_arcs_of_known_ends():
    np.testing.assert_allclose(advance_pose(ORIGIN, distance_m=5.0 * math.pi, curvature_1pm=0.1), [10.0, 10.0, math.pi / 2], atol=1e-12)
    np.testing.assert_allclose(advance_pose(ORIGIN, distance_m=5.0 * math.pi, curvature_1pm=-0.1), [10.0, -10.0, -math.pi / 2], atol=1e-12)
    np.testing.assert_allclose(advance_pose(ORIGIN, distance_m=7.0, curvature_1pm=0.0), [7.0, 0.0, 0.0])
    np.testing.assert_allclose(advance_pose(ORIGIN, distance_m=7.0, curvature_1pm=1e-12), [7.0, 0.0, 0.0], atol=1e-9)


@given(curvature=st.floats(-1.0, 1.0), wheelbase=st.floats(0.05, 12.0))
@example(curvature=0.1, wheelbase=2.8)
def test_curvature_and_road_wheel_angle_are_inverse(curvature, wheelbase):
    angle = road_wheel_angle(curvature, wheelbase_m=wheelbase)
    assert curvature_of_road_wheel(angle, wheelbase_m=wheelbase) == pytest.approx(curvature)
    assert angle * curvature >= 0.0


def test_twist():
    twist = twist_from_command(Command(stamp_ns=0, acceleration_mps2=1.0, curvature_1pm=0.05, target_speed_mps=4.0))
    assert (twist.speed_mps, twist.yaw_rate_radps) == (4.0, pytest.approx(0.2))
    assert twist_from_command(Command(stamp_ns=0, acceleration_mps2=0.0, curvature_1pm=0.05, target_speed_mps=0.0)).yaw_rate_radps == 0.0


@given(curvature=st.floats(-0.5, 0.5), speed=st.floats(0.0, 30.0))
def test_ackermann_steers_the_curve_that_is_commanded_at_any_speed(curvature, speed):
    told = ackermann_from_command(Command(stamp_ns=0, acceleration_mps2=-1.0, curvature_1pm=curvature, target_speed_mps=speed), VEHICLE)
    assert told.speed_mps == speed
    assert curvature_of_road_wheel(told.steering_angle_rad, wheelbase_m=2.8) == pytest.approx(curvature)


def test_angles_are_told_from_where_the_steering_wheel_stands_when_it_goes_straight():
    crooked, straight = replace(VEHICLE, steering_offset_rad=0.3), Command(stamp_ns=0, acceleration_mps2=0.0, curvature_1pm=0.0, target_speed_mps=4.0)
    assert steering_wheel_from_command(straight, crooked) == 0.3
    assert ackermann_from_command(straight, crooked).steering_angle_rad == pytest.approx(0.3 / VEHICLE.steering_ratio)
    left = replace(straight, curvature_1pm=0.1)
    assert steering_wheel_from_command(left, crooked) == pytest.approx(0.3 + VEHICLE.steering_ratio * math.atan(0.28))


# Which plans are taken over.


def motion(*, stamp_ns=0, pose=ORIGIN, speed=8.0, yaw_rate=0.0):
    return Motion(stamp_ns=stamp_ns, pose=np.array(pose, np.float64), speed_mps=speed, yaw_rate_radps=yaw_rate)


def tracker(*, latency=0.0, **first):
    made = PlanTracker(actuation_latency_s=latency, max_lateral_acceleration_mps2=3.0)
    made.add_motion(motion(**first))
    return made


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (arc_plan(start=(2.1, 0.0, 0.0)), "begins 2.1 m away from the vehicle, must begin within 2.0 m"),
        (arc_plan(speed=-3.0), "speed_mps falls to -3.0"),
        (changed(arc_plan(), "x_m", -np.arange(21.0)), "goes back by 1.0 m between two points"),
        (arc_plan(start=(0.0, 0.0, math.pi), speed=-0.4), None),
        (changed(arc_plan(), "x_m", np.arange(21.0) * 21.0), "jumps by 21 m between two points, must be at most 20.0"),
        (changed(arc_plan(), "y_m", np.where(np.arange(21) % 2, 1e308, -1e308)), "begins 1e"),
        (changed(arc_plan(), "y_m", np.where(np.arange(21) == 9, 1e308, 0.0)), "jumps by 1e"),
        (changed(arc_plan(), "speed_mps", 101.0), "speed_mps is 101, must be at most 100.0"),
        (changed(arc_plan(), "curvature_1pm", -10.1), "curvature_1pm is 10.1, must be at most 10.0"),
        (changed(arc_plan(speed=1.0), "speed_mps", 8.0), "contradicts itself: its points are 4.0 m long, its speeds lead 32.0 m far"),
        (changed(arc_plan(speed=12.0), "speed_mps", 4.0), "contradicts itself: its points are 48.0 m long, its speeds lead 16.0 m far"),
        (changed(arc_plan(curvature=0.002), "curvature_1pm", 0.2), "contradicts itself: its headings turn by 0.06 rad, its curvatures by 6.40 rad"),
        (changed(arc_plan(curvature=0.1), "curvature_1pm", 0.0), "contradicts itself: its headings turn by 3.20 rad, its curvatures by 0.00 rad"),
        (changed(arc_plan(speed=4.0), "speed_mps", 8.0), None),
        (changed(arc_plan(), "curvature_1pm", 0.03), None),
        (arc_plan(speed=2.0, curvature=2.0), None),
        (arc_plan(start=(1.9, 0.0, 0.0)), None),
        (arc_plan(speed=90.0), None),
        (arc_plan(speed=0.0), None),
    ],
)
def test_plans_that_cannot_be_driven(plan, reason):
    made = tracker()
    if reason is None:
        made.accept(plan)
        assert made.plan is plan
        return
    with pytest.raises(ContractError, match=reason.replace("(", r"\(")):
        made.accept(plan)
    assert made.plan is None


def test_stamps_go_forward():
    made = tracker(stamp_ns=S)
    made.accept(arc_plan(stamp_ns=S))
    made.accept(arc_plan(stamp_ns=S))
    with pytest.raises(ContractError, match="stamp 999999999 is before the last plan's 1000000000"):
        made.accept(arc_plan(stamp_ns=S - 1))
    with pytest.raises(ContractError, match="odometry: stamp 999999999 is not after the last one's 1000000000"):
        made.add_motion(motion(stamp_ns=S - 1))


def test_a_clock_set_back_begins_anew():
    made = tracker(stamp_ns=100 * S)
    made.accept(arc_plan(stamp_ns=100 * S))
    made.add_motion(motion(stamp_ns=2 * S))
    made.accept(arc_plan(stamp_ns=2 * S))
    assert made.plan.stamp_ns == 2 * S


@pytest.mark.parametrize(("stamp_ns", "is_placed"), [(4 * S, True), (4 * S - 1, False), (6 * S, True), (6 * S + 1, False)])
def test_a_plan_is_placed_within_a_second_of_the_odometry(stamp_ns, is_placed):
    made = tracker(stamp_ns=5 * S)
    if is_placed:
        made.accept(arc_plan(stamp_ns=stamp_ns))
        return
    with pytest.raises(ContractError, match=r"over 1.0 s outside the odometry's 5000000000 to 5000000000"):
        made.accept(arc_plan(stamp_ns=stamp_ns))


def test_without_odometry_or_plan():
    with pytest.raises(ContractError, match="no odometry yet to place it by"):
        PlanTracker(actuation_latency_s=0.0, max_lateral_acceleration_mps2=3.0).accept(arc_plan())
    with pytest.raises(ContractError, match="none was accepted yet"):
        tracker().steer(pose=ORIGIN, speed_mps=1.0)
    made = tracker()
    made.accept(arc_plan())
    made.forget_plan()
    assert made.plan is None


# Where a plan lies.


def placed(made, stamp_ns):
    """The pose (3,) at which a plan of this stamp begins, found by driving along it."""
    made.accept(arc_plan(stamp_ns=stamp_ns))
    return made._path[0]


@pytest.mark.parametrize("at_s", [-0.9, 0.0, 0.25, 1.0, 1.35, 2.0, 2.9])
def test_a_plan_is_placed_by_the_pose_at_its_stamp(at_s):
    """On a circle, between odometry messages and beyond both ends."""
    curvature, speed = 0.05, 8.0

    def truth(time_s):
        return advance_pose(np.array([4.0, 5.0, 3.0]), distance_m=speed * time_s, curvature_1pm=curvature)

    made = PlanTracker(actuation_latency_s=0.0, max_lateral_acceleration_mps2=3.0)
    for k in range(41):
        made.add_motion(motion(stamp_ns=10 * S + k * S // 20, pose=truth(k / 20.0), speed=speed, yaw_rate=speed * curvature))
    found = placed(made, 10 * S + round(at_s * 1e9))
    np.testing.assert_allclose(to_frame(found[None], truth(at_s)), 0.0, atol=5e-3)


def test_history_is_bounded():
    made = tracker()
    for k in range(1, 400):
        made.add_motion(motion(stamp_ns=k * S // 20, pose=(8.0 * k / 20.0, 0.0, 0.0)))
    assert len(made._motions) == 101


def test_a_localisation_jump_takes_the_plan_along():
    """The vehicle did not move, its map did: the curvature asked for stays the same."""
    jump = np.array([40.0, -7.0, 1.0])
    straight, jumped = tracker(), tracker()
    for made in (straight, jumped):
        made.accept(arc_plan(curvature=0.02, start=(0.0, 0.3, 0.0)))
    after = np.array([0.4, 0.0, 0.0])
    straight.add_motion(motion(stamp_ns=S // 20, pose=after))
    moved = from_frame(after[None], jump)[0]
    jumped.add_motion(motion(stamp_ns=S // 20, pose=moved))
    assert jumped.steer(pose=moved, speed_mps=8.0) == pytest.approx(straight.steer(pose=after, speed_mps=8.0))
    np.testing.assert_allclose(placed(jumped, S // 40), from_frame(placed(straight, S // 40)[None], jump)[0])


@pytest.mark.parametrize(("off_m", "has_jumped"), [(0.61, False), (0.63, True)])
def test_what_counts_as_a_jump(off_m, has_jumped):
    """0.5 m and 30 % of the way: 0.62 m after 0.05 s at 8 m/s."""
    made = tracker()
    made.accept(arc_plan())
    made.add_motion(motion(stamp_ns=S // 20, pose=(0.4, off_m, 0.0)))
    assert (made._path[0, 1] > 0.1) == has_jumped


def test_standing_yaw_rates_say_nothing():
    np.testing.assert_array_equal(motion(speed=0.05, yaw_rate=9.0).pose_after(1.0), [0.05, 0.0, 0.0])
    np.testing.assert_allclose(motion(speed=8.0).pose_after(7.0), [8.0, 0.0, 0.0])
    np.testing.assert_allclose(motion(speed=8.0).pose_after(-7.0), [-8.0, 0.0, 0.0])


# What following asks for.


def test_the_curvature_is_the_one_at_now_plus_latency():
    made = tracker(latency=0.1)
    made.accept(changed(arc_plan(speed=8.0), "curvature_1pm", np.linspace(0.0, 0.04, 21)))
    wish = made.follow(pose=np.array([1.6, 0.0, 0.0]), speed_mps=8.0, age_s=0.2)
    assert wish.curvature_1pm == pytest.approx(0.04 * 0.3 / 4.0, abs=2e-3)


def test_the_acceleration_leads_to_the_speed_half_a_second_ahead():
    made = tracker(latency=0.1)
    made.accept(changed(arc_plan(speed=8.0), "speed_mps", 8.0 + 1.5 * np.arange(21) / 5.0))
    assert made.follow(pose=np.array([1.6, 0.0, 0.0]), speed_mps=8.3, age_s=0.2).acceleration_mps2 == pytest.approx(1.5)
    assert made.follow(pose=np.array([1.6, 0.0, 0.0]), speed_mps=8.0, age_s=0.2).acceleration_mps2 == pytest.approx(2.0)


def test_a_plan_too_fast_for_its_own_bend_is_slowed_down():
    """8 m/s into a bend of 10 m radius, where 3 m/s² allow 5.48 m/s: as hard as the way to it asks."""
    made = tracker()
    made.accept(bent_plan(speeds=np.full(21, 8.0), curvatures=np.where(np.arange(21) < 6, 0.0, 0.1)))
    assert made.follow(pose=ORIGIN, speed_mps=8.0, age_s=0.0).acceleration_mps2 == pytest.approx((30.0 - 64.0) / (2.0 * 9.6))
    assert made.follow(pose=np.array([8.0, 0.0, 0.0]), speed_mps=8.0, age_s=1.0).acceleration_mps2 == pytest.approx((30.0 - 64.0) / (2.0 * 1.6))
    assert made.follow(pose=ORIGIN, speed_mps=5.4, age_s=0.0).acceleration_mps2 == pytest.approx((30.0 - 5.4**2) / (2.0 * 16.0), rel=1e-3)  # up to its end


def test_a_bend_far_ahead_is_not_yet_braked_for():
    made = tracker()
    made.accept(bent_plan(speeds=np.full(21, 8.0), curvatures=np.where(np.arange(21) < 11, 0.0, 0.1)))
    assert made.follow(pose=ORIGIN, speed_mps=8.0, age_s=0.0).acceleration_mps2 == pytest.approx(0.0)
    assert made.follow(pose=ORIGIN, speed_mps=8.0, age_s=9.0).acceleration_mps2 == pytest.approx(0.0)  # beyond the plan's end


def test_a_plan_that_starts_late_is_a_start():
    made = tracker()
    made.accept(bent_plan(speeds=np.maximum(np.arange(21) / 5.0 - 0.3, 0.0), curvatures=np.zeros(21)))
    assert made.follow(pose=ORIGIN, speed_mps=0.0, age_s=0.0).acceleration_mps2 > 0.2


@pytest.mark.parametrize("curvature", [-0.05, 0.0, 0.02])
@pytest.mark.parametrize("speed", [2.0, 8.0])
def test_errors_are_steered_against_and_the_line_is_not(curvature, speed):
    made = tracker()
    made.accept(arc_plan(speed=8.0, curvature=curvature))
    on_line = advance_pose(ORIGIN, distance_m=9.3, curvature_1pm=curvature)
    assert made.steer(pose=on_line, speed_mps=speed) == pytest.approx(curvature, abs=1e-6)
    left = from_frame(np.array([[0.0, 0.5, 0.0]]), on_line)[0]
    length = max(4.0, speed)
    assert made.steer(pose=left, speed_mps=speed) == pytest.approx(curvature - 0.5 / length**2, abs=2e-3)
    turned = from_frame(np.array([[0.0, 0.0, 0.1]]), on_line)[0]
    assert made.steer(pose=turned, speed_mps=speed) == pytest.approx(curvature - 0.2 / length, abs=1e-6)


@pytest.mark.parametrize(("age_s", "rests"), [(0.0, False), (1.8, False), (2.0, True), (9.0, True)])
def test_when_a_plan_rests(age_s, rests):
    made = tracker(latency=0.1)
    made.accept(arc_plan(speed=2.0, acceleration=-1.0))
    assert made.rests(age_s=age_s) == rests


def test_a_plan_that_starts_off_does_not_rest():
    made = tracker()
    made.accept(arc_plan(speed=0.0, acceleration=0.1))
    assert not made.rests(age_s=0.0)


@settings(max_examples=40, deadline=None)
@given(lateral=st.floats(-0.5, 0.5), heading=st.floats(-0.12, 0.12), speed=st.floats(3.0, 12.0), curvature=st.floats(-0.015, 0.015))
@example(lateral=0.5, heading=0.12, speed=12.0, curvature=0.0)
@example(lateral=0.5, heading=0.12, speed=12.0, curvature=-0.015)
def test_a_disturbed_vehicle_returns_to_the_line_without_swinging(lateral, heading, speed, curvature):
    """Closed loop: one plan in the world, set again each tick as seen from the vehicle at that tick."""
    car = Car(speed=speed, curvature=curvature)
    car.pose = np.array([0.0, lateral, heading])
    errors = []
    for k in range(160):
        station = advance_pose(ORIGIN, distance_m=0.05 * speed * k, curvature_1pm=curvature)
        seen = to_frame(station[None], car.pose)[0]
        car.sense()
        car.core.set_plan(arc_plan(stamp_ns=car.now_ns, speed=speed, curvature=curvature, start=seen), steady_ns=car.steady_ns)
        if k == 0:
            assert car.engage()[0]
        car.step()
        errors.append(-seen[1])
    assert abs(errors[-1]) < 0.1 + 0.05 * abs(lateral) and max(map(abs, errors)) < abs(lateral) + 2.5 * abs(heading) * max(4.0, speed) * 0.5 + 0.2


def test_a_plan_made_a_moment_ago_drives_the_same_line():
    """Plans that arrive 0.2 s after their picture, at 5 Hz, hold a circle of 40 m."""
    car = Car(speed=8.0, curvature=0.025)
    waiting = []
    for k in range(200):
        car.sense()
        if k % 4 == 0:
            # What a planner would see from here: the rest of the circle about (0, 40).
            angle = math.atan2(car.pose[0], 40.0 - car.pose[1])
            on_circle = np.array([40.0 * math.sin(angle), 40.0 - 40.0 * math.cos(angle), angle])
            waiting.append((k + 4, arc_plan(stamp_ns=car.now_ns, speed=8.0, curvature=0.025, start=to_frame(on_circle[None], car.pose)[0])))
        if waiting and waiting[0][0] == k:
            car.core.set_plan(waiting.pop(0)[1], steady_ns=car.steady_ns)
            if k == 4:
                assert car.engage()[0]
        car.step()
        assert abs(math.hypot(car.pose[0], car.pose[1] - 40.0) - 40.0) < 0.1
    assert car.core.mode == modes.ENGAGED and VEHICLE.actuation_latency_s > 0.0
