"""Packed pictures and odometry in, trajectory out."""

import dataclasses
import sys

import numpy as np
from nav_msgs.msg import Odometry, Path
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from e2e_planner.observation_assembler import ObservationAssembler
from e2e_planner.planner_parameters import PlannerParameters
from e2e_planner.policies import load_policy
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import MimicError
from mimic_contracts.images import Frame
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import BASE_FRAME, ego_state, odometry_pose, plan_message, rgb_array, route_points, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, OK, RELIABLE_QOS, SENSOR_QOS, WARN, MimicNode, run_node
from mimic_contracts.ros_markers import plan_markers, plan_path
from mimic_contracts.scene_json import scene_from_text

DIAGNOSTICS_PERIOD_NS = 500_000_000


class PlannerNode(MimicNode):
    """Plans once per frame; silent when it can't, and then says why in diagnostics."""

    parameters_class = PlannerParameters

    def configure(self) -> None:
        """Load the policy, make publishers and subscriptions."""
        p = self.parameters
        self._policy = load_policy(p.policy, provider=p.execution_provider, threads=p.inference_threads)
        self._rig = load_rig(p.rig)
        if self._policy.rig_name not in (None, self._rig.name):
            raise MimicError(f"policy '{p.policy}' needs rig '{self._policy.rig_name}', the node's parameter rig is '{self._rig.name}'")
        self._policy.reset()
        tolerance_ns = 0 if p.lockstep else round(p.odometry_tolerance_s * 1e9)
        needs_scene = getattr(self._policy, "needs_scene", False)
        self._assembler = ObservationAssembler(odometry_required=p.odometry_required, tolerance_ns=tolerance_ns, scene_required=needs_scene)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._steering_rad: float | None = None
        self._odometry_frame = ""
        self._waiting: Image | None = None
        self._last_stamp_ns, self._plans, self._failures, self._diagnosed_ns = -1, 0, 0, 0
        self._trajectory_publisher = self.create_publisher(JointTrajectory, p.trajectory_topic, RELIABLE_QOS)
        self._path_publisher = self.create_publisher(Path, "planning/path", SENSOR_QOS)
        self._marker_publisher = self.create_publisher(MarkerArray, "planning/markers", SENSOR_QOS)
        qos = RELIABLE_QOS if p.lockstep else SENSOR_QOS
        self.create_subscription(Image, p.frame_topic, self._on_frame, qos)
        self.create_subscription(JointState, p.steering_topic, self._on_steering, qos)
        self.create_subscription(String, p.route_command_topic, self._on_route_command, RELIABLE_QOS)
        self.create_subscription(Path, p.route_topic, self._on_route, RELIABLE_QOS)
        if p.odometry_required or not p.lockstep:  # lockstep: odometry that may come before or after the frame, or not, decides nothing
            self.create_subscription(Odometry, p.odometry_topic, self._on_odometry, qos)
        if needs_scene:
            self.create_subscription(String, p.scene_topic, self._on_scene, qos)

    def activate(self) -> None:
        """Begin to plan; in lockstep, once somebody listens."""
        if self.parameters.lockstep:
            self.wait_for_subscribers(self._trajectory_publisher, count=self.parameters.listeners)

    def _on_odometry(self, message: Odometry) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        try:
            ego = dataclasses.replace(ego_state(message), steering_wheel_rad=self._steering_rad)
        except MimicError as error:
            self._fail(f"odometry: {error}", stamp_ns)
            return
        self._odometry_frame = message.header.frame_id
        self._assembler.add_ego(ego, stamp_ns=stamp_ns, pose=odometry_pose(message))
        self._plan_waiting(stamp_ns)

    def _on_scene(self, message: String) -> None:
        try:
            stamp_ns, scene = scene_from_text(message.data)
        except MimicError as error:
            self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)
            return
        self._assembler.set_scene(scene, stamp_ns=stamp_ns)
        self._plan_waiting(stamp_ns)

    def _on_steering(self, message: JointState) -> None:
        if message.position and np.isfinite(message.position[0]):
            self._steering_rad = float(message.position[0])

    def _on_route_command(self, message: String) -> None:
        try:
            self._assembler.set_route_command(message.data)
        except MimicError as error:
            self.get_logger().warning(f"ignored: {error}")

    def _on_route(self, message: Path) -> None:
        frame, known = message.header.frame_id, (BASE_FRAME, self._odometry_frame or message.header.frame_id)
        try:
            if frame not in known:
                raise MimicError(f"route.header.frame_id: is '{frame}', must be '{BASE_FRAME}' or the odometry's '{self._odometry_frame}'")
            self._assembler.set_route_points(route_points(message), is_fixed=frame != BASE_FRAME)
        except MimicError as error:
            self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)

    def _on_frame(self, message: Image, info: dict[str, int]) -> None:
        if not self.is_active:
            return
        stamp_ns = stamp_to_ns(message.header.stamp)
        self.trace.begin(stamp_ns, sent_ns=info["source_timestamp"])
        if self.parameters.lockstep and not self._assembler.is_complete(stamp_ns):
            self._waiting = message  # its odometry, or its Scene, is on its way
            return
        self._plan(message, stamp_ns)

    def _plan_waiting(self, stamp_ns: int) -> None:
        """Plan for the frame that waited for what has arrived with this stamp, once nothing is missing."""
        if self._waiting is not None and stamp_to_ns(self._waiting.header.stamp) == stamp_ns and self._assembler.is_complete(stamp_ns):
            frame, self._waiting = self._waiting, None
            self._plan(frame, stamp_ns)

    def _plan(self, message: Image, stamp_ns: int) -> None:
        started_ns = self._steady.now().nanoseconds
        if stamp_ns < self._last_stamp_ns:
            self._policy.reset()  # the clock was set back: a new drive
        self._last_stamp_ns = stamp_ns
        try:
            frames = {name: Frame(image=image, stamp_ns=stamp_ns) for name, image in self._rig.unpack(rgb_array(message)).items()}
            self.trace.mark("unpacked")
            observation = self._assembler.assemble(frames, stamp_ns=stamp_ns)
            self.trace.mark("assembled")
            plan = self._policy.plan(observation)
            self.trace.mark("inferred")
        except MimicError as error:
            self._fail(str(error), stamp_ns)
            return
        except Exception as error:  # noqa: BLE001  a user's own policy may raise anything; the node stays up and says so
            self._fail(f"the policy raised {type(error).__name__}: {error}", stamp_ns)
            return
        self._trajectory_publisher.publish(plan_message(plan))
        self.trace.end("published")
        self._plans += 1
        self._show(plan)
        now_ns = self._steady.now().nanoseconds
        if not self.parameters.lockstep and now_ns - self._diagnosed_ns > DIAGNOSTICS_PERIOD_NS:
            self._diagnosed_ns = now_ns
            values = {"plans": self._plans, "failures": self._failures, "planning_ms": (now_ns - started_ns) / 1e6, "model": plan.model_id}
            self.diagnose(OK, "planning", values)

    def _fail(self, reason: str, stamp_ns: int) -> None:
        """Say why there is no plan; in lockstep it is the answer to the tick."""
        self._failures += 1
        self.get_logger().warning(reason, throttle_duration_sec=5.0)
        self.diagnose(ERROR if self.parameters.lockstep else WARN, reason, {"failures": self._failures}, stamp_ns=stamp_ns)

    def _show(self, plan: Plan) -> None:
        """For people, when they look: the path that is driven, and its alternatives by probability."""
        if plan.spec is not CAR:
            return
        if self._path_publisher.get_subscription_count():
            self._path_publisher.publish(plan_path(plan))
        if self._marker_publisher.get_subscription_count():
            self._marker_publisher.publish(plan_markers(plan))


def main() -> int:
    """Run the node."""
    return run_node(PlannerNode, "planner_node")


if __name__ == "__main__":
    sys.exit(main())
