"""How much better a planner gets with more data, and what twice and ten times as much would bring.

    mimic scaling town --data STORE --encoder RUN --out DIR
    mimic scaling town --data STORE --encoder RUN --out DIR --seeds 0,1,2 --sizes 6 --drive val --drive-seeds 1
    mimic scaling town --data STORE --encoder RUN --out DIR --resume --drive val      go on; or drive, too, what is trained

Imitation is trained on nested parts of the training drives, each about half of the next, with every training seed, on what
the encoder of RUN sees: it stays as it is, and has seen all the data. Every training has the recipe's steps; rounds of DAgger
and the twin are left out. DIR/size_NN/seed_S are runs as `mimic train` makes them; with --drive they drive a suite of routes,
into DIR/drives. It may be interrupted at any time: what is finished stays.

Measured are ade_4s_m (on val, lower is better) and, driven, failure_rate (1 − success rate, the mean of the classes') and
driving_score_loss (100 − driving score). To each err(N) = E + A·N^-alpha is fitted, N the share of all the frames: first
without the largest size, which it must foretell better than 'no change' does; then with all, to forecast. Intervals are 95 %,
over val drives or routes, and seeds. DIR/scaling.json has all rows and figures, DIR/scaling.svg the curves; a table goes to
stdout.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from mimic.commands.train import Progress
from mimic.drive_folder import policy_hash, simulator_hash
from mimic.seeds import seeds_of
from mimic_contracts.errors import MimicError, UsageError, require_package
from mimic_sim.drive_score import METRIC_VERSION as DRIVE_METRIC_VERSION
from mimic_sim.suite import load_suite

SCALING_FILE, PLOT_FILE, PLAN_FILE = "scaling.json", "scaling.svg", "plan.json"
DRIVES = "drives"  # directory
Rows = Sequence[Mapping[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("recipe", help="recipe file, or a name in config/recipes; for `car`, with perception")
    parser.add_argument("--data", nargs="+", required=True, type=Path, metavar="STORE", help="clip stores made by mimic extract")
    parser.add_argument("--encoder", required=True, type=Path, metavar="RUN", help="the run whose perception sees for all of them")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="directory of the runs and the curve")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated training seeds (default: %(default)s)")
    parser.add_argument("--sizes", type=int, default=6, help="how many parts of the data (default: %(default)s: 1/32 to all of the drives)")
    parser.add_argument("--drive", metavar="SUITE", help="drive closed loop, too: a YAML file, or a name in config/suites")
    parser.add_argument("--drive-seeds", help="comma-separated seeds of the suite's routes (default: 1)")
    parser.add_argument("--resume", action="store_true", help="go on with what is in DIR")
    parser.add_argument("--overwrite", action="store_true", help="delete what is in DIR")


def run(args: argparse.Namespace) -> int:
    """Train, drive, fit; the table goes to stdout."""
    for module in ("torch", "lightning_fabric", "onnx", "onnxruntime", "lance", "matplotlib"):
        require_package(module, extra="train", purpose="mimic scaling")
    from bag_tools.metrics import METRIC_VERSION
    from e2e_planner.recipe import Recipe
    from e2e_planner.run import check_recipe_matches, prepare_directory, save_recipe
    from e2e_planner.scaling import check_scalable, fingerprint, prepare, train_sizes
    from mimic.scaling_report import curves_svg, table_text

    if args.drive_seeds is not None and args.drive is None:
        raise UsageError("--drive-seeds: belongs to --drive: leave it out, or name a suite")
    seeds, drive_seeds = seeds_of(args.seeds), seeds_of(args.drive_seeds or "1", option="--drive-seeds")
    recipe = Recipe.load(args.recipe)
    check_scalable(recipe, args.encoder, sizes=args.sizes)
    suite_hash = load_suite(args.drive).file_hash if args.drive else None
    prepare_directory(args.out, resume=args.resume, overwrite=args.overwrite)
    check_recipe_matches(args.out, recipe)
    save_recipe(recipe, args.out)
    progress = Progress(args.out / "tensorboard")
    try:
        material = prepare(recipe, args.data, args.encoder, args.out, sizes=args.sizes, report=progress.report)
        plan = _checked_plan(args.out / PLAN_FILE, fingerprint(material))
        rows = train_sizes(material, args.out, seeds, report=progress.report)
    except KeyboardInterrupt:
        raise MimicError(f"interrupted; `mimic scaling … --out {args.out} --resume` goes on where it was") from None
    finally:
        progress.close()
    frames = [size.frames for size in material.sizes]
    result = {**plan, "metric_version": METRIC_VERSION, "seeds": seeds, "rows": rows, "curves": {"ade_4s_m": open_loop_curve(frames, rows)}}
    if args.drive:
        driven = {
            "suite": args.drive,
            "suite_hash": suite_hash,
            "drive_seeds": drive_seeds,
            "drive_metric_version": DRIVE_METRIC_VERSION,
            "simulator_hash": simulator_hash(),
        }
        route_rows = [row for size in range(args.sizes) for seed in seeds for row in _drive(args.out, size, seed, driven)]
        curves, not_scored = closed_loop_curves(frames, route_rows)
        result |= {**driven, "route_rows": route_rows, "routes_not_scored": not_scored, "curves": result["curves"] | curves}
    (args.out / PLOT_FILE).write_text(curves_svg(result), encoding="utf-8")
    (args.out / SCALING_FILE).write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print(table_text(result))
    print(f"curves {args.out / PLOT_FILE}")
    return 0


def _checked_plan(path: Path, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The plan, as JSON has it, written where there is none; raises UsageError when what is in DIR was made by another."""
    plain: dict[str, Any] = json.loads(json.dumps(plan))
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if differing := [key for key, value in plain.items() if before.get(key) != value]:
            raise UsageError(
                f"--resume: {path} was made with other {', '.join(differing)}; give the same recipe, --data, --encoder and --sizes, or --overwrite"
            )
    path.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    return plain


def _drive(out: Path, size: int, seed: int, driven: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Let a run drive the suite, where it has not; returns a row a route: size, seed, route_id, scenario, is_success, driving_score."""
    from e2e_planner.scaling import run_directory
    from mimic.cli import main

    policy, home = run_directory(out, size, seed), out / DRIVES / f"size_{size:02d}_seed_{seed}"
    seeds = ",".join(str(number) for number in driven["drive_seeds"])
    if not home.exists():
        home.parent.mkdir(exist_ok=True)
        print(f"scaling: size {size} with seed {seed} drives {driven['suite']}", file=sys.stderr)
        with redirect_stdout(sys.stderr):
            code = main(["drive", "--policy", str(policy), "--suite", driven["suite"], "--seeds", seeds, "--no-video", "--out", str(home), "--resume"])
        if code != 0:
            raise MimicError(f"{home}: the drives failed, see above; `mimic scaling … --resume` goes on from there")
    score = json.loads((home / "score.json").read_text(encoding="utf-8"))
    wanted = {"suite_hash": driven["suite_hash"], "seeds": seeds, "metric_version": driven["drive_metric_version"]}
    wanted |= {"simulator_hash": driven["simulator_hash"], "policy_hash": policy_hash(str(policy))}
    if differing := [f"{key} was {score.get(key)!r} and is {value!r}" for key, value in wanted.items() if score.get(key) != value]:
        raise MimicError(
            f"{home}: was driven otherwise ({'; '.join(differing)}); delete {out / DRIVES} to drive again, or give the same --drive and --drive-seeds"
        )
    keys = ("scenario", "is_success", "driving_score")
    return [{"size": size, "seed": seed, "route_id": route, **{key: values[key] for key in keys}} for route, values in sorted(score["per_route"].items())]


def open_loop_curve(frames: Sequence[int], rows: Rows) -> dict[str, Any]:
    """Of ade_4s_m, the mean over all frames of val; frames: of each size."""
    from e2e_planner.scaling_law import scaling_curve

    errors, drives = _cube(rows, "drive_id", "ade_4s_m")
    weight = {row["drive_id"]: float(row["frames"]) for row in rows}
    return scaling_curve(_shares(frames), errors, np.array([weight[drive] for drive in drives]))


def closed_loop_curves(frames: Sequence[int], rows: Rows) -> tuple[dict[str, Any], int]:
    """Of failure_rate (the mean of the classes') and driving_score_loss (the mean of the routes); and how many routes have no
    driving score in some run, and are left out of its curve."""
    from e2e_planner.scaling_law import scaling_curve

    success, routes = _cube(rows, "route_id", "is_success")
    scenario = {row["route_id"]: str(row["scenario"]) for row in rows}
    classes = [scenario[route] for route in routes]
    failure = scaling_curve(_shares(frames), 1.0 - success, np.array([1.0 / classes.count(name) for name in classes]), groups=classes)
    score, _ = _cube(rows, "route_id", "driving_score")
    is_known = np.isfinite(score).all((0, 1))
    if not is_known.any():
        raise MimicError("no route has a driving score in every run: see score.json of the drives")
    loss = scaling_curve(_shares(frames), 100.0 - score[:, :, is_known], np.ones(int(is_known.sum())))
    return {"failure_rate": failure, "driving_score_loss": loss}, int((~is_known).sum())


def _cube(rows: Rows, unit: str, key: str) -> tuple[Any, list[str]]:
    """(sizes, seeds, units) float64 of a figure, None as NaN; and the units' names."""
    sizes, seeds, units = (sorted({row[name] for row in rows}) for name in ("size", "seed", unit))
    values = {(row["size"], row["seed"], row[unit]): np.nan if row[key] is None else float(row[key]) for row in rows}
    return np.array([[[values[size, seed, name] for name in units] for seed in seeds] for size in sizes]), units


def _shares(frames: Sequence[int]) -> list[float]:
    return [count / frames[-1] for count in frames]
