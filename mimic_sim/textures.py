"""Procedural surfaces: small tiles that repeat without seams, made from a fixed seed.

Red, green, blue are the surface's colour, near white where a tint shall decide; alpha is 255 but on glass, where it is 0.
"""

import numpy as np
from numpy.typing import NDArray

SIZE_PX = 128
COMMON = ("asphalt", "paving", "grass", "plaster", "brick", "office", "roof", "leaves", "bark", "plain", "lamp")
SOUTHERN = ("balconies", "shutters", "curtain_wall", "stone")
MATERIALS = (*COMMON, *SOUTHERN)
LAYER = {name: index for index, name in enumerate(MATERIALS)}

Tile = NDArray[np.float64]  # (SIZE_PX, SIZE_PX, 4), 0 to 1


def texture_layers() -> NDArray[np.uint8]:
    """(layers, SIZE_PX, SIZE_PX, 4) uint8 in the order of MATERIALS."""
    rng = np.random.default_rng(7)
    tiles = {
        "asphalt": _asphalt(rng),
        "paving": _paving(rng),
        "grass": _two_tone(rng, (0.20, 0.31, 0.10), (0.38, 0.46, 0.20), roughness=1.0),
        "plaster": _facade(rng, _mottled(rng, 0.93, 0.05), window=(0.30, 0.30, 0.72, 0.80), with_bar=True),
        "brick": _facade(rng, _bricks(rng), window=(0.28, 0.28, 0.72, 0.82), with_bar=True),
        "office": _facade(rng, _mottled(rng, 0.85, 0.04), window=(0.04, 0.30, 0.96, 0.86), with_bar=False),
        "roof": _roof(rng),
        "leaves": _two_tone(rng, (0.10, 0.20, 0.05), (0.42, 0.55, 0.22), roughness=0.8),
        "bark": _two_tone(rng, (0.22, 0.16, 0.11), (0.42, 0.33, 0.25), roughness=0.9),
        "plain": _mottled(rng, 0.95, 0.04),
        "lamp": _grey(np.ones((SIZE_PX, SIZE_PX))),
        "balconies": _balconies(rng),
        "shutters": _shutters(rng),
        "curtain_wall": _facade(rng, _grey(np.full((SIZE_PX, SIZE_PX), 0.55)), window=(0.02, 0.12, 0.98, 0.98), with_bar=True),
        "stone": _facade(rng, _ashlar(rng), window=(0.36, 0.34, 0.64, 0.78), with_bar=False),
    }
    return np.stack([np.round(np.clip(tiles[name], 0.0, 1.0) * 255.0).astype(np.uint8) for name in MATERIALS])


def _noise(rng: np.random.Generator, *, finest: float) -> NDArray[np.float64]:
    """(SIZE_PX, SIZE_PX) of mean 0 and deviation 1; amplitude falls with frequency to the power `finest`: 0 is white."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE_PX), np.fft.rfftfreq(SIZE_PX), indexing="ij"))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(SIZE_PX, SIZE_PX))) / frequency**finest
    field = np.fft.irfft2(spectrum, s=(SIZE_PX, SIZE_PX))
    return field / field.std()


def _grey(brightness: NDArray[np.float64]) -> Tile:
    return np.stack([brightness, brightness, brightness, np.ones_like(brightness)], axis=-1)


def _mottled(rng: np.random.Generator, mean: float, deviation: float) -> Tile:
    return _grey(mean + deviation * _noise(rng, finest=1.0))


def _two_tone(rng: np.random.Generator, dark: tuple[float, float, float], bright: tuple[float, float, float], *, roughness: float) -> Tile:
    share = np.clip(0.5 + 0.28 * _noise(rng, finest=roughness), 0.0, 1.0)[..., None]
    colour = np.array(dark) * (1.0 - share) + np.array(bright) * share
    return np.concatenate([colour, np.ones((SIZE_PX, SIZE_PX, 1))], axis=-1)


def _asphalt(rng: np.random.Generator) -> Tile:
    patches, grain = _noise(rng, finest=1.2), _noise(rng, finest=0.1)
    return _grey(0.26 + 0.022 * patches + 0.022 * grain)


def _grid(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column in units of `count` cells a tile."""
    row, column = np.indices((SIZE_PX, SIZE_PX)) / SIZE_PX * count
    return row, column


def _paving(rng: np.random.Generator) -> Tile:
    row, column = _grid(4)
    joint = np.minimum(np.minimum(row % 1, 1 - row % 1), np.minimum(column % 1, 1 - column % 1)) < 0.04
    slab = rng.normal(0.0, 0.03, (4, 4))[row.astype(int), column.astype(int)]
    return _grey(np.where(joint, 0.40, 0.56 + slab + 0.02 * _noise(rng, finest=0.6)))


def _bricks(rng: np.random.Generator) -> Tile:
    row, column = _grid(16)
    column = column / 2.0 + 0.5 * (row.astype(int) % 2)
    joint = np.minimum(row % 1, 1 - row % 1) < 0.10
    joint |= np.minimum(column % 1, 1 - column % 1) < 0.06
    shade = rng.normal(0.0, 0.05, (16, 9))[row.astype(int), column.astype(int)]
    return _grey(np.where(joint, 0.78, 0.88 + shade))


def _facade(rng: np.random.Generator, wall: Tile, *, window: tuple[float, float, float, float], with_bar: bool) -> Tile:
    """One floor of one bay: the wall with a framed window; left, bottom, right, top as shares of the tile (v is up)."""
    tile = wall.copy()
    up, across = (np.indices((SIZE_PX, SIZE_PX)) + 0.5) / SIZE_PX
    left, bottom, right, top = window
    frame = 0.035

    def inside(margin: float) -> NDArray[np.bool_]:
        return (across > left - margin) & (across < right + margin) & (up > bottom - margin) & (up < top + margin)

    tile[inside(frame)] = (0.97, 0.96, 0.93, 1.0)
    glass = inside(0.0)
    if with_bar:
        glass &= np.abs(across - (left + right) / 2.0) > 0.02
    tile[glass] = (0.16, 0.19, 0.22, 0.0)
    tile[up < 0.03, :3] *= 0.8  # a ledge between the floors
    return tile


def _balconies(rng: np.random.Generator) -> Tile:
    """A glass door behind a white parapet that casts a shadow."""
    tile = _facade(rng, _mottled(rng, 0.95, 0.02), window=(0.22, 0.10, 0.58, 0.84), with_bar=True)
    up, across = (np.indices((SIZE_PX, SIZE_PX)) + 0.5) / SIZE_PX
    parapet = (across > 0.08) & (across < 0.92) & (up < 0.40)
    tile[parapet & (up > 0.05)] = (0.86, 0.86, 0.84, 1.0)
    tile[parapet & (up <= 0.05)] = (0.45, 0.44, 0.43, 1.0)
    tile[(up > 0.90) & (across > 0.08) & (across < 0.92), :3] *= 0.62
    return tile


def _shutters(rng: np.random.Generator) -> Tile:
    """A tall window between two louvred shutters."""
    tile = _facade(rng, _mottled(rng, 0.92, 0.06), window=(0.38, 0.22, 0.62, 0.82), with_bar=True)
    up, across = (np.indices((SIZE_PX, SIZE_PX)) + 0.5) / SIZE_PX
    leaf = ((across > 0.20) & (across < 0.35)) | ((across > 0.65) & (across < 0.80))
    louvre = 0.75 + 0.25 * (up * 40.0 % 1.0)
    tile = np.where((leaf & (up > 0.22) & (up < 0.82))[..., None], np.stack([0.22 * louvre, 0.42 * louvre, 0.36 * louvre, np.ones_like(up)], axis=-1), tile)
    return tile


def _ashlar(rng: np.random.Generator) -> Tile:
    """Large cut stones."""
    row, column = _grid(6)
    column = column / 1.5 + 0.5 * (row.astype(int) % 2)
    joint = (np.minimum(row % 1, 1 - row % 1) < 0.05) | (np.minimum(column % 1, 1 - column % 1) < 0.03)
    shade = rng.normal(0.0, 0.06, (6, 5))[row.astype(int), column.astype(int)]
    return _grey(np.where(joint, 0.70, 0.90 + shade))


def _roof(rng: np.random.Generator) -> Tile:
    row, column = _grid(12)
    shade = rng.normal(0.0, 0.05, (12, 12))[row.astype(int), column.astype(int)]
    return _grey(0.62 + 0.30 * (row % 1) + shade)
