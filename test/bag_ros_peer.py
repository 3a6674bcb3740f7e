"""The other side of the recording tests, in a process of its own: a lockstep publisher."""

import sys

import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from mimic_contracts.ros_conversions import odometry_message, rgb_message
from mimic_contracts.ros_lifecycle import LATCHED_QOS

TIMEOUT_S = 60.0


class Peer:
    """Publishes pictures and odometry in lockstep with itself, as fast as it can, and a latched text.

    It is faster than any simulator, so what it publishes is kept for a recorder that may lag behind."""

    def __init__(self, ticks: int) -> None:
        kept = QoSProfile(depth=ticks, reliability=ReliabilityPolicy.RELIABLE)
        self.node = rclpy.create_node("recording_peer")
        self.pictures = self.node.create_publisher(Image, "/camera/front/image_raw", kept)
        self.odometry = self.node.create_publisher(type(odometry_message(stamp_ns=0, pose=np.zeros(3), speed_mps=0.0, yaw_rate_radps=0.0)), "/odom", kept)
        self.mode = self.node.create_publisher(String, "/vehicle/mode", LATCHED_QOS)
        self.mode.publish(String(data="engaged"))
        self.answers = self.node.create_subscription(Image, "/camera/front/image_raw", self._answer, kept)
        self.answered_ns = -1

    def _answer(self, message: Image) -> None:
        self.answered_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec

    def wait_for_recorder(self) -> None:
        """Block until both this node and a recorder are subscribed."""
        event = self.node.create_timer(0.02, lambda: None)
        for _ in range(int(TIMEOUT_S / 0.02)):
            if self.pictures.get_subscription_count() == 2 and self.odometry.get_subscription_count() == 1:
                self.node.destroy_timer(event)
                return
            rclpy.spin_once(self.node, timeout_sec=1.0)
        raise SystemExit("no recorder subscribed")

    def drive(self, ticks: int) -> None:
        """Publish tick k, wait for the answer to it, publish k + 1."""
        picture = np.zeros((128, 256, 3), np.uint8)
        for tick in range(ticks):
            stamp_ns = (tick + 1) * 50_000_000
            self.odometry.publish(odometry_message(stamp_ns=stamp_ns, pose=np.array([tick, 0.0, 0.0]), speed_mps=5.0, yaw_rate_radps=0.0))
            self.pictures.publish(rgb_message(picture, stamp_ns=stamp_ns, frame_id="camera"))
            while self.answered_ns != stamp_ns:
                rclpy.spin_once(self.node, timeout_sec=TIMEOUT_S)
        for publisher in (self.pictures, self.odometry):
            publisher.wait_for_all_acked(Duration(seconds=TIMEOUT_S))


def main(ticks: int) -> None:
    """Drive once somebody has written a line, and a recorder is there."""
    rclpy.init()
    peer = Peer(ticks)
    sys.stdin.readline()
    peer.wait_for_recorder()
    peer.drive(ticks)
    print("done", flush=True)
    rclpy.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
