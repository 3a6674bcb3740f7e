"""What every node of the suite has in common: lifecycle, parameters from a dataclass, diagnostics, an orderly end."""

import gc
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import RCLError
from std_msgs.msg import Header

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.parameters import parameters_from
from mimic_contracts.ros_conversions import ns_to_stamp
from mimic_contracts.stage_trace import StageTrace

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

RELIABLE_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST)


ENTITY_KINDS = ("timer", "subscription", "service", "client", "publisher")
HEARTBEAT_TOPIC, HEARTBEAT_S = "{}/heartbeat", 0.03  # of a node by its name
GARBAGE_BEATS = 33  # from one collection of garbage to the next: a second
COMPLAINT_S = 1.0  # from one time that a node says why it could not change its state to the next


class LossyPublisher(Publisher[Any]):
    """A message that DDS does not take in time, as on a starved machine, is lost and complained about: whoever waits for it has a
    timeout, and the next one may come through. It does not end the node."""

    def publish(self, msg: Any) -> None:
        """See the class."""
        try:
            super().publish(msg)
        except RCLError as error:
            get_logger(self.logger_name).warning(f"a message on {self.topic_name} is lost: {error}", throttle_duration_sec=1.0)


class MimicNode(LifecycleNode):
    """A lifecycle node with checked parameters, which hold from configure to cleanup, diagnostics, and, where it works in real time, a heartbeat while active.

    A subclass sets `parameters_class` and implements `configure`, `activate`, `deactivate` and `cleanup`, which raise
    MimicError when they cannot: the transition then fails, the reason is logged, and diagnostics repeat it until the next
    transition, for whoever listens only now. Callbacks look at `is_active`.
    Publishers, subscriptions, services, clients and timers go by themselves: what `activate` made after `deactivate`, what
    `configure` made after `cleanup`, and what either made before it failed. With a parameter `trace` that is not empty,
    `self.trace` notes what it is told.

    While it works in real time, Python's garbage collector doesn't run when it likes, for milliseconds in the midst of a frame:
    what is there at activation is never looked at again, and the little that comes later once a second, between two callbacks.
    """

    parameters_class: ClassVar[type]

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.is_active = False
        self.parameters: Any = None
        self.trace = StageTrace()
        self._beats = 0
        self._failure = ""  # why the last transition failed
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", RELIABLE_QOS)
        self._heartbeat = self.create_publisher(Header, HEARTBEAT_TOPIC.format(name), SENSOR_QOS)
        for declared in fields(self.parameters_class):
            default = list(declared.default) if isinstance(declared.default, tuple) else declared.default
            self.declare_parameter(declared.name, default, _descriptor(declared.default, declared.metadata))
        self.create_timer(COMPLAINT_S, self._repeat_failure, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._entities_before: dict[str, list[tuple[str, Any]]] = {}  # by transition: what was there before it
        self.add_on_set_parameters_callback(self._refuse_parameters)

    def create_publisher(self, msg_type: Any, topic: str, qos_profile: Any, **options: Any) -> Any:
        """As of any node, but see LossyPublisher."""
        return super().create_publisher(msg_type, topic, qos_profile, publisher_class=LossyPublisher, **options)

    def configure(self) -> None:
        """Create what the node needs from self.parameters; raise MimicError when that is impossible."""
        raise NotImplementedError

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working; timers and whatever else activate made go by themselves."""

    def cleanup(self) -> None:
        """Let go of what configure opened; publishers, subscriptions and their like go by themselves."""

    def wait_for_subscribers(self, *publishers: Any, count: int = 1, timeout_s: float = 20.0) -> None:
        """Block until each publisher has matched this many subscriptions, so that no lockstep message is lost to discovery.

        Raises MimicError naming the topic that has fewer.
        """
        deadline_s = time.monotonic() + timeout_s
        pause = threading.Event()
        for publisher in publishers:
            while publisher.get_subscription_count() < count:
                if time.monotonic() > deadline_s:
                    found = f"{publisher.get_subscription_count()} of {count} subscriptions of {publisher.topic_name}"
                    raise MimicError(f"{found} were found within {timeout_s} s: is the next node of the lockstep chain up?")
                pause.wait(0.01)

    def diagnose(self, level: bytes, message: str, values: Mapping[str, object] | None = None, *, stamp_ns: int | None = None) -> None:
        """Publish one status of this node; stamp_ns: the tick that it answers, default now, as where no message can have that stamp."""
        status = DiagnosticStatus(level=level, name=self.get_name(), hardware_id="mimic_drive", message=message)
        status.values = [KeyValue(key=k, value=str(v)) for k, v in (values or {}).items()]
        array = DiagnosticArray(status=[status])
        try:
            array.header.stamp = self.get_clock().now().to_msg() if stamp_ns is None else ns_to_stamp(stamp_ns)
        except ContractError:  # of the message that is complained about
            array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: read and check all parameters, then configure."""
        return self._transition("configure", self._read_and_configure, makes=True)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: activate."""
        result = self._transition("activate", self.activate, makes=True)
        self.is_active = result == TransitionCallbackReturn.SUCCESS
        if self.is_active and not getattr(self.parameters, "lockstep", False):
            gc.collect()
            gc.freeze()
            gc.disable()
            self.create_timer(HEARTBEAT_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: deactivate."""
        self.is_active = False
        gc.enable()
        gc.unfreeze()
        result = self._transition("deactivate", self.deactivate)
        self._destroy_since("activate")
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: cleanup."""
        result = self._transition("cleanup", self.cleanup)
        self.trace.close()
        self._destroy_since("configure")
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle: deactivate where active, cleanup where configured."""
        if self.is_active and self.on_deactivate(state) != TransitionCallbackReturn.SUCCESS:
            return TransitionCallbackReturn.FAILURE
        return self.on_cleanup(state) if "configure" in self._entities_before else TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Finish the trace when the process is told to end. Garbage is collected again, or others would go on seeing the node for
        20 s, and speak to it instead of the one that is started in its place."""
        gc.enable()
        gc.unfreeze()
        self.trace.close()
        super().destroy_node()

    def _refuse_parameters(self, _: list[Parameter]) -> SetParametersResult:
        """From configure to cleanup what was configured holds, rclpy's own use_sim_time with it: a clock must not change while driving."""
        is_configured = "configure" in self._entities_before
        return SetParametersResult(successful=not is_configured, reason="parameters are read when the node is configured: clean it up first" * is_configured)

    def _beat(self) -> None:
        """From the loop that does the node's work: when that hangs, the heartbeat ceases."""
        self._heartbeat.publish(Header(stamp=self.get_clock().now().to_msg(), frame_id=self.get_name()))
        self._beats += 1
        if self._beats % GARBAGE_BEATS == 0:
            gc.collect()

    def _repeat_failure(self) -> None:
        if self._failure:
            self.diagnose(ERROR, self._failure)

    def _read_and_configure(self) -> None:
        names = [f.name for f in fields(self.parameters_class)]
        values = {name: self.get_parameter(name).value for name in names}
        self.parameters = parameters_from(self.parameters_class, values, self.get_name())
        self.configure()
        if getattr(self.parameters, "trace", ""):
            self.trace.open(Path(self.parameters.trace), self.get_name())

    def _entities(self) -> list[tuple[str, Any]]:
        return [(kind, entity) for kind in ENTITY_KINDS for entity in getattr(self, f"{kind}s")]

    def _destroy_since(self, transition: str) -> None:
        """Destroy what was made in and since this transition."""
        before = self._entities_before.pop(transition)
        for kind, entity in self._entities():
            if not any(entity is other for _, other in before):
                getattr(self, f"destroy_{kind}")(entity)

    def _transition(self, verb: str, work: Callable[[], None], *, makes: bool = False) -> TransitionCallbackReturn:
        self._failure = ""
        if makes:
            self._entities_before[verb] = self._entities()
        try:
            work()
        except MimicError as error:
            if makes:
                self._destroy_since(verb)
            self._failure = f"cannot {verb}: {error}"
            self.get_logger().error(self._failure)
            self.diagnose(ERROR, self._failure)
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS


def run_node(node_class: type[MimicNode], name: str) -> int:
    """Spin one node until SIGINT or SIGTERM; returns the exit code."""
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    rclpy.init()  # its own handlers wake the executor, and hand on to these
    executor = SingleThreadedExecutor()
    node: MimicNode | None = None
    try:
        node = node_class(name)
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except InvalidParameterTypeException as error:
        get_logger(name).error(str(error))
        return 1
    except RuntimeError:  # what rclpy's C++ makes of an interrupt that meets it in the middle of its work
        if not received:
            raise
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes twice under `ros2 launch`: from the terminal and from launch
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _descriptor(default: Any, metadata: Mapping[str, Any]) -> ParameterDescriptor:
    choices = f" One of: {', '.join(metadata['choices'])}." if metadata["choices"] else ""
    descriptor = ParameterDescriptor(description=metadata["description"] + choices)
    low, high = metadata["low"], metadata["high"]
    if low is not None and high is not None:
        if isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        elif isinstance(default, int):
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return descriptor
