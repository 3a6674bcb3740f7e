"""How fast a town planner learns and thinks on one core: training samples a second of each stage, and milliseconds a plan.

    python benchmarks/learning_speed.py --data STORE                    a labelled store, as of `mimic train town`

Batches are prepared before and are the same for all steps: that is what a second thread does beside training. Ratios count
more than figures, since a machine's speed varies from minute to minute; fp32 is the reference.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from e2e_planner.dataset import FrameSet, open_stores
from e2e_planner.export import export_onnx, export_perception
from e2e_planner.recipe import Recipe
from e2e_planner.run import new_network
from e2e_planner.tasks import ImitationTask, Lesson, PerceptionTask, remember
from e2e_planner.team import Team
from e2e_planner.train import Schedule, Trainer

STEPS, WARM_UP = 8, 2
PLANS = 200


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="labelled clip store of the recipe's rig")
    parser.add_argument("--recipe", default="town", help="default: %(default)s")
    args = parser.parse_args()
    recipe = Recipe.load(args.recipe)
    stores = open_stores([args.data], recipe)
    frames = FrameSet(stores, "train", recipe)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("32-true", "bf16-mixed"):
            network = new_network(recipe, frames)
            task = PerceptionTask(recipe, network, train=frames, val=frames)
            name = precision.split("-")[0].replace("32", "fp32")
            figures[f"perception_{name}_samples_per_s"] = samples_per_s(task, recipe, precision, Path(folder) / f"perception_{name}")
            for part in network.seeing_parts():
                part.requires_grad_(False)
            few = few_of(frames)
            remember(network, few, Path(folder) / f"memory_{name}", report=lambda *_: None)
            imitation = ImitationTask(recipe, network, train=few, val=few, looking="memory")
            figures[f"imitation_{name}_samples_per_s"] = samples_per_s(imitation, recipe, precision, Path(folder) / f"imitation_{name}")
        example = frames.batch(np.arange(2), None)
        for name, export in (("planner", export_onnx), ("perception", export_perception)):
            path = Path(folder) / f"{name}.onnx"
            export(network.eval(), example, path)
            figures |= {f"{name}_{share}_ms": ms for share, ms in thinking_ms(path).items()}
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))
    return 0


def few_of(frames: FrameSet) -> FrameSet:
    """The same frames, of which only the first are usable."""
    frames.usable = frames.usable[:256]
    frames.parts = [(frames.parts[0][0], len(frames.usable))]
    return frames


def samples_per_s(task: PerceptionTask | ImitationTask, recipe: Recipe, precision: str, directory: Path) -> float:
    """Of steps on one batch, in one thread."""
    directory.mkdir()
    schedule = dataclasses.replace(Schedule.of(recipe), steps=STEPS + WARM_UP, precision=precision, threads=1)
    trainer = Trainer(task, schedule, directory, recipe={})
    batch: Lesson = task.batch(0, Team())
    times_s = []
    for _ in range(STEPS + WARM_UP):
        started_s = time.perf_counter()
        trainer._learn(batch, Team())
        times_s.append(time.perf_counter() - started_s)
    return len(batch.frames.ego) / float(np.median(times_s[WARM_UP:]))


def thinking_ms(path: Path) -> dict[str, float]:
    """p50 and p99 of one call in one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {
        i.name: rng.integers(0, 255, i.shape, np.uint8) if i.type == "tensor(uint8)" else rng.uniform(size=i.shape).astype(np.float32)
        for i in session.get_inputs()
    }
    times_ms = []
    for _ in range(PLANS):
        started_s = time.perf_counter()
        session.run(None, feeds)
        times_ms.append(1e3 * (time.perf_counter() - started_s))
    return {"p50": float(np.percentile(times_ms, 50)), "p99": float(np.percentile(times_ms, 99))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
