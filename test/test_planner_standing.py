"""For how long the vehicle has stood, and how far it has come since."""

import numpy as np

from e2e_planner.onnx_model import Inputs
from e2e_planner.recipe import EGO_SCALES
from e2e_planner.standing import FARTHEST_M, LONGEST_S, LastStop, StandingClock, last_stops
from mimic_contracts.observation import EgoState, Observation


def test_it_counts_from_the_moment_of_standing() -> None:
    stamps = np.arange(8) * 500_000_000
    speeds = np.array([0.0, 0.0, 2.0, 0.1, 0.0, np.nan, 0.0, 0.0])
    np.testing.assert_array_equal(last_stops(stamps, speeds)[:, 0], [0.0, 0.5, 0.0, 0.5, 1.0, np.nan, 0.0, 0.5])


def test_how_far_it_has_come_counts_from_where_it_last_stood() -> None:
    stamps = np.arange(8) * 500_000_000
    speeds = np.array([4.0, 2.0, 0.0, 2.0, 4.0, np.nan, 4.0, 0.0])
    np.testing.assert_allclose(last_stops(stamps, speeds)[:, 1], [FARTHEST_M, FARTHEST_M, 0.0, 0.5, 2.0, np.nan, FARTHEST_M, 0.0])
    assert last_stops(stamps[:0], speeds[:0]).shape == (0, 2)


def test_as_many_looks_as_one_likes_tell_the_same() -> None:
    of_looks = [last_stops(np.arange(0, 4_000_000_001, step), np.abs(np.arange(0, 4_000_000_001, step) / 1e9 - 2.0))[-1] for step in (100_000_000, 200_000_000)]
    np.testing.assert_allclose(of_looks[0], of_looks[1], atol=0.1)


def test_longer_and_farther_is_all_the_same_and_a_new_clock_begins_anew() -> None:
    clock = StandingClock()
    assert [clock.at(k * 1_000_000_000, 0.0) for k in range(9)][-1] == LastStop(LONGEST_S, 0.0)
    assert [clock.at((9 + k) * 1_000_000_000, 10.0) for k in range(9)][-1] == LastStop(0.0, FARTHEST_M)
    assert clock.at(0, 0.0) == LastStop(0.0, 0.0)


def test_at_run_time_the_network_is_told_what_it_was_told_in_training() -> None:
    names = ("speed_mps", "standing_s", "since_stop_m")
    recipe = {"history_s": 0.2, "has_route_points": False, "ego_inputs": names}
    inputs = Inputs([], recipe=recipe, ego_scales={name: EGO_SCALES[name] for name in names})
    stamps, speeds = np.arange(6) * 500_000_000, np.array([4.0, 0.0, 0.0, 2.0, np.nan, 2.0])
    told = [
        inputs.of(Observation(stamp_ns=stamp, frames={}, ego=EgoState(speed_mps=None if np.isnan(speed) else speed)))["ego"][0]
        for stamp, speed in zip(stamps.tolist(), speeds.tolist(), strict=True)
    ]
    values = np.column_stack([speeds, last_stops(stamps, speeds)])
    known = np.isfinite(values)
    expected = np.concatenate([np.where(known, values, 0.0) / [EGO_SCALES[name] for name in names], known], axis=1)
    np.testing.assert_allclose(told, expected, rtol=1e-6)
