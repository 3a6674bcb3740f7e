"""Closed-loop scores, the rows they are made from, suites, the report, and the two commands that use them."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimic.cli import main
from mimic.commands import drive as drive_command
from mimic.commands import sim as sim_command
from mimic_contracts.config import config_dir
from mimic_contracts.errors import ContractError, MimicError, UsageError
from mimic_contracts.parameters import parameters_from_file
from mimic_sim.collisions import Contact
from mimic_sim.drive_report import report_html
from mimic_sim.drive_result import DriveResult, Row
from mimic_sim.drive_score import comfort_share, score_route, score_routes
from mimic_sim.route_spec import RouteSpec, read_route
from mimic_sim.sim_parameters import SimParameters
from mimic_sim.suite import load_suite

PUBLISHED = {"course", "course_day"}


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


def test_a_drive_that_never_began_scores_nothing_and_hides_nothing() -> None:
    never = DriveResult.from_rows(RouteSpec(route_id="r"), [], [], length_m=100.0, ended="failed: no model")
    score = score_route(never, EXPERT)
    assert score["driving_score"] == 0.0 and np.isnan(score["in_lane_share"])
    total = score_routes({"a": score, "b": score_route(made_up(speed_mps=10.0), EXPERT)})
    assert total["in_lane_share"] == 1.0 and total["in_lane_share_not_scored"] == 1
    assert total["driving_score"] == 50.0 and total["driving_score_ci95"] == [0.0, 100.0] and total["success_rate"] == 0.5
    assert score_routes({"a": score})["in_lane_share"] is None
    with pytest.raises(MimicError, match="nothing to score"):
        score_routes({})


def test_a_jerk_is_uncomfortable_in_its_window_only() -> None:
    time_s = np.arange(0.0, 10.05, 0.1)
    speed = np.where(time_s < 5.0, 10.0, 8.0)
    assert comfort_share(time_s, speed, np.zeros_like(speed)) == pytest.approx(0.8)
    assert np.isnan(comfort_share(time_s[:10], speed[:10], np.zeros(10)))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    contact = Contact(time_s=1.0, actor_id="7", kind="car", ego_speed_mps=3.0, actor_speed_mps=0.0, at_fault=True)
    old = replace(made_up(speed_mps=5.0, ended="blocked"), contacts=(contact,))
    old.save(tmp_path / "route.parquet")
    new = DriveResult.load(tmp_path / "route.parquet")
    assert (new.route, new.ended, new.length_m, new.contacts) == (old.route, "blocked", old.length_m, (contact,))
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
    page = report_html("a <title>", {"routes": 1, "in_lane_share": None}, [(drive, score_route(drive, EXPERT))], videos={"r": "r.mp4"})
    assert "a &lt;title&gt;" in page and "not scored" in page and "r.mp4" in page and "<svg" in page and "http" not in page


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
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "short.yaml"]


def record(tmp_path: Path, *given: str) -> argparse.Namespace:
    return arguments(sim_command, "record", "--towns", "course", "--drivers", "expert", "--out", str(tmp_path / "out"), *given)


def test_recordings_are_laps_with_a_look_of_their_own(tmp_path: Path) -> None:
    routes = sim_command.routes_of(record(tmp_path, "--hours", "0.17", "--seed", "1", "--disturb"))
    assert [route.look for route in routes] == ["day", "dusk", "fog", "rain", "day"][: len(routes)] and len(routes) >= 4
    assert all(route.laps == 1.0 and route.is_disturbed for route in routes[:4])
    assert len({route.seed for route in routes}) == len(routes) == len({route.start_m for route in routes})
    assert routes == sim_command.routes_of(record(tmp_path, "--hours", "0.17", "--seed", "1", "--disturb"))
    assert len(sim_command.routes_of(record(tmp_path, "--hours", "0.01"))) == 1


@pytest.mark.parametrize(("option", "value"), [("--hours", "0"), ("--looks", "day,midnight"), ("--seed", "-1"), ("--towns", "moon"), ("--drivers", "me")])
def test_record_refuses_arguments_that_make_no_sense(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(UsageError, match=option):
        sim_command.routes_of(record(tmp_path, "--hours", "1", option, value))
