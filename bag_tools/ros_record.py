"""Recording: serialized bytes from DDS straight into MCAP, with the QoS that each topic's publishers offer."""

import importlib
import signal
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from bag_tools.bag_writer import BagWriter
from mimic_contracts.errors import MimicError

DISCOVERY_PERIOD_S = 0.1
SEPARATOR = "=" * 80


class Recorder:
    """Subscribes to topics as their publishers appear and writes every message into a bag.

    lost, before: messages that never arrived between others, and that were published before the first; both from the
    publishers' sequence numbers, for topics that had one publisher when they were found. failure: why writing stopped.
    """

    def __init__(self, node: Node, topics: Sequence[str], writer: BagWriter) -> None:
        self._node, self._writer = node, writer
        self._wanted = {name_in_bag(node, topic): node.resolve_topic_name(topic) for topic in topics}  # by their names in the bag
        self._subscriptions: dict[str, Any] = {}
        self._last_number: dict[str, int] = {}
        self.lost: dict[str, int] = {}
        self.before: dict[str, int] = {}
        self.failure = ""

    @property
    def missing(self) -> list[str]:
        """Topics that nobody publishes yet."""
        return [topic for topic in self._wanted if topic not in self._subscriptions]

    def discover(self) -> None:
        """Subscribe to wanted topics that have publishers now; raises MimicError when a message class is not installed."""
        for topic in self.missing:
            publishers = self._node.get_publishers_info_by_topic(self._wanted[topic])
            if publishers:
                self._subscribe(topic, publishers)

    def wait_until_matched(self, *, timeout_s: float, settle_s: float) -> None:
        """Block until every topic's publishers are found and matched; raises MimicError naming those that are not."""
        deadline_s, pause = time.monotonic() + timeout_s, threading.Event()
        while True:
            self.discover()
            unmatched = self.missing + [topic for topic, subscription in self._subscriptions.items() if not subscription.get_publisher_count()]
            if not unmatched:
                pause.wait(settle_s)
                return
            if time.monotonic() > deadline_s:
                raise MimicError(f"nobody publishes {', '.join(unmatched)} within {timeout_s} s: is the node that does so configured?")
            pause.wait(0.02)

    def stop(self) -> None:
        """Write what has arrived and is not taken yet, and unsubscribe."""
        for topic, subscription in self._subscriptions.items():
            with subscription.handle:
                while (taken := subscription.handle.take_message(subscription.msg_type, True)) is not None:
                    self._write(topic, *taken)
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions = {}

    def _subscribe(self, topic: str, publishers: Sequence[Any]) -> None:
        type_name = publishers[0].topic_type
        profile = matching_qos([publisher.qos_profile for publisher in publishers])
        kind = message_class(type_name, topic)
        self._writer.add_topic(topic, type_name, definition=_definition(type_name), type_hash=str(publishers[0].topic_type_hash), qos=(_offered(profile),))
        if len(publishers) == 1:
            self.lost[topic] = 0
        callback = partial(self._write, topic)
        self._subscriptions[topic] = self._node.create_subscription(kind, self._wanted[topic], callback, profile, raw=True)

    def _write(self, topic: str, data: bytes, info: Any) -> None:
        if topic in self.lost:
            number = int(info["publication_sequence_number"])
            if topic in self._last_number:
                self.lost[topic] += max(0, number - self._last_number[topic] - 1)
            else:
                self.before[topic] = max(0, number - 1)
            self._last_number[topic] = number
        if self.failure:
            return
        try:
            self._writer.write(topic, int(info["received_timestamp"]), data)
        except OSError as error:
            self.failure = f"{self._writer.path}: cannot be written any more: {error.strerror}"


def name_in_bag(node: Node, topic: str) -> str:
    """A topic's full name, but without the node's own namespace: the bags of all vehicles of a fleet have the same names."""
    return node.resolve_topic_name(topic).removeprefix(node.get_namespace().rstrip("/"))


def matching_qos(offered: Sequence[QoSProfile]) -> QoSProfile:
    """A profile that matches every publisher and loses as little as they allow: reliable and latched only if all are."""
    is_reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in offered)
    is_latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_ALL,
        reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
    )


def record_until_interrupted(topics: Sequence[str], out: Path, *, overwrite: bool) -> dict[str, int]:
    """Record topics, as they appear, until SIGINT or SIGTERM; returns messages by topic.

    Raises UsageError or MimicError when the bag cannot be written.
    """
    writer = BagWriter(out, overwrite=overwrite)
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("mimic_bag_record")
    recorder = Recorder(node, topics, writer)
    try:
        next_look_s = 0.0
        while not interrupted.is_set():
            if time.monotonic() >= next_look_s and recorder.missing:
                recorder.discover()
                next_look_s = time.monotonic() + DISCOVERY_PERIOD_S
            rclpy.spin_once(node, timeout_sec=DISCOVERY_PERIOD_S)
        recorder.stop()
    finally:
        writer.close()
        node.destroy_node()
        rclpy.try_shutdown()
    if recorder.failure:
        raise MimicError(recorder.failure)
    if not writer.counts:
        raise MimicError(f"nothing was recorded: nobody published {', '.join(topics)}")
    return writer.counts


def message_class(type_name: str, topic: str) -> Any:
    """The class of a topic's messages; raises MimicError when its package is not installed."""
    package, _, name = type_name.replace("/msg/", "/").partition("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise MimicError(f"{topic}: is {type_name}, which is not installed here: install the package '{package}'") from error


def _definition(type_name: str) -> str:
    """The .msg text of a type and of all that it is made of, as bags embed it; '' where the files are not installed."""
    texts: dict[str, str] = {}
    pending = [type_name]
    while pending:
        current = pending.pop()
        package, _, name = current.replace("/msg/", "/").partition("/")
        try:
            texts[current] = (Path(get_package_share_directory(package)) / "msg" / f"{name}.msg").read_text(encoding="utf-8")
        except (PackageNotFoundError, OSError, ValueError):
            return ""
        for line in texts[current].splitlines():
            field_type = line.split("#")[0].strip().split(" ")[0].split("[")[0].split("<")[0]
            if field_type[:1].isupper() or "/" in field_type:
                nested_package, _, nested = field_type.replace("/msg/", "/").rpartition("/")
                nested_name = f"{nested_package or package}/msg/{nested}"
                pending += [nested_name] if nested_name not in texts else []
    main = texts.pop(type_name)
    return main + "".join(f"\n{SEPARATOR}\nMSG: {name.replace('/msg/', '/')}\n{text}" for name, text in texts.items())


def _offered(profile: QoSProfile) -> Qos:
    never = QosTime(2147483647, 4294967295)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=10,
        reliability=QosReliability.RELIABLE if profile.reliability == ReliabilityPolicy.RELIABLE else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL else QosDurability.VOLATILE,
        deadline=never,
        lifespan=never,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=never,
        avoid_ros_namespace_conventions=False,
    )
