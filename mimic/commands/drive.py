"""Drive a suite of routes closed loop in the built-in simulator, and score how it went.

    mimic drive --policy out/run --suite course --seeds 1,2,3 --out out/drive
    mimic drive --policy out/run --suite course_day --pictures black --out out/blind
    mimic drive --policy out/run --baselines black,grey_lights,rule_based_oracle,route_pursuit --suite val --out out/compared
    mimic drive --policy out/run --suite course_day --over-ros --out out/drive_ros
    mimic drive --policy out/run --route out/drive/routes/day_s1.parquet      is this drive made again, byte for byte?

POLICY is a run directory, an .onnx file with its card, expert, rule_based_oracle, rule_based_perceived:RUN (it sees with the
perception of a run directory; without :RUN with that of models/tiny), route_pursuit, erratic_pursuit, constant_velocity,
hold_last, or module:Class. Routes are driven in --jobs processes at once, with the same results for any number of them. A policy that
raises, or thinks for longer than --budget-s, or a town that is not there fails the route, and the run goes on; when SUMO
dies, the route is repeated once. What was finished survives an interruption, and --resume goes on from there.

OUT holds score.json (flat keys with units, defined in report.html; and each drive's, of the baselines too, of which
`mimic results` makes its tables), run.json (what was asked for), routes/ROUTE.parquet
(one row a tick and what the judge noted; beside it the trace of who was around), the same in expert/ of the expert's
drives and in NAME/ of each baseline's, from which the score can be made again, films/ROUTE.mp4 of the failures, and
report.html. The expert's drives are kept beside OUT, in expert_drives/, for later runs. With --over-ros the policy drives
through the camera, planner and vehicle interface nodes as processes of their own: the same numbers, later.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from e2e_planner.policies import BUILT_IN, PERCEIVED, is_perceived, load_policy
from mimic.drive_folder import DriveFolder, link_drive, policy_card, simulator_hash
from mimic.drive_jobs import EXPERT, drive_job, failed_drive, film_job
from mimic.drive_replay import replay
from mimic.seeds import seeds_of
from mimic_contracts.errors import ContractError, MimicError, UsageError
from mimic_sim import engine
from mimic_sim.drive_report import report_html
from mimic_sim.drive_result import DriveResult
from mimic_sim.drive_score import failure_of, score_route
from mimic_sim.drive_statistics import paired_difference, score_routes
from mimic_sim.job_pool import AGAIN, DONE, FAILED, SUMO, Job, Outcome, run_jobs
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scenarios import load_scenario
from mimic_sim.suite import Suite, load_suite
from mimic_sim.trace import Trace
from mimic_sim.world import COMPLETED, load_road

ROUTES, FILMS = "routes", "films"  # directories
VIDEOS = ("failed", "all", "none")
BLINDED = tuple(pictures for pictures in engine.PICTURES if pictures != "as_is")
BASELINES_HELP = f"{', '.join(BUILT_IN)}, {PERCEIVED}:RUN; or {', '.join(BLINDED)}: the policy itself with such pictures"
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]"
Figures = dict[str, dict[str, float]]  # route id → figures of score_route


class Driver(NamedTuple):
    """Who drives, as `load_policy` knows it or EXPERT, and what it is shown, of engine.PICTURES."""

    policy: str
    pictures: str = "as_is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--policy", required=True, help="what drives: a run directory, an .onnx file, a built-in name or module:Class")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--suite", help="a YAML file, or a name in config/suites")
    what.add_argument("--route", type=Path, help="a saved drive, OUT/routes/ROUTE.parquet: drive it again and compare; exit code 1 where they differ")
    parser.add_argument("--seeds", default="1", help="comma-separated; each varies light, buildings, trees and traffic (default: 1)")
    parser.add_argument("--out", type=Path, help="directory for the results of a suite")
    parser.add_argument("--baselines", default="", help=f"comma-separated: they drive the same routes, to compare; {BASELINES_HELP}")
    pictures_help = "black: the policy gets black pictures; grey_lights: pictures with dark signals; to see that it needs them"
    parser.add_argument("--pictures", choices=engine.PICTURES, default="as_is", help=pictures_help)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes at once (default: one a core, here %(default)s)")
    parser.add_argument("--budget-s", type=float, default=10.0, help="longest time for one plan, after which the route has failed (default: %(default)s)")
    parser.add_argument("--over-ros", action="store_true", help="through the real nodes, as separate processes over DDS, one route after the other")
    parser.add_argument("--videos", choices=VIDEOS, default="failed", help="which drives become films (default: %(default)s)")
    parser.add_argument("--no-video", dest="videos", action="store_const", const="none", help="make no films")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")


def validate(args: argparse.Namespace) -> list[int]:
    """The seeds; raises UsageError when the arguments make no sense together."""
    seeds = seeds_of(args.seeds)
    if args.jobs < 1:
        raise UsageError(f"--jobs: is {args.jobs}, must be at least 1")
    if not args.budget_s > 0.0:
        raise UsageError(f"--budget-s: is {args.budget_s}, must be over 0")
    unknown = [text for text in _baselines(args) if text not in (*BUILT_IN, *BLINDED) and not is_perceived(text)]
    if unknown:
        raise UsageError(f"--baselines: '{', '.join(unknown)}' is unknown, must be of: {', '.join((*BUILT_IN, f'{PERCEIVED}:RUN', *BLINDED))}")
    if len({_name(text) for text in _baselines(args)}) < len(_baselines(args)):
        raise UsageError(f"--baselines: is '{args.baselines}', must name each once: their drives and figures lie under their names, without a RUN")
    if args.pictures in _baselines(args):
        raise UsageError(f"--baselines: '{args.pictures}' is what the policy itself sees (--pictures): leave it out")
    if args.over_ros and args.policy == EXPERT:
        raise UsageError("--over-ros: the expert is no policy of the planner node; drive it in process, or record it with `mimic sim record`")
    if args.suite is not None and args.out is None:
        raise UsageError("--out: must be given with --suite")
    if args.out is not None:
        DriveFolder(args.out).check(resume=args.resume, overwrite=args.overwrite)
    return seeds


def run(args: argparse.Namespace) -> int:
    """Drive all routes, write the results, print score.json; or drive one again."""
    seeds = validate(args)
    _check_policies(args)
    if args.route is not None:
        return replay(args.route, args.policy, pictures=args.pictures, budget_s=args.budget_s, over_ros=args.over_ros)
    suite = load_suite(args.suite)
    routes = _routes(suite, seeds)
    card = {
        **policy_card(args.policy),
        "baselines": _baselines(args),
        "suite": suite.name,
        "suite_hash": suite.file_hash,
        "simulator_hash": simulator_hash(),
        "seeds": args.seeds,
        "pictures": args.pictures,
        "over_ros": args.over_ros,
        "budget_s": args.budget_s,
    }
    folder = DriveFolder(args.out)
    folder.begin(card, resume=args.resume)
    started_s = time.monotonic()
    drivers = {ROUTES: Driver(args.policy, args.pictures), EXPERT: Driver(EXPERT)}
    drivers |= {_name(text): Driver(args.policy, text) if text in BLINDED else Driver(text) for text in _baselines(args) if text != args.policy}
    try:
        _drive_all(args, folder, drivers, routes)
        drives, score = _score(folder, drivers, routes)
        described = {key: value for key, value in card.items() if key != "baselines"} | {"command": _command(args)}
        score = described | {"wall_time_s": round(time.monotonic() - started_s, 1)} | score
        videos = _make_films(args, folder, [drive for drive, _ in drives])
    except KeyboardInterrupt:
        print(f"what is finished lies in {folder.partial}: the same command with --resume goes on", file=sys.stderr)
        raise
    page = report_html(f"{args.policy} drives {suite.name}", score, drives, videos=videos)
    (folder.partial / "report.html").write_text(page, encoding="utf-8")
    (folder.partial / "score.json").write_text(json.dumps(score, indent=2) + "\n", encoding="utf-8")
    folder.finish()
    print(json.dumps(score, indent=2))
    return 0


def _command(args: argparse.Namespace) -> str:
    """By which the same drives are made again."""
    given = ["--policy", args.policy, "--suite", args.suite, "--seeds", args.seeds]
    given += ["--baselines", args.baselines] if args.baselines else []
    given += ["--pictures", args.pictures] if args.pictures != "as_is" else []
    given += ["--over-ros"] if args.over_ros else []
    return shlex.join(["mimic", "drive", *given, "--budget-s", f"{args.budget_s:g}", "--videos", args.videos, "--out", str(args.out)])


def _baselines(args: argparse.Namespace) -> list[str]:
    return args.baselines.split(",") if args.baselines else []


def _name(baseline: str) -> str:
    """Under which its drives and figures lie: the same, whatever it sees with."""
    return PERCEIVED if is_perceived(baseline) else baseline


def _check_policies(args: argparse.Namespace) -> None:
    """Raise UsageError, before anything is driven, where there is no such policy or baseline."""
    if args.policy != EXPERT:
        try:
            load_policy(args.policy)
        except MimicError as error:
            raise UsageError(f"--policy: {error}; or {EXPERT}") from error
    for text in _baselines(args):
        try:
            if text not in BLINDED:
                load_policy(text)
        except MimicError as error:
            raise UsageError(f"--baselines: {error}") from error


def _routes(suite: Suite, seeds: Sequence[int]) -> list[RouteSpec]:
    """The suite's routes with every seed, those of one town together; raises before anything is driven where no route has
    its town. One without its town among others is left to fail."""
    try:
        routes = suite.with_seeds(seeds)
    except ContractError as error:
        raise UsageError(f"--seeds: {error}") from error
    courses, missing = {route.course for route in routes}, {}
    for course in sorted(courses):
        try:
            load_road(course)
        except MimicError as error:
            missing[course] = error
    if len(missing) == len(courses):
        raise next(iter(missing.values()))
    return sorted(routes, key=lambda route: route.course)


def _drive_all(args: argparse.Namespace, folder: DriveFolder, drivers: Mapping[str, Driver], routes: Sequence[RouteSpec]) -> None:
    """Make every drive that is not there yet, and save each as soon as it ends."""
    for name in drivers:
        (folder.partial / name).mkdir(exist_ok=True)
    is_expert = args.policy == EXPERT  # then ROUTES are the expert's, anew
    missing = {}
    for route in routes:
        for name, driver in drivers.items():
            path = folder.path(name, route)
            if not path.is_file() and not (name == EXPERT and (is_expert or folder.fetch_expert(path, route))):
                missing[drive_job(driver.policy, route, path, pictures=driver.pictures)] = (name, route)
    over_ros = [job for job, (name, _) in missing.items() if args.over_ros and name == ROUTES]
    total = (len(drivers) - is_expert) * len(routes)
    with tqdm(total=total, initial=total - len(missing), desc="drives", file=sys.stderr, bar_format=BAR, mininterval=0.5) as bar:

        def note(outcome: Outcome) -> None:
            name, route = missing[outcome.job]
            _note(outcome, folder, name, route, is_expert=drivers[name].policy == EXPERT)

        _run([job for job in missing if job not in over_ros], args, bar, note)
        for job in over_ros:
            for outcome in _over_ros(job, args, folder, missing[job][1]):
                note(outcome)
            bar.update()
    for route in routes if is_expert else []:
        link_drive(folder.path(ROUTES, route), folder.path(EXPERT, route))


def _run(jobs: Sequence[Job], args: argparse.Namespace, bar: Any, note: Callable[[Outcome], None]) -> None:
    """Run jobs under a progress bar, whose parts count too, and tell `note` each outcome."""
    done = bar.n

    def show(under_way: float) -> None:
        bar.update(done + under_way - bar.n)

    for outcome in run_jobs(jobs, processes=args.jobs, budget_s=args.budget_s, on_progress=show):
        done += outcome.ended != AGAIN
        note(outcome)
    show(0.0)


def _note(outcome: Outcome, folder: DriveFolder, name: str, route: RouteSpec, *, is_expert: bool) -> None:
    """Say what became of a drive, and save what its process could not."""
    if outcome.ended == FAILED:
        failed_drive(route, outcome.text).save(folder.path(name, route))
    elif outcome.ended == DONE and is_expert:
        folder.keep_expert(folder.path(name, route), route)
    if outcome.text != COMPLETED:
        tqdm.write(f"{outcome.job.name}: {outcome.text}{': once more' if outcome.ended == AGAIN else ''}", file=sys.stderr)


def _over_ros(job: Job, args: argparse.Namespace, folder: DriveFolder, route: RouteSpec) -> Iterator[Outcome]:
    """Drive one route through the nodes; once more where SUMO died."""
    from mimic.over_ros import drive_over_ros

    logs = folder.partial / f"ros_{route.route_id}"
    for is_last in (False, True):
        shutil.rmtree(logs, ignore_errors=True)  # of an attempt before
        logs.mkdir()
        try:
            drive = drive_over_ros(args.policy, route, logs, pictures=args.pictures, budget_s=args.budget_s)
        except MimicError as error:
            is_repeated = SUMO in str(error) and not is_last
            yield Outcome(job, AGAIN if is_repeated else FAILED, str(error))
            if is_repeated:
                continue
            return
        drive.save(folder.path(ROUTES, route))
        yield Outcome(job, DONE, drive.ended)
        return


def _score(
    folder: DriveFolder, drivers: Mapping[str, Driver], routes: Sequence[RouteSpec]
) -> tuple[list[tuple[DriveResult, dict[str, float]]], dict[str, Any]]:
    """The drives of the policy, without plans and traces, and their figures; and the score."""
    class_of = {route.route_id: route.scenario for route in routes}
    figures: dict[str, Figures] = {name: {} for name in drivers}
    entries: dict[str, dict[str, Any]] = {name: {} for name in drivers}
    drives = []
    for route in tqdm(routes, desc="scores", unit="route", file=sys.stderr):
        loaded = {name: DriveResult.load(folder.path(name, route)) for name in drivers}
        for name, drive in loaded.items():
            figures[name][route.route_id] = score_route(drive, loaded[EXPERT])
            entries[name][route.route_id] = _entry(drive, figures[name][route.route_id])
        drive = loaded[ROUTES]
        drives.append((replace(drive, plans=drive.plans[:0].copy(), trace=Trace.of([])), figures[ROUTES][route.route_id]))
    baselines = {
        name: {
            **policy_card(driver.policy),
            "pictures": driver.pictures,
            **score_routes(figures[name], class_of=class_of),
            **paired_difference(figures[ROUTES], figures[name], class_of=class_of),
            "per_route": entries[name],
        }
        for name, driver in drivers.items()
        if name != ROUTES
    }
    return drives, {**score_routes(figures[ROUTES], class_of=class_of), "baselines": baselines, "per_route": entries[ROUTES]}


def _entry(drive: DriveResult, figures: Mapping[str, float]) -> dict[str, Any]:
    """What score.json says of one drive. failure_kind: what went wrong first, an event's kind, else how it ended, else
    own_test, that of its scenario; scenario_fault: what that says, empty where it was passed, None where it says nothing."""
    route, failure = drive.route, failure_of(drive)
    to_blame = [event.kind for event in sorted(drive.events, key=lambda event: event.time_s) if event.at_fault]
    ending = [] if drive.ended == COMPLETED else [drive.ended.partition(":")[0]]
    return {
        "scenario": route.scenario,
        "ended": drive.ended,
        "failure": failure,
        "failure_kind": [*to_blame, *ending, "own_test"][0] if failure else "",
        "scenario_fault": load_scenario(route.scenario).fault(drive) if route.scenario and len(drive) else None,
        "canonical_hash": drive.canonical_hash(),
        **{key: float(value) if np.isfinite(value) else None for key, value in figures.items()},
    }


def _make_films(args: argparse.Namespace, folder: DriveFolder, drives: Sequence[DriveResult]) -> dict[str, str]:
    """Route id → film, relative to OUT, of the drives that are to have one."""
    wanted = [drive for drive in drives if len(drive) and (args.videos == "all" or (args.videos == "failed" and failure_of(drive)))]
    if not wanted:
        return {}
    (folder.partial / FILMS).mkdir(exist_ok=True)
    paths = {drive.route.route_id: folder.partial / FILMS / f"{drive.route.route_id}.mp4" for drive in wanted}
    jobs = [film_job(folder.path(ROUTES, drive.route), paths[drive.route.route_id]) for drive in wanted if not paths[drive.route.route_id].is_file()]

    def note(outcome: Outcome) -> None:
        if outcome.ended != DONE:
            tqdm.write(f"{outcome.job.name}: {outcome.text}", file=sys.stderr)

    with tqdm(total=len(wanted), initial=len(wanted) - len(jobs), desc="films", file=sys.stderr, bar_format=BAR, mininterval=0.5) as bar:
        _run(jobs, args, bar, note)
    return {name: f"{FILMS}/{path.name}" for name, path in paths.items() if path.is_file()}
