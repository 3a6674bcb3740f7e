"""A whole training run: data, twin, perception, imitation, export, cards."""

import dataclasses
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from bag_tools.clip_store import ClipStore
from e2e_planner.checkpoint import (
    CARD_FILE,
    ONNX_FILE,
    PERCEPTION_DIRECTORY,
    PERCEPTION_ONNX_FILE,
    RECIPE_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    file_hash,
    load_card,
    load_tensors,
    save_card,
    save_tensors,
)
from e2e_planner.dataset import Batch, FrameSet, Looking, check_splits, describe_data, open_stores
from e2e_planner.export import export_onnx, export_perception, exported_weights, round_weights
from e2e_planner.modes import find_anchors
from e2e_planner.network import PlannerNetwork, make_network
from e2e_planner.plan_heads import make_head
from e2e_planner.recipe import EGO_SCALES, Dagger, Recipe
from e2e_planner.tasks import ImitationTask, PerceptionTask, measure, remember
from e2e_planner.train import Schedule, Trained, Trainer, prepare_torch
from mimic_contracts.action_spec import CONTRACT_VERSION
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.rig import rig_cameras
from perception.quality import GATE_M, gate_share

TWIN_DIRECTORY, MEMORY_DIRECTORY = "twin", "memory"
ROUND, STORE_DIRECTORY = "round_{}", "store"  # of DAgger, and in it what was driven there
HEAD = "head."  # of the names of weights that imitation learns alone,
ASIDE = "lead."  # of those that no plan depends on,
ADDED = "head.along."  # and of those that a network may do without, as it could before there were any
EXAMPLE_FRAMES = 16  # on which ONNX and torch must agree

Report = Callable[[str, int, int, Mapping[str, float]], None]  # stage, step, of how many, figures
Rollout = Callable[[Dagger, Path, int], Path]  # settings, the run that drives, the round → a labelled store of what came of it


class Splits(NamedTuple):
    """What is learned from, what is chosen by, and what the cards say of both."""

    train: FrameSet
    val: FrameSet
    described: Mapping[str, Any]


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


def train_run(
    recipe: Recipe,
    data: Sequence[Path],
    out: Path,
    *,
    report: Report,
    encoder: Path | None = None,
    begin: Path | None = None,
    rollout: Rollout | None = None,
) -> dict[str, Any]:
    """Train the recipe's network (and its twin) on these stores into `out`; returns the card.

    out/ then holds recipe.yaml, weights.safetensors, model.onnx, card.json, and twin/ with the same; perception/ with the
    weights and the card of the stage before, where the recipe has one; the first stage that is trained begins with what the run `begin`
    learned in its own; round_0/ and so on with what imitation came to before each round of DAgger, whose drives `rollout` makes into a
    store. With a run `encoder` the stage before is a copy of its, and what its rounds drove is learned from instead of rounds of one's own. A stage that has
    its card is finished and left as it is. report is told 'perception', 'memory', 'planner', 'round_0' … or 'twin', the
    step, of how many, and its figures. Raises MimicError when perception does not pass the recipe's gate.
    """
    if recipe.begun_stays and begin is None:
        raise MimicError(f"recipe '{recipe.name}': begun_stays is true, but there is nothing to begin with: give --begin-with RUN, or set false")
    stores = open_stores(data, recipe)
    val = FrameSet(stores, "val", recipe)
    if encoder is not None:
        stores = [*stores, *_driven(encoder, recipe.dagger)]
        check_splits(stores, recipe)
    train = FrameSet(stores, "train", recipe)
    save_recipe(recipe, out)
    splits = Splits(train, val, describe_data(stores, train, val))
    # An image-only steering model without eyes knows nothing but the mean: a twin that needs no training.
    if recipe.twin and (recipe.ego_inputs or recipe.action_spec == "car"):
        network = new_network(recipe, train, has_eyes=False)
        imitate(recipe, network, out / TWIN_DIRECTORY, splits, looking="nothing", report=report, stage="twin")
    network = new_network(recipe, train)
    looking: Looking = "pictures"
    memory, begun_with = None, ""
    if recipe.perception.steps:
        if encoder is not None and not (out / PERCEPTION_DIRECTORY / CARD_FILE).exists():
            _take_perception(encoder / PERCEPTION_DIRECTORY, out / PERCEPTION_DIRECTORY)
        learn_to_see(recipe, network, out / PERCEPTION_DIRECTORY, splits, begin=begin, report=partial(report, "perception"))
        looking, memory = "memory", memory_home(encoder or out, out)
    if begin is not None and (encoder is not None or not recipe.perception.steps):
        frozen = {name: tensor.clone() for name, tensor in network.state_dict().items() if encoder is not None and _is_seeing(network, name)}
        begun = _load_weights(network, begin, ONNX_FILE)
        network.load_state_dict(network.state_dict() | frozen)
        begun_with = load_card(begin / CARD_FILE)["weights_hash"]
        if recipe.begun_stays:
            _leave_as_it_is(network, begun, begin)
    for number in range(recipe.dagger.rounds if encoder is None else 0):
        if rollout is None:
            raise MimicError(f"recipe '{recipe.name}': has dagger.rounds, for which somebody must drive: train it with `mimic train`")
        before = out / ROUND.format(number)
        imitate(recipe, network, before, splits, looking=looking, report=report, stage=before.name, memory=memory)
        stores = [*stores, ClipStore.open(rollout(recipe.dagger, before, number))]
        check_splits(stores, recipe)
        train = FrameSet(stores, "train", recipe)
        splits = Splits(train, splits.val, describe_data(stores, train, splits.val))
        recipe = dataclasses.replace(recipe, steps=recipe.dagger.steps)
    return imitate(recipe, network, out, splits, looking=looking, report=report, stage="planner", memory=memory, begun_with=begun_with)


def new_network(recipe: Recipe, train: FrameSet, *, has_eyes: bool = True) -> PlannerNetwork:
    """A network that has learned nothing but typical paths and speeds; born on the CPU, so that a GPU starts from the same."""
    prepare_torch(threads=recipe.threads, seed=recipe.seed)
    anchors = find_anchors(train.spec, train.targets, recipe.network, seed=recipe.seed)
    return make_network(recipe, make_head(train.spec, recipe.network, anchors, has_eyes=has_eyes), has_eyes=has_eyes)


def learn_to_see(recipe: Recipe, network: PlannerNetwork, out: Path, splits: Splits, *, report: Callable[..., None], begin: Path | None = None) -> None:
    """Train, or load, what comes before the head, and leave it as it is from here on; raises MimicError below the gate."""
    out.mkdir(exist_ok=True)
    if not (out / CARD_FILE).exists():
        begun_with = "" if begin is None else load_card(begin / PERCEPTION_DIRECTORY / CARD_FILE)["weights_hash"]
        if begin is not None:
            _load_seeing(network, begin / PERCEPTION_DIRECTORY)
        settings = recipe.perception
        schedule = dataclasses.replace(Schedule.of(recipe), steps=settings.steps, learning_rate=settings.learning_rate)
        task = PerceptionTask(recipe, network, train=splits.train, val=splits.val)
        trained = Trainer(task, schedule, out, recipe=recipe.as_dict()).run(report)
        round_weights(network)
        figures = measure(network, splits.val)
        disagreement = export_perception(network, _examples(splits.val, "pictures"), out / PERCEPTION_ONNX_FILE)
        save_tensors(out / WEIGHTS_FILE, {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(HEAD)})
        scores = {"val_loss": trained.val_score, "val_step": trained.val_step, **figures, "gate_share": gate_share(figures), "onnx_disagreement": disagreement}
        card = {
            "recipe": _plain(recipe.as_dict()),
            "precision": trained.precision,
            "rig": recipe.rig,
            "data": dict(splits.described),
            "scores": scores,
            "model_hash": file_hash(out / PERCEPTION_ONNX_FILE),
            "weights_hash": file_hash(out / WEIGHTS_FILE),
            "begun_with": begun_with,
        }
        save_card(out, card)
        (out / STATE_FILE).unlink(missing_ok=True)
    share = load_card(out / CARD_FILE)["scores"]["gate_share"]
    if share < recipe.perception.gate:
        raise MimicError(
            f"{out}: of lights and stop lines within {GATE_M:g} m only {share:.3f} are right on val, the gate is {recipe.perception.gate}: "
            "more data or perception.steps, or a lower perception.gate in the recipe"
        )
    _load_seeing(network, out)
    for part in network.seeing_parts():
        part.requires_grad_(False)


def _driven(run: Path, settings: Dagger) -> list[ClipStore]:
    """What the rounds of a run drove; raises MimicError when one is not there."""
    return [ClipStore.open(run / ROUND.format(number) / STORE_DIRECTORY) for number in range(settings.rounds)]


def _take_perception(source: Path, target: Path) -> None:
    """Copy a finished stage, its card last; raises MimicError when it is none."""
    load_card(source / CARD_FILE)
    target.mkdir(exist_ok=True)
    weights = [WEIGHTS_FILE] if (source / WEIGHTS_FILE).exists() else []  # a release has them in what was exported
    for name in (*weights, PERCEPTION_ONNX_FILE, CARD_FILE):
        shutil.copyfile(source / name, target / name)


def memory_home(encoder: Path, out: Path) -> Path:
    """Where to keep what an encoder finds: with its run, for all that learn from it; a release, which has no weights but in what was
    exported, is left as it is."""
    stage = encoder / PERCEPTION_DIRECTORY
    return (stage if (stage / WEIGHTS_FILE).exists() else out / PERCEPTION_DIRECTORY) / MEMORY_DIRECTORY


def _load_seeing(network: PlannerNetwork, stage: Path) -> None:
    """Take all weights but the head's from a finished stage; raises MimicError when they are another network's."""
    _load_weights(network, stage, PERCEPTION_ONNX_FILE, but=HEAD)


def _load_weights(network: PlannerNetwork, directory: Path, onnx_file: str, *, but: str | None = None) -> set[str]:
    """Take all weights, but those whose names begin with `but`, from where they were saved, or of a release from what was exported,
    which knows nothing of what is only asked in training; returns their names. What is ADDED stays as it was born where nobody has learned it
    there. Raises MimicError when they are another network's."""
    own = network.state_dict()
    wanted = {name: tensor for name, tensor in own.items() if but is None or not name.startswith(but)}
    path = directory / WEIGHTS_FILE
    if path.exists():
        weights = load_tensors(path)
    else:
        path = directory / onnx_file
        weights = {name: tensor for name, tensor in wanted.items() if name.startswith(ASIDE)}
        weights |= {name: tensor for name, tensor in exported_weights(path).items() if name in wanted}
    if not any(name.startswith(ADDED) for name in weights):
        wanted = {name: tensor for name, tensor in wanted.items() if not name.startswith(ADDED)}
    if {name: tensor.shape for name, tensor in weights.items()} != {name: tensor.shape for name, tensor in wanted.items()}:
        raise MimicError(f"{path}: is of another network than the recipe's: give the run of a recipe with the same rig, inputs and network")
    network.load_state_dict(own | weights)
    return set(weights)


def _leave_as_it_is(network: PlannerNetwork, begun: Collection[str], source: Path) -> None:
    """Learn nothing but what is not in `begun`, weights that came from the run `source`; raises MimicError when nothing is left to be learned."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name not in begun)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise MimicError(f"begun_stays: is true, but {source} has learned all that the recipe's network knows: nothing is left to be learned; set false")


def _is_seeing(network: PlannerNetwork, name: str) -> bool:
    """Whether a weight belongs to the `seeing_parts`."""
    return getattr(network, name.partition(".")[0]) in network.seeing_parts()


def take_frozen_encoder(network: PlannerNetwork, encoder: Path) -> None:
    """Take from the run `encoder` what is kept of pictures (`seeing_parts`), never to change; what decides by that stays as it
    was born, though the run has learned that, too. Raises MimicError when there is none, or another network's."""
    born = {name: tensor.clone() for name, tensor in network.state_dict().items() if not _is_seeing(network, name)}
    _load_seeing(network, encoder / PERCEPTION_DIRECTORY)
    network.load_state_dict(network.state_dict() | born)
    for part in network.seeing_parts():
        part.requires_grad_(False)


def imitate(
    recipe: Recipe,
    network: PlannerNetwork,
    out: Path,
    splits: Splits,
    *,
    looking: Looking,
    report: Report,
    stage: str,
    memory: Path | None = None,
    begun_with: str = "",
) -> dict[str, Any]:
    """Learn to drive as the driver did, or load what was learned when it is finished; returns the card. memory: where to keep
    what the encoder finds, for looking at that; without it the splits have it already. begun_with: hash of the weights that the
    network has from another run."""
    out.mkdir(exist_ok=True)
    if (out / CARD_FILE).exists():
        network.load_state_dict(load_tensors(out / WEIGHTS_FILE))
        return load_card(out / CARD_FILE)
    if memory is not None:
        for name, frames in (("train", splits.train), ("val", splits.val)):
            remember(network, frames, memory / name, report=partial(report, f"memory of {name}"))
    task = ImitationTask(recipe, network, train=splits.train, val=splits.val, looking=looking)
    trained = Trainer(task, Schedule.of(recipe), out, recipe=recipe.as_dict()).run(partial(report, stage))
    round_weights(network)
    trained = dataclasses.replace(trained, val_score=task.validate())  # of what is kept
    save_tensors(out / WEIGHTS_FILE, network.state_dict())
    has_eyes = looking != "nothing"
    disagreement = export_onnx(network, _examples(splits.val, "pictures" if has_eyes else "nothing"), out / ONNX_FILE)
    card = _card(recipe, out, splits, trained, has_eyes=has_eyes, disagreement=disagreement) | {"begun_with": begun_with}
    save_card(out, card)
    (out / STATE_FILE).unlink(missing_ok=True)
    return card


def _examples(frames: FrameSet, looking: Looking) -> Batch:
    """Some frames from all over the split."""
    return frames.batch(np.linspace(0, len(frames.usable) - 1, EXAMPLE_FRAMES).astype(np.int64), None, looking=looking)


def _card(recipe: Recipe, out: Path, splits: Splits, trained: Trained, *, has_eyes: bool, disagreement: float) -> dict[str, Any]:
    unit = "val_ade_4s_m" if recipe.action_spec == "car" else "val_steering_wheel_rmse_rad"
    return {
        "contract_version": CONTRACT_VERSION,
        "action_spec": recipe.action_spec,
        "rig": recipe.rig,
        "rig_cameras": [_plain(camera) for camera in rig_cameras(recipe.load_rig())],
        "has_eyes": has_eyes,
        "recipe": _plain(recipe.as_dict()),
        "precision": trained.precision,
        "ego_scales": {name: EGO_SCALES[name] for name in recipe.ego_inputs},
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "data": dict(splits.described),
        "target_mean": splits.train.targets.mean(axis=0).tolist(),
        "scores": {unit: trained.val_score, "val_step": trained.val_step, "onnx_disagreement": disagreement},
        "model_hash": file_hash(out / ONNX_FILE),
        "weights_hash": file_hash(out / WEIGHTS_FILE),
    }


def save_recipe(recipe: Recipe, out: Path) -> None:
    """Write recipe.yaml, by which a directory is known as a run."""
    (out / RECIPE_FILE).write_text(yaml.safe_dump(_plain(recipe.as_dict()), sort_keys=False), encoding="utf-8")


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
