"""Closed-loop scores, the rows they are made from, suites, the report, and the two commands that use them."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic import record_plan
from mimic.cli import main
from mimic.commands import drive as drive_command
from mimic.commands import sim as sim_command
from mimic_contracts.action_spec import CAR
from mimic_contracts.config import config_dir
from mimic_contracts.errors import ContractError, MimicError, UsageError
from mimic_contracts.parameters import parameters_from_file
from mimic_sim.drive_report import report_html
from mimic_sim.drive_result import DriveResult, Row
from mimic_sim.drive_score import comfort_share, failure_of, score_route
from mimic_sim.drive_statistics import paired_difference, score_routes
from mimic_sim.events import COLLISIONS, KINDS, PENALTIES, Event
from mimic_sim.route_spec import RouteSpec, read_route
from mimic_sim.sim_parameters import SimParameters
from mimic_sim.suite import load_suite

PUBLISHED = {"course", "course_day"}
ENDINGS = ("completed", "off_road", "blocked", "time_limit", "failed: no model")


def made_up(*, speed_mps: float, offset_m: np.ndarray | float = 0.0, length_m: float = 100.0, share: float = 1.0, ended: str = "completed") -> DriveResult:
    """A straight drive at constant speed with the given offsets."""
    ticks = int(length_m * share / speed_mps / 0.1) + 1
    offsets = np.broadcast_to(offset_m, ticks)
    rows = [
        Row(
            stamp_ns=10**9 + i * 10**8, x_m=0.0, y_m=0.0, yaw_rad=0.0, speed_mps=speed_mps, acceleration_mps2=0.0, yaw_rate_radps=0.0, curvature_1pm=0.0,
            rear_offset_m=float(offsets[i]), front_offset_m=float(offsets[i]), lane_margin_m=0.825, progress_m=speed_mps * 0.1 * i,
            command_speed_mps=np.nan, command_yaw_rate_radps=np.nan, mode="engaged", skipped="" if i else "not ready",
        )
        for i in range(ticks)
    ]  # fmt: skip
    return DriveResult.from_rows(RouteSpec(route_id="r", tick_s=0.1), rows, [None] * ticks, length_m=length_m, ended=ended)


EXPERT = made_up(speed_mps=10.0)
GOOD = score_route(EXPERT, EXPERT)
events = st.builds(
    Event,
    time_s=st.floats(0, 10),
    kind=st.sampled_from(KINDS),
    with_what=st.sampled_from("abc"),
    progress_m=st.floats(-5, 110),
    ego_speed_mps=st.floats(-2, 20),
    at_fault=st.booleans(),
)
drives = st.builds(made_up, speed_mps=st.floats(5.0, 20.0), offset_m=st.floats(0, 2), share=st.floats(0.0, 1.0), ended=st.sampled_from(ENDINGS))


def noted(kind: str, **changes: object) -> Event:
    return Event(**{"time_s": 3.0, "kind": kind, "with_what": "7", "progress_m": 30.0, "ego_speed_mps": 10.0, **changes})  # type: ignore[arg-type]


def scored(*happened: Event, **drive: object) -> dict[str, float]:
    return score_route(replace(made_up(**{"speed_mps": 10.0, **drive}), events=happened), EXPERT)  # type: ignore[arg-type]


def test_a_drive_as_good_as_the_expert_scores_100() -> None:
    score = score_route(made_up(speed_mps=10.0), EXPERT)
    assert score["driving_score"] == pytest.approx(100.0) and score["speed_ratio"] == pytest.approx(1.0)
    assert score["in_lane_share"] == 1.0 and score["is_completed"] == 1.0 and score["comfort_share"] == 1.0
    assert score["skipped_ticks"] == 1.0 and score["mean_speed_mps"] == pytest.approx(10.0)


def test_slow_costs_what_the_leaderboard_says() -> None:
    score = score_route(made_up(speed_mps=5.0), EXPERT)
    assert score["speed_ratio"] == pytest.approx(0.5)
    assert score["driving_score"] == pytest.approx(100.0 / 1.2)


def test_outside_the_lane_counts_by_the_way() -> None:
    offsets = np.zeros(101)
    offsets[:25] = 1.0
    score = score_route(made_up(speed_mps=10.0, offset_m=offsets), EXPERT)
    assert score["in_lane_share"] == pytest.approx(0.75, abs=0.01) and score["max_offset_m"] == 1.0


def test_half_the_route_is_half_the_score() -> None:
    score = score_route(made_up(speed_mps=10.0, share=0.5, ended="off_road"), EXPERT)
    assert score["route_completion"] == pytest.approx(0.5) and score["is_completed"] == 0.0
    assert score["driving_score"] == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("kind", "penalty"),
    [
        ("pedestrian_collision", 1.0), ("vehicle_collision", 0.7), ("static_collision", 0.6), ("red_light", 0.4), ("stop_sign", 0.25),
        ("scenario_timeout", 0.4), ("failing_to_yield", 0.4), ("blocked_box", 0.0), ("outside_lane", 0.0),
    ],
)  # fmt: skip
def test_every_infraction_costs_what_the_metrics_say(kind: str, penalty: float) -> None:
    once, twice = scored(noted(kind, progress_m=100.0)), scored(noted(kind, progress_m=100.0), noted(kind, progress_m=100.0))
    assert once["driving_score"] == pytest.approx(100.0 / (1.0 + penalty)) and twice["driving_score"] == pytest.approx(100.0 / (1.0 + 2.0 * penalty))
    assert once["is_success"] == 0.0 and once["is_completed"] == 1.0 and once[f"{kind}_count"] == 1.0
    innocent = scored(noted(kind, at_fault=False))
    assert innocent["driving_score"] == pytest.approx(100.0) and innocent["is_success"] == 1.0


def test_completion_freezes_where_the_ego_first_hits_something() -> None:
    hits = [
        noted("vehicle_collision", progress_m=60.0),
        noted("static_collision", progress_m=30.0),
        noted("vehicle_collision", progress_m=10.0, at_fault=False),
    ]
    score = scored(*hits)
    assert score["route_completion"] == pytest.approx(0.3) and score["driving_score"] == pytest.approx(30.0 / 2.3)
    assert (score["collisions"], score["collisions_not_at_fault"]) == (2.0, 1.0)
    assert scored(noted("red_light", progress_m=10.0))["route_completion"] == 1.0


def test_the_time_limit_is_a_scenario_timeout() -> None:
    score = scored(share=0.5, ended="time_limit")
    assert score["driving_score"] == pytest.approx(50.0 / 1.4) and score["scenario_timeout_count"] == 1.0
    assert scored(share=0.5, ended="blocked")["driving_score"] == pytest.approx(50.0)


def test_slow_is_the_only_thing_that_a_success_may_be() -> None:
    assert scored(speed_mps=3.0)["is_success"] == 1.0 and scored(speed_mps=3.0)["driving_score"] < 80.0
    assert scored(share=0.9, ended="blocked")["is_success"] == 0.0


def test_a_necessary_pass_costs_nothing() -> None:
    drive = made_up(speed_mps=10.0, offset_m=2.0)
    assert score_route(drive, EXPERT)["driving_score"] == 0.0
    drive.columns["lane_margin_m"][:51] = np.inf
    assert score_route(drive, EXPERT)["in_lane_share"] == pytest.approx(0.5, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(drives, st.lists(events, max_size=6), events)
def test_no_event_raises_a_score_and_their_order_does_not_matter(drive: DriveResult, happened: list[Event], one_more: Event) -> None:
    before, after, turned = (score_route(replace(drive, events=tuple(e)), EXPERT) for e in (happened, [*happened, one_more], [one_more, *happened[::-1]]))
    for key in ("driving_score", "route_completion", "is_success"):
        assert after[key] <= before[key]
    assert set(after) == set(turned) and all(after[key] == pytest.approx(turned[key], nan_ok=True) for key in after)
    assert 0.0 <= after["route_completion"] <= 1.0 and 0.0 <= after["driving_score"] <= 100.0
    worse = one_more.at_fault and (one_more.kind in COLLISIONS or PENALTIES[one_more.kind] > 0.0)
    assert after["driving_score"] < before["driving_score"] or not worse or before["driving_score"] == 0.0
    assert (failure_of(replace(drive, events=(one_more,))) == "") == (drive.ended == "completed" and not one_more.at_fault)


def test_interventions_are_counted_once_each() -> None:
    drive = made_up(speed_mps=10.0, ended="blocked")
    mode = drive.columns["mode"].astype("<U20")
    mode[10:20], mode[40:] = "minimal_risk_stop", "emergency_stop"
    assert score_route(replace(drive, columns={**drive.columns, "mode": mode}), EXPERT)["interventions"] == 3.0
    assert GOOD["interventions"] == 0.0 and GOOD["flicker_events"] == 0.0


def test_a_plan_that_wavers_flickers() -> None:
    drive = made_up(speed_mps=10.0)
    ticks, times_s = len(drive), np.arange(21) * 0.2
    plans = np.zeros((ticks, 21, 6))
    plans[:, :, CAR.index("x_m")], plans[:, :, CAR.index("speed_mps")] = 10.0 * times_s, 10.0
    columns = {**drive.columns, "x_m": drive.columns["progress_m"]}
    steady = replace(drive, plans=plans, columns=columns)
    wavering = replace(steady, plans=plans.copy())
    wavering.plans[40:45, :, CAR.index("y_m")] = 1.0
    assert score_route(steady, EXPERT)["flicker_events"] == 0.0 and score_route(wavering, EXPERT)["flicker_events"] == 1.0


NEVER = DriveResult.from_rows(RouteSpec(route_id="r"), [], [], length_m=100.0, ended="failed: no model")


def test_a_drive_that_never_began_scores_nothing_and_hides_nothing() -> None:
    score = score_route(NEVER, EXPERT)
    assert score["driving_score"] == score["route_completion"] == score["is_success"] == 0.0 and np.isnan(score["in_lane_share"])
    assert set(score) == set(GOOD) and score["interventions"] == 1.0
    total = score_routes({"a": score, "b": GOOD}, class_of={"a": "", "b": ""})
    assert total["in_lane_share"] == 1.0 and total["in_lane_share_not_scored"] == 1
    assert total["driving_score"] == 50.0 and total["driving_score_ci95"] == [0.0, 100.0] and total["success_rate"] == 0.5
    alone = score_routes({"a": score}, class_of={"a": ""})
    assert alone["in_lane_share"] is None and alone["collisions_per_km"] is None and alone["flicker_per_min"] is None
    with pytest.raises(MimicError, match="nothing to score"):
        score_routes({}, class_of={})


def test_success_is_the_mean_of_the_classes() -> None:
    bad = scored(noted("red_light"))
    routes = {"a": GOOD, "b": bad, "c": bad, "d": bad, "e": GOOD}
    score = score_routes(routes, class_of={"a": "lights", "b": "lights", "c": "lights", "d": "lights", "e": "stops"})
    assert score["success_rate"] == pytest.approx((0.25 + 1.0) / 2.0) and score["routes"] == 5
    assert score["driving_score"] == pytest.approx((2 * 100.0 + 3 * 100.0 / 1.4) / 5)
    low, high = score["success_rate_ci95"]
    assert low == 0.5 and 0.75 <= high <= 1.0, "one class always succeeds, so that no draw is below a half"
    assert score["per_class"]["stops"]["success_rate"] == 1.0 and "success_rate_ci95" not in score["per_class"]["stops"]
    assert score["per_class"]["lights"]["red_light_count"] == 3 == score["red_light_count"]
    assert score_routes(dict(reversed(routes.items())), class_of=dict.fromkeys(routes, ""))["per_class"] == {}


def test_figures_per_km_are_sums_over_sums() -> None:
    long, short = scored(length_m=900.0), scored(noted("vehicle_collision"))
    total = score_routes({"long": long, "short": short}, class_of={"long": "", "short": ""})
    assert total["collisions_per_km"] == pytest.approx(1.0, rel=0.02)
    assert total["interventions_per_km"] == 0.0 and total["max_offset_m"] == 0.0


def test_a_paired_difference_sees_what_routes_have_in_common() -> None:
    rng = np.random.default_rng(4)
    one = {str(i): {**GOOD, "driving_score": float(score)} for i, score in enumerate(rng.uniform(10, 90, 20))}
    other = {name: {**figures, "driving_score": figures["driving_score"] - 2.0, "is_success": 0.0} for name, figures in one.items()}
    class_of = dict.fromkeys(one, "c")
    difference = paired_difference(one, other, class_of=class_of)
    assert difference["driving_score_difference"] == pytest.approx(2.0) and difference["driving_score_difference_ci95"] == pytest.approx([2.0, 2.0])
    assert difference["success_rate_difference"] == 1.0 and difference["routes"] == 20
    assert paired_difference(other, one, class_of=class_of)["driving_score_difference"] == pytest.approx(-2.0)
    low, high = score_routes(one, class_of=class_of)["driving_score_ci95"]
    assert high - low > 10.0, "unpaired, the difference could not be seen"
    with pytest.raises(MimicError, match="only one has driven 3"):
        paired_difference(one, {name: figures for name, figures in other.items() if name != "3"}, class_of=class_of)


def test_a_jerk_is_uncomfortable_in_its_window_only() -> None:
    time_s = np.arange(0.0, 10.05, 0.1)
    speed = np.where(time_s < 5.0, 10.0, 8.0)
    assert comfort_share(time_s, speed, np.zeros_like(speed)) == pytest.approx(0.8)
    assert np.isnan(comfort_share(time_s[:10], speed[:10], np.zeros(10)))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    happened = (noted("red_light"), noted("vehicle_collision", other_speed_mps=3.0, at_fault=False))
    old = replace(made_up(speed_mps=5.0, ended="blocked"), events=happened, route=RouteSpec(route_id="r", scenario="red_light", passes_m=((1.0, 2.0),)))
    old.save(tmp_path / "route.parquet")
    new = DriveResult.load(tmp_path / "route.parquet")
    assert (new.route, new.ended, new.length_m, new.events) == (old.route, "blocked", old.length_m, happened)
    assert score_route(new, EXPERT) == score_route(old, EXPERT)
    assert all(np.array_equal(old.columns[k], new.columns[k], equal_nan=old.columns[k].dtype.kind == "f") for k in old.columns)
    assert np.array_equal(old.plans, new.plans, equal_nan=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["route.parquet", "route.trace.parquet"]


def test_rows_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="no such file"):
        DriveResult.load(tmp_path / "absent.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"nonsense, and long enough to look like something")
    with pytest.raises(MimicError, match="not a Parquet file"):
        DriveResult.load(tmp_path / "bad.parquet")


def test_the_suites_of_the_project_are_whole() -> None:
    assert {p.stem for p in (config_dir() / "suites").glob("*.yaml")} >= PUBLISHED
    suite = load_suite("course")
    assert [route.look for route in suite.routes] == ["day", "dusk", "fog", "rain"]
    routes = suite.with_seeds([1, 2])
    assert len(routes) == 8 and routes[1].route_id == "day_s2" and routes[1].seed == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\n", "must be name and routes"),
        ("name: a\nroutes: []\n", "at least one"),
        ("name: a\nroutes: [{route_id: a, look: midnight}]\n", r"routes\[0\].*look"),
        ("name: a\nroutes: [{route_id: a, wind: 3}]\n", "unknown key wind"),
        ("name: a\nroutes: [{route_id: a, scenario: 3}]\n", "route.scenario: is 3"),
        ("name: a\nroutes: [{route_id: a, passes_m: [[1]]}]\n", "route.passes_m.*stretches"),
        ("name: a\nroutes: [{route_id: a, passes_m: [[5, 1]]}]\n", "begin before it ends"),
        ("name: a\nroutes: [{route_id: a}, {route_id: a}]\n", "all be different"),
    ],
)
def test_a_broken_suite_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=message):
        load_suite(path)


def test_the_parameter_file_of_the_node_is_complete() -> None:
    parameters = parameters_from_file(SimParameters, str(config_dir() / "nodes" / "sim_node.yaml"), "sim_node")
    assert parameters == SimParameters()
    assert read_route(parameters.route) == RouteSpec()
    with pytest.raises(ContractError, match="teaches nothing"):
        SimParameters(driver="expert", pictures="black")


def test_the_report_holds_everything_and_fetches_nothing() -> None:
    drive = made_up(speed_mps=10.0)
    failed = replace(drive, route=RouteSpec(route_id="<f>", scenario="red_light"), events=(noted("red_light", with_what="<lane>"),))
    figures = {name: score_route(one, EXPERT) for name, one in (("r", drive), ("<f>", failed), ("never", NEVER))}
    score = score_routes(figures, class_of={"r": "curves", "<f>": "lights", "never": "curves"})
    score |= {
        "policy": "mine",
        "baselines": {"expert": score_routes(dict.fromkeys(figures, GOOD), class_of={"r": "curves", "<f>": "lights", "never": "curves"})},
    }
    page = report_html("a <title>", score, [(d, figures[n]) for n, d in (("r", drive), ("<f>", failed), ("never", NEVER))], videos={"r": "r.mp4"})
    for text in (
        "a &lt;title&gt;",
        "not scored",
        "r.mp4",
        "<svg",
        "&lt;f&gt;",
        "red_light at 3.0 s (&lt;lane&gt;)",
        "failed: no model",
        "expert: success",
        "curves",
    ):
        assert text in page, text
    assert "http" not in page and "<f>" not in page
    assert page.index("red_light at") < page.index("success</span>"), "failures first"


def arguments(command: object, *given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    return parser.parse_args(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--seeds", "1,x"], "whole numbers"),
        (["--seeds", "1,1"], "different"),
        (["--over-ros"], "the expert is no policy"),
    ],
)
def test_drive_refuses_arguments_that_make_no_sense(tmp_path: Path, given: list[str], message: str) -> None:
    args = arguments(drive_command, "--policy", "expert", "--suite", "course", "--out", str(tmp_path / "out"), *given)
    with pytest.raises(UsageError, match=message):
        drive_command.validate(args)


def test_drive_does_not_overwrite(tmp_path: Path) -> None:
    assert main(["drive", "--policy", "expert", "--suite", "course", "--out", str(tmp_path)]) == 2


def test_drive_scores_the_expert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "short.yaml"
    suite.write_text("name: short\nroutes: [{route_id: a, laps: 0.05}]\n", encoding="utf-8")
    out = tmp_path / "out"
    assert main(["drive", "--policy", "expert", "--suite", str(suite), "--seeds", "1,2", "--no-video", "--out", str(out)]) == 0
    score = json.loads(capsys.readouterr().out)
    assert score == json.loads((out / "score.json").read_text(encoding="utf-8"))
    assert score["routes"] == 2 and score["success_rate"] == 1.0 and score["in_lane_share"] == 1.0 and score["baselines"]["expert"]["routes"] == 2
    assert {DriveResult.load(out / "routes" / f"{name}.parquet").route.route_id for name in ("a_s1", "a_s2")} == {"a_s1", "a_s2"}
    assert (out / "report.html").is_file()
    saved = {folder: {p.name: DriveResult.load(p) for p in sorted((out / folder).glob("a_s?.parquet"))} for folder in ("routes", "expert")}
    figures = {d.route.route_id: score_route(d, saved["expert"][name]) for name, d in saved["routes"].items()}
    again = score_routes(figures, class_of={"a_s1": "", "a_s2": ""})
    assert again == {key: score[key] for key in again}, "the rows beside the score are enough to make it again"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["expert_drives", "out", "short.yaml"]


def routes_of(args: argparse.Namespace) -> list[RouteSpec]:
    return [job.route for job in record_plan.jobs_of(args)]


def record(tmp_path: Path, *given: str) -> argparse.Namespace:
    return arguments(sim_command, "record", "--towns", "course", "--out", str(tmp_path / "out"), *given)


def test_recordings_are_laps_with_a_look_of_their_own(tmp_path: Path) -> None:
    routes = routes_of(record(tmp_path, "--hours", "0.17", "--seed", "1", "--disturb"))
    assert [route.look for route in routes] == ["day", "dusk", "fog", "rain", "day"][: len(routes)] and len(routes) >= 4
    assert all(route.laps == 1.0 and route.is_disturbed for route in routes[:4])
    assert len({route.seed for route in routes}) == len(routes) == len({route.start_m for route in routes})
    assert routes == routes_of(record(tmp_path, "--hours", "0.17", "--seed", "1", "--disturb"))
    assert len(routes_of(record(tmp_path, "--hours", "0.01"))) == 1


@pytest.mark.parametrize(("option", "value"), [("--hours", "0"), ("--looks", "day,midnight"), ("--seed", "-1"), ("--towns", "moon"), ("--drivers", "me")])
def test_record_refuses_arguments_that_make_no_sense(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(UsageError, match=option):
        routes_of(record(tmp_path, "--hours", "1", option, value))
