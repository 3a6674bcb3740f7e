"""Which drives a recording consists of: everything but the arguments is decided by the seed, before anything is driven."""

import argparse
from collections.abc import Callable
from functools import partial
from hashlib import blake2s
from itertools import count
from math import lcm

import numpy as np

from mimic_contracts.errors import MimicError, UsageError
from mimic_sim.course import COURSES
from mimic_sim.expert import STYLES
from mimic_sim.looks import LOOKS
from mimic_sim.record_jobs import Job
from mimic_sim.road_network import RoadNetwork
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import random_way
from mimic_sim.world import load_road, world_on

RIGS = {"mono": "simulator", "quad": "simulator_quad"}  # rig → vehicle
TICK_S = 0.1
MIN_DRIVE_S = 7.0  # a rest of the hours that is shorter is not worth a drive
MIN_LAPS = 0.05
WAY_M, MIN_WAY_M = 1500.0, 150.0
TOWN_SPEED_MPS = 8.5  # on the average, with its junctions
DRIVER_SALT = 7


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """The drives to record; raises UsageError when the arguments make no sense."""
    towns, looks, drivers = args.towns.split(","), args.looks.split(","), args.drivers.split(",")
    for option, given, known in (("looks", looks, LOOKS), ("drivers", drivers, STYLES)):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UsageError(f"--{option}: '{', '.join(unknown)}' is unknown, must be of: {', '.join(known)}")
    for option, value, low, high in (("hours", args.hours, 0.0, 1000.0), ("image-rate", args.image_rate, 0.0, 1.0 / TICK_S)):
        if not low < value <= high:
            raise UsageError(f"--{option}: is {value}, must be over {low:g} and at most {high:g}")
    for option in ("seed", "vehicles", "pedestrians"):
        if getattr(args, option) < 0:
            raise UsageError(f"--{option}: is {getattr(args, option)}, must not be negative")
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
        style = drivers[int(np.random.default_rng([seed, DRIVER_SALT]).integers(len(drivers)))]
        is_course = town in COURSES
        drive = partial(
            RouteSpec,
            route_id=f"drive_{k:04d}",
            course=town,
            look=look,
            seed=seed,
            vehicles=0 if is_course else args.vehicles,
            pedestrians=0 if is_course else args.pedestrians,
            tick_s=TICK_S,
            vehicle=RIGS[args.rig],
            is_disturbed=args.disturb,
            driver=style,
        )
        route = (_lap if is_course else _way)(drive, networks[town], rng, left_s=left_s)
        has_truth = not is_course if args.ground_truth is None else args.ground_truth
        jobs.append(Job(route=route, driver_id=driver_id(args.seed, style), image_rate_hz=args.image_rate, with_ground_truth=has_truth))
        left_s -= world_on(networks[town], route).nominal_duration_s
    raise AssertionError("unreachable: the loop ends by its return")


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
