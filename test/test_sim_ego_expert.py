"""The simulated car's lags and limits, and the expert's plans from anywhere near the road."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic_contracts.action_spec import CAR
from mimic_contracts.canonical import canonical_bytes
from mimic_contracts.vehicle import load_vehicle
from mimic_sim import expert
from mimic_sim.disturbance import NONE, Disturbance
from mimic_sim.ego import SPEED_LAG_S, Control, Drift, EgoMotion, step
from mimic_sim.route_spec import RouteSpec
from mimic_sim.world import build_world

VEHICLE = load_vehicle("simulator")
WORLD = build_world(RouteSpec(route_id="test"))
ORIGIN = EgoMotion(x_m=0.0, y_m=0.0, yaw_rad=0.0)


def test_speed_follows_with_its_time_constant() -> None:
    ego = step(ORIGIN, VEHICLE, Control(speed_mps=0.5, curvature_1pm=0.0), duration_s=SPEED_LAG_S)
    assert ego.speed_mps == pytest.approx(0.5 * (1.0 - np.exp(-1.0)), rel=0.03)


def test_a_held_curvature_drives_its_circle() -> None:
    ego = dataclasses.replace(ORIGIN, speed_mps=5.0, curvature_1pm=0.05)
    control = Control(speed_mps=5.0, curvature_1pm=0.05)
    for _ in range(100):
        ego = step(ego, VEHICLE, control, duration_s=0.1)
        assert np.hypot(ego.x_m, ego.y_m - 20.0) == pytest.approx(20.0, abs=1e-6)


def test_without_commands_the_car_brakes_and_keeps_its_wheels() -> None:
    ego = step(dataclasses.replace(ORIGIN, speed_mps=3.0, curvature_1pm=0.02), VEHICLE, None, duration_s=2.0)
    assert ego.speed_mps == 0.0 and ego.curvature_1pm == 0.02


def test_a_twist_without_speed_holds_the_wheels_and_never_reverses() -> None:
    assert Control.from_twist(speed_mps=0.0, yaw_rate_radps=1.0).curvature_1pm is None
    assert Control.from_twist(speed_mps=-2.0, yaw_rate_radps=0.0).speed_mps == 0.0
    assert Control.from_twist(speed_mps=10.0, yaw_rate_radps=0.5).curvature_1pm == pytest.approx(0.05)


def test_a_drift_moves_sideways() -> None:
    ego = step(ORIGIN, VEHICLE, None, duration_s=1.0, drift=Drift(left_mps=0.3, yaw_rate_radps=0.0))
    assert (ego.x_m, ego.y_m) == pytest.approx((0.0, 0.3))


@given(st.floats(0.0, 30.0), st.floats(-0.3, 0.3), st.floats(-5.0, 60.0), st.floats(-3.0, 3.0))
def test_no_command_takes_the_car_out_of_its_limits(speed: float, curvature: float, wanted_speed: float, wanted_yaw_rate: float) -> None:
    limit = VEHICLE.limits.max_curvature_1pm
    ego = dataclasses.replace(ORIGIN, speed_mps=speed, curvature_1pm=float(np.clip(curvature, -limit, limit)))
    after = step(ego, VEHICLE, Control.from_twist(speed_mps=wanted_speed, yaw_rate_radps=wanted_yaw_rate), duration_s=0.05)
    assert after.speed_mps >= 0.0 and abs(after.curvature_1pm) <= limit + 1e-9
    assert -0.05 * 8.0 - 1e-9 <= after.speed_mps - ego.speed_mps <= 0.05 * 3.0 + 1e-9


def near_road(station: float, left: float, heading: float, speed: float, curvature: float) -> EgoMotion:
    x, y, yaw = WORLD.lane_line.poses(np.array([station]))[0]
    return EgoMotion(
        x_m=float(x - left * np.sin(yaw)), y_m=float(y + left * np.cos(yaw)), yaw_rad=float(yaw + heading), speed_mps=speed, curvature_1pm=curvature
    )


STATES = st.builds(near_road, st.floats(0.0, 1626.0), st.floats(-2.0, 2.0), st.floats(-0.25, 0.25), st.floats(0.0, 14.0), st.floats(-0.03, 0.03))


@settings(max_examples=150)
@given(STATES)
def test_a_plan_is_consistent_from_any_state(ego: EgoMotion) -> None:
    plan = expert.plan(WORLD.driving, ego, stamp_ns=0)
    x, y, yaw, v, a, k = plan.values.T
    assert [CAR.index(n) for n in ("x_m", "y_m", "yaw_rad", "speed_mps", "acceleration_mps2", "curvature_1pm")] == list(range(6))
    assert (x[0], y[0], yaw[0], v[0], k[0]) == pytest.approx((0.0, 0.0, 0.0, ego.speed_mps, ego.curvature_1pm), abs=1e-9)
    assert v.min() >= 0.0 and np.abs(k).max() <= expert.MAX_RETURN_CURVATURE_1PM
    dt = np.diff(CAR.times_s)
    assert np.diff(v) == pytest.approx((a[1:] + a[:-1]) / 2.0 * dt, abs=0.08), "speed is the integral of acceleration"
    assert np.diff(a) == pytest.approx(np.zeros(20), abs=expert.Style().jerk_mps3 * 0.2 + 0.8), "no jerk but where standstill begins"
    way = np.hypot(np.diff(x), np.diff(y))
    assert way == pytest.approx((v[1:] + v[:-1]) / 2.0 * dt, abs=0.05), "the way is the integral of speed"
    assert np.diff(yaw) == pytest.approx((k[1:] + k[:-1]) / 2.0 * way, abs=0.03), "heading is the integral of curvature"


@settings(max_examples=80)
@given(st.floats(0.0, 1626.0), st.floats(-1.0, 1.0), st.floats(-0.1, 0.1))
def test_a_plan_returns_to_the_line(station: float, left: float, heading: float) -> None:
    speed = float(WORLD.driving.line.sample(WORLD.driving.speed_mps, np.array([station]))[0]) * 0.9
    ego = near_road(station, left, heading, speed, float(WORLD.lane_line.sample(WORLD.lane_line.curvature_1pm, np.array([station]))[0]))
    plan = expert.plan(WORLD.driving, ego, stamp_ns=0)
    c, s = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    x, y = plan.channel("x_m")[-1], plan.channel("y_m")[-1]
    _, end_left = WORLD.driving.line.project(float(ego.x_m + c * x - s * y), float(ego.y_m + s * x + c * y))
    assert abs(end_left) < 0.2


def test_the_same_state_gives_the_same_bytes() -> None:
    ego = near_road(300.0, 0.4, 0.05, 9.0, 0.01)
    assert canonical_bytes(expert.plan(WORLD.driving, ego, stamp_ns=5)) == canonical_bytes(expert.plan(WORLD.driving, ego, stamp_ns=5))


def test_the_line_keeps_near_the_lane_and_its_speeds_are_calm() -> None:
    driving, style = WORLD.driving, expert.Style()
    offsets = [WORLD.lane_line.project(float(x), float(y))[1] for x, y in zip(driving.line.x_m[::10], driving.line.y_m[::10], strict=True)]
    assert np.abs(offsets).max() <= 0.3
    assert (driving.speed_mps**2 * np.abs(driving.line.curvature_1pm)).max() < style.lateral_acceleration_mps2 * 1.2
    assert driving.speed_mps.max() <= 50.0 / 3.6


def test_disturbances_are_seeded_and_take_about_a_third() -> None:
    one, same, other = (Disturbance(seed=s, duration_s=3600.0) for s in (1, 1, 2))
    assert one.episodes == same.episodes != other.episodes
    share = sum(e.duration_s + 1.5 for e in one.episodes) / 3600.0
    assert 0.28 < share < 0.40
    assert one.at(0.0, speed_mps=10.0) is NONE and one.at(one.episodes[0].start_s + 0.2, speed_mps=1.0) is NONE
    assert one.at(one.episodes[0].start_s + 0.2, speed_mps=10.0) is not NONE
