"""The vehicle interface node as a process of its own, over DDS: real time, lockstep, refusals, stops, the driver."""

from importlib.util import find_spec
from itertools import count

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory
from vehicle_helpers import TICK_NS, VEHICLE, Car, S, arc_plan

from mimic_contracts.ros_conversions import ns_to_stamp, odometry_message, odometry_pose, plan_from_message, plan_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, LATCHED_QOS, OK, WARN
from vehicle_interface import modes
from vehicle_interface.adapters import twist_from_command
from vehicle_interface.kinematics import advance_pose

pytestmark = pytest.mark.ros

NAME = "vehicle_interface_node"


class Interface:
    """A vehicle interface node, what it says, and the vehicle around it."""

    def __init__(self, ros, command_type=TwistStamped, **parameters):
        self.ros, self.parameters = ros, parameters
        self.commands = ros.collect(command_type, "/vehicle/command")
        self.modes = ros.collect(String, "/vehicle/mode", LATCHED_QOS)
        self.diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
        ros.start("vehicle_interface.vehicle_interface_node", NAME, parameters)

    def up(self):
        assert self.ros.configure(NAME) and self.ros.activate(NAME)
        self.odometry = self.ros.publisher(Odometry, "/localization/kinematic_state")
        self.trajectory = self.ros.publisher(JointTrajectory, "/planning/trajectory")
        self.override = self.ros.publisher(Bool, "/vehicle/driver_override")
        return self

    def engage(self, engage=True):
        response = self.ros.call(SetBool, "/vehicle/engage", SetBool.Request(data=engage))
        return response.success, response.message

    def emergency(self, stop=True):
        response = self.ros.call(SetBool, "/vehicle/emergency_stop", SetBool.Request(data=stop))
        return response.success, response.message

    @property
    def mode(self):
        return self.modes[-1].data if self.modes else ""

    def wait_for_mode(self, mode):
        self.ros.wait_until(lambda: self.mode == mode, f"mode {mode}", timeout_s=10.0)

    def statuses(self, stamp_ns):
        return [s for a in self.diagnostics for s in a.status if s.name == NAME and stamp_to_ns(a.header.stamp) == stamp_ns]

    def now_ns(self):
        return self.ros.node.get_clock().now().nanoseconds

    def latest_command_ns(self):
        return max(stamp_to_ns(command.header.stamp) for command in self.commands)

    # Real time: a vehicle that feeds itself on a timer, until told to stop.

    def feed(self, *, speed=6.0):
        self.speed, self.pose, self.is_sensing, self.is_planning, self.overriding = speed, np.zeros(3), True, True, None
        self._timer = self.ros.node.create_timer(0.02, self._beat)

    def _beat(self):
        if self.commands:
            self.speed = getattr(self.commands[-1], "twist", self.commands[-1]).linear.x
        self.pose = advance_pose(self.pose, distance_m=self.speed * 0.02, curvature_1pm=0.0)
        now_ns = self.now_ns()
        if self.is_sensing:
            self.odometry.publish(odometry_message(stamp_ns=now_ns, pose=self.pose, speed_mps=self.speed, yaw_rate_radps=0.0))
        if self.is_planning:
            self.trajectory.publish(plan_message(arc_plan(stamp_ns=now_ns, speed=self.speed)))
        if self.overriding is not None:
            self.override.publish(Bool(data=self.overriding))

    def engage_when_fed(self):
        self.ros.wait_until(lambda: self.engage()[0], "that it engages", timeout_s=10.0)
        self.wait_for_mode(modes.ENGAGED)
        self.ros.wait_until(lambda: len(self.commands) > 5, "commands", timeout_s=10.0)

    # Lockstep.

    def tick(self, stamp_ns, *, pose=(0.0, 0.0, 0.0), speed=8.0, yaw_rate=0.0, plan=None, failure=""):
        """One tick of a master: odometry and plan (or why there is none), then the answer: the command or None, the status."""
        self.odometry.publish(odometry_message(stamp_ns=stamp_ns, pose=np.array(pose), speed_mps=speed, yaw_rate_radps=yaw_rate))
        if failure:
            array = DiagnosticArray(status=[DiagnosticStatus(level=ERROR, name="planner_node", message=failure)])
            array.header.stamp = ns_to_stamp(stamp_ns)
            self.fault.publish(array)
        else:
            self.trajectory.publish(plan_message(arc_plan(stamp_ns=stamp_ns, speed=speed) if plan is None else plan))
        self.ros.wait_until(lambda: self.statuses(stamp_ns), f"the answer to {stamp_ns}", timeout_s=5.0)
        status = self.statuses(stamp_ns)[-1]
        mode = {v.key: v.value for v in status.values}["mode"]
        is_commanding = mode not in (modes.DISENGAGED, modes.DRIVER_OVERRIDE)
        mine = lambda: [c for c in self.commands if stamp_to_ns(c.header.stamp) == stamp_ns]  # noqa: E731
        if is_commanding:
            self.ros.wait_until(mine, f"the command of {stamp_ns}", timeout_s=5.0)
        return (mine() or [None])[0], status, mode


def test_real_time(ros):
    """One life of the node: refused, engaged, stale, engaged again, overridden, stopped, inactive."""
    node = Interface(ros, override_timeout_s=1.0).up()
    node.wait_for_mode(modes.DISENGAGED)
    assert node.engage() == (False, "no odometry within 0.3 s")
    node.feed()
    ros.spin_for(0.3)
    assert not node.commands  # disengaged: nothing, not even a zero

    node.engage_when_fed()
    command = node.commands[-1]
    assert command.header.frame_id == "base_link" and abs(stamp_to_ns(command.header.stamp) - node.now_ns()) < S
    assert command.twist.linear.x == pytest.approx(6.0, abs=0.3)

    node.is_planning = False
    node.wait_for_mode(modes.MINIMAL_RISK_STOP)
    ros.wait_until(lambda: node.commands[-1].twist.linear.x == 0.0, "standstill", timeout_s=10.0)
    assert node.engage() == (False, "no plan arrived within 0.5 s")
    node.is_planning = True

    node.engage_when_fed()
    node.overriding = False
    ros.spin_for(0.2)
    node.overriding = True
    node.wait_for_mode(modes.DRIVER_OVERRIDE)
    silent_from_ns = node.now_ns()
    ros.spin_for(0.3)
    assert node.latest_command_ns() <= silent_from_ns  # what arrives now has been under way
    assert node.engage() == (False, "not in mode driver_override")
    node.overriding = False
    node.wait_for_mode(modes.DISENGAGED)

    node.engage_when_fed()
    node.overriding = None  # its heartbeat ends
    node.wait_for_mode(modes.MINIMAL_RISK_STOP)
    assert node.engage()[1] == "no heartbeat of the driver override within 1.0 s"

    assert node.emergency() == (True, "stopping")
    node.wait_for_mode(modes.EMERGENCY_STOP)
    ros.wait_until(lambda: node.emergency(False)[0], "a reset at standstill", timeout_s=10.0)
    node.wait_for_mode(modes.DISENGAGED)

    node.overriding = False
    node.engage_when_fed()
    assert ros.deactivate(NAME)
    node.wait_for_mode(modes.DISENGAGED)
    silent_from_ns = node.now_ns()
    ros.spin_for(0.2)
    assert node.latest_command_ns() <= silent_from_ns
    assert node.engage() == (False, "the node is not active")
    assert node.emergency() == (False, "the node is not active: nothing is published until it is")
    late = ros.collect(String, "/vehicle/mode", LATCHED_QOS)  # latched: for whoever comes later
    ros.wait_until(lambda: late and late[-1].data == modes.EMERGENCY_STOP, "the latched mode")
    reasons = {s.message for a in node.diagnostics for s in a.status if s.name == NAME}
    assert "engaged by request" in reasons and any("plan" in r for r in reasons) and any("heartbeat" in r for r in reasons)
    code, output = ros.stop(NAME)
    assert code == 0 and "Traceback" not in output, output


def test_rate_and_odometry_loss_with_plain_twist(ros):
    node = Interface(ros, Twist, vehicle="twist_car", actuation_rate_hz=50.0).up()
    node.feed()
    node.engage_when_fed()
    before, seconds = len(node.commands), 1.0
    ros.spin_for(seconds)
    assert 30 <= len(node.commands) - before <= 110  # its own 50, and the plans', which come as often
    node.is_sensing = False
    node.wait_for_mode(modes.MINIMAL_RISK_STOP)
    ros.wait_until(lambda: node.commands[-1].linear.x == 0.0, "standstill on the last estimate", timeout_s=10.0)
    speeds = [c.linear.x for c in node.commands]
    assert min(np.diff(speeds)) > -6.0 * 0.2


def test_lockstep(ros):
    node = Interface(ros, lockstep=True).up()
    node.fault = ros.publisher(DiagnosticArray, "/diagnostics")
    ticks = (k * TICK_NS for k in count(200))

    command, status, mode = node.tick(next(ticks))
    assert command is None and (status.level, mode, status.message) == (OK, modes.DISENGAGED, "not engaged yet")
    assert node.engage() == (True, "engaged")

    # In process and over ROS: the same numbers, bit by bit.
    car = Car(speed=8.0)
    car.now_ns = car.steady_ns = 200 * TICK_NS
    car.sense()
    car.plan()
    car.step()
    car.now_ns = car.steady_ns = 200 * TICK_NS
    assert car.engage()[0]
    seen = set()
    for k in range(40):
        car.now_ns = car.steady_ns = next(ticks)
        plan = arc_plan(stamp_ns=car.now_ns, speed=car.speed, acceleration=0.5, curvature=0.001 * k)
        pose, speed, yaw_rate = car.pose, car.speed, car.speed * car.curvature
        command, status, mode = node.tick(car.now_ns, pose=pose, speed=speed, yaw_rate=yaw_rate, plan=plan)
        quaternion = odometry_message(stamp_ns=car.now_ns, pose=pose, speed_mps=speed, yaw_rate_radps=yaw_rate)
        car.core.set_odometry(stamp_ns=car.now_ns, pose=odometry_pose(quaternion), speed_mps=speed, yaw_rate_radps=yaw_rate, steady_ns=car.steady_ns)
        car.core.set_plan(plan_from_message(plan_message(plan)), steady_ns=car.steady_ns)
        out = car.step()
        twist = twist_from_command(out.command)
        assert (command.twist.linear.x, command.twist.angular.z) == (twist.speed_mps, twist.yaw_rate_radps)
        assert mode == modes.ENGAGED and status.level == OK
        said = {v.key: v.value for v in status.values}
        assert said["limits"] == ", ".join(f"{name} 1.00" for name in sorted(out.biting))
        assert float(said["asked_acceleration_mps2"]) == pytest.approx(out.wish.acceleration_mps2, abs=1e-4)
        assert float(said["commanded_curvature_1pm"]) == pytest.approx(out.command.curvature_1pm, abs=1e-5)
        seen |= set(out.biting)
    assert {"max_jerk_mps3", "max_lateral_acceleration_mps2"} <= seen

    # A tick that the planner can't serve: the vehicle rolls on, then stops along the last plan; each tick is answered.
    answers = [node.tick(next(ticks), pose=car.pose, speed=car.speed, failure="no model") for _ in range(14)]
    assert [mode for _, _, mode in answers[:10]] == [modes.ENGAGED] * 10
    assert answers[-1][2] == modes.MINIMAL_RISK_STOP and answers[-1][1].level == WARN
    assert all(command is not None for command, _, _ in answers)

    # Damage: refused, said, and the tick answered.
    stamp_ns = next(ticks)
    _, status, _ = node.tick(stamp_ns, pose=car.pose, speed=float("nan"), plan=arc_plan(stamp_ns=stamp_ns))
    assert "odometry.speed_mps" in {v.key: v.value for v in status.values}["rejected"]
    broken = plan_message(arc_plan(stamp_ns=next(ticks)))
    broken.joint_names = ["steering_wheel_rad"]
    stamp_ns = stamp_to_ns(broken.header.stamp)
    node.odometry.publish(odometry_message(stamp_ns=stamp_ns, pose=car.pose, speed_mps=car.speed, yaw_rate_radps=0.0))
    node.trajectory.publish(broken)
    ros.wait_until(lambda: node.statuses(stamp_ns), "the answer to a broken plan", timeout_s=5.0)
    assert "trajectory.joint_names" in {v.key: v.value for v in node.statuses(stamp_ns)[0].values}["rejected"]
    impossible = odometry_message(stamp_ns=0, pose=car.pose, speed_mps=1.0, yaw_rate_radps=0.0)
    impossible.header.stamp.sec = -5
    node.odometry.publish(impossible)
    assert node.tick(next(ticks), pose=car.pose, speed=car.speed)[2] == modes.MINIMAL_RISK_STOP

    # Each tick is answered once, in order.
    stamps = [stamp_to_ns(a.header.stamp) for a in node.diagnostics for s in a.status if s.name == NAME]
    assert stamps == sorted(set(stamps)) and len(stamps) > 50
    assert VEHICLE.adapter == "twist_stamped"
    code, output = ros.stop(NAME)
    assert code == 0 and "Traceback" not in output, output


@pytest.mark.parametrize(
    ("vehicle", "reason", "mend"),
    [
        ("unicorn", "vehicles: 'unicorn'", "simulator, simulator_quad"),
        pytest.param(
            "ackermann_car",
            "adapter 'ackermann': needs the ROS package ackermann_msgs",
            "apt install ros-$ROS_DISTRO-ackermann-msgs",
            marks=pytest.mark.skipif(find_spec("ackermann_msgs") is not None, reason="ackermann_msgs is installed"),
        ),
    ],
)
def test_a_vehicle_that_cannot_be_served_is_refused_with_the_reason(ros, vehicle, reason, mend):
    node = Interface(ros, vehicle=vehicle)
    assert not ros.configure(NAME)
    reasons = lambda: [s.message for a in node.diagnostics for s in a.status if reason in s.message]  # noqa: E731
    ros.wait_until(reasons, "the reason")
    assert mend in reasons()[0]


def test_what_hears_twist_can_take_any_vehicle_in_its_stead(ros):
    """As the simulator and the replay do."""
    node = Interface(ros, vehicle="ackermann_car", adapter="twist_stamped").up()
    node.feed(speed=2.0)
    node.engage_when_fed()
    assert node.commands[-1].twist.linear.x == pytest.approx(2.0, abs=0.5)


def test_a_vehicle_that_takes_pedals_is_told_pedals_and_the_steering_wheel(ros):
    node = Interface(ros, command_type=JointState, vehicle="pedal_car", lockstep=True).up()
    ticks, pose = count(TICK_NS, TICK_NS), np.zeros(3)
    assert node.tick(next(ticks), pose=pose, speed=4.0)[0] is None and not node.commands
    assert node.engage() == (True, "engaged")
    for _ in range(3):
        command = node.tick(next(ticks), pose=pose, speed=4.0)[0]
        throttle, brake, steering_wheel_rad = command.position
        assert list(command.name) == ["throttle", "brake", "steering_wheel"] and command.header.frame_id == "base_link"
        assert 0.0 < throttle < 0.3 and brake == 0.0 and steering_wheel_rad == pytest.approx(0.0, abs=1e-3)
    assert node.engage(False) == (True, "disengaged")
    assert node.tick(next(ticks), pose=pose, speed=4.0)[0] is None
