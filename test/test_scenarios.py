"""Scenarios: the sighted expert masters them, who does not look fails for the class's own reason."""

from functools import cache

import numpy as np
import pytest

from e2e_planner.policies import load_policy
from mimic_contracts.errors import MimicError
from mimic_sim import engine, events
from mimic_sim.drive_result import DriveResult
from mimic_sim.drive_score import failure_of
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scenarios import find_site, load_scenario, scenario_names
from mimic_sim.world import build_world, load_road

pytest.importorskip("libsumo", reason="libsumo is not installed: pip install 'mimic_drive[sim]'")
TOWN = {"cut_in": "train_4", "right_turn_zebra": "train_3"}
OWN_FAULT = {
    "block_the_box": {events.VEHICLE_COLLISION, events.BLOCKED_BOX},
    "cut_in": {events.VEHICLE_COLLISION},
    "fork": {events.VEHICLE_COLLISION},
    "lead_vehicle": {events.VEHICLE_COLLISION},
    "parked_car": {events.VEHICLE_COLLISION},
    "pedestrian_emerges": {events.PEDESTRIAN_COLLISION},
    "red_light": {events.RED_LIGHT},
    "right_turn_zebra": {events.PEDESTRIAN_COLLISION},
    "stop_sign": {events.STOP_SIGN},
    "turns": {events.VEHICLE_COLLISION, events.FAILING_TO_YIELD},
    "unprotected_left": {events.VEHICLE_COLLISION, events.FAILING_TO_YIELD},
}


@cache
def drive(scenario: str, seed: int, policy: str) -> DriveResult:
    town = TOWN.get(scenario, "train_5")
    site = find_site(scenario, load_road(town), seed)
    assert site is not None
    place = {"start_lane": site.start_lane, "end_lane": site.end_lane, "start_m": site.start_m, "length_m": site.length_m, "passes_m": site.passes_m}
    others = {"vehicles": 20, "pedestrians": 10}
    route = RouteSpec(route_id="test", course=town, scenario=scenario, seed=seed, vehicle="simulator_quad", tick_s=0.1, **place, **others)  # type: ignore[arg-type]
    return engine.drive(None if policy == "expert" else load_policy(policy), build_world(route), look=lambda moment: {})


def faults(result: DriveResult) -> set[str]:
    return {event.kind for event in result.events if event.at_fault}


@pytest.mark.parametrize("scenario", scenario_names())
def test_the_expert_masters_it_and_the_blind_fail_for_its_own_reason(scenario: str) -> None:
    result = drive(scenario, 1, "expert")
    assert (result.ended, faults(result), load_scenario(scenario).fault(result)) == ("completed", set(), "")
    blind = drive(scenario, 1, "route_pursuit")
    assert faults(blind) & OWN_FAULT[scenario] if scenario in OWN_FAULT else failure_of(blind) == ""


def test_the_same_seed_gives_the_same_drive() -> None:
    one = drive("cut_in", 3, "expert")
    drive.cache_clear()
    two = drive("cut_in", 3, "expert")
    assert one.events == two.events and np.array_equal(one.plans, two.plans) and one.trace.looks == two.trace.looks


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(MimicError, match=r"'flying' is unknown, must be one of: .*cut_in"):
        load_scenario("flying")
    with pytest.raises(MimicError, match=r"route.scenario: is 'flying'"):
        RouteSpec(scenario="flying")
