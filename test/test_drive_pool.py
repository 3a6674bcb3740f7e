"""Jobs in real processes: what hangs, raises or dies fails with its reason, and the others go on."""

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mimic.drive_jobs import EXPERT, drive_job
from mimic_sim import engine
from mimic_sim.drive_result import TRACE_SUFFIX, DriveResult
from mimic_sim.job_pool import AGAIN, DONE, FAILED, Job, Outcome, Watch, run_jobs
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scenarios import load_scenario
from mimic_sim.world import build_world, load_road

COURSE = RouteSpec(route_id="course", laps=0.02)


def street() -> RouteSpec:
    """Behind somebody who brakes, in a small town with traffic, for 1.5 s."""
    town = str(Path(__file__).parent / "street.net.xml.gz")
    site = load_scenario("lead_vehicle").site(load_road(town), np.random.default_rng(0))
    assert site is not None
    where = {"start_lane": site.start_lane, "end_lane": site.end_lane, "start_m": site.start_m, "length_m": site.length_m}
    return RouteSpec(route_id="street", course=town, scenario="lead_vehicle", vehicles=8, pedestrians=3, time_limit_s=1.5, seed=1, **where)


def outcomes(jobs: list[Job], *, processes: int = 2, budget_s: float = 30.0) -> dict[str, list[Outcome]]:
    """By the names of the jobs."""
    found: dict[str, list[Outcome]] = {job.name: [] for job in jobs}
    for outcome in run_jobs(jobs, processes=processes, budget_s=budget_s):
        found[outcome.job.name].append(outcome)
    return found


def test_what_a_policy_does_wrong_fails_its_route_only(tmp_path: Path) -> None:
    reasons = {
        "Hangs": "budget of 1.5 s for a plan, ",
        "HangsInReset": "budget of 1.5 s for a plan, 0 %",
        "Dies": f"the policy ended its process (signal {signal.SIGSEGV:d})",
        "Exits": "the policy ended its process (exit code 3)",
        "Raises": "failed: the policy raised RuntimeError: out of luck",
        "RaisesInReset": "failed: the policy raised RuntimeError in reset: no luck at all",
        "NotANumber": "is nan",
        "WrongSpec": "steering_only",
        "WrongRig": "the policy needs rig 'quad', vehicle 'simulator' has rig 'mono'",
        "Slow": "completed",
    }
    jobs = {name: drive_job(f"drive_policies:{name}", replace(COURSE, route_id=name), tmp_path / f"{name}.parquet", pictures="as_is") for name in reasons}
    found = outcomes(list(jobs.values()), budget_s=1.5)
    for name, job in jobs.items():
        (outcome,) = found[job.name]
        assert reasons[name] in outcome.text, (name, outcome)
        assert outcome.ended == (FAILED if name in ("Hangs", "HangsInReset", "Dies", "Exits") else DONE)
    assert DriveResult.load(tmp_path / "Raises.parquet").ended == "failed: the policy raised RuntimeError: out of luck"
    assert len(DriveResult.load(tmp_path / "Raises.parquet")) == 19, "what was driven until then is kept"


def dies_at_first(watch: Watch, *, marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "whole again"


def sumo_fails(watch: Watch, *, route: RouteSpec) -> str:
    import libsumo

    def fails() -> None:
        raise libsumo.FatalTraCIError("out of petrol")

    world = build_world(route)
    engine.drive(None, world, look=lambda moment: {}, on_tick=lambda simulation, plan: setattr(libsumo.simulation, "getCollisions", fails))
    return "driven"


def breaks(watch: Watch) -> str:
    raise ZeroDivisionError("by nothing")


def test_when_sumo_dies_its_route_is_repeated_once(tmp_path: Path) -> None:
    jobs = [Job("dies", partial(dies_at_first, marker=tmp_path / "died")), Job("fails", partial(sumo_fails, route=street())), Job("breaks", breaks)]
    found = outcomes(jobs)
    assert [(o.ended, o.text) for o in found["dies"]] == [(AGAIN, f"SUMO: its process died (signal {signal.SIGKILL:d})"), (DONE, "whole again")]
    assert [o.ended for o in found["fails"]] == [AGAIN, FAILED]
    assert all(o.text.startswith("SUMO: died at 0.00 s") and "out of petrol" in o.text for o in found["fails"])
    assert [(o.ended, o.text) for o in found["breaks"]] == [(FAILED, "ZeroDivisionError: by nothing")], "our own mistakes are not repeated"


def test_results_depend_neither_on_the_number_of_processes_nor_on_the_order(tmp_path: Path) -> None:
    routes = [replace(COURSE, time_limit_s=2.0), street()]
    files = {}
    for processes, order in ((1, 1), (2, -1)):
        folder = tmp_path / str(processes)
        folder.mkdir()
        jobs = [
            drive_job(driver, route, folder / f"{route.route_id}_{driver}.parquet", pictures="as_is")
            for route in routes[::order]
            for driver in (EXPERT, "rule_based_oracle")
        ]
        assert {o.ended for found in outcomes(jobs, processes=processes).values() for o in found} == {DONE}
        files[processes] = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    assert len(files[1]) == 8 and files[1] == files[2]
    assert len(DriveResult.load(tmp_path / "1" / "street_expert.parquet").trace.looks) > 3 and TRACE_SUFFIX in "".join(files[1])


def test_the_watcher_is_told_how_far_things_are() -> None:
    told: list[float] = []
    (outcome,) = run_jobs([Job("slow", advances)], processes=1, budget_s=1.0, on_progress=told.append)
    assert outcome.ended == DONE and max(told) == pytest.approx(0.5) and told[-1] == 0.0


def advances(watch: Watch) -> str:
    import time

    watch.progress(0.5)
    time.sleep(0.5)
    return ""
