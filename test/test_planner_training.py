"""Training runs: whole or not visible, the same seed the same weights, interrupted or not."""

import dataclasses
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from planner_helpers import CAR_SIGNALS, WHEEL_SIGNALS, car_recipe, make_store, quiet, wheel_recipe
from torch.utils.data import DataLoader

from e2e_planner.checkpoint import CARD_FILE, ONNX_FILE, RECIPE_FILE, STATE_FILE, WEIGHTS_FILE, load_tensors, save_tensors
from e2e_planner.dataset import FrameSet, open_stores
from e2e_planner.export import MIN_PACKED, round_weights
from e2e_planner.policies import load_policy
from e2e_planner.run import check_recipe_matches, new_network, prepare_directory, train_run
from e2e_planner.tasks import ImitationTask
from e2e_planner.team import Team, gathered
from e2e_planner.train import Schedule, Steps, Trainer
from mimic.cli import main
from mimic_contracts.errors import ContractError, MimicError, UsageError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def car_store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("car") / "store", signals=CAR_SIGNALS).path


@pytest.fixture(scope="module")
def wheel_store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("wheel") / "store", signals=WHEEL_SIGNALS).path


def imitation(recipe, store: Path, out: Path) -> Trainer:
    stores = open_stores([store], recipe)
    train, val = FrameSet(stores, "train", recipe), FrameSet(stores, "val", recipe)
    task = ImitationTask(recipe, new_network(recipe, train), train=train, val=val, looking="pictures")
    return Trainer(task, Schedule.of(recipe), out, recipe=recipe.as_dict())


def weights_of(recipe, store: Path, out: Path, report=lambda *_: None) -> bytes:
    """Train without the export, which takes longer than these networks."""
    out.mkdir(exist_ok=True)
    trained = imitation(recipe, store, out).run(report)
    round_weights(trained.network)
    save_tensors(out / WEIGHTS_FILE, trained.network.state_dict())
    return (out / WEIGHTS_FILE).read_bytes()


def interrupt_at(step: int):
    def report(at: int, _total: int, _figures: object) -> None:
        if at == step:
            raise KeyboardInterrupt

    return report


def test_a_run_holds_what_it_should(car_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    seen = []
    card = train_run(
        car_recipe(twin=True), [car_store], _new(out), report=lambda stage, step, total, figures: seen.append((stage, step, "val_score" in figures))
    )
    assert [entry for entry in seen if entry[0] == "planner"] == [("planner", step, step in (3, 6)) for step in range(1, 7)]
    assert ("twin", 6, True) in seen
    assert {p.name for p in out.iterdir()} == {RECIPE_FILE, WEIGHTS_FILE, ONNX_FILE, CARD_FILE, "twin"}
    assert {p.name for p in (out / "twin").iterdir()} == {WEIGHTS_FILE, ONNX_FILE, CARD_FILE}
    assert card["rig"] == "mono" and card["contract_version"] == "1" and card["recipe"]["seed"] == 0
    assert card["data"]["train_drives"] == ["drive0", "drive1"] and card["data"]["train_frames"] == 80
    assert card["scores"]["onnx_disagreement"] <= 1e-4
    large = [onnx.numpy_helper.to_array(w) for w in onnx.load(tmp_path / "run" / ONNX_FILE).graph.initializer if math.prod(w.dims) >= MIN_PACKED]
    assert large and all(values.dtype == np.float16 for values in large)  # the same numbers, in half the space
    assert json.loads((out / CARD_FILE).read_text()) == json.loads(json.dumps(card))
    assert load_policy(str(out)).rig_name == "mono" and load_policy(str(out / "twin")).rig_name is None


def _new(out: Path) -> Path:
    out.mkdir()
    return out


def test_the_same_seed_gives_the_same_weights_and_another_does_not(car_store: Path, tmp_path: Path) -> None:
    one, two = (weights_of(car_recipe(), car_store, tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert weights_of(car_recipe(seed=1), car_store, tmp_path / "three") != one


@pytest.mark.parametrize("at", [2, 3, 5])
def test_an_interrupted_and_resumed_run_gives_the_same_weights(car_store: Path, tmp_path: Path, at: int) -> None:
    whole = weights_of(car_recipe(), car_store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        weights_of(car_recipe(), car_store, tmp_path / "cut", report=interrupt_at(at))
    with pytest.raises(MimicError, match="card"):
        load_policy(str(tmp_path / "cut"))
    assert weights_of(car_recipe(), car_store, tmp_path / "cut") == whole


def test_a_team_learns_the_same_every_time_and_goes_on_where_it_was_interrupted(car_store: Path, tmp_path: Path) -> None:
    recipe = car_recipe(processes=2)
    whole = weights_of(recipe, car_store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        weights_of(recipe, car_store, tmp_path / "cut", report=interrupt_at(4))
    assert not multiprocessing.active_children()
    assert weights_of(recipe, car_store, tmp_path / "cut") == whole
    assert weights_of(car_recipe(), car_store, tmp_path / "alone") != whole, "each part of a batch is varied by a lot of its own"


def test_other_processes_make_the_same_batches(car_store: Path, tmp_path: Path) -> None:
    """As they do for a GPU."""
    task = imitation(car_recipe(), car_store, tmp_path).task
    made = list(DataLoader(Steps(task, Team()), batch_size=None, sampler=range(2, 5), num_workers=2, multiprocessing_context="fork"))
    for step, batch in zip(range(2, 5), made, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch.frames.pictures, task.batch(step, Team()).frames.pictures, strict=True))


def test_a_team_larger_than_its_batch_is_refused() -> None:
    with pytest.raises(ContractError, match="processes: are 5, but a batch has 4 samples"):
        car_recipe(processes=5, batch_size=4)


def test_a_team_takes_the_mean_of_what_its_processes_learn(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.zeros(3))

    def learn(team: Team) -> None:
        parameter.grad = torch.full((3,), float(2 + 4 * team.rank))
        team.average_gradients([parameter])

    with gathered(3, learn) as team:
        learn(team)
        assert parameter.grad is not None and parameter.grad.tolist() == [6.0, 6.0, 6.0]
    assert not multiprocessing.active_children()


def test_a_killed_run_resumes_to_the_same_weights(wheel_store: Path, tmp_path: Path) -> None:
    recipe = wheel_recipe(steps=40, checkpoint_every=4, val_every=10)
    whole = weights_of(recipe, wheel_store, tmp_path / "whole")
    out, recipe_file = tmp_path / "killed", tmp_path / "recipe.json.yaml"
    recipe_file.write_text(json.dumps(recipe.as_dict()))  # JSON is YAML
    command = [sys.executable, "-m", "mimic.cli", "train", str(recipe_file), "--data", str(wheel_store), "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 60.0
    while not (out / STATE_FILE).exists():
        assert process.poll() is None and time.monotonic() < deadline_s
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / CARD_FILE).exists()
    assert main([*command[3:], "--resume"]) == 0
    assert (out / WEIGHTS_FILE).read_bytes() == whole


def test_training_learns_to_see(wheel_store: Path, tmp_path: Path) -> None:
    recipe = wheel_recipe(steps=80, batch_size=12, val_every=40, learning_rate=5e-3, ema_decay=0.95)
    trained = imitation(recipe, wheel_store, _new(tmp_path / "run")).run(lambda *_: None)
    assert trained.val_score < 0.35  # the bar tells the angle; its spread is 0.85


def test_a_run_begins_with_what_another_has_learned(wheel_store: Path, car_store: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second, tmp_path / "other"):
        out.mkdir()
    before = train_run(wheel_recipe(steps=40), [wheel_store], first, report=quiet)
    after = train_run(wheel_recipe(steps=1, learning_rate=1e-7), [wheel_store], second, report=quiet, begin=first)
    assert after["begun_with"] == before["weights_hash"] and before["begun_with"] == ""
    parameters = [
        name for name, _ in new_network(wheel_recipe(), FrameSet(open_stores([wheel_store], wheel_recipe()), "train", wheel_recipe())).named_parameters()
    ]
    learned, kept = (load_tensors(out / WEIGHTS_FILE) for out in (first, second))
    assert all(torch.allclose(learned[name], kept[name], atol=1e-3) for name in parameters)
    with pytest.raises(MimicError, match="is of another network than the recipe's"):
        train_run(car_recipe(), [car_store], tmp_path / "other", report=quiet, begin=first)


def test_a_finished_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    out = tmp_path / "run"
    prepare_directory(out, resume=False, overwrite=False)
    (out / RECIPE_FILE).write_text("")
    with pytest.raises(UsageError, match="--resume"):
        prepare_directory(out, resume=False, overwrite=False)
    with pytest.raises(UsageError, match="contradict"):
        prepare_directory(out, resume=True, overwrite=True)
    prepare_directory(out, resume=False, overwrite=True)
    assert not any(out.iterdir())


def test_a_directory_that_is_no_run_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not a run"):
        prepare_directory(tmp_path, resume=False, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_another_recipe_or_other_data_cannot_be_resumed(car_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_run(car_recipe(), [car_store], _new(out), report=lambda _, at, total, figures: interrupt_at(3)(at, total, figures))
    with pytest.raises(MimicError, match="recipe"):
        check_recipe_matches(out, car_recipe(seed=5))
    check_recipe_matches(out, car_recipe())
    with pytest.raises(MimicError, match="learning_rate"):
        train_run(dataclasses.replace(car_recipe(), learning_rate=1e-3), [car_store], out, report=quiet)
    other = make_store(tmp_path / "other", signals=CAR_SIGNALS, drives=1)
    with pytest.raises(MimicError, match="other data"):
        train_run(car_recipe(), [other.path], out, report=quiet)


def test_a_damaged_state_is_an_error(car_store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        weights_of(car_recipe(), car_store, out, report=interrupt_at(3))
    (out / STATE_FILE).write_bytes((out / STATE_FILE).read_bytes()[:100])
    with pytest.raises(MimicError, match="cannot be read"):
        train_run(car_recipe(), [car_store], out, report=quiet)


def test_a_loss_that_is_not_finite_ends_training(car_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e2e_planner.tasks.planner_loss", lambda *_: (torch.tensor(float("nan"), requires_grad=True), {}))
    with pytest.raises(MimicError, match="learning_rate"):
        train_run(car_recipe(), [car_store], _new(tmp_path / "run"), report=quiet)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nonsense", "--data", "STORE", "--out", "run"], 1, "neither a YAML file nor one of"),
        (["course", "--data", "absent", "--out", "run"], 1, "not a clip store"),
        (["course", "--data", "WHEEL", "--out", "run"], 1, "'car' needs pose"),
        (["steering", "--data", "CAR", "--out", "run"], 1, "needs steering_wheel_rad"),
    ],
)
def test_the_command_names_what_is_wrong(arguments, code, message, car_store, wheel_store, tmp_path, monkeypatch, capsys) -> None:
    places = {"STORE": str(car_store), "CAR": str(car_store), "WHEEL": str(wheel_store)}
    monkeypatch.chdir(tmp_path)
    assert main(["train", *(places.get(a, a) for a in arguments)]) == code
    assert message in capsys.readouterr().err
