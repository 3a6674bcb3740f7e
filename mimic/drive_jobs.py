"""The jobs of `mimic drive`: to drive one route and save it, to make one film of it. Each runs in a worker process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.policy import Policy
from mimic_sim import engine
from mimic_sim.drive_result import DriveResult
from mimic_sim.job_pool import Job, Watch
from mimic_sim.moment import Moment
from mimic_sim.route_spec import RouteSpec
from mimic_sim.video import film, film_ticks, write_video
from mimic_sim.view import View
from mimic_sim.world import Simulation, World, build_world

EXPERT = "expert"


class WatchedPolicy:
    """A policy whose every thought is timed."""

    def __init__(self, policy: Policy, watch: Watch) -> None:
        self.spec, self.rig_name = policy.spec, policy.rig_name
        self.needs_scene = getattr(policy, "needs_scene", False)
        self._policy, self._watch = policy, watch

    def reset(self) -> None:
        """As the policy does; raises MimicError with what went wrong in it."""
        try:
            with self._watch.policy_thinks():
                self._policy.reset()
        except MimicError:
            raise
        except Exception as error:  # a user's policy may raise anything
            raise MimicError(f"the policy raised {type(error).__name__} in reset: {error}") from error

    def plan(self, observation: Observation) -> Plan:
        """As the policy does."""
        with self._watch.policy_thinks():
            return self._policy.plan(observation)


def drive_job(driver: str, route: RouteSpec, path: Path, *, pictures: str) -> Job:
    """Drive a route in process and save the DriveResult; driver: EXPERT or a policy, as `load_policy` knows it."""
    return Job(f"{route.route_id} by {driver}", partial(_drive, driver=driver, route=route, path=path, pictures=pictures))


def film_job(drive_path: Path, film_path: Path) -> Job:
    """Make a film of a saved drive."""
    return Job(f"film of {drive_path.stem}", partial(_film, drive_path=drive_path, film_path=film_path))


def failed_drive(route: RouteSpec, reason: str) -> DriveResult:
    """What is kept of a drive that left nothing."""
    return DriveResult.from_rows(route, [], [], length_m=0.0, ended=f"failed: {reason}")


def _drive(watch: Watch, *, driver: str, route: RouteSpec, path: Path, pictures: str) -> str:
    def on_tick(simulation: Simulation, plan: Plan) -> None:
        watch.progress(simulation.progress_share)

    world = build_world(route)
    if driver == EXPERT:
        result = engine.drive(None, world, look=_no_pictures, on_tick=on_tick)
    else:
        policy = WatchedPolicy(loaded_policy(driver), watch)
        with _eyes(policy, world, pictures=pictures) as look:
            result = engine.drive(policy, world, look=look, pictures=pictures, on_tick=on_tick)
    result.save(path)
    return result.ended


@lru_cache(maxsize=8)  # a worker drives with the same few again and again, and `reset` makes them forget
def loaded_policy(text: str) -> Policy:
    """The policy that `load_policy` knows by a text, the same one each time; raises MimicError with what is allowed."""
    from e2e_planner.policies import load_policy

    return load_policy(text)


@contextmanager
def _eyes(policy: WatchedPolicy, world: World, *, pictures: str) -> Iterator[engine.Look]:
    """Renders the rig for a policy that looks at pictures."""
    try:
        rig = None if pictures == "black" else engine.rig_of(policy, world.vehicle)
    except MimicError:
        rig = None  # the engine fails the route, with the reason
    if rig is None:
        yield _no_pictures
        return
    with View(world, rig.cameras, are_lamps_dark=pictures == "grey_lights") as view:
        yield view.pictures


def _no_pictures(moment: Moment) -> Mapping[str, NDArray[np.uint8]]:
    return {}


def _film(watch: Watch, *, drive_path: Path, film_path: Path) -> str:
    drive = DriveResult.load(drive_path)
    count = len(film_ticks(drive))

    def told() -> Iterator[NDArray[np.uint8]]:
        for i, picture in enumerate(film(drive, build_world(drive.route))):
            watch.progress(i / count)
            yield picture

    write_video(told(), film_path)
    return film_path.name
