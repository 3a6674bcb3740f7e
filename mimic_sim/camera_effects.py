"""What a real camera does to a picture: noise, exposure that is never quite right, a lens that is soft and dirty.

Drawn by the seed of a route, applied to a rendered picture; the same seed, camera and stamp give the same bytes. Labels
stay as they are: the world is there, whatever is on the lens.
"""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.rig import CameraSpec
from mimic_sim.looks import Look

CAMERAS = ("clean", "varied")
DISPLAY_GAIN, DISPLAY_GAMMA = 1.6, 2.2  # of `show` in shaders.py
BANK_PX = 64  # noise is cut at one of BANK_PX squared places out of a larger picture
DIRT_BLUR = 8  # what lies behind dirt is seen as from a picture this many times smaller
DIRT_TAKES = 0.35  # share of the light that dirt keeps back

DROP_SCALE = -2.5  # pixels of the scene per pixel in the middle of a drop


@dataclass(frozen=True, kw_only=True)
class CameraEffects:
    """Strengths, 0 is off.

    read_noise: standard deviation in the dark, grey levels of 255; shot_noise: variance per grey level; exposure_stops:
    constant error; drift_stops: amplitude of slow drift; vignette: share of light lost in the corners; blur_px: standard
    deviation; dirt, drops: spots and raindrops on the lens.
    """

    read_noise: float = 0.0
    shot_noise: float = 0.0
    exposure_stops: float = 0.0
    drift_stops: float = 0.0
    vignette: float = 0.0
    blur_px: float = 0.0
    dirt: int = 0
    drops: int = 0


def effects_of(name: str, look: Look, *, seed: int) -> CameraEffects:
    """The effects of a route: none for "clean"; for "varied" by the seed, noisier the darker it is, drops in the rain."""
    if name == "clean":
        return CameraEffects()
    rng = np.random.default_rng([seed, 13])
    gain = 1.0 + 2.5 * max(0.0, 1.0 - look.ambient / 0.5) + (0.6 if look.name == "dusk" else 0.0)
    return CameraEffects(
        read_noise=gain * float(rng.uniform(0.5, 2.0)),
        shot_noise=gain * float(rng.uniform(0.01, 0.06)),
        exposure_stops=float(np.clip(rng.normal(0.0, 0.25), -0.6, 0.6)),
        drift_stops=float(rng.uniform(0.0, 0.2)),
        vignette=float(rng.uniform(0.0, 0.3)),
        blur_px=float(rng.uniform(0.3, 0.8)) * int(rng.integers(0, 2)),
        dirt=int(rng.integers(1, 8)) * int(rng.integers(0, 2)),
        drops=int(rng.integers(4, 16)) if look.rain > 0.0 else 0,
    )


class Lens:
    """The effects on the pictures of one camera."""

    def __init__(self, effects: CameraEffects, camera: CameraSpec, *, seed: int) -> None:
        self._effects, self._seed = effects, (seed, zlib.crc32(camera.name.encode()))
        rng = np.random.default_rng([*self._seed, 17])
        height, width, _ = camera.shape
        self._phases = rng.uniform(0.0, 2.0 * np.pi, 2)
        self._noise = rng.standard_normal((height + BANK_PX, width + BANK_PX, 3), np.float32)
        self._sigma = np.sqrt(effects.read_noise**2 + effects.shot_noise * np.arange(256)).astype(np.float32)
        self._dirt = _dirt(effects.dirt, height, width, rng)
        self._behind_drops = _behind_drops(effects.drops, height, width, rng)
        v, u = np.indices((height, width))
        away = np.hypot(u - (width - 1) / 2.0, v - (height - 1) / 2.0) / np.hypot(width / 2.0, height / 2.0)
        self._light = (1.0 - effects.vignette * away[..., None] ** 2).astype(np.float32) * (1.0 - DIRT_TAKES * self._dirt)

    def apply(self, picture: NDArray[np.uint8], stamp_ns: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB as this camera would have taken it at this moment."""
        effects = self._effects
        if effects == CameraEffects():
            return picture
        rng = np.random.default_rng([*self._seed, stamp_ns])
        if effects.drops:
            picture = cv2.remap(picture, *self._behind_drops, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        if effects.blur_px:
            picture = cv2.GaussianBlur(picture, (0, 0), effects.blur_px)
        seen = cv2.LUT(picture, self._exposed(stamp_ns))
        if effects.dirt:
            height, width = seen.shape[:2]
            far = cv2.resize(seen, (max(width // DIRT_BLUR, 1), max(height // DIRT_BLUR, 1)), interpolation=cv2.INTER_AREA)
            seen = seen + self._dirt * (cv2.resize(far, (width, height), interpolation=cv2.INTER_LINEAR) - seen)
        top, left = rng.integers(0, BANK_PX, 2)
        noise = self._noise[top : top + seen.shape[0], left : left + seen.shape[1]]
        return cv2.add(seen * self._light, cv2.LUT(picture, self._sigma) * noise, dtype=cv2.CV_8U)  # rounds, and stays within 0 to 255

    def _exposed(self, stamp_ns: int) -> NDArray[np.float32]:
        """(256,) grey level → grey level with this moment's error of exposure, as the light would have given it."""
        time_s = stamp_ns / 1e9
        drift = np.mean([np.sin(2.0 * np.pi * time_s / period_s + phase) for period_s, phase in zip((7.3, 2.9), self._phases, strict=True)])
        stops = self._effects.exposure_stops + self._effects.drift_stops * drift
        shown = (np.arange(256) / 255.5) ** DISPLAY_GAMMA
        light = -np.log1p(-shown) / DISPLAY_GAIN * 2.0**stops
        return (255.5 * (1.0 - np.exp(-DISPLAY_GAIN * light)) ** (1.0 / DISPLAY_GAMMA)).astype(np.float32)


def _dirt(count: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W, 3), all channels alike: how much of each pixel soft spots cover, 0 to 0.9."""
    v, u = np.indices((height, width)).astype(np.float32)
    cover = np.zeros((height, width), np.float32)
    for _ in range(count):
        middle, radius = rng.uniform((0.0, 0.0), (width, height)), rng.uniform(0.02, 0.09) * width
        away = np.hypot(u - middle[0], (v - middle[1]) * rng.uniform(0.7, 1.4)) / radius
        cover = np.maximum(cover, np.float32(rng.uniform(0.4, 0.9)) * np.exp(-(away**2)).astype(np.float32))
    return cover[..., None].repeat(3, axis=2)


def _behind_drops(count: int, height: int, width: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(H, W) twice: the pixel [u], [v] that is seen at each pixel; a drop shows what is around it small and upside down."""
    v, u = np.indices((height, width)).astype(np.float32)
    from_u, from_v = u.copy(), v.copy()
    for _ in range(count):
        middle, radius = rng.uniform((0.0, 0.0), (width, height)), rng.uniform(0.012, 0.035) * width
        away = np.hypot(u - middle[0], v - middle[1]) / radius
        rim = np.clip((away - 0.6) / 0.4, 0.0, 1.0)[away < 1.0]
        scale = rim + (1.0 - rim) * DROP_SCALE
        from_u[away < 1.0] = middle[0] + scale * (u - middle[0])[away < 1.0]
        from_v[away < 1.0] = middle[1] + scale * (v - middle[1])[away < 1.0]
    return from_u, from_v
