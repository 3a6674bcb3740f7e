"""Scoring a policy on a store: figures, baselines, what is not scored, refusals, the report and the command."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from score_store import drive, make_store

from bag_tools import metrics
from bag_tools.clip_store import ClipStore
from bag_tools.score import score
from bag_tools.score_definitions import DEFINITIONS
from bag_tools.score_figures import NO_FUTURE, SHORT_WAY, clip_onsets
from bag_tools.score_report import report_html, worst_stretches
from bag_tools.score_runs import POLICY
from bag_tools.targets import human_future
from e2e_planner.baselines import ConstantSteering, ConstantVelocity, HoldLast, HoldSteering
from mimic.cli import main
from mimic.commands.score import baselines_for, table_text
from mimic_contracts.action_spec import CAR, STEERING_ONLY, ActionSpec
from mimic_contracts.errors import MimicError
from mimic_contracts.plan import Plan


class Oracle:
    """Plans what the human will do, `sideways` metres beside it."""

    spec, rig_name = CAR, None

    def __init__(self, store, *, sideways=0.0):
        self._futures, self._sideways = {}, sideways
        for clip in store.clips():
            frames = store.frames(clip.clip_id)
            for i, stamp in enumerate(frames.stamp_ns.tolist()):
                values, known = human_future(frames, i, CAR)
                self._futures[stamp] = values[np.maximum.accumulate(np.where(known, np.arange(len(known)), 0))]

    def reset(self):
        pass

    def plan(self, observation):
        values = self._futures[observation.stamp_ns].copy()
        values[:, metrics.Y] += self._sideways
        return Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=values, model_id="oracle")


class Failing(ConstantVelocity):
    """Fails on every `period`-th frame of a drive."""

    def __init__(self, error, period):
        self._error, self._period, self._count = error, period, 0

    def plan(self, observation):
        self._count += 1
        if self._count % self._period == 0:
            raise self._error
        return super().plan(observation)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("score") / "car", duration_s=40.0, clips=2, standing_s=3.0)


@pytest.fixture(scope="module")
def wheel_store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("score") / "wheel", signals=("steering_wheel_rad",), duration_s=30.0)


@pytest.fixture(scope="module")
def scored(store):
    return score(ConstantVelocity(), store, "val", policy_name="constant_velocity", baselines={"hold_last": HoldLast()})


def test_the_human_itself_has_no_error_and_score_100(store):
    summary = score(Oracle(store), store, "val", policy_name="oracle", baselines={}).summary
    assert summary["human_score"] == pytest.approx(100.0)
    for key in ("ade_4s_m", "fde_4s_m", "lateral_error_m", "speed_error_mps", "lateral_control_error_mps2", "longitudinal_control_error_mps2"):
        assert summary[key] == pytest.approx(0.0, abs=1e-9), key
    assert summary["onset_recall"] == 1.0 and summary["onset_precision"] == 1.0
    assert summary["time_shift_s"][int(np.argmin(summary["time_shift_ade_3s_m"]))] == 0.0


def test_a_known_offset_is_found_in_every_figure(store):
    summary = score(Oracle(store, sideways=0.5), store, "val", policy_name="offset", baselines={}).summary
    for horizon in range(1, 5):
        assert summary[f"ade_{horizon}s_m"] == pytest.approx(0.5) and summary[f"fde_{horizon}s_m"] == pytest.approx(0.5)
    assert summary["lateral_error_m"] == pytest.approx(0.5, abs=0.02) and summary["speed_error_mps"] == pytest.approx(0.0, abs=1e-9)


def test_the_summary_is_flat_and_whole(scored):
    summary = scored.summary
    for key in ("human_score", "ade_3s_m", "lateral_error_m", "speed_error_mps", "plan_continuity_m"):
        low, high = summary[f"{key}_ci95"]
        assert low <= summary[key] <= high and summary[f"{key}_count"] > 0
    assert summary["metric_version"] == metrics.METRIC_VERSION and summary["split"] == "val"
    assert (summary["clips"], summary["drives"], summary["frames"], summary["blocks"]) == (2, 2, 802, 8)
    assert summary["human_score_tags"] == ["straight", "turn", "start"] and "follow" in summary["human_score_tags_absent"]
    assert not [key for key, value in summary.items() if isinstance(value, dict) and key not in ("baselines", "not_scored")]
    json.dumps(summary, allow_nan=False)


def test_baselines_are_scored_on_the_same_frames(store, scored):
    alone = score(HoldLast(), store, "val", policy_name="hold_last", baselines={}).summary
    beside = scored.summary["baselines"]["hold_last"]
    own = {key for key in beside if "_difference" not in key and key != "not_scored"}
    assert {key: alone[key] for key in own} == {key: beside[key] for key in own}


def test_differences_from_a_baseline_are_paired(store, scored):
    beside = score(Oracle(store, sideways=0.5), store, "val", policy_name="p", baselines={"further": Oracle(store, sideways=0.7)}).summary["baselines"][
        "further"
    ]
    assert beside["ade_4s_m_difference"] == pytest.approx(-0.2) and beside["ade_4s_m_difference_ci95"] == pytest.approx([-0.2, -0.2])
    other = scored.summary["baselines"]["hold_last"]
    for key in ("ade_4s_m", "human_score", "speed_error_mps"):
        assert other[f"{key}_difference"] == pytest.approx(scored.summary[key] - other[key]) and other[f"{key}_difference_count"] == other[f"{key}_count"]


def test_what_cannot_be_scored_is_counted_and_not_zero(scored):
    not_scored = scored.summary["not_scored"]
    assert not_scored[NO_FUTURE] == 2 * 40 and not_scored[SHORT_WAY] > 0
    assert "min_ade_4s_m" not in scored.summary and scored.summary["min_ade_4s_m_count"] == 0
    assert scored.summary["ade_4s_m_count"] == 802 - 80 and scored.summary["ade_1s_m_count"] == 802 - 20


def test_figures_can_be_computed_again_from_the_rows(scored):
    rows = scored.rows.filter(np.array(scored.rows["policy"].to_pylist()) == POLICY)
    plan, human = (np.stack(rows[name].to_pylist()).astype(float).reshape(-1, *(len(CAR.times_s), len(CAR.channels))) for name in ("plan", "human"))
    ade = metrics.ade_m(plan, np.nan_to_num(human), np.isfinite(human).all(axis=2), horizon_s=3.0)
    np.testing.assert_allclose(ade, rows["ade_3s_m"].to_numpy())
    assert np.nanmean(ade) == pytest.approx(scored.summary["ade_3s_m"])


def test_the_same_run_gives_the_same_figures(store, scored):
    again = score(ConstantVelocity(), store, "val", policy_name="constant_velocity", baselines={"hold_last": HoldLast()})
    assert again.summary == scored.summary
    for name in again.rows.column_names:
        assert repr(again.rows[name].to_pylist()) == repr(scored.rows[name].to_pylist())  # as text, NaN equals NaN


def test_policies_are_reset_for_each_clip(store):
    class Counting(ConstantVelocity):
        resets = 0

        def reset(self):
            self.resets += 1

    policy = Counting()
    score(policy, store, "val", policy_name="counting", baselines={})
    assert policy.resets == 2


@pytest.mark.parametrize("error", [MimicError("blind"), ZeroDivisionError("division by zero")])
def test_frames_without_a_plan_are_counted_with_their_reason(store, error):
    summary = score(Failing(error, 300), store, "val", policy_name="failing", baselines={}).summary
    (reason,) = [reason for reason in summary["not_scored"] if reason.startswith("no plan")]
    assert str(error) in reason and summary["not_scored"][reason] == 2
    assert summary["ade_1s_m_count"] == 802 - 20 - 2 and summary["flicker_per_min_count"] == 0


def test_a_policy_that_fails_too_often_is_refused(store):
    with pytest.raises(MimicError, match=r"no plan for 16 of 802 frames.*blind") as caught:
        score(Failing(MimicError("blind"), 50), store, "val", policy_name="failing", baselines={})
    assert "1%" in str(caught.value)


def test_nan_in_a_plan_is_a_failure(store):
    class Nan(ConstantVelocity):
        def plan(self, observation):
            return Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=np.full((21, 6), np.nan), model_id="nan")

    with pytest.raises(MimicError, match="must be finite"):
        score(Nan(), store, "val", policy_name="nan", baselines={})


def test_what_does_not_fit_is_refused_before_any_work(store, wheel_store):
    class OtherRig(ConstantVelocity):
        rig_name = "quad"

    class OtherSpec(ConstantVelocity):
        spec = ActionSpec(name="boat", channels=("rudder_rad",), times_s=np.zeros(1), integrator="none")

    cases = [
        (OtherRig(), store, "val", "rig 'quad'"),
        (OtherSpec(), store, "val", "action spec 'boat'"),
        (ConstantVelocity(), wheel_store, "val", "it has steering_wheel_rad"),
        (HoldSteering(), store, "val", "needed is steering_wheel_rad"),
        (ConstantVelocity(), store, "test", "no clip of split 'test'"),
    ]
    for policy, data, split, message in cases:
        with pytest.raises(MimicError, match=re.escape(message)):
            score(policy, data, split, policy_name="x", baselines={})


def test_the_steering_wheel_rmse(wheel_store):
    baselines = {"always_zero": ConstantSteering(0.0), "hold_last_1s": HoldSteering()}
    summary = score(ConstantSteering(0.1), wheel_store, "val", policy_name="constant", baselines=baselines).summary
    angles = drive(30.0)[1]["steering_wheel_rad"]
    assert summary["steering_wheel_rmse_rad"] == pytest.approx(np.sqrt(np.mean((0.1 - angles) ** 2)))
    assert summary["baselines"]["always_zero"]["steering_wheel_rmse_rad"] == pytest.approx(np.sqrt(np.mean(angles**2)))
    held = np.concatenate([np.repeat(angles[:1], 10), angles[:-10]])
    assert summary["baselines"]["hold_last_1s"]["steering_wheel_rmse_rad"] == pytest.approx(np.sqrt(np.mean((held - angles) ** 2)))
    assert "ade_3s_m" not in summary and summary["not_scored"] == {}


def test_baselines_follow_from_recording_and_card(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "card.json").write_text(json.dumps({"target_mean": [[0.25]]}))
    policy = ConstantSteering()
    baselines = baselines_for(policy, directory, signals=("steering_wheel_rad",))
    assert list(baselines) == ["always_zero", "hold_last_1s", "training_mean"] and baselines["training_mean"]._angle_rad == 0.25
    assert list(baselines_for(ConstantVelocity(), tmp_path / "nothing", signals=("pose", "speed_mps"))) == ["constant_velocity", "hold_last"]
    assert baselines_for(ConstantVelocity(), tmp_path / "nothing", signals=("pose",)) == {}


def test_the_worst_stretches_come_first(scored):
    stretches = worst_stretches(scored)
    assert len(stretches) == 3 and [s.error for s in stretches] == sorted((s.error for s in stretches), reverse=True)


@pytest.mark.parametrize("kind", ["car", "wheel"])
def test_the_page_stands_on_its_own(kind, scored, store, wheel_store):
    result = scored if kind == "car" else score(HoldSteering(), wheel_store, "val", policy_name="<hold & co>", baselines={"always_zero": ConstantSteering()})
    page = report_html(result, store if kind == "car" else wheel_store)
    assert not re.search(r'(?:src|href)="(?!data:|#)', page) and "<script" not in page and "@import" not in page
    assert page.count("data:video/mp4;base64,") == 3 and page.count("<svg") == (4 if kind == "car" else 3)
    for link in re.findall(r'href="#([^"]+)"', re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)):
        assert f'<dt id="{link}">' in page
    if kind == "wheel":
        assert "&lt;hold &amp; co&gt;" in page and "<hold" not in page


def test_every_figure_has_a_definition(scored, store):
    known = {d.key for d in DEFINITIONS}
    estimates = {key.removesuffix("_ci95") for key in scored.summary if key.endswith("_ci95")}
    assert {key for key in estimates if not re.match(r"human_score_", key)} <= known


def test_onsets_are_found_along_a_clip(scored):
    matches = clip_onsets(scored.runs[0], POLICY)
    assert matches.missed and not matches.pairs  # constant velocity foresees nothing


def test_the_command_writes_a_whole_report(tmp_path, capsys):
    store, out = make_store(tmp_path / "store", duration_s=12.0), tmp_path / "report"
    arguments = ["score", "--policy", "hold_last", "--data", str(store.path), "--split", "val", "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    summary = json.loads((out / "score.json").read_text())
    assert f"{summary['human_score']:.1f}" in printed and table_text(summary) in printed
    assert set(summary["baselines"]) == {"constant_velocity", "hold_last"}
    assert summary["command"] == "mimic " + " ".join(arguments) and summary["policy_hash"]
    assert pq.read_table(out / "rows.parquet").num_rows == 3 * summary["frames"]
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert main(arguments) == 2 and "exists" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "store"]


def test_the_command_does_not_delete_what_is_no_report(store, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    arguments = ["score", "--policy", "hold_last", "--data", str(store.path), "--split", "val", "--out", str(tmp_path), "--overwrite"]
    assert main(arguments) == 2 and "not a report" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


def test_a_failing_policy_leaves_no_report(store, wheel_store, tmp_path):
    arguments = ["score", "--policy", "hold_last", "--data", str(wheel_store.path), "--split", "val", "--out", str(tmp_path / "report")]
    assert main(arguments) == 1
    assert not any(tmp_path.iterdir())


def test_the_real_car(shared_data, tmp_path):
    """The figures of ../shared/data/README.md: always zero 0.2435, the angle of 1 s ago 0.2051."""
    store_path = tmp_path / "hmb3"
    bags = [str(path) for path in sorted((shared_data / "udacity_hmb3").glob("heldout_*"))]
    assert main(["extract", *bags, "--topics", "udacity_hmb3", "--out", str(store_path)]) == 0
    summary = score(ConstantSteering(0.0), ClipStore.open(store_path), "test", policy_name="zero", baselines={"hold": HoldSteering()}).summary
    assert summary["steering_wheel_rmse_rad"] == pytest.approx(0.2435, abs=5e-4)
    assert summary["baselines"]["hold"]["steering_wheel_rmse_rad"] == pytest.approx(0.2051, abs=5e-4)
    assert STEERING_ONLY.name == summary["action_spec"] and summary["frames"] == 640
