"""The driver: what it decides follows from what it sees, and its plan can be asked from any state."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic_contracts.action_spec import CAR
from mimic_sim import expert
from mimic_sim.actors import Actor
from mimic_sim.ego import EgoMotion
from mimic_sim.expert import Ahead, Lead
from mimic_sim.moment import Moment
from mimic_sim.right_of_way import waiting_lines
from mimic_sim.road_network import Signal
from mimic_sim.route_spec import RouteSpec
from mimic_sim.sight import Seen
from mimic_sim.world import build_world, load_road

pytest.importorskip("sumolib", reason="sumolib is not installed: pip install 'mimic_drive[sim]'")
from mimic_sim.driver import Driver
from mimic_sim.scenarios import find_site

SPEED, ACCELERATION = CAR.index("speed_mps"), CAR.index("acceleration_mps2")
SITE_OF = find_site("red_light", load_road("train_1"), 1)
assert SITE_OF is not None
WORLD = build_world(RouteSpec(course="train_1", start_lane=SITE_OF.start_lane, end_lane=SITE_OF.end_lane, start_m=SITE_OF.start_m))
LINE = WORLD.lane_line
STOP = waiting_lines(WORLD.network, WORLD.way)[0]
FRONT_M = WORLD.vehicle.length_m - WORLD.vehicle.rear_overhang_m
HEAD = Signal(signal_id="lights", position_m=np.zeros(3), yaw_rad=0.0, lane_ids=(STOP.lane_id,), link_indices=(0,))


def ego(before_m: float, speed_mps: float = 8.0, left_m: float = 0.0) -> EgoMotion:
    """With its bumper so far before the stop line."""
    x, y, yaw = LINE.poses(np.array([STOP.station_m - before_m - FRONT_M]))[0]
    return EgoMotion(x_m=float(x - left_m * np.sin(yaw)), y_m=float(y + left_m * np.cos(yaw)), yaw_rad=float(yaw), speed_mps=speed_mps)


def other(ahead_m: float, *, left_m: float = 0.0, speed_mps: float = 0.0, kind: str = "car", turn_rad: float = 0.0) -> Actor:
    """So far before the stop line, beside the line."""
    x, y, yaw = LINE.poses(np.array([STOP.station_m - ahead_m]))[0]
    x, y = x - left_m * np.sin(yaw), y + left_m * np.cos(yaw)
    size = {"car": (4.5, 1.8, 1.5), "pedestrian": (0.4, 0.5, 1.7)}[kind]
    sizes = dict(zip(("length_m", "width_m", "height_m"), size, strict=True))
    return Actor(
        actor_id="other",
        kind=kind,
        x_m=float(x),
        y_m=float(y),
        yaw_rad=float(yaw + turn_rad),
        speed_mps=speed_mps,
        **sizes,
        brake=False,
        indicator="none",
        colour=(0, 0, 0),
    )


def driver(car: EgoMotion, *actors: Actor, light: str = "green", seconds: float = 1.0) -> Driver:
    """One that has looked at the same for a while."""
    mind = Driver(WORLD)
    for tick in range(round(seconds / 0.1) + 1):
        moment = Moment(stamp_ns=tick * 100_000_000, ego=car, actors=actors)
        mind.look(Seen(moment, ((HEAD, STOP.lane_id, light),) if light else ()))
    return mind


def end_speed(mind: Driver, car: EgoMotion) -> float:
    return float(mind.plan(car, stamp_ns=0).values[-1, SPEED])


@pytest.mark.parametrize(("light", "goes"), [("green", True), ("off", True), ("red", False), ("red_yellow", False), ("", False)])
def test_it_goes_at_green_and_is_careful_with_what_it_has_not_seen(light: str, goes: bool) -> None:
    car = ego(15.0, 6.0)
    assert (end_speed(driver(car, light=light), car) > 3.0) == goes


def test_yellow_asks_for_a_stop_only_where_one_is_possible() -> None:
    near, far = ego(5.0, 10.0), ego(30.0, 10.0)
    assert end_speed(driver(near, light="yellow"), near) > 5.0 and end_speed(driver(far, light="yellow"), far) < 5.0


def test_a_light_counts_after_the_time_to_react() -> None:
    car = ego(15.0, 6.0)
    mind = driver(car, light="red")
    moment = Moment(stamp_ns=1_100_000_000, ego=car)
    mind.look(Seen(moment, ((HEAD, STOP.lane_id, "green"),)))
    assert end_speed(mind, car) < 3.0
    for tick in range(12, 16):
        mind.look(Seen(replace(moment, stamp_ns=tick * 100_000_000), ((HEAD, STOP.lane_id, "green"),)))
    assert end_speed(mind, car) > 3.0


def test_it_stops_behind_who_stands_and_not_for_who_stands_aside() -> None:
    car = ego(40.0, 8.0)
    behind = driver(car, other(18.0)).plan(car, stamp_ns=0)
    assert behind.values[-1, SPEED] < 3.0 and not behind.is_emergency
    assert end_speed(driver(car, other(18.0, left_m=-3.0)), car) > 6.0


def test_somebody_who_runs_into_the_road_is_an_emergency() -> None:
    car = ego(40.0, 10.0)
    plan = driver(car, other(29.0, left_m=-2.5, kind="pedestrian", speed_mps=1.5, turn_rad=np.pi / 2.0)).plan(car, stamp_ns=0)
    assert plan.is_emergency and plan.values[:, ACCELERATION].min() < -3.5


@settings(max_examples=60, deadline=None)
@given(st.floats(-5, 60), st.floats(0, 16), st.floats(-3, 3), st.floats(0, 60), st.floats(0, 15), st.lists(st.floats(0, 60), max_size=3))
def test_a_plan_can_be_asked_from_any_state(before_m: float, speed: float, left_m: float, lead_m: float, lead_mps: float, stops: list[float]) -> None:
    car, here_m = ego(before_m, speed, left_m), STOP.station_m - before_m
    ahead = Ahead(
        front_m=FRONT_M,
        stops_m=tuple(here_m + s for s in stops),
        leads=(Lead(station_m=here_m + lead_m, speed_mps=lead_mps),),
        caps=((here_m + 5.0, here_m + 20.0, 4.0),),
    )
    one, two = (expert.plan(WORLD.driving, car, stamp_ns=0, ahead=ahead) for _ in range(2))
    assert np.array_equal(one.values, two.values) and (one.values[:, SPEED] >= 0.0).all()
    assert one.values[:, ACCELERATION].min() >= -expert.EMERGENCY_BRAKING_MPS2 - 1e-9
    for stop_m in stops:
        if stop_m > 1.0 + speed * 0.5 + speed**2 / (2.0 * 2.5):
            assert one.values[-1, 0] < stop_m + 0.3 or abs(left_m) > 0.5, "it does not run over a place where it can stop"
