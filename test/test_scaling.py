"""`mimic scaling`: nested parts of the data, a frozen encoder, runs, rows and a curve."""

import dataclasses
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from planner_helpers import CAR_SIGNALS, TINY, car_recipe, make_store, quiet
from test_planner_perception import labelled_store, seeing_recipe

from e2e_planner.checkpoint import CARD_FILE, ONNX_FILE, RECIPE_FILE, WEIGHTS_FILE, load_tensors
from e2e_planner.dataset import FrameSet, open_stores
from e2e_planner.run import train_run
from e2e_planner.train import Trainer
from mimic.cli import main
from mimic.drive_folder import policy_hash, simulator_hash
from mimic.scaling_report import curves_svg
from mimic_sim.drive_score import METRIC_VERSION
from mimic_sim.suite import load_suite

SEEN = ("encoder.", "neck.", "picture_heads.")


@pytest.fixture(scope="module", autouse=True)
def without_export() -> object:
    """The export takes longer than these networks."""

    def export(network: object, example: object, path: Path) -> float:
        path.write_bytes(b"onnx")
        return 0.0

    with pytest.MonkeyPatch.context() as patch:
        for name in ("export_onnx", "export_perception"):
            patch.setattr(f"e2e_planner.run.{name}", export)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled store, a recipe and a run whose encoder sees."""
    folder = tmp_path_factory.mktemp("scaling")
    store = labelled_store(folder / "store", count=46, drives=8, val_drives=3)
    recipe = seeing_recipe(twin=False, steps=2)
    (folder / "recipe.yaml").write_text(json.dumps(recipe.as_dict()), encoding="utf-8")  # JSON is YAML
    (folder / "run").mkdir()
    train_run(recipe, [store], folder / "run", report=quiet)
    return folder


def arguments(folder: Path, out: Path, *more: str) -> list[str]:
    given = ["--data", str(folder / "store"), "--encoder", str(folder / "run"), "--out", str(out), "--seeds", "0,1", "--sizes", "4"]
    return ["scaling", str(folder / "recipe.yaml"), *given, *more]


@pytest.fixture(scope="module")
def scaled(folder: Path) -> Path:
    out = folder / "scaled"
    assert main(arguments(folder, out)) == 0
    return out


def result_of(out: Path) -> dict:
    return json.loads((out / "scaling.json").read_text(encoding="utf-8"))


def test_runs_are_nested_and_know_nothing_of_other_drives(folder: Path, scaled: Path) -> None:
    result = result_of(scaled)
    drives = [size["drives"] for size in result["sizes"]]
    assert [len(names) for names in drives] == [1, 2, 4, 8] and all(set(a) < set(b) for a, b in pairwise(drives))
    assert len(result["rows"]) == 4 * 2 * 3
    for size, names in enumerate(drives):
        for seed in (0, 1):
            run = scaled / f"size_{size:02d}" / f"seed_{seed}"
            assert {path.name for path in run.iterdir()} == {CARD_FILE, ONNX_FILE, RECIPE_FILE, WEIGHTS_FILE}
            card = json.loads((run / CARD_FILE).read_text())
            assert card["data"]["train_drives"] == names and card["data"]["train_frames"] == result["sizes"][size]["frames"] == 6 * len(names)
            rows = [row for row in result["rows"] if (row["size"], row["seed"]) == (size, seed)]
            mean_m = np.average([row["ade_4s_m"] for row in rows], weights=[row["frames"] for row in rows])
            assert card["recipe"]["seed"] == seed and card["scores"]["val_ade_4s_m"] == pytest.approx(mean_m, rel=1e-2)  # of weights not yet rounded
    points = result["curves"]["ade_4s_m"]["points"]
    assert [point["share"] for point in points] == [0.125, 0.25, 0.5, 1.0] and all(point["ci95"][0] <= point["value"] <= point["ci95"][1] for point in points)


def test_the_encoder_stays_as_it_was_and_the_rest_begins_anew(folder: Path, scaled: Path) -> None:
    before = load_tensors(folder / "run" / "perception" / WEIGHTS_FILE)
    after = [load_tensors(scaled / "size_03" / f"seed_{seed}" / WEIGHTS_FILE) for seed in (0, 1)]
    for name, tensor in before.items():
        if name.startswith((*SEEN, "view.")) and (name.startswith(SEEN) or tensor.ndim > 1):
            assert [tensor.equal(weights[name]) for weights in after] == [name.startswith(SEEN)] * 2, name


def test_finished_runs_are_left_and_a_missing_one_comes_out_the_same(
    folder: Path, scaled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, drawn, lost = (scaled / "scaling.json").read_bytes(), (scaled / "scaling.svg").read_bytes(), scaled / "size_01" / "seed_1" / CARD_FILE
    lost.unlink()
    trained = []
    run = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self, report: trained.append(self.directory) or run(self, report))
    assert main(arguments(folder, scaled, "--resume")) == 0
    assert trained == [lost.parent] and (scaled / "scaling.json").read_bytes() == before and (scaled / "scaling.svg").read_bytes() == drawn
    table = capsys.readouterr().out
    assert "ade_4s_m, 3 val drives" in table and "largest held out: observed" in table and "10 times the data: forecast" in table and "size 0 to 3" in table
    assert main(arguments(folder, scaled)) == 2 and "exists: give --resume" in capsys.readouterr().err
    assert main([*arguments(folder, scaled, "--resume"), "--sizes", "5"]) == 2 and "made with other sizes" in capsys.readouterr().err


def test_what_was_trained_also_drives(folder: Path, scaled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    driven = []

    def drive(args: object) -> int:
        size = int(Path(args.policy).parent.name[-2:])
        routes = {f"{name}_{i}": {"scenario": name, "is_success": float(size > i), "driving_score": 20.0 * size + i} for name in ("a", "b") for i in range(3)}
        routes["b_2"]["driving_score"] = None
        score = {"suite_hash": load_suite(args.suite).file_hash, "seeds": args.seeds, "simulator_hash": simulator_hash(), "metric_version": METRIC_VERSION}
        args.out.mkdir()
        (args.out / "score.json").write_text(json.dumps({**score, "policy_hash": policy_hash(args.policy), "per_route": routes}))
        driven.append(Path(args.policy))
        print("{}")  # as `mimic drive` prints its score
        return 0

    monkeypatch.setattr("mimic.commands.drive.run", drive)
    assert main(arguments(folder, scaled, "--resume", "--drive", "smoke", "--drive-seeds", "1,2")) == 0
    assert len(driven) == 8 and all((policy / CARD_FILE).is_file() for policy in driven)
    printed, result = capsys.readouterr().out, result_of(scaled)
    assert "{}" not in printed and "failure_rate, 6 routes" in printed and "driving_score_loss, 5 routes" in printed
    assert [point["value"] for point in result["curves"]["failure_rate"]["points"]] == pytest.approx([1.0, 2 / 3, 1 / 3, 0.0])
    assert [point["value"] for point in result["curves"]["driving_score_loss"]["points"]] == pytest.approx([99.2, 79.2, 59.2, 39.2])
    assert result["suite_hash"] == load_suite("smoke").file_hash and len(result["route_rows"]) == 4 * 2 * 6 and result["routes_not_scored"] == 1
    assert curves_svg(result) == (scaled / "scaling.svg").read_text(encoding="utf-8") and "driving score" in curves_svg(result)
    assert main(arguments(folder, scaled, "--resume", "--drive", "smoke")) == 1
    assert "seeds was '1,2' and is '1'" in capsys.readouterr().err and len(driven) == 8


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--sizes", "3"], 2, "--sizes: is 3, must be at least 4"),
        (["--sizes", "9"], 1, "has 8 drives to learn from, --sizes is 9"),
        (["--seeds", "1,1"], 2, "--seeds: is '1,1', must be different"),
        (["--drive-seeds", "1"], 2, "--drive-seeds: belongs to --drive"),
        (["--drive", "nowhere"], 1, "suites: 'nowhere' is neither a YAML file nor one of"),
        (["--encoder", "nothing"], 2, "--encoder: 'nothing' has no finished perception"),
    ],
)
def test_what_makes_no_sense_is_refused(more: list[str], code: int, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(folder, tmp_path / "out"), *more]) == code
    assert message in capsys.readouterr().err


def test_recipes_and_data_without_a_curve_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def of(recipe: str, store: Path) -> str:
        assert main(["scaling", recipe, *arguments(folder, tmp_path / "out")[2:], "--data", str(store), "--overwrite"]) in (1, 2)
        return capsys.readouterr().err

    assert "recipes: 'nothing' is neither a YAML file nor one of" in of("nothing", folder / "store")
    assert "recipe 'car': has action_spec 'car' and perception.steps 0" in of("car", folder / "store")
    assert "recipe 'steering': has action_spec 'steering_only'" in of("steering", folder / "store")
    one = labelled_store(tmp_path / "one", count=42, drives=4)
    assert "split 'val' has the one drive 'drive4': intervals need two" in of(str(folder / "recipe.yaml"), one)
    other = dataclasses.replace(seeing_recipe(), network=dataclasses.replace(TINY, widths=(8, 8, 16, 16, 24), tokens=8))
    (tmp_path / "other.yaml").write_text(json.dumps(other.as_dict()), encoding="utf-8")
    assert "is of another network than the recipe's" in of(str(tmp_path / "other.yaml"), folder / "store")


def test_a_part_of_the_drives_is_as_data_of_nothing_else(tmp_path: Path) -> None:
    recipe = car_recipe()
    few, many = (open_stores([make_store(tmp_path / str(drives), signals=CAR_SIGNALS, drives=drives).path], recipe) for drives in (2, 4))
    alone, part = FrameSet(few, "train", recipe), FrameSet(many, "train", recipe).of_drives(["drive1", "drive0"])
    np.testing.assert_array_equal(part.targets, alone.targets)
    np.testing.assert_array_equal(part.draw_weights(2.0), alone.draw_weights(2.0))
    assert part.masked == alone.masked and sorted(set(part.drives.tolist())) == ["drive0", "drive1"]
    for one, other in zip(*(vars(frames.batch(np.array([0, 41, 79]), None)).values() for frames in (part, alone)), strict=True):
        for mine, theirs in zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]:
            assert mine is theirs is None or mine.equal(theirs)
    whole = FrameSet(many, "train", recipe)
    whole.memory = [np.arange(len(whole.usable), dtype=np.float16)[:, None, None]]
    last = whole.of_drives(["drive3"])
    assert last.batch(np.array([0, 5]), None, looking="memory").seen.ravel().tolist() == [120.0, 125.0]
    assert last.data_hash != whole.data_hash
