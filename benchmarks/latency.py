"""Latency from the publication of a camera picture to the publication of the actuation it leads to, in real time at 20 Hz.

    python benchmarks/latency.py --policy out/demo/run                    about 30 s; figures on stdout as JSON
    python benchmarks/latency.py --policy out/demo/run --seconds 600      ten minutes
    python benchmarks/latency.py --policy RUN --trace out/trace && mimic trace out/trace        where the time goes

Simulator, camera node, planner node, supervisor and vehicle interface run as processes of their own, and their traces say when what
was published. In the same run three bare relays pass the same picture on, answer it with a trajectory, and that with a twist: the
price of three hops in Python, without any work; theirs are DDS source timestamps, so that this process's own delays don't count.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from mimic.bringup import start
from mimic.domain import child_environment
from mimic.trace_table import whole_way_ms
from mimic_contracts.action_spec import CAR
from mimic_contracts.ros_conversions import stamp_to_ns
from mimic_contracts.ros_lifecycle import RELIABLE_QOS, SENSOR_QOS
from mimic_contracts.stage_trace import read_trace

PICTURE_TOPIC = "/camera/front/image_raw"
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
    """Notes when the picture and the relays' answer to it were published, by stamp."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("latency_observer")
        self.pictures: dict[int, int] = {}
        self.relayed: dict[int, int] = {}

        def on_picture(message: Image, info: dict[str, int]) -> None:
            self.pictures[stamp_to_ns(message.header.stamp)] = info["source_timestamp"]

        def on_relayed(message: TwistStamped, info: dict[str, int]) -> None:
            self.relayed[stamp_to_ns(message.header.stamp)] = info["source_timestamp"]

        self.node.create_subscription(Image, PICTURE_TOPIC, on_picture, SENSOR_QOS)
        self.node.create_subscription(TwistStamped, "/relay/command", on_relayed, RELIABLE_QOS)

    @property
    def begin_ns(self) -> int:
        """Stamp of the first picture after the warm-up."""
        return min(self.pictures) + round(WARM_UP_S * 1e9)

    def relayed_ms(self) -> np.ndarray:
        """(N,) of the relays."""
        return np.array([(ended - self.pictures[stamp]) / 1e6 for stamp, ended in self.relayed.items() if stamp in self.pictures and stamp >= self.begin_ns])


def summary(name: str, latencies_ms: np.ndarray) -> dict[str, float | int]:
    """Percentiles of one chain."""
    if len(latencies_ms) == 0:
        raise SystemExit(f"{name}: nothing was measured: did the nodes come up? See the logs of the bring-up")
    figures = {f"{name}_p{q:g}_ms": round(float(np.percentile(latencies_ms, q)), 2) for q in (50, 95, 99, 99.9)}
    return {**figures, f"{name}_max_ms": round(float(latencies_ms.max()), 2), f"{name}_count": len(latencies_ms)}


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="constant_velocity", help="what plans; measure with the network that shall drive")
    parser.add_argument("--seconds", type=float, default=18.0, help="of driving")
    parser.add_argument("--vehicle", default="simulator", help="simulator_quad: four cameras")
    parser.add_argument("--trace", type=Path, help="keep the nodes' traces in this directory")
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
    with tempfile.TemporaryDirectory() as scratch:
        directory = args.trace or Path(scratch)
        try:
            drive(observer, args, directory)
        finally:
            for process in relays:
                process.terminate()
            for process in relays:
                process.wait()
            rclpy.try_shutdown()
        ours = whole_way_ms([one for path in directory.glob("*.json") for one in read_trace(path)], since_ns=observer.begin_ns)
    asked = sum(stamp >= observer.begin_ns for stamp in observer.pictures)
    rate_hz = len(observer.pictures) / max((max(observer.pictures.values()) - min(observer.pictures.values())) / 1e9, 1e-9)
    figures = {"policy": args.policy, "pictures": asked, "picture_rate_hz": round(rate_hz, 2), "load_average": round(os.getloadavg()[0], 1)}
    print(json.dumps({**figures, **summary("camera_to_actuation", ours), **summary("bare_relay", observer.relayed_ms())}, indent=2))


def drive(observer: Observer, args: argparse.Namespace, directory: Path) -> None:
    """For so many seconds, and the warm-up."""
    seconds = args.seconds + WARM_UP_S
    arguments = {"policy": args.policy, "vehicle": args.vehicle, "lockstep": "false", "route": f"{{time_limit_s: {seconds}}}", "trace": str(directory)}
    with start("sim", arguments) as bringup:
        deadline_s = time.monotonic() + START_S
        while not observer.pictures and time.monotonic() < deadline_s:
            rclpy.spin_once(observer.node, timeout_sec=0.1)
        if not observer.pictures:
            raise SystemExit(f"no picture within {START_S} s:\n{bringup.last_lines('sim_node')}")
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            rclpy.spin_once(observer.node, timeout_sec=0.1)


if __name__ == "__main__":
    main()
