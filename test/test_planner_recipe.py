"""Recipes: the shipped ones are whole, and mistakes are named."""

from pathlib import Path

import pytest

from e2e_planner.recipe import Recipe
from mimic_contracts.config import config_dir
from mimic_contracts.errors import ContractError, MimicError


@pytest.mark.parametrize("path", sorted((config_dir() / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_recipes_load(path: Path) -> None:
    recipe = Recipe.load(path.stem)
    assert recipe.name == path.stem
    recipe.load_rig()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: a\naction_spec: car\nrig: mono\nsteps: 0\n", "steps"),
        ("name: a\naction_spec: boat\nrig: mono\nsteps: 1\n", "action_spec"),
        ("name: a\naction_spec: car\nrig: mono\nsteps: 1\nego_inputs: [steering_wheel_rad]\n", "ego_inputs"),
        ("name: a\naction_spec: car\nrig: mono\nsteps: 1\nnetwork: {width: big}\n", "width"),
        ("name: a\naction_spec: car\nrig: mono\nsteps: 1\nnetwork: {widths: [8], correlation_cells: 6}\n", "correlation_cells"),
        ("name: a\naction_spec: car\nrig: mono\nsteps: 1\nspeed: 1\n", "unknown key speed"),
        ("name: a\naction_spec: car\nrig: mono\nsteps: 1\naugmentation: {mirror: 1}\n", "mirror"),
        ("name: a\naction_spec: car\nrig: mono\n", "missing key steps"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ContractError, match=named):
        Recipe.load(path)


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(MimicError, match=r"course.*steering_hmb3"):
        Recipe.load("nonsense")


def test_a_rig_that_looks_sideways_cannot_be_mirrored() -> None:
    recipe = Recipe.from_dict({"name": "a", "action_spec": "car", "rig": "quad", "steps": 1, "augmentation": {"mirror": True}}, "here")
    with pytest.raises(ContractError, match="mirror"):
        recipe.load_rig()


def test_a_recipe_may_change_another_one(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("base: town\nname: other\nsteps: 7\nnetwork: {speed_modes: 1}\n")
    town, other = Recipe.load("town"), Recipe.load(path)
    assert (other.name, other.steps, other.network.speed_modes) == ("other", 7, 1)
    assert (other.network.tokens, other.perception, other.rig) == (town.network.tokens, town.perception, town.rig)
    path.write_text("base: town\nnetwork: {speedy: 1}\n")
    with pytest.raises(ContractError, match="speedy"):
        Recipe.load(path)
