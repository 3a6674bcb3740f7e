"""Procedural surfaces: small tiles that repeat without seams, made from a fixed seed.

Red, green, blue are the surface's colour, near white where a tint shall decide; alpha is 255 but on glass, where it is 0.
"""

import numpy as np
from numpy.typing import NDArray

from mimic_sim import facades
from mimic_sim.tiles import SIZE_PX, Tile, grey, grid, mottled, noise, two_tone

COMMON = ("asphalt", "paving", "grass", "plaster", "brick", "office", "roof", "leaves", "bark", "plain", "lamp")
SOUTHERN = ("balconies", "shutters", "curtain_wall", "stone")
VARIED = ("siding", "timber", "concrete", "glazed", "corrugated", "arches")
EASTERN = ("shingles", "bands", "fins")
MATERIALS = (*COMMON, *SOUTHERN, *VARIED, *EASTERN)
LAYER = {name: index for index, name in enumerate(MATERIALS)}


def texture_layers() -> NDArray[np.uint8]:
    """(layers, SIZE_PX, SIZE_PX, 4) uint8 in the order of MATERIALS."""
    rng = np.random.default_rng(7)  # one for the first fifteen, whose order decides what they look like
    tiles = {
        "asphalt": _asphalt(rng),
        "paving": _paving(rng),
        "grass": two_tone(rng, (0.20, 0.31, 0.10), (0.38, 0.46, 0.20), roughness=1.0),
        "plaster": facades.plaster(rng),
        "brick": facades.brick(rng),
        "office": facades.office(rng),
        "roof": _roof(rng),
        "leaves": two_tone(rng, (0.10, 0.20, 0.05), (0.42, 0.55, 0.22), roughness=0.8),
        "bark": two_tone(rng, (0.22, 0.16, 0.11), (0.42, 0.33, 0.25), roughness=0.9),
        "plain": mottled(rng, 0.95, 0.04),
        "lamp": grey(np.ones((SIZE_PX, SIZE_PX))),
    }
    tiles |= {name: getattr(facades, name)(rng) for name in SOUTHERN}
    tiles |= {name: getattr(facades, name)(np.random.default_rng([7, LAYER[name]])) for name in (*VARIED, *EASTERN)}
    return np.stack([np.round(np.clip(tiles[name], 0.0, 1.0) * 255.0).astype(np.uint8) for name in MATERIALS])


def _asphalt(rng: np.random.Generator) -> Tile:
    patches, grain = noise(rng, finest=1.2), noise(rng, finest=0.1)
    return grey(0.26 + 0.022 * patches + 0.022 * grain)


def _paving(rng: np.random.Generator) -> Tile:
    row, column = grid(4)
    joint = np.minimum(np.minimum(row % 1, 1 - row % 1), np.minimum(column % 1, 1 - column % 1)) < 0.04
    slab = rng.normal(0.0, 0.03, (4, 4))[row.astype(int), column.astype(int)]
    return grey(np.where(joint, 0.40, 0.56 + slab + 0.02 * noise(rng, finest=0.6)))


def _roof(rng: np.random.Generator) -> Tile:
    row, column = grid(12)
    shade = rng.normal(0.0, 0.05, (12, 12))[row.astype(int), column.astype(int)]
    return grey(0.62 + 0.30 * (row % 1) + shade)
