"""What `mimic top` hears: subscriptions, and nothing else."""

import signal
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions

from bag_tools.ros_record import message_class
from mimic.top_core import DIAGNOSTICS_TOPIC, HEARTBEAT_END, MODE_TOPIC, PLAN_TOPIC, PLANNED_AHEAD_S, REQUEST_TOPIC, VERDICT_TOPIC, PipelineTopics, TopCore
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import ContractError
from mimic_contracts.ros_conversions import plan_from_message
from mimic_contracts.ros_lifecycle import LATCHED_QOS

HEARD_QOS = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)  # matches every publisher, and holds none up
DISCOVERY_S = 0.5


class Listener:
    """Subscribes to the topics of a pipeline as their publishers appear, and to every node's heartbeat, all in the namespace of its own
    node; hands on what arrives, by names without that namespace."""

    def __init__(self, node: Node, core: TopCore, topics: PipelineTopics) -> None:
        self._node, self._core, self._namespace = node, core, node.get_namespace().rstrip("/")
        self._stamped = {*topics.pictures, PLAN_TOPIC}
        self._wanted = {*topics.required, *topics.optional, DIAGNOSTICS_TOPIC, MODE_TOPIC, REQUEST_TOPIC}
        self._subscriptions: dict[str, Any] = {}
        self._readers: dict[str, Callable[[Any], None]] = {
            topics.odometry: lambda message: core.note_speed(message.twist.twist.linear.x),
            PLAN_TOPIC: self._read_plan,
            MODE_TOPIC: lambda message: core.note_mode(message.data),
            REQUEST_TOPIC: lambda message: core.note_takeover_request(message.data),
            VERDICT_TOPIC: lambda message: core.note_verdict(_level(message), message.message),
            DIAGNOSTICS_TOPIC: self._read_diagnostics,
        }

    @property
    def has_heard(self) -> bool:
        """Whether anybody publishes what is listened to."""
        return bool(self._subscriptions)

    def discover(self) -> None:
        """Subscribe to what has publishers now; raises MimicError when a message class is not installed."""
        for full_name, _ in self._node.get_topic_names_and_types():
            topic = full_name.removeprefix(self._namespace)
            is_heartbeat = topic.endswith(HEARTBEAT_END) and topic.count("/") == 2  # of our namespace, not of one below it
            is_wanted = full_name == self._namespace + topic and (topic in self._wanted or is_heartbeat)
            publishers = self._node.get_publishers_info_by_topic(full_name) if is_wanted and topic not in self._subscriptions else []
            if publishers:
                is_latched = all(publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for publisher in publishers)
                kind = message_class(publishers[0].topic_type, full_name)
                hear = partial(self._hear, topic, kind)
                self._subscriptions[topic] = self._node.create_subscription(kind, full_name, hear, LATCHED_QOS if is_latched else HEARD_QOS, raw=True)

    def _hear(self, topic: str, kind: Any, data: bytes, info: Any) -> None:
        steady_ns = time.monotonic_ns()
        if topic in self._readers:
            self._readers[topic](deserialize_message(data, kind))
        if topic not in (MODE_TOPIC, REQUEST_TOPIC, DIAGNOSTICS_TOPIC):  # these come when there is something to say
            stamp_ns = header_stamp_ns(data) if topic in self._stamped else 0
            self._core.note(topic, steady_ns=steady_ns, source_ns=int(info["source_timestamp"]), stamp_ns=stamp_ns)

    def _read_plan(self, message: Any) -> None:
        with suppress(ContractError):  # then it is the vehicle interface that says what is wrong with it
            plan = plan_from_message(message)
            if plan.spec is CAR:
                self._core.note_planned_speed(float(plan.at(PLANNED_AHEAD_S)[CAR.index("speed_mps")]))

    def _read_diagnostics(self, message: Any) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self._core.note_status(status.name, _level(status), status.message, values, steady_ns=time.monotonic_ns())


def header_stamp_ns(data: bytes) -> int:
    """The stamp of a serialized message whose first field is a std_msgs/Header; the picture behind it is not looked at."""
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)


def watch(core: TopCore, topics: PipelineTopics, show: Callable[[], bool], *, namespace: str, period_s: float) -> bool:
    """Listen, and call `show` every period until it returns False, or until SIGINT or SIGTERM; returns whether anybody was heard."""
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    no_services = [Parameter("start_type_description_service", value=False)]
    node = Node("mimic_top", namespace=namespace, enable_rosout=False, start_parameter_services=False, parameter_overrides=no_services)
    listener = Listener(node, core, topics)
    try:
        next_look_s, next_show_s = 0.0, time.monotonic() + period_s
        while not interrupted.is_set():
            now_s = time.monotonic()
            if now_s >= next_look_s:
                listener.discover()
                next_look_s = now_s + DISCOVERY_S
            if now_s >= next_show_s:
                if not show():
                    break
                next_show_s = now_s + period_s
            rclpy.spin_once(node, timeout_sec=0.05)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return listener.has_heard


def _level(status: Any) -> int:
    """DiagnosticStatus.level as a number: in Python it is one byte."""
    return int(status.level[0]) if isinstance(status.level, bytes) else int(status.level)
