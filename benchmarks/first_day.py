"""The whole first-day procedure over DDS, in real time: a rehearsal in the simulator, and cars with something wrong.

    python benchmarks/first_day.py                 about 6 min; on stdout per case: as it should be or not, the step that failed and why
    python benchmarks/first_day.py --case reversed_steering

A program answers the questions of `mimic vehicle test` with yes, and presses the brake when it is asked to.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "test"))  # the car and the terminal of its tests

import rclpy
from first_day_car import Car, Terminal, vehicle_file

from mimic.domain import child_environment, own_domain_id

# The car's faults, and the step that must find them.
CASES = {
    "rehearsal": (None, ""),
    "right": ({}, ""),
    "reversed_steering": ({"steering": -1.0}, "steering"),
    "narrow_steering": ({"steering": 0.7}, "steering"),
    "half_speed": ({"speed": 0.5}, "speed"),
    "no_command_timeout": ({"has_timeout": False}, "own_brakes"),
}


def go_through(case: str, folder: Path) -> dict[str, object]:
    """One case; what came of it."""
    faults, expected = CASES[case]
    node, out = rclpy.create_node("first_day_car"), folder / f"{case}.json"
    car = None if faults is None else Car(node, **faults)
    terminal = Terminal(*(["simulator", "--rehearse"] if car is None else [vehicle_file(folder), "--on-ground"]), "--out", out)
    begun_s, brakes_until_s, is_told_to_brake = time.monotonic(), 0.0, False
    while terminal.process.poll() is None:
        rclpy.spin_once(node, timeout_sec=0.01)
        if car is not None:
            if is_told_to_brake and car.silent_s < 0.1:
                is_told_to_brake, brakes_until_s = False, time.monotonic() + 1.0
            car.is_braked_by_driver = time.monotonic() < brakes_until_s
        if terminal.asks and terminal.process.poll() is None:
            is_told_to_brake = terminal.step == "override" and "Ready?" in terminal.question
            terminal.answer("n" if "Do it again?" in terminal.question else "y")
    code, _ = terminal.end()
    node.destroy_node()
    steps = json.loads(out.read_text(encoding="utf-8"))["steps"]
    failed = next((step for step in steps if step["outcome"] == "failed"), {"step": "", "why": ""})
    figures = {key: value for step in steps for key, value in step["figures"].items()}
    is_right = failed["step"] == expected and code == (expected != "")
    return {"case": case, "is_right": is_right, "failed": failed["step"], "why": failed["why"], "took_s": round(time.monotonic() - begun_s, 1), **figures}


def main() -> int:
    """Run the cases; exit code 1 when one is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="only this one; may be repeated")
    args = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(own_domain_id())
    environment = child_environment(loopback=True)
    os.environ.update({key: environment[key] for key in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE")})
    rclpy.init()
    results = []
    with tempfile.TemporaryDirectory(prefix="first_day_") as folder:
        for case in args.case or CASES:
            results.append(go_through(case, Path(folder)))
            print(json.dumps(results[-1]), flush=True)
    rclpy.shutdown()
    return 0 if all(result["is_right"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
