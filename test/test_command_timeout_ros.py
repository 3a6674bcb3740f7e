"""The command timeout as a process of its own, over DDS."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from geometry_msgs.msg import Twist

pytestmark = pytest.mark.ros

NODE, MODULE = "command_timeout_node", "vehicle_interface.command_timeout_node"


def test_commands_pass_and_when_they_cease_it_brakes_to_standstill_and_falls_silent(ros) -> None:
    told = ros.collect(Twist, "/vehicle/cmd_vel")
    ros.start(MODULE, NODE)
    assert ros.configure(NODE)
    commands = ros.publisher(Twist, "/vehicle/command")
    command = Twist()
    command.linear.x, command.angular.z = 2.0, 0.2
    assert ros.activate(NODE)
    ros.wait_until(lambda: commands.publish(command) or told, "a command")
    assert told[0] == command
    ros.wait_until(lambda: told[-1].linear.x == 0.0, "a standstill")
    speeds = [message.linear.x for message in told]
    assert speeds == sorted(speeds, reverse=True) and len({speed for speed in speeds if 0.0 < speed < 2.0}) > 3, "not all at once"
    assert all(message.angular.z == pytest.approx(0.1 * message.linear.x) for message in told)
    count = len(told)
    ros.spin_for(0.3)
    assert len(told) == count
    commands.publish(command)
    ros.wait_until(lambda: len(told) > count, "the next command")
    assert told[count] == command
    assert ros.deactivate(NODE)
    ros.wait_until(lambda: told[-1] == Twist(), "a standstill, as it will not be there any more")


def test_a_vehicle_that_takes_something_else_is_refused(ros) -> None:
    ros.start(MODULE, NODE, {"vehicle": "simulator"})
    assert not ros.configure(NODE)
    ros.wait_until(lambda: "must be twist" in ros.output(NODE), "the reason")
