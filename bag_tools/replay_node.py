"""A recorded drive as the master of the ticks: pictures and odometry out, plans and actuation back into a bag.

A tick is published, then answered by all nodes, then the next one comes: by callbacks alone, nothing blocks the executor.
"""

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from bag_tools import ros_replay
from bag_tools.bag_reader import Bag, BagMessage
from bag_tools.bag_writer import BagWriter, check_bag_target
from bag_tools.replay import CommandSample, ReplayTally, TickAnswer, TickAnswers, load_drive
from bag_tools.replay_parameters import ReplayParameters
from bag_tools.ros_record import name_in_bag
from bag_tools.topic_map import load_topic_map
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.ros_conversions import BASE_FRAME, odometry_message, plan_from_message, route_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, LATCHED_QOS, RELIABLE_QOS, MimicNode, run_node

WATCH_PERIOD_S = 0.2
MODE_TOPIC, DIAGNOSTICS_TOPIC = "vehicle/mode", "diagnostics"


class ReplayNode(MimicNode):
    """Ends its process by itself: 0 when the drive was replayed, 1 when a node failed it or it says nothing about them."""

    parameters_class = ReplayParameters

    def configure(self) -> None:
        """Read through the recording; make publishers, subscriptions and the bag for the results."""
        p = self.parameters
        self._bag = Bag(p.bag)
        self._drive = load_drive(self._bag, load_topic_map(p.topics))
        if p.has_vehicle_interface and self._drive.odometry is None:
            raise ContractError(f"{p.bag}: has no pose, speed and yaw rate for a vehicle interface: set has_vehicle_interface to false")
        check_bag_target(Path(p.out), overwrite=p.overwrite)
        self._writer: BagWriter | None = None
        self._answers = TickAnswers(has_vehicle_interface=p.has_vehicle_interface)
        self._tally = ReplayTally()
        self._pictures: Iterator[dict[str, BagMessage]] = iter(())
        self._tick, self._asked_ns, self._reported_ns = -1, 0, 0
        self._is_engaged, self._engaging = False, False
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        types = {name: self._bag.topics[topic].type_name for name, topic in self._drive.camera_topics.items()}
        self._picture_publishers = {
            name: self.create_publisher(ros_replay.picture_type(types[name]), topic.lstrip("/"), RELIABLE_QOS)
            for name, topic in self._drive.camera_topics.items()
        }
        infos = {name: source.camera_info for name, source in self._drive.topic_map.cameras.items() if source.camera_info}
        self._info_publishers = {name: self.create_publisher(CameraInfo, topic.lstrip("/"), RELIABLE_QOS) for name, topic in infos.items()}
        self._odometry_publisher = self.create_publisher(Odometry, p.odometry_topic, RELIABLE_QOS) if self._drive.odometry else None
        self._command_publisher = self.create_publisher(String, p.route_command_topic, RELIABLE_QOS)
        self._route_publisher = self.create_publisher(PathMessage, p.route_topic, RELIABLE_QOS)
        self._clock_publisher = self.create_publisher(ClockMessage, "clock", RELIABLE_QOS)
        self._record_and_hear(JointTrajectory, p.trajectory_topic, self._on_trajectory)
        self._record_and_hear(DiagnosticArray, DIAGNOSTICS_TOPIC, self._on_diagnostics)
        if p.has_vehicle_interface:
            self._record_and_hear(TwistStamped, p.command_topic, self._on_command)
            self._record_and_hear(String, MODE_TOPIC, lambda _: None, qos=LATCHED_QOS)
        self._engage_client = self.create_client(SetBool, p.engage_service)

    def activate(self) -> None:
        """Begin, once the nodes listen; the first tick comes with the timer."""
        p = self.parameters
        self.wait_for_subscribers(*self._picture_publishers.values(), *self._info_publishers.values())
        if self._odometry_publisher is not None:
            self.wait_for_subscribers(self._odometry_publisher, count=2 if p.has_vehicle_interface else 1)
        if self._drive.routes:
            self.wait_for_subscribers(self._command_publisher, self._route_publisher)
        self._writer = BagWriter(p.out, overwrite=p.overwrite)
        self._writer.add_topic(name_in_bag(self, p.trajectory_topic), "trajectory_msgs/msg/JointTrajectory")
        self._writer.add_topic(name_in_bag(self, DIAGNOSTICS_TOPIC), "diagnostic_msgs/msg/DiagnosticArray")
        if self._drive.odometry:
            self._writer.add_topic(name_in_bag(self, p.odometry_topic), "nav_msgs/msg/Odometry")
        if p.has_vehicle_interface:
            self._writer.add_topic(name_in_bag(self, p.command_topic), "geometry_msgs/msg/TwistStamped")
            self._writer.add_topic(name_in_bag(self, MODE_TOPIC), "std_msgs/msg/String")
        for name, publisher in self._info_publishers.items():  # before the first picture, which can't be understood without
            info = self._drive.frame_plan.recording.camera_infos[name]
            publisher.publish(ros_replay.camera_info_message(info, stamp_ns=int(self._drive.stamp_ns[0]), frame_id=name))
            publisher.wait_for_all_acked(Duration(seconds=p.answer_timeout_s))
        self._pictures = self._drive.pictures()
        self.create_timer(WATCH_PERIOD_S, self._on_timer, clock=self._steady)
        self.get_logger().info(f"replays {self._bag.path}: {len(self._drive.stamp_ns)} ticks; left out: {self._drive.left_out or 'nothing'}")

    def cleanup(self) -> None:
        """Close the recording. What was recorded of an unfinished replay stays in the hidden partial bag."""
        self._bag.close()

    # What arrives: recorded as the bytes that came, at the time of the tick, then understood

    def _record_and_hear(self, message_type: Any, topic: str, understand: Any, *, qos: Any = RELIABLE_QOS) -> None:
        name = name_in_bag(self, topic)

        def on_bytes(data: bytes) -> None:
            if self._writer is not None and self._writer.is_open and self._tick >= 0:
                self._writer.write(name, self._answers.stamp_ns, data)
                try:
                    message = deserialize_message(data, message_type)
                except RuntimeError as error:  # RMWError, which rclpy does not export
                    self.get_logger().warning(f"{topic}: cannot be understood: {error}", throttle_duration_sec=5.0)
                    return
                understand(message)
                self._finish_answered_tick()

        self.create_subscription(message_type, topic, on_bytes, qos, raw=True)

    def _on_trajectory(self, message: JointTrajectory) -> None:
        try:
            self._answers.add_plan(plan_from_message(message))
        except ContractError as error:
            self._answers.add_failure(f"planner_node: {error}", stamp_ns=stamp_to_ns(message.header.stamp))

    def _on_command(self, message: TwistStamped) -> None:
        sample = CommandSample(speed_mps=message.twist.linear.x, yaw_rate_radps=message.twist.angular.z)
        self._answers.add_command(sample, stamp_ns=stamp_to_ns(message.header.stamp))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        for status in message.status:
            mode = next((pair.value for pair in status.values if pair.key == "mode"), "")
            if mode:
                self._answers.add_mode(mode, stamp_ns=stamp_ns)
            elif status.level == ERROR and status.name != self.get_name():
                self._answers.add_failure(f"{status.name}: {status.message}", stamp_ns=stamp_ns)

    # The ticks

    def _on_timer(self) -> None:
        """Begin; then watch that answers come, and say how far it is."""
        now_ns = self._steady.now().nanoseconds
        if self._tick < 0:
            self._next_tick()
        elif (now_ns - self._asked_ns) / 1e9 > self.parameters.answer_timeout_s:
            silent = "vehicle_interface_node (engage)" if self._engaging else self._answers.silent_node()
            self._end(f"no answer to tick {self._tick} within {self.parameters.answer_timeout_s} s: {silent} is silent")
        elif now_ns - self._reported_ns > 1e9:
            self._reported_ns = now_ns
            self.get_logger().info(f"{self._tally.ticks} of {len(self._drive.stamp_ns)} ticks")

    def _next_tick(self) -> None:
        """Publish the next tick that can be published; after the last, end."""
        for pictures in self._pictures:
            self._tick += 1
            try:
                self._publish_tick(pictures, int(self._drive.stamp_ns[self._tick]))
                return
            except MimicError as error:
                self._tally.skip(str(error))
        self._end("")

    def _publish_tick(self, pictures: dict[str, BagMessage], stamp_ns: int) -> None:
        """Raises MimicError when a picture cannot be decoded, before anything is published."""
        assert self._writer is not None
        messages = {name: ros_replay.picture_message(self._bag.decode(item), item.channel.type_name, stamp_ns=stamp_ns) for name, item in pictures.items()}
        self._answers.begin(stamp_ns)
        self._asked_ns = self._steady.now().nanoseconds
        self._clock_publisher.publish(ros_replay.clock_message(stamp_ns))
        if self._drive.routes:  # not waited for, so before the picture, which makes a detour by the camera node
            route = self._drive.routes[self._tick]
            self._command_publisher.publish(String(data=route.command))
            self._route_publisher.publish(route_message(route.points_m, stamp_ns=stamp_ns, frame_id=BASE_FRAME))
        if self._drive.odometry and self._odometry_publisher:
            sample = self._drive.odometry[self._tick]
            odometry = odometry_message(stamp_ns=stamp_ns, pose=sample.pose, speed_mps=sample.speed_mps, yaw_rate_radps=sample.yaw_rate_radps)
            self._odometry_publisher.publish(odometry)
            self._writer.write(name_in_bag(self, self.parameters.odometry_topic), stamp_ns, serialize_message(odometry))
        for name, message in messages.items():
            self._picture_publishers[name].publish(message)

    def _finish_answered_tick(self) -> None:
        """When the answer is complete, engage after a first plan, then go on to the next tick."""
        answer = None if self._engaging or not self.is_active else self._answers.complete()
        if answer is None:
            return
        if self.parameters.has_vehicle_interface and not self._is_engaged and answer.plan is not None:
            self._engaging = True
            future = self._engage_client.call_async(SetBool.Request(data=True))
            future.add_done_callback(partial(self._on_engaged, answer))
            return
        self._move_on(answer)

    def _on_engaged(self, answer: TickAnswer, future: Any) -> None:
        self._engaging, self._is_engaged = False, bool(future.result().success)
        if not self._is_engaged:
            self.get_logger().warning(f"not engaged: {future.result().message}", throttle_duration_sec=5.0)
        self._move_on(answer)

    def _move_on(self, answer: TickAnswer) -> None:
        self._tally.add(answer, stamp_ns=self._answers.stamp_ns)
        self._next_tick()

    # The end

    def _end(self, failure: str) -> None:
        """Give the bag its name and write its report, unless the replay failed; then leave."""
        p = self.parameters
        failure = failure or self._tally.rejection(has_vehicle_interface=p.has_vehicle_interface)
        self.trigger_deactivate()
        if failure:
            self.get_logger().error(failure)
            raise SystemExit(1)
        assert self._writer is not None
        self._writer.close()
        note = "interpolated to the exposure of each picture" if self._drive.odometry else "none recorded: planner only"
        report = {"bag": p.bag, "topics": p.topics, "odometry": note, **self._tally.summary(), "left_out": self._drive.left_out}
        path = Path(f"{p.out}.json")
        partial_path = path.with_name(f".{path.name}.partial")
        partial_path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        os.replace(partial_path, path)
        self.get_logger().info(f"{self._tally.planned} of {self._tally.ticks} ticks planned, canonical hash {self._tally.canonical_hash()}")
        raise SystemExit(0)


def main() -> int:
    """Run the node."""
    return run_node(ReplayNode, "replay_node")


if __name__ == "__main__":
    sys.exit(main())
