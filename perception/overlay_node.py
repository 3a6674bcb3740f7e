"""Shows people what is planned and what limits it: a picture with the plan on its road, and words above the vehicle for RViz."""

import sys

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, ColorRGBA, Header, String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker, MarkerArray

from mimic_contracts.errors import MimicError
from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import BASE_FRAME, plan_from_message, rgb_array, rgb_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import LATCHED_QOS, SENSOR_QOS, MimicNode, run_node
from mimic_contracts.ros_markers import alternatives_of
from perception.overlay_core import DrivingStatus, OverlayCore
from perception.overlay_parameters import OverlayParameters

VIEW_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)  # matches whatever a viewer asks for; only the newest counts
WORDS_M = (0.0, 0.0, 2.6)  # above the rear axle
WORDS_HEIGHT_M = 0.6


class OverlayNode(MimicNode):
    """Costs nothing while nobody looks: then it hears nothing, and the planner has nobody to make markers for."""

    parameters_class = OverlayParameters

    def configure(self) -> None:
        """Read the rig, make the core and the publishers."""
        self._core = OverlayCore(load_rig(self.parameters.rig), width_px=self.parameters.width_px)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._inputs: list[object] = []
        self._picture_publisher = self.create_publisher(Image, "perception/overlay", VIEW_QOS)
        self._words_publisher = self.create_publisher(MarkerArray, "vehicle/markers", VIEW_QOS)

    def activate(self) -> None:
        """Begin to look for somebody who looks."""
        self.create_timer(1.0 / self.parameters.rate_hz, self._on_timer, clock=self._steady)

    def deactivate(self) -> None:
        """Look no more."""
        self._inputs = []

    def _on_timer(self) -> None:
        """Listen while somebody looks, and draw what is new."""
        has_viewer = self._picture_publisher.get_subscription_count() > 0
        is_watched = has_viewer or self._words_publisher.get_subscription_count() > 0
        if is_watched and not self._inputs:
            self._listen()
        elif self._inputs and not is_watched:
            for subscription in self._inputs:
                self.destroy_subscription(subscription)
            self._inputs = []
        drawn = self._core.draw() if has_viewer else None
        if drawn is not None:
            picture, stamp_ns = drawn
            self._picture_publisher.publish(rgb_message(picture, stamp_ns=stamp_ns, frame_id=BASE_FRAME))

    def _listen(self) -> None:
        p = self.parameters
        self._inputs = [
            self.create_subscription(Image, p.frame_topic, self._on_frame, SENSOR_QOS),
            self.create_subscription(JointTrajectory, p.trajectory_topic, self._on_trajectory, SENSOR_QOS),
            self.create_subscription(MarkerArray, p.markers_topic, self._on_markers, SENSOR_QOS),
            self.create_subscription(Odometry, p.odometry_topic, self._on_odometry, SENSOR_QOS),
            self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, SENSOR_QOS),
            self.create_subscription(String, "vehicle/mode", self._on_mode, LATCHED_QOS),
            self.create_subscription(Bool, "vehicle/takeover_request", self._on_takeover_request, LATCHED_QOS),
        ]

    def _on_frame(self, message: Image) -> None:
        try:
            self._core.note_frame(rgb_array(message), stamp_ns=stamp_to_ns(message.header.stamp))
        except MimicError as error:
            self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)

    def _on_trajectory(self, message: JointTrajectory) -> None:
        try:
            self._core.note_plan(plan_from_message(message))
        except MimicError as error:
            self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)

    def _on_markers(self, message: MarkerArray) -> None:
        try:
            stamp_ns, alternatives = alternatives_of(message)
        except ValueError as error:
            self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)
            return
        self._core.note_alternatives(alternatives, stamp_ns=stamp_ns)

    def _on_odometry(self, message: Odometry) -> None:
        self._core.speed_mps = message.twist.twist.linear.x

    def _on_mode(self, message: String) -> None:
        """At once; what else the vehicle interface says of itself follows with its diagnostics."""
        if message.data != self._core.status.mode:
            self._core.status = DrivingStatus(mode=message.data)

    def _on_takeover_request(self, message: Bool) -> None:
        self._core.wants_driver = message.data

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if "mode" in values:  # of the vehicle interface
                said = {key: values.get(key, "") for key in ("mode", "driven_by", "limits")}
                self._core.status = DrivingStatus(**said, reason=status.message)
                self._publish_words()

    def _publish_words(self) -> None:
        """What drives and what limits it, above the vehicle; in the colour of the last, most urgent line."""
        lines = self._core.status.lines(wants_driver=self._core.wants_driver)
        words = Marker(header=Header(frame_id=BASE_FRAME), ns="status", type=Marker.TEXT_VIEW_FACING, action=Marker.ADD)
        words.pose.position.x, words.pose.position.y, words.pose.position.z = WORDS_M
        words.pose.orientation.w, words.scale.z = 1.0, WORDS_HEIGHT_M
        red, green, blue = (channel / 255.0 for channel in lines[-1][1])
        words.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
        words.text = "\n".join(text for text, _ in lines)
        self._words_publisher.publish(MarkerArray(markers=[words]))


def main() -> int:
    """Run the node."""
    return run_node(OverlayNode, "overlay_node")


if __name__ == "__main__":
    sys.exit(main())
