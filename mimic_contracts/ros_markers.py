"""Plans as RViz and Foxglove show them, and what the overlay reads back from that."""

import numpy as np
from geometry_msgs.msg import Point, PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.motion import yaw_quaternion
from mimic_contracts.plan import Plan
from mimic_contracts.ros_conversions import BASE_FRAME, ns_to_stamp, stamp_to_ns

PLAN_NAMESPACE, ALTERNATIVES_NAMESPACE = "plan", "alternatives"
SHOWN_PROBABILITY = 0.02  # alternatives below it are not drawn
FAINTEST = 0.15  # of what is drawn at all
ALTERNATIVES_RGB = (0.0, 0.8, 0.6)
GREEN_MPS = 14.0  # a plan is red where it stands, yellow half-way, green from this speed on
X, Y, YAW, SPEED = (CAR.index(name) for name in ("x_m", "y_m", "yaw_rad", "speed_mps"))


def plan_path(plan: Plan) -> Path:
    """The way of a plan of CAR, in the vehicle frame at its stamp."""
    path = Path(header=_header(plan))
    for row in plan.values:
        pose = PoseStamped(header=path.header)
        pose.pose.position.x, pose.pose.position.y = float(row[X]), float(row[Y])
        pose.pose.orientation.z, pose.pose.orientation.w = yaw_quaternion(float(row[YAW]))
        path.poses.append(pose)
    return path


def plan_markers(plan: Plan) -> MarkerArray:
    """A plan of CAR, coloured by its speed, and its alternatives, the fainter the less probable; a marker's text is its probability."""
    driven = _line(plan, PLAN_NAMESPACE, 0, plan.values, width_m=0.3)
    driven.colors = [ColorRGBA(r=r, g=g, b=0.1, a=0.9) for r, g in _red_and_green(plan.values[:, SPEED])]
    markers = [Marker(action=Marker.DELETEALL), driven]
    for index in np.flatnonzero(plan.probabilities >= SHOWN_PROBABILITY).tolist():
        marker = _line(plan, ALTERNATIVES_NAMESPACE, index, plan.alternatives[index], width_m=0.1)
        red, green, blue = ALTERNATIVES_RGB
        marker.color = ColorRGBA(r=red, g=green, b=blue, a=float(max(FAINTEST, plan.probabilities[index])))
        marker.text = f"{plan.probabilities[index]:.3f}"
        markers.append(marker)
    return MarkerArray(markers=markers)


def alternatives_of(message: MarkerArray) -> tuple[int, list[tuple[float, NDArray[np.float64]]]]:
    """The stamp of plan_markers in ns, and of each alternative its probability and its points (N, 2) in the vehicle frame."""
    lines = [marker for marker in message.markers if marker.ns == ALTERNATIVES_NAMESPACE]
    found = [(float(line.text), np.array([(point.x, point.y) for point in line.points], np.float64).reshape(-1, 2)) for line in lines]
    return max((stamp_to_ns(line.header.stamp) for line in lines), default=0), found


def _header(plan: Plan) -> Header:
    return Header(stamp=ns_to_stamp(plan.stamp_ns), frame_id=BASE_FRAME)


def _line(plan: Plan, namespace: str, number: int, rows: NDArray[np.float64], *, width_m: float) -> Marker:
    line = Marker(header=_header(plan), ns=namespace, id=number, type=Marker.LINE_STRIP, action=Marker.ADD)
    line.scale.x, line.pose.orientation.w = width_m, 1.0
    line.points = [Point(x=float(row[X]), y=float(row[Y])) for row in rows]
    return line


def _red_and_green(speeds_mps: NDArray[np.float64]) -> list[tuple[float, float]]:
    share = np.clip(speeds_mps / GREEN_MPS, 0.0, 1.0)
    return [(float(min(1.0, 2.0 - 2.0 * s)), float(min(1.0, 2.0 * s))) for s in share]
