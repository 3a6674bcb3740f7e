"""Sceneries: everything stands where it stood and looks different."""

import numpy as np
import pytest
from test_sim_actors import FRONT, POSE, actor

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.labels import CLASS_INDEX
from mimic_sim.actor_meshes import actor_quads
from mimic_sim.course import build_course
from mimic_sim.looks import look_of
from mimic_sim.renderer import Renderer
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scene_meshes import scene_mesh
from mimic_sim.scenery import NORTH, SCENERIES, SOUTH, scenery_of
from mimic_sim.textures import LAYER

NORTHERN, SOUTHERN = (scene_mesh(build_course(), seed=1, scenery=scenery) for scenery in (NORTH, SOUTH))


def test_things_stand_in_the_same_places() -> None:
    def of(mesh: object, name: str) -> np.ndarray:
        return mesh.vertices[mesh.vertices[:, 12] == CLASS_INDEX[name]]  # type: ignore[attr-defined]

    for name in ("road", "sidewalk", "lane_marking", "pole"):
        assert np.array_equal(of(NORTHERN, name), of(SOUTHERN, name))
    north, south = of(NORTHERN, "building"), of(SOUTHERN, "building")
    assert np.array_equal(north[:, :3], south[:, :3]) and not np.array_equal(north[:, 9:12], south[:, 9:12])
    assert set(north[:, 8]) & set(south[:, 8]) == {LAYER["roof"], LAYER["plain"]}
    assert len(of(NORTHERN, "vegetation")) == len(of(SOUTHERN, "vegetation"))


def test_pictures_and_cars_differ() -> None:
    cars = [actor(actor_id=f"car_{i}") for i in range(30)]
    shapes = [{actor_quads([car], 0, lights=False, scenery=scenery)[:, :3].tobytes() for car in cars} for scenery in (NORTH, SOUTH)]
    assert [len(s) for s in shapes] == [3, 3] and not shapes[0] & shapes[1]
    try:
        with (
            Renderer(NORTHERN, look_of("day", seed=1), (FRONT,)) as north,
            Renderer(SOUTHERN, look_of("day", seed=1), (FRONT,), scenery=SOUTH) as south,
        ):
            differ = (north.render(FRONT, POSE, actors=cars[:1]) != south.render(FRONT, POSE, actors=cars[:1])).any(axis=2)
            assert differ.mean() > 0.02
    except MimicError as error:
        pytest.skip(str(error))


def test_sets_are_alike_in_number() -> None:
    for name in ("town", "house", "walls", "bricks", "roofs", "needles", "car_shapes"):
        assert len({len(getattr(scenery, name)) for scenery in SCENERIES.values()}) == 1
    for scenery in SCENERIES.values():
        assert {*scenery.town, *scenery.house} <= set(LAYER) and scenery.bare in scenery.house


def test_an_unknown_scenery_is_refused() -> None:
    with pytest.raises(ContractError, match="scenery: is 'west', must be one of north, south"):
        scenery_of("west")
    with pytest.raises(ContractError, match=r"route\.scenery"):
        RouteSpec(scenery="west")
