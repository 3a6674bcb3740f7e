"""How fast traffic is: steps per second with everybody's state and all signals read, beside a bare libsumo loop.

    python benchmarks/traffic_speed.py config/towns/train_1.net.xml.gz        about half a minute; figures on stdout as JSON

The bare loop steps the same simulation and reads position, angle, speed and lights into nothing.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import libsumo
import numpy as np

from mimic_contracts.vehicle import load_vehicle
from mimic_sim.traffic import Traffic, TrafficSpec

TICK_S = 0.05
TURN_TICKS = 20


def timed(works: dict[str, Callable[[], object]], ticks: int) -> dict[str, float]:
    """Of each work: calls per second, and milliseconds of CPU per call (which holds on a busy machine too). They take
    turns, so that both find the same town."""
    wall_s, cpu_s = dict.fromkeys(works, 0.0), dict.fromkeys(works, 0.0)
    for _ in range(ticks // TURN_TICKS):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(TURN_TICKS):
                work()
            wall_s[name] += time.perf_counter() - wall
            cpu_s[name] += time.process_time() - cpu
    return {f"{n}_steps_per_s": ticks / s for n, s in wall_s.items()} | {f"{n}_cpu_ms": 1e3 * s / ticks for n, s in cpu_s.items()}


def bare_step() -> None:
    """Step libsumo and read everything that an actor is made of."""
    libsumo.simulation.step()
    vehicle, person = libsumo.vehicle, libsumo.person
    for name in vehicle.getIDList():
        vehicle.getPosition(name), vehicle.getAngle(name), vehicle.getSpeed(name), vehicle.getSignals(name)
    for name in person.getIDList():
        person.getPosition(name), person.getAngle(name), person.getSpeed(name)
    for signal in libsumo.trafficlight.getIDList():
        libsumo.trafficlight.getRedYellowGreenState(signal)


def measure(net: Path, spec: TrafficSpec, ticks: int) -> dict[str, float]:
    """All figures of one run."""
    pose = np.array([-1000.0, -1000.0, 0.0])
    started_s = time.perf_counter()
    with Traffic(net, spec, tick_s=TICK_S, ego=load_vehicle("twist_car"), ego_pose=pose) as traffic:
        figures = {"start_s": time.perf_counter() - started_s}

        def step() -> None:
            traffic.step(pose)
            traffic.actors(), traffic.signal_states()

        figures |= timed({"traffic": step, "bare": bare_step}, ticks)
    return figures


def main() -> None:
    """Measure, each time in a process of its own (SUMO keeps its memory), and print the fastest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", type=Path)
    parser.add_argument("--vehicles", type=int, default=80)
    parser.add_argument("--pedestrians", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60.0, help="simulated, per run")
    parser.add_argument("--repeats", type=int, default=3, help="the run with the least CPU counts")
    args = parser.parse_args()
    spec = TrafficSpec(vehicles=args.vehicles, pedestrians=args.pedestrians, seed=1)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        runs = [pool.apply(measure, (args.net, spec, round(args.seconds / TICK_S))) for _ in range(args.repeats)]
    figures = min(runs, key=lambda run: run["traffic_cpu_ms"])
    figures["traffic_over_bare_cpu"] = figures["traffic_cpu_ms"] / figures["bare_cpu_ms"]
    print(json.dumps({"vehicles": args.vehicles, "pedestrians": args.pedestrians, **{k: round(v, 3) for k, v in figures.items()}}, indent=2))


if __name__ == "__main__":
    main()
