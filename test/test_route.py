"""Routes: from a drive to a file, and along it again."""

import json
from pathlib import Path

import numpy as np
import pytest
from bag_helpers import ALL_TRAIN, PERIOD_NS, START_NS, odometry, write_bag
from hypothesis import given, settings
from hypothesis import strategies as st
from way_helpers import chain

from e2e_planner.route_follower import RouteFollower
from mimic.cli import main
from mimic_contracts.errors import ContractError
from mimic_contracts.navigation import Manoeuvre, RouteFile, load_route, route_text
from mimic_sim.course import EGO_LANE, build_course
from mimic_sim.routing import Way, closed_way, open_way

MAP = ALL_TRAIN.replace("signals:", "signals:\n  pose: {topic: /odom, field: pose.pose}")
TURNS = chain(100.0, (-90.0, 7.0), 80.0, (90.0, 10.0), 90.0, (20.0, 30.0), 100.0)  # right, left, straight on
SQUARE = RouteFile(name="square", closed=True, points_m=np.array([[0, 0], [40, 0], [80, 0], [80, 40], [80, 80], [40, 80], [0, 80], [0, 40]], float))


def poses(way: Way, *, every_m: float = 1.0, noise_m: float = 0.0) -> np.ndarray:
    found = way.line.poses(np.arange(0.0, way.end_m, every_m))
    found[:, :2] += np.random.default_rng(0).normal(0.0, noise_m, (len(found), 2))
    return found


def town_way() -> Way:
    return open_way(TURNS, ["road_0", ":junction_0", "road_1", ":junction_1", "road_2", ":junction_2", "road_3"])


def route_of(tmp_path: Path, driven: np.ndarray) -> RouteFile:
    """Through a bag, the command and the file."""
    messages = [(START_NS + k * PERIOD_NS, odometry(START_NS + k * PERIOD_NS, x_m=x, y_m=y, yaw_rad=yaw)) for k, (x, y, yaw) in enumerate(driven.tolist())]
    (tmp_path / "map.yaml").write_text(MAP)
    assert (
        main(["bag", "route", str(write_bag(tmp_path / "drive", messages)), "--topics", str(tmp_path / "map.yaml"), "--out", str(tmp_path / "route.yaml")]) == 0
    )
    return load_route(tmp_path / "route.yaml")


def test_a_drive_becomes_a_route_with_its_turns(tmp_path, capsys):
    way = town_way()
    standing = np.repeat(poses(way, noise_m=0.05), 2, axis=0)  # each pose twice, as while waiting
    route = route_of(tmp_path, standing)
    said = json.loads(capsys.readouterr().out)
    assert said["closed"] is route.closed is False
    assert said["length_m"] == pytest.approx(way.end_m, rel=0.02)
    true = [m for m in way.manoeuvres if m.command != "straight"]
    assert [m.command for m in route.manoeuvres] == [m.command for m in true] == ["right", "left"]
    for found, wanted in zip(route.manoeuvres, true, strict=True):
        assert found.start_m == pytest.approx(wanted.start_m, abs=8.0) and found.end_m == pytest.approx(wanted.end_m, abs=8.0)
    assert np.hypot(*np.diff(route.points_m, axis=0).T).max() < 6.0


def test_a_round_becomes_a_closed_route(tmp_path):
    way = closed_way(build_course(), EGO_LANE)
    lap = poses(way)
    route = route_of(tmp_path, np.concatenate([lap, lap[:12]]))  # a bit farther than round
    assert route.closed
    assert route.length_m == pytest.approx(way.end_m, abs=5.0)


@pytest.mark.parametrize(
    ("driven", "reason"),
    [
        (np.zeros((40, 3)), "the vehicle moved by 1 m, must be at least 20 m"),
        (np.array([[k + 30.0 * (k > 20), 0.0, 0.0] for k in range(40)]), "the pose jumps by 31.0 m after message 20"),
    ],
)
def test_a_drive_that_is_no_route_is_refused(tmp_path, capsys, driven, reason):
    with pytest.raises(AssertionError):
        route_of(tmp_path, driven)
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "route.yaml").exists()


def test_without_a_pose_there_is_no_route(tmp_path, capsys):
    (tmp_path / "map.yaml").write_text(ALL_TRAIN)
    bag = write_bag(tmp_path / "drive", [(START_NS, odometry(START_NS, x_m=0.0, yaw_rad=0.0))])
    command = ["bag", "route", str(bag), "--topics", str(tmp_path / "map.yaml"), "--out", str(tmp_path / "route.yaml")]
    assert main(command) == 1
    assert "has no pose: the topic map names no signal pose" in capsys.readouterr().err
    (tmp_path / "route.yaml").write_text("mine")
    assert main(command) == 2
    assert (tmp_path / "route.yaml").read_text() == "mine"


def test_a_file_says_what_was_written(tmp_path):
    route = RouteFile(name="a", points_m=np.array([[0.0, 0.0], [30.0, 0.0]]), manoeuvres=(Manoeuvre(start_m=5.0, end_m=9.0, command="straight"),))
    (tmp_path / "a.yaml").write_text(route_text(route))
    read = load_route(tmp_path / "a.yaml")
    assert (read.name, read.closed, read.manoeuvres) == (route.name, False, route.manoeuvres)
    np.testing.assert_array_equal(read.points_m, route.points_m)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ("points_m: [[0, 0]]", "points_m: has 1 points, must have at least two"),
        ("points_m: [[0, 0], [1, a]]", r"points_m: must be a list of points \[x, y\]"),
        ("points_m: [[0, 0], [0, 0]]", "between point 0 and the next there is no distance at all"),
        ("points_m: [[0, 0], [9, 0], [99, 0]]", r"between point 1 and the next there is more than 50 m \(90.0 m\)"),
        ("points_m: [[0, 0], [40, 0], [80, 0]]\nclosed: true", r"between point 2 and the next there is more than 50 m"),
        ("points_m: [[0, 0], [.nan, 0]]", "must be finite"),
        ("points_m: [[0, 0], [9, 0]]\nclosed: 1", "closed: is 1, must be true or false"),
        ("points_m: [[0, 0], [9, 0]]\nmanoeuvres: [{command: park, start_m: 1, end_m: 2}]", r"manoeuvres\[0\]: command: is 'park'"),
        ("points_m: [[0, 0], [9, 0]]\nmanoeuvres: [{command: left, start_m: 1, end_m: 20}]", "the last ends at 20 m, the route at 9.0 m"),
        (
            "points_m: [[0, 0], [9, 0]]\nmanoeuvres: [{command: left, start_m: 1, end_m: 5}, {command: right, start_m: 4, end_m: 6}]",
            "the one from 4 m begins before the one from 1 m ends",
        ),
        ("points_m: [[0, 0], [9, 0]]\nmanoeuvres: left", "manoeuvres: is a str, must be a list"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path, changes, reason):
    (tmp_path / "r.yaml").write_text(f"name: r\n{changes}\n")
    with pytest.raises(ContractError, match=reason):
        load_route(tmp_path / "r.yaml")


def test_along_the_way_it_says_what_the_simulator_says(tmp_path):
    way = town_way()
    follower = RouteFollower(RouteFile(name="way", points_m=poses(way)[:, :2], manoeuvres=way.manoeuvres), max_offset_m=15.0)
    for station_m, pose in zip(np.arange(0.0, way.end_m, 7.0), poses(way, every_m=7.0), strict=True):
        guidance = follower.at(pose)
        assert guidance.station_m == pytest.approx(station_m, abs=1.5) and guidance.offset_m < 1.0
        ahead_m = np.arange(np.floor(guidance.station_m / 30.0 + 1.0), np.floor(guidance.station_m / 30.0) + 5.0) * 30.0
        ahead_m = ahead_m[ahead_m < way.end_m - 1.0]
        np.testing.assert_allclose(guidance.points_m[: len(ahead_m)], way.line.poses(ahead_m)[:, :2], atol=1.0)
        assert guidance.command in {way.command_at(station_m - 1.5), way.command_at(station_m + 1.5)}
        assert guidance.left_m == pytest.approx(way.end_m - station_m, abs=3.0)


def test_round_and_round_it_goes_on_over_the_first_point():
    turn = Manoeuvre(start_m=10.0, end_m=20.0, command="right")
    follower = RouteFollower(RouteFile(name="s", closed=True, points_m=SQUARE.points_m, manoeuvres=(turn,)), max_offset_m=5.0)
    told = follower.at(np.array([0.5, 2.0, -np.pi / 2.0]))  # 2 m before the first point
    assert told.station_m == pytest.approx(318.0, abs=1.0) and told.left_m == np.inf
    np.testing.assert_allclose(told.points_m[:2], [[0.0, 0.0], [30.0, 0.0]], atol=0.1)
    assert told.command == "right", "the turn after the first point is near"
    assert follower.at(np.array([30.0, 0.0, 0.0])).command == "follow"


def test_beside_the_route_and_against_it_there_is_nothing_to_tell_and_then_there_is_again():
    follower = RouteFollower(SQUARE, max_offset_m=5.0)
    assert follower.at(np.array([40.0, 1.0, 0.0])).station_m == pytest.approx(40.0, abs=1.0)
    left = follower.at(np.array([40.0, 6.0, 0.0]))
    assert (left.command, len(left.points_m), left.offset_m) == ("follow", 0, pytest.approx(6.0))
    assert follower.at(np.array([40.0, 0.0, np.pi])).offset_m > 5.0, "against the direction"
    assert follower.at(np.array([80.0, 40.0, np.pi / 2.0])).station_m == pytest.approx(120.0, abs=1.0)


def test_where_the_way_back_is_beside_the_way_there_the_direction_tells_them_apart():
    there_and_back = np.array([[0, 0], [40, 0], [80, 0], [80, 4], [40, 4], [0, 4]], float)
    follower = RouteFollower(RouteFile(name="u", points_m=there_and_back), max_offset_m=10.0)
    assert follower.at(np.array([40.0, 3.0, 0.0])).station_m == pytest.approx(40.0, abs=1.0)
    assert follower.at(np.array([40.0, 1.0, np.pi])).station_m == pytest.approx(124.0, abs=1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-200, 200), st.floats(-200, 200), st.floats(-3.2, 3.2)), min_size=1, max_size=12), st.booleans())
def test_wherever_the_vehicle_turns_up_what_is_told_is_of_the_route(places, closed):
    route = RouteFile(name="s", closed=closed, points_m=SQUARE.points_m)
    follower = RouteFollower(route, max_offset_m=10.0)
    for place in places:
        guidance = follower.at(np.array(place))
        assert 0.0 <= guidance.station_m <= route.length_m and guidance.offset_m >= 0.0
        assert len(guidance.points_m) <= 4 and (guidance.offset_m <= 10.0 or len(guidance.points_m) == 0)
