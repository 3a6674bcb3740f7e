"""Which drives a recording consists of: everything but the arguments is decided by the seed, before anything is driven."""

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2s
from itertools import count
from math import lcm
from zlib import crc32

import numpy as np

from mimic.drive_folder import policy_hash
from mimic.drive_jobs import loaded_policy
from mimic.seeds import seeds_of
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.course import COURSES
from mimic_sim.engine import rig_of
from mimic_sim.expert import STYLES
from mimic_sim.looks import LOOKS
from mimic_sim.record_jobs import Job
from mimic_sim.road_network import RoadNetwork
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import random_way
from mimic_sim.suite import load_suite
from mimic_sim.town_layout import MAX_SEED
from mimic_sim.world import load_road, world_on

RIGS = {"mono": "simulator", "quad": "simulator_quad", "road": "simulator_road"}  # rig → vehicle
TICK_S = 0.1
MIN_DRIVE_S = 7.0  # a rest of the hours that is shorter is not worth a drive
MIN_LAPS = 0.05
WAY_M, MIN_WAY_M = 1500.0, 150.0
TOWN_SPEED_MPS = 8.5  # on the average, with its junctions
DRIVER_SALT, DISTURB_SALT = 7, 8
OF_TOWNS, OF_SUITES = ("hours", "looks", "vehicles", "pedestrians"), ("seeds",)  # options that make no sense with the other
DEFAULT_LOOKS, DEFAULT_VEHICLES, DEFAULT_PEDESTRIANS, DEFAULT_RIG, DEFAULT_SEEDS = "day,dusk,fog,rain", 60, 20, "mono", "1"


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """The drives to record; raises UsageError when the arguments make no sense."""
    if (args.towns is None) == (args.suite is None):
        raise UsageError("--towns, --suite: exactly one of them must be given: ways through towns, or the routes of a suite")
    needless = OF_TOWNS if args.towns is None else OF_SUITES
    given = [f"--{option}" for option in needless if getattr(args, option) is not None]
    if given:
        raise UsageError(f"{', '.join(given)}: belongs to {'--towns; a suite says it itself' if args.towns is None else '--suite'}: leave it out")
    ranges = [("image-rate", args.image_rate, 0.0, 1.0 / TICK_S)]
    if args.towns is not None:
        if args.hours is None:
            raise UsageError("--hours: must be given with --towns")
        ranges.insert(0, ("hours", args.hours, 0.0, 1000.0))
    for option, value, low, high in ranges:
        if not low < value <= high:
            raise UsageError(f"--{option}: is {value}, must be over {low:g} and at most {high:g}")
    if not 0.0 <= args.disturb <= 1.0:
        raise UsageError(f"--disturb: is {args.disturb}, must be 0 to 1, the share of the drives")
    if args.expert_share is not None and args.policy is None:
        raise UsageError("--expert-share: belongs to --policy: leave it out")
    if not 0.0 <= (args.expert_share or 0.0) <= 1.0:
        raise UsageError(f"--expert-share: is {args.expert_share}, must be 0 to 1")
    for option in ("seed", "vehicles", "pedestrians"):
        if (getattr(args, option) or 0) < 0:
            raise UsageError(f"--{option}: is {getattr(args, option)}, must not be negative")
    if args.seed > MAX_SEED:
        raise UsageError(f"--seed: is {args.seed}, must be 0 to {MAX_SEED}")
    drivers = _known("drivers", args.drivers, STYLES)
    jobs = _suite_jobs(args, drivers) if args.towns is None else _town_jobs(args, drivers)
    return jobs if args.policy is None else _by_learner(jobs, args)


def _town_jobs(args: argparse.Namespace, drivers: Sequence[str]) -> list[Job]:
    """Laps and random ways, for as long as is asked for."""
    towns, looks = args.towns.split(","), _known("looks", args.looks or DEFAULT_LOOKS, LOOKS)
    vehicles = DEFAULT_VEHICLES if args.vehicles is None else args.vehicles
    pedestrians = DEFAULT_PEDESTRIANS if args.pedestrians is None else args.pedestrians
    networks = {town: _network(town) for town in towns}
    rng = np.random.default_rng(args.seed)
    jobs: list[Job] = []
    left_s = args.hours * 3600.0
    for k in count():
        seed = int(rng.integers(2**31))
        if jobs and left_s < MIN_DRIVE_S:
            return jobs
        # All towns in turn, all looks in turn, and in the long run each town in each look.
        town, look = towns[(k + k // lcm(len(towns), len(looks))) % len(towns)], looks[k % len(looks)]
        is_course = town in COURSES
        drive = partial(
            RouteSpec,
            route_id=f"drive_{k:04d}",
            course=town,
            look=look,
            seed=seed,
            vehicles=0 if is_course else vehicles,
            pedestrians=0 if is_course else pedestrians,
            tick_s=TICK_S,
            vehicle=RIGS[args.rig or DEFAULT_RIG],
            is_disturbed=np.random.default_rng([seed, DISTURB_SALT]).random() < args.disturb,
            driver=drivers[int(np.random.default_rng([seed, DRIVER_SALT]).integers(len(drivers)))],
        )
        route = (_lap if is_course else _way)(drive, networks[town], rng, left_s=left_s)
        jobs.append(_job(args, route))
        left_s -= world_on(networks[town], route).nominal_duration_s
    raise AssertionError("unreachable: the loop ends by its return")


def _suite_jobs(args: argparse.Namespace, drivers: Sequence[str]) -> list[Job]:
    """The routes of a suite in an order by lot, since the number of a drive decides which split it is for."""
    seeds = seeds_of(args.seeds or DEFAULT_SEEDS)
    try:
        routes = load_suite(args.suite).with_seeds(seeds)
    except MimicError as error:
        raise UsageError(f"--suite: {error}") from error
    jobs = []
    for k, i in enumerate(np.random.default_rng(args.seed).permutation(len(routes)).tolist()):
        route = routes[i]
        rng = np.random.default_rng([args.seed, crc32(route.route_id.encode())])
        style, is_disturbed = drivers[int(rng.integers(len(drivers)))], rng.random() < args.disturb
        vehicle = RIGS[args.rig] if args.rig else route.vehicle
        changed = replace(route, route_id=f"drive_{k:04d}", tick_s=TICK_S, vehicle=vehicle, is_disturbed=is_disturbed, driver=style)
        jobs.append(_job(args, changed))
    return jobs


def _by_learner(jobs: Sequence[Job], args: argparse.Namespace) -> list[Job]:
    """The same drives by a policy, which each process loads for itself, and corrected by the drivers."""
    try:
        policy = loaded_policy(args.policy)
        for vehicle in sorted({job.route.vehicle for job in jobs}):
            rig_of(policy, load_vehicle(vehicle))
    except MimicError as error:
        raise UsageError(f"--policy: {error}") from error
    name, share = f"policy_{policy_hash(args.policy)[:8]}", args.expert_share or 0.0
    return [replace(job, driver_id=name, load_policy=partial(loaded_policy, args.policy), expert_share=share) for job in jobs]


def _job(args: argparse.Namespace, route: RouteSpec) -> Job:
    has_truth = bool(route.start_lane) if args.ground_truth is None else args.ground_truth
    return Job(route=route, driver_id=driver_id(args.seed, route.driver), image_rate_hz=args.image_rate, with_ground_truth=has_truth)


def _known(option: str, text: str, known: Collection[str]) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"--{option}: '{', '.join(unknown)}' is unknown, must be of: {', '.join(known)}")
    return names


def driver_id(seed: int, style: str) -> str:
    """Who drives: one person for each style of a recording, whose name says nothing about it."""
    return f"driver_{blake2s(f'{seed} {style}'.encode()).hexdigest()[:8]}"


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
