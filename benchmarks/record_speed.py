"""How fast drives are recorded: pictures with ground truth per second over all cores, size of an hour, where the time goes.

python benchmarks/record_speed.py              rig mono in a town among 80 vehicles and 30 pedestrians; two minutes
python benchmarks/record_speed.py --rig quad   figures on stdout as JSON

CPU seconds hold on a busy machine, too; the pictures a second hold only on an idle one.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from mimic.record_plan import RIGS, TICK_S
from mimic_sim import bag_messages, engine, recorder
from mimic_sim.record_jobs import Job, make
from mimic_sim.record_pool import make_all
from mimic_sim.recorder import picture_ticks
from mimic_sim.route_spec import RouteSpec
from mimic_sim.routing import random_way
from mimic_sim.world import load_road

VEHICLES, PEDESTRIANS = 80, 30
DRIVES_EACH = 3  # one after the other in a process, which has to start once
TOWN, WAY_M = "train_1", 700.0
STAGES = {
    "driving": (engine, "drive"),
    "scene": (recorder.View, "__init__"),
    "moments": (recorder.DriveResult, "moment"),
    "pictures": (recorder.View, "pictures"),
    "labels": (recorder.View, "labels"),
    "jpeg": (bag_messages.simplejpeg, "encode_jpeg"),
    "png": (bag_messages.cv2, "imencode"),
    "boxes_2d": (recorder, "visible_boxes"),
    "situation": (recorder.GroundTruth, "situation"),
    "messages": (bag_messages, "message_bytes"),
    "bag": (recorder.BagWriter, "write"),
}


def jobs(rig: str, count: int, image_rate_hz: float) -> list[Job]:
    """Drives on one way in different traffic."""
    start_lane, end_lane = random_way(load_road(TOWN), np.random.default_rng(3), length_m=WAY_M)
    route = RouteSpec(course=TOWN, start_lane=start_lane, end_lane=end_lane, vehicles=VEHICLES, pedestrians=PEDESTRIANS, tick_s=TICK_S, vehicle=RIGS[rig])
    routes = [replace(route, route_id=f"drive_{k:04d}", seed=k + 1) for k in range(count)]
    return [Job(route=r, driver_id="driver", image_rate_hz=image_rate_hz, with_ground_truth=True) for r in routes]


def timed(work: Callable[..., Any], stage: str, spent_s: Counter[str]) -> Callable[..., Any]:
    """The same, with its CPU seconds added to a stage."""

    def measured(*args: Any, **options: Any) -> Any:
        started_s = time.process_time()
        try:
            return work(*args, **options)
        finally:
            spent_s[stage] += time.process_time() - started_s

    return measured


def where_time_goes(job: Job, out: Path) -> dict[str, float]:
    """CPU milliseconds a picture of each stage, drawing in this thread as the pool does."""
    os.environ["LP_NUM_THREADS"] = "0"
    spent_s: Counter[str] = Counter()
    patches = [mock.patch.object(owner, name, timed(getattr(owner, name), stage, spent_s)) for stage, (owner, name) in STAGES.items()]
    for patch in patches:
        patch.start()
    started_s = time.process_time()
    make(job, out)
    spent_s["all"] = time.process_time() - started_s
    for patch in patches:
        patch.stop()
    spent_s["else"] = 2.0 * spent_s["all"] - spent_s.total()
    pictures = count_pictures(out / job.name, job)
    return {f"{stage}_cpu_ms": round(1e3 * seconds / pictures, 2) for stage, seconds in spent_s.items()}


def count_pictures(bag: Path, job: Job) -> int:
    """Moments with pictures in a bag; all cameras of a rig count as one."""
    drive = recorder.DriveResult.load(bag / "rows.parquet")
    return len(picture_ticks(len(drive), tick_s=TICK_S, image_rate_hz=job.image_rate_hz))


def measure(rig: str, image_rate_hz: float, processes: int) -> dict[str, object]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        stages = where_time_goes(jobs(rig, 1, image_rate_hz)[0], out)
        before, started_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        todo = jobs(rig, DRIVES_EACH * processes, image_rate_hz)
        answers = []
        make_all(todo, out / "all", processes=processes, on_share=lambda share: None, on_answer=lambda job, answer: answers.append((job, answer)))
        wall_s, after = time.perf_counter() - started_s, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        made = [job for job, answer in answers if not answer["left_out"]]
        pictures = sum(count_pictures(out / "all" / job.name, job) for job in made)
        hours = pictures / image_rate_hz / 3600.0
        size = sum(path.stat().st_size for path in (out / "all").rglob("*") if path.is_file())
    return {
        "rig": rig,
        "image_rate_hz": image_rate_hz,
        "processes": processes,
        "drives": len(made),
        "pictures": pictures,
        "pictures_per_s": round(pictures / wall_s, 1),
        "cpu_s_per_picture": round(cpu_s / pictures, 4),
        "mb_per_hour": round(size / 1e6 / hours),
        "where": stages,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rig", choices=tuple(RIGS), default="mono")
    parser.add_argument("--image-rate", type=float, default=4.0, metavar="HZ")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N")
    args = parser.parse_args()
    print(json.dumps(measure(args.rig, args.image_rate, args.jobs), indent=2))


if __name__ == "__main__":
    main()
