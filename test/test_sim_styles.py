"""The family of drivers: each is what it is called, and the good ones commit nothing."""

from dataclasses import asdict

import numpy as np
import pytest

from mimic_sim import engine, events
from mimic_sim.drive_result import DriveResult
from mimic_sim.expert import STYLES
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scenarios import find_site
from mimic_sim.world import build_world, load_road

pytest.importorskip("libsumo", reason="libsumo is not installed: pip install 'mimic_drive[sim]'")


def drive(scenario: str, style: str, seed: int = 2) -> DriveResult:
    site = find_site(scenario, load_road("train_5"), seed)
    assert site is not None
    route = RouteSpec(course="train_5", scenario=scenario, seed=seed, vehicle="simulator_quad", tick_s=0.1, driver=style, **asdict(site))
    return engine.drive(None, build_world(route), look=lambda moment: {})


def faults(result: DriveResult) -> set[str]:
    return {event.kind for event in result.events if event.at_fault}


def gaps_s(result: DriveResult) -> float:
    """Mean time to the one ahead, above 4 m/s."""
    found = []
    for tick in range(len(result)):
        ego = result.moment(tick)
        (lead,) = (a for a in ego.actors if a.actor_id == "lead")
        if ego.ego.speed_mps > 4.0:
            room_m = np.hypot(lead.x_m - ego.ego.x_m, lead.y_m - ego.ego.y_m) - lead.length_m / 2.0 - 3.7
            found.append(room_m / ego.ego.speed_mps)
    return float(np.mean(found))


def test_a_tailgater_follows_closer() -> None:
    calm, tailgater = (drive("lead_vehicle", style) for style in ("calm", "tailgater"))
    assert faults(calm) == set() and gaps_s(tailgater) < 0.7 * gaps_s(calm)


def test_who_rolls_through_stop_signs_is_caught_there() -> None:
    calm, rolling = drive("stop_sign", "calm"), drive("stop_sign", "rolling")
    assert faults(calm) == set() and events.STOP_SIGN in faults(rolling)
    assert rolling.columns["speed_mps"][20:].min() < 2.5, "it does slow down"


def test_the_assertive_arrive_sooner() -> None:
    calm, assertive = drive("red_light", "calm"), drive("red_light", "assertive")
    assert faults(calm) == faults(assertive) == set()
    assert assertive.columns["speed_mps"].max() > calm.columns["speed_mps"].max()


def test_the_distracted_brake_later() -> None:
    calm, distracted = drive("lead_vehicle", "calm"), drive("lead_vehicle", "distracted")
    assert distracted.columns["acceleration_mps2"].min() < calm.columns["acceleration_mps2"].min()


def test_there_are_good_and_bad_ones() -> None:
    assert set(STYLES) == {"calm", "assertive", "tailgater", "rolling", "distracted"}
