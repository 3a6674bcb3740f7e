"""Passing: whom the driver passes, on which side, when it may, and where it waits until then."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic_sim.actors import Actor
from mimic_sim.driver import Now, Other
from mimic_sim.ego import EgoMotion
from mimic_sim.eye import Eye
from mimic_sim.moment import Moment
from mimic_sim.passing import REMEMBERS_S, WAITS_M, Pass, Passing
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scenarios import find_site
from mimic_sim.sight import Sight
from mimic_sim.world import World, build_world, load_road

pytest.importorskip("sumolib", reason="sumolib is not installed: pip install 'mimic_drive[sim]'")


def world(seed: int) -> World:
    site = find_site("fork", load_road("train_5"), 1)
    assert site is not None
    place = {"start_lane": site.start_lane, "end_lane": site.end_lane, "start_m": site.start_m, "length_m": site.length_m, "passes_m": site.passes_m}
    return build_world(RouteSpec(course="train_5", seed=seed, vehicle="simulator_quad", **place))  # type: ignore[arg-type]


PREFERS_RIGHT = {bool(np.random.default_rng([seed, 31]).random() < 0.5): world(seed) for seed in (1, 2, 3, 4, 5, 6)}
LEFT = PREFERS_RIGHT[False]
AT_M = LEFT.route.start_m + sum(LEFT.route.passes_m[0]) / 2.0
FRONT_M = LEFT.vehicle.length_m - LEFT.vehicle.rear_overhang_m


def other(
    name: str, station_m: float, *, offset_m: float = 0.0, along_mps: float = 0.0, stood_s: float = 5.0, indicator: str = "none", brake: bool = False
) -> Other:
    x, y, yaw = LEFT.way.line.poses(np.array([station_m]))[0]
    x, y, turn = x - offset_m * np.sin(yaw), y + offset_m * np.cos(yaw), np.pi * (along_mps < 0.0)
    size = {"length_m": 4.5, "width_m": 1.8, "height_m": 1.5, "colour": (0.1, 0.1, 0.1)}
    actor = Actor(actor_id=name, kind="car", x_m=x, y_m=y, yaw_rad=yaw + turn, speed_mps=abs(along_mps), brake=brake, indicator=indicator, **size)
    return Other(actor, station_m, offset_m, 2.25, 0.9, along_mps, 0.0, stood_s if along_mps == 0.0 else 0.0)


BROKEN_DOWN = other("broken_down", AT_M, indicator="both")
DELIVERS = other("delivers", AT_M, offset_m=-0.5, indicator="both")


def ego(before_m: float, speed_mps: float) -> EgoMotion:
    """With its bumper so far before the broken-down car's rear."""
    x, y, yaw = LEFT.way.line.poses(np.array([AT_M - 2.25 - before_m - FRONT_M]))[0]
    return EgoMotion(x_m=float(x), y_m=float(y), yaw_rad=float(yaw), speed_mps=speed_mps)


def look(passing: Passing, *others: Other, before_m: float = 30.0, time_s: float = 5.0, speed_mps: float = 5.0, sees: bool = True) -> float | None:
    motion = ego(before_m, speed_mps)
    return passing.look(Now(time_s, motion, AT_M - 2.25 - before_m, others), eyes(motion) if sees else ())


def eyes(motion: EgoMotion) -> tuple[Eye, ...]:
    return Sight.of(LEFT).look(Moment(stamp_ns=0, ego=motion)).eyes


@pytest.mark.parametrize("prefers_right", [False, True])
def test_what_stands_in_the_middle_is_passed_on_the_side_that_the_seed_says(prefers_right: bool) -> None:
    passing = Passing(PREFERS_RIGHT[prefers_right])
    look(passing, BROKEN_DOWN, before_m=50.0)
    assert passing.under_way is not None and (passing.under_way.offset_m < 0.0) == prefers_right
    assert abs(passing.under_way.offset_m) == pytest.approx(0.9 + LEFT.vehicle.width_m / 2.0 + 0.7)


def test_what_stands_to_the_right_is_passed_on_the_left() -> None:
    passing = Passing(PREFERS_RIGHT[True])
    for time_s in (5.0, 7.5):
        look(passing, other("askew", AT_M, offset_m=-1.2), before_m=50.0, time_s=time_s)
    assert passing.under_way is not None and passing.under_way.offset_m > 0.0


def test_who_waits_with_the_foot_on_the_brake_is_not_passed() -> None:
    passing = Passing(LEFT)
    for time_s, brake in ((5.0, True), (9.0, True), (9.5, False), (11.0, False)):  # in the end they are about to go
        assert look(passing, other("queue", AT_M, brake=brake), time_s=time_s) is None and passing.path is None


@pytest.mark.parametrize(("ahead_m", "may_pass"), [(60.0, False), (150.0, True)])
def test_it_waits_for_those_who_come(ahead_m: float, may_pass: bool) -> None:
    passing = Passing(LEFT)
    waits_m = look(passing, DELIVERS, other("coming", AT_M + ahead_m, offset_m=2.8, along_mps=-8.0))
    assert (passing.under_way is not None) == may_pass
    assert waits_m == (None if may_pass else pytest.approx(AT_M - 2.25 - WAITS_M))


def test_while_it_waits_it_keeps_to_the_edge_of_its_lane() -> None:
    passing = Passing(LEFT)
    look(passing, DELIVERS, other("coming", AT_M + 60.0, offset_m=2.8, along_mps=-8.0))
    width_m = LEFT.way.lane_at(AT_M).width_m
    assert passing.path is not None and 0.0 < passing.path.offset_m + LEFT.vehicle.width_m / 2.0 < width_m / 2.0


def test_who_came_and_is_hidden_now_is_still_waited_for() -> None:
    passing = Passing(LEFT)
    look(passing, DELIVERS, other("coming", AT_M + 90.0, offset_m=2.8, along_mps=-8.0))
    look(passing, DELIVERS, time_s=6.0)
    assert passing.under_way is None
    look(passing, DELIVERS, time_s=5.1 + REMEMBERS_S)
    assert passing.under_way is not None


def test_without_a_view_it_stands_and_looks_first() -> None:
    passing = Passing(LEFT)
    for time_s, speed_mps, expected in ((5.0, 1.0, False), (6.0, 0.0, False), (7.0, 0.0, True), (7.5, 1.0, True)):
        look(passing, DELIVERS, before_m=WAITS_M, time_s=time_s, speed_mps=speed_mps, sees=False)
        assert (passing.under_way is not None) == expected


def test_nobody_sees_through_a_truck() -> None:
    way = Pass(who="none", offset_m=2.4, start_m=AT_M - 20.0, beside_m=(AT_M - 8.0, AT_M + 5.0), end_m=AT_M + 16.0)
    truck = other("truck", AT_M, offset_m=1.0)
    for others, expected in (((), True), ((truck,), False)):
        now = Now(5.0, ego(20.0, 5.0), AT_M - 22.25, others)
        assert Passing(LEFT)._has_seen(way, now, eyes(now.ego)) == expected


def test_it_goes_on_with_what_it_has_begun() -> None:
    passing = Passing(LEFT)
    look(passing, DELIVERS, before_m=40.0)
    begun = passing.under_way
    look(passing, DELIVERS, other("coming", AT_M + 40.0, offset_m=2.8, along_mps=-8.0), before_m=8.0)
    assert begun is not None and passing.under_way is begun
    look(passing, before_m=-40.0)
    assert passing.path is None


@given(st.floats(-3.0, 3.0), st.floats(-20.0, 120.0))
def test_a_pass_goes_over_and_comes_back(offset_m: float, station_m: float) -> None:
    way = Pass(who="x", offset_m=offset_m, start_m=20.0, beside_m=(32.0, 45.0), end_m=60.0)
    here_m = float(way.at(station_m))
    assert 0.0 <= here_m * np.sign(offset_m) <= abs(offset_m) + 1e-9
    assert here_m == (offset_m if 32.0 <= station_m <= 45.0 else 0.0 if not 20.0 < station_m < 60.0 else here_m)
