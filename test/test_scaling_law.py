"""Nested subsets, the law of more data, and its forecasts."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e_planner.scaling_law import fit_power_law, nested_counts, nested_order, scaling_curve

SHARES = 0.5 ** np.arange(5, -1, -1)


def curve_of(errors_by_size, *, seeds=3, units=12, noise=0.0):
    rng = np.random.default_rng(1)
    errors = np.array(errors_by_size)[:, None, None] + noise * rng.normal(size=(len(errors_by_size), seeds, units))
    return scaling_curve(SHARES, errors, np.ones(units))


@pytest.mark.parametrize(("drives", "expected"), [(231, [7, 14, 29, 58, 116, 231]), (32, [1, 2, 4, 8, 16, 32]), (6, [1, 2, 3, 4, 5, 6])])
def test_each_size_is_half_of_the_next_as_far_as_drives_go(drives, expected):
    assert nested_counts(drives, 6) == expected


@given(st.integers(4, 12), st.integers(0, 400))
def test_sizes_grow_up_to_all_drives(sizes, more):
    counts = nested_counts(sizes + more, sizes)
    assert counts[0] >= 1 and counts[-1] == sizes + more and all(a < b for a, b in pairwise(counts))


def test_fewer_drives_than_sizes_are_no_sizes():
    with pytest.raises(ValueError, match="3 drives cannot be 4 sizes"):
        nested_counts(3, 4)


def test_every_beginning_of_the_order_is_balanced_and_the_same_each_time():
    group_of = {f"{town}_{i}": town for town, count in (("north", 40), ("south", 20), ("west", 20)) for i in range(count)}
    order = nested_order(group_of)
    assert sorted(order) == sorted(group_of) and order == nested_order(dict(reversed(group_of.items()))) != nested_order(group_of, seed=1)
    for count in (8, 20, 40, 80):
        towns = [group_of[drive] for drive in order[:count]]
        assert abs(towns.count("north") - count / 2) <= 1 and abs(towns.count("south") - count / 4) <= 1
    assert sorted(nested_order({"a": "1", "b": "2"})) == ["a", "b"]


@pytest.mark.parametrize(("floor", "factor", "alpha"), [(0.5, 0.3, 0.35), (0.0, 1.0, 0.5), (2.0, 0.1, 1.2), (0.2, 0.05, 0.1)])
def test_the_fit_finds_the_law_that_made_the_errors(floor, factor, alpha):
    law = fit_power_law(SHARES, floor + factor * SHARES**-alpha)
    assert (float(law.floor), float(law.factor), float(law.alpha)) == pytest.approx((floor, factor, alpha), abs=1e-6)
    assert float(law.at(10.0)) == pytest.approx(floor + factor * 10.0**-alpha)


@pytest.mark.parametrize("errors", [[1.0] * 6, [0.0] * 6, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]])
def test_where_more_data_does_not_help_the_law_is_flat(errors):
    law = fit_power_law(SHARES, np.array(errors))
    assert float(law.factor) == 0.0 and float(law.floor) == pytest.approx(np.mean(errors))
    assert float(law.at(10.0)) == pytest.approx(float(law.at(1.0)))


def test_an_error_that_falls_steadily_does_not_fall_below_zero():
    law = fit_power_law(SHARES, np.array([3.0, 2.0, 1.0, 0.3, 0.1, 0.01]))
    assert float(law.floor) >= 0.0 and 0.0 <= float(law.at(100.0)) < 0.01


@settings(max_examples=20)
@given(st.lists(st.lists(st.floats(0.0, 10.0), min_size=6, max_size=6), min_size=1, max_size=4))
def test_many_curves_at_once_are_as_each_alone(curves):
    many = fit_power_law(SHARES, np.array(curves))
    for i, curve in enumerate(curves):
        one = fit_power_law(SHARES, np.array(curve))
        assert one.floor >= 0.0 and one.factor >= 0.0
        at = [float(one.at(share)) for share in (*SHARES, 2.0)]
        np.testing.assert_allclose([float(law) for law in (many.floor[i] + many.factor[i] * np.array([*SHARES, 2.0]) ** -many.alpha[i])], at, atol=1e-5)


def test_of_a_law_the_largest_is_foretold_better_than_by_no_change():
    curve = curve_of(0.5 + 0.3 * SHARES**-0.4, noise=0.001)
    held_out = curve["held_out"]
    assert held_out["forecast_error"] < 0.01 < held_out["no_change_error"] and held_out["share_of_resamples_closer"] > 0.99
    twice, tenfold = curve["forecasts"]
    assert twice["share"] == 2.0 and twice["value"] == pytest.approx(0.5 + 0.3 * 2.0**-0.4, abs=0.01) and twice["no_change"] == curve["points"][-1]["value"]
    assert tenfold["ci95"][0] < 0.5 + 0.3 * 10.0**-0.4 < tenfold["ci95"][1]
    assert [pair["sizes"] for pair in curve["more_is_better"]] == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [0, 5]]
    assert all(pair["share_of_resamples"] == 1.0 and pair["change_ci95"][1] < 0.0 for pair in curve["more_is_better"])


def test_without_an_effect_more_is_as_often_better_as_worse():
    shares = [pair["share_of_resamples"] for pair in curve_of([1.0] * 6, noise=0.1, units=200)["more_is_better"]]
    assert 0.02 < np.mean(shares) < 0.98 and not all(share > 0.95 for share in shares)


def test_pairing_takes_the_difference_between_units_out():
    rng = np.random.default_rng(0)
    errors = np.linspace(2.0, 1.5, 6)[:, None, None] + 5.0 * rng.uniform(size=12)  # drives differ more than sizes do
    curve = scaling_curve(SHARES, np.repeat(errors, 2, axis=1), np.ones(12))
    low, high = curve["points"][0]["ci95"]
    assert high - low > 1.0 and all(pair["share_of_resamples"] == 1.0 for pair in curve["more_is_better"])


def test_units_weigh_what_they_should_and_are_drawn_within_their_groups():
    errors = np.broadcast_to([1.0, 1.0, 4.0], (6, 2, 3)).copy()
    curve = scaling_curve(SHARES, errors, np.array([0.5, 0.5, 1.0]), groups=["a", "a", "b"])
    assert curve["points"][0]["value"] == pytest.approx(2.5) and curve["points"][0]["ci95"] == pytest.approx([2.5, 2.5])
    assert curve["points"][0]["per_seed"] == pytest.approx([2.5, 2.5])
    low, high = scaling_curve(SHARES, errors, np.ones(3))["points"][0]["ci95"]
    assert low < high


def test_the_same_rows_give_the_same_figures():
    assert curve_of(SHARES**-0.3, noise=0.1) == curve_of(SHARES**-0.3, noise=0.1)
