"""Recording with a learner at the wheel: what is learned from is what the expert would do from where the learner came."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from e2e_planner.policies import load_policy
from mimic.cli import main
from mimic.drive_folder import policy_hash
from mimic.drive_jobs import loaded_policy
from mimic_contracts.plan import Plan
from mimic_sim import engine
from mimic_sim.drive_result import DriveResult
from mimic_sim.events import Event
from mimic_sim.mixture import Mixture
from mimic_sim.record_jobs import Job, answer_of, make
from mimic_sim.route_spec import RouteSpec
from mimic_sim.world import OFF_WAY, OFF_WAY_M, Simulation, build_world

COURSE = RouteSpec(route_id="drive_0000", laps=0.03, tick_s=0.1, seed=5, driver="calm")
SUITE = "routes: [{route_id: a, laps: 0.01}, {route_id: b, laps: 0.01, start_m: 60}, {route_id: c, laps: 0.01, look: fog}]\n"


def sim(*arguments: object) -> int:
    return main(["sim", *map(str, arguments)])


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_learner_drives_and_the_expert_says_what_it_would_do() -> None:
    driven, corrections = list[Plan](), list[Plan]()

    def on_tick(simulation: Simulation, plan: Plan) -> None:
        driven.append(plan)
        corrections.append(simulation.expert_plan())

    world, look = build_world(COURSE), lambda moment: {}
    result = engine.drive(load_policy("drive_policies:Slow"), world, look=look, on_tick=on_tick, expert_share=0.0)
    assert {plan.model_id for plan in driven} == {"slow"} and len(result) == len(driven) > 30
    assert np.array_equal(result.plans, [plan.values for plan in corrections])
    alone = engine.drive(load_policy("drive_policies:Slow"), world, look=look)
    assert np.array_equal(result.columns["x_m"], alone.columns["x_m"][: len(result)]) and not np.array_equal(result.plans, alone.plans[: len(result)])


def test_with_the_whole_share_it_is_the_experts_drive() -> None:
    world = build_world(COURSE)
    ours = engine.drive(load_policy("drive_policies:Slow"), world, look=lambda _: {}, expert_share=1.0)
    experts = engine.drive(None, world, look=lambda _: {})
    assert ours.canonical_hash() == experts.canonical_hash() and ours.ended == "completed"


def test_where_the_learner_leaves_the_way_the_drive_ends_and_is_kept(tmp_path: Path) -> None:
    """It drives straight on where the course turns."""
    course = replace(COURSE, start_m=100.0, laps=1.0)
    load = partial(loaded_policy, "drive_policies:Slow")
    job = Job(route=course, driver_id="policy_x", image_rate_hz=1.0, with_ground_truth=False, load_policy=load, expert_share=0.0)
    answer = make(job, tmp_path)
    assert (answer["ended"], answer["left_out"]) == (OFF_WAY, "")
    drive = DriveResult.load(tmp_path / "drive_0000" / "rows.parquet")
    offsets_m = np.abs(drive.columns["rear_offset_m"])
    assert 0.9 * OFF_WAY_M < offsets_m[-1] <= OFF_WAY_M and offsets_m.max() == offsets_m[-1]
    assert sim("render", tmp_path / "drive_0000", "--look", "rain", "--jobs", 1, "--out", tmp_path / "again") == 0
    cards = [json.loads((folder / "drive_0000" / "drive.json").read_text()) for folder in (tmp_path, tmp_path / "again")]
    assert [(card["driver_id"], card["expert_share"]) for card in cards] == [("policy_x", 0.0)] * 2
    assert len(DriveResult.load(tmp_path / "again" / "drive_0000" / "rows.parquet")) == len(drive)


def test_a_drive_ends_at_the_first_collision_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def hit(at_fault: bool) -> DriveResult:
        def look(judge: object, moment: object, *, time_s: float, **_: float) -> tuple[Event, ...]:
            hits = Event(time_s=time_s, kind="vehicle_collision", with_what="v1", progress_m=2.0, ego_speed_mps=3.0, at_fault=at_fault)
            return (hits,) if round(time_s, 3) == 1.0 else ()

        monkeypatch.setattr("mimic_sim.world.Judge.look", look)
        return engine.drive(load_policy("drive_policies:Slow"), build_world(COURSE), look=lambda _: {}, expert_share=0.0)

    at_fault, not_at_fault = hit(True), hit(False)
    assert (at_fault.ended, len(at_fault)) == ("collision", 10) and len(not_at_fault) > 10
    job = Job(route=COURSE, driver_id="policy_x", image_rate_hz=1.0, with_ground_truth=False, expert_share=0.0)
    assert answer_of(job, at_fault)["left_out"] == "" and answer_of(replace(job, expert_share=None), at_fault)["left_out"].startswith("collision")


def test_a_learner_that_leaves_nothing_is_left_out() -> None:
    drive = engine.drive(load_policy("drive_policies:WrongSpec"), build_world(COURSE), look=lambda _: {}, expert_share=0.0)
    job = Job(route=COURSE, driver_id="policy_x", image_rate_hz=1.0, with_ground_truth=False, expert_share=0.0)
    assert len(drive) == 0 and answer_of(job, drive)["left_out"].startswith("failed: ")


def test_any_number_of_processes_gives_the_same_bags(tmp_path: Path) -> None:
    suite = tmp_path / "short.yaml"
    suite.write_text(SUITE, encoding="utf-8")
    learner = ["--policy", "drive_policies:Looks", "--expert-share", 0.5, "--image-rate", 1]
    for jobs in (1, 2):
        assert sim("record", "--suite", suite, *learner, "--jobs", jobs, "--out", tmp_path / str(jobs)) == 0
    one = bytes_below(tmp_path / "1")
    assert one == bytes_below(tmp_path / "2") and sum(name.endswith(".mcap") for name in one) == 3
    card, answers = json.loads(one["drive_0000/drive.json"]), json.loads(one["answers.json"])
    assert card["driver_id"] == f"policy_{policy_hash('drive_policies:Looks')[:8]}" and card["expert_share"] == 0.5
    assert [answer["ended"] for answer in answers.values()] == ["completed"] * 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--policy", "atlantis"], "--policy: policy: 'atlantis' is not a run directory"),
        (["--policy", "drive_policies:WrongRig"], "--policy: the policy needs rig 'quad', vehicle 'simulator' has rig 'mono'"),
        (["--policy", "drive_policies:Slow", "--expert-share", "2"], "--expert-share: is 2.0, must be 0 to 1"),
        (["--policy", "drive_policies:Slow", "--over-ros", "--image-rate", "10"], "--over-ros: records"),
        (["--expert-share", "0.5"], "--expert-share: belongs to --policy"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("record", "--towns", "course", "--hours", "0.001", "--out", tmp_path / "out", *arguments) == 2
    assert reason in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_expert_has_its_share_of_the_time_in_blocks() -> None:
    times_s = np.arange(0.0, 100.05, 0.1)
    for share in (0.0, 0.3, 1.0):
        mixtures = [Mixture(expert_share=share, seed=seed, duration_s=100.0) for seed in range(40)]
        held = np.array([[mixture.expert_drives(time_s) for time_s in times_s] for mixture in mixtures])
        assert held.mean() == pytest.approx(share, abs=0.06)
        assert (np.diff(held, axis=1).sum(axis=1) <= 100 / 3).all()
    one, same, other = (Mixture(expert_share=0.5, seed=seed, duration_s=100.0) for seed in (1, 1, 2))
    assert [one.expert_drives(t) for t in times_s] == [same.expert_drives(t) for t in times_s] != [other.expert_drives(t) for t in times_s]
