"""Sets of looks for a town: what facades, roofs and trees it has. Where things stand is the same in every set.

A planner learns in the north and in sets that are varied by the seed, and is judged in the east (validation) and the south
(tests) too, whose facades and cars it has never seen. Every set has as many facades, walls, bricks and roofs as any other,
so that the same draws place the same houses.
"""

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError


@dataclass(frozen=True, eq=False, kw_only=True)
class Scenery:
    """town, house: materials of facades, drawn from with equal chances; bare: the one of them that takes its tint from
    bricks, others from walls; crown: shape and greenness of leaf trees; needles: radii of conifers, shares of their height;
    car_shapes: indices into CARS in actor_shapes.py."""

    town: tuple[str, ...]  # 4
    house: tuple[str, ...]  # 3
    bare: str
    walls: NDArray[np.float64]  # (6, 3), as bricks and roofs, tints
    bricks: NDArray[np.float64]  # (3, 3)
    roofs: NDArray[np.float64]  # (3, 3)
    crown: float  # 1: round; more: as an umbrella
    foliage: tuple[float, float, float]
    needles: tuple[float, float, float, float]
    car_shapes: tuple[int, int, int]


NORTH = Scenery(
    town=("plaster", "plaster", "brick", "office"),
    house=("plaster", "plaster", "brick"),
    bare="brick",
    walls=np.array([(0.93, 0.88, 0.78), (0.85, 0.75, 0.62), (0.80, 0.80, 0.80), (0.90, 0.82, 0.66), (0.72, 0.78, 0.80), (0.86, 0.70, 0.62)]),
    bricks=np.array([(0.62, 0.34, 0.27), (0.70, 0.45, 0.35), (0.55, 0.40, 0.33)]),
    roofs=np.array([(0.62, 0.30, 0.24), (0.45, 0.32, 0.28), (0.38, 0.39, 0.42)]),
    crown=1.0,
    foliage=(1.0, 1.0, 1.0),
    needles=(0.26, 0.20, 0.10, 0.0),
    car_shapes=(0, 1, 2),
)
SOUTH = Scenery(
    town=("balconies", "shutters", "curtain_wall", "balconies"),
    house=("shutters", "shutters", "stone"),
    bare="stone",
    walls=np.array([(0.97, 0.95, 0.90), (0.95, 0.78, 0.52), (0.90, 0.62, 0.50), (0.96, 0.90, 0.74), (0.98, 0.84, 0.62), (0.86, 0.86, 0.88)]),
    bricks=np.array([(0.80, 0.74, 0.62), (0.72, 0.66, 0.56), (0.76, 0.62, 0.50)]),
    roofs=np.array([(0.80, 0.48, 0.32), (0.72, 0.40, 0.26), (0.66, 0.52, 0.40)]),
    crown=2.4,
    foliage=(1.15, 1.0, 0.75),
    needles=(0.05, 0.11, 0.09, 0.0),
    car_shapes=(3, 4, 5),
)
EAST = Scenery(
    town=("bands", "fins", "shingles", "fins"),
    house=("shingles", "shingles", "bands"),
    bare="bands",
    walls=np.array([(0.56, 0.66, 0.58), (0.62, 0.60, 0.74), (0.44, 0.52, 0.60), (0.74, 0.58, 0.64), (0.80, 0.82, 0.70), (0.50, 0.44, 0.42)]),
    bricks=np.array([(0.78, 0.68, 0.42), (0.60, 0.30, 0.34), (0.56, 0.58, 0.56)]),
    roofs=np.array([(0.32, 0.46, 0.42), (0.30, 0.30, 0.38), (0.50, 0.28, 0.36)]),
    crown=0.65,
    foliage=(0.62, 0.85, 0.95),
    needles=(0.10, 0.19, 0.17, 0.0),
    car_shapes=(9, 10, 11),
)
FIXED = {"north": NORTH, "south": SOUTH, "east": EAST}
SCENERIES = (*FIXED, "varied")
VARIED_TOWN = ("plaster", "brick", "office", "siding", "timber", "concrete", "glazed", "corrugated", "arches")
VARIED_HOUSE = ("plaster", "brick", "siding", "timber", "glazed", "arches")
VARIED_CAR_SHAPES = (0, 1, 2, 6, 7, 8)
VARIED_SALT = 37


@lru_cache(maxsize=8)  # the same object for walls and mesh, so that these are made once
def scenery_of(name: str, *, seed: int) -> Scenery:
    """A set by name, by the route's seed where it is varied; raises ContractError that lists the known ones."""
    if name not in SCENERIES:
        raise ContractError(f"scenery: is '{name}', must be one of {', '.join(SCENERIES)}")
    return FIXED[name] if name in FIXED else _varied(np.random.default_rng([seed, VARIED_SALT]))


def _varied(rng: np.random.Generator) -> Scenery:
    """Anything that houses, trees and cars may be but for what is kept for validation and tests."""
    town, house = (tuple(str(name) for name in rng.choice(names, count, replace=False)) for names, count in ((VARIED_TOWN, 4), (VARIED_HOUSE, 3)))
    return Scenery(
        town=town,
        house=house,
        bare=house[-1],
        walls=_tints(rng, 6, saturation=(0.0, 0.4), value=(0.4, 1.0)),
        bricks=_tints(rng, 3, saturation=(0.1, 0.55), value=(0.35, 0.9)),
        roofs=_tints(rng, 3, saturation=(0.0, 0.5), value=(0.25, 0.8)),
        crown=rng.uniform(0.8, 1.8),
        foliage=tuple(rng.uniform((0.5, 0.45, 0.3), (1.04, 1.2, 1.3))),  # redder ones would shine by themselves (shaders.py)
        needles=tuple(rng.uniform((0.16, 0.10, 0.04, 0.0), (0.34, 0.26, 0.16, 0.0))),
        car_shapes=tuple(rng.choice(VARIED_CAR_SHAPES, 3, replace=False).tolist()),
    )


def _tints(rng: np.random.Generator, count: int, *, saturation: tuple[float, float], value: tuple[float, float]) -> NDArray[np.float64]:
    """(count, 3) of any hue."""
    return np.array([hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value)) for _ in range(count)])
