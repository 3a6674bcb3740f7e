"""Facades as tiles: one floor of one bay each, 3 m by 3 m, with its windows."""

import numpy as np
from numpy.typing import NDArray

from mimic_sim.tiles import ACROSS, SIZE_PX, UP, Colour, Tile, grey, grid, mottled, noise

GLASS = (0.16, 0.19, 0.22, 0.0)
WHITE, DARK = (0.97, 0.96, 0.93), (0.24, 0.25, 0.27)  # frames
FRAME = 0.035  # share of the tile

Box = tuple[float, float, float, float]  # left, bottom, right, top as shares of the tile (v is up)


def plaster(rng: np.random.Generator) -> Tile:
    """Smooth, with an upright window."""
    return _facade(mottled(rng, 0.93, 0.05), (0.30, 0.30, 0.72, 0.80), with_bar=True)


def brick(rng: np.random.Generator) -> Tile:
    """Bricks, with an upright window."""
    return _facade(_bricks(rng), (0.28, 0.28, 0.72, 0.82), with_bar=True)


def office(rng: np.random.Generator) -> Tile:
    """A band of windows."""
    return _facade(mottled(rng, 0.85, 0.04), (0.04, 0.30, 0.96, 0.86), with_bar=False)


def balconies(rng: np.random.Generator) -> Tile:
    """A glass door behind a white parapet that casts a shadow."""
    tile = _facade(mottled(rng, 0.95, 0.02), (0.22, 0.10, 0.58, 0.84), with_bar=True)
    parapet = (ACROSS > 0.08) & (ACROSS < 0.92) & (UP < 0.40)
    tile[parapet & (UP > 0.05)] = (0.86, 0.86, 0.84, 1.0)
    tile[parapet & (UP <= 0.05)] = (0.45, 0.44, 0.43, 1.0)
    tile[(UP > 0.90) & (ACROSS > 0.08) & (ACROSS < 0.92), :3] *= 0.62
    return tile


def shutters(rng: np.random.Generator) -> Tile:
    """A tall window between two louvred shutters."""
    tile = _facade(mottled(rng, 0.92, 0.06), (0.38, 0.22, 0.62, 0.82), with_bar=True)
    leaf = ((ACROSS > 0.20) & (ACROSS < 0.35)) | ((ACROSS > 0.65) & (ACROSS < 0.80))
    louvre = 0.75 + 0.25 * (UP * 40.0 % 1.0)
    return np.where((leaf & (UP > 0.22) & (UP < 0.82))[..., None], np.stack([0.22 * louvre, 0.42 * louvre, 0.36 * louvre, np.ones_like(UP)], axis=-1), tile)


def curtain_wall(rng: np.random.Generator) -> Tile:
    """Glass between thin frames."""
    return _facade(grey(np.full((SIZE_PX, SIZE_PX), 0.55)), (0.02, 0.12, 0.98, 0.98), with_bar=True)


def stone(rng: np.random.Generator) -> Tile:
    """Large cut stones, with a small window."""
    row, column = grid(6)
    column = column / 1.5 + 0.5 * (row.astype(int) % 2)
    joint = (np.minimum(row % 1, 1 - row % 1) < 0.05) | (np.minimum(column % 1, 1 - column % 1) < 0.03)
    shade = rng.normal(0.0, 0.06, (6, 5))[row.astype(int), column.astype(int)]
    return _facade(grey(np.where(joint, 0.70, 0.90 + shade)), (0.36, 0.34, 0.64, 0.78), with_bar=False)


def siding(rng: np.random.Generator) -> Tile:
    """Level boards that lap over each other, with a sash window in a broad frame."""
    row, _ = grid(16)
    shade = rng.normal(0.0, 0.03, 16)[row.astype(int)]
    wall = grey(np.where(row % 1 < 0.2, 0.62, 0.97 - 0.14 * (row % 1) + shade + 0.02 * noise(rng, finest=0.5)))
    wall[_inside((0.30, 0.24, 0.70, 0.86), margin=FRAME), :3] = WHITE
    tile = _facade(wall, (0.36, 0.29, 0.64, 0.80), with_bar=False)
    tile[_inside((0.36, 0.53, 0.64, 0.56))] = (*WHITE, 1.0)
    return tile


def timber(rng: np.random.Generator) -> Tile:
    """Dark posts, rails and braces with plaster between them, and a window in the middle field."""
    wall = mottled(rng, 0.95, 0.04)
    slope = 0.28 / 0.72  # of the braces, from the feet of the outer posts inwards
    middle = np.abs(ACROSS - 0.5)
    brace = np.abs(middle - 0.48 + slope * (UP - 0.14)) < 0.035
    post = (middle > 0.465) | (np.abs(middle - 0.22) < 0.03)
    rail = (UP < 0.07) | (UP > 0.93) | ((np.abs(UP - 0.26) < 0.03) & (middle < 0.22))
    beam = rail | post | (brace & (middle > 0.22))
    wall[beam, :3] = np.array([0.36, 0.26, 0.19]) * (1.0 + 0.08 * noise(rng, finest=0.6))[beam, None]
    return _facade(wall, (0.33, 0.34, 0.67, 0.84), with_bar=True)


def concrete(rng: np.random.Generator) -> Tile:
    """A panel between sealed joints, stained below the sill of a broad window with two unequal wings."""
    brightness = 0.78 + 0.03 * noise(rng, finest=0.2) + 0.03 * noise(rng, finest=1.2)
    streaks = np.repeat(np.abs(rng.normal(0.0, 0.10, SIZE_PX // 4)), 4)[None]
    brightness = np.where(_inside((0.14, 0.03, 0.86, 0.34)), brightness - streaks * UP / 0.34, brightness)
    wall = grey(np.where((UP > 0.965) | (np.abs(ACROSS - 0.5) > 0.482), 0.42, brightness))
    tile = _facade(wall, (0.16, 0.34, 0.84, 0.82), with_bar=False, frame=DARK)
    tile[_inside((0.60, 0.34, 0.64, 0.82))] = (*DARK, 1.0)
    return tile


def glazed(rng: np.random.Generator) -> Tile:
    """Small tiles, no two quite of a colour, with two narrow windows."""
    row, column = grid(16)
    joint = (np.minimum(row % 1, 1 - row % 1) < 0.07) | (np.minimum(column % 1, 1 - column % 1) < 0.07)
    colour = 0.82 + rng.normal(0.0, 0.09, (16, 16, 1)) + rng.normal(0.0, 0.05, (16, 16, 3))
    wall = grey(np.ones((SIZE_PX, SIZE_PX)))
    wall[..., :3] = np.where(joint[..., None], 0.95, colour[row.astype(int), column.astype(int)] + 0.12 * ((row % 1) * (column % 1))[..., None])
    return _facade(wall, (0.12, 0.22, 0.36, 0.88), (0.64, 0.22, 0.88, 0.88), with_bar=False, frame=DARK)


def corrugated(rng: np.random.Generator) -> Tile:
    """Sheet metal in upright waves, with a strip of windows below the eaves."""
    wall = grey(0.76 + 0.18 * np.cos(2.0 * np.pi * 18.0 * ACROSS) + 0.02 * noise(rng, finest=1.0))
    wall[UP < 0.06, :3] *= 0.7
    tile = _facade(wall, (-0.1, 0.56, 1.1, 0.84), with_bar=False, frame=DARK)
    tile[_inside((-0.1, 0.56, 1.1, 0.84)) & (np.abs(ACROSS * 4.0 % 1.0 - 0.5) < 0.06)] = (*DARK, 1.0)
    return tile


def arches(rng: np.random.Generator) -> Tile:
    """Render with a window under a round arch, a moulding around it and a band at its springing."""
    tile = mottled(rng, 0.86, 0.05)
    tile[(np.abs(UP - 0.60) < 0.02) | (UP < 0.05)] = (0.99, 0.98, 0.96, 1.0)
    for half_width, bottom, colour in ((0.29, 0.16, (0.99, 0.98, 0.96, 1.0)), (0.22, 0.20, (0.50, 0.46, 0.42, 1.0)), (0.19, 0.22, GLASS)):
        tile[_arch(half_width, bottom)] = colour
    tile[_arch(0.19, 0.22) & ((np.abs(ACROSS - 0.5) < 0.015) | (np.abs(UP - 0.60) < 0.015))] = (0.50, 0.46, 0.42, 1.0)
    return tile


def shingles(rng: np.random.Generator) -> Tile:
    """Rows of round scales, with two small square windows."""
    row, column = grid(12)
    column = column + 0.5 * (row.astype(int) % 2)
    below = 1.0 - row % 1  # each scale hangs down over the row below it
    edge = np.hypot(column % 1 - 0.5, np.maximum(below - 0.5, 0.0))
    shade = rng.normal(0.0, 0.07, (12, 12))[row.astype(int), column.astype(int) % 12]
    wall = grey(np.where(edge > 0.46, 0.52, 0.80 + shade + 0.14 * below))
    return _facade(wall, (0.14, 0.38, 0.42, 0.72), (0.58, 0.38, 0.86, 0.72), with_bar=True)


def bands(rng: np.random.Generator) -> Tile:
    """Bricks in bright and dark bands, with a tall window below a stone lintel."""
    wall = _bricks(rng)
    wall[np.floor(UP * 8.0) % 2 == 1, :3] *= 0.5
    wall[_inside((0.30, 0.84, 0.70, 0.94))] = (0.93, 0.91, 0.86, 1.0)
    return _facade(wall, (0.37, 0.16, 0.63, 0.82), with_bar=False, frame=DARK)


def fins(rng: np.random.Generator) -> Tile:
    """Upright fins with a shaded side and narrow strips of glass between them, above a closed parapet."""
    tile = mottled(rng, 0.88, 0.03)
    phase = ACROSS * 4.0 % 1.0
    tile[(phase > 0.42) & (phase < 0.55), :3] *= 0.55
    tile[(phase > 0.55) & (UP > 0.24) & (UP < 0.97)] = GLASS
    tile[(UP >= 0.21) & (UP <= 0.24), :3] *= 0.6
    return tile


def _inside(box: Box, *, margin: float = 0.0) -> NDArray[np.bool_]:
    left, bottom, right, top = box
    is_level = np.abs(ACROSS - (left + right) / 2.0) < (right - left) / 2.0 + margin
    return is_level & (np.abs(UP - (bottom + top) / 2.0) < (top - bottom) / 2.0 + margin)


def _arch(half_width: float, bottom: float) -> NDArray[np.bool_]:
    """Below a half circle on two uprights that end at 0.60."""
    above = UP - bottom
    return (above > 0.0) & (np.hypot(ACROSS - 0.5, np.maximum(UP - 0.60, 0.0)) < half_width)


def _facade(wall: Tile, *windows: Box, with_bar: bool, frame: Colour = WHITE) -> Tile:
    """The wall with framed windows, and a ledge between the floors."""
    tile = wall.copy()
    for window in windows:
        tile[_inside(window, margin=FRAME)] = (*frame, 1.0)
        glass = _inside(window)
        if with_bar:
            glass &= np.abs(ACROSS - (window[0] + window[2]) / 2.0) > 0.02
        tile[glass] = GLASS
    tile[UP < 0.03, :3] *= 0.8
    return tile


def _bricks(rng: np.random.Generator) -> Tile:
    row, column = grid(16)
    column = column / 2.0 + 0.5 * (row.astype(int) % 2)
    joint = np.minimum(row % 1, 1 - row % 1) < 0.10
    joint |= np.minimum(column % 1, 1 - column % 1) < 0.06
    shade = rng.normal(0.0, 0.05, (16, 9))[row.astype(int), column.astype(int)]
    return grey(np.where(joint, 0.78, 0.88 + shade))
