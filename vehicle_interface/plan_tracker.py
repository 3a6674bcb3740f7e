"""Follows a plan that was made a moment ago, from where the vehicle is now."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import ContractError
from mimic_contracts.motion import from_frame, to_frame, wrap_angle
from mimic_contracts.plan import Plan
from vehicle_interface.kinematics import advance_pose

POSE_HISTORY_S = 5.0
MAX_PLAN_START_OFFSET_M = 2.0  # a plan begins at the vehicle; one that begins elsewhere teleports
SPEED_FEEDBACK_S = 1.0  # time constant with which a speed error is closed
MIN_LOOKAHEAD_M = 4.0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What following the plan asks of the envelope."""

    acceleration_mps2: float
    curvature_1pm: float


class PlanTracker:
    """Keeps the last good plan in the odometry frame and the poses needed to place it there."""

    def __init__(self, *, actuation_latency_s: float) -> None:
        self._latency_s = actuation_latency_s
        self._poses: deque[tuple[int, NDArray[np.float64]]] = deque()
        self._plan: Plan | None = None
        self._path = np.zeros((0, 3))
        self._arc_m = np.zeros(0)

    @property
    def plan(self) -> Plan | None:
        """The last plan that was accepted."""
        return self._plan

    def add_pose(self, *, stamp_ns: int, pose: NDArray[np.float64]) -> None:
        """Note where the vehicle was: pose (3,) [x_m, y_m, yaw_rad] in the odometry frame."""
        if self._poses and stamp_ns <= self._poses[-1][0]:
            self._poses.clear()  # the clock was set back: what was noted before has no place on the new time line
        self._poses.append((stamp_ns, pose))
        while stamp_ns - self._poses[0][0] > POSE_HISTORY_S * 1e9:
            self._poses.popleft()

    def accept(self, plan: Plan) -> None:
        """Take a plan over; raises ContractError with the reason when it cannot be driven (the last one then stays)."""
        if plan.spec is not CAR:
            raise ContractError(f"plan: action spec is '{plan.spec.name}', only 'car' can be driven; others can be scored and replayed")
        offset_m = float(np.hypot(plan.channel("x_m")[0], plan.channel("y_m")[0]))
        if offset_m > MAX_PLAN_START_OFFSET_M:
            raise ContractError(f"plan: begins {offset_m:.1f} m away from the vehicle, must begin within {MAX_PLAN_START_OFFSET_M} m")
        if (plan.channel("speed_mps") < -0.5).any():
            raise ContractError(f"plan: speed_mps falls to {plan.channel('speed_mps').min():.1f}, must not be negative: reversing is not supported")
        if self._plan is not None and plan.stamp_ns < self._plan.stamp_ns:
            raise ContractError(f"plan: stamp {plan.stamp_ns} is before the last plan's {self._plan.stamp_ns}")
        path = plan.values[:, [plan.spec.index("x_m"), plan.spec.index("y_m"), plan.spec.index("yaw_rad")]]
        self._path = from_frame(path, self._pose_at(plan.stamp_ns))
        self._arc_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path[:, :2], axis=0).T))])
        self._plan = plan

    def forget_plan(self) -> None:
        """Drop the plan: a new engagement begins with a new one."""
        self._plan = None

    def follow(self, *, pose: NDArray[np.float64], speed_mps: float, age_s: float) -> Wish:
        """Drive the plan, interpolated at its age plus the actuation latency, from this pose and speed.

        Feed-forward of acceleration and curvature; a speed error is closed with time constant SPEED_FEEDBACK_S.
        """
        plan = self._require_plan()
        ahead = plan.at(age_s + self._latency_s)
        feed_forward = ahead[CAR.index("acceleration_mps2")]
        error = ahead[CAR.index("speed_mps")] - feed_forward * self._latency_s - speed_mps
        return Wish(acceleration_mps2=float(feed_forward + error / SPEED_FEEDBACK_S), curvature_1pm=self.steer(pose=pose, speed_mps=speed_mps))

    def steer(self, *, pose: NDArray[np.float64], speed_mps: float) -> float:
        """Curvature that holds the plan's line, by arc length, so that it also serves a stop along the line.

        e'' + 2/l e' + e/l² = 0 over the distance driven (critically damped, e: lateral error, l: look-ahead length).
        """
        plan = self._require_plan()
        nearest = int(np.argmin(np.hypot(*(self._path[:, :2] - pose[:2]).T)))
        here = to_frame(pose[None, :], self._path[nearest])[0]
        station_m = self._arc_m[nearest] + here[0]
        curvature = float(np.interp(station_m + speed_mps * self._latency_s, self._arc_m, plan.channel("curvature_1pm")))
        reference = advance_pose(self._path[nearest], distance_m=float(here[0]), curvature_1pm=float(plan.channel("curvature_1pm")[nearest]))
        lateral_m = float(to_frame(pose[None, :], reference)[0, 1])
        heading_rad = float(wrap_angle(pose[2] - reference[2]))
        length_m = max(MIN_LOOKAHEAD_M, speed_mps)
        return curvature - lateral_m / length_m**2 - 2.0 * heading_rad / length_m

    def _require_plan(self) -> Plan:
        if self._plan is None:
            raise ContractError("plan: none was accepted yet")
        return self._plan

    def _pose_at(self, stamp_ns: int) -> NDArray[np.float64]:
        if not self._poses:
            raise ContractError("plan: no odometry yet to place it by")
        first_ns, last_ns = self._poses[0][0], self._poses[-1][0]
        if not first_ns - 1e9 <= stamp_ns <= last_ns + 1e9:
            raise ContractError(f"plan: stamp {stamp_ns} is over 1 s outside the odometry's {first_ns} to {last_ns}")
        times_s = [(stamp - first_ns) / 1e9 for stamp, _ in self._poses]
        x_m, y_m, yaw_rad = np.array([pose for _, pose in self._poses]).T
        return np.array([np.interp((stamp_ns - first_ns) / 1e9, times_s, column) for column in (x_m, y_m, np.unwrap(yaw_rad))])
