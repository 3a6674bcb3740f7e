"""Drives for a long time, and looks whether memory grows: in lockstep, then in real time.

    python benchmarks/soak.py                                         30 min in lockstep, 10 in real time
    python benchmarks/soak.py --minutes 120 --real-time-minutes 0     a longer one, in lockstep only
    python benchmarks/soak.py --policy models/tiny --vehicle simulator_quad

Course `ring`, without an end. The resident memory (RSS) of each node's process is read once a second; after the warm-up (a fifth of the time)
its slope is taken from the means of ten blocks, with a 95 % interval. Exit code 1 when a node surely grows by more than GROWN_MB in the time
that was measured, when one ends, or lets an exception through. The simulator keeps the rows of its drive until the end; it is shown, not judged.
In real time a node may be late on a busy machine: such stops are counted, and the vehicle is engaged anew.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fault_drive import FaultDrive
from numpy.typing import NDArray

from mimic.bringup import start
from vehicle_interface import modes

SAMPLE_S, BLOCKS = 1.0, 10
WARM_UP_SHARE = 0.2
T_95 = 2.306  # Student's t, two-sided, of BLOCKS - 2 degrees of freedom
GROWN_MB = 1.0
NOT_JUDGED = ("sim_node",)


def growth(times_s: NDArray[np.float64], rss_mb: NDArray[np.float64]) -> tuple[float, float, float]:
    """Slope in MB/h, and its 95 % interval, from the means of BLOCKS blocks: what comes one after the other is not independent."""
    blocks = np.array_split(np.arange(len(times_s)), BLOCKS)
    hours, means = (np.array([values[block].mean() for block in blocks]) for values in (times_s / 3600.0, rss_mb))
    centred = hours - hours.mean()
    slope = float((centred * means).sum() / (centred**2).sum())
    residuals = means - means.mean() - slope * centred
    error = float(np.sqrt((residuals**2).sum() / (BLOCKS - 2) / (centred**2).sum()))
    return slope, slope - T_95 * error, slope + T_95 * error


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def watch(pids: dict[str, int], seconds: float, meanwhile: Callable[[float], None]) -> dict[str, Any]:
    """Look once a second; meanwhile(SAMPLE_S) passes the time between two looks, and raises RuntimeError when a node has ended."""
    began_s = time.monotonic()
    times: list[float] = []
    samples: dict[str, list[float]] = {name: [] for name in pids}
    while (now_s := time.monotonic() - began_s) < seconds:
        meanwhile(SAMPLE_S)
        times.append(now_s)
        for name, pid in pids.items():
            samples[name].append(rss_mb(pid))
        if len(times) % 60 == 0:
            print(f"{now_s / 60.0:.0f} min: " + ", ".join(f"{name} {values[-1]:.1f}" for name, values in samples.items()) + " MB", file=sys.stderr, flush=True)
    steady = np.array(times) > WARM_UP_SHARE * seconds
    after = np.array(times)[steady]
    figures = {}
    for name, values in samples.items():
        slope, low, high = growth(after, np.array(values)[steady])
        figures[name] = {
            "rss_mb": round(values[-1], 1),
            "slope_mb_per_h": round(slope, 2),
            "ci95": [round(low, 2), round(high, 2)],
            "grows": bool(name not in NOT_JUDGED and low * (after[-1] - after[0]) / 3600.0 > GROWN_MB),
        }
    return figures


def soak_in_lockstep(minutes: float, policy: str, vehicle: str) -> dict[str, Any]:
    """As fast as it goes."""
    arguments = {"policy": policy, "vehicle": vehicle, "lockstep": "true", "scene": "true", "route": "{course: ring, laps: 1000, time_limit_s: 1000000}"}
    with tempfile.TemporaryDirectory() as directory, start("sim", arguments, log_directory=Path(directory)) as bringup:
        names = [name for name in bringup.names if name != "lifecycle_manager_node"]

        def meanwhile(seconds: float) -> None:
            time.sleep(seconds)
            for name in bringup.names:
                if bringup.process(name).poll() is not None:
                    raise RuntimeError(f"{name} has ended:\n{bringup.last_lines(name)}")

        figures = watch({name: bringup.process(name).pid for name in names}, 60.0 * minutes, meanwhile)
        tracebacks = [path.stem for path in Path(directory).glob("*.log") if "Traceback" in path.read_text(encoding="utf-8", errors="replace")]
        return {"nodes": figures, "exceptions": tracebacks, "end": bringup.last_lines("sim_node").splitlines()[-1].partition("]: ")[2]}


def soak_in_real_time(minutes: float) -> dict[str, Any]:
    """With what drives in benchmarks/faults.py."""
    with FaultDrive() as drive:
        drive.engage()
        stops = [0]

        def meanwhile(seconds: float) -> None:
            drive.spin_until(lambda: False, seconds)
            drive.raise_for_dead()
            if drive.mode != modes.ENGAGED:
                stops[0] += 1
                drive.engage()

        names = ("camera_node", "planner_node", "supervisor_node", "vehicle_interface_node", "sim_node")
        figures = watch({name: drive.process(name).pid for name in names}, 60.0 * minutes, meanwhile)
        return {"nodes": figures, "exceptions": drive.judge_logs(), "outside_of_the_limits": drive.judge_commands(0, 0), "stops": stops[0]}


def main() -> int:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="in lockstep")
    parser.add_argument("--real-time-minutes", type=float, default=10.0, help="in real time")
    parser.add_argument("--policy", default="rule_based_oracle", help="what drives in lockstep")
    parser.add_argument("--vehicle", default="simulator", help="vehicle file, whose rig the policy must have")
    args = parser.parse_args()
    figures: dict[str, Any] = {"load_average": round(os.getloadavg()[0], 1)}
    if args.minutes:
        figures["lockstep"] = {"minutes": args.minutes, **soak_in_lockstep(args.minutes, args.policy, args.vehicle)}
    if args.real_time_minutes:
        figures["real_time"] = {"minutes": args.real_time_minutes, **soak_in_real_time(args.real_time_minutes)}
    print(json.dumps(figures, indent=2))
    runs = [figures[kind] for kind in ("lockstep", "real_time") if kind in figures]
    has_grown = any(node["grows"] for run in runs for node in run["nodes"].values())
    return int(has_grown or any(run["exceptions"] or run.get("outside_of_the_limits") for run in runs))


if __name__ == "__main__":
    sys.exit(main())
