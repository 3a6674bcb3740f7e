"""The joystick node and the vehicle interface as processes of their own, over DDS."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import numpy as np
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Joy
from std_msgs.msg import String

from mimic_contracts.ros_conversions import odometry_message
from mimic_contracts.ros_lifecycle import LATCHED_QOS
from vehicle_interface import modes

pytestmark = pytest.mark.ros

TELEOP, INTERFACE = "teleop_node", "vehicle_interface_node"
ENGAGE, EMERGENCY, DEADMAN = 0, 1, 4


def test_an_operator_drives_lets_go_and_stops_in_an_emergency(ros):
    commands = ros.collect(TwistStamped, "/vehicle/command")
    reached = ros.collect(String, "/vehicle/mode", LATCHED_QOS)
    ros.start("vehicle_interface.teleop_node", TELEOP, {"joy_timeout_s": 1.0})
    ros.start("vehicle_interface.vehicle_interface_node", INTERFACE, {"odometry_timeout_s": 1.5, "operator_timeout_s": 1.5})
    for name in (TELEOP, INTERFACE):
        assert ros.configure(name) and ros.activate(name)
    joy, odometry = ros.publisher(Joy, "/joy"), ros.publisher(Odometry, "/localization/kinematic_state")
    pressed, sticks = set(), [0.0, 1.0]

    def beat():
        speed = commands[-1].twist.linear.x if commands else 0.0
        now_ns = ros.node.get_clock().now().nanoseconds
        odometry.publish(odometry_message(stamp_ns=now_ns, pose=np.zeros(3), speed_mps=speed, yaw_rate_radps=0.0))
        joy.publish(Joy(axes=sticks, buttons=[int(i in pressed) for i in range(8)]))

    ros.node.create_timer(0.02, beat)
    mode = lambda: reached[-1].data if reached else ""  # noqa: E731

    def press_until_engaged():
        pressed.symmetric_difference_update({ENGAGE})  # pressed, let go, pressed: a service may not be matched at first
        ros.spin_for(0.05)
        return mode() == modes.ENGAGED

    pressed.add(ENGAGE)
    ros.spin_for(0.3)
    assert mode() == modes.DISENGAGED and not commands  # nobody holds the dead-man's button, so that there is no plan
    pressed.symmetric_difference_update({ENGAGE, DEADMAN})
    ros.wait_until(press_until_engaged, "that it engages")
    ros.wait_until(lambda: commands and commands[-1].twist.linear.x > 1.0, "that it drives")
    sticks[0] = 1.0
    ros.wait_until(lambda: commands[-1].twist.angular.z > 0.05, "that it turns to the left")

    pressed.clear()
    ros.wait_until(lambda: mode() == modes.MINIMAL_RISK_STOP and commands[-1].twist.linear.x == 0.0, "the stop")
    pressed.add(DEADMAN)
    ros.wait_until(press_until_engaged, "that it engages again")
    pressed.add(EMERGENCY)
    ros.wait_until(lambda: mode() == modes.EMERGENCY_STOP, "the emergency stop")
    for name in (TELEOP, INTERFACE):
        code, output = ros.stop(name)
        assert code == 0 and "Traceback" not in output
