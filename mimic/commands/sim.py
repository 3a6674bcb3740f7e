"""Record drives of the built-in simulator into bags, and render them again; make towns to drive in, here and in Gazebo.

    mimic sim record --towns course --hours 0.2 --seed 1 --disturb --out out/drives
    mimic sim record --towns train_1,train_2 --hours 10 --seed 2 --looks day,rain --rig quad --out out/towns
    mimic sim record --towns train_1,train_2 --hours 10 --seed 2 --looks day,rain --rig quad --out out/towns --resume
    mimic sim record --suite train --seeds 1,2,3 --rig quad --disturb 0.33 --drivers calm,assertive --out out/scenarios
    mimic sim record --suite train --seeds 4 --policy out/run --expert-share 0.3 --rig quad --out out/corrections
    mimic sim render out/towns/drive_0000 --rig mono --look night --out out/night
    mimic sim town --style suburb --seed 7 --out out/suburb_7.net.xml.gz
    mimic sim gazebo --town val_1 --vehicle gazebo --out out/gazebo

OUT/drive_0000, drive_0001 … are bags (MCAP) as over ROS, with drive.json (what was driven, by whom) and rows.parquet (one
row a tick; beside it the trace of everybody around) inside: a lap of the built-in course, a random way of two or three
minutes through a town. Every drive has its own light and weather, buildings, trees, traffic and starting place; with
--disturb the car is pushed about in a third of the time, and the recorded /sim/expert_trajectory is what the expert would
do from there; --disturb 0.33: in a third of the drives. With --suite they are the routes of a scenario suite
(config/suites), all of them for each seed, in an order by lot. OUT/answers.json says what a learner has to find out by
itself: how each driver drives, what went wrong; and which drives were left out, because the driver did not arrive, hit
something, or failed its scenario's own test (without being pushed).

With --policy a learner drives, and /sim/expert_trajectory is at every tick what the expert would do from where the learner
came to; with --expert-share the expert drives for that share of the time, some seconds at a stretch. A learner that is bad
on purpose does before there is one: erratic_pursuit, route_pursuit. None of these drives
is left out; they end at the first collision that the learner is to blame for, or 5 m beside its way, too, as answers.json says.

Drives come from as many processes as asked for, and are the same from any number of them. An interrupted recording goes
on with --resume. Ground truth is on /sim/ground_truth/… (mimic_sim/recorder.py says what).

A town is a SUMO network, the same bytes for the same style and seed.

For Gazebo, OUT holds a town as a world with a car in it, and what bridges its topics: `ros2 launch mimic_drive
gazebo.launch.py world:=OUT policy:=RUN`.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mimic.record_plan import DEFAULT_LOOKS, DEFAULT_PEDESTRIANS, DEFAULT_RIG, DEFAULT_SEEDS, DEFAULT_VEHICLES, RIGS, jobs_of
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.expert import CALM, STYLES
from mimic_sim.gazebo_world import write_world
from mimic_sim.looks import LOOKS
from mimic_sim.record_jobs import CARD_FILE, Job, take_again
from mimic_sim.record_pool import make_all
from mimic_sim.sumo_network import TOWN_SUFFIX
from mimic_sim.town import make_town
from mimic_sim.town_layout import MAX_SEED
from mimic_sim.town_layout import STYLES as TOWN_STYLES
from mimic_sim.world import load_road

ANSWERS_FILE = "answers.json"
OVER_ROS_HZ = 10.0
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} drives [{elapsed}<{remaining}]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    record = verbs.add_parser("record", help="drives of simulated drivers, into bags", description=__doc__, formatter_class=parser.formatter_class)
    record.add_argument("--towns", help="comma-separated: course, and towns (a name in config/towns, or the path of a .net.xml.gz)")
    record.add_argument("--suite", help="instead of --towns: the routes of a suite, a YAML file or a name in config/suites")
    record.add_argument("--hours", type=float, help="with --towns: simulated time in all, on empty roads")
    record.add_argument("--seeds", help=f"with --suite: comma-separated; each is all of its routes elsewhere (default: {DEFAULT_SEEDS})")
    record.add_argument("--policy", help="a learner drives, as in `mimic drive`, and the drivers say at every tick what they would do instead")
    record.add_argument("--expert-share", type=float, metavar="SHARE", help="with --policy: of the time that the driver has the wheel (default: 0)")
    record.add_argument("--seed", type=int, default=1, help="decides looks, places and traffic in towns, disturbances, drivers and order (default: 1)")
    record.add_argument("--drivers", default=CALM, help=f"comma-separated, by lot, of: {', '.join(STYLES)} (default: %(default)s)")
    record.add_argument("--looks", help=f"with --towns: comma-separated, taken in turn (default: {DEFAULT_LOOKS})")
    record.add_argument("--vehicles", type=int, help=f"with --towns: others in a town (default: {DEFAULT_VEHICLES})")
    record.add_argument("--pedestrians", type=int, help=f"with --towns: on foot in a town (default: {DEFAULT_PEDESTRIANS})")
    disturb_help = "push the car about in this share of the drives, by lot, to record how the expert comes back (without a number: in all)"
    record.add_argument("--disturb", nargs="?", type=float, const=1.0, default=0.0, metavar="SHARE", help=disturb_help)
    record.add_argument("--rig", choices=tuple(RIGS), help=f"cameras of the car (default: {DEFAULT_RIG}; with --suite: as it says)")
    record.add_argument("--image-rate", type=float, default=4.0, metavar="HZ", help="of pictures; all else has every tick, 10 Hz (default: %(default)s)")
    record.add_argument("--over-ros", action="store_true", help="through sim_node and record_node over DDS: rig mono at 10 Hz, no ground truth")
    render = verbs.add_parser(
        "render", help="recorded drives again, in another rig, light and weather", description=__doc__, formatter_class=parser.formatter_class
    )
    render.add_argument("drives", nargs="+", type=Path, metavar="DRIVE", help="a drive of `mimic sim record`")
    render.add_argument("--rig", choices=tuple(RIGS), help="default: as it was driven")
    render.add_argument("--look", choices=tuple(LOOKS), help="default: as it was driven")
    render.add_argument("--image-rate", type=float, metavar="HZ", help="default: as it was recorded")
    for verb in (record, render):
        verb.add_argument("--ground-truth", action=argparse.BooleanOptionalAction, default=None, help="labels, boxes … beside pictures (default: in towns)")
        verb.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes (default: one a core)")
        verb.add_argument("--out", required=True, type=Path, help="directory for the bags")
        verb.add_argument("--resume", action="store_true", help="keep the drives of an interrupted run that are finished")
        verb.add_argument("--overwrite", action="store_true", help="replace OUT")
    town = verbs.add_parser("town", help="a town, as a SUMO network", description=__doc__, formatter_class=parser.formatter_class)
    town.add_argument("--style", required=True, help=f"one of: {', '.join(TOWN_STYLES)}")
    town.add_argument("--seed", required=True, type=int, help=f"decides everything else, 0 to {MAX_SEED}")
    town.add_argument("--out", type=Path, help=f"file for the network, ending in {TOWN_SUFFIX} (default: ./STYLE_SEED{TOWN_SUFFIX})")
    town.add_argument("--overwrite", action="store_true", help="replace OUT")
    gazebo = verbs.add_parser("gazebo", help="a town with a car, as a world for Gazebo", description=__doc__, formatter_class=parser.formatter_class)
    gazebo.add_argument("--town", required=True, help="course, a name in config/towns, or the path of a .net.xml.gz")
    gazebo.add_argument("--vehicle", default="gazebo", help="vehicle file: the car's size, limits and cameras (default: %(default)s)")
    gazebo.add_argument("--seed", type=int, default=1, help="decides what stands beside the roads, and where the car starts (default: 1)")
    gazebo.add_argument("--out", required=True, type=Path, help="directory for the world")
    gazebo.add_argument("--overwrite", action="store_true", help="replace OUT")


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    if args.verb == "town":
        return _make_town(args)
    if args.verb == "gazebo":
        return _make_gazebo(args)
    if args.out.exists() and not args.overwrite and not args.resume:
        raise UsageError(f"--out: '{args.out}' exists: choose another, or add --resume or --overwrite")
    if args.jobs < 1:
        raise UsageError(f"--jobs: is {args.jobs}, must be at least 1")
    if args.verb == "render":
        return _make_bags(_jobs_again(args), args, over_ros=False)
    is_plain = args.suite is None and args.policy is None and args.rig in (None, "mono") and not args.ground_truth
    if args.over_ros and not (is_plain and args.image_rate == OVER_ROS_HZ):
        raise UsageError(f"--over-ros: records --rig mono at --image-rate {OVER_ROS_HZ:g} without ground truth, neither --suite nor --policy: leave it out")
    if args.over_ros:
        args.ground_truth = False
    return _make_bags(jobs_of(args), args, over_ros=args.over_ros)


def _make_town(args: argparse.Namespace) -> int:
    """Make one town; raises UsageError when the arguments make no sense."""
    out: Path = args.out or Path(f"{args.style}_{args.seed}{TOWN_SUFFIX}")
    if args.style not in TOWN_STYLES:
        raise UsageError(f"--style: '{args.style}' is unknown, must be one of: {', '.join(TOWN_STYLES)}")
    if not 0 <= args.seed <= MAX_SEED:
        raise UsageError(f"--seed: is {args.seed}, must be 0 to {MAX_SEED}")
    if not out.name.endswith(TOWN_SUFFIX):
        raise UsageError(f"--out: '{out}' must end in {TOWN_SUFFIX}")
    if out.exists() and not args.overwrite:
        raise UsageError(f"--out: '{out}' exists: choose another or add --overwrite")
    make_town(args.style, args.seed, out)
    print(json.dumps({"style": args.style, "seed": args.seed, "bytes": out.stat().st_size, "out": str(out)}))
    return 0


def _make_gazebo(args: argparse.Namespace) -> int:
    """Make one world; OUT appears when it is whole."""
    if args.seed < 0:
        raise UsageError(f"--seed: is {args.seed}, must be 0 or more")
    if args.out.exists() and not args.overwrite:
        raise UsageError(f"--out: '{args.out}' exists: choose another or add --overwrite")
    partial: Path = args.out.with_name(f".{args.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    x_m, y_m, yaw_rad = write_world(load_road(args.town), load_vehicle(args.vehicle), partial, seed=args.seed)
    if args.out.exists():
        shutil.rmtree(args.out)
    partial.replace(args.out)
    start = {"start_x_m": round(x_m, 2), "start_y_m": round(y_m, 2), "start_yaw_rad": round(yaw_rad, 4)}
    print(json.dumps({"town": args.town, "vehicle": args.vehicle, **start, "out": str(args.out)}))
    return 0


def _jobs_again(args: argparse.Namespace) -> list[Job]:
    """The drives to render again; raises UsageError when they would have the same name, or the rate makes no sense."""
    if len({drive.name for drive in args.drives}) < len(args.drives):
        raise UsageError(f"DRIVE: {', '.join(map(str, args.drives))} must have different names, which those in OUT get")
    if args.image_rate is not None and not args.image_rate > 0.0:
        raise UsageError(f"--image-rate: is {args.image_rate}, must be over 0")
    vehicle = RIGS[args.rig] if args.rig else None
    return [take_again(drive, look=args.look, vehicle=vehicle, image_rate_hz=args.image_rate, with_ground_truth=args.ground_truth) for drive in args.drives]


def _make_bags(jobs: Sequence[Job], args: argparse.Namespace, *, over_ros: bool) -> int:
    """Make all bags; OUT appears when all are whole."""
    started_s = time.monotonic()
    partial: Path = args.out.with_name(f".{args.out.name}.partial")
    if not args.resume:
        shutil.rmtree(partial, ignore_errors=True)
    elif args.out.exists():
        shutil.rmtree(partial, ignore_errors=True)
        args.out.replace(partial)
    partial.mkdir(parents=True, exist_ok=True)
    answers = _kept_answers(jobs, partial)
    with tqdm(total=len(jobs), initial=len(answers), desc="recording", unit="drive", file=sys.stderr, bar_format=BAR) as bar:

        def on_answer(job: Job, answer: dict[str, Any]) -> None:
            answers[job.name] = answer
            _write_json(partial / ANSWERS_FILE, dict(sorted(answers.items())))

        missing = [job for job in jobs if job.name not in answers]
        if over_ros:
            from mimic.record_over_ros import make_over_ros

            for job in missing:
                on_answer(job, make_over_ros(job, partial))
                bar.update(1)
        else:
            make_all(missing, partial, processes=args.jobs, on_share=bar.update, on_answer=on_answer)
    left_out = {name: answer["left_out"] for name, answer in answers.items() if answer["left_out"]}
    for name, reason in left_out.items():
        print(f"left out {name}: {reason}", file=sys.stderr)
    if len(left_out) == len(jobs):
        raise MimicError(f"nothing is left: {'; '.join(left_out.values())}")
    if args.out.exists():
        shutil.rmtree(args.out)
    partial.replace(args.out)
    print(json.dumps({"drives": len(jobs) - len(left_out), "left_out": len(left_out), "wall_s": round(time.monotonic() - started_s, 1), "out": str(args.out)}))
    return 0


def _kept_answers(jobs: Sequence[Job], partial: Path) -> dict[str, dict[str, Any]]:
    """The answers of the drives that are finished; raises UsageError when another recording lies there."""
    path = partial / ANSWERS_FILE
    answers: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    by_name = {job.name: job for job in jobs}
    for name, answer in answers.items():
        card = partial / name / CARD_FILE
        is_same = name in by_name and (answer["left_out"] or (card.is_file() and card.read_text(encoding="utf-8") == by_name[name].card))
        if not is_same:
            raise UsageError(f"--resume: {name} was recorded with other arguments: give the same ones, or choose another --out")
    return answers


def _write_json(path: Path, content: Any) -> None:
    """The file appears when it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
