"""The calibration node and the supervisor as processes of their own, over DDS: not calibrated, calibrated, silent."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from mounting_helpers import CAMERA, Street, otherwise
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mimic_contracts.motion import quaternion_yaw
from mimic_contracts.ros_conversions import odometry_message, rgb_message
from mimic_contracts.ros_lifecycle import LATCHED_QOS, OK, SENSOR_QOS, WARN
from perception.calibration_memory import memory_path, remember

pytestmark = pytest.mark.ros

CALIBRATION, SUPERVISOR = "calibration_node", "supervisor_node"
SPEED_MPS = 8.0


class Drive:
    """A vehicle on a street, with a supervisor; the calibration node comes and goes."""

    def __init__(self, ros, memory: Path):
        self.ros, self.memory, self.x_m = ros, memory, 0.0
        self.street = Street()
        self.verdicts = ros.collect(DiagnosticStatus, "/supervisor/verdict", SENSOR_QOS)
        self.said: list[DiagnosticStatus] = []
        ros.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        patient = {"heartbeat_timeout_s": 2.0, "frame_timeout_s": 2.0, "odometry_timeout_s": 2.0}  # the tests' machine may be busy
        ros.start("vehicle_interface.supervisor_node", SUPERVISOR, {"calibration_required": True, "node_names": ["planner_node"], **patient})
        assert ros.configure(SUPERVISOR) and ros.activate(SUPERVISOR)
        self.frames = ros.publisher(Image, "/perception/frame", SENSOR_QOS)
        self.odometry = ros.publisher(Odometry, "/localization/kinematic_state", SENSOR_QOS)
        self.heart = ros.publisher(Header, "/planner_node/heartbeat", SENSOR_QOS)
        self.last_ns = ros.node.get_clock().now().nanoseconds
        ros.node.create_timer(0.1, self._beat)

    def start_calibration(self, **parameters):
        self.said.clear()
        self.ros.start("perception.calibration_node", CALIBRATION, {"memory": str(self.memory), **parameters})
        return self.ros.configure(CALIBRATION) and self.ros.activate(CALIBRATION)

    def wait_for_verdict(self, level, words):
        self.ros.wait_until(lambda: self.verdicts and self.verdicts[-1].level == level and words in self.verdicts[-1].message, f"the verdict '{words}'")

    def _on_diagnostics(self, message):
        self.said += [status for status in message.status if status.name == CALIBRATION]

    def _beat(self):
        now_ns = self.ros.node.get_clock().now().nanoseconds
        self.x_m, self.last_ns = self.x_m + SPEED_MPS * (now_ns - self.last_ns) / 1e9, now_ns
        pose = np.array([self.x_m, 0.0, 0.0])
        self.odometry.publish(odometry_message(stamp_ns=now_ns, pose=pose, speed_mps=SPEED_MPS, yaw_rate_radps=0.0))
        self.frames.publish(rgb_message(self.street.picture(pose), stamp_ns=now_ns, frame_id="mono"))
        self.heart.publish(Header(frame_id="planner_node"))


def test_not_calibrated_calibrated_by_memory_moved_and_silent(ros, tmp_path):
    drive = Drive(ros, tmp_path)
    drive.wait_for_verdict(WARN, "calibration_node does not say that the cameras are mounted right")

    assert drive.start_calibration()
    drive.wait_for_verdict(WARN, "calibration_node: mounting of 'front': uncalibrated: not known yet, ")

    def sightings():
        return int({pair.key: pair.value for pair in drive.said[-1].values}["sightings"])

    ros.wait_until(lambda: drive.said and sightings() >= 3, "sightings of the street")
    assert not list(tmp_path.iterdir()), "no block is whole yet"
    assert ros.stop(CALIBRATION)[0] == 0
    drive.wait_for_verdict(WARN, "calibration_node does not say")

    path = memory_path(str(tmp_path), vehicle="simulator", camera="front")
    right = CAMERA.mounting
    remember(path, [(right.yaw_rad, right.pitch_rad, right.z_m)] * 5, vehicle="simulator", camera="front")
    seen = ros.collect(TransformStamped, "/calibration/front", LATCHED_QOS)
    assert drive.start_calibration()
    drive.wait_for_verdict(OK, "")
    ros.wait_until(lambda: seen, "the mounting")
    assert (seen[-1].header.frame_id, seen[-1].child_frame_id) == ("base_link", "front")
    ros.stop(CALIBRATION)

    pushed = otherwise(right, pitch_deg=2.0, yaw_deg=-0.5)
    remember(path, [(pushed.yaw_rad, pushed.pitch_rad, pushed.z_m)] * 5, vehicle="simulator", camera="front")
    seen.clear()
    assert drive.start_calibration()
    drive.wait_for_verdict(WARN, "moved: pitch_deg is 0.00, seen is 2.00 (must be within 1.00)")
    ros.wait_until(lambda: seen, "the mounting")
    q, t = seen[-1].transform.rotation, seen[-1].transform.translation
    assert quaternion_yaw(x=q.x, y=q.y, z=q.z, w=q.w) == pytest.approx(pushed.yaw_rad)
    assert np.arcsin(2.0 * (q.w * q.y - q.z * q.x)) == pytest.approx(pushed.pitch_rad) and (t.x, t.z) == (right.x_m, right.z_m)


def test_what_cannot_be_calibrated_is_said_at_once(ros, tmp_path):
    (tmp_path / "simulator.front.json").write_text("{", encoding="utf-8")
    for parameters, said in (
        ({"memory": str(tmp_path)}, "simulator.front.json: cannot be understood"),
        ({"rig": "quad", "vehicle": "simulator_quad", "camera": "left"}, "camera: 'left' of rig 'quad' looks 70° aside"),
    ):
        ros.start("perception.calibration_node", CALIBRATION, {"memory": "", **parameters})
        assert not ros.configure(CALIBRATION)
        assert said in ros.output(CALIBRATION)
        ros.stop(CALIBRATION)
