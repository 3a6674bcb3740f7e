"""Imitation on more and more of the data, the encoder frozen: what `mimic scaling` trains, and its errors on val.

A size has the first drives of one order, so that each contains the smaller ones; anchors, draw weights and all that is
learned come from its drives alone. The encoder, though, is as its run left it: the curve is that of imitation.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from e2e_planner.checkpoint import CARD_FILE, PERCEPTION_DIRECTORY, load_card
from e2e_planner.dataset import FrameSet, describe_data, open_stores
from e2e_planner.recipe import Dagger, Recipe
from e2e_planner.run import Report, Splits, imitate, memory_home, new_network, save_recipe, take_frozen_encoder, with_seed
from e2e_planner.scaling_law import MIN_SIZES, nested_counts, nested_order
from e2e_planner.tasks import frame_errors, remember
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import MimicError, UsageError


class Size(NamedTuple):
    """A part of the training data: its drives, and how many frames of them can be learned from."""

    drives: list[str]
    frames: int


class Material(NamedTuple):
    """Everything that the trainings share; splits: of all the data, with what the encoder finds in it in `memory`."""

    recipe: Recipe
    encoder: Path
    splits: Splits
    sizes: list[Size]


def check_scalable(recipe: Recipe, encoder: Path, *, sizes: int) -> None:
    """Raise UsageError, before any data is read, where there can be no curve."""
    if recipe.spec() is not CAR or not recipe.perception.steps:
        has = f"has action_spec '{recipe.action_spec}' and perception.steps {recipe.perception.steps}"
        raise UsageError(f"recipe '{recipe.name}': {has}; take one for 'car' with perception, as `town`")
    card = encoder / PERCEPTION_DIRECTORY / CARD_FILE
    if not card.is_file():
        raise UsageError(f"--encoder: '{encoder}' has no finished perception ({card} is missing); give a run of `mimic train town`")
    if sizes < MIN_SIZES:
        raise UsageError(f"--sizes: is {sizes}, must be at least {MIN_SIZES}: three parameters are fitted to all but the largest")


def prepare(recipe: Recipe, data: Sequence[Path], encoder: Path, out: Path, *, sizes: int, report: Report) -> Material:
    """Read the data, keep what the encoder finds in it (`memory_home`), and choose the sizes' drives.

    Rounds of DAgger and the twin are left out. Raises MimicError when there are too few drives.
    """
    recipe = dataclasses.replace(recipe, twin=False, dagger=Dagger())
    stores = open_stores(data, recipe)
    train, val = FrameSet(stores, "train", recipe), FrameSet(stores, "val", recipe)
    known = set(train.drives.tolist())
    order = nested_order({clip.drive_id: clip.region for store in stores for clip in store.clips("train") if clip.drive_id in known})
    if len(order) < sizes:
        raise MimicError(f"--data: has {len(order)} drives to learn from, --sizes is {sizes}: each size needs one more; record more, or lower --sizes")
    if len(set(val.drives.tolist())) < 2:
        raise MimicError(f"--data: split 'val' has the one drive '{val.drives[0]}': intervals need two; put more drives in val in the topic map")
    network = new_network(recipe, train)
    take_frozen_encoder(network, encoder)
    home = memory_home(encoder, out)
    for name, frames in (("train", train), ("val", val)):
        remember(network, frames, home / name, report=partial(report, f"memory of {name}"))
    parts = [order[:count] for count in nested_counts(len(order), sizes)]
    chosen = [Size(sorted(part), len(train.of_drives(part).usable)) for part in parts]
    return Material(recipe, encoder, Splits(train, val, describe_data(stores, train, val)), chosen)


def fingerprint(material: Material) -> dict[str, Any]:
    """What the figures depend on, but for the training seeds."""
    weights_hash = load_card(material.encoder / PERCEPTION_DIRECTORY / CARD_FILE)["weights_hash"]
    sizes = [size._asdict() for size in material.sizes]
    return {"recipe": material.recipe.as_dict(), "encoder_weights_hash": weights_hash, "stores": material.splits.described["stores"], "sizes": sizes}


def run_directory(out: Path, size: int, seed: int) -> Path:
    """Where the run of a size and a training seed is."""
    return out / f"size_{size:02d}" / f"seed_{seed}"


def train_sizes(material: Material, out: Path, seeds: Sequence[int], *, report: Report) -> list[dict[str, Any]]:
    """Train each size with each seed into its run_directory, where it is not there yet; returns a row for each and each drive
    of val: size, seed, drive_id, frames, ade_4s_m (the mean over its frames)."""
    return [row for size in range(len(material.sizes)) for seed in seeds for row in _train(material, out, size, seed, report)]


def _train(material: Material, out: Path, size: int, seed: int, report: Report) -> list[dict[str, Any]]:
    recipe, directory = with_seed(material.recipe, seed), run_directory(out, size, seed)
    directory.mkdir(parents=True, exist_ok=True)
    save_recipe(recipe, directory)
    drives, val = material.sizes[size].drives, material.splits.val
    train = material.splits.train.of_drives(drives)
    described = {**material.splits.described, "train_drives": drives, "train_frames": len(train.usable), "train_frames_masked": train.masked}
    network = new_network(recipe, train)
    take_frozen_encoder(network, material.encoder)
    imitate(recipe, network, directory, Splits(train, val, described), looking="memory", report=report, stage=f"size_{size:02d}/seed_{seed}")
    errors_m = frame_errors(network, val, looking="memory")
    return [{"size": size, "seed": seed, "drive_id": drive, **_of_drive(errors_m[val.drives == drive])} for drive in sorted(set(val.drives.tolist()))]


def _of_drive(errors_m: NDArray[np.float64]) -> dict[str, Any]:
    return {"frames": len(errors_m), "ade_4s_m": float(errors_m.mean())}
