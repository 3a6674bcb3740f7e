"""What a node makes goes with the transition that made it: a node on real DDS, taken through its life."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import SetBool

from mimic_contracts.errors import MimicError
from mimic_contracts.parameters import parameter
from mimic_contracts.ros_conversions import stamp_to_ns
from mimic_contracts.ros_lifecycle import COMPLAINT_S, ERROR, OK, WARN, MimicNode

pytestmark = pytest.mark.ros

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@dataclass(frozen=True)
class OneParameter:
    """One."""

    rate_hz: float = parameter(5.0, "A rate.", low=1.0, high=10.0)


class Probe(MimicNode):
    """Makes one of each kind, then fails where it is told to."""

    parameters_class = OneParameter
    fails_in = ""

    def configure(self) -> None:
        """A publisher, a subscription, a service and a client."""
        self.create_publisher(String, "/probe/out", 1)
        self.create_subscription(String, "/probe/in", print, 1)
        self.create_service(SetBool, "/probe/serve", lambda request, response: response)
        self.create_client(SetBool, "/probe/call")
        self._fail("configure")

    def activate(self) -> None:
        """A timer."""
        self.create_timer(1.0, print)
        self._fail("activate")

    def deactivate(self) -> None:
        """Nothing."""
        self._fail("deactivate")

    def _fail(self, verb: str) -> None:
        if self.fails_in == verb:
            raise MimicError("as it was told")

    def count(self) -> int:
        """Of all that it has."""
        return sum(len(list(kind)) for kind in (self.timers, self.subscriptions, self.services, self.clients, self.publishers))


@pytest.fixture
def probe(ros) -> Iterator[Probe]:
    rclpy.init()
    node = Probe("probe")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_what_activate_made_goes_by_deactivate_and_what_configure_made_by_cleanup(probe) -> None:
    born = probe.count()
    for _ in range(2):
        assert probe.on_configure(None) == SUCCESS
        assert probe.count() == born + 4
        assert probe.on_activate(None) == SUCCESS
        assert probe.count() == born + 6, "its own timer, and the heartbeat's"
        assert probe.on_deactivate(None) == SUCCESS
        assert probe.count() == born + 4
        assert probe.on_cleanup(None) == SUCCESS
        assert probe.count() == born


@pytest.mark.parametrize("fails_in", ["configure", "activate"])
def test_what_was_made_before_a_failure_goes_too_and_the_node_can_be_shut_down(probe, fails_in) -> None:
    born, probe.fails_in = probe.count(), fails_in
    assert probe.on_configure(None) == (FAILURE if fails_in == "configure" else SUCCESS)
    if fails_in == "activate":
        assert probe.on_activate(None) == FAILURE
        assert probe.count() == born + 4
    assert not probe.is_active
    assert probe.on_shutdown(None) == SUCCESS
    assert probe.count() == born


def test_a_node_that_cannot_stop_working_is_silent_all_the_same(probe) -> None:
    probe.fails_in = "deactivate"
    probe.on_configure(None)
    configured = probe.count()
    probe.on_activate(None)
    assert probe.on_deactivate(None) == FAILURE
    assert not probe.is_active
    assert probe.count() == configured, "no timer is left, and no heartbeat"


def test_parameters_and_the_choice_of_the_clock_hold_from_configure_to_cleanup(probe) -> None:
    def set_to(**values):
        return [result.successful for result in probe.set_parameters([Parameter(name, value=value) for name, value in values.items()])]

    assert set_to(rate_hz=6.0) == [True]
    probe.on_configure(None)
    assert probe.parameters.rate_hz == 6.0
    probe.on_activate(None)
    assert set_to(rate_hz=7.0, use_sim_time=True) == [False, False]
    assert probe.get_parameter("rate_hz").value == 6.0 and not probe.get_clock().ros_time_is_active
    probe.on_deactivate(None)
    assert set_to(rate_hz=7.0) == [False]
    probe.on_cleanup(None)
    assert set_to(rate_hz=7.0) == [True]


@pytest.mark.parametrize("stamp_ns", [-1, 2**31 * 10**9])
def test_a_complaint_about_an_impossible_stamp_has_the_time_of_now(ros, probe, stamp_ns) -> None:
    heard = ros.collect(DiagnosticArray, "/diagnostics")
    ros.wait_until(probe._diagnostics.get_subscription_count, "that the diagnostics are heard")
    begun_ns = probe.get_clock().now().nanoseconds
    probe.diagnose(WARN, "of another time", stamp_ns=stamp_ns)
    ros.wait_until(lambda: heard, "the complaint")
    assert heard[0].status[0].message == "of another time" and stamp_to_ns(heard[0].header.stamp) >= begun_ns


def test_whoever_listens_late_hears_why_a_node_failed_until_its_next_transition(ros, probe) -> None:
    def spin_until(condition, what):
        ros.wait_until(lambda: rclpy.spin_once(probe, timeout_sec=0.01) or condition(), what)

    probe.fails_in = "configure"
    assert probe.on_configure(None) == FAILURE
    heard = ros.collect(DiagnosticArray, "/diagnostics")
    spin_until(lambda: heard, "the reason")
    assert (heard[0].status[0].level, heard[0].status[0].message) == (ERROR, "cannot configure: as it was told")
    probe.fails_in = ""
    assert probe.on_configure(None) == SUCCESS
    probe.diagnose(OK, "configured")
    spin_until(lambda: heard[-1].status[0].level == OK, "what came after it")
    heard.clear()
    next_repeat_s = time.monotonic() + 1.5 * COMPLAINT_S
    spin_until(lambda: time.monotonic() > next_repeat_s, "the time of the next")
    assert not heard


def test_a_message_that_cannot_be_sent_in_time_is_lost_but_not_the_node(ros, probe, capfd) -> None:
    everything = QoSProfile(history=HistoryPolicy.KEEP_ALL, depth=1, reliability=ReliabilityPolicy.RELIABLE)
    probe.create_subscription(String, "/probe/heard", print, everything)  # and does not listen
    publisher = probe.create_publisher(String, "/probe/heard", everything)
    ros.wait_until(lambda: publisher.get_subscription_count() > 0, "the subscription")
    limit = 10_000  # Fast DDS keeps 5,000 messages on either side
    for _ in range(limit):
        publisher.publish(String(data="again"))
    assert "is lost" not in capfd.readouterr().err
    publisher.publish(String(data="one too many"))
    assert "a message on /probe/heard is lost: Failed to publish" in capfd.readouterr().err
