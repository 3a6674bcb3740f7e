"""Imitation: the network learns what good drivers did.

Every step's batch depends on the seed and the step's number alone, so a run that is interrupted and resumed gives the
same weights as one that was not.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning_fabric
import numpy as np
import torch
from torch import Tensor

from bag_tools.clip_store import ClipStore
from e2e_planner.checkpoint import STATE_FILE, load_tensors, optimizer_tensors, pack, restore_optimizer, save_tensors, unpack
from e2e_planner.dataset import Batch, FrameSet, check_splits
from e2e_planner.loss import planner_loss
from e2e_planner.modes import find_anchors
from e2e_planner.network import PlannerNetwork, make_head, make_network
from e2e_planner.recipe import Recipe
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import MimicError

WARMUP_SHARE = 0.05
MAX_GRADIENT_NORM = 1.0
VAL_BATCH = 64

Report = Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training: the averaged weights of the best moment on val, and how good that was."""

    network: PlannerNetwork
    val_score: float
    val_step: int


class Trainer:
    """Trains one network (or its twin without eyes) in a directory, from where it was left."""

    def __init__(self, recipe: Recipe, directory: Path, *, train: FrameSet, val: FrameSet, has_eyes: bool = True) -> None:
        self.recipe, self.directory, self.has_eyes = recipe, directory, has_eyes
        self._train, self._val = train, val
        torch.set_num_threads(recipe.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs 7 % of the time here
        torch.manual_seed(recipe.seed)
        anchors = find_anchors(train.spec, train.targets, recipe.network, seed=recipe.seed)
        # Weights are born on the CPU, so that a GPU starts from the same ones. Not channels_last, though it is a sixth
        # faster: torch 2.13's oneDNN writes beyond its buffers there with few channels (8 crash, AVX-512).
        network = make_network(recipe, make_head(train.spec, recipe.network.width, anchors), has_eyes=has_eyes)
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self._fabric = lightning_fabric.Fabric(accelerator="auto", devices=1, precision=recipe.precision)  # type: ignore[arg-type]
        self._module, self._fitted_optimizer = self._fabric.setup(network, self._optimizer)
        self.network = network
        self._average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self._best = {name: tensor.clone() for name, tensor in self._average.items()}
        self._best_score, self._best_step, self.step = math.inf, 0, 0
        self._draw_weights = train.draw_weights(recipe.focus)
        if (directory / STATE_FILE).exists():
            self._load()

    def run(self, report: Report) -> Trained:
        """Train to the last step; report is told the step and its figures. Raises MimicError when the loss is not finite."""
        recipe = self.recipe
        with ThreadPoolExecutor(1) as pool:
            upcoming = pool.submit(self._batch, self.step)
            while self.step < recipe.steps:
                batch, step = upcoming.result(), self.step
                upcoming = pool.submit(self._batch, min(step + 1, recipe.steps - 1))
                figures = self._learn(batch)
                self.step += 1
                if self.step % recipe.val_every == 0 or self.step == recipe.steps:
                    figures |= self._validate()
                report(self.step, figures)
                if self.step % recipe.checkpoint_every == 0 or self.step == recipe.steps:
                    self._save()
        self.network.load_state_dict(self._best)
        self.network.eval()
        return Trained(self.network, self._best_score, self._best_step)

    def _batch(self, step: int) -> Batch:
        rng = np.random.default_rng((self.recipe.seed, step))
        indices = rng.choice(len(self._draw_weights), self.recipe.batch_size, p=self._draw_weights)
        return self._train.batch(indices, rng, has_eyes=self.has_eyes)

    def _learn(self, batch: Batch) -> dict[str, float]:
        recipe = self.recipe
        torch.manual_seed((recipe.seed << 24) + self.step)  # dropout, too, depends on the step alone
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(self.step, recipe.steps)
        self.network.train()
        loss, terms = self._loss(batch)
        if not bool(torch.isfinite(loss)):
            raise MimicError(f"training: the loss is {loss.item()} at step {self.step}; lower learning_rate in the recipe")
        self._fitted_optimizer.zero_grad()
        self._fabric.backward(loss)
        self._fabric.clip_gradients(self._module, self._fitted_optimizer, max_norm=MAX_GRADIENT_NORM, error_if_nonfinite=False)
        self._fitted_optimizer.step()
        decay = min(recipe.ema_decay, (1.0 + self.step) / (10.0 + self.step))
        for name, tensor in self.network.state_dict().items():
            average = self._average[name]
            if average.is_floating_point():
                average.lerp_(tensor, 1.0 - decay)
            else:
                average.copy_(tensor)
        return {"loss": loss.item(), **{f"loss_{name}": term.item() for name, term in terms.items()}}

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        move = self._fabric.to_device
        pictures = tuple(move(p).contiguous() for p in batch.pictures)
        outputs = self._module(pictures, move(batch.ego), move(batch.command))
        return planner_loss(self.network.head, {k: v.float() for k, v in outputs.items()}, move(batch.targets), self.recipe.loss)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """The score on val of the averaged weights; they are kept when it is the best so far."""
        learning = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.network.load_state_dict(self._average)
        score = val_score(self.network, self._val, has_eyes=self.has_eyes)
        self.network.load_state_dict(learning)
        if score < self._best_score:
            self._best = {name: tensor.clone() for name, tensor in self._average.items()}
            self._best_score, self._best_step = score, self.step
        return {"val_score": score}

    def _save(self) -> None:
        tensors = pack(
            {
                "network": self.network.state_dict(),
                "average": self._average,
                "best": self._best,
                "optimizer": optimizer_tensors(self._optimizer),
            }
        )
        state = {"step": self.step, "best_score": self._best_score, "best_step": self._best_step, "recipe": self.recipe.as_dict()}
        state["data_hash"] = self._train.data_hash
        save_tensors(self.directory / STATE_FILE, tensors, {"state": json.dumps(state)})

    def _load(self) -> None:
        from safetensors import safe_open

        path = self.directory / STATE_FILE
        tensors = load_tensors(path)
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
        if state["recipe"] != json.loads(json.dumps(self.recipe.as_dict())):
            changed = [key for key, value in json.loads(json.dumps(self.recipe.as_dict())).items() if state["recipe"].get(key) != value]
            raise MimicError(f"{path}: was trained with another recipe ({', '.join(changed)} differ); go on with that one, or start anew with --overwrite")
        if state["data_hash"] != self._train.data_hash:
            raise MimicError(f"{path}: was trained on other data ({state['data_hash'][:12]}…); give the same stores, or start anew with --overwrite")
        self.network.load_state_dict(unpack(tensors, "network"))
        self._average, self._best = unpack(tensors, "average"), unpack(tensors, "best")
        restore_optimizer(self._optimizer, unpack(tensors, "optimizer"))
        self.step, self._best_score, self._best_step = state["step"], state["best_score"], state["best_step"]


@torch.no_grad()
def val_score(network: PlannerNetwork, frames: FrameSet, *, has_eyes: bool) -> float:
    """What is minimised on val: `car`: mean distance of the most probable plan over its horizon (ADE, m);
    `steering_only`: RMSE of the steering wheel angle, rad."""
    network.eval()
    device = next(network.parameters()).device
    total, count = 0.0, 0
    for start in range(0, len(frames.usable), VAL_BATCH):
        batch = frames.batch(np.arange(start, min(start + VAL_BATCH, len(frames.usable))), None, has_eyes=has_eyes)
        outputs = network(tuple(p.to(device) for p in batch.pictures), batch.ego.to(device), batch.command.to(device))
        plans, logits = network.head.plans(outputs)
        chosen = plans[torch.arange(len(plans)), logits.argmax(-1)].cpu()
        error = chosen - batch.targets
        if frames.spec is CAR:
            total += float(error[:, 1:, :2].norm(dim=-1).mean(-1).sum())
        else:
            total += float(error.square().sum())
        count += len(plans)
    return total / count if frames.spec is CAR else math.sqrt(total / count)


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate: a short linear warm-up, then half a cosine down to 1 %."""
    warmup = max(1.0, WARMUP_SHARE * steps)
    if step < warmup:
        return (step + 1) / warmup
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))


def open_stores(paths: Sequence[Path], recipe: Recipe) -> list[ClipStore]:
    """Open all stores and refuse overlapping splits; raises MimicError."""
    stores = [ClipStore.open(path) for path in paths]
    check_splits(stores, recipe)
    return stores


def describe_data(stores: Sequence[ClipStore], train: FrameSet, val: FrameSet) -> dict[str, Any]:
    """What the card says about the data."""
    return {
        "stores": [
            {"data_hash": s.meta.data_hash, "crop": s.meta.crop, "signals": list(s.meta.signals), "frame_rate_hz": s.meta.frame_rate_hz} for s in stores
        ],
        "train_drives": sorted({clip.drive_id for s in stores for clip in s.clips("train")}),
        "train_frames": len(train.usable),
        "train_frames_masked": train.masked,
        "val_frames": len(val.usable),
    }
