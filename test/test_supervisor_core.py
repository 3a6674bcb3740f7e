"""What the supervisor finds, stream by stream, without ROS: each fault is found in time, and a good drive never objected to."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vehicle_helpers import VEHICLE, S, arc_plan

from mimic_contracts.errors import ContractError
from mimic_contracts.rig import load_rig
from mimic_contracts.vehicle import OperationalDesignDomain
from vehicle_interface.kinematics import advance_pose
from vehicle_interface.plan_tracker import Motion
from vehicle_interface.plausibility import OdometryPlausibility
from vehicle_interface.supervision import DEGRADED, LEVELS, OK, STOP, Verdict, worst
from vehicle_interface.supervisor_core import SupervisorCore, is_inside
from vehicle_interface.supervisor_parameters import SupervisorParameters

STEP_NS = S // 20
RIG = load_rig("quad")
NODES = ("camera_node", "planner_node", "vehicle_interface_node")


class Watched:
    """A supervisor and a vehicle that it watches: everything well unless changed. Steps of 50 ms."""

    def __init__(self, *, speed=10.0, curvature=0.0, odd=None, **parameters):
        vehicle = VEHICLE if odd is None else dataclasses.replace(VEHICLE, odd=odd)
        self.core = SupervisorCore(vehicle, RIG, SupervisorParameters(**parameters))
        self.speed, self.curvature, self.pose = speed, curvature, np.zeros(3)
        self.now_ns, self.steady_ns, self.picture = 100 * S, 7 * S, 0
        self.alive, self.sees, self.senses, self.plans = set(NODES), True, True, True
        self.bias_m, self.told_speed, self.told_yaw_rate, self.plan_change = np.zeros(3), None, None, {}
        self.frozen, self.brightness = (), 100

    def step(self):
        self.now_ns, self.steady_ns = self.now_ns + STEP_NS, self.steady_ns + STEP_NS
        self.pose = advance_pose(self.pose, distance_m=self.speed * STEP_NS / S, curvature_1pm=self.curvature)
        for node in self.alive:
            self.core.note_heartbeat(node, steady_ns=self.steady_ns)
        if self.senses:
            speed = self.speed if self.told_speed is None else self.told_speed
            yaw_rate = self.speed * self.curvature if self.told_yaw_rate is None else self.told_yaw_rate
            self.core.note_odometry(
                Motion(stamp_ns=self.now_ns, pose=self.pose + self.bias_m, speed_mps=speed, yaw_rate_radps=yaw_rate), steady_ns=self.steady_ns
            )
        if self.sees:
            self.picture += 1
            self.core.note_pictures(self.pictures(self.frozen), stamp_ns=self.now_ns, steady_ns=self.steady_ns)
        if self.plans:
            plan = {"speed": self.speed, "curvature": self.curvature, **self.plan_change}
            self.core.note_plan(arc_plan(stamp_ns=self.now_ns, **plan))
        return self.judge()

    def pictures(self, frozen=()):
        pictures = {camera.name: np.full((16, 16, 3), self.brightness, np.uint8) for camera in RIG.cameras}
        for name, picture in pictures.items():
            picture[0, 0] = 0 if name in frozen else self.picture % 100
        return pictures

    def judge(self):
        return self.core.judge(now_ns=self.now_ns, steady_ns=self.steady_ns)

    def run(self, steps=60):
        for _ in range(steps):
            verdict = self.step()
        return verdict

    def steps_until(self, level, most=100):
        for count in range(1, most):
            if self.step().level == level:
                return count
        raise AssertionError(f"not {level} within {most} steps, but {self.judge()}")


def test_the_worst_level_wins_with_its_own_reasons():
    assert worst([]) == Verdict(OK, "")
    assert worst([Verdict(DEGRADED, "a"), Verdict(OK, "b"), Verdict(STOP, "c"), Verdict(STOP, "d")]) == Verdict(STOP, "c; d")
    assert worst([Verdict(OK, "fine")]) == Verdict()
    assert worst([Verdict(DEGRADED, "a"), Verdict(OK, "b")]) == Verdict(DEGRADED, "a")
    assert all(LEVELS.index(a) < LEVELS.index(b) for a, b in pairwise(LEVELS))


@settings(max_examples=30)
@given(st.floats(0.0, 20.0), st.floats(-0.15, 0.15))
def test_a_good_drive_is_never_objected_to(speed, curvature):
    watched = Watched(speed=speed, curvature=curvature if speed**2 * abs(curvature) < 5.0 else 0.0)
    watched.step()
    for _ in range(60):
        assert watched.step() == Verdict()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_noise_of_a_good_odometry_is_never_objected_to(seed):
    rng, watched = np.random.default_rng(seed), Watched(speed=8.0)
    watched.step()
    for _ in range(60):
        watched.bias_m = rng.normal(0.0, [0.05, 0.05, 0.01])
        watched.told_speed = 8.0 + rng.normal(0.0, 0.2)
        assert watched.step() == Verdict()


def test_before_anything_has_come_it_says_stop():
    verdict = Watched().judge()
    assert verdict.level == STOP
    for what in (*NODES, "pictures", "odometry"):
        assert f"{what} within" in verdict.reason


@pytest.mark.parametrize("node", NODES)
def test_a_dead_node_is_found_within_its_timeout(node):
    watched = Watched()
    assert watched.run() == Verdict()
    watched.alive.remove(node)
    assert watched.steps_until(STOP) == 4  # 0.2 s: the first beyond 0.15 s
    assert watched.judge().reason == f"no heartbeat of {node} within 0.15 s"
    watched.alive.add(node)
    assert watched.step() == Verdict()


@pytest.mark.parametrize(("what", "name", "steps"), [("sees", "pictures", 11), ("senses", "odometry", 7)])
def test_a_stream_that_ends_is_found(what, name, steps):
    watched = Watched()
    watched.run()
    setattr(watched, what, False)
    assert watched.steps_until(STOP) == steps
    assert f"no {name} within" in watched.judge().reason


@pytest.mark.parametrize("days", [-1.0, 1.0])
def test_a_clock_that_jumps_is_found(days):
    watched = Watched()
    watched.run()
    watched.now_ns += round(days * 86400) * S if days > 0 else -60 * S
    verdict = watched.step()
    assert verdict.level == STOP and "the clock of the pictures jumped by" in verdict.reason
    assert watched.run(60) == Verdict()  # all clocks agree again


def test_a_clock_of_one_stream_that_stands_still_is_found():
    watched = Watched(frame_timeout_s=0.5)
    watched.run()
    watched.sees = False
    for _ in range(12):
        watched.step()
        watched.core.note_pictures(watched.pictures(), stamp_ns=100 * S, steady_ns=watched.steady_ns)
    assert "the stamp of the pictures is" in watched.judge().reason


@pytest.mark.parametrize("camera", [camera.name for camera in RIG.cameras])
def test_one_frozen_camera_is_found_but_not_while_the_vehicle_stands(camera):
    watched = Watched(speed=0.0)
    watched.frozen = (camera,)
    assert watched.run() == Verdict()
    watched.speed = 3.0
    assert watched.steps_until(STOP) == 10  # 0.5 s
    assert watched.judge().reason == f"the pictures of camera '{camera}' are frozen for 0.5 s while the vehicle moves"
    assert watched.judge().suspect_s == pytest.approx(0.6)
    watched.frozen = ()
    assert watched.step() == Verdict()


def test_one_jump_of_the_pose_degrades_and_three_stop():
    watched = Watched()
    watched.run()
    watched.bias_m = np.array([0.0, 3.0, 0.0])
    assert watched.step().level == DEGRADED and "pose jumped by 3.0 m, 1 times" in watched.judge().reason
    assert watched.run(45) == Verdict()
    for side in (-3.0, 3.0, -3.0):
        watched.bias_m = np.array([0.0, side, 0.0])
        verdict = watched.step()
    assert verdict.level == STOP and "3 times" in verdict.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"told_speed": 2.0}, "from where its speeds lead"),
        ({"told_yaw_rate": 0.8}, "from where its yaw rates lead"),
        ({"speed": 0.0, "told_speed": 8.0}, "from where its speeds lead"),
    ],
)
def test_odometry_that_contradicts_itself_is_found_within_a_second(change, reason):
    watched = Watched(speed=8.0)
    watched.run()
    for name, value in change.items():
        setattr(watched, name, value)
    assert watched.steps_until(STOP) <= 20
    assert any(reason in watched.step().reason for _ in range(10))


@example(speed=13.9, late_s=[0.004 if tick % 8 == 2 else 0.0 for tick in range(40)])
@given(speed=st.floats(5.0, 25.0), late_s=st.lists(st.floats(-0.02, 0.02), min_size=40, max_size=40))
def test_a_frozen_pose_is_found_though_its_steps_are_jumps_now_and_then(speed, late_s):
    odometry, x_m, frozen_m = OdometryPlausibility(), 0.0, None
    for tick, late in enumerate(late_s):
        stamp_s = 0.05 * tick + late + 1.0
        x_m = speed * stamp_s
        frozen_m = x_m if tick == 25 else frozen_m  # 1.25 s of driving, then it stands still, and its speed does not
        pose = np.array([x_m if frozen_m is None else frozen_m, 0.0, 0.0])
        odometry.note(Motion(stamp_ns=round(1e9 * stamp_s), pose=pose, speed_mps=speed, yaw_rate_radps=0.0))
        if frozen_m is None:
            assert odometry.findings() == []
        elif any(verdict.level == STOP for verdict in odometry.findings()):
            assert 0.05 * (tick - 25) < 0.6
            return
    raise AssertionError("it was not found")


def test_one_jump_of_the_plan_degrades_and_swinging_stops():
    watched = Watched()
    watched.run()
    watched.plan_change = {"curvature": 0.06}  # 3 m to the side after 1 s
    assert watched.step().level == DEGRADED and watched.judge().reason == "the plan jumped 1 times within 2.0 s"
    for curvature in (-0.06, 0.06):
        watched.plan_change = {"curvature": curvature}
        verdict = watched.step()
    assert verdict == Verdict(STOP, "the plan jumped 3 times within 2.0 s", pytest.approx(0.2)), "two ticks since the first, and 0.1 s"
    watched.plan_change = {}
    assert watched.run(45) == Verdict()


def test_a_plan_whose_speed_swings_is_found():
    watched = Watched()
    watched.run()
    for speed in (16.0, 10.0, 16.0):
        watched.plan_change = {"speed": speed}
        verdict = watched.step()
    assert verdict.level == STOP


def test_a_plan_before_any_odometry_is_no_reason():
    core = SupervisorCore(VEHICLE, RIG, SupervisorParameters())
    core.note_plan(arc_plan(stamp_ns=5 * S))
    assert "the plan" not in core.judge(now_ns=5 * S, steady_ns=S).reason


def test_complaints_count_until_withdrawn_or_old():
    watched = Watched()
    watched.run()
    complain = lambda node, level, text: watched.core.note_diagnosis(node, Verdict(level, text), steady_ns=watched.steady_ns)  # noqa: E731
    complain("camera_node", DEGRADED, "camera 'front': blocked lens")
    assert watched.step() == Verdict(DEGRADED, "camera_node: camera 'front': blocked lens")
    complain("camera_node", OK, "camera 'front': ok")
    assert watched.step() == Verdict()
    complain("camera_node", STOP, "camera 'front': no picture")
    assert watched.step().level == STOP
    assert watched.run(31) == Verdict()
    complain("vehicle_interface_node", DEGRADED, "stops because of a verdict")  # to hear that would be an echo
    assert watched.step() == Verdict()


def test_outside_of_where_it_may_be_driven():
    square = ((-5.0, -5.0), (30.0, -5.0), (30.0, 5.0), (-5.0, 5.0))
    watched = Watched(odd=OperationalDesignDomain(max_speed_mps=8.0, min_brightness=40.0, geofence_m=square), speed=8.0)
    assert watched.run(60) == Verdict()  # 24 m
    assert watched.steps_until(STOP) == 16 and "(30.4, 0.0) m is outside of the geofence" in watched.judge().reason

    watched = Watched(odd=OperationalDesignDomain(max_speed_mps=8.0), speed=9.5)
    assert watched.run(10).reason == "9.5 m/s is faster than the 8.0 m/s that it may be driven"

    watched = Watched(odd=OperationalDesignDomain(min_brightness=40.0))
    watched.run(60)
    watched.brightness = 10
    assert watched.step() == Verdict()  # a shadow
    assert watched.run(60).level == DEGRADED and watched.judge().reason.endswith("must be at least 40")


def test_a_geofence_far_from_the_origin_is_as_sharp():
    east_m, north_m = 500_000.0, 5_000_000.0
    corners = tuple((east_m + x, north_m + y) for x, y in ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)))
    assert is_inside(np.array([east_m + 9.9, north_m + 9.9]), corners)
    assert not is_inside(np.array([east_m + 10.1, north_m + 5.0]), corners)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"max_speed_mps": 0.0}, "odd.max_speed_mps"),
        ({"min_brightness": 300.0}, "odd.min_brightness"),
        ({"geofence_m": [[0.0, 0.0], [1.0, 1.0]]}, "odd.geofence_m"),
        ({"geofence_m": [[0.0, 0.0], [1.0, 1.0], [1.0, np.nan]]}, "odd.geofence_m"),
        ({"geofence_m": [[0.0, 0.0], [1.0, 1.0], [1.0]]}, "odd.geofence_m"),
    ],
)
def test_an_impossible_domain_is_named(values, key):
    with pytest.raises(ContractError, match=key):
        OperationalDesignDomain(**values)


def test_it_degrades_until_somebody_confirms_the_mounting_and_again_when_he_falls_silent():
    car = Watched(calibration_required=True)
    assert car.run() == Verdict(DEGRADED, "calibration_node does not say that the cameras are mounted right")
    for said, found in (
        (Verdict(DEGRADED, "mounting of 'front': uncalibrated"), Verdict(DEGRADED, "calibration_node: mounting of 'front': uncalibrated")),
        (Verdict(STOP, "cannot configure: x"), Verdict(DEGRADED, "calibration_node: cannot configure: x")),  # nothing has moved by that
        (Verdict(OK, "mounting of 'front': calibrated"), Verdict()),
    ):
        car.core.note_diagnosis("calibration_node", said, steady_ns=car.steady_ns)
        assert car.step() == found
    assert car.run().reason == "calibration_node does not say that the cameras are mounted right"
