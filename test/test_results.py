"""`mimic results`: what it refuses, how it pools and compares, and the page of made-up result files, byte for byte."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bag_tools.metrics import METRIC_VERSION as OPEN_LOOP_VERSION
from e2e_planner.scaling_law import scaling_curve
from mimic.cli import main
from mimic.results_input import read_drives, read_reports
from mimic.results_statistics import fork_flicker, gap_closed, not_scored, pearson, pooled, spearman
from mimic_sim.drive_score import METRIC_VERSION
from mimic_sim.drive_statistics import MEANS, RATES, SUMS

PAGE = Path(__file__).with_name("results_page.md")
REFRESH = "python test/test_results.py"
CLASS_OF = {"fork_00_s1": "fork", "fork_01_s1": "fork", "red_light_00_s1": "red_light", "red_light_01_s1": "red_light"}
FAILURES = {"vehicle_collision": "vehicle_collision at 7.3 s (broken|down); moved over by only 1.0 m", "red_light": "red_light at 9.0 s (e1)"}
Score = dict[str, Any]


def entry(route: str, score: float, *, kind: str = "", took_way: bool = True, who: str = "") -> Score:
    """One drive of per_route."""
    numbers = dict.fromkeys((*MEANS, *(key for key, _, _ in RATES.values()), *SUMS, "max_offset_m"), 0.0)
    numbers |= {"driven_m": 200.0, "duration_s": 30.0, "in_lane_share": 0.9, "comfort_share": 1.0, "speed_ratio": None if score == 0.0 else 1.1}
    numbers |= {"driving_score": score, "is_success": float(not kind), "is_completed": 1.0, "collisions": float("collision" in kind), "flicker_events": 2.0}
    words = {"scenario": CLASS_OF[route], "ended": "completed", "failure": FAILURES.get(kind, kind), "failure_kind": kind}
    return {**words, "scenario_fault": "" if took_way else "moved over by only 1.0 m", "canonical_hash": f"{who} {route} {score}", **numbers}


def driver(policy: str, scores: tuple[float, ...], kinds: tuple[str, ...] = ("", "", "", ""), **card: Any) -> Score:
    """Who drove the four routes."""
    who = f"{policy} {card.get('pictures')}"
    routes = {
        route: entry(route, score, kind=kind, took_way=kind != "vehicle_collision", who=who) for route, score, kind in zip(CLASS_OF, scores, kinds, strict=True)
    }
    return {"policy": policy, "policy_hash": f"hash of {policy}", "pictures": "as_is", **card, "per_route": routes}


def learned(seed: int, scores: tuple[float, ...], **card: Any) -> Score:
    hashes = {"recipe_hash": "r1", "model_hash": f"m{seed}", "perception_hash": "p1", "training_data": ["d1", "d2"]}
    kinds = ("vehicle_collision", "", "red_light", "red_light") if seed else ("vehicle_collision", "", "", "own_test")
    return driver(f"out/run_{seed}", scores, kinds, recipe="town", training_seed=seed, **hashes | card)


def drive_score(own: Score, *others: Score, **changes: Any) -> Score:
    """score.json of `mimic drive`."""
    expert = driver("expert", (100.0, 100.0, 100.0, 98.0))
    card = {"suite": "tiny", "suite_hash": "s1", "simulator_hash": "sim1", "metric_version": METRIC_VERSION, "command": f"mimic drive --policy {own['policy']}"}
    baselines = {f"{who['policy']} {who['pictures']}": who for who in (expert, *others)}
    return {**card, **own, "baselines": baselines, **changes}


def report(seed: int, ade_m: float) -> Score:
    """score.json of `mimic score`."""

    def figures(**values: float) -> Score:
        return values | {f"{key}_ci95": [value - 0.1, value + 0.1] for key, value in values.items()}

    differences = figures(ade_4s_m_difference=-0.5, expert_score_difference=-2.0, speed_error_mps_difference=0.05)
    baselines = {"constant_velocity": figures(ade_4s_m=2.0) | differences, "twin": figures(ade_4s_m=ade_m + 0.5, lateral_error_m=0.4)}
    card = {"recipe": "town", "training_seed": seed, "model_hash": f"m{seed}", "policy": f"out/run_{seed}", "command": f"mimic score --policy out/run_{seed}"}
    card |= {"split": "val", "data_hash": "0123456789abcdef", "metric_version": OPEN_LOOP_VERSION, "frames": 900, "clips": 3, "drives": 3, "blocks": 9}
    sweep = {"time_shift_s": [-0.4, 0.0, 0.4], "time_shift_ade_3s_m": [0.9, 0.8, 1.0]}
    return {**card, **figures(ade_4s_m=ade_m, lateral_error_m=0.3, speed_error_mps=0.7, expert_score=60.0), **sweep, "baselines": baselines}


def scaling() -> Score:
    """scaling.json of `mimic scaling`, driven with three seeds."""
    sizes = [{"drives": [str(i) for i in range(count)], "frames": 100 * count} for count in (1, 2, 4, 8)]
    error_m = np.array([2.0, 1.6, 1.3, 1.1])[:, None, None] + np.array([0.0, 0.02, -0.02])[None, :, None] + np.array([0.1, -0.1])
    curves = {"ade_4s_m": scaling_curve([0.125, 0.25, 0.5, 1.0], error_m, np.ones(2))}
    rows = [{"size": k, "seed": s, "drive_id": u, "frames": 10, "ade_4s_m": float(error_m[k, s, u])} for k in range(4) for s in range(3) for u in range(2)]
    routes = [
        {"size": k, "seed": s, "route_id": route, "scenario": CLASS_OF[route], "is_success": float(k > 1), "driving_score": 20.0 * k + s}
        for k in range(4)
        for s in range(3)
        for route in CLASS_OF
    ]
    driven = {"suite": "tiny", "suite_hash": "s1", "route_rows": routes}
    return {"recipe": {"name": "town"}, "seeds": [0, 1, 2], "sizes": sizes, "rows": rows, "curves": curves, **driven}


ORACLE = driver("rule_based_oracle", (95.0, 90.0, 100.0, 100.0))
PURSUIT = driver("route_pursuit", (5.0, 5.0, 60.0, 60.0), ("vehicle_collision", "vehicle_collision", "red_light", "red_light"))
PERCEIVED = driver("rule_based_perceived:out/run_0", (40.0, 90.0, 60.0, 100.0), ("vehicle_collision", "", "red_light", ""), perception_hash="p2")
GIVEN = {
    "drive_0": drive_score(
        learned(0, (0.0, 90.0, 80.0, 90.0)), ORACLE, PURSUIT, learned(0, (0.0, 0.0, 10.0, 10.0), pictures="black", recipe_hash="r1"), PERCEIVED
    ),
    "drive_1": drive_score(learned(1, (20.0, 80.0, 50.0, 55.0)), simulator_hash="sim2"),
    "score_0": report(0, 1.2),
    "score_1": report(1, 1.4),
}


def write(home: Path, **changes: Callable[[Score], None]) -> None:
    """The made-up result files, changed."""
    for name, content in copy.deepcopy({**GIVEN, "scaling": scaling()}).items():
        changes.get(name, lambda _: None)(content)
        (home / name).mkdir()
        (home / name / ("scaling.json" if name == "scaling" else "score.json")).write_text(json.dumps(content), encoding="utf-8")
    (home / "drive_1" / "films").mkdir()
    (home / "drive_1" / "films" / "fork_00_s1.mp4").write_bytes(b"")


def page(home: Path, *given: str) -> str:
    """Written with relative paths, so that it is the same everywhere."""
    arguments = ["results", "--drives", "drive_0", "drive_1", *(given or ("--scores", "score_0", "score_1", "--scaling", "scaling"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main([*arguments, "--out", "docs/results.md"]) == 0
        return Path("docs/results.md").read_text(encoding="utf-8")


def refused(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says; it writes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["results", *arguments, "--out", "refused.md"]) == 2
    assert not (home / "refused.md").exists()
    return capsys.readouterr().err


def test_the_page_of_made_up_results(tmp_path: Path) -> None:
    write(tmp_path)
    assert page(tmp_path) == PAGE.read_text(encoding="utf-8"), f"when it is meant to differ: {REFRESH}"


def test_what_is_missing_is_said_and_counted(tmp_path: Path) -> None:
    write(tmp_path)
    text = page(tmp_path, "--scaling", "scaling")
    head, body = text.split("## Closed loop", 1)
    assert f"- {body.lower().count('not measured')} times 'not measured' stands below." in head
    assert "Not among the drivers: learned (town), lights greyed." in head
    assert "| 1.10 [1 not measured] |" in text, "no way driven: no speed, and no zero"
    assert "Not measured: no report of `mimic score` was given." in body


def test_a_page_is_not_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert page(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["results", "--drives", "drive_0", "--out", "docs/results.md"]) == 2
        assert "exists: choose another or add --overwrite" in capsys.readouterr().err
        assert main(["results", "--drives", "drive_0", "--out", "docs/results.md", "--overwrite"]) == 0


def change(**values: Any) -> Callable[[Score], None]:
    return lambda score: score.update(values)


def forget_routes(score: Score) -> None:
    del score["baselines"]["expert as_is"]["per_route"]


def drive_otherwise(score: Score) -> None:
    score["baselines"]["expert as_is"]["per_route"]["fork_01_s1"]["canonical_hash"] = "other"


def leave_a_route(score: Score) -> None:
    del score["per_route"]["fork_00_s1"]


def other_version_elsewhere(score: Score) -> None:
    expert = score["baselines"]["expert as_is"]
    expert["policy_hash"], expert["per_route"] = "other", {"fork_00_s2": expert["per_route"]["fork_00_s1"]}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change(suite_hash="s2", suite="other"), "drive_0 of 'tiny' (s1) and drive_1 of 'other' (s2): leave one out, or drive the same suite"),
        (change(metric_version="1"), f"drive_1 has metric version '1', this is '{METRIC_VERSION}': drive again"),
        (change(training_seed=0), "'town' with training seed 0 in drive_0 and drive_1 is two models (m0, m1)"),
        (change(recipe_hash="r2"), "'town' in drive_0 and drive_1 is two different recipes: only the training seed may differ"),
        (leave_a_route, "training seeds 0 and 1 of 'town' in drive_0 and drive_1 drove other routes, as fork_00_s1: same --seeds"),
        (drive_otherwise, "'expert' in drive_0 and drive_1 drove 1 of 4 routes differently, as fork_01_s1: drive both with one version of it"),
        (other_version_elsewhere, "'expert' in drive_0 and drive_1 has two versions (hash of expert, other), and no route in common"),
        (forget_routes, "drive_1 was driven before score.json had the routes of each baseline: drive again"),
        (lambda score: score.pop("suite_hash"), "drive_1/score.json is not of `mimic drive`, it has no 'suite_hash'"),
    ],
)
def test_what_does_not_belong_into_one_table_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Score], None], message: str
) -> None:
    write(tmp_path, drive_1=spoil)
    assert message in refused(tmp_path, capsys, "--drives", "drive_0", "drive_1")


def test_files_of_other_kinds_and_unfinished_runs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, score_1=change(metric_version="0"))
    (tmp_path / ".half.partial").mkdir()
    assert "half is not finished, .half.partial was interrupted: go on with `mimic drive … --resume`" in refused(tmp_path, capsys, "--drives", "half")
    assert "nowhere/score.json does not exist: give a directory that `mimic drive … --out` has made" in refused(tmp_path, capsys, "--drives", "nowhere")
    assert "score_0/score.json is not of `mimic drive`" in refused(tmp_path, capsys, "--drives", "score_0")
    assert "drive_0/score.json is not of `mimic score`" in refused(tmp_path, capsys, "--drives", "drive_0", "--scores", "drive_0")
    assert "score_1 has metric version '0'" in refused(tmp_path, capsys, "--drives", "drive_0", "--scores", "score_1")
    twice = refused(tmp_path, capsys, "--drives", "drive_0", "--scores", "score_0", "score_0/score.json")
    assert "score_0 and score_0/score.json are of the same policy on the same data" in twice
    assert "drive_0/scaling.json does not exist" in refused(tmp_path, capsys, "--drives", "drive_0", "--scaling", "drive_0")


def test_directories_with_other_seeds_of_the_suite_add_up(tmp_path: Path) -> None:
    def with_seed_2(score: Score) -> None:
        for who in (score, *score["baselines"].values()):
            who["per_route"] = {route.replace("_s1", "_s2"): values for route, values in who["per_route"].items()}

    write(tmp_path, drive_1=lambda score: (score.update(copy.deepcopy(GIVEN["drive_0"]) | {"simulator_hash": "sim2"}), with_seed_2(score)))
    drives = read_drives([tmp_path / "drive_0", tmp_path / "drive_1"])
    assert [len(d.runs) for d in drives.drivers] == [1] * 6 and {len(d.runs[0].routes) for d in drives.drivers} == {8}
    assert drives.drivers[0].runs[0].suite_seeds == [1, 2] and drives.simulator_hashes == ("sim1", "sim2")


def test_the_learned_planner_is_the_first_and_its_blind_drives_are_its_own(tmp_path: Path) -> None:
    other = driver("out/head", (1.0, 2.0, 3.0, 4.0), recipe="head", training_seed=0, recipe_hash="h", model_hash="h0", pictures="black")
    write(tmp_path, drive_1=lambda score: score["baselines"].update(black=other))
    drives = read_drives([tmp_path / "drive_1", tmp_path / "drive_0"])
    assert [d.label for d in drives.drivers][:3] == ["learned (town)", "expert", "learned (head)"] and drives.drivers[0].seeds == [0, 1]
    black = drives.driver("learned", "black")
    assert black is not None and black.label == "learned (town)" and drives.driver("learned", "grey_lights") is None
    assert [r.label for r in read_reports([tmp_path / "score_1"])] == ["learned (town), seed 1"]


ROUTES = {route: entry(route, score) for route, score in zip(CLASS_OF, (10.0, 20.0, 30.0, 0.0), strict=True)}


def test_training_seeds_are_averaged_by_route_and_gaps_stay_gaps() -> None:
    other = {route: {**values, "driving_score": values["driving_score"] + 4.0, "speed_ratio": None} for route, values in ROUTES.items()}
    figures = pooled([ROUTES, other])
    assert [figures[route]["driving_score"] for route in CLASS_OF] == [12.0, 22.0, 32.0, 2.0]
    assert figures["fork_00_s1"]["speed_ratio"] == 1.1 and np.isnan(figures["red_light_01_s1"]["speed_ratio"])
    assert (not_scored([ROUTES, other], "speed_ratio") == 5 and figures == pooled([other, ROUTES])) or np.isnan(figures["red_light_01_s1"]["speed_ratio"])


def test_flicker_at_a_fork_is_of_runs_that_took_a_way() -> None:
    steady = entry("fork_00_s1", 10.0) | {"flicker_events": 0.0}
    never = entry("fork_01_s1", 0.0) | {"scenario_fault": None}
    assert fork_flicker([{"a": steady, "b": entry("fork_01_s1", 5.0)}, {"a": never, "b": entry("fork_01_s1", 5.0, took_way=False)}]) == (4, 2, 1)
    assert fork_flicker([{"a": entry("red_light_00_s1", 10.0)}]) is None


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 40), st.floats(1, 40), st.sampled_from("ab")), min_size=2, max_size=12), st.floats(0, 1))
def test_the_share_of_a_gap(rows: list[tuple[float, float, float, str]], part: float) -> None:
    low, high, between = ({str(i): {"x": base + size * share} for i, (base, _, size, _) in enumerate(rows)} for share in (0.0, 1.0, part))
    class_of = {str(i): name for i, (_, _, _, name) in enumerate(rows)}
    for classes in (None, class_of):
        gap = gap_closed(between, low, high, "x", class_of=classes)
        assert gap["share"] == pytest.approx(part, abs=1e-9) and gap["share_ci95"] == pytest.approx([part, part], abs=1e-9)
    assert gap_closed(high, high, low, "x") == {"share": None}, "who is worse leaves no gap"


def test_where_a_gap_may_vanish_it_has_no_interval() -> None:
    low, high = ({"a": {"x": 0.0}, "b": {"x": 0.0}}, {"a": {"x": 3.0}, "b": {"x": -1.0}})
    assert gap_closed(high, low, high, "x") == {"share": 1.0}


numbers = st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=12)


@given(numbers)
def test_correlations_keep_their_laws(pairs: list[tuple[int, int]]) -> None:
    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    for correlation in (pearson, spearman):
        value = correlation(x, y)
        if len(x) < 3 or len(set(x)) == 1 or len(set(y)) == 1:
            assert value is None
            continue
        assert value is not None and -1.0 <= value <= 1.0 and value == pytest.approx(correlation(y, x))
        assert correlation(x, [-b for b in y]) == pytest.approx(-value) and correlation(x, x) == pytest.approx(1.0)
    assert spearman(x, y) == spearman([a**3 for a in x], y), "ranks are all that counts"


def test_ties_share_their_rank() -> None:
    assert spearman([1.0, 2.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]) == pytest.approx(pearson([1.0, 2.5, 2.5, 4.0], [1.0, 2.0, 3.0, 4.0]))
    assert pearson([1.0, 2.0, 3.0], [2.0, 4.0, 7.0]) == pytest.approx(float(np.corrcoef([1, 2, 3], [2, 4, 7])[0, 1]))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        write(Path(directory))
        PAGE.write_text(page(Path(directory)), encoding="utf-8")
