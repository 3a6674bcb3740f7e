"""Watches everything that drives, in a process of its own, and says 50 times a second whether it may go on."""

import sys
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import odometry_pose, plan_from_message, rgb_array, stamp_to_ns
from mimic_contracts.ros_lifecycle import HEARTBEAT_TOPIC, RELIABLE_QOS, SENSOR_QOS, MimicNode, run_node
from mimic_contracts.validation import check_stamp_ns
from mimic_contracts.vehicle import load_vehicle
from vehicle_interface.plan_tracker import Motion
from vehicle_interface.ros_verdict import LEVELS, status_of_verdict, verdict_of_status
from vehicle_interface.supervision import Verdict
from vehicle_interface.supervisor_core import SupervisorCore
from vehicle_interface.supervisor_parameters import SupervisorParameters

DIAGNOSTICS_PERIOD_NS = 500_000_000


class SupervisorNode(MimicNode):
    """Real time only: in lockstep each answer is waited for, so that nothing can be late. It hears what the vehicle interface
    hears, and needs none of its answers."""

    parameters_class = SupervisorParameters

    def configure(self) -> None:
        """Read the vehicle file, make the core, the publisher and the subscriptions."""
        p = self.parameters
        self._rig = load_rig(p.rig)
        self._core = SupervisorCore(load_vehicle(p.vehicle), self._rig, p)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnosed_ns, self._last, self._rejection = 0, Verdict(), ""
        self._publisher = self.create_publisher(DiagnosticStatus, "supervisor/verdict", SENSOR_QOS)
        for name in p.node_names:
            self.create_subscription(Header, HEARTBEAT_TOPIC.format(name), partial(self._on_heartbeat, name), SENSOR_QOS)
        self.create_subscription(Image, p.frame_topic, self._on_frame, SENSOR_QOS)
        self.create_subscription(Odometry, p.odometry_topic, self._on_odometry, SENSOR_QOS)
        self.create_subscription(JointTrajectory, p.trajectory_topic, self._on_trajectory, RELIABLE_QOS)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, RELIABLE_QOS)

    def activate(self) -> None:
        """Begin to judge; the silence afterwards stops the vehicle."""
        self.create_timer(1.0 / self.parameters.rate_hz, self._on_timer, clock=self._steady)

    def _on_heartbeat(self, name: str, _: Header) -> None:
        self._core.note_heartbeat(name, steady_ns=self._steady.now().nanoseconds)

    def _on_frame(self, message: Image) -> None:
        try:
            pictures = self._rig.unpack(rgb_array(message))
            self._core.note_pictures(
                pictures, stamp_ns=check_stamp_ns("pictures.stamp_ns", stamp_to_ns(message.header.stamp)), steady_ns=self._steady.now().nanoseconds
            )
        except MimicError as error:
            self._reject(str(error))

    def _on_odometry(self, message: Odometry) -> None:
        try:
            motion = Motion(
                stamp_ns=stamp_to_ns(message.header.stamp),
                pose=odometry_pose(message),
                speed_mps=message.twist.twist.linear.x,
                yaw_rate_radps=message.twist.twist.angular.z,
            )
            self._core.note_odometry(motion, steady_ns=self._steady.now().nanoseconds)
        except ContractError as error:
            self._reject(str(error))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        try:
            self._core.note_plan(plan_from_message(message))
        except ContractError as error:
            self._reject(str(error))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._core.note_diagnosis(status.name, verdict_of_status(status), steady_ns=self._steady.now().nanoseconds)

    def _on_timer(self) -> None:
        """Judge, and say so; in the log and in diagnostics, when it changes, in diagnostics also twice a second."""
        steady_ns = self._steady.now().nanoseconds
        verdict = self._core.judge(now_ns=self.get_clock().now().nanoseconds, steady_ns=steady_ns)
        self._publisher.publish(status_of_verdict(verdict, name=self.get_name()))
        is_news = verdict.level != self._last.level
        if is_news:
            self.get_logger().info(f"verdict: {verdict.level} {verdict.reason}")
        if is_news or steady_ns - self._diagnosed_ns > DIAGNOSTICS_PERIOD_NS:
            self._diagnosed_ns = steady_ns
            self.diagnose(LEVELS[verdict.level], verdict.reason or "all is well", {"rejected": self._rejection})
        self._last = verdict

    def _reject(self, reason: str) -> None:
        """What cannot be read counts as not arrived."""
        if reason.partition(":")[0] != self._rejection.partition(":")[0]:
            self.get_logger().warning(f"rejected: {reason}")
        self._rejection = reason


def main() -> int:
    """Run the node."""
    return run_node(SupervisorNode, "supervisor_node")


if __name__ == "__main__":
    sys.exit(main())
