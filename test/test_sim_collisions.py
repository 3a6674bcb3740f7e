"""Contacts: the overlap test against a library's, its symmetries, counting once, and fault."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic_contracts.vehicle import load_vehicle
from mimic_sim.actors import Actor
from mimic_sim.collisions import ContactWatch, actor_boxes, ego_box, is_at_fault, touching

EGO = load_vehicle("twist_car")
ORIGIN = np.zeros(3)
boxes = st.tuples(st.floats(-8, 8), st.floats(-8, 8), st.floats(-4, 4), st.floats(0.3, 12), st.floats(0.3, 3)).map(np.array)


def car(x: float, y: float, **changes: object) -> Actor:
    base = {"actor_id": "1", "kind": "car", "yaw_rad": 0.0, "speed_mps": 5.0, "length_m": 4.5, "width_m": 1.8, "height_m": 1.5}
    return Actor(**{**base, "x_m": x, "y_m": y, "brake": False, "indicator": "none", "colour": (0.5, 0.5, 0.5), **changes})


def grown(box: np.ndarray, by_m: float) -> np.ndarray:
    return box + np.array([0, 0, 0, by_m, by_m])


@given(boxes, boxes)
def test_boxes_touch_where_opencv_finds_an_intersection(one: np.ndarray, other: np.ndarray) -> None:
    if touching(grown(one, -0.01), grown(other, -0.01)[None]) != touching(grown(one, 0.01), grown(other, 0.01)[None]):
        return  # too close to tell in OpenCV's float32
    as_cv = [((float(b[0]), float(b[1])), (float(b[3]), float(b[4])), float(np.degrees(b[2]))) for b in (one, other)]
    kind, _ = cv2.rotatedRectangleIntersection(*as_cv)
    assert touching(one, other[None])[0] == (kind != cv2.INTERSECT_NONE)


@given(boxes, st.lists(boxes, max_size=5))
def test_touching_is_symmetric_and_a_box_touches_itself(one: np.ndarray, others: list[np.ndarray]) -> None:
    many = np.array(others).reshape(-1, 5)
    assert touching(one, many).shape == (len(others),)
    assert touching(one, many).tolist() == [bool(touching(other, one[None])[0]) for other in others]
    assert touching(one, one[None])[0]


def test_the_ego_reaches_as_far_as_its_bumpers() -> None:
    front_m, rear_m = EGO.length_m - EGO.rear_overhang_m, EGO.rear_overhang_m
    box = ego_box(ORIGIN, EGO)
    for gap_m, touches in ((0.01, False), (-0.01, True)):
        assert touching(box, actor_boxes([car(front_m + 2.25 + gap_m, 0.0)]))[0] == touches
        assert touching(box, actor_boxes([car(-rear_m - 2.25 - gap_m, 0.0)]))[0] == touches
        assert touching(box, actor_boxes([car(1.0, EGO.width_m / 2 + 0.9 + gap_m)]))[0] == touches


def test_no_actors_no_contacts() -> None:
    assert ContactWatch(EGO).look(0.0, ORIGIN, (), ego_speed_mps=5.0, in_lane=True) == ()


def test_one_contact_counts_once_though_the_boxes_part_for_a_moment() -> None:
    watch, near, far = ContactWatch(EGO), car(4.0, 0.0), car(40.0, 0.0)

    def begun(time_s: float, actor: Actor) -> int:
        return len(watch.look(time_s, ORIGIN, [actor], ego_speed_mps=3.0, in_lane=True))

    assert [begun(0.0, near), begun(0.05, near), begun(0.1, far), begun(0.6, near)] == [1, 0, 0, 0]
    assert [begun(1.0, far), begun(3.0, near)] == [0, 1]
    assert begun(3.0, car(4.0, 0.0, actor_id="2")) == 1


@pytest.mark.parametrize(
    ("x", "speed_mps", "in_lane", "at_fault"),
    [
        (5.5, 5.0, True, True),  # we drive into the one ahead
        (5.5, 0.0, True, False),  # it comes to us while we stand
        (-3.0, 5.0, True, False),  # rear-ended
        (-3.0, 5.0, False, True),  # we cut in before it
        (-3.0, -1.0, True, True),  # we back into it
        (1.0, 5.0, True, True),  # it is at our side
    ],
)
def test_fault(x: float, speed_mps: float, in_lane: bool, at_fault: bool) -> None:
    assert is_at_fault(ego_box(ORIGIN, EGO), car(x, 0.5), ego_speed_mps=speed_mps, in_lane=in_lane) == at_fault
