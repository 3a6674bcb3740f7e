"""Between the vehicle interface and a vehicle that would hold its last command for ever: passes commands on, brakes when they cease."""

import sys

from geometry_msgs.msg import Twist
from rclpy.clock import Clock, ClockType

from mimic_contracts.errors import ContractError
from mimic_contracts.ros_lifecycle import OK, RELIABLE_QOS, WARN, MimicNode, run_node
from mimic_contracts.vehicle import load_vehicle
from vehicle_interface.adapters import Twist2D
from vehicle_interface.command_timeout import CommandTimeout
from vehicle_interface.command_timeout_parameters import CommandTimeoutParameters

PERIOD_S = 0.02


class CommandTimeoutNode(MimicNode):
    """A process of its own, so that it outlives the vehicle interface; on the steady clock, which no simulator stops."""

    parameters_class = CommandTimeoutParameters

    def configure(self) -> None:
        """Read the vehicle file, make publisher and subscription."""
        p = self.parameters
        vehicle = load_vehicle(p.vehicle)
        if vehicle.adapter != "twist":
            raise ContractError(f"vehicle: '{vehicle.name}' has adapter {vehicle.adapter}, must be twist")
        self._timeout = CommandTimeout(vehicle.command_timeout_s)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._is_braking = False
        self._publisher = self.create_publisher(Twist, p.vehicle_topic, RELIABLE_QOS)
        self.create_subscription(Twist, p.command_topic, self._on_command, RELIABLE_QOS)

    def activate(self) -> None:
        """Begin to pass commands on."""
        self.create_timer(PERIOD_S, self._on_timer, clock=self._steady)

    def deactivate(self) -> None:
        """Stop the vehicle, since nobody can any more."""
        self._publisher.publish(Twist())

    def _on_command(self, message: Twist) -> None:
        if not self.is_active:
            return
        command = Twist2D(speed_mps=message.linear.x, yaw_rate_radps=message.angular.z)
        try:
            self._timeout.take(command, steady_ns=self._steady.now().nanoseconds)
        except ContractError as error:
            self.get_logger().warning(f"ignored: {error}", throttle_duration_sec=5.0)
            return
        if self._is_braking:
            self._is_braking = False
            self.diagnose(OK, "commands come again")
        self._publisher.publish(message)

    def _on_timer(self) -> None:
        command = self._timeout.brake(steady_ns=self._steady.now().nanoseconds)
        if command is None:
            return
        if not self._is_braking:
            self._is_braking = True
            self.get_logger().warning("brakes: commands have ceased")
            self.diagnose(WARN, "brakes: commands have ceased")
        message = Twist()
        message.linear.x, message.angular.z = command.speed_mps, command.yaw_rate_radps
        self._publisher.publish(message)


def main() -> int:
    """Run the node."""
    return run_node(CommandTimeoutNode, "command_timeout_node")


if __name__ == "__main__":
    sys.exit(main())
