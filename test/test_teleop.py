"""A joystick's plans, without ROS, and the operator as somebody who takes over from the planner, over DDS."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vehicle_helpers import VEHICLE, Car, S, arc_plan

from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import ContractError
from vehicle_interface import modes
from vehicle_interface.plan_tracker import Motion, PlanTracker
from vehicle_interface.teleop import BRAKING_MPS2, Sticks, TeleopParameters, plan_of, sticks_of

HELD = Sticks(1.0, 0.0, is_held=True, engages=False, is_emergency=False)


def planned(sticks=HELD, *, speed=0.0, max_speed=3.0, stamp_ns=S):
    return plan_of(sticks, vehicle=VEHICLE, max_speed_mps=max_speed, speed_mps=speed, stamp_ns=stamp_ns)


def test_axes_and_buttons_are_found_by_their_numbers():
    p = TeleopParameters(speed_axis=2, steering_axis=0, deadman_button=1, engage_button=0, emergency_button=2)
    assert sticks_of([0.5, 0.0, 2.0], [0, 1, 1], p) == Sticks(1.0, 0.5, is_held=True, engages=False, is_emergency=True)
    with pytest.raises(ContractError, match="joy: has 2 axis values, axis 2 is needed"):
        sticks_of([0.5, 0.0], [0, 1, 1], p)
    with pytest.raises(ContractError, match="joy: has 1 button values, button 2 is needed"):
        sticks_of([0.5, 0.0, 0.0], [0], p)
    with pytest.raises(ContractError, match="must be finite"):
        sticks_of([np.nan, 0.0, 0.0], [0, 1, 1], p)


@pytest.mark.parametrize("same", [{"engage_button": 4}, {"emergency_button": 0}, {"speed_axis": 0}])
def test_one_button_for_two_things_is_refused(same):
    with pytest.raises(ContractError, match="must all be different"):
        TeleopParameters(**same)


def test_it_speeds_up_to_the_sticks_end_and_brakes_when_the_stick_is_let_go():
    speeds = planned().channel("speed_mps")
    assert speeds[0] == 0.0 and (np.diff(speeds) >= 0.0).all() and speeds[-1] == pytest.approx(3.0)
    assert planned(max_speed=100.0, speed=30.0).channel("speed_mps")[-1] == pytest.approx(VEHICLE.limits.max_speed_mps)
    braking = planned(dataclasses.replace(HELD, speed=0.0), speed=3.0).channel("speed_mps")
    assert braking[0] == 3.0 and braking[-1] == 0.0 and np.diff(braking).min() >= -BRAKING_MPS2 * CAR.times_s[1] - 1e-9
    assert not planned(dataclasses.replace(HELD, speed=-1.0)).channel("speed_mps").any()  # backwards is no way to go


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), st.floats(-2.0, 30.0), st.floats(0.1, 30.0))
def test_every_plan_can_be_driven(speed_stick, steering_stick, speed, max_speed):
    plan = planned(dataclasses.replace(HELD, speed=speed_stick, steering=steering_stick), speed=speed, max_speed=max_speed)
    tracker = PlanTracker(actuation_latency_s=0.1, max_lateral_acceleration_mps2=3.0)
    tracker.add_motion(Motion(stamp_ns=S, pose=np.zeros(3), speed_mps=speed, yaw_rate_radps=0.0))
    tracker.accept(plan)
    curvature = plan.channel("curvature_1pm")[0]
    assert abs(curvature) <= VEHICLE.limits.max_curvature_1pm and curvature * steering_stick >= 0.0
    assert abs(curvature) * max(speed, 0.0) ** 2 <= VEHICLE.limits.max_lateral_acceleration_mps2


# Who drives


def operate(car, ticks, *, planner=True, **options):
    for _ in range(ticks):
        car.sense()
        if planner:
            car.plan(speed=8.0)
        car.core.set_plan(arc_plan(stamp_ns=car.now_ns, speed=car.speed, **options), steady_ns=car.steady_ns, is_operators=True)
        out = car.step()
    return out


def test_the_operator_takes_over_from_the_planner_and_keeps_the_vehicle():
    car = Car(speed=8.0).engaged()
    assert car.drive(5).mode == modes.ENGAGED and car.core.driven_by == "planner"
    operate(car, 60, acceleration=-2.0)
    assert car.speed < 4.0 and car.core.driven_by == "operator"
    out = car.drive(5, planning=True)  # he lets go: the planner goes on planning, and is not listened to
    assert (out.mode, out.reason) == (modes.MINIMAL_RISK_STOP, "no plan arrived within 0.15 s")
    car.drive(100)
    assert car.speed == 0.0
    assert car.engage()[0] is False  # the last plan is the operator's, and old
    car.drive(1)
    assert car.core.driven_by == "planner" and car.engage() == (True, "engaged")


def test_to_engage_while_the_operator_drives_gives_the_vehicle_back():
    car = Car(speed=8.0).engaged()
    operate(car, 5)
    assert car.engage() == (True, "already engaged") and car.core.driven_by == "planner"
    assert car.drive(20).mode == modes.ENGAGED
