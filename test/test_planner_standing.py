"""How long the vehicle has stood."""

import numpy as np

from e2e_planner.standing import LONGEST_S, StandingClock, standing_s


def test_it_counts_from_the_moment_of_standing() -> None:
    stamps = np.arange(8) * 500_000_000
    speeds = np.array([0.0, 0.0, 2.0, 0.1, 0.0, np.nan, 0.0, 0.0])
    np.testing.assert_array_equal(standing_s(stamps, speeds), [0.0, 0.5, 0.0, 0.5, 1.0, np.nan, 0.0, 0.5])


def test_longer_is_all_the_same_and_a_new_clock_begins_anew() -> None:
    clock = StandingClock()
    assert [clock.at(k * 1_000_000_000, 0.0) for k in range(9)][-1] == LONGEST_S
    assert clock.at(0, 0.0) == 0.0
