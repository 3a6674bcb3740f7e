"""Light and weather: what the renderer is told about the sky, the sun, the air and the road's wetness."""

from dataclasses import dataclass, replace

import numpy as np

from mimic_contracts.errors import ContractError

RGB = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Look:
    """Colours are linear RGB, 1.0 about the brightness of a white wall in the sun."""

    name: str
    sun_azimuth_rad: float  # from the x axis of the world to the left
    sun_elevation_rad: float
    sun_colour: RGB
    sky_colour: RGB  # overhead, also the light that comes from all sides
    horizon_colour: RGB  # also the colour of the fog
    ambient: float
    fog_1pm: float  # extinction: 1 / visibility in m, about
    cloudiness: float  # 0: clear, 1: overcast
    wetness: float  # 0: dry, 1: puddles
    rain: float  # density of visible streaks
    lit_windows: float  # share of windows with light
    exposure: float
    vehicle_lights: bool  # road users drive with head and tail lights
    beam: float = 0.0  # brightness of the ego's own head lights; without it no lamp lights anything
    street_lamp: float = 0.0  # brightness of street lamps


DAY = Look(
    name="day",
    sun_azimuth_rad=0.9,
    sun_elevation_rad=0.75,
    sun_colour=(1.25, 1.16, 1.0),
    sky_colour=(0.20, 0.38, 0.72),
    horizon_colour=(0.62, 0.74, 0.86),
    ambient=0.55,
    fog_1pm=1 / 1200,
    cloudiness=0.35,
    wetness=0.0,
    rain=0.0,
    lit_windows=0.0,
    exposure=1.0,
    vehicle_lights=False,
)
DUSK = replace(
    DAY,
    name="dusk",
    vehicle_lights=True,
    sun_azimuth_rad=2.6,
    sun_elevation_rad=0.12,
    sun_colour=(1.0, 0.48, 0.22),
    sky_colour=(0.13, 0.15, 0.32),
    horizon_colour=(0.78, 0.42, 0.30),
    ambient=0.55,
    fog_1pm=1 / 700,
    cloudiness=0.4,
    lit_windows=0.45,
    exposure=1.05,
)
FOG = replace(
    DAY,
    name="fog",
    vehicle_lights=True,
    sun_colour=(0.22, 0.22, 0.22),
    sky_colour=(0.55, 0.58, 0.61),
    horizon_colour=(0.58, 0.61, 0.64),
    ambient=0.75,
    fog_1pm=1 / 55,
    cloudiness=1.0,
    wetness=0.15,
    lit_windows=0.1,
)
RAIN = replace(
    DAY,
    name="rain",
    vehicle_lights=True,
    sun_colour=(0.12, 0.12, 0.13),
    sky_colour=(0.26, 0.29, 0.33),
    horizon_colour=(0.40, 0.43, 0.46),
    ambient=0.75,
    fog_1pm=1 / 220,
    cloudiness=1.0,
    wetness=0.9,
    rain=1.0,
    lit_windows=0.2,
    exposure=1.1,
)
NIGHT = replace(
    DAY,
    name="night",
    vehicle_lights=True,
    beam=1.6,
    street_lamp=1.2,
    sun_colour=(0.03, 0.035, 0.05),  # the moon
    sky_colour=(0.004, 0.006, 0.014),
    horizon_colour=(0.018, 0.018, 0.024),
    ambient=0.08,
    fog_1pm=1 / 600,
    cloudiness=1.0,
    lit_windows=0.35,
    exposure=1.1,
)
LOOKS = {look.name: look for look in (DAY, DUSK, FOG, RAIN, NIGHT)}


def look_of(name: str, *, seed: int) -> Look:
    """A look by name, varied a little by the seed: sun, clouds, haze, brightness.

    Raises ContractError that lists the known names.
    """
    if name not in LOOKS:
        raise ContractError(f"look: is '{name}', must be one of {', '.join(LOOKS)}")
    look, rng = LOOKS[name], np.random.default_rng([seed, 11])
    return replace(
        look,
        sun_azimuth_rad=float(rng.uniform(-np.pi, np.pi)),
        sun_elevation_rad=look.sun_elevation_rad * float(rng.uniform(0.8, 1.2)),
        fog_1pm=look.fog_1pm * float(rng.uniform(0.8, 1.25)),
        cloudiness=min(1.0, look.cloudiness * float(rng.uniform(0.5, 1.5))),
        exposure=look.exposure * float(rng.uniform(0.9, 1.1)),
    )
