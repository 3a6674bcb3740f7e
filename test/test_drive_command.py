"""`mimic drive`: what it refuses, an interrupted run that goes on, a drive made again, films of failures, dark signals."""

import argparse
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_drive_pool import street

from mimic.cli import main
from mimic.commands import drive as drive_command
from mimic.drive_folder import DriveFolder, policy_card, route_key, simulator_hash
from mimic.drive_replay import compare
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.rig import load_rig
from mimic_sim.birds_eye import AHEAD_M, BEHIND_M, EGO, LIGHTS, BirdsEye
from mimic_sim.drive_result import DriveResult
from mimic_sim.events import Event
from mimic_sim.moment import Moment
from mimic_sim.route_spec import RouteSpec
from mimic_sim.view import View
from mimic_sim.world import Simulation, build_world

ROOT = Path(__file__).resolve().parents[1]
SUITE = "name: short\nroutes:\n  - {route_id: a, laps: 0.01, time_limit_s: 9}\n  - {route_id: b, laps: 0.01, time_limit_s: 9, start_m: 200}\n"
FIRST = RouteSpec(route_id="a_s1", laps=0.01, time_limit_s=9, seed=1)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return path


def drive(out: Path, suite: Path, *given: str, policy: str = "drive_policies:Slow") -> int:
    return main(["drive", "--policy", policy, "--suite", str(suite), "--out", str(out), "--no-video", *given])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--seeds", "1,x"], "whole numbers"),
        (["--seeds", "1,-1"], "not negative"),
        (["--seeds", "4294967296"], "--seeds: route.seed: is 4294967296, must be"),
        (["--jobs", "0"], "--jobs: is 0, must be at least 1"),
        (["--budget-s", "nan"], "--budget-s: is nan, must be over 0"),
        (["--baselines", "hold_last,luck"], "--baselines: 'luck' is unknown, must be of: constant_velocity"),
        (["--baselines", "rule_based_perceived:atlantis"], "--baselines: rule_based_perceived: atlantis has no perception/"),
        (["--baselines", "rule_based_perceived:a,rule_based_perceived:b"], "must name each once"),
        (["--policy", "luck"], "--policy: policy: 'luck' is not a run directory"),
        (["--policy", "drive_policies:Luck"], "has no class 'Luck'"),
        (["--policy", "drive_policies:Unborn"], "'drive_policies:Unborn' cannot be made: RuntimeError: no model"),
        (["--suite", "moonwalk"], "'moonwalk' is neither a YAML file nor one of: course"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str
) -> None:
    assert drive(tmp_path / "out", suite, *given) in (1, 2)
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [suite]


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("look: midnight", "routes[0]: route.look: is 'midnight', must be one of day"),
        ("course: moon, start_lane: a, end_lane: b", "moon"),
        ("scenario: ufo", "route.scenario: is 'ufo', must be one of"),
    ],
)
def test_a_suite_that_makes_no_sense_is_refused(tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str], route: str, message: str) -> None:
    suite.write_text(f"name: bad\nroutes: [{{route_id: a, {route}}}]\n", encoding="utf-8")
    assert drive(tmp_path / "out", suite) == 1
    assert message in capsys.readouterr().err and list(tmp_path.iterdir()) == [suite]


def test_a_route_without_its_town_fails_and_the_others_go_on(tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite.write_text(SUITE + "  - {route_id: c, course: moon, start_lane: a, end_lane: b}\n", encoding="utf-8")
    assert drive(tmp_path / "out", suite, policy="constant_velocity") == 0
    score = json.loads(capsys.readouterr().out)
    ended = {name: entry["ended"] for name, entry in score["per_route"].items()}
    assert ended.pop("c_s1").startswith("failed: town: 'moon' is neither") and set(ended.values()) == {"time_limit"}
    assert score["baselines"]["expert"]["success_rate"] == pytest.approx(2.0 / 3.0) and score["per_route"]["c_s1"]["driving_score"] == 0.0


@pytest.mark.parametrize(("fails", "ended"), [(1, "by hand"), (2, "failed: sim_node: SUMO: died at 1.00 s")])
def test_when_sumo_dies_over_ros_the_route_is_repeated_once(
    tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fails: int, ended: str
) -> None:
    budgets: list[float] = []

    def over_ros(policy: str, route: RouteSpec, out_dir: Path, *, pictures: str, budget_s: float) -> DriveResult:
        assert not list(out_dir.iterdir()), "nothing of the attempt before"
        (out_dir / "logs").mkdir()
        budgets.append(budget_s)
        if route.route_id == FIRST.route_id and len(budgets) <= fails:
            raise MimicError("sim_node: SUMO: died at 1.00 s")
        return DriveResult.from_rows(route, [], [], length_m=1.0, ended="by hand")

    monkeypatch.setattr("mimic.over_ros.drive_over_ros", over_ros)
    assert drive(tmp_path / "out", suite, "--over-ros", "--budget-s", "7", policy="constant_velocity") == 0
    told = capsys.readouterr()
    per_route = json.loads(told.out)["per_route"]
    assert [per_route[name]["ended"] for name in ("a_s1", "b_s1")] == [ended, "by hand"]
    assert told.err.count("once more") == 1 and budgets == [7.0] * 3


def test_an_interrupt_ends_with_our_exit_code_wherever_it_arrives(tmp_path: Path, suite: Path) -> None:
    command = ["drive", "--policy", "drive_policies:InterruptedInExec", "--suite", str(suite), "--out", str(tmp_path / "out")]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'test'}", "PATH": "/usr/bin:/bin"}
    ended = subprocess.run([sys.executable, "-m", "mimic.cli", *command], check=False, capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (1, "mimic drive: interrupted\n")


def test_an_interrupted_run_goes_on(tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, partial = tmp_path / "out", tmp_path / ".out.partial"
    command = ["drive", "--policy", "drive_policies:Hangs", "--suite", str(suite), "--no-video", "--jobs", "1", "--budget-s", "60", "--out", str(out)]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'test'}", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen([sys.executable, "-m", "mimic.cli", *command], stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
    deadline_s = time.monotonic() + 60.0
    while not (partial / "routes").is_dir() and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60.0)
    assert process.returncode == 1 and "--resume goes on" in messages
    assert partial.is_dir() and not out.exists()

    assert main(command) == 2 and "an interrupted run left" in capsys.readouterr().err
    assert main([*command, "--resume", "--seeds", "2"]) == 2 and "seeds was '1' and is '2'" in capsys.readouterr().err
    assert main([*command, "--resume", "--policy", "hold_last"]) == 2 and "policy was" in capsys.readouterr().err
    made_before = DriveResult.from_rows(FIRST, [], [], length_m=1.0, ended="failed: by hand")
    made_before.save(partial / "routes" / "a_s1.parquet")
    card = json.loads((partial / "run.json").read_text(encoding="utf-8"))
    (partial / "run.json").write_text(json.dumps(card | {"budget_s": 1.0}), encoding="utf-8")
    assert main([*command, "--resume", "--budget-s", "1"]) == 0
    ended = {name: entry["ended"] for name, entry in json.loads((out / "score.json").read_text(encoding="utf-8"))["per_route"].items()}
    assert ended.pop("a_s1") == "failed: by hand", "what was finished is not driven again"
    assert list(ended) == ["b_s1"] and "budget of 1 s" in ended["b_s1"]
    assert not partial.exists()


def test_the_expert_drives_a_route_once_for_all(tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        assert drive(tmp_path / name, suite, "--baselines", "constant_velocity", policy="hold_last") == 0
    kept = tmp_path / "expert_drives" / f"{route_key(FIRST)}.parquet"
    assert kept.samefile(tmp_path / "one" / "expert" / "a_s1.parquet") and kept.samefile(tmp_path / "two" / "expert" / "a_s1.parquet")
    assert route_key(FIRST) != route_key(replace(FIRST, seed=2))
    one, two = (json.loads((tmp_path / name / "score.json").read_text(encoding="utf-8")) for name in ("one", "two"))
    assert one["per_route"] == two["per_route"] and len(one["per_route"]) == 2
    baseline = one["baselines"]["constant_velocity"]
    assert baseline["driving_score_difference"] == pytest.approx(one["driving_score"] - baseline["driving_score"])
    assert one["command"].startswith(f"mimic drive --policy hold_last --suite {suite} --seeds 1 --baselines constant_velocity")
    assert {name: (who["policy"], who["pictures"]) for name, who in one["baselines"].items()} == {
        name: (name, "as_is") for name in ("expert", "constant_velocity")
    }
    for who, kind in ((one, "time_limit"), (one["baselines"]["expert"], "")):
        first = who["per_route"]["a_s1"]
        assert (first["failure_kind"], first["scenario_fault"]) == (kind, None) and first["is_success"] == float(not kind)
    again = str(tmp_path / "one" / "routes" / "a_s1.parquet")
    capsys.readouterr()
    assert main(["drive", "--policy", "hold_last", "--route", again]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["is_identical"] and verdict["first_difference_s"] is None and len(set(verdict["canonical_hashes"])) == 1
    assert main(["drive", "--policy", "drive_policies:Slow", "--route", again]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert not verdict["is_identical"] and verdict["first_difference_s"] == 0.0 and len(set(verdict["canonical_hashes"])) == 2


def test_what_went_wrong_first_is_told(tmp_path: Path) -> None:
    events = tuple(
        Event(time_s=time_s, kind=kind, with_what="x", progress_m=1.0, ego_speed_mps=1.0, at_fault=at_fault)
        for time_s, kind, at_fault in ((3.0, "red_light", True), (1.0, "static_collision", False), (2.0, "vehicle_collision", True))
    )
    never = DriveResult.from_rows(replace(FIRST, scenario="fork"), [], [], length_m=1.0, ended="failed: no: model", events=events)
    for drive, kind in ((never, "vehicle_collision"), (replace(never, events=events[1:2]), "failed"), (replace(never, events=(), ended="completed"), "")):
        entry = drive_command._entry(drive, {"driving_score": np.nan})
        assert (entry["failure_kind"], entry["scenario_fault"], entry["driving_score"]) == (kind, None, None)


def test_a_policy_is_told_from_others_by_its_card(tmp_path: Path) -> None:
    cards = []
    for seed, steps in ((0, 5), (1, 5), (2, 6)):
        run = tmp_path / str(seed)
        (run / "perception").mkdir(parents=True)
        (run / "perception" / "card.json").write_text('{"weights_hash": "eyes"}', encoding="utf-8")
        recipe = {"name": "town", "seed": seed, "steps": steps}
        card = {"recipe": recipe, "model_hash": f"model {seed}", "data": {"stores": [{"data_hash": "a"}, {"data_hash": "b"}]}}
        (run / "card.json").write_text(json.dumps(card), encoding="utf-8")
        (run / "model.onnx").write_bytes(b"")
        cards.append(policy_card(str(run)))
    assert [card["training_seed"] for card in cards] == [0, 1, 2] and cards[0]["training_data"] == ["a", "b"] and cards[0]["perception_hash"] == "eyes"
    assert cards[0]["recipe_hash"] == cards[1]["recipe_hash"] != cards[2]["recipe_hash"]
    beside = policy_card(str(tmp_path / "0" / "model.onnx"))
    assert {key for key in cards[0] if beside[key] != cards[0][key]} == {"policy", "policy_hash"}
    assert set(policy_card("hold_last")) == {"policy", "policy_hash"} and policy_card("expert")["policy_hash"] == simulator_hash()


def test_a_comparison_names_the_first_tick_that_differs(tmp_path: Path, suite: Path) -> None:
    assert drive(tmp_path / "out", suite, policy="expert") == 0
    one = DriveResult.load(tmp_path / "out" / "routes" / "a_s1.parquet")
    assert compare(one, one)["is_identical"] is True
    columns = {name: column.copy() for name, column in one.columns.items()}
    columns["x_m"][7] += 1e-12
    columns["command_speed_mps"][9] = np.nan
    assert compare(one, replace(one, columns=columns))["first_difference_s"] == pytest.approx(0.35)
    shorter = replace(one, columns={name: column[:-1] for name, column in one.columns.items()}, plans=one.plans[:-1])
    assert compare(one, shorter)["first_difference_s"] == pytest.approx((len(one) - 1) * 0.05)
    none = replace(one, columns={name: column[:0] for name, column in one.columns.items()}, plans=one.plans[:0])  # the policy raised at once
    assert compare(one, none)["first_difference_s"] == 0.0
    assert compare(one, replace(one, ended="blocked"))["is_identical"] is False


def test_films_are_of_failures_unless_asked_otherwise(tmp_path: Path, suite: Path) -> None:
    suite.write_text("name: films\nroutes: [{route_id: good, laps: 0.01}, {route_id: bad, time_limit_s: 1}]\n", encoding="utf-8")
    for option, films in (("failed", ["bad_s1.mp4"]), ("all", ["bad_s1.mp4", "good_s1.mp4"])):
        out = tmp_path / option
        assert main(["drive", "--policy", "expert", "--suite", str(suite), "--out", str(out), "--videos", option]) == 0
        assert sorted(path.name for path in (out / "films").iterdir()) == films
        page = (out / "report.html").read_text(encoding="utf-8")
        assert [f"films/{name}" in page for name in ("bad_s1.mp4", "good_s1.mp4")] == [True, option == "all"]


def test_a_birds_eye_shows_car_road_and_signals() -> None:
    world = build_world(street())
    eye = BirdsEye(world, size_px=350)
    with Simulation(world) as simulation:
        moment = simulation.moment()
    picture = eye.picture(moment, np.full((21, 6), np.nan))
    car = picture[round(350 * AHEAD_M / (AHEAD_M + BEHIND_M)), 175]  # its rear axle
    assert tuple(car) == EGO
    assert not np.array_equal(picture, eye.picture(moment, simulation.expert_plan().values)), "the plan is drawn"
    assert not np.array_equal(picture, eye.picture(replace(moment, actors=()), np.full((21, 6), np.nan))), "the others are drawn"
    light = world.network.signals[0]
    x, y = next((line.left_m + line.right_m) / 2.0 for line in world.network.stop_lines if line.lane_id in light.lane_ids)
    before_it = replace(moment.ego, x_m=float(x) - 10.0, y_m=float(y), yaw_rad=0.0)
    for letter, colour in LIGHTS.items():
        states = {name: letter * len(state) for name, state in moment.signals.items()}
        shown = eye.picture(Moment(stamp_ns=0, ego=before_it, signals=states), np.full((21, 6), np.nan))
        assert (shown == np.array(colour)).all(axis=2).any(), letter


def test_grey_lights_hide_what_signals_show() -> None:
    world = build_world(street())
    network = world.network
    light = network.signals[0]
    x, y = light.position_m[:2] + 14.0 * np.array([np.cos(light.yaw_rad), np.sin(light.yaw_rad)])
    ego = replace(world.start(), x_m=float(x), y_m=float(y), yaw_rad=float(light.yaw_rad + np.pi))
    cameras = load_rig("mono").cameras
    red, green = (Moment(stamp_ns=0, ego=ego, signals={signal.signal_id: 30 * letter for signal in network.signals}) for letter in "rG")
    for is_dark in (False, True):
        with View(world, cameras, are_lamps_dark=is_dark) as view:
            assert np.array_equal(view.pictures(red)["front"], view.pictures(green)["front"]) == is_dark


def test_a_run_card_that_differs_is_named(tmp_path: Path) -> None:
    folder = DriveFolder(tmp_path / "out")
    folder.begin({"seeds": "1", "suite_hash": "a"}, resume=False)
    folder.begin({"seeds": "1", "suite_hash": "a"}, resume=True)
    with pytest.raises(UsageError, match="suite_hash was 'a' and is 'b'"):
        folder.begin({"seeds": "1", "suite_hash": "b"}, resume=True)


def test_a_policy_that_is_not_there_is_named_before_anything_runs() -> None:
    parser = argparse.ArgumentParser()
    drive_command.add_arguments(parser)
    with pytest.raises(MimicError, match="cannot be imported"):
        drive_command.run(parser.parse_args(["--policy", "no_such_module:Policy", "--suite", "course", "--out", "/nowhere/out"]))
