"""Closed loop in process: the expert's lap, and every way in which a policy can fail its route."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mimic_contracts.action_spec import CAR, STEERING_ONLY
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig
from mimic_sim import engine
from mimic_sim.drive_result import DriveResult
from mimic_sim.moment import Moment
from mimic_sim.route_spec import RouteSpec, read_route
from mimic_sim.world import BLOCKED, COMPLETED, OFF_ROAD, TIME_LIMIT, Simulation, build_world
from vehicle_interface.adapters import Twist2D

RIG = load_rig("mono")
GREY = {camera.name: np.full(camera.shape, 100, np.uint8) for camera in RIG.cameras}


def look(moment: Moment) -> dict[str, np.ndarray]:
    return GREY


class Straight:
    """Drives straight on at a speed; `spoil` makes something else of each plan."""

    spec = CAR
    rig_name: str | None = "mono"

    def __init__(self, speed_mps: float, spoil: Callable[[Plan, Observation], object] = lambda plan, observation: plan) -> None:
        self.speed_mps, self.spoil, self.seen = speed_mps, spoil, []

    def reset(self) -> None:
        self.seen.clear()

    def plan(self, observation: Observation) -> Plan:
        self.seen.append(observation)
        values = np.zeros((len(CAR.times_s), len(CAR.channels)))
        speed = observation.ego.speed_mps
        acceleration = float(np.clip(self.speed_mps - speed, -1.5, 1.5))
        values[:, CAR.index("acceleration_mps2")] = acceleration
        values[:, CAR.index("speed_mps")] = np.maximum(speed + acceleration * CAR.times_s, 0.0)
        values[:, CAR.index("x_m")] = np.maximum(speed * CAR.times_s + acceleration * CAR.times_s**2 / 2.0, 0.0)
        plan = Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=values, model_id="straight")
        return self.spoil(plan, observation)  # type: ignore[return-value]


def drive(policy: Straight | None, **route: object) -> DriveResult:
    return engine.drive(policy, build_world(RouteSpec(route_id="test", **route)), look=look)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lap() -> DriveResult:
    return drive(None)


def test_the_expert_completes_the_lap_inside_its_lane(lap: DriveResult) -> None:
    c = lap.columns
    assert lap.ended == COMPLETED
    assert np.abs(c["rear_offset_m"]).max() < 0.35
    assert (np.abs(c["front_offset_m"]) < c["lane_margin_m"]).all()
    assert (c["speed_mps"] ** 2 * np.abs(c["curvature_1pm"])).max() < 3.0
    assert 140.0 < len(lap) * 0.05 < 165.0
    assert c["speed_mps"].max() <= 50.0 / 3.6


def test_a_drive_begins_as_over_ros(lap: DriveResult) -> None:
    c = lap.columns
    assert c["stamp_ns"][:3].tolist() == [1_000_000_000, 1_050_000_000, 1_100_000_000]
    assert c["mode"][:2].tolist() == ["disengaged", "engaged"]
    assert np.isnan(c["command_speed_mps"][0]) and np.isfinite(c["command_speed_mps"][1:]).all()
    assert lap.plans.shape == (len(lap), 21, 6) and np.isfinite(lap.plans).all()


def test_the_same_route_gives_the_same_numbers() -> None:
    one, two = (drive(None, laps=0.05, is_disturbed=True, seed=3) for _ in range(2))
    assert all(np.array_equal(one.columns[k], two.columns[k], equal_nan=one.columns[k].dtype.kind == "f") for k in one.columns)
    assert np.array_equal(one.plans, two.plans)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_expert_recovers_from_disturbances(seed: int) -> None:
    result = drive(None, is_disturbed=True, seed=seed, tick_s=0.1, start_m=200.0)
    offset = np.abs(result.columns["rear_offset_m"])
    assert result.ended == COMPLETED
    assert 0.4 < offset.max() < 2.5, "pushed, but never off the road"
    assert (offset < 0.825).mean() > 0.9


def test_straight_on_leaves_the_road() -> None:
    result = drive(Straight(8.0))
    assert result.ended == OFF_ROAD
    assert abs(result.columns["rear_offset_m"][-1]) > 29.0


def test_standing_still_is_blocked() -> None:
    result = drive(Straight(0.0))
    assert result.ended == BLOCKED and len(result) * 0.05 == pytest.approx(60.0, abs=0.2)


def test_the_time_limit_ends_a_drive() -> None:
    assert drive(None, time_limit_s=5.0).ended == TIME_LIMIT


def raises(error: Exception) -> Callable[[Plan, Observation], object]:
    def spoil(plan: Plan, observation: Observation) -> object:
        raise error

    return spoil


def with_nan(plan: Plan, observation: Observation) -> object:
    values = plan.values.copy()
    values[3, 3] = np.nan
    return Plan.single(stamp_ns=plan.stamp_ns, spec=CAR, values=values, model_id="nan")


def steering_only(plan: Plan, observation: Observation) -> object:
    return Plan.single(stamp_ns=plan.stamp_ns, spec=STEERING_ONLY, values=np.zeros((1, 1)), model_id="wheel")


def test_the_last_good_plan_is_driven_where_one_is_refused() -> None:
    def leaps_now_and_then(plan: Plan, observation: Observation) -> object:
        values = plan.values.copy()
        if 3_000_000_000 <= observation.stamp_ns < 3_200_000_000:
            values[:, CAR.index("x_m")] += 3.0
        return Plan.single(stamp_ns=plan.stamp_ns, spec=CAR, values=values, model_id="leaps")

    leapt, whole = (drive(Straight(8.0, spoil), laps=0.03) for spoil in (leaps_now_and_then, lambda plan, observation: plan))
    assert leapt.ended == whole.ended == COMPLETED
    assert set(leapt.columns["mode"][1:]) == {"engaged"}
    np.testing.assert_allclose(leapt.columns["speed_mps"][:40], whole.columns["speed_mps"][:40])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (raises(RuntimeError("out of luck")), "RuntimeError: out of luck"),
        (raises(MimicError("no odometry")), "no odometry"),
        (with_nan, r"plan.values\[3, 3\]: is nan"),
        (steering_only, "steering_only"),
        (lambda plan, observation: {"x": 1}, "returned a dict, must be a Plan"),
        (lambda plan, observation: Plan.single(stamp_ns=7, spec=CAR, values=plan.values, model_id="late"), "must be the observation's"),
    ],
)
def test_what_a_policy_does_wrong_fails_its_route_with_the_reason(spoil: Callable[[Plan, Observation], object], reason: str) -> None:
    import re

    result = drive(Straight(8.0, spoil))
    assert result.ended.startswith("failed: ") and re.search(reason, result.ended), result.ended
    assert len(result) == 0


def test_the_wrong_rig_fails_the_route() -> None:
    policy = Straight(8.0)
    policy.rig_name = "quad"
    assert "needs rig 'quad', vehicle 'simulator' has rig 'mono'" in drive(policy).ended


def test_a_policy_sees_pictures_and_motion_or_black() -> None:
    policy, world = Straight(8.0), build_world(RouteSpec(route_id="test", time_limit_s=2.0))
    engine.drive(policy, world, look=look)
    observation = policy.seen[20]
    assert observation.frames["front"].image.mean() == 100.0 and observation.frames["front"].stamp_ns == observation.stamp_ns == 2_000_000_000
    assert observation.ego.speed_mps is not None and observation.ego.steering_wheel_rad is None and observation.scene is None
    engine.drive(policy, world, look=look, pictures="black")
    assert policy.seen[20].frames["front"].image.max() == 0
    with pytest.raises(ContractError, match="pictures"):
        engine.drive(policy, world, look=look, pictures="pink")


def test_the_car_brakes_by_itself_when_commands_cease() -> None:
    simulation = Simulation(build_world(RouteSpec(route_id="test")))
    for _ in range(60):
        simulation.advance(Twist2D(speed_mps=5.0, yaw_rate_radps=0.0), mode="engaged")
    assert simulation.ego.speed_mps > 4.9
    for _ in range(10):
        simulation.advance(None, mode="engaged")
    assert simulation.ego.speed_mps > 4.9, "within the timeout it goes on"
    for _ in range(40):
        simulation.advance(None, mode="engaged", skipped="nobody there")
    assert simulation.ego.speed_mps == 0.0
    assert simulation.result().columns["skipped"][-1] == "nobody there"


@pytest.mark.parametrize(
    ("key", "value"), [("look", "midnight"), ("course", "moon"), ("vehicles", 5), ("tick_s", 1.0), ("laps", 0.0), ("seed", -1), ("route_id", " ")]
)
def test_a_route_that_makes_no_sense_is_refused(key: str, value: object) -> None:
    with pytest.raises(ContractError, match=key):
        RouteSpec(**{"route_id": "test", key: value})  # type: ignore[arg-type]


def test_a_route_is_read_from_text_or_file(tmp_path: Path) -> None:
    assert read_route("") == RouteSpec()
    assert read_route("{look: rain, laps: 0.5}") == RouteSpec(look="rain", laps=0.5)
    (tmp_path / "route.json").write_text('{"seed": 3}', encoding="utf-8")
    assert read_route(str(tmp_path / "route.json")) == RouteSpec(seed=3)
    for text, message in (("{lock: rain}", "unknown key lock"), ("rain", "must be a mapping"), ("{", "not valid YAML"), ("no.yaml", "cannot be read")):
        with pytest.raises(MimicError, match=message):
            read_route(text)
