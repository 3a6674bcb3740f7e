"""Road users in the pictures: inside their boxes, on the ground, where the camera model says, with lamps that mean something."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.image_geometry import project_points
from mimic_contracts.rig import load_rig
from mimic_contracts.scene import AGENT_KINDS
from mimic_sim.actor_meshes import actor_quads, shade_quads
from mimic_sim.actor_shapes import VARIANTS
from mimic_sim.actors import Actor
from mimic_sim.course import EGO_LANE, build_course
from mimic_sim.looks import look_of
from mimic_sim.mesh import VERTEX_FLOATS, MeshBuilder
from mimic_sim.renderer import Renderer
from mimic_sim.scene_meshes import scene_mesh

NETWORK = build_course()
POSE = NETWORK.line([EGO_LANE]).poses(np.array([30.0]))[0]
MESH = scene_mesh(NETWORK, seed=1)
FRONT = load_rig("mono").cameras[0]
SIZES_M = {
    "car": (4.5, 1.8, 1.5),
    "van": (5.4, 2.0, 2.3),
    "truck": (8.5, 2.5, 3.5),
    "bus": (12.0, 2.55, 3.1),
    "bicycle": (1.75, 0.6, 1.8),
    "pedestrian": (0.55, 0.65, 1.75),
}
HALF_BLINK_NS = 333_333_334


def actor(kind: str = "car", ahead_m: float = 14.0, left_m: float = 0.0, **changes: object) -> Actor:
    """Before the ego's pose, heading as it does."""
    length, width, height = SIZES_M[kind]
    c, s = np.cos(POSE[2]), np.sin(POSE[2])
    plain = Actor(
        actor_id=kind,
        kind=kind,
        x_m=float(POSE[0] + c * ahead_m - s * left_m),
        y_m=float(POSE[1] + s * ahead_m + c * left_m),
        yaw_rad=float(POSE[2]),
        speed_mps=5.0,
        length_m=length,
        width_m=width,
        height_m=height,
        brake=False,
        indicator="none",
        colour=(0.1, 0.2, 0.7),
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def renderer_of(look: str) -> Renderer:
    try:
        return Renderer(MESH, look_of(look, seed=1), (FRONT,), seed=1)
    except MimicError as error:
        pytest.skip(str(error))


@given(
    kind=st.sampled_from(AGENT_KINDS),
    name=st.text("abc_0123", min_size=1),
    x_m=st.floats(-900.0, 900.0),
    yaw_rad=st.floats(-4.0, 4.0),
    stretch=st.floats(0.8, 1.25),
)
def test_a_road_user_fills_its_box_and_stands_on_the_ground(kind: str, name: str, x_m: float, yaw_rad: float, stretch: float) -> None:
    length, width, height = (stretch * size for size in SIZES_M[kind])
    one = actor(kind, actor_id=name, x_m=x_m, y_m=3.0, yaw_rad=yaw_rad, length_m=length, width_m=width, height_m=height)
    vertices = actor_quads([one], 0, lights=False)
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    local = (vertices[:, :2] - np.array([x_m, 3.0])) @ np.array([[c, -s], [s, c]])
    reach = np.abs(local).max(axis=0)
    swing_m = 0.25 if kind == "pedestrian" else 0.0
    assert reach[0] < length / 2.0 + 0.06 + swing_m and reach[1] < width / 2.0 + 0.08
    assert reach[0] > 0.3 * length and reach[1] > 0.4 * width
    assert abs(vertices[:, 2].min()) < 0.06 and abs(vertices[:, 2].max() - height) < 0.1 * height
    assert np.abs(np.linalg.norm(vertices[:, 3:6], axis=1) - 1.0).max() < 1e-3
    assert len(vertices) // 2 < 800, "triangles"


def test_a_shape_s_faces_look_outwards() -> None:
    """The normal of a quad agrees with the order of its corners after stretching and turning."""
    for kind in AGENT_KINDS:
        quads = actor_quads([actor(kind, yaw_rad=1.1, length_m=5.0)], 0, lights=True).reshape(-1, 4, VERTEX_FLOATS).astype(np.float64)
        across = np.cross(quads[:, 2, :3] - quads[:, 0, :3], quads[:, 3, :3] - quads[:, 1, :3])
        assert ((across * quads[:, 0, 3:6]).sum(axis=1) > 0.0).mean() > 0.99


def test_names_choose_among_the_variants() -> None:
    shapes = {actor_quads([actor(actor_id=f"car_{i}")], 0, lights=False).tobytes() for i in range(30)}
    assert len(shapes) == VARIANTS


def test_a_walk_moves_the_legs() -> None:
    here, there = (actor_quads([actor("pedestrian", x_m=x, y_m=0.0, yaw_rad=0.0)], 0, lights=False)[:, :3] for x in (0.0, 0.35))
    moved = np.abs(there[:, 0] - here[:, 0] - 0.35)
    assert moved[here[:, 2] < 0.2].max() > 0.25 and moved[here[:, 2] > 1.5].max() < 1e-5


def test_lamps_shine_when_they_mean_something() -> None:
    def shining(stamp_ns: int = 0, *, lights: bool = False, **changes: object) -> int:
        return int((actor_quads([actor(**changes)], stamp_ns, lights=lights)[:, 9:12].max(axis=1) > 1.5).sum())

    assert shining() == 0
    assert shining(brake=True) > 0 and shining(lights=True) > 0
    assert shining(indicator="left") > 0 and shining(indicator="both") == 2 * shining(indicator="left")
    assert shining(HALF_BLINK_NS, indicator="left") == 0 and shining(2 * HALF_BLINK_NS, indicator="left") > 0


@pytest.mark.parametrize(("kind", "left_m"), [("car", 0.0), ("bus", 3.5), ("pedestrian", -2.0), ("bicycle", 1.5)])
def test_a_road_user_is_where_the_camera_model_puts_it(kind: str, left_m: float) -> None:
    one = actor(kind, 20.0, left_m)
    length, width, height = SIZES_M[kind]
    near = 20.0 - length / 2.0
    corners = np.array([(x, left_m + y, z) for x in (near, near + length) for y in (-width / 2.0, width / 2.0) for z in (0.0, height)])
    box = np.array([project_points(FRONT, corner[None])[0][0] for corner in corners])
    with renderer_of("fog") as renderer:
        changed = (renderer.render(FRONT, POSE, actors=[one]) != renderer.render(FRONT, POSE)).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert len(rows) > 10
    assert columns.min() >= box[:, 0].min() - 5 and columns.max() <= box[:, 0].max() + 5
    assert rows.min() >= box[:, 1].min() - 3 and rows.max() <= box[:, 1].max() + 3
    assert abs(rows.min() - box[:, 1].min()) < 4, "its top"


def test_pictures_depend_on_nothing_drawn_before() -> None:
    crowd = [actor(kind, 10.0 + 4.0 * i, 3.0 - i) for i, kind in enumerate(AGENT_KINDS)]
    with renderer_of("night") as one, renderer_of("night") as two:
        empty = two.render(FRONT, POSE)
        first = one.pictures(POSE, 7, crowd)["front"]
        assert np.array_equal(first, two.pictures(POSE, 7, crowd)["front"]) and not np.array_equal(first, empty)
        assert np.array_equal(one.render(FRONT, POSE), empty)
        behind, far = actor(ahead_m=-30.0), actor(ahead_m=5000.0)
        assert np.array_equal(one.render(FRONT, POSE, actors=[behind, far]), empty)


def test_lamps_and_the_ego_s_beam_light_the_night() -> None:
    builder = MeshBuilder()
    c, s = np.cos(POSE[2]), np.sin(POSE[2])
    corner = np.array([(15.0, 0.3, 3.0), (15.0, -0.3, 3.0), (15.0, -0.3, 3.6), (15.0, 0.3, 3.6)])
    world = corner @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) + np.array([POSE[0], POSE[1], 0.0])
    builder.add(world[None], "plain", uv=np.zeros((1, 4, 2)), tint=(2.6, 0.25, 0.15))
    column, row = np.round(project_points(FRONT, corner)[0].mean(axis=0)).astype(int)
    with renderer_of("night") as renderer:
        red, green, _ = renderer.render(FRONT, POSE, lamps=builder.build().vertices)[row, column].astype(int)
        assert red > 220 and red > green + 100
        road = renderer.render(FRONT, POSE).mean(axis=2)
    near, far = (project_points(FRONT, np.array([[x, -1.0, 0.0]]))[0][0].round().astype(int) for x in (7.0, 45.0))
    assert road[near[1], near[0]] > road[far[1], far[0]] + 15


def test_shade_lies_on_the_ground() -> None:
    assert shade_quads([]).shape == (0, VERTEX_FLOATS)
    shade = shade_quads([actor(), actor("bus")])
    assert len(shade) == 8 and (shade[:, 2] > 0.0).all() and (shade[:, 2] < 0.05).all()


def test_impossible_road_users_are_refused() -> None:
    with pytest.raises(ContractError, match=r"actor\.kind"):
        dataclasses.replace(actor(), kind="tank")
    with pytest.raises(ContractError, match=r"actor\.indicator"):
        actor(indicator="up")
    with pytest.raises(ContractError, match=r"actor\.colour"):
        actor(colour=(2.0, 0.0, 0.0))
