"""Geometry of a town: nothing beside the road stands on it, areas are covered whole, lamps show what the state says."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic_contracts.errors import ContractError
from mimic_contracts.labels import CLASS_INDEX
from mimic_sim.mesh import VERTEX_FLOATS, triangles
from mimic_sim.road_network import Lane, RoadNetwork, Signal
from mimic_sim.roadside import Circles
from mimic_sim.scene_meshes import scene_mesh
from mimic_sim.signal_meshes import DARK, LAMPS, LIT, QUADS_PER_LAMP, QUADS_PER_SIGNAL, Lamps
from mimic_sim.textures import LAYER


def signal(signal_id: str = "a", link: int = 0) -> Signal:
    return Signal(signal_id=signal_id, position_m=np.array([5.0, 2.0, 2.7]), yaw_rad=0.0, lane_ids=("x",), link_indices=(link,))


@given(st.lists(st.floats(1.0, 20.0), min_size=3, max_size=20), st.booleans())
def test_triangles_cover_a_polygon_once(radii: list[float], is_clockwise: bool) -> None:
    angle = np.arange(len(radii)) * 2.0 * np.pi / len(radii)
    outline = np.array(radii)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    outline = outline[::-1] if is_clockwise else outline
    x, y = outline.T
    area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2.0
    a, b, c = np.moveaxis(triangles(outline)[:, :3], 1, 0)
    parts = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2.0
    assert (parts >= -1e-9).all() and parts.sum() == pytest.approx(area)


@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-90, 90), st.floats(0, 10)), max_size=30), st.floats(-90, 90), st.floats(-90, 90))
def test_the_grid_of_circles_finds_what_a_search_through_all_finds(circles: list[tuple[float, float, float]], x: float, y: float) -> None:
    ground = Circles()
    if circles:
        ground.add(np.array(circles))
    nearest = min((np.hypot(cx - x, cy - y) - r for cx, cy, r in circles), default=np.inf)
    assert ground.are_free(np.array([[x, y]]), 5.0) == (nearest >= 5.0) or abs(nearest - 5.0) < 1e-6


@pytest.mark.parametrize(
    ("character", "lit"), [("r", {"red"}), ("u", {"red", "yellow"}), ("y", {"yellow"}), ("G", {"green"}), ("g", {"green"}), ("O", set()), ("o", {"yellow"})]
)
def test_lamps_show_the_state_of_their_link(character: str, lit: set[str]) -> None:
    vertices = Lamps([signal(), signal("b", link=2)]).quads({"a": "r", "b": "yy" + character})
    assert vertices.shape == (2 * QUADS_PER_SIGNAL * 4, VERTEX_FLOATS) and vertices.dtype == np.float32
    lamps = vertices.reshape(2, len(LAMPS), QUADS_PER_LAMP * 4, VERTEX_FLOATS)[1]
    for lamp, name in zip(lamps, LAMPS, strict=True):
        assert np.allclose(lamp[:, 9:12], (LIT if name in lit else DARK)[name])
        assert (lamp[:, 12] == CLASS_INDEX[f"{name}_lamp" if name in lit else "traffic_light"]).all()
        assert np.allclose(lamp[:, 3:6], [1.0, 0.0, 0.0], atol=1e-6), "they face where the signal does"
    assert (np.diff([lamp[:, 2].mean() for lamp in lamps]) < -0.2).all(), "red is above yellow above green"


def test_no_signals_have_no_lamps() -> None:
    assert Lamps([]).quads({}).shape == (0, VERTEX_FLOATS)


@pytest.mark.parametrize(("states", "message"), [({}, "'a': its state is None"), ({"a": ""}, "character for link 0"), ({"a": "x"}, "in state 'x'")])
def test_a_signal_without_a_state_says_so(states: dict[str, str], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Lamps([signal()]).quads(states)


def test_a_short_open_lane_can_be_drawn() -> None:
    lane = Lane(
        lane_id="a",
        centre_m=np.array([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]),
        width_m=3.0,
        speed_limit_mps=10.0,
        left_marking="dashed",
        right_marking="solid",
        has_sidewalk=False,
        successors=(),
    )
    assert np.isfinite(scene_mesh(RoadNetwork(name="stub", lanes=(lane,)), seed=1).vertices).all()


def test_nothing_in_a_town_stands_on_anything_paved() -> None:
    pytest.importorskip("sumolib")
    from mimic_sim.sumo_network import load_network

    network = load_network(Path(__file__).parent / "street.net.xml.gz")
    mesh = scene_mesh(network, seed=1)
    assert np.array_equal(mesh.vertices, scene_mesh(network, seed=1).vertices)
    x, y, z = mesh.vertices[:, :3].T
    material = mesh.vertices[:, 8].astype(int)
    walls = np.isin(material, [LAYER[name] for name in ("plaster", "brick", "office", "bark")]) | ((material == LAYER["leaves"]) & (z < 1.1))
    assert walls.sum() > 500
    middles = [(lane.centre_m, lane.width_m / 2.0) for lane in network.lanes]
    middles += [(path.centre_m, path.width_m / 2.0) for path in (*network.sidewalks, *network.crossings)]
    for centre, half in middles:
        for a, b in pairwise(centre):
            share = np.clip(((x - a[0]) * (b[0] - a[0]) + (y - a[1]) * (b[1] - a[1])) / np.sum((b - a) ** 2), 0.0, 1.0)
            away = np.hypot(x - a[0] - share * (b[0] - a[0]), y - a[1] - share * (b[1] - a[1]))
            assert away[walls].min() > half - 0.1
    posts = np.array([s.post_m for s in network.signals] + [s.position_m for s in network.signs])
    for lane in network.lanes:
        if not lane.is_internal:
            assert np.hypot(*(posts[:, None] - lane.centre_m).transpose(2, 0, 1)).min() > lane.width_m / 2.0 + 0.3
