"""The car of a fault drive, for the nodes: it takes the simulator's pictures and odometry, gives them stamps of now as a car's have, and
hands them on, as it does with the planner's plans; each stream can be spoilt. It sends the middle of the lane as the route (see
ring_driver.py), the driver override's heartbeat, and the joystick of an operator, who drives along the lane.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import rclpy
from fault_changes import Change
from fault_checks import LaneWatch
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.node import Node
from ring_driver import POINTS_AT_M
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Joy
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

from mimic.domain import own_domain_id
from mimic_contracts.motion import points_to_frame
from mimic_contracts.ros_conversions import ns_to_stamp, odometry_pose, route_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import RELIABLE_QOS, SENSOR_QOS
from mimic_sim.world import World
from vehicle_interface.teleop import LATERAL_SHARE, TeleopParameters

# Where the simulator and the planner publish, instead of where the nodes listen.
SIMULATOR_REMAPS = {
    "/localization/kinematic_state": "/car/odometry",
    "/camera/front/image_raw": "/car/picture",
    "/clock": "/car/clock",
    "/planning/route": "/car/route",
}
PLANNER_REMAPS = {"/planning/trajectory": "/planner/trajectory"}
KEPT_TICKS = 50
OPERATOR_MPS, OPERATOR_LOOKS_M = 10.0, 15.0  # the stick's end would leave no curvature for the bends at 50 km/h
JOYSTICK = TeleopParameters()


class FaultyCar:
    """It hears with the observer's node, and speaks as a participant of its own, which can be lost.

    truth: times, ns, and the simulated car's speeds, m/s; is_overriding: what the driver override says, None: nothing;
    holds_joystick: whether the operator presses the dead-man's button, None: the joystick is silent.
    """

    def __init__(self, world: World, observer: Node) -> None:
        self.lane = LaneWatch(world)
        self.truth: list[tuple[int, float]] = []
        self.is_overriding: bool | None = False
        self.holds_joystick: bool | None = None
        self._line, self._vehicle = world.lane_line, world.vehicle
        self._spoilt: dict[str, tuple[Change, int]] = {}
        self._last: dict[str, Any] = {}
        self._stamps: dict[int, int] = {}
        self.join()
        observer.create_subscription(Odometry, "/car/odometry", self._on_odometry, SENSOR_QOS)
        observer.create_subscription(Image, "/car/picture", self._on_picture, SENSOR_QOS)
        observer.create_subscription(JointTrajectory, "/planner/trajectory", lambda message: self._hand_on("plans", message), RELIABLE_QOS)

    def join(self) -> None:
        """Its participant is there."""
        self._context = Context()
        rclpy.init(context=self._context, domain_id=own_domain_id())
        self._node = rclpy.create_node("car", context=self._context)
        publisher = self._node.create_publisher
        self._override = publisher(Bool, "/vehicle/driver_override", SENSOR_QOS)
        self._joystick = publisher(Joy, "/joy", SENSOR_QOS)
        self._publishers = {
            "route": publisher(PathMessage, "/planning/route", RELIABLE_QOS),
            "pictures": publisher(Image, "/camera/front/image_raw", SENSOR_QOS),
            "odometry": publisher(Odometry, "/localization/kinematic_state", SENSOR_QOS),
            "plans": publisher(JointTrajectory, "/planning/trajectory", RELIABLE_QOS),
            "clock": publisher(Clock, "/clock", RELIABLE_QOS),
        }

    def leave(self) -> None:
        """It is gone."""
        self._publishers = {}
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def spoil(self, stream: str, change: Change) -> None:
        """From now on each message of a stream goes through a change."""
        self._spoilt[stream] = (change, 0)

    def unspoil(self) -> None:
        """All streams are as they were."""
        self._spoilt.clear()

    def _hand_on(self, stream: str, message: Any) -> None:
        if stream in self._spoilt:
            change, count = self._spoilt[stream]
            self._spoilt[stream] = (change, count + 1)
            message = change(message, self._last.get(stream, message), count)
        else:
            self._last[stream] = message
        if message is not None and stream in self._publishers:
            self._publishers[stream].publish(message)

    def _stamp_ns(self, simulated_ns: int, info: Mapping[str, int]) -> int:
        """A tick of the simulator happens when its first message is published."""
        if len(self._stamps) > KEPT_TICKS:
            del self._stamps[min(self._stamps)]
        return self._stamps.setdefault(simulated_ns, info["source_timestamp"])

    def _on_odometry(self, message: Odometry, info: Mapping[str, int]) -> None:
        stamp_ns = self._stamp_ns(stamp_to_ns(message.header.stamp), info)
        pose, speed = odometry_pose(message), message.twist.twist.linear.x
        self.lane.look(pose)
        self.truth.append((stamp_ns, speed))
        self._hand_on("clock", Clock(clock=ns_to_stamp(stamp_ns)))
        if self._publishers:
            if self.is_overriding is not None:
                self._override.publish(Bool(data=self.is_overriding))
            if self.holds_joystick is not None:
                self._joystick.publish(self._sticks(pose, speed))
            self._hand_on("route", route_message(self._lane_ahead(POINTS_AT_M, pose), stamp_ns=stamp_ns, frame_id="base_link"))
        message.header.stamp = ns_to_stamp(stamp_ns)
        self._hand_on("odometry", message)

    def _lane_ahead(self, at_m: tuple[float, ...], pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (N, 2) of its middle, so far along it from beside the car, in the car's frame."""
        return points_to_frame(self._line.poses((self.lane.station_m + np.array(at_m)) % self._line.length_m)[:, :2], pose)

    def _sticks(self, pose: NDArray[np.float64], speed_mps: float) -> Joy:
        """Full speed, along the arc to a point ahead."""
        ((x_m, y_m),) = self._lane_ahead((OPERATOR_LOOKS_M,), pose)
        limits = self._vehicle.limits
        at_end_1pm = min(limits.max_curvature_1pm, LATERAL_SHARE * limits.max_lateral_acceleration_mps2 / max(speed_mps, 0.1) ** 2)
        message = Joy(axes=[0.0, 0.0], buttons=[0] * (JOYSTICK.deadman_button + 1))
        message.axes[JOYSTICK.speed_axis] = 1.0
        message.axes[JOYSTICK.steering_axis] = float(np.clip(2.0 * y_m / (x_m**2 + y_m**2) / at_end_1pm, -1.0, 1.0))
        message.buttons[JOYSTICK.deadman_button] = int(bool(self.holds_joystick))
        return message

    def _on_picture(self, message: Image, info: Mapping[str, int]) -> None:
        message.header.stamp = ns_to_stamp(self._stamp_ns(stamp_to_ns(message.header.stamp), info))
        self._hand_on("pictures", message)
