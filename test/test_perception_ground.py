"""The ground from above: what is laid where, and by which camera."""

import numpy as np
import pytest
import torch

from e2e_planner.views import GroundEncoder
from mimic_contracts.image_geometry import ground_points, project_points
from mimic_contracts.labels import CLASS_INDEX, LABEL_STRIDE, SEMANTIC_CLASSES
from mimic_contracts.rig import load_rig
from perception.ground_view import ASIDE_M, CELL_M, CELLS, ON_GROUND, GroundView, cell_middles_m, moved_ground

QUAD = load_rig("quad")
GROUPS = list(ON_GROUND)


def painted(paint, rig=QUAD):
    """Logits (1, classes, h, w) of each camera, of a flat world whose points (N, 2) on the ground have the classes paint(points, camera)."""
    pictures = []
    for camera in rig.cameras:
        height, width = camera.height_px // LABEL_STRIDE, camera.width_px // LABEL_STRIDE
        row, column = np.indices((height, width)).reshape(2, -1)
        points_m, is_ground = ground_points(camera, np.stack([column + 0.5, row + 0.5], axis=1) * LABEL_STRIDE - 0.5)
        classes = np.where(is_ground, paint(points_m, camera.name), CLASS_INDEX["sky"])
        pictures.append(torch.tensor(20.0 * np.eye(len(SEMANTIC_CLASSES))[classes].T.reshape(1, -1, height, width), dtype=torch.float32))
    return pictures


def seen_by(middles):
    """(CELLS,) whether any camera of the quad rig sees the middle of a cell."""
    is_seen = np.zeros(CELLS, bool)
    for camera in QUAD.cameras:
        pixels, is_ahead = project_points(camera, np.column_stack([middles.reshape(-1, 2), np.zeros(middles.size // 2)]))
        inside = is_ahead & (pixels >= -0.5).all(axis=1) & (pixels < np.array([camera.width_px, camera.height_px]) - 0.5).all(axis=1)
        is_seen |= inside.reshape(CELLS)
    return is_seen


def test_cells_are_where_they_say() -> None:
    middles = cell_middles_m()
    assert middles.shape == (*CELLS, 2)
    assert (middles[0, 0] - CELL_M / 2 == (1.0, ASIDE_M[0])).all() and (middles[1, 0] - middles[0, 0] == (CELL_M, 0.0)).all()
    assert (middles[0, 1] - middles[0, 0] == (0.0, CELL_M)).all()


@pytest.mark.parametrize("along", [np.array([0.0, 1.0]), np.array([1.0, 0.4]), np.array([1.0, -0.8])])
def test_an_edge_on_the_ground_lies_where_it_is(along) -> None:
    def side(points_m):
        return points_m @ along - np.array([9.0, 0.0]) @ along

    view = GroundView(QUAD)(painted(lambda points_m, _: np.where(side(points_m) > 0.0, CLASS_INDEX["road"], CLASS_INDEX["terrain"])))[0]
    middles = cell_middles_m()
    is_near = seen_by(middles) & (np.linalg.norm(middles, axis=2) < 15.0)
    is_clear = is_near & (np.abs(side(middles)) > 2.0 * np.linalg.norm(along))  # further from the edge than a place is long
    road, terrain = view[GROUPS.index("road")].numpy(), view[GROUPS.index("terrain")].numpy()
    assert is_clear.sum() > 200
    assert (road[is_clear & (side(middles) > 0.0)] > 0.9).all() and (terrain[is_clear & (side(middles) < 0.0)] > 0.9).all()


def test_each_cell_is_of_the_camera_that_shows_it_largest_and_nothing_is_where_none_looks() -> None:
    of_camera = {"front": "road", "tele": "lane_marking", "left": "sidewalk", "right": "terrain"}
    view = GroundView(QUAD)(painted(lambda points_m, name: np.full(len(points_m), CLASS_INDEX[of_camera[name]])))[0].numpy()
    middles = cell_middles_m()

    def at(x_m, y_m):
        row, column = np.unravel_index(np.linalg.norm(middles - (x_m, y_m), axis=2).argmin(), CELLS)
        return dict(zip(GROUPS, view[:, row, column], strict=True))

    assert at(12.0, 0.0)["road"] > 0.99 and at(35.0, 0.0)["lane_marking"] > 0.99
    assert at(6.0, 8.0)["sidewalk"] > 0.99 and at(6.0, -8.0)["terrain"] > 0.99
    assert set(at(2.0, 0.0).values()) == {0.0}  # under the bonnet
    assert view.min() >= 0.0 and view.sum(0).max() < 1.001


@pytest.mark.parametrize("pose", [(0.0, 0.8, 0.0), (0.0, 0.0, 0.15), (1.0, -0.6, -0.2)])
def test_from_another_pose_the_ground_lies_elsewhere(pose) -> None:
    def stripes(points_m):
        return (points_m @ np.array([0.3, 1.0]) / 6.0 % 1.0 > 0.5).astype(np.float32)

    middles, (x_m, y_m, yaw) = cell_middles_m(), pose
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])  # of row vectors, from the pose's frame
    there = middles @ turn + (x_m, y_m)
    moved = moved_ground(np.stack([stripes(middles), np.ones(CELLS, np.float32)]), np.array(pose))
    is_known = moved[1] > 0.999
    low, high = middles[0, 0], middles[-1, -1]
    assert (is_known == ((there >= low - 1e-6) & (there <= high + 1e-6)).all(axis=2)).mean() > 0.99
    assert np.abs(moved[0] - stripes(there))[is_known].mean() < 0.12  # but for the cells on an edge
    assert (moved_ground(moved, np.zeros(3)) == moved).all()


def test_what_stands_and_what_drives_are_groups_of_their_own() -> None:
    view = GroundView(QUAD)
    for name, group in (("car", "vehicle"), ("bus", "vehicle"), ("building", "raised"), ("pedestrian", "raised"), ("road", "road")):
        shares = view(painted(lambda points_m, _, name=name: np.full(len(points_m), CLASS_INDEX[name])))[0].numpy().max(axis=(1, 2))
        assert shares[GROUPS.index(group)] > 0.99 and np.delete(shares, GROUPS.index(group)).max() < 0.01


def test_a_born_encoder_adds_nothing_and_a_learning_one_hides_squares_by_lot() -> None:
    torch.manual_seed(0)
    encoder, ground = GroundEncoder(16), torch.rand(2, len(ON_GROUND), *CELLS)
    assert (encoder.eval()(ground) == 0.0).all()
    torch.nn.init.ones_(encoder.join.weight)
    assert (encoder(ground) == encoder(ground)).all()
    encoder.train()
    assert not torch.equal(encoder(ground), encoder(ground))
