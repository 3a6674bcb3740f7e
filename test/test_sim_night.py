"""Which lamps light the night: near ones, faded in, never more than the shader holds; and what they do to the picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_sim_actors import FRONT, MESH, POSE, actor, renderer_of

from mimic_sim.mesh import Mesh
from mimic_sim.night import LAMP_REACH_M, MAX_BEAMS, MAX_LAMPS, beams, nearest_lamps, street_lamps

LAMPS = street_lamps(MESH)


def test_street_lamps_hang_above_the_road() -> None:
    assert len(LAMPS) > 50 and ((LAMPS[:, 2] > 6.0) & (LAMPS[:, 2] < 7.0)).all()
    unlit = MESH.vertices.copy()
    unlit[:, 8] = 0.0
    assert street_lamps(Mesh(unlit, MESH.chunks, MESH.spheres)).shape == (0, 3)


@given(count=st.integers(0, 40), seed=st.integers(0, 100))
def test_only_near_lamps_shine_and_none_is_switched_on_at_once(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lamps = np.column_stack([rng.uniform(-120.0, 120.0, (count, 2)), np.full(count, 6.5)])
    previous: dict[tuple[float, ...], float] = {}
    for x in np.arange(0.0, 10.0, 0.5):
        chosen = nearest_lamps(lamps, np.array([x, 0.0, 0.0]))
        assert len(chosen) <= MAX_LAMPS and ((chosen[:, 3] > 0.0) & (chosen[:, 3] <= 1.0)).all()
        assert (np.hypot(chosen[:, 0] - x - 25.0, chosen[:, 1]) <= LAMP_REACH_M).all()
        shares = {tuple(row[:3]): row[3] for row in chosen}
        if x:
            assert all(abs(shares.get(k, 0.0) - previous.get(k, 0.0)) < 0.1 for k in {*shares, *previous})
        previous = shares


def test_vehicles_light_the_road_before_them() -> None:
    crowd = [actor("pedestrian"), actor("bus", 20.0, 3.0)] + [actor(ahead_m=25.0 + k) for k in range(6)]
    lit = beams(crowd, POSE)
    assert lit.shape == (MAX_BEAMS, 6) and lit[0, 5] == 1.0 and (lit[1:, 5] < 1.0).all()
    assert np.allclose(np.linalg.norm(lit[:, 3:5], axis=1), 1.0)
    assert lit[1, :2] == pytest.approx([crowd[1].x_m + 6.0 * np.cos(POSE[2]), crowd[1].y_m + 6.0 * np.sin(POSE[2])])


def test_lamps_and_head_lights_brighten_the_night() -> None:
    oncoming = actor("car", 25.0, 3.2, yaw_rad=float(POSE[2] + np.pi))
    with renderer_of("night") as renderer:
        lit, dark = (renderer.render(FRONT, POSE, actors=[one]).astype(int) for one in (oncoming, actor("bicycle", 25.0, 3.2)))
        renderer._street_lamps = LAMPS[:0]
        unlit = renderer.render(FRONT, POSE).astype(int)
    road = np.s_[80:, :]
    assert lit[road].mean() > dark[road].mean() + 1.0
    assert dark[road].mean() > unlit[road].mean() + 5.0
