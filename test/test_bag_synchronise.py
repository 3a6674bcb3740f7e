"""One clock for all topics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bag_tools.synchronise import Timing, at_rate, clock_segments, hold, interpolate, interpolate_poses, nearest, onto_clock, runs

SECOND = 10**9
EPOCH = 1_700_000_000 * SECOND


def stamps(*seconds: float) -> np.ndarray:
    return np.array([EPOCH + round(s * SECOND) for s in seconds], np.int64)


def test_timing_counts_gaps_drops_duplicates_and_steps_back() -> None:
    timing = Timing.of(stamps(0.0, 0.1, 0.2, 0.2, 0.5, 0.6, 0.55, 0.7, 0.8, 0.9))
    assert (timing.count, timing.gaps, timing.dropped, timing.duplicated, timing.backward) == (10, 1, 2, 1, 1)
    assert timing.rate_hz == pytest.approx(10.0)
    assert timing.longest_gap_s == pytest.approx(0.3)
    for few in (stamps(), stamps(1.0), stamps(1.0, 1.0)):
        assert Timing.of(few).rate_hz == 0.0


def test_a_clock_set_back_begins_a_new_segment_and_jitter_does_not() -> None:
    assert clock_segments(stamps(10.0, 10.1, 10.05, 3.0, 3.1, 500_000.0, 3.2)).tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert clock_segments(stamps()).tolist() == []


def test_log_times_are_carried_onto_a_drifting_clock() -> None:
    log, clock = stamps(0.0, 1.0, 2.0, 4.0), np.array([0, SECOND // 2, SECOND, 2 * SECOND])
    carried = onto_clock(stamps(-1.0, 0.0, 0.5, 3.0, 5.0), reference_log_ns=log, reference_stamp_ns=clock)
    np.testing.assert_allclose(carried / SECOND, [-1.0, 0.0, 0.25, 1.5, 3.0], atol=1e-6)


@pytest.mark.parametrize(("source_hz", "wanted_hz"), [(20.0, 20.0), (20.0, 10.0), (30.0, 10.0), (30.0, 20.0), (10.0, 20.0), (29.97, 10.0)])
def test_thinning_keeps_the_rate_and_the_spacing(source_hz: float, wanted_hz: float) -> None:
    rng = np.random.default_rng(0)
    times = stamps(*(np.arange(600) / source_hz + rng.uniform(-0.002, 0.002, 600)))
    kept = times[at_rate(times, wanted_hz)]
    rate_hz = min(source_hz, wanted_hz)
    assert (len(kept) - 1) / ((kept[-1] - kept[0]) / SECOND) == pytest.approx(rate_hz, rel=0.02)
    assert np.diff(kept).max() / SECOND < 1.0 / rate_hz + 1.0 / source_hz + 0.004


def test_thinning_starts_afresh_after_a_gap() -> None:
    times = stamps(0.0, 0.05, 0.1, 7.03, 7.08, 7.13, 7.18)
    assert at_rate(times, 10.0).tolist() == [True, False, True, True, False, True, False]


def test_the_nearest_within_the_tolerance() -> None:
    series = stamps(0.0, 1.0, 2.0)
    assert nearest(series, stamps(-0.1, 0.4, 0.6, 1.5, 2.05, 9.0), tolerance_ns=SECOND // 2).tolist() == [0, 0, 1, 1, 2, -1]
    assert nearest(stamps(), stamps(1.0), tolerance_ns=SECOND).tolist() == [-1]
    assert nearest(stamps(1.0), stamps(1.2, 3.0), tolerance_ns=SECOND).tolist() == [0, -1]


def test_interpolation_never_extrapolates_or_bridges_gaps() -> None:
    values = interpolate(stamps(0.0, 1.0, 5.0), np.array([0.0, 10.0, 50.0]), stamps(-0.01, 0.0, 0.25, 1.0, 3.0, 5.0, 5.01), max_gap_ns=SECOND)
    np.testing.assert_allclose(values, [np.nan, 0.0, 2.5, 10.0, np.nan, 50.0, np.nan])
    assert np.isnan(interpolate(stamps(), np.zeros(0), stamps(1.0), max_gap_ns=SECOND)).all()


def test_values_that_are_not_finite_are_left_out() -> None:
    values = interpolate(stamps(0.0, 0.1, 0.2), np.array([0.0, np.nan, 2.0]), stamps(0.1), max_gap_ns=SECOND)
    np.testing.assert_allclose(values, [1.0])


def test_yaw_is_interpolated_the_shorter_way_round() -> None:
    poses = np.array([[0.0, 0.0, 3.1], [1.0, 2.0, -3.1]])
    (middle,) = interpolate_poses(stamps(0.0, 1.0), poses, stamps(0.5), max_gap_ns=SECOND)
    np.testing.assert_allclose(middle[:2], [0.5, 1.0])
    assert abs(middle[2]) == pytest.approx(np.pi, abs=1e-9)


def test_commands_are_held() -> None:
    assert hold(stamps(1.0, 2.0), stamps(0.5, 1.0, 1.9, 2.0, 9.0)).tolist() == [-1, 0, 0, 1, 1]


def test_runs_are_cut_at_gaps_labels_and_steps_back() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert runs(stamps(0.0, 0.1, 0.9, 1.0, 1.1, 1.05), labels, max_gap_ns=SECOND // 2) == [slice(0, 2), slice(2, 3), slice(3, 5), slice(5, 6)]
    assert runs(stamps(), np.zeros(0, np.int64), max_gap_ns=1) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 300_000_000), min_size=1, max_size=40), st.integers(10_000_000, 400_000_000), st.data())
def test_interpolation_stays_between_its_neighbours(steps: list[int], max_gap_ns: int, data: st.DataObject) -> None:
    series = EPOCH + np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    values = np.array(data.draw(st.lists(st.floats(-50, 50), min_size=len(series), max_size=len(series))))
    at = np.sort(np.array(data.draw(st.lists(st.integers(int(series[0]) - 10**8, int(series[-1]) + 10**8), min_size=1, max_size=20)), np.int64))
    result = interpolate(series, values, at, max_gap_ns=max_gap_ns)
    for when, value in zip(at, result, strict=True):
        if np.isnan(value):
            continue
        left, right = np.searchsorted(series, when, side="right") - 1, np.searchsorted(series, when, side="left")
        assert series[right] - series[left] <= max_gap_ns
        assert min(values[left], values[right]) - 1e-9 <= value <= max(values[left], values[right]) + 1e-9


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.lists(st.integers(0, 2), min_size=60, max_size=60), st.integers(1, 10**7))
def test_runs_cover_everything_once(steps: list[int], labels: list[int], max_gap_ns: int) -> None:
    times = np.cumsum(steps).astype(np.int64)
    pieces = runs(times, np.array(labels[: len(times)]), max_gap_ns=max_gap_ns)
    assert [i for piece in pieces for i in range(piece.start, piece.stop)] == list(range(len(times)))
    for piece in pieces:
        inner = np.diff(times[piece])
        assert ((inner > 0) & (inner <= max_gap_ns)).all()
