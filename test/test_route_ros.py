"""The route node as a process of its own, over DDS."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry, Path
from std_msgs.msg import String

from mimic_contracts.navigation import Manoeuvre, RouteFile, route_text
from mimic_contracts.ros_conversions import odometry_message, route_points
from mimic_contracts.ros_lifecycle import ERROR, OK, WARN

pytestmark = pytest.mark.ros

NODE, MODULE = "route_node", "e2e_planner.route_node"


def test_along_a_route_beside_it_and_to_its_end(ros, tmp_path):
    straight = np.stack([np.arange(0.0, 201.0, 40.0), np.zeros(6)], axis=1)
    (tmp_path / "route.yaml").write_text(
        route_text(RouteFile(name="r", points_m=straight, manoeuvres=(Manoeuvre(start_m=90.0, end_m=100.0, command="straight"),)))
    )
    paths, commands, diagnostics = (
        ros.collect(Path, "/planning/route"),
        ros.collect(String, "/planning/route_command"),
        ros.collect(DiagnosticArray, "/diagnostics"),
    )
    ros.start(MODULE, NODE, {"route": str(tmp_path / "route.yaml")})
    assert ros.configure(NODE) and ros.activate(NODE)
    publisher = ros.publisher(Odometry, "/localization/kinematic_state")

    def said_at(x_m: float, y_m: float, level: bytes, text: str) -> None:
        pose = np.array([x_m, y_m, 0.0])
        before = len(diagnostics)

        def is_said() -> bool:
            publisher.publish(odometry_message(stamp_ns=7, pose=pose, speed_mps=5.0, yaw_rate_radps=0.0))
            return any(s.level == level and text in s.message for array in diagnostics[before:] for s in array.status if s.name == NODE)

        ros.wait_until(is_said, f"'{text}'")

    said_at(10.0, 1.0, OK, "route: follow")
    np.testing.assert_allclose(route_points(paths[-1]), [[30, 0], [60, 0], [90, 0], [120, 0]], atol=0.1)
    assert paths[-1].header.frame_id == "odom" and commands[-1].data == "follow"
    said_at(60.0, 0.0, OK, "route: straight")
    assert commands[-1].data == "straight"
    said_at(100.0, -30.0, ERROR, "it has been left, the vehicle is 30 m beside it, at most 15 m are allowed")
    assert not paths[-1].poses and commands[-1].data == "follow"
    said_at(150.0, 0.0, WARN, "it ends soon")
    said_at(198.0, 0.0, ERROR, "it is over")


def test_a_route_that_is_not_there_is_named(ros):
    ros.start(MODULE, NODE, {"route": "/no/such/route.yaml"})
    assert not ros.configure(NODE)
    ros.wait_until(lambda: "/no/such/route.yaml: cannot be read" in ros.output(NODE), "the reason")
