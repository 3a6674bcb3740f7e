"""The simulated car as a ROS node: pictures and odometry out, commands in. It is the master of the ticks.

In lockstep a tick is published, then answered, then the car moves: by callbacks alone, nothing blocks the executor.
In real time a steady timer paces the ticks, and the newest command counts. With driver:=expert nobody is asked.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import odometry_message, plan_from_message, plan_message, rgb_message, route_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, LATCHED_QOS, OK, RELIABLE_QOS, SENSOR_QOS, WARN, MimicNode, run_node
from mimic_contracts.scene_json import scene_text
from mimic_sim import ros_sim
from mimic_sim.engine import Autopilot, black_pictures
from mimic_sim.route_spec import read_route
from mimic_sim.sim_parameters import SimParameters
from mimic_sim.tick_answers import TickAnswer, TickAnswers
from mimic_sim.view import View
from mimic_sim.world import COMPLETED, Simulation, build_world
from vehicle_interface import modes
from vehicle_interface.adapters import Twist2D

# When the expert drives, nobody answers a tick; a recorder is not outrun, because nothing is dropped before it has
# acknowledged (asking for that after each tick would cost a heartbeat of DDS, 3 s, each time).
RECORD_QOS = QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE)
WATCH_PERIOD_S = 0.05
EXPERT_PERIOD_S = 0.0005  # as fast as it goes, with a turn of the executor between two ticks
ACKNOWLEDGE_S = 10.0
MOST_LATE_TICKS = 20  # in real time: a process that was stopped for longer goes on from where it was
REPORT_PERIOD_S = 5.0  # of simulated time
PLANNER = "planner_node"


class SimNode(MimicNode):
    """Ends its process by itself when the drive is over: 0 when it was driven to an end, 1 when a node failed it."""

    parameters_class = SimParameters

    def configure(self) -> None:
        """Build the world and the renderer, make publishers and subscriptions."""
        p = self.parameters
        self._world = build_world(replace(read_route(p.route), vehicle=p.vehicle))
        self._rig = load_rig(p.rig)
        if p.out:
            _check_target(Path(p.out))
        self._simulation, self._autopilot = Simulation(self._world), Autopilot(self._world)
        self._view = View(self._world, self._rig.cameras, are_lamps_dark=p.pictures == "grey_lights")
        self._answers = TickAnswers()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._engaging: Any = None
        self._is_waiting = self._is_over = False
        self._asked_ns = self._overruns = 0
        self._mode = modes.DISENGAGED
        self._twist: Twist2D | None = None
        self._plan: Plan | None = None
        self._last_tick_ns = 0
        qos = RECORD_QOS if p.lockstep and p.driver == "expert" else RELIABLE_QOS if p.lockstep else SENSOR_QOS
        picture_type, suffix = (CompressedImage, "/compressed") if p.is_compressed else (Image, "")
        names = [camera.name for camera in self._rig.cameras]
        self._image_publishers = {name: self.create_publisher(picture_type, f"camera/{name}/image_raw{suffix}", qos) for name in names}
        self._info_publishers = {name: self.create_publisher(CameraInfo, f"camera/{name}/camera_info", RELIABLE_QOS) for name in names}
        self._odometry_publisher = self.create_publisher(Odometry, p.odometry_topic, qos)
        self._steering_publisher = self.create_publisher(JointState, "vehicle/steering", qos)
        self._expert_publisher = self.create_publisher(JointTrajectory, "sim/expert_trajectory", qos)
        command_qos = RECORD_QOS if qos is RECORD_QOS else RELIABLE_QOS  # the planner asks for it in real time, too
        self._command_publisher = self.create_publisher(String, p.route_command_topic, command_qos)
        self._route_publisher = self.create_publisher(PathMessage, p.route_topic, command_qos)
        self._clock_publisher = self.create_publisher(ClockMessage, "clock", RELIABLE_QOS)
        self._scene_publisher = self.create_publisher(String, p.scene_topic, qos) if p.publishes_scene else None
        if p.publishes_mounting:
            mounting_publisher = self.create_publisher(ros_sim.mounting_message_type(), "tf_static", LATCHED_QOS)
            mounting_publisher.publish(ros_sim.mounting_message(self._rig, stamp_ns=self._simulation.stamp_ns))
        self.create_subscription(TwistStamped, p.command_topic, self._on_command, RELIABLE_QOS)
        self.create_subscription(JointTrajectory, p.trajectory_topic, self._on_trajectory, RELIABLE_QOS)
        self.create_subscription(String, "vehicle/mode", self._on_mode, LATCHED_QOS)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, RELIABLE_QOS)
        self._engage_client = self.create_client(SetBool, p.engage_service)

    def activate(self) -> None:
        """Begin to tick; in lockstep, once pictures and odometry have a listener."""
        p = self.parameters
        if p.lockstep:
            self.wait_for_subscribers(*self._image_publishers.values())
            if p.driver == "planner":
                self.wait_for_subscribers(self._command_publisher, self._route_publisher)
                if self._scene_publisher is not None:
                    self.wait_for_subscribers(self._scene_publisher)
            # The planner and the vehicle interface both answer to odometry; a recorder is alone.
            self.wait_for_subscribers(self._odometry_publisher, count=1 if p.driver == "expert" else 2)
        self._publish_camera_infos()  # before the first picture, which can't be understood without
        period_s = EXPERT_PERIOD_S if p.driver == "expert" and p.lockstep else WATCH_PERIOD_S if p.lockstep else self._world.route.tick_s
        self.create_timer(period_s, self._on_timer, clock=self._steady)
        route = self._world.route
        self.get_logger().info(f"drives {route.course} by {route.look}, {self._world.length_m:.0f} m, driver: {p.driver}")

    def cleanup(self) -> None:
        """Close the renderer and the simulation."""
        self._view.release()
        self._simulation.close()

    # What arrives

    def _on_command(self, message: TwistStamped) -> None:
        try:
            twist = self._twist = ros_sim.twist_from_message(message)
        except ContractError as error:
            self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)
            return
        self._answers.add_command(twist, stamp_ns=stamp_to_ns(message.header.stamp))
        self._finish_answered_tick()

    def _on_trajectory(self, message: JointTrajectory) -> None:
        try:
            plan = self._plan = plan_from_message(message)
        except ContractError as error:
            self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)
            return
        self._answers.add_plan(plan)
        self._finish_answered_tick()

    def _on_mode(self, message: String) -> None:
        self._mode = message.data

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if "mode" in values:
                self._answers.add_mode(values["mode"], stamp_ns=stamp_ns)
            elif status.level == ERROR and status.name != self.get_name():
                self._answers.add_failure(f"{status.name}: {status.message}", stamp_ns=stamp_ns)
        self._finish_answered_tick()

    # The ticks

    def _on_timer(self) -> None:
        if self._is_over:
            return
        if not self.parameters.lockstep:
            self._real_time_tick()
        elif self.parameters.driver == "expert":
            self._publish_tick()
            self._expert_drives()
        elif not self._is_waiting:
            self._ask()
        elif self._engaging is None and (self._steady.now().nanoseconds - self._asked_ns) / 1e9 > self.parameters.answer_timeout_s:
            silent = self._answers.who_is_silent(self._simulation.stamp_ns)
            self._end(f"no answer to tick {self._simulation.tick} within {self.parameters.answer_timeout_s} s: {silent}")

    def _ask(self) -> None:
        """Lockstep: publish the current tick and wait for its answer."""
        self._answers.forget_before(self._simulation.stamp_ns)
        self._is_waiting, self._asked_ns = True, self._steady.now().nanoseconds
        self._publish_tick()

    def _finish_answered_tick(self) -> None:
        """Lockstep: when the answer is complete, engage after a first plan, else move on to the next tick."""
        if not (self.is_active and self._is_waiting and self._engaging is None):
            return
        answer = self._answers.complete(self._simulation.stamp_ns)
        if answer is None:
            return
        if answer.mode == modes.DISENGAGED and self.parameters.engage and answer.plan is not None:
            if not self._engage_client.service_is_ready():
                self._end(f"nobody offers {self.parameters.engage_service}")
                return
            self._engaging = self._engage_client.call_async(SetBool.Request(data=True))
            self._engaging.add_done_callback(lambda future: self._on_engaged(future, answer))
            return
        self._move_on(answer)

    def _on_engaged(self, future: Any, answer: TickAnswer) -> None:
        self._engaging = None
        if not future.result().success:  # it has this tick's plan: to ask again would change nothing
            self._end(f"the vehicle interface refuses to engage: {future.result().message}")
            return
        self._move_on(answer)

    def _move_on(self, answer: TickAnswer) -> None:
        self._is_waiting = False
        who, _, reason = answer.failure.partition(": ")
        if who == PLANNER:  # as in process: what a policy does wrong ends its drive
            self._end(reason)
            return
        self._simulation.advance(answer.twist, mode=answer.mode, plan=answer.plan, skipped=answer.failure)
        if not self._after_tick():
            self._ask()

    def _expert_drives(self) -> None:
        plan = self._simulation.expert_plan()
        twist, output = self._autopilot.command(self._simulation, plan)
        self._simulation.advance(twist, mode=output.mode, plan=plan)
        self._after_tick()

    def _real_time_tick(self) -> None:
        """Publish a tick, then let the car move under the newest command."""
        now_ns = self._steady.now().nanoseconds
        late = round((now_ns - self._last_tick_ns) / (self._world.route.tick_s * 1e9)) - 1 if self._last_tick_ns else 0
        self._last_tick_ns = now_ns
        self._overruns += late > 0
        for _ in range(min(late, MOST_LATE_TICKS)):  # a car moves on while nobody looks: simulated time keeps up with real time
            self._simulation.expert_plan()  # which looks at every tick
            self._simulation.advance(None, mode=self._mode)
            if self._after_tick():
                return
        self._publish_tick()
        if self.parameters.driver == "expert":
            self._expert_drives()
            return
        if (
            self._mode == modes.DISENGAGED
            and self.parameters.engage
            and self._plan is not None
            and self._engaging is None
            and self._engage_client.service_is_ready()
        ):
            self._engaging = self._engage_client.call_async(SetBool.Request(data=True))
            self._engaging.add_done_callback(self._on_engaged_in_real_time)
        twist, self._twist = self._twist, None
        plan, self._plan = self._plan, None
        self._simulation.advance(twist, mode=self._mode, plan=plan)
        self._after_tick()

    def _on_engaged_in_real_time(self, future: Any) -> None:
        self._engaging = None
        if not future.result().success:
            self.get_logger().warning(f"not engaged: {future.result().message}", throttle_duration_sec=5.0)

    def _publish_tick(self) -> None:
        p, simulation = self.parameters, self._simulation
        stamp_ns, ego = simulation.stamp_ns, simulation.ego
        self._clock_publisher.publish(ros_sim.clock_message(stamp_ns))
        # Not waited for, so they have to be there before the picture, which makes a detour by the camera node.
        self._command_publisher.publish(String(data=simulation.route_command))
        self._route_publisher.publish(route_message(simulation.route_ahead_m(), stamp_ns=stamp_ns))
        motion = odometry_message(stamp_ns=stamp_ns, pose=ego.pose, speed_mps=ego.speed_mps, yaw_rate_radps=ego.yaw_rate_radps)
        self._odometry_publisher.publish(motion)
        if p.driver == "expert":  # beside a planner it would arrive before or after the odometry by chance
            self._steering_publisher.publish(ros_sim.steering_message(ego, self._world.vehicle, stamp_ns=stamp_ns))
        self._expert_publisher.publish(plan_message(simulation.expert_plan()))
        if self._scene_publisher is not None:
            self._scene_publisher.publish(String(data=scene_text(simulation.scene(), stamp_ns=stamp_ns)))
        pictures = black_pictures(self._rig) if p.pictures == "black" else self._view.pictures(simulation.moment())
        for camera in self._rig.cameras:
            self._image_publishers[camera.name].publish(self._picture_message(camera, pictures[camera.name], stamp_ns))
        if simulation.tick % max(round(1.0 / self._world.route.tick_s), 1) == 0:
            self._publish_camera_infos()

    def _picture_message(self, camera: Any, picture: Any, stamp_ns: int) -> Any:
        if self.parameters.is_compressed:
            return ros_sim.jpeg_message(picture, camera, stamp_ns=stamp_ns, quality=self.parameters.jpeg_quality)
        return rgb_message(picture, stamp_ns=stamp_ns, frame_id=ros_sim.optical_frame(camera))

    def _publish_camera_infos(self) -> None:
        for camera in self._rig.cameras:
            self._info_publishers[camera.name].publish(ros_sim.camera_info_message(camera, stamp_ns=self._simulation.stamp_ns))

    # The end

    def _after_tick(self) -> bool:
        """Report now and then; end the process when the drive is over."""
        simulation = self._simulation
        if simulation.tick % round(REPORT_PERIOD_S / self._world.route.tick_s) == 0:
            values = {"progress_pct": round(100.0 * simulation.progress_share, 1), "tick": simulation.tick, "overruns": self._overruns}
            self.diagnose(WARN if self._overruns else OK, f"driving: {self._overruns} ticks came late", values)
            self.get_logger().info(f"{100.0 * simulation.progress_share:.0f} % of the route after {simulation.time_s:.0f} s")
        if simulation.ended:
            self._end("")
        return bool(simulation.ended)

    def _end(self, failure: str) -> None:
        """Write the rows, deactivate, and leave; failure: why the drive could not be made, else empty."""
        self._is_over = True
        if failure:
            self._simulation.fail(failure)
            self.get_logger().error(failure)
            self.diagnose(ERROR, failure)
        try:
            if self.parameters.out:
                self._simulation.result().save(Path(self.parameters.out))
        except MimicError as error:
            failure = str(error)
            self.get_logger().error(failure)
        if self.parameters.lockstep:
            self._wait_for_recorders()
        ended = self._simulation.ended
        overruns = "" if self.parameters.lockstep else f", {self._overruns} late ticks"
        level = self.get_logger().info if ended == COMPLETED else self.get_logger().warning
        level(f"{ended} after {self._simulation.time_s:.1f} s of {self._simulation.tick} ticks{overruns}")
        self.trigger_deactivate()
        raise SystemExit(1 if failure else 0)

    def _wait_for_recorders(self) -> None:
        own = [self._odometry_publisher, self._expert_publisher, self._steering_publisher, self._command_publisher, self._route_publisher]
        for publisher in (*self._image_publishers.values(), *own):
            if not publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S)):
                self.get_logger().warning(f"{publisher.topic_name}: a subscriber did not acknowledge the last messages within {ACKNOWLEDGE_S} s")


def _check_target(path: Path) -> None:
    if not path.parent.is_dir():
        raise ContractError(f"out: directory '{path.parent}' does not exist")
    if path.exists():
        raise ContractError(f"out: '{path}' exists: remove it or choose another")


def main() -> int:
    """Run the node."""
    return run_node(SimNode, "sim_node")


if __name__ == "__main__":
    sys.exit(main())
