"""What a fault does to the messages of a stream: functions of a message, the last good one, and how many came since the fault began.

They may change the message that they are given; None: it does not arrive.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

from mimic_contracts.action_spec import CAR

Change = Callable[[Any, Any, int], Any]
DAY_S = 86_400
X, Y, SPEED, CURVATURE = (CAR.index(name) for name in ("x_m", "y_m", "speed_mps", "curvature_1pm"))


def stamp_of(message: Any) -> Any:
    """The stamp of any message that has one."""
    return message.clock if hasattr(message, "clock") else message.header.stamp


def gone(message: Any, last: Any, count: int) -> Any:
    """Nothing arrives."""
    return None


def halved(message: Any, last: Any, count: int) -> Any:
    """Every second one arrives."""
    return message if count % 2 else None


def frozen(message: Any, last: Any, count: int) -> Any:
    """The last good one again, with a stamp of now."""
    again = copy.deepcopy(last)
    again.header.stamp = message.header.stamp
    return again


def stuck(message: Any, last: Any, count: int) -> Any:
    """The last good one again, with its own stamp."""
    return last


def shifted(seconds: int) -> Change:
    """Stamps of another time."""

    def change(message: Any, last: Any, count: int) -> Any:
        stamp_of(message).sec += seconds
        return message

    return change


# Pictures


def small(message: Any, last: Any, count: int) -> Any:
    """A picture of half the size, which camera_info does not know of."""
    message.height, message.step = message.height // 2, message.step // 2
    message.width, message.data = message.width // 2, message.data[: message.height * message.step]
    return message


def cut(message: Any, last: Any, count: int) -> Any:
    """Half of the bytes."""
    message.data = message.data[: len(message.data) // 2]
    return message


def recoded(message: Any, last: Any, count: int) -> Any:
    """Bytes that say to be what nobody knows."""
    message.encoding = "32FC7"
    return message


# Odometry


def not_a_number(message: Any, last: Any, count: int) -> Any:
    """A speed that is none."""
    message.twist.twist.linear.x = math.nan
    return message


def jumping(times: int, *, every: int = 8, far_m: float = 3.0) -> Change:
    """Poses that jump to the side so many times, every few messages, and stay there: a localisation that corrects itself."""

    def change(message: Any, last: Any, count: int) -> Any:
        q = message.pose.pose.orientation
        yaw = 2.0 * math.atan2(q.z, q.w)
        far = far_m * min(1 + count // every, times)
        message.pose.pose.position.x -= far * math.sin(yaw)
        message.pose.pose.position.y += far * math.cos(yaw)
        return message

    return change


def standing(message: Any, last: Any, count: int) -> Any:
    """Speed 0, whatever the poses say: a wheel encoder has failed."""
    message.twist.twist.linear.x = message.twist.twist.angular.z = 0.0
    return message


def racing(message: Any, last: Any, count: int) -> Any:
    """Three times the speed."""
    message.twist.twist.linear.x *= 3.0
    message.twist.twist.angular.z *= 3.0
    return message


# Plans


def _rows(message: Any, change: Callable[[list[float]], None]) -> Any:
    for point in message.points:
        row = list(point.positions)
        change(row)
        point.positions = row
    return message


def nan_plan(message: Any, last: Any, count: int) -> Any:
    """A speed that is none in the middle of the plan."""
    row = list(message.points[10].positions)
    row[SPEED] = math.nan
    message.points[10].positions = row
    return message


def reversed_plan(message: Any, last: Any, count: int) -> Any:
    """Backwards."""

    def back(row: list[float]) -> None:
        row[X], row[SPEED] = -row[X], -row[SPEED]

    return _rows(message, back)


def teleporting_plan(message: Any, last: Any, count: int) -> Any:
    """The plan begins 5 m to the left of the vehicle."""

    def aside(row: list[float]) -> None:
        row[Y] += 5.0

    return _rows(message, aside)


def oscillating_plan(message: Any, last: Any, count: int) -> Any:
    """To the left, to the right, to the left."""
    side = 1.0 if count % 2 else -1.0

    def bend(row: list[float]) -> None:
        row[Y] += side * 0.01 * row[X] ** 2
        row[CURVATURE] += side * 0.02

    return _rows(message, bend)


def contradicting_plan(message: Any, last: Any, count: int) -> Any:
    """Curvatures of a tight bend, where its points go on as they did."""

    def bend(row: list[float]) -> None:
        row[CURVATURE] += 0.5

    return _rows(message, bend)


def times(factor: float, *channels: int) -> Change:
    """Some channels of a plan, or all, so many times too large."""

    def change(message: Any, last: Any, count: int) -> Any:
        def enlarge(row: list[float]) -> None:
            for channel in channels or range(len(row)):
                row[channel] *= factor

        return _rows(message, enlarge)

    return change
