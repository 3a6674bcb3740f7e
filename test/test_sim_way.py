"""Open ways: which lanes, what a navigation map says on them, and the expert through a town's junctions."""

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from way_helpers import LANE_WIDTH_M, chain, lane

from mimic import record_plan
from mimic.commands import drive as drive_command
from mimic.commands import sim as sim_command
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.motion import points_to_frame
from mimic_contracts.navigation import ANNOUNCED_M
from mimic_contracts.observation import ROUTE_POINTS
from mimic_contracts.rig import load_rig
from mimic_sim import engine
from mimic_sim.course import EGO_LANE, build_course
from mimic_sim.drive_result import DriveResult
from mimic_sim.drive_score import score_route
from mimic_sim.navigation import Navigation
from mimic_sim.road_network import RoadNetwork, smooth_open
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import RUN_OUT_M, closed_way, open_way, random_way, shortest_way
from mimic_sim.world import COMPLETED, OFF_ROAD, Simulation, World, build_world, world_on

RIG = load_rig("mono")
TURNS = chain(100.0, (-90.0, 7.0), 80.0, (90.0, 10.0), 90.0, (20.0, 30.0), 100.0)


def world_of(network: RoadNetwork = TURNS, *, end_lane: str = "road_2", **route: object) -> World:
    return world_on(network, RouteSpec(route_id="test", course="by hand", start_lane="road_0", end_lane=end_lane, **route))  # type: ignore[arg-type]


def expert_drive(world: World) -> DriveResult:
    return engine.drive(None, world, look=lambda moment: {})


# Which lanes


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=24), st.lists(st.floats(5.0, 300.0), min_size=8, max_size=8))
def test_no_walk_is_shorter_than_the_shortest_way(pairs: list[tuple[int, int]], lengths_m: list[float]) -> None:
    after = {i: tuple(f"lane_{b}" for a, b in sorted(set(pairs)) if a == i) for i in range(8)}
    network = RoadNetwork(name="graph", lanes=tuple(lane(f"lane_{i}", [(0, 0), (m / 2, 0), (m, 0)], after[i]) for i, m in enumerate(lengths_m)))
    shortest_m = np.full(8, np.inf)
    shortest_m[0] = lengths_m[0]
    for _ in range(8):
        for a, b in pairs:
            shortest_m[b] = min(shortest_m[b], shortest_m[a] + lengths_m[b])
    for end in range(8):
        if np.isinf(shortest_m[end]):
            with pytest.raises(MimicError, match=f"'lane_0' to 'lane_{end}'"):
                shortest_way(network, "lane_0", f"lane_{end}")
            continue
        way = shortest_way(network, "lane_0", f"lane_{end}")
        assert (way[0], way[-1]) == ("lane_0", f"lane_{end}")
        assert all(b in network.lane(a).successors for a, b in pairwise(way))
        assert sum(lengths_m[int(name[5:])] for name in way) == pytest.approx(shortest_m[end])


def test_a_way_names_a_lane_that_is_not_there() -> None:
    with pytest.raises(ContractError, match="'road_9' is not in network 'by hand'"):
        shortest_way(TURNS, "road_0", "road_9")


def test_nobody_turns_round_on_the_spot() -> None:
    back = lane("back", [(100.0, 3.2), (50.0, 3.2), (0.0, 3.2)])
    turn = lane(":turn", [(100.0, 0.0), (102.0, 1.6), (100.0, 3.2)], ("back",))
    network = RoadNetwork(name="dead end", lanes=(lane("there", [(0.0, 0.0), (50.0, 0.0), (100.0, 0.0)], (":turn",)), turn, back))
    with pytest.raises(MimicError, match="no lanes of network 'dead end' lead from 'there' to 'back'"):
        shortest_way(network, "there", "back")


def test_random_ways_come_from_the_generator_and_are_as_long_as_wanted() -> None:
    ways = [random_way(TURNS, np.random.default_rng(seed), length_m=200.0) for seed in (1, 1, 2, 3, 4, 5)]
    assert ways[0] == ways[1] and len(set(ways)) > 1
    for start, end in ways:
        assert 160.0 <= open_way(TURNS, shortest_way(TURNS, start, end)).end_m <= 240.0 and start[0] != ":" != end[0]
    with pytest.raises(MimicError, match=r"no drivable way of 5000 m within a fifth, the longest found is \d+ m"):
        random_way(TURNS, np.random.default_rng(1), length_m=5000.0)


def test_random_ways_have_no_bend_that_a_car_cannot_take() -> None:
    with pytest.raises(MimicError, match="no drivable way"):
        random_way(chain(100.0, (90.0, 3.0), 100.0), np.random.default_rng(1), length_m=205.0)


def test_a_way_that_crosses_itself_is_refused() -> None:
    eight = chain(60.0, (90.0, 8.0), 40.0, (90.0, 8.0), 40.0, (90.0, 8.0), 80.0)
    with pytest.raises(MimicError, match="crosses itself"):
        open_way(eight, shortest_way(eight, "road_0", "road_3"))


# The line


def test_the_line_joins_the_lanes_and_goes_on_beyond_the_end() -> None:
    way = open_way(TURNS, shortest_way(TURNS, "road_0", "road_2"))
    assert way.lanes[-1].lane_id == "road_3" and way.line.length_m > way.end_m + RUN_OUT_M
    assert way.end_m == pytest.approx(100.0 + 7.0 * np.pi / 2 + 80.0 + 10.0 * np.pi / 2 + 90.0, abs=0.5)
    for one in way.lanes:
        assert max(abs(way.line.project(x, y)[1]) for x, y in one.centre_m) < 0.12, one.lane_id
    assert way.lane_at(-1.0).lane_id == "road_0" and way.lane_at(105.0).lane_id == ":junction_0" and way.lane_at(1e4).lane_id == "road_3"
    assert set(way.speed_limits_mps()[[0, 210]]) == {13.9, 8.0}


def test_the_command_is_said_before_each_junction_and_until_its_end() -> None:
    way = open_way(TURNS, shortest_way(TURNS, "road_0", "road_2"))
    right, left, straight = way.manoeuvres
    assert [m.command for m in way.manoeuvres] == ["right", "left", "straight"]
    said = [way.command_at(s) for s in (0.0, right.start_m - ANNOUNCED_M - 0.1, right.start_m - ANNOUNCED_M, right.end_m - 0.1, right.end_m)]
    assert said == ["follow", "follow", "right", "right", "follow"]
    assert way.command_at(left.start_m) == "left" and way.command_at(straight.start_m - 1.0) == "straight"


@given(st.lists(st.floats(-50.0, 50.0), min_size=2, max_size=30), st.floats(0.5, 6.0))
def test_a_mean_along_an_open_line_keeps_its_ends_and_what_is_straight(values: list[float], width_m: float) -> None:
    mean = smooth_open(np.array(values), step_m=0.5, width_m=width_m)
    assert mean.shape == (len(values),) and mean[[0, -1]] == pytest.approx([values[0], values[-1]], abs=1e-9)
    ramp = np.linspace(values[0], values[-1], len(values))
    assert smooth_open(ramp, step_m=0.5, width_m=width_m) == pytest.approx(ramp, abs=1e-9)


# The expert


@pytest.mark.parametrize("radius_m", [6.0, 8.0, 12.0, 15.0])
@pytest.mark.parametrize("angle_deg", [90.0, -90.0, 60.0])
def test_the_expert_takes_a_towns_bends_calmly_inside_its_lane(radius_m: float, angle_deg: float) -> None:
    world = world_of(chain(60.0, (angle_deg, radius_m), 60.0, (-angle_deg, radius_m), 70.0), start_m=5.0)
    result = expert_drive(world)
    c = result.columns
    assert result.ended == COMPLETED and result.length_m == pytest.approx(world.way.end_m - 5.0)
    assert score_route(result, result)["in_lane_share"] == 1.0
    assert (c["speed_mps"] ** 2 * np.abs(c["curvature_1pm"])).max() < 3.0
    assert c["lane_margin_m"] == pytest.approx((LANE_WIDTH_M - world.vehicle.width_m) / 2.0)
    assert c["speed_mps"].max() > 8.0 and len(result) * 0.05 < world.nominal_duration_s + 10.0


def test_the_expert_does_not_brake_for_the_end() -> None:
    world = world_of(chain(150.0, (5.0, 40.0), 150.0), end_lane="road_1")
    assert world.way.line.length_m == pytest.approx(world.way.end_m), "here nothing follows"
    result = expert_drive(world)
    assert result.ended == COMPLETED and result.columns["speed_mps"][-1] > 12.0


def test_the_expert_keeps_each_lanes_speed_limit() -> None:
    slow = chain(200.0, (5.0, 100.0), 100.0)
    world = world_of(slow, end_lane="road_1")
    c = expert_drive(world).columns
    in_junction = (c["progress_m"] > 202.0) & (c["progress_m"] < 206.0)
    assert in_junction.any() and c["speed_mps"][in_junction].max() < 8.0 < c["speed_mps"][c["progress_m"] < 150.0].max()


def test_disturbed_drives_come_back_in_a_town_too() -> None:
    result = expert_drive(world_of(is_disturbed=True, seed=2, tick_s=0.1))
    offset = np.abs(result.columns["rear_offset_m"])
    assert result.ended == COMPLETED and 0.65 < offset.max() < 3.0


def test_a_policy_is_told_the_command_and_rough_points_ahead() -> None:
    simulation = Simulation(world_of(start_m=60.0))
    seen = engine.observe(simulation, RIG, look=lambda moment: {})
    line, pose = simulation.world.lane_line, simulation.ego.pose
    wanted = points_to_frame(line.poses(30.0 * np.arange(3, 3 + ROUTE_POINTS))[:, :2], pose)
    error = np.hypot(*(seen.route.points_m - wanted).T)
    assert seen.route.command == "right" and seen.route.points_m.shape == (ROUTE_POINTS, 2)
    assert error.min() > 0.0 and error.max() < 8.0


def test_a_navigation_map_is_always_wrong_in_the_same_places() -> None:
    way = world_of().way
    first, again, other = Navigation(way, seed=3), Navigation(way, seed=3), Navigation(way, seed=4)
    assert np.array_equal(first.ahead_m(0.0), again.ahead_m(0.0)) and not np.array_equal(first.ahead_m(0.0), other.ahead_m(0.0))
    assert np.array_equal(first.ahead_m(0.0)[1:], first.ahead_m(30.0)[:-1])
    assert len(first.ahead_m(way.line.length_m - 10.0)) == 0


def test_the_points_of_a_lap_go_on_at_its_end() -> None:
    way = closed_way(build_course("course"), EGO_LANE)
    navigation = Navigation(way, seed=1)
    assert np.array_equal(navigation.ahead_m(way.line.length_m - 1.0)[1:], navigation.ahead_m(0.0)[:-1])


# What is driven


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"start_lane": "a"}, "both given or both empty"),
        ({"course": "train_1"}, "a town with start_lane and end_lane"),
        ({"start_lane": "a", "end_lane": "b", "laps": 2.0}, "laps: is 2.0, must be 1"),
    ],
)
def test_a_route_says_what_is_missing(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        RouteSpec(route_id="test", **fields)  # type: ignore[arg-type]


def test_a_start_beyond_the_end_is_refused() -> None:
    with pytest.raises(ContractError, match=r"start_m: is 400.0, must be at most 29\d.\d"):
        world_of(start_m=400.0)


def test_a_suite_drives_through_a_town(tmp_path: Path) -> None:
    suite, town = tmp_path / "town.yaml", Path(__file__).parent / "street.net.xml.gz"
    suite.write_text(f"name: town\nroutes:\n  - {{route_id: a, course: {town}, start_lane: west-lights_2, end_lane: west-lights_2, length_m: 10}}\n")
    parser = argparse.ArgumentParser()
    drive_command.add_arguments(parser)
    out = tmp_path / "out"
    assert drive_command.run(parser.parse_args(["--policy", "expert", "--suite", str(suite), "--no-video", "--out", str(out)])) == 0
    assert DriveResult.load(out / "routes" / "a_s1.parquet").route.end_lane == "west-lights_2"


def test_recordings_in_a_town_are_random_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_plan, "load_road", lambda course: TURNS)
    monkeypatch.setattr(record_plan, "WAY_M", 250.0)
    parser = argparse.ArgumentParser()
    sim_command.add_arguments(parser)
    args = parser.parse_args(["record", "--towns", "by hand", "--hours", "0.03", "--out", str(tmp_path / "out")])
    routes = [job.route for job in record_plan.jobs_of(args)]
    assert len(routes) >= 3 and all(route.start_lane and route.laps == 1.0 and route.start_m == 0.0 for route in routes)
    assert sum(world_on(TURNS, route).nominal_duration_s for route in routes) == pytest.approx(108.0, abs=20.0)
    assert routes == [job.route for job in record_plan.jobs_of(args)]


# What a drive along a way counts


@given(st.floats(0.0, 1.0), st.floats(-12.0, 12.0), st.floats(-3.0, 3.0))
def test_near_where_it_was_a_car_is_found_as_on_the_whole_line(share: float, ahead_m: float, left_m: float) -> None:
    way = open_way(TURNS, ["road_0", ":junction_0", "road_1", ":junction_1", "road_2"])
    station_m = share * way.line.length_m
    goal_m = float(way.line.within(np.array(station_m + ahead_m)))
    x, y, yaw = way.line.poses(np.array([goal_m]))[0]
    place = x - left_m * np.sin(yaw), y + left_m * np.cos(yaw)
    assert way.project_near(*place, station_m=station_m) == pytest.approx(way.line.project(*place), abs=1e-6)


def test_near_the_seam_of_a_lap_a_car_is_found_too() -> None:
    way = build_world(RouteSpec(route_id="lap")).way
    for station_m in (0.0, 1.0, way.line.length_m - 1.0, way.line.length_m / 2.0):
        for ahead_m in (-5.0, 0.0, 5.0):
            x, y, _ = way.line.poses(np.array([station_m + ahead_m]))[0]
            found_m, left_m = way.project_near(x, y, station_m=station_m)
            assert (found_m - station_m - ahead_m + 50.0) % way.line.length_m == pytest.approx(50.0, abs=1e-3) and abs(left_m) < 1e-3


def test_a_short_cut_is_off_the_road_and_no_progress() -> None:
    there_and_back = world_of(chain(100.0, (-90.0, 7.0), 40.0, (-90.0, 7.0), 100.0))
    with Simulation(replace(there_and_back, route=replace(there_and_back.route, start_m=50.0))) as simulation:
        while not simulation.ended:
            simulation.ego = replace(simulation.ego, y_m=simulation.ego.y_m - 1.0)
            simulation.advance(None, mode="engaged")
        result = simulation.result()
    assert result.ended == OFF_ROAD and result.columns["y_m"][-1] == pytest.approx(-30.0, abs=1.1)
    assert np.abs(result.columns["progress_m"]).max() < 1.0
    assert [event.kind for event in result.events] == ["outside_lane"]


def test_a_stretch_with_a_necessary_pass_has_no_lane_to_keep() -> None:
    result = expert_drive(world_of(end_lane="road_1", passes_m=((20.0, 40.0), (60.0, 61.0))))
    progress_m, is_free = result.columns["progress_m"], np.isinf(result.columns["lane_margin_m"])
    assert is_free.tolist() == [20.0 <= s <= 40.0 or 60.0 <= s <= 61.0 for s in progress_m]
    assert score_route(result, result)["is_success"] == 1.0


def test_what_stands_on_the_road_is_hit_and_ends_what_counts() -> None:
    world = replace(world_of(end_lane="road_1"), static_boxes=np.array([[60.0, 0.5, 0.0, 1.0, 1.0]]))
    result = expert_drive(world)
    (event,) = result.events
    assert (event.kind, event.with_what) == ("static_collision", "box_0") and event.ego_speed_mps > 5.0
    score = score_route(result, result)
    assert result.ended == COMPLETED and score["is_success"] == 0.0
    assert score["route_completion"] == pytest.approx((59.5 - 3.7) / result.length_m, abs=0.01)
    assert score["driving_score"] == pytest.approx(100.0 * score["route_completion"] / 1.6)
