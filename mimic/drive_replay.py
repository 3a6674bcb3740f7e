"""A saved drive is made again, to see that it comes out the same."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mimic.drive_jobs import drive_job
from mimic_contracts.errors import MimicError
from mimic_sim.drive_result import DriveResult
from mimic_sim.job_pool import AGAIN, FAILED, run_jobs


def replay(path: Path, policy: str, *, pictures: str, budget_s: float, over_ros: bool) -> int:
    """Drive the route of a saved drive again and print as JSON what differs; 0 when nothing does, else 1.

    Raises MimicError when it can't be driven.
    """
    before = DriveResult.load(path)
    with TemporaryDirectory() as directory:
        again = (_over_ros if over_ros else _in_process)(before, policy, Path(directory), pictures=pictures, budget_s=budget_s)
    verdict = compare(before, again)
    print(json.dumps(verdict, indent=2))
    return 0 if verdict["is_identical"] else 1


def compare(one: DriveResult, other: DriveResult) -> dict[str, object]:
    """What two drives of a route have in common, to the bit; first_difference_s: of the first tick that differs, null for none."""
    pairs = [(one.columns[name], other.columns[name]) for name in one.columns] + [(one.plans, other.plans)]
    count = min(len(one), len(other))
    differs = np.zeros(count, bool)
    for a, b in pairs:
        same = (a[:count] == b[:count]) | ((a[:count] != a[:count]) & (b[:count] != b[:count]))
        differs |= ~same.all(axis=tuple(range(1, same.ndim)))
    ticks = np.flatnonzero(differs)
    first = int(ticks[0]) if len(ticks) else count if len(one) != len(other) else None
    return {
        "route": one.route.route_id,
        "is_identical": first is None and one.ended == other.ended and one.events == other.events,
        "canonical_hashes": [one.canonical_hash(), other.canonical_hash()],
        "ticks": [len(one), len(other)],
        "ended": [one.ended, other.ended],
        "events": [[str(event) for event in drive.events] for drive in (one, other)],
        "first_difference_s": None if first is None else round(first * one.route.tick_s, 3),
    }


def _in_process(before: DriveResult, policy: str, directory: Path, *, pictures: str, budget_s: float) -> DriveResult:
    path = directory / "again.parquet"
    for outcome in run_jobs([drive_job(policy, before.route, path, pictures=pictures)], processes=1, budget_s=budget_s):
        if outcome.ended == FAILED:
            raise MimicError(f"{outcome.job.name}: {outcome.text}")
        if outcome.ended == AGAIN:
            print(f"{outcome.text}: once more", file=sys.stderr)
    return DriveResult.load(path)


def _over_ros(before: DriveResult, policy: str, directory: Path, *, pictures: str, budget_s: float) -> DriveResult:
    from mimic.over_ros import drive_over_ros

    return drive_over_ros(policy, before.route, directory, pictures=pictures, budget_s=budget_s)
