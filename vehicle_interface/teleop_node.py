"""The operator drives by joystick: to record drives, and to take over from the planner."""

import sys
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import Joy
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from mimic_contracts.errors import ContractError
from mimic_contracts.ros_conversions import plan_message
from mimic_contracts.ros_lifecycle import OK, RELIABLE_QOS, SENSOR_QOS, WARN, MimicNode, run_node
from mimic_contracts.validation import check_number
from mimic_contracts.vehicle import load_vehicle
from vehicle_interface.teleop import OPERATOR_TOPIC, Sticks, TeleopParameters, plan_of, sticks_of

DIAGNOSTICS_PERIOD_NS = 500_000_000


class TeleopNode(MimicNode):
    """Publishes plans while the dead-man's button is held; calls the vehicle interface's services when the other buttons are pressed."""

    parameters_class = TeleopParameters

    def configure(self) -> None:
        """Read the vehicle file, make publisher, subscriptions and clients."""
        p = self.parameters
        self._vehicle, self._steady = load_vehicle(p.vehicle), Clock(clock_type=ClockType.STEADY_TIME)
        self._sticks = Sticks(0.0, 0.0, is_held=False, engages=False, is_emergency=False)
        self._joy_ns, self._diagnosed_ns, self._speed_mps, self._rejection = 0, 0, 0.0, ""
        self._publisher = self.create_publisher(JointTrajectory, OPERATOR_TOPIC, RELIABLE_QOS)
        self.create_subscription(Joy, p.joy_topic, self._on_joy, SENSOR_QOS)
        self.create_subscription(Odometry, p.odometry_topic, self._on_odometry, SENSOR_QOS)
        self._engage = self.create_client(SetBool, "vehicle/engage")
        self._emergency = self.create_client(SetBool, "vehicle/emergency_stop")

    def activate(self) -> None:
        """Begin to listen to the operator; when that ends, the vehicle interface stops what he drove."""
        self.create_timer(1.0 / self.parameters.rate_hz, self._on_timer, clock=self._steady)

    def _on_odometry(self, message: Odometry) -> None:
        try:
            self._speed_mps = check_number("odometry.speed_mps", message.twist.twist.linear.x)
        except ContractError as error:
            self._rejection = str(error)

    def _on_joy(self, message: Joy) -> None:
        try:
            sticks = sticks_of(message.axes, message.buttons, self.parameters)
        except ContractError as error:
            self._rejection = str(error)
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        before, self._sticks, self._joy_ns = self._sticks, sticks, self._steady.now().nanoseconds
        if not self.is_active:
            return
        if sticks.is_emergency and not before.is_emergency:
            self._ask(self._emergency)
        elif sticks.engages and not before.engages:
            self._ask(self._engage)

    def _ask(self, client: Any) -> None:
        """Of the vehicle interface, which says in its log and in /vehicle/mode what came of it."""
        if client.service_is_ready():
            client.call_async(SetBool.Request(data=True))
        else:
            self.get_logger().error(f"nobody offers {client.srv_name}: is vehicle_interface_node up?")

    def _on_timer(self) -> None:
        steady_ns = self._steady.now().nanoseconds
        is_silent = steady_ns - self._joy_ns > self.parameters.joy_timeout_s * 1e9
        if self._sticks.is_held and not is_silent:
            limits = {"vehicle": self._vehicle, "max_speed_mps": self.parameters.max_speed_mps}
            self._publisher.publish(plan_message(plan_of(self._sticks, **limits, speed_mps=self._speed_mps, stamp_ns=self.get_clock().now().nanoseconds)))
        if steady_ns - self._diagnosed_ns > DIAGNOSTICS_PERIOD_NS:
            self._diagnosed_ns = steady_ns
            text = "no joystick" if is_silent else "the operator drives" if self._sticks.is_held else "nobody holds the dead-man's button"
            self.diagnose(WARN if is_silent else OK, f"joystick: {text}", {"rejected": self._rejection})


def main() -> int:
    """Run the node."""
    return run_node(TeleopNode, "teleop_node")


if __name__ == "__main__":
    sys.exit(main())
