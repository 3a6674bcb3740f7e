"""For the first-day procedure over DDS: a car with a driver, and somebody at the terminal of `mimic vehicle test`."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import yaml
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from std_msgs.msg import Bool

from mimic.domain import child_environment
from mimic_contracts.config import config_dir, load_yaml
from mimic_contracts.ros_conversions import odometry_message
from mimic_contracts.ros_lifecycle import RELIABLE_QOS, SENSOR_QOS
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.ego import Control, EgoMotion, step

PERIOD_S = 0.02
ROOT = Path(__file__).resolve().parents[1]


def vehicle_file(folder: Path) -> Path:
    """The simulator's car with somebody in it."""
    path = folder / "my_car.yaml"
    path.write_text(yaml.safe_dump({**load_yaml(config_dir() / "vehicles" / "simulator.yaml"), "driver_override_required": True}), encoding="utf-8")
    return path


class Car:
    """The simulator's car on the vehicle's topics, in this namespace, in real time; steering, speed: factors of its actuators, of which 1 is right."""

    def __init__(self, node, *, namespace="", steering=1.0, speed=1.0, has_timeout=True):
        self.vehicle, self.ego = load_vehicle("simulator"), EgoMotion(x_m=0.0, y_m=0.0, yaw_rad=0.0)
        self.node, self.steering, self.speed, self.has_timeout = node, steering, speed, has_timeout
        self.control, self.told_s, self.is_braked_by_driver, self.top_mps = None, 0.0, False, 0.0
        self.odometry = node.create_publisher(Odometry, namespace + self.vehicle.topics.odometry, SENSOR_QOS)
        self.override = node.create_publisher(Bool, namespace + self.vehicle.topics.driver_override, SENSOR_QOS)
        node.create_subscription(TwistStamped, namespace + self.vehicle.topics.command, self._on_command, RELIABLE_QOS)
        node.create_timer(PERIOD_S, self._move)

    @property
    def silent_s(self):
        """Since the last command."""
        return time.monotonic() - self.told_s

    def _on_command(self, message):
        twist = message.twist
        self.control = Control.from_twist(speed_mps=self.speed * twist.linear.x, yaw_rate_radps=self.steering * self.speed * twist.angular.z)
        self.told_s = time.monotonic()

    def _move(self):
        is_silent = self.control is None or (self.has_timeout and self.silent_s > self.vehicle.command_timeout_s)
        self.ego = step(self.ego, self.vehicle, None if is_silent else self.control, duration_s=PERIOD_S)
        self.top_mps = max(self.top_mps, self.ego.speed_mps)
        stamp_ns, ego = self.node.get_clock().now().nanoseconds, self.ego
        self.odometry.publish(odometry_message(stamp_ns=stamp_ns, pose=ego.pose, speed_mps=ego.speed_mps, yaw_rate_radps=ego.yaw_rate_radps))
        self.override.publish(Bool(data=self.is_braked_by_driver))


class Terminal:
    """`mimic vehicle test` with these arguments; `asks` says whether it waits for an answer."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mimic.cli", "vehicle", "test", *map(str, arguments)],
            cwd=ROOT,
            env=child_environment(loopback=True),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.set_blocking(self.process.stderr.fileno(), False)
        self.said, self.answered_at = "", 0

    @property
    def asks(self):
        """Whether a new question is open, or the end has come."""
        self.said += (self.process.stderr.read() or b"").decode()
        return self.process.poll() is not None or (len(self.said) > self.answered_at and self.said.endswith("] "))

    @property
    def step(self):
        """The step that it is about."""
        return ["", *re.findall(r"\n\d/\d (\w+): ", self.said)][-1]

    @property
    def question(self):
        """What was said since the last answer."""
        return self.said[self.answered_at :]

    def answer(self, text):
        """To the open question."""
        self.answered_at = len(self.said)
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def end(self):
        """Exit code and stdout."""
        if self.process.stdin.closed:
            self.process.stdin = None  # as communicate understands it
        out, err = self.process.communicate(timeout=60.0)
        self.said += (err or b"").decode()
        return self.process.returncode, out.decode()

    def close(self):
        """End it, as it would be ended: its nodes end with it."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60.0)
