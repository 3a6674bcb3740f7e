"""Sets of looks for a town: what facades, roofs and trees it has. Where things stand is the same in every set.

A planner that learned in the north is judged in the south too, which it has never seen. Every set has as many facades,
walls, bricks and roofs as any other, so that the same draws place the same houses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError


@dataclass(frozen=True, eq=False, kw_only=True)
class Scenery:
    """town, house: materials of facades, drawn from with equal chances; bare: the one of them that takes its tint from
    bricks, others from walls; crown: shape and greenness of leaf trees; needles: radii of conifers, shares of their height;
    car_shapes: variants of cars in actor_meshes.py."""

    town: tuple[str, str, str, str]
    house: tuple[str, str, str]
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
SCENERIES = {"north": NORTH, "south": SOUTH}


def scenery_of(name: str) -> Scenery:
    """A set by name; raises ContractError that lists the known ones."""
    if name not in SCENERIES:
        raise ContractError(f"scenery: is '{name}', must be one of {', '.join(SCENERIES)}")
    return SCENERIES[name]
