"""What the README says works: its commands are understood, its links lead somewhere, its way is gone once, small."""

import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from mimic.cli import COMMANDS, main
from mimic_contracts.config import config_dir, resolve_config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_LINES = [
    line.split(" #")[0].strip() for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines() if line.startswith("mimic ")
]


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_of_the_readme_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = shlex.split(line)[1:]
    seen = []
    monkeypatch.setattr(import_module(f"mimic.commands.{arguments[0]}"), "run", lambda args: seen.append(args) or 0)
    assert main(arguments) == 0 and len(seen) == 1


def test_the_readme_shows_every_command_that_a_user_needs() -> None:
    shown = {shlex.split(line)[1] for line in COMMAND_LINES}
    assert shown >= {"bag", "extract", "train", "score", "replay", "drive", "results"} and shown <= set(COMMANDS)


def test_configurations_named_in_the_readme_exist() -> None:
    for kind, name in (("topics", "udacity_hmb3"), ("recipes", "car"), ("recipes", "steering"), ("recipes", "steering_hmb3"), ("suites", "course_day")):
        assert resolve_config(kind, name).is_file() and name in README


def test_links_of_the_readme_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert targets and not [target for target in targets if not (ROOT / target).exists()]


@pytest.mark.slow
def test_the_whole_way_from_a_recorded_drive_to_a_driven_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bags = []
    for seed, split in enumerate(("train", "val", "test")):
        record = ["--towns", "course", "--hours", "0.003", "--seed", str(seed), "--disturb", "--image-rate", "10", "--out", str(tmp_path / split)]
        assert main(["sim", "record", *record]) == 0
        bags.append((tmp_path / split / "drive_0000").rename(tmp_path / f"bag_{split}"))
    topics = yaml.safe_load((config_dir() / "topics" / "simulator.yaml").read_text(encoding="utf-8"))
    topics["splits"] = {split: [f"bag_{split}"] for split in ("train", "val", "test")}
    recipe = yaml.safe_load((config_dir() / "recipes" / "course.yaml").read_text(encoding="utf-8"))
    recipe |= {"steps": 4, "batch_size": 4, "val_every": 4, "precision": "32-true", "network": {"path_modes": 2, "speed_modes": 2}}
    for name, content in (("topics", topics), ("recipe", recipe)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    store, run, score = (str(tmp_path / name) for name in ("store", "run", "score"))
    assert main(["extract", *map(str, bags), "--topics", str(tmp_path / "topics.yaml"), "--out", store]) == 0
    assert main(["train", str(tmp_path / "recipe.yaml"), "--data", store, "--out", run]) == 0
    assert main(["score", "--policy", run, "--data", store, "--split", "test", "--out", score]) == 0
    figures = json.loads((tmp_path / "score" / "score.json").read_text(encoding="utf-8"))
    assert figures["ade_3s_m"] > 0.0 and {"constant_velocity", "hold_last", "twin"} <= set(figures["baselines"])
    assert main(["replay", str(bags[2]), "--topics", str(tmp_path / "topics.yaml"), "--policy", run, "--out", str(tmp_path / "replayed")]) == 0
    replayed = json.loads((tmp_path / "replayed.json").read_text(encoding="utf-8"))
    assert replayed["planned"] == replayed["ticks"] > 50
    suite = tmp_path / "short.yaml"
    suite.write_text("name: short\nroutes:\n  - {route_id: short, laps: 0.02, time_limit_s: 5}\n", encoding="utf-8")
    drives = {}
    for name, option in (("in_process", []), ("over_ros", ["--over-ros"])):
        assert main(["drive", "--policy", run, "--suite", str(suite), "--seeds", "1", "--no-video", "--out", str(tmp_path / name), *option]) == 0
        drives[name] = json.loads((tmp_path / name / "score.json").read_text(encoding="utf-8"))["per_route"]
    assert drives["in_process"] == drives["over_ros"], "in process and in lockstep the same numbers"
    capfd.readouterr()
