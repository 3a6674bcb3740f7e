"""One recorded drive over ROS: sim_node and record_node as processes of their own, to see that they do what the recorder does."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mimic.bringup import start
from mimic_contracts.errors import MimicError
from mimic_sim.drive_result import TRACE_SUFFIX, DriveResult
from mimic_sim.record_jobs import Job, answer_of, finish
from mimic_sim.world import build_world

BRINGUP = "sim_record"
SLOWEST = 4.0  # seconds of waiting per simulated second before a recording counts as hung


def make_over_ros(job: Job, out: Path) -> dict[str, Any]:
    """As record_jobs.make, with a picture at every tick and no ground truth; raises MimicError when a node failed."""
    bag, rows = out / job.name, out / f"{job.name}.rows.parquet"
    arguments = {"route": json.dumps(asdict(job.route)), "bag": str(bag.resolve()), "rows": str(rows.resolve())}
    duration_s = build_world(job.route).nominal_duration_s
    with start(BRINGUP, arguments) as bringup:
        bringup.wait_for_exit_of("sim_node", timeout_s=60.0 + SLOWEST * duration_s)
    drive = DriveResult.load(rows)
    answer = answer_of(job, drive)
    if answer["left_out"]:
        raise MimicError(f"{job.name}: {answer['left_out']}")
    if not bag.is_dir():
        raise MimicError(f"{job.name}: the recorder left no bag")
    rows.unlink()
    rows.with_suffix(TRACE_SUFFIX).unlink()
    finish(job, drive, bag)
    return answer
