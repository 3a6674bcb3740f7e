"""How soon braking begins after a node dies or hangs, in real time in the simulator.

    python benchmarks/fault_response.py                 about 3 min; figures on stdout as JSON, ms
    python benchmarks/fault_response.py --busy 2        with two processes beside that starve the others

Each of the nodes is killed (SIGKILL) and stopped (SIGSTOP), each time in a bring-up of its own, while the vehicle drives. Braking has
begun with the first command that is slower than the last before the fault; after the end of the vehicle interface, whose
place the vehicle's own command timeout takes, with the first odometry that is.
"""

import argparse
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from std_msgs.msg import String

from mimic.bringup import child_environment, start
from mimic_contracts.action_spec import CAR
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.ros_lifecycle import LATCHED_QOS, RELIABLE_QOS, SENSOR_QOS

NODES = ("camera_node", "planner_node", "supervisor_node", "vehicle_interface_node")
FAULTS = {"killed": signal.SIGKILL, "hung": signal.SIGSTOP}
START_S, STEADY_S, WATCH_S = 60.0, 7.0, 3.0
SLOWER_MPS = 0.02
TARGET_MPS = 5.0


class Straight:
    """A policy: straight on at TARGET_MPS."""

    spec = CAR
    rig_name: str | None = None

    def reset(self) -> None:
        """Nothing is kept."""

    def plan(self, observation: Observation) -> Plan:
        """From the present speed on to the target."""
        speed = observation.ego.speed_mps or 0.0
        acceleration = float(np.clip(TARGET_MPS - speed, -1.0, 1.0))
        speeds = speed + acceleration * np.minimum(CAR.times_s, abs(TARGET_MPS - speed))
        ways = np.concatenate([[0.0], np.cumsum((speeds[1:] + speeds[:-1]) / 2.0 * np.diff(CAR.times_s))])
        zeros = np.zeros_like(ways)
        values = np.stack([ways, zeros, zeros, speeds, zeros + acceleration, zeros], axis=1)
        return Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=values, model_id="straight")


class Observer:
    """Speeds that are commanded and driven, with the times of their publication, ns."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("fault_observer")
        self.commanded: list[tuple[int, float]] = []
        self.driven: list[tuple[int, float]] = []
        self.mode = ""
        self.node.create_subscription(
            TwistStamped, "/vehicle/command", lambda m, i: self.commanded.append((i["source_timestamp"], m.twist.linear.x)), RELIABLE_QOS
        )
        self.node.create_subscription(
            Odometry, "/localization/kinematic_state", lambda m, i: self.driven.append((i["source_timestamp"], m.twist.twist.linear.x)), SENSOR_QOS
        )
        self.node.create_subscription(String, "/vehicle/mode", self._on_mode, LATCHED_QOS)

    def _on_mode(self, message: String) -> None:
        self.mode = message.data

    def spin_for(self, seconds: float) -> None:
        """Listen."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            rclpy.spin_once(self.node, timeout_sec=0.05)


def braking_after_ms(speeds: list[tuple[int, float]], fault_ns: int) -> float | None:
    """From the fault to the first speed that is lower than the last before it; None when there is none."""
    before = [speed for when_ns, speed in speeds if when_ns <= fault_ns][-1]
    return next(((when_ns - fault_ns) / 1e6 for when_ns, speed in speeds if when_ns > fault_ns and speed < before - SLOWER_MPS), None)


def measure(name: str, number: int) -> float | None:
    """One fault of one node, in a bring-up of its own."""
    observer = Observer()
    with start("sim", {"policy": "fault_response:Straight", "lockstep": "false"}) as bringup:
        deadline_s = time.monotonic() + START_S
        while observer.mode != "engaged":
            observer.spin_for(0.1)
            if time.monotonic() > deadline_s:
                raise SystemExit(f"not engaged within {START_S} s:\n{bringup.last_lines('vehicle_interface_node')}\n{bringup.last_lines('supervisor_node')}")
        observer.spin_for(STEADY_S)
        if observer.mode != "engaged":
            raise SystemExit(f"{observer.mode} before any fault:\n{bringup.last_lines('supervisor_node')}")
        fault_ns = time.time_ns()
        bringup.send_signal(name, number)
        observer.spin_for(WATCH_S)
        bringup.send_signal(name, signal.SIGCONT)
    observer.node.destroy_node()
    return braking_after_ms(observer.driven if name == "vehicle_interface_node" else observer.commanded, fault_ns)


def burn() -> None:
    """Take a processor."""
    while True:
        pass


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=0, help="processes beside that do nothing but compute")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))  # for the policy
    environment = child_environment(loopback=True)
    os.environ.update({key: environment[key] for key in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_DOMAIN_ID", "FASTDDS_DEFAULT_PROFILES_FILE")})
    beside = [multiprocessing.Process(target=burn, daemon=True) for _ in range(args.busy)]
    for process in beside:
        process.start()
    rclpy.init()
    try:
        figures = {f"{name} {fault}": measure(name, number) for name in NODES for fault, number in FAULTS.items()}
    finally:
        for process in beside:
            process.kill()
        rclpy.try_shutdown()
    rounded = {case: None if value is None else round(value) for case, value in figures.items()}
    print(json.dumps({"busy": args.busy, "load_average": round(os.getloadavg()[0], 1), "braking_after_ms": rounded}, indent=2))


if __name__ == "__main__":
    main()
