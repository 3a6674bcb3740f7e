"""The Scene of what the rig can see: true in place and kind, lanes as far as they are in view, lights and lines of the way.

On street.net.xml.gz (test_sim_network.py), whose signals ("lights") hold the way at x = 140 m.
"""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mimic_contracts.motion import from_frame
from mimic_contracts.rig import load_rig
from mimic_contracts.scene import Scene

pytest.importorskip("sumolib")
from mimic_sim.actors import Actor
from mimic_sim.ego import EgoMotion
from mimic_sim.eye import Eye, corners_m, entries_m
from mimic_sim.moment import Moment
from mimic_sim.road_network import Signal
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scene_truth import ROUTE_M, SceneTruth
from mimic_sim.sight import Sight
from mimic_sim.world import World, build_world

STREET = str(Path(__file__).parent / "street.net.xml.gz")
NO_WALLS = np.zeros((0, 5))
ALL_RED = {"lights": "r" * 18}


@cache
def town(*, end: str = "stop-yield_1", start: str = "west-lights_1", vehicle: str = "simulator") -> World:
    world = build_world(RouteSpec(course=STREET, start_lane=start, end_lane=end, vehicle=vehicle))
    return replace(world, static_boxes=NO_WALLS)


def car(name: str, x_m: float, y_m: float, yaw_rad: float = 0.0, **changes: object) -> Actor:
    base = {"kind": "car", "speed_mps": 5.0, "length_m": 4.5, "width_m": 1.8, "height_m": 1.5, "brake": True, "indicator": "left", "colour": (0.5, 0.5, 0.5)}
    return Actor(**{"actor_id": name, "x_m": x_m, "y_m": y_m, "yaw_rad": yaw_rad, **base, **changes})  # type: ignore[arg-type]


def scene_at(
    world: World, station_m: float, *actors: Actor, off: tuple[float, float] = (0.0, 0.0), signals: dict[str, str] = ALL_RED
) -> tuple[Scene, np.ndarray]:
    """The scene after half a second at a station of the way, off (left, turned) from it, and the car's pose."""
    x, y, yaw = world.lane_line.poses(np.array([station_m]))[0]
    pose = np.array([x - off[0] * np.sin(yaw), y + off[0] * np.cos(yaw), yaw + off[1]])
    sight, truth = Sight.of(world), SceneTruth(world)
    for tick in range(6):
        moment = Moment(stamp_ns=tick * 100_000_000, ego=EgoMotion(x_m=pose[0], y_m=pose[1], yaw_rad=pose[2]), actors=actors, signals=signals)
        seen = sight.look(moment)
    return truth.scene(seen, station_lane=world.way.lane_at(station_m).lane_id), pose


def in_world(points_m: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return from_frame(np.column_stack([points_m, np.zeros(len(points_m))]), pose)[:, :2]


@settings(max_examples=25, deadline=None)
@given(st.floats(5.0, 250.0), st.floats(-1.5, 1.5), st.floats(-3.1, 3.1), st.floats(8.0, 40.0), st.floats(-0.3, 0.3))
def test_what_is_in_a_scene_is_where_it_is_in_the_world(station: float, left: float, turn: float, ahead: float, aside: float) -> None:
    world = town()
    _, pose = scene_at(world, station, off=(left, turn))
    x, y, yaw = from_frame(np.array([[ahead, aside * ahead, 1.0]]), pose)[0]
    scene, _ = scene_at(world, station, car("a", x, y, yaw), off=(left, turn))
    agent = scene.agents[0]
    assert (agent.x_m, agent.y_m, agent.yaw_rad) == pytest.approx((ahead, aside * ahead, 1.0), abs=1e-6)
    assert (agent.kind, agent.speed_mps, agent.length_m, agent.width_m, agent.brake, agent.indicator) == ("car", 5.0, 4.5, 1.8, True, "left")
    lines = {line.lane_id: np.stack([line.left_m, line.right_m]) for line in world.network.stop_lines}
    for line in scene.stop_lines:
        assert in_world(line.ends_m, pose) == pytest.approx(lines[line.lane_id], abs=1e-9)
    for lane in scene.lanes:
        whole = world.network.lane(lane.lane_id).centre_m
        first = int(np.argmin(np.hypot(*(whole - in_world(lane.centre_m, pose)[0]).T)))
        assert in_world(lane.centre_m, pose) == pytest.approx(whole[first : first + len(lane.centre_m)], abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 250.0), st.floats(-1.5, 1.5), st.floats(-0.5, 0.5))
@example(42.0, -1.0, -0.5)  # the lane leaves the picture, and the next one comes back into it
def test_the_route_is_one_line_from_the_car_on(station: float, left: float, turn: float) -> None:
    world = town()
    scene, pose = scene_at(world, station, off=(left, turn))
    route = [lane for name in (one.lane_id for one in world.way.lanes) for lane in scene.lanes if lane.lane_id == name and lane.on_route]
    assert {lane.lane_id for lane in scene.lanes if lane.on_route} <= {lane.lane_id for lane in world.way.lanes}
    for here, after in pairwise(route):
        assert after.lane_id in here.successors and np.hypot(*(here.centre_m[-1] - after.centre_m[0])) < 0.05
    points = in_world(np.concatenate([lane.centre_m for lane in route]), pose)
    stations = [world.lane_line.project(*point)[0] for point in points[[0, -1]]]
    assert stations[0] <= station + 1.0
    assert stations[1] >= min(station + ROUTE_M - 3.0, world.lane_line.length_m - 1.0)


def test_a_closed_course_has_no_seam() -> None:
    world = build_world(RouteSpec())
    for station in (0.0, 3.0, world.lane_line.length_m - 20.0):
        own = next(lane for lane in scene_at(world, station)[0].lanes if lane.on_route)
        assert np.hypot(*np.diff(own.centre_m, axis=0).T).sum() > ROUTE_M - 1.0 and own.centre_m[-1, 0] > ROUTE_M - 3.0


def seen_m(scene: Scene, lane_id: str) -> float:
    """Length of the part of a lane that is in view."""
    return sum(float(np.hypot(*np.diff(lane.centre_m, axis=0).T).sum()) for lane in scene.lanes if lane.lane_id == lane_id)


def test_lanes_end_where_a_house_hides_them() -> None:
    at_the_line = 133.0
    open_town = town(vehicle="simulator_quad")
    corner = np.array([[125.0, 125.0, 0.0, 30.0, 20.0]])  # left of the car, beside the road that comes from the north
    from_the_north = "n1-lights_1"
    assert seen_m(scene_at(open_town, at_the_line)[0], from_the_north) > 60.0
    assert 5.0 < seen_m(scene_at(replace(open_town, static_boxes=corner), at_the_line)[0], from_the_north) < 50.0
    assert seen_m(scene_at(replace(open_town, static_boxes=corner), at_the_line + 12.0)[0], from_the_north) > 60.0, "past the corner"
    assert seen_m(scene_at(open_town, at_the_line + 10.0)[0], "s1-lights_1") > 60.0, "a camera to the right"
    assert seen_m(scene_at(town(), at_the_line + 10.0)[0], "s1-lights_1") < 6.0, "one camera shows only what is close"


def test_the_road_beside_and_just_behind_is_known() -> None:
    reach_m = {lane.lane_id: float(lane.centre_m[:, 0].min()) for lane in scene_at(town(), 60.0)[0].lanes}
    assert all(-15.0 <= reach_m[name] < -11.0 for name in ("west-lights_1", "west-lights_2", "lights-west_2"))


def test_the_map_tells_the_route_behind_a_house() -> None:
    world, house = town(end="lights-n1_1", start="west-lights_2"), np.array([[125.0, 150.0, 0.0, 30.0, 80.0]])
    hidden, _ = scene_at(replace(world, static_boxes=house), 110.0)
    assert seen_m(hidden, "lights-n1_1") > 20.0


@given(st.lists(st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.floats(-3, 3), st.floats(1, 25), st.floats(1, 12)), max_size=6), st.floats(-3, 3))
def test_ground_is_seen_up_to_the_first_wall(walls: list[tuple[float, ...]], yaw: float) -> None:
    boxes = np.array(walls).reshape(-1, 5)
    eye = Eye.of(load_rig("mono").cameras[0], np.array([0.0, 0.0, yaw]), walls=boxes, reach_m=80.0)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-90.0, 90.0, 19), np.linspace(-90.0, 90.0, 19)))
    points = np.stack([x, y], axis=1)
    bearings, away_m = eye.look_at(points)
    outer, inner = (is_before_walls(eye, points, grown) for grown in (0.4, -0.4))  # half a step of bearing at 90 m
    is_in_picture = (np.abs(bearings) < np.radians(30.0)) & (away_m < 80.0)
    is_seen = eye.sees_ground(points)
    assert not (is_seen & ~(is_in_picture & inner)).any() and not (is_in_picture & outer & ~is_seen).any()


def is_before_walls(eye: Eye, points_m: np.ndarray, grown_m: float) -> np.ndarray:
    boxes = eye.walls + np.array([0.0, 0.0, 0.0, 2.0 * grown_m, 2.0 * grown_m])
    steps = points_m - eye.place_m[:2]
    away_m = np.hypot(*steps.T)
    return (entries_m(eye.place_m, steps / away_m[:, None], boxes) > away_m[:, None]).all(axis=1)


def test_corners_are_of_the_box() -> None:
    assert corners_m(np.array([[1.0, 2.0, np.pi / 2.0, 4.0, 2.0]]))[0] == pytest.approx(np.array([(0, 4), (2, 4), (2, 0), (0, 0)]), abs=1e-9)


def test_lines_say_what_holds_there() -> None:
    scene, _ = scene_at(town(), 110.0)
    rules = {line.lane_id: line.rule for line in scene.stop_lines}
    assert rules["west-lights_1"] == rules["west-lights_2"] == rules["n1-lights_1"] == "signal"
    assert "stop-lights_1" in rules, "also that of those who come from opposite"
    assert {line.rule for line in scene_at(town(), 235.0)[0].stop_lines if "-stop_" in line.lane_id} == {"stop"}
    assert [lane.yields_to for lane in scene.lanes if lane.lane_id == "west-lights_1"] == [()]


def head(index: int) -> Signal:
    return Signal(signal_id="lights", position_m=np.array([150.0, 88.0 + index / 10.0, 2.7]), yaw_rad=np.pi, lane_ids=("west-lights_2",), link_indices=(index,))


@pytest.mark.parametrize(("end", "state"), [("lights-stop_2", "green"), ("lights-n1_1", "red")])
def test_the_light_is_that_of_the_turn_on_the_route(end: str, state: str) -> None:
    world = town(start="west-lights_2", end=end)
    world = replace(world, network=replace(world.network, signals=(head(12), head(13))))  # straight on, and the arrow to the left
    scene, _ = scene_at(world, 125.0, signals={"lights": "r" * 12 + "Gr" + "r" * 4})
    assert [(light.state, light.lane_id) for light in scene.lights] == [(state, "west-lights_2")]


def test_every_visible_head_of_a_line_is_listed() -> None:
    scene, pose = scene_at(town(vehicle="simulator_quad"), 123.0)
    places = in_world(np.array([light.position_m[:2] for light in scene.lights]), pose)
    held = [signal.position_m[:2] for signal in town().network.signals if "west-lights_1" in signal.lane_ids]
    assert len(places) == len(held) == 3 and all(np.hypot(*(places - at).T).min() < 1e-6 for at in held)


def test_the_same_looks_give_the_same_scenes() -> None:
    one, two = (scene_at(town(), 100.0, car("b", 125.0, 95.0), car("a", 120.0, 98.0))[0] for _ in range(2))
    assert one.agents == two.agents and len(one.agents) == 2
    assert [(lane.lane_id, lane.centre_m.tobytes()) for lane in one.lanes] == [(lane.lane_id, lane.centre_m.tobytes()) for lane in two.lanes]
