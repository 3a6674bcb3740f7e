"""The rule-based planner on the road: lane keeping, following, passing, and what every plan of it has to be."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_helpers import VEHICLE, agent, bend, drive, lane, light, seen_from, stop_line, straight

from e2e_planner.policies import load_policy
from e2e_planner.rule_based import ErraticPursuit, RoutePursuit, RuleBasedOracle
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import EgoState, Observation
from mimic_contracts.policy import Policy
from mimic_contracts.scene import Scene
from vehicle_interface.kinematics import advance_pose

ROAD = lane("a", straight((-20, 0), (300, 0)), on_route=True)
ONCOMING = lane("b", straight((300, 3.2), (-20, 3.2)))


def road(*agents, lanes=(ROAD, ONCOMING), **more):
    return Scene(lanes=lanes, agents=agents, **more)


def observation(scene, *, stamp_ns=0, speed=8.0, curvature=0.0):
    return Observation(stamp_ns=stamp_ns, frames={}, scene=scene, ego=EgoState(speed_mps=speed, yaw_rate_radps=speed * curvature, curvature_1pm=curvature))


def assert_drivable(plan):
    """Finite, forward, within the vehicle's limits, and its channels tell the same motion."""
    x, y, yaw, speed, acceleration, curvature = plan.values.T
    limits = VEHICLE.limits
    assert np.isfinite(plan.values).all()
    assert speed.min() >= 0.0
    assert acceleration.max() <= limits.max_acceleration_mps2 + 1e-9
    assert acceleration.min() >= limits.min_emergency_acceleration_mps2 - 1e-9
    assert np.abs(curvature).max() <= limits.max_curvature_1pm
    assert np.hypot(x[0], y[0]) < 1e-9
    step_s = plan.spec.times_s[1]
    way = np.hypot(np.diff(x), np.diff(y))
    np.testing.assert_allclose(way, (speed[1:] + speed[:-1]) / 2.0 * step_s, atol=0.1)  # chord and arc
    for i in range(len(x) - 1):
        after = advance_pose(np.array([x[i], y[i], yaw[i]]), distance_m=float(way[i]), curvature_1pm=float((curvature[i] + curvature[i + 1]) / 2.0))
        assert np.hypot(after[0] - x[i + 1], after[1] - y[i + 1]) < 0.05 + 0.05 * way[i]  # curvature varies within a step


def test_built_in_names_are_policies():
    for name, kind in (("route_pursuit", RoutePursuit), ("rule_based_oracle", RuleBasedOracle)):
        policy = load_policy(name)
        assert isinstance(policy, kind)
        assert isinstance(policy, Policy)
        assert policy.needs_scene


def test_reaches_the_limit_and_keeps_the_lane():
    log = drive(lambda t, ego: road(), duration=15)
    assert 0.97 * 50 / 3.6 < log.speed[-1] <= 50 / 3.6
    assert np.abs(log.y).max() < 0.05


def test_comes_back_to_the_lane_from_beside_it():
    log = drive(lambda t, ego: road(), speed=10, pose=(0.0, 1.0, 0.1), duration=8)
    assert abs(log.y[-1]) < 0.1
    assert np.abs(log.y).max() < 1.9


def test_takes_a_bend_at_curve_speed():
    lanes = (
        lane("a", straight((-20, 0), (60, 0)), on_route=True, successors=("b",)),
        lane("b", bend((60, 0), (80, 20), (80, 0)), on_route=True, successors=("c",)),
        lane("c", straight((80, 20), (80, 150)), on_route=True),
    )
    log = drive(lambda t, ego: road(lanes=lanes), speed=12, duration=16)
    lateral = log.speed**2 * np.abs(log.curvature)
    assert 1.2 < lateral.max() < 2.6
    middle = bend((60, 0), (80, 20), (80, 0))
    on_bend = (log.x > 62) & (log.y < 18)
    distance = np.hypot(
        log.x[on_bend, None] - np.interp(np.linspace(0, 12, 200), np.arange(13), middle[:, 0]),
        log.y[on_bend, None] - np.interp(np.linspace(0, 12, 200), np.arange(13), middle[:, 1]),
    ).min(axis=1)
    assert distance.max() < 0.6
    assert abs(log.x[-1] - 80) < 0.15


def test_stops_behind_a_standing_car():
    log = drive(lambda t, ego: road(agent(1, 80, 0, brake=True)), speed=13, duration=18)
    assert log.speed[-1] < 0.01
    assert 2.0 < log.clearance()[-1] < 4.0


def test_keeps_a_time_gap_behind_a_moving_car():
    log = drive(lambda t, ego: road(agent(1, 40 + 8 * t, 0, speed=8)), speed=13, duration=20)
    gap_s = (40 + 8 * log.t[-1] - 2.25 - log.front[-1, 0]) / log.speed[-1]
    assert 1.3 < gap_s < 2.1
    assert log.clearance().min() > 8


def test_a_lead_that_brakes_hard_is_not_hit():
    def scene(t, ego):
        b = min(max(t - 3, 0), 12 / 5)
        return road(agent(1, 28 + 12 * min(t, 3) + 12 * b - 2.5 * b**2, 0, speed=12 - 5 * b, brake=t > 3))

    log = drive(scene, speed=12, duration=12)
    assert log.clearance().min() > 1.0
    assert log.speed[-1] < 0.1


def test_makes_room_for_one_who_cuts_in():
    def scene(t, ego):
        y = 3.2 - 3.2 * np.clip((t - 1.5) / 3.0, 0, 1)
        yaw = -0.11 if 1.5 < t < 4.5 else 0.0
        return road(agent(1, 16 + 9 * t, y, yaw, speed=9, indicator="right"), lanes=(ROAD, lane("b", straight((-20, 3.2), (300, 3.2)))))

    log = drive(scene, speed=11, duration=10)
    assert log.clearance().min() > 1.0
    at_entry = log.when(log.t >= 3.0)
    assert log.speed[int(at_entry * 10)] < 10.6


@pytest.mark.parametrize("offset", [-1.9, -2.2])
def test_passes_a_parked_car_with_clearance(offset):
    log = drive(lambda t, ego: road(agent(1, 60, offset)), speed=10, duration=14)
    assert log.x[-1] > 90
    assert log.clearance().min() > 0.5  # as much as its lane leaves
    assert abs(log.y[-1]) < 0.15


def test_waits_behind_a_parked_car_for_oncoming_traffic_and_passes_then():
    def scene(t, ego):
        return road(agent(1, 60, -1.0), *(agent(2 + i, 150 + 15 * i - 9 * t, 3.2, np.pi, 9) for i in range(5)))

    log = drive(scene, speed=9, duration=40)
    clear = (150 + 60 - 60) / 9
    assert log.when(log.x > 60) > clear - 1.0
    assert log.x[-1] > 80
    assert log.clearance().min() > 0.6
    assert abs(log.y[-1]) < 0.3


def test_a_row_of_parked_cars_is_passed_in_one_go():
    row = tuple(agent(i, 60 + 7 * i, -1.0) for i in range(4))

    def scene(t, ego):
        return road(*row, agent(9, 175 - 8 * t, 3.2, np.pi, 8))

    log = drive(scene, speed=9, duration=40)
    assert log.x[-1] > 100
    assert log.clearance().min() > 0.6


def test_changes_lanes_behind_one_who_is_there():
    lanes = (
        lane("own", straight((-20, 0), (120, 0))),
        lane("left", straight((-20, 3.2), (120, 3.2)), on_route=True, successors=("on",)),
        lane("on", straight((120, 3.2), (300, 3.2)), on_route=True),
    )
    log = drive(lambda t, ego: road(agent(1, -3 + 11 * t, 3.2, speed=11), lanes=lanes), speed=10, duration=14)
    assert log.clearance().min() > 1.0
    assert log.when(log.y > 1.5) > 1.0
    assert abs(log.y[-1] - 3.2) < 0.2
    blocked = drive(lambda t, ego: road(*(agent(i, 8 * i - 60, 3.2, speed=0.0) for i in range(30)), lanes=lanes), speed=10, duration=20)
    assert 60 < blocked.front[-1, 0] < 120
    assert blocked.clearance().min() > 1.0


def test_a_queue_at_a_light_is_not_passed():
    scene = road(agent(1, 60, 0), agent(2, 67, 0), stop_lines=(stop_line("a", "signal", (72, 0)),), lights=(light("a", "red"),))
    log = drive(lambda t, ego: scene, speed=9, duration=25)
    assert np.abs(log.y).max() < 0.1
    assert 2.0 < log.clearance()[-1] < 4.5


def test_erratic_pursuit_stands_and_goes_by_lot_and_the_same_every_time():
    starts_m = (0.0, 0.0, 3.0, 7.0, 12.0)  # each with lots of its own, by the bits of its road, which are not every processor's
    speeds = [drive(lambda t, ego: road(), policy=ErraticPursuit(), speed=10, pose=(start_m, 0.0, 0.0), duration=60).speed for start_m in starts_m]
    assert np.array_equal(speeds[0], speeds[1]) and not np.array_equal(speeds[1], speeds[2])
    assert max(speed.max() for speed in speeds) > 8.0
    assert max(np.diff(speed < 0.05).sum() for speed in speeds) >= 4, "more than once"


def test_route_pursuit_sees_nobody():
    log = drive(lambda t, ego: road(agent(1, 60, 0)), policy=RoutePursuit(), speed=10, duration=8)
    assert log.clearance().min() < 0.2


def test_the_same_observations_give_the_same_bytes_after_reset():
    scene = road(agent(1, 60, -1.0), agent(2, 90, 3.2, np.pi, 9))
    policy, runs = RuleBasedOracle(), []
    for _ in range(2):
        policy.reset()
        runs.append([policy.plan(observation(seen_from(scene, np.array([k * 0.8, 0, 0])), stamp_ns=k * 100_000_000)).values.tobytes() for k in range(20)])
    assert runs[0] == runs[1]


def test_errors_say_what_is_missing():
    with pytest.raises(MimicError, match="on_route"):
        RuleBasedOracle().plan(observation(road(lanes=(ONCOMING,))))
    with pytest.raises(MimicError, match="needs_scene"):
        RuleBasedOracle().plan(observation(None))
    with pytest.raises(MimicError, match="no speed"):
        RoutePursuit().plan(Observation(stamp_ns=0, frames={}, scene=road()))


AGENTS = st.builds(
    agent,
    st.integers(0, 30),
    st.floats(-30, 100),
    st.floats(-12, 12),
    st.floats(-3.2, 3.2),
    st.floats(0, 18),
    kind=st.sampled_from(["car", "truck", "bicycle", "pedestrian"]),
    brake=st.booleans(),
    indicator=st.sampled_from(["none", "left", "right", "both"]),
)


@settings(max_examples=60, deadline=None)
@given(
    agents=st.lists(AGENTS, max_size=12, unique_by=lambda one: one.track_id),
    speed=st.floats(0, 25),
    curvature=st.floats(-0.02, 0.02),
    offset=st.floats(-3, 3),
    state=st.sampled_from(["red", "yellow", "green", "off", "unknown"]),
    rule=st.sampled_from(["signal", "stop", "all_way_stop", "give_way"]),
)
def test_any_scene_gives_a_drivable_plan(agents, speed, curvature, offset, state, rule):
    lanes = (
        lane("a", straight((-20, offset), (30, offset)), on_route=True, successors=("turn",)),
        lane("turn", bend((30, offset), (42, offset + 12), (42, offset)), on_route=True, successors=("out",), yields_to=("c",)),
        lane("out", straight((42, offset + 12), (42, 120)), on_route=True),
        lane("c", straight((100, offset + 3), (-20, offset + 3))),
    )
    crossing = np.array([[36.0, 14], [48, 14], [48, 18], [36, 18]])
    scene = Scene(lanes=lanes, agents=tuple(agents), crossings=(crossing,), lights=(light("a", state),), stop_lines=(stop_line("a", rule, (29.0, offset)),))
    policy = RuleBasedOracle()
    for k in range(3):
        assert_drivable(policy.plan(observation(scene, stamp_ns=k * 100_000_000, speed=speed, curvature=curvature)))


def test_a_plan_takes_a_few_milliseconds():
    rng = np.random.default_rng([3, 0])
    agents = tuple(agent(i, rng.uniform(-40, 90), rng.uniform(-20, 20), rng.uniform(-3, 3), rng.uniform(0, 12)) for i in range(30))
    lanes = [ROAD, ONCOMING] + [lane(f"x{i}", straight((10 * i - 60, -60), (10 * i - 60, 60))) for i in range(14)]
    scene = seen_from(road(*agents, lanes=tuple(lanes)), np.zeros(3))
    policy, times = RuleBasedOracle(), []
    for k in range(20):
        begin = time.perf_counter()
        policy.plan(observation(scene, stamp_ns=k * 100_000_000))
        times.append(time.perf_counter() - begin)
    assert np.median(times) < 0.05  # a busy machine; the target, 5 ms, is measured alone
