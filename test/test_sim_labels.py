"""Labels say what the picture shows: where, which road user, how far; and drawing them leaves pictures as they are."""

from collections.abc import Iterator

import numpy as np
import pytest
from test_sim_actors import FRONT, MESH, POSE, actor, renderer_of

from mimic_contracts.errors import ContractError
from mimic_contracts.image_geometry import ground_points, project_points
from mimic_contracts.labels import CLASS_INDEX, SEMANTIC_CLASSES, Labels
from mimic_contracts.scene import AGENT_KINDS
from mimic_sim.mesh import MeshBuilder
from mimic_sim.renderer import Renderer

CROWD = [actor("car", -20.0), actor("bus", 25.0, 3.5), actor("pedestrian", 12.0, -2.0), actor("bicycle", 9.0, 1.5), actor("truck", 60.0)]


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with renderer_of("day") as opened:
        yield opened


def test_everything_has_a_class(renderer: Renderer) -> None:
    classes = {SEMANTIC_CLASSES[int(k)] for k in np.unique(MESH.vertices[:, 12])}
    assert classes == {"road", "lane_marking", "sidewalk", "terrain", "vegetation", "building", "pole"}
    labels = renderer.labels(FRONT, POSE, actors=CROWD)
    shown = {SEMANTIC_CLASSES[k] for k in np.unique(labels.semantic)}
    assert {"sky", "road", "lane_marking", "terrain", "bus", "pedestrian", "bicycle"} <= shown
    assert labels.semantic[-1, FRONT.width_px // 2] in (CLASS_INDEX["road"], CLASS_INDEX["lane_marking"])
    assert (np.isinf(labels.depth_m) == (labels.semantic == CLASS_INDEX["sky"])).all()


def test_depth_runs_along_the_optical_axis(renderer: Renderer) -> None:
    labels = renderer.labels(FRONT, POSE)
    rows, columns = np.nonzero(labels.semantic == CLASS_INDEX["road"])
    ground, is_ground = ground_points(FRONT, np.stack([columns, rows], axis=1).astype(np.float64))
    m = FRONT.mounting
    points = np.column_stack([ground, np.zeros(len(ground))]) - np.array([m.x_m, m.y_m, m.z_m])
    assert is_ground.all()
    assert np.abs(labels.depth_m[rows, columns] / (points @ m.rotation()[:, 0]) - 1.0).max() < 2e-3


def test_an_instance_is_the_index_of_the_road_user_that_was_given(renderer: Renderer) -> None:
    labels = renderer.labels(FRONT, POSE, actors=CROWD)
    assert set(np.unique(labels.instance)) == {0, 2, 3, 4, 5}, "the car is behind the camera"
    for k, one in enumerate(CROWD[1:], start=2):
        where = labels.instance == k
        assert set(labels.semantic[where]) == {CLASS_INDEX[one.kind]}
        ahead = {2: 25.0, 3: 12.0, 4: 9.0, 5: 60.0}[k] - FRONT.mounting.x_m
        assert np.abs(labels.depth_m[where] - ahead).max() < one.length_m / 2.0 + 1.0
    kinds = [CLASS_INDEX[kind] for kind in AGENT_KINDS]
    assert ((labels.instance > 0) == np.isin(labels.semantic, kinds)).all()


def test_who_stands_before_hides_who_stands_behind(renderer: Renderer) -> None:
    far, near = actor("car", 30.0), actor("van", 15.0)
    alone = renderer.labels(FRONT, POSE, actors=[far]).instance == 1
    both = renderer.labels(FRONT, POSE, actors=[far, near])
    assert alone.sum() > 20 and (both.instance[alone] == 2).mean() > 0.95


def test_lamps_are_traffic_lights(renderer: Renderer) -> None:
    builder = MeshBuilder("traffic_light")
    c, s = np.cos(POSE[2]), np.sin(POSE[2])
    corner = np.array([(15.0, 0.5, 3.0), (15.0, -0.5, 3.0), (15.0, -0.5, 4.0), (15.0, 0.5, 4.0)])
    world = corner @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) + np.array([POSE[0], POSE[1], 0.0])
    builder.add(world[None], "plain", uv=np.zeros((1, 4, 2)))
    labels = renderer.labels(FRONT, POSE, lamps=builder.build().vertices)
    rows, columns = np.nonzero(labels.semantic == CLASS_INDEX["traffic_light"])
    pixels, _ = project_points(FRONT, corner)
    assert np.abs(np.array([columns.mean(), rows.mean()]) - pixels.mean(axis=0)).max() < 0.6


def test_drawing_labels_changes_no_picture() -> None:
    with renderer_of("dusk") as one, renderer_of("dusk") as two:
        first = one.labels(FRONT, POSE, actors=CROWD)
        picture = one.render(FRONT, POSE, actors=CROWD)
        assert np.array_equal(picture, two.render(FRONT, POSE, actors=CROWD))
        again = two.labels(FRONT, POSE, actors=CROWD)
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in ("semantic", "instance", "depth_m"))


def test_labels_of_different_shapes_are_refused() -> None:
    with pytest.raises(ContractError, match=r"labels\.instance"):
        Labels(semantic=np.zeros((4, 5), np.uint8), instance=np.zeros((5, 4), np.uint16), depth_m=np.zeros((4, 5), np.float32))
