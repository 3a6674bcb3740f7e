"""What procedural surfaces are made of: noise, mixtures of colours, grids. A tile repeats without seams.

Red, green, blue are the surface's colour, near white where a tint shall decide; alpha is 1 but on glass, where it is 0.
"""

import numpy as np
from numpy.typing import NDArray

SIZE_PX = 128
UP, ACROSS = (np.indices((SIZE_PX, SIZE_PX)) + 0.5) / SIZE_PX  # the middles of pixels, shares of the tile

Tile = NDArray[np.float64]  # (SIZE_PX, SIZE_PX, 4), 0 to 1
Colour = tuple[float, float, float]


def noise(rng: np.random.Generator, *, finest: float) -> NDArray[np.float64]:
    """(SIZE_PX, SIZE_PX) of mean 0 and deviation 1; amplitude falls with frequency to the power `finest`: 0 is white."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE_PX), np.fft.rfftfreq(SIZE_PX), indexing="ij"))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(SIZE_PX, SIZE_PX))) / frequency**finest
    field = np.fft.irfft2(spectrum, s=(SIZE_PX, SIZE_PX))
    return field / field.std()


def grey(brightness: NDArray[np.float64]) -> Tile:
    """A tile of brightness (SIZE_PX, SIZE_PX) without a hue."""
    return np.stack([brightness, brightness, brightness, np.ones_like(brightness)], axis=-1)


def mottled(rng: np.random.Generator, mean: float, deviation: float) -> Tile:
    """Grey with broad patches."""
    return grey(mean + deviation * noise(rng, finest=1.0))


def two_tone(rng: np.random.Generator, dark: Colour, bright: Colour, *, roughness: float) -> Tile:
    """Patches between two colours; roughness as `finest` of the noise."""
    share = np.clip(0.5 + 0.28 * noise(rng, finest=roughness), 0.0, 1.0)[..., None]
    colour = np.array(dark) * (1.0 - share) + np.array(bright) * share
    return np.concatenate([colour, np.ones((SIZE_PX, SIZE_PX, 1))], axis=-1)


def grid(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column of every pixel in units of `count` cells a tile."""
    row, column = np.indices((SIZE_PX, SIZE_PX)) / SIZE_PX * count
    return row, column
