"""The road as data: closure, curvature, projection, and what a broken network says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic_contracts.errors import ContractError
from mimic_sim.course import COURSE, EGO_LANE, LANE_WIDTH_M, ONCOMING_LANE, Bend, Straight, build_course, closed_loop
from mimic_sim.road_network import Lane, Line, RoadNetwork

NETWORK = build_course()
LINE = NETWORK.line([EGO_LANE])


def lane(lane_id: str, points: list[tuple[float, float]], successors: tuple[str, ...] = ()) -> Lane:
    return Lane(
        lane_id=lane_id,
        centre_m=np.array(points, np.float64),
        width_m=3.5,
        speed_limit_mps=13.9,
        left_marking="dashed",
        right_marking="solid",
        has_sidewalk=False,
        successors=successors,
    )


def test_the_course_is_long_enough_and_closes() -> None:
    assert LINE.length_m > 1500.0
    gap = np.hypot(LINE.x_m[-1] - LINE.x_m[0], LINE.y_m[-1] - LINE.y_m[0])
    assert gap < 1e-9
    assert abs(LINE.yaw_rad[-1] - LINE.yaw_rad[0] - 2.0 * np.pi) < 1e-6
    assert np.abs(np.diff(LINE.curvature_1pm)).max() < 0.004, "a jump of the curvature would be a jump of the steering wheel"


def test_the_course_has_bends_of_several_radii_to_both_sides() -> None:
    bends = [piece for piece in COURSE if isinstance(piece, Bend)]
    assert len({bend.radius_m for bend in bends}) >= 8
    assert min(bend.radius_m for bend in bends) <= 18.0 and max(bend.radius_m for bend in bends) >= 150.0
    assert sum(bend.angle_deg < 0 for bend in bends) >= 4
    assert abs(1.0 / np.abs(LINE.curvature_1pm).max() - (18.0 + LANE_WIDTH_M / 2.0)) < 0.1


def test_no_two_parts_of_the_course_come_near_each_other() -> None:
    points = np.stack([LINE.x_m, LINE.y_m], axis=1)[:-1:8]
    distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    i, j = np.indices(distance.shape)
    along = np.minimum(abs(i - j), len(points) - abs(i - j)) * 4.0
    assert distance[along > 120.0].min() > 35.0


def test_traffic_drives_on_the_right() -> None:
    oncoming = NETWORK.line([ONCOMING_LANE])
    station, left = LINE.project(float(oncoming.x_m[100]), float(oncoming.y_m[100]))
    assert abs(left - LANE_WIDTH_M) < 0.05
    facing = oncoming.yaw_rad[100] - LINE.sample(LINE.yaw_rad, np.array([station]))[0]
    assert np.cos(facing) < -0.999


@given(st.floats(0.0, 1626.0), st.floats(-6.0, 6.0))
def test_projection_finds_the_place_that_a_point_was_made_from(station: float, left: float) -> None:
    x, y, yaw = LINE.poses(np.array([station]))[0]
    found_station, found_left = LINE.project(float(x - left * np.sin(yaw)), float(y + left * np.cos(yaw)))
    assert abs(found_left - left) < 0.02
    assert min(abs(found_station - station), LINE.length_m - abs(found_station - station)) < 0.15


def test_an_open_line_has_ends() -> None:
    line = Line.through(np.array([(float(x), 0.0) for x in range(10)]), closed=False)
    assert line.length_m == pytest.approx(9.0)
    assert line.poses(np.array([-5.0, 50.0]))[:, 0].tolist() == pytest.approx([0.0, 9.0])


def test_lanes_that_follow_each_other_make_one_line() -> None:
    first, second = lane("a", [(0, 0), (5, 0), (10, 0)], ("b",)), lane("b", [(15, 0), (20, 0), (25, 0)])
    network = RoadNetwork(name="net", lanes=(first, second))
    assert network.line(["a", "b"]).length_m == pytest.approx(25.0)
    with pytest.raises(ContractError, match="'b' does not lead into 'a'"):
        network.line(["b", "a"])


@pytest.mark.parametrize(
    ("lanes", "message"),
    [
        ((), "at least one"),
        ((lane("a", [(0, 0), (1, 0), (2, 0)]),) * 2, "all different"),
        ((lane("a", [(0, 0), (1, 0), (2, 0)], ("x",)),), r"\['x'\] are not in network"),
    ],
)
def test_a_broken_network_says_what_is_wrong(lanes: tuple[Lane, ...], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        RoadNetwork(name="net", lanes=lanes)


def test_a_lane_needs_points() -> None:
    with pytest.raises(ContractError, match="2 points"):
        lane("a", [(0, 0), (1, 0)])
    with pytest.raises(ContractError, match="has right, left"):
        NETWORK.lane("middle")


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([Bend(90.0, 30.0, 5.0)], "90.0° with 0 free"),
        ([Bend(360.0, 30.0, 5.0), Straight(50.0, is_free=True), Straight(50.0)], "with 1 free"),
        ([Bend(10.0, 10.0, 20.0), Bend(350.0, 30.0, 5.0), Straight(50.0, is_free=True), Straight(50.0, is_free=True)], "shorter than its transitions"),
    ],
)
def test_a_course_that_cannot_close_is_refused(pieces: list[Bend | Straight], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        closed_loop(pieces)


def test_an_unknown_course_is_refused() -> None:
    with pytest.raises(ContractError, match="must be one of course"):
        build_course("nowhere")
