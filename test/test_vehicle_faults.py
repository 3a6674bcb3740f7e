"""What faults have shown (benchmarks/faults.py), without ROS."""

import numpy as np
import pytest
from vehicle_helpers import TICK_NS, Car, S, arc_plan, bent_plan

from mimic_contracts.motion import to_frame
from vehicle_interface import modes
from vehicle_interface.plan_tracker import Motion, PlanTracker
from vehicle_interface.supervision import STOP, Verdict

DAY_NS = 86_400 * S


@pytest.mark.parametrize("days", [-2, 2])
def test_it_stops_on_its_line_also_when_stamps_are_of_another_day(days):
    """A left bend of 33 m radius that becomes a straight line after 8 m: it must not go straight where that is not yet so."""
    car = Car(speed=8.0, curvature=0.03)
    car.now_ns = 9 * DAY_NS
    car.engaged(curvature=0.03).drive(20, curvature=0.03)
    before = car.pose.copy()
    car.sense()
    plan = bent_plan(speeds=np.full(21, 8.0), curvatures=np.where(np.arange(21) < 5, 0.03, 0.0), stamp_ns=car.now_ns)
    car.core.set_plan(plan, steady_ns=car.steady_ns)
    car.now_ns += 1
    while car.speed > 0.0:
        car.sense(stamp_ns=car.now_ns + days * DAY_NS)
        assert car.step().mode == modes.MINIMAL_RISK_STOP
    end, line = to_frame(car.pose[None], before)[0], plan.values[:, :2]
    assert end[0] > 10.0
    assert abs(end[1] - np.interp(end[0], *line.T)) < 0.1


def test_a_stop_of_the_supervisor_follows_what_was_planned_before_anything_was_wrong():
    """Plans to the left, as of a camera that is frozen, while the road is straight: until the supervisor says so, and on."""
    car = Car(speed=10.0).engaged()
    car.drive(20)
    car.drive(10, curvature=0.03)
    while car.speed > 0.0:
        car.core.set_verdict(Verdict(STOP, "the pictures are frozen", 0.6), steady_ns=car.steady_ns)
        assert car.drive(1, curvature=0.03).mode == modes.MINIMAL_RISK_STOP
    assert abs(car.pose[1]) < 0.7  # 0.4 before anybody knew
    standing = car.pose.copy()
    car.core.set_verdict(Verdict(), steady_ns=car.steady_ns)
    car.sense()
    car.plan(speed=0.0)
    assert car.engage() == (True, "engaged"), "standing, plans are taken again"
    assert np.array_equal(standing, car.pose)


def test_a_localisation_jump_takes_older_plans_along():
    tracker = PlanTracker(actuation_latency_s=0.0, max_lateral_acceleration_mps2=3.0)
    for tick in range(20):
        pose = np.array([0.4 * tick, 0.0 if tick < 15 else 7.0, 0.0])
        tracker.add_motion(Motion(stamp_ns=tick * TICK_NS, pose=pose, speed_mps=8.0, yaw_rate_radps=0.0))
        tracker.accept(arc_plan(stamp_ns=tick * TICK_NS, curvature=0.0 if tick < 10 else 0.05))
    tracker.revert(0.0)
    assert tracker.plan is not None and tracker.plan.stamp_ns == 19 * TICK_NS
    tracker.revert(0.501)
    assert tracker.plan.stamp_ns == 8 * TICK_NS, "the last of those that are so much older than the newest"
    assert tracker.steer(pose=np.array([10.0, 7.0, 0.0]), speed_mps=8.0) == pytest.approx(0.0, abs=1e-9)
    tracker.revert(9.0)
    assert tracker.plan.stamp_ns == 0, "the oldest"


@pytest.mark.parametrize("factor", [3.0, 0.0])
def test_it_stops_on_its_line_also_when_the_measured_speed_is_wrong(factor):
    """In a bend of 100 m radius: with the limits of three times the speed it could not follow."""
    car = Car(speed=13.9, curvature=0.01).engaged(curvature=0.01)
    car.drive(20, curvature=0.01)
    before = car.pose.copy()
    while car.speed > 0.0:
        car.sense(speed_mps=factor * car.speed)
        out = car.step()
        assert out.mode == modes.MINIMAL_RISK_STOP and "where the vehicle can only have come to 13.9 m/s" in out.reason
    x_m, y_m, _ = to_frame(car.pose[None], before)[0]
    assert x_m > 25.0
    assert abs(np.hypot(x_m, y_m - 100.0) - 100.0) < 0.3
