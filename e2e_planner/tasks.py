"""What a planner network is trained on, one task after the other: to perceive, then to drive as good drivers did."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from e2e_planner.dataset import Batch, FrameSet, Looking
from e2e_planner.loss import planner_loss
from e2e_planner.network import PlannerNetwork
from e2e_planner.recipe import Recipe
from e2e_planner.selection import select
from e2e_planner.team import Team, gathered
from e2e_planner.train import Move, Report, training_device
from mimic_contracts.action_spec import CAR
from perception.agent_boxes import Found, decode, merge
from perception.loss import PictureLabels, picture_loss
from perception.quality import Quality
from perception.situation import UNKNOWN, SituationLabels, metres, situation_loss

VAL_BATCH = 64
MIN_SCORE = 0.05  # of road users that count in the average precision
PERCEPTION_VAL_FRAMES = 1024  # chosen by; the card's figures are of all frames


class Lesson(NamedTuple):
    """Frames with the labels that a task asks for."""

    frames: Batch
    pictures: list[PictureLabels]
    situation: SituationLabels | None


class ImitationTask:
    """To plan as the driver did. looking: at the pictures; or, with the encoder as it is, at what it has found (`remember`)."""

    def __init__(self, recipe: Recipe, network: PlannerNetwork, *, train: FrameSet, val: FrameSet, looking: Looking) -> None:
        self.network, self.data_hash = network, train.data_hash
        self._recipe, self._train, self._val, self._looking = recipe, train, val, looking
        self._draw_weights = train.draw_weights(recipe.focus)

    def batch(self, step: int, team: Team) -> Lesson:
        """By lot, what changes more often than what does not."""
        indices, rng = _drawn((self._recipe.seed, step), self._draw_weights, self._recipe.batch_size, team)
        frames = self._train.batch(indices, rng, looking=self._looking)
        asks = self.network.has_perception and self._train.labels is not None
        return Lesson(frames, [], self._train.labels.situation(self._train.usable[indices]).seen_from(frames.poses) if asks and self._train.labels else None)

    def loss(self, module: Any, batch: Lesson, move: Move) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of the plan, and of what is known of the situation."""
        frames = batch.frames
        ego, route = move(frames.ego), move(frames.route)
        if frames.seen is None:
            outputs = module(tuple(move(p).contiguous() for p in frames.pictures), ego, route)
        else:
            outputs = module.decide(move(frames.seen), ego, route, None if frames.recalled is None else move(frames.recalled))
        return _driving_loss(self.network, outputs, move(frames.targets), None if batch.situation is None else move(batch.situation), self._recipe)

    def validate(self) -> float:
        """See val_score."""
        return val_score(self.network, self._val, looking=self._looking)


class PerceptionTask:
    """To see: what the labels say of every place and road user, and of the situation; and, a little, where to drive."""

    def __init__(self, recipe: Recipe, network: PlannerNetwork, *, train: FrameSet, val: FrameSet) -> None:
        self.network, self.data_hash = network, train.data_hash
        self._recipe, self._train, self._val = recipe, train, val
        self._draw_weights = train.draw_weights(recipe.focus)
        self._chosen = np.linspace(0, len(val.usable) - 1, min(PERCEPTION_VAL_FRAMES, len(val.usable))).astype(np.int64)

    def batch(self, step: int, team: Team) -> Lesson:
        """By lot, as for imitation."""
        return self._lesson(self._train, *_drawn((self._recipe.seed, step, 1), self._draw_weights, self._recipe.perception.batch_size, team))

    def loss(self, module: Any, batch: Lesson, move: Move) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Of all heads: of the pictures' the mean over the cameras."""
        frames = batch.frames
        assert batch.situation is not None
        seen, said = module.perceive(tuple(move(p).contiguous() for p in frames.pictures))
        outputs = module.decide(seen, move(frames.ego), move(frames.route))
        terms: dict[str, Tensor] = {}
        for heads, labels in zip(said, batch.pictures, strict=True):
            for name, term in picture_loss({k: v.float() for k, v in heads.items()}, move(labels)).items():
                terms[name] = terms.get(name, torch.zeros_like(term)) + term / len(said)
        driving, _ = _driving_loss(self.network, outputs, move(frames.targets), None, self._recipe)
        asked = situation_loss({k: v.float() for k, v in outputs.items()}, move(batch.situation))
        terms |= {**asked, "driving": self._recipe.perception.driving * driving}
        return sum(terms.values(), torch.zeros(())), terms

    def validate(self) -> float:
        """The loss on val, without the share of driving."""
        total, device = 0.0, next(self.network.parameters()).device
        for start in range(0, len(self._chosen), VAL_BATCH):
            indices = self._chosen[start : start + VAL_BATCH]
            lesson = self._lesson(self._val, indices, None)
            _, terms = self.loss(self.network, lesson, lambda what: what.to(device))
            total += len(indices) * float(sum(term for name, term in terms.items() if name != "driving"))
        return total / len(self._chosen)

    @staticmethod
    def _lesson(frames: FrameSet, indices: NDArray[np.int64], rng: np.random.Generator | None) -> Lesson:
        assert frames.labels is not None
        which = frames.usable[indices]
        return Lesson(frames.batch(indices, rng, moves=False), frames.labels.pictures(which), frames.labels.situation(which))


def _drawn(seed: tuple[int, ...], weights: NDArray[np.float64], count: int, team: Team) -> tuple[NDArray[np.int64], np.random.Generator]:
    """Which frames a process of a team learns from in a step, of `count` for all, and the lot that varies them."""
    rng = np.random.default_rng(seed)
    indices = rng.choice(len(weights), count, p=weights)
    return indices[team.rank :: team.size], rng if team.rank == 0 else np.random.default_rng((*seed, team.rank))


def _driving_loss(
    network: PlannerNetwork, outputs: Mapping[str, Tensor], targets: Tensor, situation: SituationLabels | None, recipe: Recipe
) -> tuple[Tensor, dict[str, Tensor]]:
    outputs = {k: v.float() for k, v in outputs.items()}
    loss, terms = planner_loss(network.head, outputs, targets, recipe.loss)
    if situation is not None:
        asked = situation_loss(outputs, situation)
        terms |= asked
        loss = loss + recipe.loss.situation * sum(asked.values(), torch.zeros(()))
    return loss, terms


def remember(network: PlannerNetwork, frames: FrameSet, home: Path, *, report: Report) -> None:
    """Keep what the network's encoder finds in each usable frame, as it is without any variation: `frames.memory`.

    home: a directory for this encoder's memories, a file for each store's and number of values, which is taken as it is when it is there.
    """
    home.mkdir(parents=True, exist_ok=True)
    network.to(training_device()).eval()
    values = _encoded(network, frames, np.arange(1)).size
    frames.memory, begin = [], 0
    for name, end in frames.parts:
        path = home / f"{name[:16]}_{end - begin}x{values}.npy"
        if not path.exists():
            _encode(network, frames, np.arange(begin, end), path, report=report)
        frames.memory.append(np.load(path, mmap_mode="r"))
        begin = end


def _encode(network: PlannerNetwork, frames: FrameSet, indices: NDArray[np.int64], path: Path, *, report: Report) -> None:
    """(N, values) float16 of the usable frames `indices`, in a file that appears when it is whole."""
    chunks = [indices[start : start + VAL_BATCH] for start in range(0, len(indices), VAL_BATCH)]
    partial = path.with_name(f".{path.name}.partial")
    kept = np.lib.format.open_memmap(partial, "w+", np.float16, (len(indices), *_encoded(network, frames, indices[:1]).shape[1:]))

    def work(team: Team) -> None:
        for n in range(team.rank, len(chunks), team.size):
            start = n * VAL_BATCH
            kept[start : start + len(chunks[n])] = _encoded(network, frames, chunks[n])
            if team.rank == 0:
                report(min(start + team.size * VAL_BATCH, len(indices)), len(indices), {})
        team.meet()

    with gathered(frames.recipe.processes if next(network.parameters()).device.type == "cpu" else 1, work) as team:
        work(team)
    kept.flush()
    partial.replace(path)


@torch.no_grad()
def _encoded(network: PlannerNetwork, frames: FrameSet, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the network's encoder finds in usable frames."""
    device = next(network.parameters()).device
    seen = network.encode(tuple(p.to(device) for p in frames.batch(indices, None).pictures))
    assert seen is not None
    return seen.cpu().numpy()


def val_score(network: PlannerNetwork, frames: FrameSet, *, looking: Looking) -> float:
    """What is minimised on val: `car`: mean distance over its horizon of the plan that would drive (ADE, m);
    `steering_only`: RMSE of the steering wheel angle, rad."""
    mean = float(frame_errors(network, frames, looking=looking).mean())
    return mean if frames.spec is CAR else math.sqrt(mean)


@torch.no_grad()
def frame_errors(network: PlannerNetwork, frames: FrameSet, *, looking: Looking) -> NDArray[np.float64]:
    """(N,) of each usable frame: `car`: ADE of the plan that would drive over its horizon, m; `steering_only`: square, rad²."""
    network.eval()
    device = next(network.parameters()).device
    errors = np.zeros(len(frames.usable))
    for start in range(0, len(frames.usable), VAL_BATCH):
        batch = frames.batch(np.arange(start, min(start + VAL_BATCH, len(frames.usable))), None, looking=looking)
        ego, route = batch.ego.to(device), batch.route.to(device)
        if batch.seen is None:
            outputs = network(tuple(p.to(device) for p in batch.pictures), ego, route)
        else:
            outputs = network.decide(batch.seen.to(device), ego, route, None if batch.recalled is None else batch.recalled.to(device))
        plans, logits = network.head.plans(outputs)
        if batch.pictures:
            plans = network.both_ways(plans, tuple(p.to(device) for p in batch.pictures), ego, route)
        chosen = plans[torch.arange(len(plans)), _driven(plans, logits, frames)].cpu()
        error = chosen - batch.targets
        of_frames = error[:, 1:, :2].norm(dim=-1).mean(-1) if frames.spec is CAR else error.square().sum((1, 2))
        errors[start : start + len(plans)] = of_frames.numpy()
    return errors


def _driven(plans: Tensor, logits: Tensor, frames: FrameSet) -> Tensor:
    """(N,) index of the plan that would drive, with none before it."""
    if frames.spec is not CAR:
        return logits.argmax(-1)
    paths = frames.recipe.network.path_modes
    return torch.tensor([select(p, s, paths=paths) for p, s in zip(plans.cpu().numpy(), logits.softmax(-1).cpu().numpy(), strict=True)])


@torch.no_grad()
def measure(network: PlannerNetwork, frames: FrameSet) -> dict[str, float]:
    """How good the network's perception is on the usable frames: see perception.quality."""
    network.eval()
    assert frames.labels is not None
    device, quality = next(network.parameters()).device, Quality()
    for start in range(0, len(frames.usable), VAL_BATCH):
        indices = np.arange(start, min(start + VAL_BATCH, len(frames.usable)))
        which = frames.usable[indices]
        batch = frames.batch(indices, None)
        seen, said = network.perceive(tuple(p.to(device) for p in batch.pictures))
        outputs = network.decide(seen, batch.ego.to(device), batch.route.to(device))
        found: list[list[Found]] = [[] for _ in indices]
        for camera, heads, labels in zip(frames.rig.cameras, said, frames.labels.pictures(which), strict=True):
            depth_m, truth_m = heads["log_depth"].exp().cpu().numpy(), labels.log_depth.exp().numpy()
            quality.add_places(heads["semantic"].argmax(1).cpu().numpy(), labels.semantic.numpy(), depth_m, truth_m)
            heat, boxes = heads["heat"].sigmoid().cpu().numpy(), heads["boxes"].cpu().numpy()
            for n in range(len(indices)):
                found[n].append(decode(heat[n], boxes[n], camera, min_score=MIN_SCORE))
        for frame, of_cameras in zip(which, found, strict=True):
            truth = [frames.labels.agents(frame, camera.name) for camera in frames.rig.cameras]
            if all(rows is not None for rows in truth):
                quality.add_agents([rows for rows in truth if rows is not None], merge(of_cameras))
        situation = frames.labels.situation(which)
        is_known = (situation.light != UNKNOWN).numpy()
        is_right = (outputs["light"].argmax(1).cpu() == situation.light).numpy()
        quality.add_lights(is_right[is_known], situation.line_m.numpy()[is_known])
        said_m = metres(outputs["line"]).cpu().numpy()
        quality.add_lines(situation.line_m.numpy(), situation.rule.numpy(), said_m, outputs["rule"].argmax(1).cpu().numpy())
        for name, answer, at_m in (("junction", "junction_end", situation.junction_end_m), ("zebra", "zebra", situation.zebra_m)):
            quality.add_stretch(name, at_m.numpy(), metres(outputs[answer]).cpu().numpy(), (outputs[f"has_{name}"] > 0.0).cpu().numpy())
        quality.add_leads(situation.lead_gap_m.numpy(), metres(outputs["lead_gap"]).cpu().numpy())
    return quality.figures()
