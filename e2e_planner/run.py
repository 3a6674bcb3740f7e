"""A whole training run: data, network, twin, export, card."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from e2e_planner.checkpoint import CARD_FILE, ONNX_FILE, RECIPE_FILE, STATE_FILE, WEIGHTS_FILE, file_hash, save_card, save_tensors
from e2e_planner.dataset import FrameSet
from e2e_planner.export import export_onnx
from e2e_planner.recipe import EGO_SCALES, Recipe
from e2e_planner.train import Trained, Trainer, describe_data, open_stores
from mimic_contracts.action_spec import CONTRACT_VERSION
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.rig import rig_cameras

TWIN_DIRECTORY = "twin"
EXAMPLE_FRAMES = 16  # on which ONNX and torch must agree

Report = Callable[[str, int, Mapping[str, float]], None]


def prepare_directory(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the run's directory, or take up an interrupted one; raises UsageError when that would destroy something."""
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other")
    if out.exists() and not resume:
        if not overwrite:
            raise UsageError(f"{out} exists: give --resume to go on with it, --overwrite to start anew, or another --out")
        if not ((out / RECIPE_FILE).exists() or not any(out.iterdir())):
            raise UsageError(f"{out} is not a run directory: it is not deleted; give another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)


def train_run(recipe: Recipe, data: Sequence[Path], out: Path, *, report: Report) -> dict[str, Any]:
    """Train the recipe's network (and its twin) on these stores into `out`; returns the card.

    out/ then holds recipe.yaml, weights.safetensors, model.onnx, card.json, and twin/ with the same. A run that has its
    card is finished and left as it is. report is told 'planner' or 'twin', the step and its figures.
    """
    stores = open_stores(data, recipe)
    train, val = FrameSet(stores, "train", recipe), FrameSet(stores, "val", recipe)
    (out / RECIPE_FILE).write_text(yaml.safe_dump(_plain(recipe.as_dict()), sort_keys=False), encoding="utf-8")
    described = describe_data(stores, train, val)
    # An image-only steering model without eyes knows nothing but the mean: a twin that needs no training.
    if recipe.twin and (recipe.ego_inputs or recipe.action_spec == "car"):
        (out / TWIN_DIRECTORY).mkdir(exist_ok=True)
        _train_one(recipe, out / TWIN_DIRECTORY, train, val, described, report=lambda step, figures: report("twin", step, figures), has_eyes=False)
    return _train_one(recipe, out, train, val, described, report=lambda step, figures: report("planner", step, figures), has_eyes=True)


def _train_one(
    recipe: Recipe,
    out: Path,
    train: FrameSet,
    val: FrameSet,
    described: Mapping[str, Any],
    *,
    report: Callable[[int, Mapping[str, float]], None],
    has_eyes: bool,
) -> dict[str, Any]:
    from e2e_planner.checkpoint import load_card

    if (out / CARD_FILE).exists():
        return load_card(out / CARD_FILE)
    trained = Trainer(recipe, out, train=train, val=val, has_eyes=has_eyes).run(report)
    save_tensors(out / WEIGHTS_FILE, trained.network.state_dict())
    chosen = np.linspace(0, len(val.usable) - 1, EXAMPLE_FRAMES).astype(np.int64)
    disagreement = export_onnx(trained.network, val.batch(chosen, None, has_eyes=has_eyes), out / ONNX_FILE)
    card = _card(recipe, out, train, trained, described, has_eyes=has_eyes, disagreement=disagreement)
    save_card(out, card)
    (out / STATE_FILE).unlink(missing_ok=True)
    return card


def _card(recipe: Recipe, out: Path, train: FrameSet, trained: Trained, described: Mapping[str, Any], *, has_eyes: bool, disagreement: float) -> dict[str, Any]:
    unit = "val_ade_4s_m" if recipe.action_spec == "car" else "val_steering_wheel_rmse_rad"
    return {
        "contract_version": CONTRACT_VERSION,
        "action_spec": recipe.action_spec,
        "rig": recipe.rig,
        "rig_cameras": [_plain(camera) for camera in rig_cameras(recipe.load_rig())],
        "has_eyes": has_eyes,
        "recipe": _plain(recipe.as_dict()),
        "ego_scales": {name: EGO_SCALES[name] for name in recipe.ego_inputs},
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "data": dict(described),
        "target_mean": train.targets.mean(axis=0).tolist(),
        "scores": {unit: trained.val_score, "val_step": trained.val_step, "onnx_disagreement": disagreement},
        "model_hash": file_hash(out / ONNX_FILE),
        "weights_hash": file_hash(out / WEIGHTS_FILE),
    }


def with_seed(recipe: Recipe, seed: int | None) -> Recipe:
    """The recipe with another seed, when one is given."""
    return recipe if seed is None else dataclasses.replace(recipe, seed=seed)


def check_recipe_matches(out: Path, recipe: Recipe) -> None:
    """Raise MimicError when a run that is to be resumed was started with another recipe."""
    path = out / RECIPE_FILE
    if path.exists() and Recipe.load(path).as_dict() != recipe.as_dict():
        raise MimicError(f"{path}: differs from the recipe given; resume with that recipe and seed, or start anew with --overwrite")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples become lists, as YAML and JSON know them."""
    plain: dict[str, Any] = {}
    for key, value in values.items():
        plain[key] = _plain(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
    return plain
