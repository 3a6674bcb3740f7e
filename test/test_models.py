"""The planner that comes along: small, whole, and made by what lies beside it."""

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from e2e_planner.export import exported_weights
from e2e_planner.network import make_network
from e2e_planner.plan_heads import STATIONS_M, make_head
from e2e_planner.policies import PERCEIVED, load_policy
from e2e_planner.recipe import Recipe
from mimic.cli import main
from mimic_contracts.action_spec import CAR
from mimic_contracts.config import models_dir

TINY = models_dir() / "tiny"
MAX_BYTES = 8_000_000


def test_it_is_small_and_whole() -> None:
    files = [path for path in TINY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    assert {str(path.relative_to(TINY)) for path in files} == {
        "card.json", "model.onnx", "first.yaml", "second.yaml", "third.yaml", "fourth.yaml", "recipe.yaml", "before.sha256", "drives.sha256",
        "perception/card.json", "perception/perception.onnx",
    }  # fmt: skip


def test_its_cards_are_of_its_recipe_and_files() -> None:
    card = json.loads((TINY / "card.json").read_text(encoding="utf-8"))
    assert card["recipe"] == json.loads(json.dumps(Recipe.load(TINY / "recipe.yaml").as_dict()))
    assert card["model_hash"] == hashlib.sha256((TINY / "model.onnx").read_bytes()).hexdigest()
    seeing = json.loads((TINY / "perception" / "card.json").read_text(encoding="utf-8"))
    assert seeing["recipe"] == json.loads(json.dumps(Recipe.load(TINY / "first.yaml").as_dict()))


def test_its_drives_are_named() -> None:
    before, last = ((TINY / name).read_text(encoding="utf-8").splitlines() for name in ("before.sha256", "drives.sha256"))
    assert all(len(line.split()) == 2 and line.endswith("/rows.parquet") and len(line.split()[0]) == 64 for line in before + last)
    learned = [line for line in last if not line.split()[1].startswith("val")]
    card = json.loads((TINY / "card.json").read_text(encoding="utf-8"))
    assert len(learned) == len(card["data"]["train_drives"]) and card["begun_with"]


@pytest.mark.parametrize(("file", "of_training_alone"), [("model.onnx", "lead."), ("perception/perception.onnx", "head.")])
def test_whoever_has_drives_can_go_on_from_it(file: str, of_training_alone: str) -> None:
    recipe = Recipe.load(TINY / "recipe.yaml")
    sizes = recipe.network
    anchors = {"path_anchors": torch.zeros(sizes.path_modes, len(STATIONS_M)), "speed_anchors": torch.zeros(sizes.speed_modes, len(CAR.times_s))}
    network = make_network(recipe, make_head(CAR, sizes, anchors)).state_dict()
    weights = exported_weights(TINY / file)
    assert [name for name in network if name not in weights and not name.startswith(of_training_alone)] == []
    assert all(weights[name].shape == tensor.shape for name, tensor in network.items() if name in weights)


def test_rules_see_with_it_unless_told_otherwise() -> None:
    assert load_policy(PERCEIVED) is not None


def test_it_keeps_its_lane_in_a_town_that_it_has_not_learned_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "lane.yaml"
    suite.write_text("name: lane\ntowns: [val_1]\ntick_s: 0.1\nlooks: [day]\nscenarios: {lane_following: 1}\n", encoding="utf-8")
    assert (
        main(["drive", "--policy", str(TINY), "--suite", str(suite), "--seeds", "1", "--baselines", "black", "--no-video", "--out", str(tmp_path / "out")]) == 0
    )
    score = json.loads((tmp_path / "out" / "score.json").read_text(encoding="utf-8"))
    assert score["success_rate"] == 1.0 and score["baselines"]["black"]["success_rate"] == 0.0
    capsys.readouterr()


@pytest.mark.ros
def test_it_drives_through_the_real_nodes_as_in_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Four cameras, by what the vehicle file says."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    suite = tmp_path / "short.yaml"
    suite.write_text("name: short\nroutes:\n  - {route_id: short, vehicle: simulator_quad, tick_s: 0.1, time_limit_s: 3}\n", encoding="utf-8")
    rows = {}
    for name, option in (("in_process", []), ("over_ros", ["--over-ros"])):
        out = tmp_path / name
        assert main(["drive", "--policy", str(TINY), "--suite", str(suite), "--seeds", "1", "--no-video", "--out", str(out), *option]) == 0
        rows[name] = pq.read_table(out / "routes" / "short_s1.parquet").to_pylist()
    assert len(rows["in_process"]) == 30 and str(rows["in_process"]) == str(rows["over_ros"])  # before the first plan, commands are nan
    capfd.readouterr()
