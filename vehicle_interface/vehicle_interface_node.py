"""The only node that can move a vehicle: plan and odometry in, actuation inside the safety envelope out."""

import sys
from collections import Counter
from dataclasses import replace
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from mimic_contracts.errors import ContractError
from mimic_contracts.ros_conversions import odometry_pose, plan_from_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, LATCHED_QOS, OK, RELIABLE_QOS, SENSOR_QOS, WARN, MimicNode, run_node
from mimic_contracts.vehicle import load_vehicle
from vehicle_interface import modes
from vehicle_interface.core import InterfaceOutput, VehicleInterfaceCore
from vehicle_interface.ros_actuation import actuation_message, actuation_qos, actuation_type, is_overridden, override_qos, override_type
from vehicle_interface.ros_verdict import verdict_of_status
from vehicle_interface.teleop import OPERATOR_TOPIC
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

DIAGNOSTICS_PERIOD_NS = 500_000_000
MODE_LEVELS = {modes.DISENGAGED: OK, modes.ENGAGED: OK, modes.DRIVER_OVERRIDE: OK, modes.MINIMAL_RISK_STOP: WARN, modes.EMERGENCY_STOP: ERROR}


class VehicleInterfaceNode(MimicNode):
    """In real time it steps on a steady timer, and at once when a plan arrives; in lockstep once per tick, when odometry and the
    planner's answer are in."""

    parameters_class = VehicleInterfaceParameters

    def configure(self) -> None:
        """Read the vehicle file, make the core, the publishers, subscriptions and services."""
        p = self.parameters
        vehicle = load_vehicle(p.vehicle)
        adapter = p.adapter or vehicle.adapter
        self._vehicle = replace(vehicle, adapter=adapter)
        self._core = VehicleInterfaceCore(self._vehicle, p)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._has_followed = False  # a plan, since the last beat of the timer
        self._published_request: bool | None = None
        self._published_enable: bool | None = None
        self._published_mode = self._diagnosed_mode = self._last_rejection = ""
        self._diagnosed_ns = self._tick_ns = 0
        self._steps, self._bites = 0, Counter[str]()  # since the last diagnostics: with a command, and decided by a limit
        self._odometry_of_tick: dict[int, Odometry] = {}
        self._plan_of_tick: dict[int, JointTrajectory | None] = {}  # None: the planner said that it has none
        self._command_publisher = self.create_publisher(actuation_type(adapter), p.command_topic, actuation_qos(adapter))
        self._mode_publisher = self.create_publisher(String, "vehicle/mode", LATCHED_QOS)
        self._request_publisher = self.create_publisher(Bool, "vehicle/takeover_request", LATCHED_QOS)
        self.create_subscription(Odometry, p.odometry_topic, self._on_odometry, RELIABLE_QOS if p.lockstep else SENSOR_QOS)
        self.create_subscription(JointTrajectory, p.trajectory_topic, self._on_trajectory, RELIABLE_QOS)
        self.create_subscription(override_type(adapter), p.override_topic, self._on_override, override_qos(adapter))
        if p.fault_topic:
            self.create_subscription(Bool, p.fault_topic, self._on_by_wire, SENSOR_QOS)
        self._enable_publisher = self.create_publisher(Bool, p.enable_topic, LATCHED_QOS) if p.enable_topic else None
        if p.lockstep:
            self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, RELIABLE_QOS)
        else:
            self.create_subscription(DiagnosticStatus, "supervisor/verdict", self._on_verdict, SENSOR_QOS)
            self.create_subscription(JointTrajectory, OPERATOR_TOPIC, self._on_operator, RELIABLE_QOS)
        self.create_service(SetBool, "vehicle/engage", self._on_engage)
        self.create_service(SetBool, "vehicle/emergency_stop", self._on_emergency_stop)
        self._publish_mode()

    def activate(self) -> None:
        """Begin to act; in lockstep, once the answers have a listener."""
        if self.parameters.lockstep:
            self._odometry_of_tick.clear()  # of a drive that is over
            self._plan_of_tick.clear()
            self.wait_for_subscribers(self._command_publisher)
        else:
            self.create_timer(1.0 / self.parameters.actuation_rate_hz, self._on_timer, clock=self._steady)

    def deactivate(self) -> None:
        """Fall silent, and need a new engagement: should it be driving, the vehicle's own command timeout stops it."""
        now_ns, steady_ns = self._times_ns()
        self._core.request_engage(False, now_ns=now_ns, steady_ns=steady_ns)
        self._publish_mode()

    def _times_ns(self) -> tuple[int, int]:
        """Now on the vehicle's clock and on the steady clock; in lockstep the tick is the only time there is."""
        if self.parameters.lockstep:
            return self._tick_ns, self._tick_ns
        return self.get_clock().now().nanoseconds, self._steady.now().nanoseconds

    def _on_odometry(self, message: Odometry) -> None:
        if self.parameters.lockstep:
            self._answer(self._odometry_of_tick, message.header.stamp, message)
        else:
            self._take_odometry(message)

    def _on_trajectory(self, message: JointTrajectory, info: dict[str, int]) -> None:
        if self.parameters.lockstep:
            self._answer(self._plan_of_tick, message.header.stamp, message)
        else:
            self._follow(message, info)

    def _follow(self, message: JointTrajectory, info: dict[str, int], *, is_operators: bool = False) -> None:
        """Real time: a plan is acted upon when it arrives, and doesn't wait for the timer; but once between two beats of it, so that
        a flood of plans makes no flood of commands. The envelope's limits are per second, whatever the time between two steps."""
        self.trace.begin(stamp_to_ns(message.header.stamp), sent_ns=info["source_timestamp"])
        if self._take_plan(message, is_operators=is_operators):
            self.trace.mark("accepted")
            if self.is_active and not self._has_followed:
                self._has_followed = True
                self._act()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Lockstep: the planner, or the camera node before it, cannot serve a tick; the vehicle rolls on all the same."""
        is_failure = any(status.level == ERROR and status.name != self.get_name() for status in message.status)
        if is_failure and stamp_to_ns(message.header.stamp) not in self._plan_of_tick:
            self._answer(self._plan_of_tick, message.header.stamp, None)

    def _answer(self, inputs: dict[int, Any], stamp: Time, message: Any) -> None:
        """Lockstep: note an input, and step the ticks of which both odometry and the planner's answer have arrived."""
        if stamp.sec < 0:
            self._reject(f"stamp: is {stamp.sec} s, must not be negative")
            return
        inputs[stamp_to_ns(stamp)] = message
        if not self.is_active:
            return
        for tick_ns in sorted(self._odometry_of_tick.keys() & self._plan_of_tick.keys()):
            self._tick_ns = tick_ns
            self._take_odometry(self._odometry_of_tick.pop(tick_ns))
            plan = self._plan_of_tick.pop(tick_ns)
            for waiting in (self._odometry_of_tick, self._plan_of_tick):
                for old_ns in [key for key in waiting if key < tick_ns]:  # nobody waits for these any more
                    del waiting[old_ns]
            if plan is not None:
                self._take_plan(plan)
            output = self._core.step(now_ns=tick_ns, steady_ns=tick_ns)
            self._publish(output)
            self.diagnose(MODE_LEVELS[output.mode], output.reason, self._values(output), stamp_ns=tick_ns)

    def _take_odometry(self, message: Odometry) -> None:
        try:
            self._core.set_odometry(
                stamp_ns=stamp_to_ns(message.header.stamp),
                pose=odometry_pose(message),
                speed_mps=message.twist.twist.linear.x,
                yaw_rate_radps=message.twist.twist.angular.z,
                steady_ns=self._times_ns()[1],
            )
        except ContractError as error:
            self._reject(str(error))

    def _on_operator(self, message: JointTrajectory, info: dict[str, int]) -> None:
        self._follow(message, info, is_operators=True)

    def _take_plan(self, message: JointTrajectory, *, is_operators: bool = False) -> bool:
        """Whether it can be driven."""
        try:
            self._core.set_plan(plan_from_message(message), steady_ns=self._times_ns()[1], is_operators=is_operators)
        except ContractError as error:
            self._reject(str(error))
            return False
        return True

    def _on_override(self, message: Any) -> None:
        self._core.set_override(is_overridden(self._vehicle.adapter, message), steady_ns=self._times_ns()[1])
        self._publish_mode()

    def _on_by_wire(self, message: Bool) -> None:
        self._core.set_by_wire(message.data, steady_ns=self._times_ns()[1])

    def _on_verdict(self, message: DiagnosticStatus) -> None:
        self._core.set_verdict(verdict_of_status(message), steady_ns=self._times_ns()[1])
        self._publish_mode()

    def _on_engage(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if request.data and not self.is_active:
            response.success, response.message = False, "the node is not active"
            return response
        now_ns, steady_ns = self._times_ns()
        response.success, response.message = self._core.request_engage(request.data, now_ns=now_ns, steady_ns=steady_ns)
        self._publish_mode()
        return response

    def _on_emergency_stop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        now_ns, steady_ns = self._times_ns()
        response.success, response.message = self._core.emergency_stop(request.data, now_ns=now_ns, steady_ns=steady_ns)
        if not self.is_active and request.data:
            response.success, response.message = False, "the node is not active: nothing is published until it is"
        self._publish_mode()
        return response

    def _on_timer(self) -> None:
        self._has_followed = False
        self._act()

    def _act(self) -> None:
        """Real time: one step; how it goes is said twice a second, and when the mode changes."""
        now_ns, steady_ns = self._times_ns()
        output = self._core.step(now_ns=now_ns, steady_ns=steady_ns)
        self.trace.mark("stepped")
        self._publish(output)
        self.trace.end("silent" if output.command is None else "published")
        if output.mode != self._diagnosed_mode or steady_ns - self._diagnosed_ns > DIAGNOSTICS_PERIOD_NS:
            self._diagnosed_mode, self._diagnosed_ns = output.mode, steady_ns
            self.diagnose(MODE_LEVELS[output.mode], output.reason, self._values(output))

    def _publish(self, output: InterfaceOutput) -> None:
        self._publish_mode()
        if output.command is not None:
            self._command_publisher.publish(actuation_message(output.command, output.pedals, self._vehicle))
            self._steps += 1
            self._bites.update(output.biting)

    def _values(self, output: InterfaceOutput) -> dict[str, object]:
        """What diagnostics say beside the reason. limits: those that decided, each with its share of the steps since the last time."""
        values: dict[str, object] = {
            "mode": output.mode,
            "driven_by": self._core.driven_by,
            "rejected_plans": self._core.rejected_plans,
            "rejected_odometry": self._core.rejected_odometry,
            "rejected": self._last_rejection,
        }
        if output.command is not None and output.wish is not None:
            command, wish = output.command, output.wish
            values |= {
                "asked_acceleration_mps2": round(wish.acceleration_mps2, 4),
                "asked_curvature_1pm": round(wish.curvature_1pm, 5),
                "commanded_acceleration_mps2": round(command.acceleration_mps2, 4),
                "commanded_curvature_1pm": round(command.curvature_1pm, 5),
                "commanded_speed_mps": round(command.target_speed_mps, 3),
                "limits": ", ".join(f"{name} {count / self._steps:.2f}" for name, count in sorted(self._bites.items())),
            }
        self._steps, self._bites = 0, Counter()
        return values

    def _publish_mode(self) -> None:
        """What has changed of it. The drive-by-wire is enabled before the first command, and disabled with the last."""
        is_enabled = self.is_active and self._core.mode in modes.COMMANDING
        if self._enable_publisher is not None and is_enabled != self._published_enable:
            self._published_enable = is_enabled
            self._enable_publisher.publish(Bool(data=is_enabled))
        if self._core.mode != self._published_mode:
            self._published_mode = self._core.mode
            self._mode_publisher.publish(String(data=self._published_mode))
            self.get_logger().info(f"mode: {self._published_mode}")
        if self._core.wants_driver != self._published_request:
            self._published_request = self._core.wants_driver
            self._request_publisher.publish(Bool(data=self._published_request))

    def _reject(self, reason: str) -> None:
        """Log a rejection when its kind changes; diagnostics carry the last one and the counts."""
        if reason.partition(":")[0] != self._last_rejection.partition(":")[0]:
            self.get_logger().warning(f"rejected: {reason}")
        self._last_rejection = reason


def main() -> int:
    """Run the node."""
    return run_node(VehicleInterfaceNode, "vehicle_interface_node")


if __name__ == "__main__":
    sys.exit(main())
