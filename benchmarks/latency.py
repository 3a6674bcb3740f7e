"""Latency from the publication of a camera picture to the publication of the actuation it leads to, in real time at 20 Hz.

    python benchmarks/latency.py --policy out/demo/run           about 30 s; figures on stdout as JSON

Simulator, camera node, planner node and vehicle interface run as processes of their own. Publication times are DDS
source timestamps, so that this process's own delays don't count. The actuation of a picture is the first command that
is published after the plan with the picture's stamp has reached a subscriber; with a timer at 50 Hz in the vehicle
interface that includes up to 20 ms of waiting. In the same run three bare relays pass the same picture on, answer it
with a trajectory, and that with a twist: the price of three hops in Python, without any work.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from bisect import bisect_right
from contextlib import suppress

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from mimic.bringup import child_environment, start
from mimic_contracts.action_spec import CAR
from mimic_contracts.ros_conversions import stamp_to_ns
from mimic_contracts.ros_lifecycle import RELIABLE_QOS, SENSOR_QOS

PICTURE_TOPIC, PLAN_TOPIC, COMMAND_TOPIC = "/camera/front/image_raw", "/planning/trajectory", "/vehicle/command"
WARM_UP_S = 3.0
START_S = 60.0


def relay(role: str) -> None:
    """One of three processes that do nothing but pass on."""
    rclpy.init()
    node = rclpy.create_node(f"relay_{role}")
    if role == "frame":
        publisher = node.create_publisher(Image, "/relay/frame", SENSOR_QOS)
        node.create_subscription(Image, PICTURE_TOPIC, publisher.publish, SENSOR_QOS)
    elif role == "trajectory":
        publisher = node.create_publisher(JointTrajectory, "/relay/trajectory", RELIABLE_QOS)
        points = [JointTrajectoryPoint(positions=[0.0] * len(CAR.channels)) for _ in CAR.times_s]

        def plan(message: Image) -> None:
            publisher.publish(JointTrajectory(header=message.header, joint_names=list(CAR.channels), points=points))

        node.create_subscription(Image, "/relay/frame", plan, SENSOR_QOS)
    else:
        publisher = node.create_publisher(TwistStamped, "/relay/command", RELIABLE_QOS)
        node.create_subscription(JointTrajectory, "/relay/trajectory", lambda message: publisher.publish(TwistStamped(header=message.header)), RELIABLE_QOS)
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


class Observer:
    """Notes when what was published, by stamp."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("latency_observer")
        self.pictures: dict[int, int] = {}
        self.plans: dict[int, int] = {}  # when a subscriber had it
        self.commands: list[int] = []
        self.relayed: dict[int, int] = {}

        def on_picture(message: Image, info: dict[str, int]) -> None:
            self.pictures[stamp_to_ns(message.header.stamp)] = info["source_timestamp"]

        def on_plan(message: JointTrajectory, info: dict[str, int]) -> None:
            self.plans[stamp_to_ns(message.header.stamp)] = info["received_timestamp"]

        def on_command(message: TwistStamped, info: dict[str, int]) -> None:
            self.commands.append(info["source_timestamp"])

        def on_relayed(message: TwistStamped, info: dict[str, int]) -> None:
            self.relayed[stamp_to_ns(message.header.stamp)] = info["source_timestamp"]

        self.node.create_subscription(Image, PICTURE_TOPIC, on_picture, SENSOR_QOS)
        self.node.create_subscription(JointTrajectory, PLAN_TOPIC, on_plan, RELIABLE_QOS)
        self.node.create_subscription(TwistStamped, COMMAND_TOPIC, on_command, RELIABLE_QOS)
        self.node.create_subscription(TwistStamped, "/relay/command", on_relayed, RELIABLE_QOS)

    def latencies_ms(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) of the nodes and (M,) of the relays, without the first WARM_UP_S."""
        begin = min(self.pictures.values()) + WARM_UP_S * 1e9
        commands = sorted(self.commands)
        ours = []
        for stamp, published_ns in self.pictures.items():
            if published_ns < begin or stamp not in self.plans:
                continue
            index = bisect_right(commands, self.plans[stamp])
            if index < len(commands):
                ours.append((commands[index] - published_ns) / 1e6)
        bare = [(ended - self.pictures[stamp]) / 1e6 for stamp, ended in self.relayed.items() if self.pictures.get(stamp, 0) > begin]
        return np.array(ours), np.array(bare)


def summary(name: str, latencies_ms: np.ndarray) -> dict[str, float | int]:
    """Percentiles of one chain."""
    if len(latencies_ms) == 0:
        raise SystemExit(f"{name}: nothing was measured: did the nodes come up? See the logs of the bring-up")
    figures = {f"{name}_p{q}_ms": round(float(np.percentile(latencies_ms, q)), 2) for q in (50, 95, 99)}
    return {**figures, f"{name}_max_ms": round(float(latencies_ms.max()), 2), f"{name}_count": len(latencies_ms)}


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="constant_velocity", help="what plans; measure with the network that shall drive")
    parser.add_argument("--seconds", type=float, default=18.0, help="of driving")
    parser.add_argument("--relay", choices=("frame", "trajectory", "command"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.relay:
        relay(args.relay)
        return
    environment = child_environment(loopback=True)
    os.environ.update({key: environment[key] for key in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_DOMAIN_ID", "FASTDDS_DEFAULT_PROFILES_FILE")})
    roles = ("frame", "trajectory", "command")
    relays = [subprocess.Popen([sys.executable, __file__, "--relay", role], env=environment) for role in roles]
    rclpy.init()
    observer = Observer()
    try:
        arguments = {"policy": args.policy, "lockstep": "false", "route": f"{{time_limit_s: {args.seconds + WARM_UP_S}}}"}
        with start("sim", arguments) as bringup:
            deadline_s = time.monotonic() + START_S
            while not observer.pictures and time.monotonic() < deadline_s:
                rclpy.spin_once(observer.node, timeout_sec=0.1)
            if not observer.pictures:
                raise SystemExit(f"no picture within {START_S} s:\n{bringup.last_lines('sim_node')}")
            deadline_s = time.monotonic() + args.seconds + WARM_UP_S
            while time.monotonic() < deadline_s:
                rclpy.spin_once(observer.node, timeout_sec=0.1)
    finally:
        for process in relays:
            process.terminate()
        for process in relays:
            process.wait()
        rclpy.try_shutdown()
    ours, bare = observer.latencies_ms()
    rate_hz = len(observer.pictures) / max((max(observer.pictures.values()) - min(observer.pictures.values())) / 1e9, 1e-9)
    figures = {"policy": args.policy, "picture_rate_hz": round(rate_hz, 2), "load_average": round(os.getloadavg()[0], 1)}
    print(json.dumps({**figures, **summary("camera_to_actuation", ours), **summary("bare_relay", bare)}, indent=2))


if __name__ == "__main__":
    main()
