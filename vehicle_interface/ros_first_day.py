"""The bench of the first-day procedure over ROS: gives plans as an operator's joystick does, and hears the vehicle and its interface."""

import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry as OdometryMessage
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from mimic_contracts.errors import MimicError
from mimic_contracts.ros_conversions import plan_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import HEARTBEAT_TOPIC, LATCHED_QOS, RELIABLE_QOS, SENSOR_QOS
from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface.first_day_figures import Connections, Event, Heard, Odometry, Told, Wheel
from vehicle_interface.ros_actuation import actuation_qos, actuation_type, is_overridden, override_qos, override_type, told
from vehicle_interface.teleop import OPERATOR_TOPIC, Sticks, plan_of

INTERFACE = "vehicle_interface_node"
PLAN_PERIOD_S, LISTEN_S = 0.05, 0.02
ANSWER_S, UP_S = 5.0, 30.0


class RosBench:
    """Its node lives in a context of its own, in the vehicle's namespace and domain; vehicle: with the limits and the
    adapter that its interface has.

    watch: called all the time while a step is being done, raises what is to end it. A service that is called is waited for in any case.
    """

    def __init__(self, vehicle: VehicleSpec, *, watch: Callable[[], None], use_sim_time: bool, namespace: str, domain_id: int) -> None:
        self.heard = Heard()
        self._vehicle, self._watch, self._planned_s, self._beats = vehicle, watch, 0.0, 0
        overrides = [Parameter("use_sim_time", value=use_sim_time)]
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)  # signals are the person's, see `watch`
        self._node = Node("first_day", namespace=namespace, context=self._context, parameter_overrides=overrides)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        adapter, node, names = vehicle.adapter, self._node, vehicle.topics
        odometry, steering, override, self._command = (name.lstrip("/") for name in (names.odometry, names.steering, names.driver_override, names.command))
        self._plans = node.create_publisher(JointTrajectory, OPERATOR_TOPIC, RELIABLE_QOS)
        node.create_subscription(OdometryMessage, odometry, self._on_odometry, SENSOR_QOS)
        node.create_subscription(JointState, steering, self._on_steering, SENSOR_QOS)
        node.create_subscription(override_type(adapter), override, self._on_override, override_qos(adapter))
        node.create_subscription(actuation_type(adapter), self._command, self._on_command, actuation_qos(adapter))
        node.create_subscription(String, "vehicle/mode", lambda message: self.heard.note_mode(message.data, arrival_s=self.now_s), LATCHED_QOS)
        node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, RELIABLE_QOS)
        node.create_subscription(Header, HEARTBEAT_TOPIC.format(INTERFACE), self._on_heartbeat, SENSOR_QOS)
        self._engage = node.create_client(SetBool, "vehicle/engage")
        self._emergency = node.create_client(SetBool, "vehicle/emergency_stop")
        self._lifecycle = node.create_client(ChangeState, f"{INTERFACE}/change_state")

    def close(self) -> None:
        """Destroy the node and its context."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    @property
    def now_s(self) -> float:
        """On the steady clock."""
        return time.monotonic()

    def listen(self) -> None:
        """For a moment."""
        self._executor.spin_once(timeout_sec=LISTEN_S)

    def wait_until_up(self) -> None:
        """Until the vehicle interface works and hears us; raises MimicError when it does not."""
        clients, deadline_s = (self._engage, self._emergency, self._lifecycle), self.now_s + UP_S
        while not (self._beats and self.heard.mode and self._plans.get_subscription_count() and all(client.service_is_ready() for client in clients)):
            self.tick(None)
            if self.now_s > deadline_s:
                raise MimicError(f"{INTERFACE} did not come up within {UP_S:.0f} s")

    def tick(self, sticks: Sticks | None) -> None:
        """Listen for a moment; a plan for these sticks, when the next is due."""
        self._watch()
        if sticks is not None and self.now_s - self._planned_s >= PLAN_PERIOD_S:
            self._planned_s = self.now_s
            stamp_ns = self._node.get_clock().now().nanoseconds
            top_mps = self._vehicle.limits.max_speed_mps
            plan = plan_of(sticks, vehicle=self._vehicle, max_speed_mps=top_mps, speed_mps=self.heard.speed_mps, stamp_ns=stamp_ns)
            self._plans.publish(plan_message(plan))
        self.listen()

    def engage(self, on: bool) -> tuple[bool, str]:
        """As the operator's service call does."""
        response = self._ask(self._engage, SetBool.Request(data=on))
        return response.success, response.message

    def emergency_stop(self, on: bool) -> tuple[bool, str]:
        """As the operator's service call does."""
        response = self._ask(self._emergency, SetBool.Request(data=on))
        return response.success, response.message

    def set_active(self, on: bool) -> None:
        """By lifecycle: deactivated it is as silent as dead, and can still be called back."""
        transition = Transition.TRANSITION_ACTIVATE if on else Transition.TRANSITION_DEACTIVATE
        if not self._ask(self._lifecycle, ChangeState.Request(transition=Transition(id=transition))).success:
            raise MimicError(f"{INTERFACE}: could not be {'activated' if on else 'deactivated'}")

    def connections(self) -> Connections:
        """Of the command topic; the vehicle interface and this node are not others."""
        publishers = [info.node_name for info in self._node.get_publishers_info_by_topic(self._command)]
        if INTERFACE in publishers:
            publishers.remove(INTERFACE)  # once: a second one of its name is another
        return Connections(
            command_subscriptions=len([i for i in self._node.get_subscriptions_info_by_topic(self._command) if i.node_name != self._node.get_name()]),
            other_publishers=tuple(publishers),
        )

    def _ask(self, client: Any, request: Any) -> Any:
        future, deadline_s = client.call_async(request), self.now_s + ANSWER_S
        while not future.done():
            self._executor.spin_once(timeout_sec=LISTEN_S)
            if self.now_s > deadline_s:
                raise MimicError(f"{client.srv_name}: no answer within {ANSWER_S} s: does {INTERFACE} still run?")
        return future.result()

    def _on_odometry(self, message: OdometryMessage) -> None:
        stamp_s, now_s = stamp_to_ns(message.header.stamp) / 1e9, self._node.get_clock().now().nanoseconds / 1e9
        twist = message.twist.twist
        self.heard.note_odometry(Odometry(self.now_s, stamp_s, now_s - stamp_s, twist.linear.x, twist.angular.z))

    def _on_steering(self, message: JointState) -> None:
        if message.position:
            angle_rad = (message.position[0] - self._vehicle.steering_offset_rad) / self._vehicle.steering_ratio
            self.heard.wheels.append(Wheel(self.now_s, angle_rad))

    def _on_override(self, message: Any) -> None:
        self.heard.overrides.append(Event(self.now_s, is_overridden(self._vehicle.adapter, message)))

    def _on_command(self, message: Any) -> None:
        self.heard.commands.append(Told(self.now_s, *told(message, self._vehicle)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == INTERFACE:
                self.heard.reason = status.message

    def _on_heartbeat(self, _: Header) -> None:
        self._beats += 1
