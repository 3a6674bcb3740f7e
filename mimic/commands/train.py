"""Learn to drive like the driver of the recorded drives.

    mimic train config/recipes/course.yaml --data STORE --out RUN
    mimic train config/recipes/steering_hmb3.yaml --data STORE --out RUN --seed 1
    mimic train RECIPE.yaml --data STORE --out RUN --resume      go on after an interruption, without loss
    mimic train town --data STORE --out RUN                      perception, imitation, and rounds in which the learner drives
    mimic train town --data STORE --out RUN_1 --seed 1 --encoder RUN   another seed, on what RUN's encoder sees and its rounds drove
    mimic train town --data STORE MORE --out RUN_2 --begin-with RUN    perception goes on from RUN's, with more data
    mimic train town --data STORE MORE --out RUN_2 --encoder RUN --begin-with RUN    imitation goes on from RUN's, with more data
    mimic train models/tiny/recipe.yaml --data STORE --out RUN --encoder models/tiny --begin-with models/tiny    from the planner that comes along
    mimic train steering_hmb3 --data STORE --out RUN_2 --begin-with RUN    without perception: all goes on from what RUN has learned

RUN then holds the ONNX file and its card, the weights, the recipe and a TensorBoard log. It may be interrupted at any
time: the weights after a resume are those of an uninterrupted run.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from mimic_contracts.errors import MimicError, require_package

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("recipe", help="recipe file, or a name in config/recipes")
    parser.add_argument("--data", nargs="+", required=True, type=Path, metavar="STORE", help="clip stores made by mimic extract")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="directory of the run")
    parser.add_argument("--encoder", type=Path, metavar="RUN", help="take the perception stage and the rounds' drives of this finished run")
    parser.add_argument(
        "--begin-with",
        type=Path,
        metavar="RUN",
        help="let the first stage that is trained (perception, unless the recipe has none or --encoder gives it) begin with what this run learned in its own",
    )
    parser.add_argument("--seed", type=int, help="instead of the recipe's")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier run in RUN")


def run(args: argparse.Namespace) -> int:
    """Train; the card's scores go to stdout."""
    for module in ("torch", "lightning_fabric", "onnx", "onnxruntime", "lance"):
        require_package(module, extra="train", purpose="mimic train")
    from e2e_planner.recipe import Recipe
    from e2e_planner.run import check_recipe_matches, prepare_directory, train_run, with_seed
    from mimic.rollout import rollout

    recipe = with_seed(Recipe.load(args.recipe), args.seed)
    prepare_directory(args.out, resume=args.resume, overwrite=args.overwrite)
    if args.resume:
        check_recipe_matches(args.out, recipe)
    progress = Progress(args.out / "tensorboard")
    try:
        card = train_run(recipe, args.data, args.out, report=progress.report, encoder=args.encoder, begin=args.begin_with, rollout=rollout)
    except KeyboardInterrupt:
        raise MimicError(f"interrupted; `mimic train … --out {args.out} --resume` goes on where it was") from None
    finally:
        progress.close()
    for name, value in sorted(card["scores"].items()):
        print(f"{name} {value:.6g}")
    print(f"run {args.out}")
    return 0


class Progress:
    """A progress bar on stderr and a TensorBoard log, for each network of the run in turn."""

    def __init__(self, log_directory: Path) -> None:
        self._log_directory = log_directory
        self._stage = ""
        self._bar: tqdm | None = None
        self._writer: SummaryWriter | None = None

    def report(self, stage: str, step: int, total: int, figures: Mapping[str, float]) -> None:
        """Show a step's figures."""
        if stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(desc=f"train {stage}", total=total, initial=step - 1, unit="step", file=sys.stderr, mininterval=1.0, dynamic_ncols=True)
            if figures:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self._log_directory / stage), purge_step=step)
        assert self._bar is not None
        if self._writer is not None and (step % 10 == 0 or "val_score" in figures):
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)
        if "val_score" in figures:
            self._bar.set_postfix(loss=f"{figures['loss']:.3f}", val=f"{figures['val_score']:.4f}")
        self._bar.total = total  # what is remembered is so by parts
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """End the bar and the log."""
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            self._writer.close()
        self._bar = self._writer = None
