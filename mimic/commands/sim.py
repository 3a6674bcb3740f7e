"""Record drives of the built-in simulator, over ROS, into bags; make towns to drive in.

    mimic sim record --towns course --drivers expert --hours 0.2 --seed 1 --disturb --out out/drives
    mimic sim record --towns train_1,train_2 --drivers expert --hours 1 --seed 2 --looks day,rain --out out/towns
    mimic sim town --style suburb --seed 7 --out out/suburb_7.net.xml.gz

OUT/drive_0000, drive_0001 … are bags (MCAP), with drive.json (what was driven) and rows.parquet (one row a tick)
inside: a lap of the built-in course, a random way of two or three minutes through a town. Every drive has its own light
and weather, buildings, trees and starting place; with --disturb the car is pushed about in a third of the time, and the
recorded /sim/expert_trajectory is what the expert would do from there.

A town is a SUMO network, the same bytes for the same style and seed.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mimic_contracts.errors import MimicError, UsageError
from mimic_sim.course import COURSES
from mimic_sim.drive_result import TRACE_SUFFIX, DriveResult
from mimic_sim.looks import LOOKS
from mimic_sim.road_network import RoadNetwork
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import random_way
from mimic_sim.sumo_network import TOWN_SUFFIX
from mimic_sim.town import make_town
from mimic_sim.town_layout import MAX_SEED, STYLES
from mimic_sim.world import COMPLETED, build_world, load_road, world_on

DRIVERS = ("expert",)
TICK_S = 0.1
MIN_DRIVE_S = 7.0  # a rest of the hours that is shorter is not worth a drive
MIN_LAPS = 0.05
WAY_M, MIN_WAY_M = 1500.0, 150.0
TOWN_SPEED_MPS = 8.5  # on the average, with its junctions
SLOWEST = 4.0  # seconds of waiting per simulated second before a recording counts as hung
BRINGUP = "sim_record"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    record = verbs.add_parser("record", help="drives of simulated drivers, into bags", description=__doc__, formatter_class=parser.formatter_class)
    record.add_argument("--towns", required=True, help="comma-separated: course, and towns (a name in config/towns, or the path of a .net.xml.gz)")
    record.add_argument("--drivers", required=True, help=f"comma-separated, of: {', '.join(DRIVERS)}")
    record.add_argument("--hours", required=True, type=float, help="simulated time in all")
    record.add_argument("--seed", type=int, default=1, help="decides looks, places and disturbances (default: 1)")
    record.add_argument("--looks", default="day,dusk,fog,rain", help="comma-separated, taken in turn (default: %(default)s)")
    record.add_argument("--disturb", action="store_true", help="push the car about, to record how the expert comes back")
    record.add_argument("--out", required=True, type=Path, help="directory for the bags")
    record.add_argument("--overwrite", action="store_true", help="replace OUT")
    town = verbs.add_parser("town", help="a town, as a SUMO network", description=__doc__, formatter_class=parser.formatter_class)
    town.add_argument("--style", required=True, help=f"one of: {', '.join(STYLES)}")
    town.add_argument("--seed", required=True, type=int, help=f"decides everything else, 0 to {MAX_SEED}")
    town.add_argument("--out", type=Path, help=f"file for the network, ending in {TOWN_SUFFIX} (default: ./STYLE_SEED{TOWN_SUFFIX})")
    town.add_argument("--overwrite", action="store_true", help="replace OUT")


def routes_of(args: argparse.Namespace) -> list[RouteSpec]:
    """The drives to record; raises UsageError when the arguments make no sense."""
    towns, looks, drivers = args.towns.split(","), args.looks.split(","), args.drivers.split(",")
    for option, given, known in (("looks", looks, LOOKS), ("drivers", drivers, DRIVERS)):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UsageError(f"--{option}: '{', '.join(unknown)}' is unknown, must be of: {', '.join(known)}")
    if not 0.0 < args.hours <= 1000.0:
        raise UsageError(f"--hours: is {args.hours}, must be over 0 and at most 1000")
    if args.seed < 0:
        raise UsageError(f"--seed: is {args.seed}, must not be negative")
    if args.out.exists() and not args.overwrite:
        raise UsageError(f"--out: '{args.out}' exists: choose another or add --overwrite")
    networks = {town: _network(town) for town in towns}
    rng = np.random.default_rng(args.seed)
    routes: list[RouteSpec] = []
    left_s = args.hours * 3600.0
    for town, look in zip(cycle(towns), cycle(looks), strict=False):  # both go on for ever
        seed = int(rng.integers(2**31))
        drive = partial(RouteSpec, route_id=f"drive_{len(routes):04d}", course=town, look=look, seed=seed, tick_s=TICK_S, is_disturbed=args.disturb)
        if routes and left_s < MIN_DRIVE_S:
            return routes
        plan = _lap if town in COURSES else _way
        routes.append(plan(drive, networks[town], rng, left_s=left_s))
        left_s -= world_on(networks[town], routes[-1]).nominal_duration_s
    raise AssertionError("unreachable: the loop ends by its return")


def _network(town: str) -> RoadNetwork:
    try:
        return load_road(town)
    except MimicError as error:
        raise UsageError(f"--towns: {error}") from error


def _lap(drive: Callable[..., RouteSpec], network: RoadNetwork, rng: np.random.Generator, *, left_s: float) -> RouteSpec:
    """Once around from anywhere, or less where less time is left."""
    world = world_on(network, drive())
    laps = max(min(left_s / world.nominal_duration_s, 1.0), MIN_LAPS)
    return drive(laps=round(laps, 4), start_m=round(float(rng.uniform(0.0, world.lane_line.length_m)), 1))


def _way(drive: Callable[..., RouteSpec], network: RoadNetwork, rng: np.random.Generator, *, left_s: float) -> RouteSpec:
    """A random way of WAY_M, or less where less time is left."""
    start_lane, end_lane = random_way(network, rng, length_m=min(max(left_s * TOWN_SPEED_MPS, MIN_WAY_M), WAY_M))
    return drive(start_lane=start_lane, end_lane=end_lane)


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    return _make_town(args) if args.verb == "town" else _record_all(args)


def _make_town(args: argparse.Namespace) -> int:
    """Make one town; raises UsageError when the arguments make no sense."""
    out: Path = args.out or Path(f"{args.style}_{args.seed}{TOWN_SUFFIX}")
    if args.style not in STYLES:
        raise UsageError(f"--style: '{args.style}' is unknown, must be one of: {', '.join(STYLES)}")
    if not 0 <= args.seed <= MAX_SEED:
        raise UsageError(f"--seed: is {args.seed}, must be 0 to {MAX_SEED}")
    if not out.name.endswith(TOWN_SUFFIX):
        raise UsageError(f"--out: '{out}' must end in {TOWN_SUFFIX}")
    if out.exists() and not args.overwrite:
        raise UsageError(f"--out: '{out}' exists: choose another or add --overwrite")
    make_town(args.style, args.seed, out)
    print(json.dumps({"style": args.style, "seed": args.seed, "bytes": out.stat().st_size, "out": str(out)}))
    return 0


def _record_all(args: argparse.Namespace) -> int:
    """Record all drives; OUT appears when all are whole."""
    routes = routes_of(args)
    partial = args.out.with_name(f".{args.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    started_s = time.monotonic()
    simulated_s = 0.0
    for route in tqdm(routes, desc="recording", unit="drive", file=sys.stderr):
        drive = _record(route, partial)
        simulated_s += len(drive) * route.tick_s
    if args.out.exists():
        shutil.rmtree(args.out)
    partial.replace(args.out)
    wall_s = time.monotonic() - started_s
    print(json.dumps({"drives": len(routes), "simulated_s": round(simulated_s, 1), "wall_s": round(wall_s, 1), "out": str(args.out)}))
    return 0


def _record(route: RouteSpec, out: Path) -> DriveResult:
    """One drive through the simulator and recorder nodes; raises MimicError when it was not driven to its end."""
    from mimic.bringup import start

    bag, rows = out / route.route_id, out / f"{route.route_id}.rows.parquet"
    arguments = {
        "route": json.dumps(asdict(route)),
        "bag": str(bag.resolve()),
        "rows": str(rows.resolve()),
    }
    duration_s = build_world(route).nominal_duration_s
    with start(BRINGUP, arguments) as bringup:
        bringup.wait_for_exit_of("sim_node", timeout_s=60.0 + SLOWEST * duration_s)
    drive = DriveResult.load(rows)
    if drive.ended != COMPLETED:
        raise MimicError(f"{route.route_id}: the expert did not complete it but ended as {drive.ended}")
    if not bag.is_dir():
        raise MimicError(f"{route.route_id}: the recorder left no bag")
    rows.unlink()
    rows.with_suffix(TRACE_SUFFIX).unlink()
    drive.save(bag / "rows.parquet")
    (bag / "drive.json").write_text(json.dumps({"driver": "expert", **asdict(route)}, indent=2) + "\n", encoding="utf-8")
    return drive
