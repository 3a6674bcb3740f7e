"""Tells the planner where to go along a recorded route, as a navigation system would."""

import sys

from nav_msgs.msg import Odometry, Path
from rclpy.clock import Clock, ClockType
from std_msgs.msg import String

from e2e_planner.route_follower import Guidance, RouteFollower
from e2e_planner.route_parameters import RouteParameters
from mimic_contracts.errors import ContractError
from mimic_contracts.navigation import load_route
from mimic_contracts.ros_conversions import odometry_pose, route_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, OK, RELIABLE_QOS, SENSOR_QOS, WARN, MimicNode, run_node

DIAGNOSTICS_PERIOD_NS = 500_000_000


class RouteNode(MimicNode):
    """Real time only. Beside the route, or at its end, it says so in diagnostics, which makes the supervisor stop the vehicle."""

    parameters_class = RouteParameters

    def configure(self) -> None:
        """Read the route; make publishers and the subscription."""
        p = self.parameters
        self._follower = RouteFollower(load_route(p.route), max_offset_m=p.max_offset_m)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._told_ns = self._diagnosed_ns = 0
        self._said = ""
        self._route_publisher = self.create_publisher(Path, p.route_topic, RELIABLE_QOS)
        self._command_publisher = self.create_publisher(String, p.route_command_topic, RELIABLE_QOS)
        self.create_subscription(Odometry, p.odometry_topic, self._on_odometry, SENSOR_QOS)

    def _on_odometry(self, message: Odometry) -> None:
        steady_ns = self._steady.now().nanoseconds
        if not self.is_active or steady_ns - self._told_ns < 1e9 / self.parameters.rate_hz:
            return
        self._told_ns = steady_ns
        try:
            guidance = self._follower.at(odometry_pose(message))
            path = route_message(guidance.points_m, stamp_ns=stamp_to_ns(message.header.stamp), frame_id=message.header.frame_id)
        except ContractError as error:
            self._say(ERROR, f"odometry: {error}", steady_ns)
            return
        self._command_publisher.publish(String(data=guidance.command))
        self._route_publisher.publish(path)
        self._say(*self._verdict(guidance), steady_ns)

    def _verdict(self, guidance: Guidance) -> tuple[bytes, str]:
        p = self.parameters
        if guidance.offset_m > p.max_offset_m:
            return ERROR, f"route: it has been left, the vehicle is {guidance.offset_m:.0f} m beside it, at most {p.max_offset_m:g} m are allowed"
        if guidance.left_m <= p.end_m:
            return ERROR, "route: it is over"
        if guidance.left_m <= p.warning_m:
            return WARN, "route: it ends soon"
        return OK, f"route: {guidance.command}"

    def _say(self, level: bytes, text: str, steady_ns: int) -> None:
        """In diagnostics when it changes, and twice a second."""
        subject = text.partition(",")[0]
        if subject != self._said or steady_ns - self._diagnosed_ns > DIAGNOSTICS_PERIOD_NS:
            if subject != self._said:
                self.get_logger().info(text)
            self._said, self._diagnosed_ns = subject, steady_ns
            self.diagnose(level, text)


def main() -> int:
    """Run the node."""
    return run_node(RouteNode, "route_node")


if __name__ == "__main__":
    sys.exit(main())
