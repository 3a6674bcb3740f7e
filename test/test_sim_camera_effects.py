"""A camera's faults: off when off, the same bytes again, as strong as they say, and never in the labels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic_contracts.errors import ContractError
from mimic_contracts.rig import load_rig
from mimic_sim.camera_effects import CameraEffects, Lens, effects_of
from mimic_sim.looks import LOOKS
from mimic_sim.route_spec import RouteSpec

FRONT = load_rig("mono").cameras[0]
PICTURE = np.repeat(np.linspace(0.0, 255.0, FRONT.width_px).astype(np.uint8)[None, :, None], FRONT.height_px, axis=0).repeat(3, axis=2)


def taken(effects: CameraEffects, *, picture: np.ndarray = PICTURE, seed: int = 3, stamp_ns: int = 5) -> np.ndarray:
    return Lens(effects, FRONT, seed=seed).apply(picture, stamp_ns)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), look=st.sampled_from(sorted(LOOKS)), stamp_ns=st.integers(0, 10**12))
def test_the_same_seed_and_stamp_give_the_same_bytes(seed: int, look: str, stamp_ns: int) -> None:
    effects = effects_of("varied", LOOKS[look], seed=seed)
    first = taken(effects, seed=seed, stamp_ns=stamp_ns)
    assert first.shape == PICTURE.shape and first.dtype == np.uint8
    assert np.array_equal(first, taken(effects, seed=seed, stamp_ns=stamp_ns))
    assert not np.array_equal(first, taken(effects, seed=seed, stamp_ns=stamp_ns + 50_000_000))
    assert not np.array_equal(first, Lens(effects, replace(FRONT, name="left"), seed=seed).apply(PICTURE, stamp_ns))


def test_a_clean_camera_changes_nothing() -> None:
    for look in LOOKS.values():
        assert effects_of("clean", look, seed=1) == CameraEffects()
    assert taken(CameraEffects()) is PICTURE


def test_noise_grows_with_light_and_in_the_dark() -> None:
    noise = taken(CameraEffects(read_noise=1.0, shot_noise=0.05)).astype(float) - PICTURE
    dark, bright = noise[:, 40:60].std(), noise[:, 200:220].std()
    assert abs(dark - np.sqrt(1.0 + 0.05 * 49)) < 0.15 and abs(bright - np.sqrt(1.0 + 0.05 * 210)) < 0.2
    day, night = (effects_of("varied", LOOKS[look], seed=4) for look in ("day", "night"))
    assert night.read_noise > 2.0 * day.read_noise and night.shot_noise > 2.0 * day.shot_noise


def test_exposure_is_that_of_light() -> None:
    """Two stops less and two more is where it was, but for what was too bright; the drift is slow."""
    grey = np.full(FRONT.shape, 100, np.uint8)
    darker = taken(CameraEffects(exposure_stops=-2.0), picture=grey)
    assert darker.max() < 60
    assert abs(int(taken(CameraEffects(exposure_stops=2.0), picture=darker).mean()) - 100) <= 2
    means = [taken(CameraEffects(drift_stops=0.5), picture=grey, stamp_ns=k * 50_000_000).mean() for k in range(100)]
    assert np.ptp(means) > 5 and np.abs(np.diff(means)).max() <= 2


def test_lens_faults_stay_in_their_place() -> None:
    white = np.full(FRONT.shape, 240, np.uint8)
    middle, corner = (taken(CameraEffects(vignette=0.3), picture=white)[p].mean() for p in ((64, 128), (0, 0)))
    assert middle > 238 and abs(corner - 0.7 * 240) < 3
    lines = np.tile(np.array([[[0, 0, 0]], [[255, 255, 255]]], np.uint8), (64, 256, 1))
    assert taken(CameraEffects(blur_px=1.0), picture=lines).std() < 0.5 * lines.std()
    for effects in (CameraEffects(dirt=3), CameraEffects(drops=6)):
        changed = (taken(effects) != PICTURE).any(axis=2)
        assert 0.005 < changed.mean() < 0.9
        again = (taken(effects, stamp_ns=10**9) != PICTURE).any(axis=2)
        assert np.array_equal(changed, again), "it sits on the lens"


def test_only_a_wet_lens_has_drops() -> None:
    drawn = [effects_of("varied", LOOKS[look], seed=seed) for look in ("day", "dusk", "night", "rain") for seed in range(20)]
    assert {e.drops > 0 for e in drawn[:20]} == {False} and all(effects_of("varied", LOOKS["rain"], seed=s).drops for s in range(20))
    assert len(set(drawn)) >= 80 and {e.dirt > 0 for e in drawn} == {False, True}


def test_an_unknown_camera_is_refused() -> None:
    with pytest.raises(ContractError, match=r"route\.camera: is 'dirty'"):
        RouteSpec(camera="dirty")
