"""Drive a suite of routes closed loop in the built-in simulator, and score how it went.

    mimic drive --policy out/run --suite course --seeds 1,2,3 --out out/drive
    mimic drive --policy expert --suite course_day --seeds 1 --out out/expert
    mimic drive --policy out/run --suite course_day --seeds 1 --pictures black --out out/blind
    mimic drive --policy out/run --suite course_day --seeds 1 --over-ros --out out/drive_ros

POLICY is a run directory, an .onnx file with its card, expert, constant_velocity, hold_last, or module:Class.
OUT holds score.json (flat keys with units, defined in report.html), routes/ROUTE.parquet (one row a tick and what the
judge noted; beside it the trace of who was around), the same in expert/ of the expert's drives, from which the score can
be made again, a film of every route, and report.html. With --over-ros the policy drives through the camera, planner and vehicle
interface nodes as processes of their own; without it, in this process: the same numbers, sooner.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.plan import Plan
from mimic_sim import engine
from mimic_sim.drive_report import report_html
from mimic_sim.drive_result import DriveResult
from mimic_sim.drive_score import failure_of, score_route
from mimic_sim.drive_statistics import score_routes
from mimic_sim.moment import Moment
from mimic_sim.route_spec import RouteSpec
from mimic_sim.suite import load_suite
from mimic_sim.video import film, film_ticks, write_video
from mimic_sim.view import View
from mimic_sim.world import Simulation, build_world

EXPERT = "expert"
Runner = Callable[[RouteSpec], DriveResult]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--policy", required=True, help="what drives: a run directory, an .onnx file, a built-in name or module:Class")
    parser.add_argument("--suite", required=True, help="a YAML file, or a name in config/suites")
    parser.add_argument("--seeds", default="1", help="comma-separated; each varies light, buildings and trees (default: 1)")
    parser.add_argument("--out", required=True, type=Path, help="directory for the results")
    parser.add_argument("--pictures", choices=engine.PICTURES, default="as_is", help="black: the policy gets black pictures, to see that it needs them")
    parser.add_argument("--over-ros", action="store_true", help="through the real nodes, as separate processes over DDS")
    parser.add_argument("--no-video", action="store_true", help="make no films")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")


def validate(args: argparse.Namespace) -> list[int]:
    """The seeds; raises UsageError when the arguments make no sense together."""
    try:
        seeds = [int(text) for text in args.seeds.split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds: is '{args.seeds}', must be whole numbers with commas between, as 1,2,3") from error
    if min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError(f"--seeds: is '{args.seeds}', must be different and not negative")
    if args.out.exists() and not args.overwrite:
        raise UsageError(f"--out: '{args.out}' exists: choose another or add --overwrite")
    if args.over_ros and args.policy == EXPERT:
        raise UsageError("--over-ros: the expert is no policy of the planner node; drive it in process, or record it with `mimic sim record`")
    return seeds


def run(args: argparse.Namespace) -> int:
    """Drive all routes, write the results, print score.json."""
    seeds = validate(args)
    suite = load_suite(args.suite)
    routes = suite.with_seeds(seeds)
    partial = args.out.with_name(f".{args.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    runner = _ros_runner(args, partial) if args.over_ros else _in_process_runner(args)
    drives: list[DriveResult] = []
    experts: list[DriveResult] = []
    started_s = time.monotonic()
    for number, route in enumerate(routes, 1):
        print(f"route {number} of {len(routes)}: {route.route_id}", file=sys.stderr)
        drives.append(runner(route))
        experts.append(drives[-1] if args.policy == EXPERT else engine.drive(None, build_world(route), look=_no_pictures))
        print(f"  {drives[-1].ended}", file=sys.stderr)
    class_of = {route.route_id: route.scenario for route in routes}
    figures = {d.route.route_id: score_route(d, e) for d, e in zip(drives, experts, strict=True)}
    expert_figures = {e.route.route_id: score_route(e, e) for e in experts}
    score = {
        "policy": args.policy,
        "suite": suite.name,
        "suite_hash": suite.file_hash,
        "seeds": args.seeds,
        "pictures": args.pictures,
        "over_ros": args.over_ros,
        **score_routes(figures, class_of=class_of),
        "wall_time_s": round(time.monotonic() - started_s, 1),
        "baselines": {EXPERT: score_routes(expert_figures, class_of=class_of)},
        "per_route": {d.route.route_id: _route_entry(d, figures[d.route.route_id]) for d in drives},
    }
    for folder, driven in (("routes", drives), (EXPERT, experts)):
        (partial / folder).mkdir()
        for drive in driven:
            drive.save(partial / folder / f"{drive.route.route_id}.parquet")
    videos = {} if args.no_video else _films(drives, partial)
    title = f"{args.policy} drives {suite.name}"
    page = report_html(title, score, [(d, figures[d.route.route_id]) for d in drives], videos=videos)
    (partial / "report.html").write_text(page, encoding="utf-8")
    (partial / "score.json").write_text(json.dumps(score, indent=2) + "\n", encoding="utf-8")
    if args.out.exists():
        shutil.rmtree(args.out)
    partial.replace(args.out)
    print(json.dumps(score, indent=2))
    return 0


def _in_process_runner(args: argparse.Namespace) -> Runner:
    if args.policy == EXPERT:
        return lambda route: _watched(route, lambda world, on_tick: engine.drive(None, world, look=_no_pictures, on_tick=on_tick))
    from e2e_planner.policies import load_policy

    policy = load_policy(args.policy)

    def drive(route: RouteSpec) -> DriveResult:
        world = build_world(route)
        try:
            rig = engine.rig_of(policy, world.vehicle)
        except MimicError:
            rig = None  # the engine scores the route as failed, with the reason
        if rig is None:
            return _watched(route, lambda _, on_tick: engine.drive(policy, world, look=_no_pictures, on_tick=on_tick))
        with View(world, rig.cameras) as view:
            return _watched(route, lambda _, on_tick: engine.drive(policy, world, look=view.pictures, pictures=args.pictures, on_tick=on_tick))

    return drive


def _ros_runner(args: argparse.Namespace, out: Path) -> Runner:
    from mimic.over_ros import drive_over_ros

    def drive(route: RouteSpec) -> DriveResult:
        route_dir = out / f"ros_{route.route_id}"
        route_dir.mkdir()
        return drive_over_ros(args.policy, route, route_dir, pictures=args.pictures)

    return drive


def _watched(route: RouteSpec, drive: Callable[..., DriveResult]) -> DriveResult:
    """A drive with a progress bar in percent of the route."""
    with tqdm(total=100, desc=route.route_id, unit="%", file=sys.stderr, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}") as bar:

        def on_tick(simulation: Simulation, plan: Plan) -> None:
            bar.update(int(100 * simulation.progress_share) - bar.n)

        return drive(build_world(route), on_tick)


def _films(drives: list[DriveResult], out: Path) -> dict[str, str]:
    videos = {}
    for drive in drives:
        name = drive.route.route_id
        if len(drive):
            videos[name] = f"{name}.mp4"
            pictures = tqdm(film(drive, build_world(drive.route)), total=len(film_ticks(drive)), desc=f"film of {name}", unit="picture", file=sys.stderr)
            write_video(pictures, out / videos[name])
    return videos


def _no_pictures(moment: Moment) -> dict[str, np.ndarray]:
    return {}


def _route_entry(drive: DriveResult, figures: dict[str, float]) -> dict[str, object]:
    return {"scenario": drive.route.scenario, "ended": drive.ended, "failure": failure_of(drive), **_jsonable(figures)}


def _jsonable(figures: dict[str, float]) -> dict[str, float | None]:
    return {key: float(value) if np.isfinite(value) else None for key, value in figures.items()}
