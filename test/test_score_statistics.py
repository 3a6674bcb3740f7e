"""Means with intervals by blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bag_tools.score_statistics import BLOCK_S, Bootstrap, blocks_of_clips


def stamps(duration_s, rate_hz=10.0):
    return np.round(np.arange(round(duration_s * rate_hz) + 1) / rate_hz * 1e9).astype(np.int64)


@pytest.mark.parametrize(("duration_s", "count"), [(0.0, 1), (3.0, 1), (14.0, 1), (16.0, 2), (32.0, 3), (100.0, 10)])
def test_a_clip_is_cut_into_blocks_of_about_ten_seconds(duration_s, count):
    (block,) = blocks_of_clips([stamps(duration_s)])
    assert sorted(set(block)) == list(range(count))
    sizes = np.bincount(block)
    assert sizes.max() - sizes.min() <= 2 and BLOCK_S == 10.0


def test_blocks_never_reach_across_clips():
    first, second = blocks_of_clips([stamps(25.0), stamps(12.0)])
    assert not set(first) & set(second) and second.min() == first.max() + 1


def test_the_mean_is_over_values_that_are_known():
    estimate = Bootstrap(2).mean(np.array([1.0, 3.0, np.nan, 8.0]), np.array([0, 0, 1, 1]))
    assert estimate.value == pytest.approx(4.0) and estimate.count == 3


def test_the_root_is_of_the_mean_square():
    assert Bootstrap(1).mean(np.array([9.0, 16.0]), np.array([0, 0]), root=True).value == pytest.approx(np.sqrt(12.5))


def test_nothing_known_has_no_value_and_one_block_no_interval():
    nothing = Bootstrap(3).mean(np.full(3, np.nan), np.arange(3))
    assert nothing.value is None and nothing.ci95 is None and nothing.count == 0
    assert Bootstrap(1).mean(np.ones(5), np.zeros(5, np.int64)).ci95 is None


@given(st.lists(st.floats(-100, 100), min_size=4, max_size=30))
def test_the_interval_lies_within_the_values_and_is_the_same_every_time(values):
    array, blocks = np.array(values), np.arange(len(values)) // 2
    estimates = [Bootstrap(int(blocks[-1]) + 1).mean(array, blocks) for _ in range(2)]
    assert estimates[0] == estimates[1]
    low, high = estimates[0].ci95
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_independent_blocks_give_the_textbook_interval():
    values = np.random.default_rng(0).normal(size=400)
    low, high = Bootstrap(400).mean(values, np.arange(400)).ci95
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20.0, rel=0.1)


def test_correlated_frames_do_not_narrow_the_interval():
    values = np.random.default_rng(0).normal(size=40)
    once, often = Bootstrap(40).mean(values, np.arange(40)), Bootstrap(40).mean(np.repeat(values, 50), np.repeat(np.arange(40), 50))
    assert often.ci95 == pytest.approx(once.ci95)


def test_groups_count_equally_and_absent_ones_not_at_all():
    values = np.array([100.0, 100.0, 100.0, 0.0, 50.0])
    groups = [np.array([1, 1, 1, 0, 0], bool), np.array([0, 0, 0, 1, 0], bool), np.zeros(5, bool)]
    estimate = Bootstrap(5).mean_of_groups(values, groups, np.arange(5))
    assert estimate.value == pytest.approx(50.0) and estimate.count == 4


def test_the_median_is_of_all_values():
    estimate = Bootstrap(3).median(np.array([0.1, 0.2, 0.9]), np.array([0, 1, 2]))
    assert estimate.value == pytest.approx(0.2) and estimate.ci95 == pytest.approx((0.1, 0.9))
    assert Bootstrap(3).median(np.zeros(0), np.zeros(0, np.int64)).value is None
