"""The handshake with a vehicle's drive-by-wire by the node, as a process of its own, over DDS."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory
from vehicle_helpers import arc_plan

from mimic_contracts.ros_conversions import odometry_message, plan_message
from mimic_contracts.ros_lifecycle import LATCHED_QOS, RELIABLE_QOS
from vehicle_interface import modes

pytestmark = pytest.mark.ros

TOPICS = {"fault_topic": "vehicle/dbw_fault", "enable_topic": "vehicle/dbw_enable"}


def test_over_dds_it_is_enabled_before_the_first_command_and_its_fault_stops(ros):
    name = "vehicle_interface_node"
    heard, sent_ns = [], []  # the enabling, each with when it was sent; when commands were
    commands, reached = ros.collect(TwistStamped, "/vehicle/command"), ros.collect(String, "/vehicle/mode", LATCHED_QOS)
    ros.node.create_subscription(Bool, "/vehicle/dbw_enable", lambda message, info: heard.append((message.data, info["source_timestamp"])), LATCHED_QOS)
    ros.node.create_subscription(TwistStamped, "/vehicle/command", lambda _, info: sent_ns.append(info["source_timestamp"]), RELIABLE_QOS)
    patient = {"odometry_timeout_s": 1.5, "plan_timeout_s": 1.5, "fault_timeout_s": 1.5}  # the tests' machine may be busy
    ros.start("vehicle_interface.vehicle_interface_node", name, {**TOPICS, **patient})
    assert ros.configure(name) and ros.activate(name)
    odometry, plans = ros.publisher(Odometry, "/localization/kinematic_state"), ros.publisher(JointTrajectory, "/planning/trajectory")
    fault, said = ros.publisher(Bool, "/vehicle/dbw_fault"), {}

    def beat():
        now_ns = ros.node.get_clock().now().nanoseconds
        speed = commands[-1].twist.linear.x if commands else 3.0
        odometry.publish(odometry_message(stamp_ns=now_ns, pose=np.zeros(3), speed_mps=speed, yaw_rate_radps=0.0))
        plans.publish(plan_message(arc_plan(stamp_ns=now_ns, speed=speed)))
        if "fault" in said:
            fault.publish(Bool(data=said["fault"]))

    def engage():
        response = ros.call(SetBool, "/vehicle/engage", SetBool.Request(data=True))
        said["answer"] = response.message
        return response.success

    ros.node.create_timer(0.02, beat)
    ros.wait_until(lambda: not engage() and "drive-by-wire said nothing within 1.5 s" in said["answer"], "the refusal")
    ros.wait_until(lambda: [on for on, _ in heard] == [False], "that it is not enabled")
    said["fault"] = False
    ros.wait_until(engage, "that it engages")
    ros.wait_until(lambda: len(sent_ns) > 5 and len(heard) > 1, "commands, and that it is enabled")
    assert heard[1][0] is True and heard[1][1] < sent_ns[0]
    said["fault"] = True
    ros.wait_until(lambda: reached[-1].data == modes.MINIMAL_RISK_STOP and commands[-1].twist.linear.x == 0.0, "the stop")
    assert len(heard) == 2, "it has to obey as long as it is braked"
    assert ros.call(SetBool, "/vehicle/engage", SetBool.Request(data=False)).success
    ros.wait_until(lambda: heard[-1][0] is False, "that it is disabled")
    code, output = ros.stop(name)
    assert code == 0 and "Traceback" not in output
