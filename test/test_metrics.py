"""The metrics against hand-computed cases and properties that they must have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bag_tools import metrics
from bag_tools.metrics import ACCELERATION, CURVATURE, SPEED, TIMES_S, YAW, X, Y
from mimic_contracts.errors import ContractError
from mimic_contracts.motion import from_frame

KNOWN = np.ones((1, len(TIMES_S)), bool)


def straight(speed_mps, *, lateral_m=0.0, acceleration_mps2=0.0):
    """(1, T, C): along x at a constant acceleration, from standstill or faster."""
    path = np.zeros((1, len(TIMES_S), 6))
    path[0, :, X] = speed_mps * TIMES_S + acceleration_mps2 * TIMES_S**2 / 2
    path[0, :, Y] = lateral_m
    path[0, :, SPEED] = speed_mps + acceleration_mps2 * TIMES_S
    path[0, :, ACCELERATION] = acceleration_mps2
    return path


def arc(speed_mps, curvature_1pm):
    path = np.zeros((1, len(TIMES_S), 6))
    yaw = speed_mps * TIMES_S * curvature_1pm
    path[0, :, X], path[0, :, Y] = np.sin(yaw) / curvature_1pm, (1 - np.cos(yaw)) / curvature_1pm
    path[0, :, YAW], path[0, :, SPEED], path[0, :, CURVATURE] = yaw, speed_mps, curvature_1pm
    return path


def every_error(plan, human, known=KNOWN):
    by_horizon = [f(plan, human, known, horizon_s=h) for f in (metrics.ade_m, metrics.fde_m) for h in metrics.HORIZONS_S]
    functions = (metrics.lateral_error_m, metrics.speed_error_mps, metrics.lateral_control_error_mps2, metrics.longitudinal_control_error_mps2)
    return np.array([*by_horizon, *(f(plan, human, known) for f in functions)])


paths = st.builds(arc, st.floats(1.0, 20.0), st.floats(0.001, 0.1)) | st.builds(
    lambda v, y: straight(v, lateral_m=y), st.floats(1.0, 20.0), st.floats(-3.0, 3.0)
)


@given(paths)
def test_a_plan_that_is_the_human_has_no_error_and_score_100(human):
    assert np.abs(every_error(human, human)).max() == 0.0
    zero = np.zeros(1)
    scores = metrics.frame_score(lateral_m=zero, speed_mps=zero, fde_3s_m=zero, lateral_mps2=zero, longitudinal_mps2=zero)
    assert metrics.human_score(scores, {"straight": np.array([True])}) == (pytest.approx(100.0), {"straight": pytest.approx(100.0)})


@settings(max_examples=50)
@given(paths, paths, st.floats(-100, 100), st.floats(-100, 100), st.floats(-np.pi, np.pi))
def test_errors_do_not_depend_on_the_frame(plan, human, x, y, yaw):
    def moved(path):
        copy = path.copy()
        copy[0, :, [X, Y, YAW]] = from_frame(path[0][:, [X, Y, YAW]], np.array([x, y, yaw])).T
        return copy

    np.testing.assert_allclose(every_error(moved(plan), moved(human)), every_error(plan, human), atol=1e-6)


@given(paths, paths)
def test_errors_are_finite_and_not_negative_and_displacement_is_symmetric(a, b):
    errors = every_error(a, b)
    assert np.isfinite(errors).all() and (errors >= 0.0).all()
    np.testing.assert_allclose(metrics.ade_m(a, b, KNOWN, horizon_s=4.0), metrics.ade_m(b, a, KNOWN, horizon_s=4.0))


def test_displacement_by_hand():
    plan, human = straight(11.0), straight(10.0)  # 1 m/s faster: |p - p*| = t
    assert metrics.ade_m(plan, human, KNOWN, horizon_s=1.0) == pytest.approx([np.mean([0.2, 0.4, 0.6, 0.8, 1.0])])
    assert metrics.fde_m(plan, human, KNOWN, horizon_s=3.0) == pytest.approx([3.0])
    assert metrics.speed_error_mps(plan, human, KNOWN) == pytest.approx([1.0])


def test_the_step_at_zero_is_not_scored():
    plan = straight(10.0)
    plan[0, 0, Y] = 100.0
    assert metrics.ade_m(plan, straight(10.0), KNOWN, horizon_s=4.0) == pytest.approx([0.0])


def test_an_unknown_step_is_not_scored_and_earlier_horizons_are():
    known = KNOWN & (TIMES_S <= 2.1)
    errors = {h: metrics.ade_m(straight(10.0), straight(10.0), known, horizon_s=h)[0] for h in metrics.HORIZONS_S}
    assert errors[1.0] == errors[2.0] == 0.0
    assert np.isnan([errors[3.0], errors[4.0], *metrics.lateral_error_m(straight(10.0), straight(10.0), known)]).all()


def test_an_unknown_horizon_is_refused():
    with pytest.raises(ContractError, match="horizon_s: is 5"):
        metrics.ade_m(straight(1.0), straight(1.0), KNOWN, horizon_s=5.0)


def test_lateral_error_ignores_speed_along_the_same_line():
    assert metrics.lateral_error_m(straight(12.0), straight(10.0), KNOWN) == pytest.approx([0.0])


def test_lateral_error_of_a_parallel_line_is_its_offset():
    assert metrics.lateral_error_m(straight(10.0, lateral_m=0.7), straight(10.0), KNOWN) == pytest.approx([0.7])


def test_a_station_that_the_plan_does_not_reach_costs_two_metres():
    # 20 m of the human's 40 m are reached without error: 20 stations at 0 and 20 at 2 m.
    assert metrics.lateral_error_m(straight(5.0), straight(10.0), KNOWN) == pytest.approx([1.0])
    assert metrics.lateral_error_m(straight(0.0), straight(10.0), KNOWN) == pytest.approx([2.0])


@pytest.mark.parametrize(("distance_m", "is_scored"), [(1.99, False), (2.0, True), (2.01, True)])
def test_a_human_who_covers_less_than_two_metres_gives_no_lateral_error(distance_m, is_scored):
    human = straight(distance_m / 4.0)
    assert np.isfinite(metrics.lateral_error_m(human, human, KNOWN)[0]) == is_scored


def test_control_errors_by_hand():
    plan, human = straight(10.0, acceleration_mps2=0.5), straight(10.0)
    plan[0, :, CURVATURE] = 0.01
    assert metrics.lateral_control_error_mps2(plan, human, KNOWN) == pytest.approx([1.0])  # 0.01 * 10²
    assert metrics.longitudinal_control_error_mps2(plan, human, KNOWN) == pytest.approx([0.5])
    plan[0, :, CURVATURE] = 0.1
    assert metrics.lateral_control_error_mps2(plan, straight(1.0), KNOWN) == pytest.approx([0.9])  # 0.1 * 3²


def test_frame_score_by_hand():
    score = metrics.frame_score(
        lateral_m=np.array([0.5, np.nan]),
        speed_mps=np.array([1.0, 0.0]),
        fde_3s_m=np.array([2.0, 0.0]),
        lateral_mps2=np.array([1.5, 0.0]),
        longitudinal_mps2=np.array([0.5, 0.0]),
    )
    assert score[0] == pytest.approx(np.exp(-1.0)) and np.isnan(score[1])


def test_human_score_weighs_tags_equally():
    scores = np.array([1.0, 1.0, 1.0, 0.5, np.nan])
    tags = {"straight": np.array([1, 1, 1, 0, 0], bool), "turn": np.array([0, 0, 0, 1, 1], bool), "stop": np.zeros(5, bool)}
    assert metrics.human_score(scores, tags) == (pytest.approx(75.0), {"straight": pytest.approx(100.0), "turn": pytest.approx(50.0)})
    assert np.isnan(metrics.human_score(np.full(5, np.nan), tags)[0])


def test_tags_say_what_the_human_does_next():
    standing = straight(0.0)
    human = np.concatenate([straight(10.0), arc(10.0, 0.02), straight(4.0, acceleration_mps2=-1.0), straight(0.0, acceleration_mps2=1.0), standing])
    tags = metrics.frame_tags(human, np.repeat(KNOWN, 5, axis=0))
    assert {tag: mask.tolist().index(True) for tag, mask in tags.items() if tag != "straight"} == {"turn": 1, "stop": 2, "start": 3}
    assert tags["straight"].tolist() == [True, False, False, False, True]
    assert not any(mask.any() for mask in metrics.frame_tags(human, np.zeros((5, 21), bool)).values())


def test_min_ade_is_the_best_of_the_alternatives():
    alternatives = np.stack([straight(10.0, lateral_m=2.0), straight(10.0, lateral_m=0.5), np.full((1, 21, 6), np.nan)], axis=1)
    assert metrics.min_ade_m(alternatives, straight(10.0), KNOWN, horizon_s=4.0) == pytest.approx([0.5])
    assert np.isnan(metrics.min_ade_m(np.zeros((1, 0, 21, 6)), straight(10.0), KNOWN, horizon_s=4.0)).all()


def test_rmse():
    assert metrics.rmse(np.array([3.0, -4.0])) == pytest.approx(np.sqrt(12.5))
    assert np.isnan(metrics.rmse(np.zeros(0)))


TIMES = np.arange(100) * 0.1


def driven(*, begin_s, a_mps2, duration_s=2.0):
    return np.where((TIMES - begin_s > -1e-9) & (TIMES - begin_s < duration_s - 1e-9), a_mps2, 0.0)


def plans_of(acceleration):
    """(N, T, C): at each time the plan that knows what comes."""
    plan = np.zeros((len(TIMES), len(TIMES_S), 6))
    plan[:, :, ACCELERATION] = acceleration[np.clip(np.round((TIMES[:, None] + TIMES_S) / 0.1).astype(int), 0, len(TIMES) - 1)]
    return plan


@pytest.mark.parametrize(("begin_s", "a", "duration_s", "expected"), [(5.0, -1.5, 2.0, [5.0]), (0.5, 1.5, 2.0, []), (5.0, 0.9, 2.0, []), (5.0, 2.0, 0.3, [])])
def test_human_onsets_need_strength_duration_and_quiet_before(begin_s, a, duration_s, expected):
    onsets, ready = metrics.human_onsets(TIMES, driven(begin_s=begin_s, a_mps2=a, duration_s=duration_s))
    assert [o.time_s for o in onsets] == pytest.approx(expected)
    assert not ready[:9].any() and (not expected or (ready[10:50].all() and not ready[50]))


def test_an_unknown_acceleration_is_no_quiet():
    acceleration = driven(begin_s=5.0, a_mps2=2.0)
    acceleration[42:45] = np.nan
    assert metrics.human_onsets(TIMES, acceleration)[0] == []


def test_a_planner_that_foresees_is_matched_once_with_no_lead():
    acceleration = driven(begin_s=5.0, a_mps2=-2.0)
    human, ready = metrics.human_onsets(TIMES, acceleration)
    planner = metrics.planner_onsets(TIMES, plans_of(acceleration), ready)
    matches = metrics.match_onsets(human, planner)
    assert len(matches.pairs) == 1 and not matches.false_alarms and not matches.missed
    assert matches.pairs[0][1].time_s == pytest.approx(5.0, abs=0.11) and matches.pairs[0][1].made_s < 2.0


@pytest.mark.parametrize(("shift_s", "is_matched"), [(-2.0, True), (-2.2, False), (1.4, True), (1.7, False)])
def test_only_onsets_within_the_window_match(shift_s, is_matched):
    human, ready = metrics.human_onsets(TIMES, driven(begin_s=5.0, a_mps2=-2.0, duration_s=4.0))
    planner = metrics.planner_onsets(TIMES, plans_of(driven(begin_s=5.0 + shift_s, a_mps2=-2.0, duration_s=3.0)), ready)
    assert len(planner) == 1
    assert bool(metrics.match_onsets(human, planner).pairs) == is_matched


def test_accelerating_does_not_match_braking():
    human, ready = metrics.human_onsets(TIMES, driven(begin_s=5.0, a_mps2=-2.0))
    matches = metrics.match_onsets(human, metrics.planner_onsets(TIMES, plans_of(driven(begin_s=5.0, a_mps2=2.0)), ready))
    assert not matches.pairs and len(matches.false_alarms) == len(matches.missed) == 1 and len(list(matches.all())) == 2


def test_matching_is_one_to_one_and_closest_first():
    human = [metrics.Onset(time_s=t, sign=-1, made_s=t) for t in (5.0, 6.0)]
    planner = [metrics.Onset(time_s=t, sign=-1, made_s=1.0) for t in (5.9, 4.5, 5.1)]
    pairs = {(h.time_s, p.time_s) for h, p in metrics.match_onsets(human, planner).pairs}
    assert pairs == {(6.0, 5.9), (5.0, 5.1)}


def test_a_plan_made_after_the_human_began_matches_nothing():
    human, late = [metrics.Onset(time_s=5.0, sign=-1, made_s=5.0)], [metrics.Onset(time_s=5.5, sign=-1, made_s=5.1)]
    assert not metrics.match_onsets(human, late).pairs


def run_along(speed_mps=10.0, n=60, step_s=0.1):
    """Poses and plans of a car that drives straight on and plans so."""
    times = np.arange(n) * step_s
    return times, np.stack([speed_mps * times, np.zeros(n), np.zeros(n)], axis=1), np.repeat(straight(speed_mps), n, axis=0)


def test_steady_plans_do_not_flicker_and_are_continuous():
    times, poses, plan = run_along()
    assert len(metrics.flicker_times_s(times, poses, plan)) == 0
    continuity = metrics.continuity_m2(times, poses, plan)
    assert np.isnan(continuity[0]) and np.abs(continuity[1:]).max() < 1e-12


@pytest.mark.parametrize(("lateral_m", "count"), [(0.6, 1), (0.45, 0)])
def test_a_plan_that_swings_out_and_back_flickers_once(lateral_m, count):
    times, poses, plan = run_along()
    plan[30:35, :, Y] = lateral_m
    assert len(metrics.flicker_times_s(times, poses, plan)) == count


def test_speed_flickers_too_and_a_lasting_change_does_not():
    times, poses, plan = run_along()
    plan[30, :, SPEED] -= 2.5
    assert metrics.flicker_times_s(times, poses, plan) == pytest.approx([3.0])
    plan[30:, :, SPEED] = 7.5
    assert len(metrics.flicker_times_s(times, poses, plan)) == 0


def test_a_move_that_is_taken_back_later_than_a_second_and_a_half_is_no_flicker():
    times, poses, plan = run_along()
    plan[20:40, :, Y] = 0.8
    assert len(metrics.flicker_times_s(times, poses, plan)) == 0


def test_flicker_events_are_apart():
    times, poses, plan = run_along(n=100)
    plan[[20, 22, 24, 60], :, Y] = 0.8
    assert metrics.flicker_times_s(times, poses, plan) == pytest.approx([2.0, 6.0], abs=0.11)


def test_continuity_is_the_distance_in_the_fixed_frame():
    times, poses, plan = run_along(n=3)
    plan[1, :, Y] = 0.3
    assert np.sqrt(metrics.continuity_m2(times, poses, plan)[1:]) == pytest.approx([0.3, 0.3])


@settings(max_examples=20, deadline=None)
@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(-np.pi, np.pi))
def test_flicker_and_continuity_do_not_depend_on_the_fixed_frame(x, y, yaw):
    times, poses, plan = run_along(n=40)
    plan[20, :, Y] = 0.8
    moved = from_frame(poses, np.array([x, y, yaw]))
    assert metrics.flicker_times_s(times, moved, plan) == pytest.approx(metrics.flicker_times_s(times, poses, plan))
    np.testing.assert_allclose(metrics.continuity_m2(times, moved, plan), metrics.continuity_m2(times, poses, plan), atol=1e-8)
