"""Suites: staged routes are found by seed, the same each time, and bad files say where."""

from dataclasses import replace
from pathlib import Path

import pytest

from mimic_contracts.config import config_dir
from mimic_contracts.errors import MimicError
from mimic_sim.scenarios import scenario_names
from mimic_sim.suite import load_suite
from mimic_sim.world import build_world

pytest.importorskip("sumolib", reason="sumolib is not installed: pip install 'mimic_drive[sim]'")
STAGED = ("smoke", "train", "val", "test")
WHOLE = "towns: [train_5]\nlooks: [day, night]\nscenarios: {red_light: 3, lead_vehicle: 1}\n"


@pytest.mark.parametrize("name", STAGED)
def test_every_class_is_in_every_suite(name: str) -> None:
    suite = load_suite(name)
    assert suite.staged is not None and set(suite.staged.scenarios) == set(scenario_names())
    assert name not in ("val", "test") or min(suite.staged.scenarios.values()) >= 10


def test_what_is_kept_for_testing_is_in_no_other_suite() -> None:
    towns = {name: set(load_suite(name).staged.towns) for name in STAGED}  # type: ignore[union-attr]
    assert not towns["test"] & (towns["train"] | towns["val"] | towns["smoke"]) and not towns["val"] & towns["train"]
    assert all(town.startswith(name) for name in ("train", "val", "test") for town in towns[name])
    suites = {path.stem: load_suite(path.stem).staged for path in (config_dir() / "suites").glob("*.yaml")}
    in_scenery = {scenery: [name for name, staged in suites.items() if staged is not None and staged.scenery == scenery] for scenery in ("east", "south")}
    assert in_scenery == {"east": ["val_east"], "south": ["test"]}


def test_val_east_is_val_small_in_the_east() -> None:
    north, east = load_suite("val_small").staged, load_suite("val_east").staged
    assert north is not None and east == replace(north, scenery="east")


def test_staged_routes_are_found_by_seed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(WHOLE, encoding="utf-8")
    suite = load_suite(tmp_path / "mine.yaml")
    routes = suite.with_seeds([1, 2])
    assert routes == load_suite(tmp_path / "mine.yaml").with_seeds([1, 2])
    assert [r.route_id for r in routes[:4]] == ["red_light_00_s1", "red_light_01_s1", "red_light_02_s1", "lead_vehicle_00_s1"]
    assert [r.look for r in routes[:3]] == ["day", "night", "day"] and len({r.seed for r in routes}) == len(routes) == 8
    assert all(build_world(route).length_m > 50.0 for route in routes[:2])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("red_light: 3", "flying: 3", r"mine.yaml: scenarios: is 'flying', must be one of"),
        ("red_light: 3", "red_light: 0", r"mine.yaml: scenarios.red_light: is 0"),
        ("train_5", "atlantis", r"mine.yaml: town: 'atlantis' is neither"),
        ("day, night", "midnight", r"mine.yaml: route.look: is 'midnight'"),
        ("looks", "colours", r"mine.yaml: unknown key colours"),
        ("scenarios: {red_light: 3, lead_vehicle: 1}", "scenarios: {}", r"mine.yaml: scenarios, towns, looks: must hold at least one"),
    ],
)
def test_a_suite_that_makes_no_sense_says_where(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(WHOLE.replace(old, new), encoding="utf-8")
    with pytest.raises(MimicError, match=message):
        load_suite(tmp_path / "mine.yaml")


def test_the_published_suites_are_files_of_this_project() -> None:
    assert {p.stem for p in (config_dir() / "suites").glob("*.yaml")} >= set(STAGED)
