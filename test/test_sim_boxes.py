"""Boxes: the same place in the vehicle frame as in the world, around the pixels of the road user, and honest about what hides it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_sim_actors import FRONT, POSE, actor, renderer_of

from mimic_contracts.image_geometry import project_points
from mimic_contracts.scene import AGENT_KINDS
from mimic_sim.boxes import boxes_m, outline_px, visible_boxes


@given(ahead=st.floats(-60.0, 60.0), left=st.floats(-20.0, 20.0), turn=st.floats(-3.0, 3.0))
def test_a_box_is_where_the_road_user_is(ahead: float, left: float, turn: float) -> None:
    box = boxes_m([actor("van", ahead, left, yaw_rad=float(POSE[2] + turn))], POSE)[0]
    assert np.allclose(box, [ahead, left, 1.15, 5.4, 2.0, 2.3, turn], atol=1e-6)


@given(ahead=st.floats(-30.0, 60.0), left=st.floats(-30.0, 30.0), turn=st.floats(-3.0, 3.0), kind=st.sampled_from(AGENT_KINDS))
def test_the_outline_is_that_of_the_corners_within_the_picture(ahead: float, left: float, turn: float, kind: str) -> None:
    box = boxes_m([actor(kind, ahead, left, yaw_rad=float(POSE[2] + turn))], POSE)[0]
    outline = outline_px(box, FRONT)
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 7)] * 3), axis=-1).reshape(-1, 3) * box[3:6]
    c, s = np.cos(box[6]), np.sin(box[6])
    pixels, in_front = project_points(FRONT, grid @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) + box[:3])
    size = np.array([FRONT.width_px, FRONT.height_px])
    inside = pixels[in_front & (pixels >= -0.5).all(axis=1) & (pixels <= size - 0.5).all(axis=1)]
    if not len(outline):
        assert len(inside) == 0 or np.ptp(inside, axis=0).min() < 0.5
        return
    low, high = outline.min(axis=0), outline.max(axis=0)
    assert (low >= -0.51).all() and (high <= size - 0.49).all()
    assert (inside >= low - 0.02).all() and (inside <= high + 0.02).all()
    if in_front.all() and len(inside) == len(grid):
        assert np.allclose(inside.min(axis=0), low, atol=0.02) and np.allclose(inside.max(axis=0), high, atol=0.02)


@pytest.mark.parametrize("kind", AGENT_KINDS)
def test_bounds_hold_the_pixels_of_a_road_user_in_the_open(kind: str) -> None:
    crowd = [actor("car", -30.0), actor(kind, 14.0, 0.5, yaw_rad=float(POSE[2] + 0.6))]
    with renderer_of("day") as renderer:
        labels = renderer.labels(FRONT, POSE, actors=crowd)
    (box,) = visible_boxes(crowd, POSE, FRONT, labels)
    assert (box.instance, box.kind) == (2, kind) and box.visible > 0.7
    rows, columns = np.nonzero(labels.instance == 2)
    left, top, right, bottom = box.bounds_px
    assert left - 1.0 <= columns.min() and columns.max() <= right + 1.0 and right - left < 3.0 * (np.ptp(columns) + 1)
    assert top - 1.0 <= rows.min() and rows.max() <= bottom + 1.0 and bottom - top < 1.5 * (np.ptp(rows) + 1)


def test_what_is_half_hidden_is_half_visible() -> None:
    car, van = actor("car", 16.0), actor("van", 11.0, 1.0)
    with renderer_of("day") as renderer:
        alone = visible_boxes([car], POSE, FRONT, renderer.labels(FRONT, POSE, actors=[car]))
        hidden = visible_boxes([car, van], POSE, FRONT, renderer.labels(FRONT, POSE, actors=[car, van]))
        gone = visible_boxes([car, actor("bus", 11.0)], POSE, FRONT, renderer.labels(FRONT, POSE, actors=[car, actor("bus", 11.0)]))
    assert alone[0].visible > 0.85 and 0.1 < hidden[0].visible < 0.6
    assert np.array_equal(alone[0].bounds_px, hidden[0].bounds_px), "bounds are those of the box"
    assert [box.kind for box in gone] == ["bus"]
