"""What four scenario classes add: their own faults, whom they need, and that their actors arrive when they mean to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_scenarios import drive

from e2e_planner.policies import load_policy
from mimic_contracts.action_spec import CAR
from mimic_sim import engine, expert
from mimic_sim.driver import Driver
from mimic_sim.ego import EgoMotion
from mimic_sim.moment import Moment
from mimic_sim.road_network import Line
from mimic_sim.scenarios import block_the_box, pedestrian_emerges, right_turn_zebra, turns
from mimic_sim.staging import GAP_S, STANDING_GAP_M, Platoon, Runner, arrival_s, careful_speed_mps
from mimic_sim.sumo_network import load_network
from mimic_sim.world import Simulation, build_world

pytest.importorskip("libsumo", reason="libsumo is not installed: pip install 'mimic_drive[sim]'")
STREET = Path(__file__).parent / "street.net.xml.gz"
FAR_AWAY = Moment(stamp_ns=0, ego=EgoMotion(x_m=1e4, y_m=1e4, yaw_rad=0.0))


@pytest.mark.parametrize("scenario", ["block_the_box", "pedestrian_emerges", "right_turn_zebra", "turns"])
def test_who_does_not_look_meets_the_actors_of_the_class(scenario: str) -> None:
    own = {"block_the_box": "queue_", "pedestrian_emerges": "emerging", "right_turn_zebra": "walker_", "turns": "platoon_"}[scenario]
    assert any(event.with_what.startswith(own) for event in drive(scenario, 1, "route_pursuit").events if event.at_fault)


@pytest.mark.parametrize("scenario", ["pedestrian_emerges", "turns"])
def test_the_same_route_gives_the_same_drive(scenario: str) -> None:
    one = drive(scenario, 1, "route_pursuit")
    two = engine.drive(load_policy("route_pursuit"), build_world(one.route), look=lambda moment: {})
    assert one.events == two.events and one.trace.looks == two.trace.looks
    assert all(np.array_equal(one.trace.columns[name], two.trace.columns[name]) for name in one.trace.columns)


def test_who_follows_into_the_junction_stood_in_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    masterly = drive("block_the_box", 1, "expert")
    monkeypatch.setattr(Driver, "_has_room_beyond", lambda *_: True)
    blocking = engine.drive(None, build_world(masterly.route), look=lambda moment: {})
    assert block_the_box.fault(masterly) == "" and block_the_box.fault(blocking).startswith("stood inside the junction for ")


def test_who_leaves_the_lane_by_half_a_car_has_not_turned_as_told() -> None:
    drove = drive("turns", 1, "expert")
    margin_m = float(drove.columns["lane_margin_m"][0])
    for aside_m, expected in ((0.9, ""), (1.0, "left its lane by 1.0 m")):  # the car is 1.85 m wide
        columns = drove.columns | {"front_offset_m": np.full(len(drove), -margin_m - aside_m), "lane_margin_m": np.full(len(drove), margin_m)}
        assert turns.fault(replace(drove, columns=columns)) == expected


def test_the_expert_arrives_when_staging_says() -> None:
    world = build_world(replace(drive("turns", 1, "expert").route, scenario="", vehicles=0, pedestrians=0))
    junction = world.way.manoeuvres[0]
    with Simulation(world) as simulation:
        autopilot = engine.Autopilot(world)
        front_m = world.vehicle.length_m - world.vehicle.rear_overhang_m
        for station_m in (junction.start_m, junction.end_m):
            while simulation._progress_m + world.route.start_m + front_m < station_m:
                plan = expert.plan(world.driving, simulation.ego, stamp_ns=simulation.stamp_ns)
                twist, output = autopilot.command(simulation, plan)
                simulation.advance(twist, mode=output.mode, plan=plan)
            assert simulation.time_s == pytest.approx(arrival_s(world, station_m), abs=0.5)


def test_the_expert_slows_down_comfortably_to_a_stretch_with_a_cap() -> None:
    world = build_world(drive("pedestrian_emerges", 1, "expert").route)
    line, speed_mps = world.driving.line, world.driving.speed_mps
    station_m = float(line.s_m[int(np.argmax(speed_mps[: len(speed_mps) // 2]))])
    x, y, yaw = line.poses(np.array([station_m]))[0]
    ego = EgoMotion(x_m=x, y_m=y, yaw_rad=yaw, speed_mps=float(speed_mps.max()))
    cap = (station_m + 20.0, station_m + 40.0, 5.0)
    freely, capped = (expert.plan(world.driving, ego, stamp_ns=0, ahead=ahead).values for ahead in (expert.FREE, expert.Ahead(caps=(cap,))))
    speed, acceleration = CAR.channels.index("speed_mps"), CAR.channels.index("acceleration_mps2")
    at_m = capped[:, CAR.channels.index("x_m")]
    assert freely[-1, speed] > 7.5 and np.interp(20.0, at_m, capped[:, speed]) < 5.4
    assert capped[0, speed] == freely[0, speed] and capped[:, acceleration].min() > -2.0


@given(st.floats(0.0, 60.0), st.floats(0.0, 14.0), st.floats(0.0, 14.0))
def test_who_drives_carefully_gets_down_to_the_speed_ahead(room_m: float, wanted_mps: float, ahead_mps: float) -> None:
    speed_mps = careful_speed_mps(room_m, wanted_mps, ahead_mps=ahead_mps)
    assert 0.0 <= speed_mps <= wanted_mps
    if speed_mps > ahead_mps:
        assert (speed_mps**2 - ahead_mps**2) / 2.0 / 3.0 <= room_m - STANDING_GAP_M - GAP_S * ahead_mps + 1e-6


@given(st.floats(6.0, 13.0), st.floats(1.0, 60.0))
def test_a_row_of_cars_arrives_when_it_says(speed_mps: float, distance_m: float) -> None:
    line = Line.through(np.stack([np.linspace(0.0, 120.0, 121), np.zeros(121)], axis=1), closed=False)
    row = Platoon([Runner("first", "car", line, 20.0, 0.0), Runner("second", "van", line, 12.0, 0.0)], speed_mps, sets_out_s=0.5)
    ticks, gap_m = 0, np.inf
    while row.runners[0].station_m < 20.0 + distance_m:
        row.step(FAR_AWAY, 0.05)
        ticks, gap_m = ticks + 1, min(gap_m, row.runners[0].station_m - row.runners[1].station_m - 5.15)
    assert 0.05 * ticks == pytest.approx(0.5 + row.time_to(distance_m), abs=0.2) and gap_m > 2.0


def test_no_site_where_there_is_no_kerb_to_park_at_or_no_zebra() -> None:
    network = load_network(STREET)
    assert pedestrian_emerges.site(replace(network, parking=()), np.random.default_rng(1)) is None
    assert right_turn_zebra.site(replace(network, crossings=()), np.random.default_rng(1)) is None
