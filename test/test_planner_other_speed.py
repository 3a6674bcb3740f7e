"""A car that is faster or slower than the driver was: it comes back to what was driven at each place, and stops where the driver stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from planner_helpers import CALM, CAR_SIGNALS, car_recipe, make_store

from bag_tools.clip_store import ClipStore
from e2e_planner.augment import HARDEST_MPS2, STANDING_MPS, STRONGEST_MPS2, at_other_speed, perturb_speed
from e2e_planner.dataset import Batch, FrameSet
from e2e_planner.recipe import EGO_SCALES
from mimic_contracts.action_spec import CAR

X, Y, YAW, SPEED, ACCELERATION, CURVATURE = (CAR.index(n) for n in ("x_m", "y_m", "yaw_rad", "speed_mps", "acceleration_mps2", "curvature_1pm"))
TIMES_S = np.array(CAR.times_s)


def driven(speed_mps: float, acceleration_mps2: float, *, curvature_1pm: float = 0.0) -> NDArray[np.float64]:
    """A target along an arc, at constant acceleration until it stands."""
    speed = np.maximum(speed_mps + acceleration_mps2 * TIMES_S, 0.0)
    arc = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2.0 * np.diff(TIMES_S))])
    yaw = curvature_1pm * arc
    x, y = (np.sin(yaw) / curvature_1pm, (1.0 - np.cos(yaw)) / curvature_1pm) if curvature_1pm else (arc, 0.0 * arc)
    values = np.zeros((len(TIMES_S), len(CAR.channels)))
    for channel, column in ((X, x), (Y, y), (YAW, yaw), (SPEED, speed), (ACCELERATION, np.gradient(speed, TIMES_S)), (CURVATURE, 0.0 * arc + curvature_1pm)):
        values[:, channel] = column
    return values


def arc_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(values[:, X]), np.diff(values[:, Y])))])


SPEEDS, ACCELERATIONS, CURVATURES = st.floats(0.5, 20.0), st.floats(-4.0, 2.0), st.floats(-0.1, 0.1)


@given(SPEEDS, ACCELERATIONS, CURVATURES)
def test_at_the_drivers_own_speed_it_drives_as_the_driver(speed: float, acceleration: float, curvature: float) -> None:
    values = driven(speed, acceleration, curvature_1pm=curvature)
    np.testing.assert_allclose(at_other_speed(values, speed)[:, [X, Y, SPEED]], values[:, [X, Y, SPEED]], atol=0.5)  # slower than STANDING_MPS is to stand


@given(SPEEDS, ACCELERATIONS, CURVATURES, st.floats(0.3, 22.0))
def test_it_starts_at_its_own_speed_and_stays_on_the_path_and_within_its_brakes(speed: float, acceleration: float, curvature: float, other: float) -> None:
    values = driven(speed, acceleration, curvature_1pm=curvature)
    result = at_other_speed(values, other)
    assert result[0, SPEED] == other and (result[:, SPEED] >= 0.0).all() and np.isfinite(result).all()
    change = np.diff(result[:, SPEED]) / np.diff(TIMES_S)
    assert change.min() >= HARDEST_MPS2 - 1e-9 and change.max() <= STRONGEST_MPS2 + 1e-9
    assert (np.diff(arc_of(result)) >= -1e-9).all()
    length_m = arc_of(values)[-1]
    radius = 1.0 / curvature if abs(curvature) > 1e-3 else np.inf
    is_on_arc = arc_of(result) <= 0.98 * length_m
    if np.isfinite(radius):
        away = np.abs(np.hypot(result[is_on_arc, X], result[is_on_arc, Y] - radius) - abs(radius))
        assert away.max(initial=0.0) < 0.1 * max(1.0, abs(curvature) * 20.0)


@given(st.floats(3.0, 9.0), st.floats(0.0, 1.2))
def test_one_that_is_too_fast_for_a_stop_brakes_harder_and_stops_there(speed: float, faster: float) -> None:
    values = driven(speed, -speed / 3.0)  # stands after 3 s
    result = at_other_speed(values, speed + faster)
    stop_m = values[-1, X]
    assert result[-1, X] == pytest.approx(stop_m, abs=0.6) and result[-1, SPEED] < STANDING_MPS
    assert result[0, ACCELERATION] <= values[0, ACCELERATION] - 0.5 * faster + 0.3


def test_where_the_driver_stopped_and_drove_on_it_stops_and_stays() -> None:
    values = driven(3.0, -2.0)
    values[12:, SPEED] = 0.8 * np.arange(9)
    values[12:, X] = values[11, X] + np.cumsum(values[12:, SPEED] * 0.2)
    result = at_other_speed(values, 3.5)
    assert (result[12:, SPEED] < 1.0).all() and result[-1, X] < values[11, X] + 0.6


def test_the_network_is_told_the_other_speed_and_nothing_else_of_it(tmp_path: Path) -> None:
    told: dict[float, Batch] = {}
    for share in (0.0, 1.0):
        recipe = car_recipe(ego_dropout=0.0, label_shift_s=0.5, augmentation=replace(CALM, speed_share=share))
        store = ClipStore.open(tmp_path / "store") if told else make_store(tmp_path / "store", signals=CAR_SIGNALS)
        frames = FrameSet([store], "train", recipe)
        frames.memory = [np.zeros((len(frames.usable), 1), np.float16)]
        told[share] = frames.batch(np.arange(20), np.random.default_rng(0), looking="memory")
    ego, targets = (told[1.0].ego[:, 0] - told[0.0].ego[:, 0], told[1.0].targets[:, 0, SPEED] - told[0.0].targets[:, 0, SPEED])
    assert (ego != 0.0).all() and ego.numpy() == pytest.approx(targets.numpy() / EGO_SCALES["speed_mps"], abs=1e-5)
    assert bool((told[1.0].route == told[0.0].route).all())


def test_some_samples_get_another_speed_and_who_stands_is_left_standing() -> None:
    settings, rng = replace(CALM, speed_share=0.5, speed_mps=0.5), np.random.default_rng(0)
    drawn = [perturb_speed(driven(5.0, 0.0), settings, rng) for _ in range(400)]
    faster = np.array([faster for _, faster in drawn])
    assert 0.4 < np.mean(faster != 0.0) < 0.6 and 0.6 < np.std(faster[faster != 0.0]) < 1.2
    assert all(values[0, SPEED] == pytest.approx(5.0 + faster) for values, faster in drawn)
    standing = driven(0.0, 1.0)
    assert all(perturb_speed(standing, settings, rng)[0] is standing for _ in range(20))
