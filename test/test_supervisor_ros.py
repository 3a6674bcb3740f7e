"""The supervisor and the vehicle interface as processes of their own, over DDS: who dies or hangs stops the vehicle."""

import os
import signal

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Header, String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory
from vehicle_helpers import arc_plan

from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import ns_to_stamp, odometry_message, plan_message, rgb_message
from mimic_contracts.ros_lifecycle import ERROR, LATCHED_QOS, OK, SENSOR_QOS, WARN
from vehicle_interface import modes
from vehicle_interface.kinematics import advance_pose

pytestmark = pytest.mark.ros

RIG = load_rig("mono")
INTERFACE, SUPERVISOR = "vehicle_interface_node", "supervisor_node"
PATIENT = {"heartbeat_timeout_s": 2.0, "frame_timeout_s": 2.0, "odometry_timeout_s": 2.0}  # the tests' machine may be busy


class Car:
    """Both nodes, and all that is around them: camera node, planner node, odometry, a vehicle that obeys."""

    def __init__(self, ros):
        self.ros, self.speed, self.pose, self.count = ros, 6.0, np.zeros(3), 0
        self.alive, self.sees, self.frozen, self.complaint = {"camera_node", "planner_node"}, True, False, None
        self.commands = ros.collect(TwistStamped, "/vehicle/command")
        self.modes = ros.collect(String, "/vehicle/mode", LATCHED_QOS)
        self.requests = ros.collect(Bool, "/vehicle/takeover_request", LATCHED_QOS)
        self.verdicts = ros.collect(DiagnosticStatus, "/supervisor/verdict", SENSOR_QOS)
        self.supervisor = ros.start("vehicle_interface.supervisor_node", SUPERVISOR, PATIENT)
        timeouts = {"supervisor_timeout_s": 2.0, "odometry_timeout_s": 2.0, "plan_timeout_s": 2.0}
        self.interface = ros.start("vehicle_interface.vehicle_interface_node", INTERFACE, {"supervisor_required": True, **timeouts})
        for name in (SUPERVISOR, INTERFACE):
            assert ros.configure(name) and ros.activate(name)
        self.odometry = ros.publisher(Odometry, "/localization/kinematic_state")
        self.trajectory = ros.publisher(JointTrajectory, "/planning/trajectory")
        self.frames = ros.publisher(Image, "/perception/frame")
        self.diagnostics = ros.publisher(DiagnosticArray, "/diagnostics")
        self.hearts = {name: ros.publisher(Header, f"/{name}/heartbeat", SENSOR_QOS) for name in self.alive}
        ros.wait_until(lambda: self.verdicts, "a verdict")
        ros.node.create_timer(0.02, self._beat)

    def _beat(self):
        if self.commands:
            self.speed = self.commands[-1].twist.linear.x
        self.pose = advance_pose(self.pose, distance_m=self.speed * 0.02, curvature_1pm=0.0)
        self.count += not self.frozen
        now_ns = self.ros.node.get_clock().now().nanoseconds
        self.odometry.publish(odometry_message(stamp_ns=now_ns, pose=self.pose, speed_mps=self.speed, yaw_rate_radps=0.0))
        self.trajectory.publish(plan_message(arc_plan(stamp_ns=now_ns, speed=self.speed)))
        if self.sees:
            self.frames.publish(rgb_message(np.full(RIG.packed_shape, 20 + self.count % 200, np.uint8), stamp_ns=now_ns, frame_id="mono"))
        for name in self.alive:
            self.hearts[name].publish(Header(frame_id=name))
        if self.complaint is not None:
            array = DiagnosticArray(status=[DiagnosticStatus(level=self.complaint, name="camera_node", message="camera 'front': something")])
            array.header.stamp = ns_to_stamp(now_ns)
            self.diagnostics.publish(array)

    @property
    def mode(self):
        return self.modes[-1].data if self.modes else ""

    @property
    def wants_driver(self):
        """None as long as it has not said so."""
        return self.requests[-1].data if self.requests else None

    def engaged(self):
        request = SetBool.Request(data=True)
        self.ros.wait_until(lambda: self.ros.call(SetBool, "/vehicle/engage", request).success, "that it engages")
        self.ros.wait_until(lambda: self.mode == modes.ENGAGED and self.commands and self.wants_driver is False, "that it drives")
        return self

    def wait_for_stop(self, reason=""):
        self.ros.wait_until(lambda: self.mode == modes.MINIMAL_RISK_STOP, "the stop")
        self.ros.wait_until(lambda: self.wants_driver, "the request for a driver")
        self.ros.wait_until(lambda: self.commands[-1].twist.linear.x == 0.0, "standstill")
        if reason:
            self.ros.wait_until(lambda: any(v.level == ERROR and reason in v.message for v in self.verdicts), f"the verdict '{reason}'")


def test_one_life(ros):
    """Nothing yet, all well, a dead node, well again, a complaint, frozen pictures, deactivated."""
    car = Car(ros)
    assert car.verdicts[0].level == ERROR, "it does not say ok before all is there"
    car.engaged()
    ros.wait_until(lambda: car.verdicts[-1].level == OK, "the verdict")  # the interface may have heard it earlier than this test
    assert car.verdicts[-1].name == SUPERVISOR
    car.alive.remove("planner_node")
    car.wait_for_stop("no heartbeat of planner_node within 2.0 s")

    def is_refused() -> bool:
        """For the supervisor's reason: until the next plan after the standstill, it is that there is none."""
        answer = ros.call(SetBool, "/vehicle/engage", SetBool.Request(data=True))
        assert not answer.success
        return "the supervisor says: no heartbeat of planner_node" in answer.message

    ros.wait_until(is_refused, "that it refuses for what the supervisor says")

    car.alive.add("planner_node")
    car.engaged()
    car.complaint = WARN
    ros.wait_until(lambda: car.wants_driver, "the request for a driver")
    ros.wait_until(lambda: car.verdicts[-1].level == WARN, "the verdict")
    assert car.mode == modes.ENGAGED
    car.complaint = OK
    ros.wait_until(lambda: car.wants_driver is False, "that nobody is needed")

    assert ros.deactivate(SUPERVISOR)
    car.wait_for_stop()


def test_frozen_pictures_and_pictures_that_end_stop(ros):
    car = Car(ros)
    car.engaged()
    car.frozen = True  # the speed is that of the last command, 6 m/s
    car.wait_for_stop("the pictures of camera 'front' are frozen")
    car.sees = False
    ros.wait_until(lambda: "no pictures within 2.0 s" in car.verdicts[-1].message, "the verdict")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_the_end_of_the_supervisor_stops(ros, number):
    car = Car(ros).engaged()
    if number == signal.SIGKILL:
        ros.forget(SUPERVISOR).kill()
    else:
        os.kill(car.supervisor.pid, number)
    car.wait_for_stop()
    if number == signal.SIGSTOP:
        os.kill(car.supervisor.pid, signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_the_end_of_the_vehicle_interface_is_noticed_and_silent(ros, number):
    """The rest is the vehicle's own command timeout."""
    car = Car(ros).engaged()
    if number == signal.SIGKILL:
        ros.forget(INTERFACE).kill()
    else:
        os.kill(car.interface.pid, number)
    ros.wait_until(lambda: "no heartbeat of vehicle_interface_node within 2.0 s" in car.verdicts[-1].message, "the verdict")
    said = len(car.commands)
    ros.spin_for(0.2)
    assert len(car.commands) == said
    if number == signal.SIGSTOP:
        os.kill(car.interface.pid, signal.SIGCONT)
        car.wait_for_stop()  # what it finds on waking up


def test_what_cannot_be_read_counts_as_not_arrived(ros):
    car = Car(ros).engaged()
    broken = odometry_message(stamp_ns=ros.node.get_clock().now().nanoseconds, pose=np.zeros(3), speed_mps=float("nan"), yaw_rate_radps=0.0)
    for _ in range(20):
        car.odometry.publish(broken)
        car.frames.publish(Image(encoding="mono8", height=2, width=2, step=2, data=b"1234"))
        car.trajectory.publish(JointTrajectory())
    ros.spin_for(0.2)
    assert car.supervisor.poll() is None and car.interface.poll() is None
    assert "rejected: " in ros.output(SUPERVISOR)
