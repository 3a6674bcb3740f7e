"""Follows a plan that was made a moment ago, from where the vehicle is now."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import ContractError
from mimic_contracts.motion import from_frame, to_frame, wrap_angle
from mimic_contracts.plan import Plan
from mimic_contracts.validation import check_array, check_number, check_stamp_ns
from vehicle_interface.kinematics import advance_pose

POSE_HISTORY_S = 5.0
MAX_RECKONING_S = 1.0  # how far before the first and beyond the last odometry a pose is still told
SET_BACK_S = 1.0  # an older stamp than the last by more than this: the clock was set back; by less: out of order
JUMP_M, JUMP_SHARE = 0.5, 0.3  # a pose this far from where the motion leads, plus this share of the way, has jumped
MAX_PLAN_START_OFFSET_M = 2.0  # a plan begins at the vehicle; one that begins elsewhere teleports
MAX_PLAN_STEP_M = 20.0  # between its points, 0.2 s apart: faster than any vehicle
MAX_PLAN_STEP_BACK_M = 0.5
MAX_PLAN_SPEED_MPS, MAX_PLAN_CURVATURE_1PM = 100.0, 10.0  # as MAX_PLAN_STEP_M; no vehicle turns so tight
# A plan says its way three times: by points and headings, by speeds, by curvatures. So far, plus this share, they may be apart at its end.
APART_M, APART_RAD, APART_SHARE = 2.0, 1.0, 0.5
MAX_SUSPECT_S = 2.0  # as old plans are kept, for a stop that begins because what came since is not to be trusted
SPEED_AHEAD_S = 0.5
BEND_AHEAD_S = 2.0  # how far ahead a plan's bends are braked for
MIN_BRAKING_WAY_M = 1.0
MIN_LOOKAHEAD_M = 4.0
STANDSTILL_MPS = 0.1


@dataclass(frozen=True, kw_only=True)
class Motion:
    """One odometry: pose (3,) [x_m, y_m, yaw_rad] in the odometry frame, and how it moves. Raises ContractError for what is not finite."""

    stamp_ns: int
    pose: NDArray[np.float64]
    speed_mps: float
    yaw_rate_radps: float

    def __post_init__(self) -> None:
        check_stamp_ns("odometry.stamp_ns", self.stamp_ns)
        check_array("odometry.pose", self.pose, shape=(3,), dtype=np.float64)
        check_number("odometry.speed_mps", self.speed_mps)
        check_number("odometry.yaw_rate_radps", self.yaw_rate_radps)

    def pose_after(self, time_s: float) -> NDArray[np.float64]:
        """(3,) where this motion leads within a time (or, negative, comes from); at most MAX_RECKONING_S are reckoned."""
        since_s = min(max(time_s, -MAX_RECKONING_S), MAX_RECKONING_S)
        curvature = self.yaw_rate_radps / self.speed_mps if abs(self.speed_mps) > 0.1 else 0.0
        return advance_pose(self.pose, distance_m=self.speed_mps * since_s, curvature_1pm=curvature)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What following the plan asks of the envelope."""

    acceleration_mps2: float
    curvature_1pm: float


class PlanTracker:
    """Keeps the last good plan in the odometry frame and the poses needed to place it there."""

    def __init__(self, *, actuation_latency_s: float, max_lateral_acceleration_mps2: float) -> None:
        self._latency_s = actuation_latency_s
        self._max_lateral_acceleration_mps2 = max_lateral_acceleration_mps2
        self._motions: deque[Motion] = deque()
        self._plan: Plan | None = None
        self._path = np.zeros((0, 3))
        self._arc_m = np.zeros(0)
        self._older: deque[tuple[Plan, NDArray[np.float64], NDArray[np.float64]]] = deque()  # plans, paths, arcs, from MAX_SUSPECT_S on
        self._newest_plan_ns = 0

    @property
    def plan(self) -> Plan | None:
        """The last plan that was accepted."""
        return self._plan

    def add_motion(self, motion: Motion) -> None:
        """Note how the vehicle moves; raises ContractError when an odometry comes out of order.

        A pose that jumps (the localisation corrected itself) takes what was noted before along, the plan's line too:
        the vehicle did not move, its map did.
        """
        if self._motions:
            since_s = (motion.stamp_ns - self._motions[-1].stamp_ns) / 1e9
            if since_s < -SET_BACK_S:
                self._motions.clear()  # what was noted before has no place on the new time line
                self._older.clear()
                self._newest_plan_ns = 0
            elif since_s <= 0.0:
                raise ContractError(f"odometry: stamp {motion.stamp_ns} is not after the last one's {self._motions[-1].stamp_ns}")
            else:
                self._follow_jump(motion, self._motions[-1].pose_after(since_s), since_s)
        self._motions.append(motion)
        while motion.stamp_ns - self._motions[0].stamp_ns > POSE_HISTORY_S * 1e9:
            self._motions.popleft()

    def _follow_jump(self, motion: Motion, expected: NDArray[np.float64], since_s: float) -> None:
        distance_m = float(np.hypot(*(motion.pose - expected)[:2]))
        if distance_m > JUMP_M + JUMP_SHARE * abs(motion.speed_mps) * since_s:
            self._path = from_frame(to_frame(self._path, expected), motion.pose)
            self._older = deque((plan, from_frame(to_frame(path, expected), motion.pose), arc_m) for plan, path, arc_m in self._older)
            moved = from_frame(to_frame(np.array([m.pose for m in self._motions]), expected), motion.pose)
            self._motions = deque(replace(m, pose=pose) for m, pose in zip(self._motions, moved, strict=True))

    def accept(self, plan: Plan) -> None:
        """Take a plan over; raises ContractError with the reason when it cannot be driven (the last one then stays)."""
        if plan.spec is not CAR:
            raise ContractError(f"plan: action spec is '{plan.spec.name}', only 'car' can be driven; others can be scored and replayed")
        offset_m = float(np.hypot(plan.channel("x_m")[0], plan.channel("y_m")[0]))
        if offset_m > MAX_PLAN_START_OFFSET_M:
            raise ContractError(f"plan: begins {offset_m:.3g} m away from the vehicle, must begin within {MAX_PLAN_START_OFFSET_M} m")
        if (plan.channel("speed_mps") < -0.5).any():
            raise ContractError(f"plan: speed_mps falls to {plan.channel('speed_mps').min():.1f}, must not be negative: reversing is not supported")
        bounds = {"speed_mps": MAX_PLAN_SPEED_MPS, "curvature_1pm": MAX_PLAN_CURVATURE_1PM}
        for channel, bound in bounds.items():
            if (np.abs(plan.channel(channel)) > bound).any():
                raise ContractError(f"plan: {channel} is {np.abs(plan.channel(channel)).max():.3g}, must be at most {bound}: no vehicle drives so")
        if plan.stamp_ns < self._newest_plan_ns:
            raise ContractError(f"plan: stamp {plan.stamp_ns} is before the last plan's {self._newest_plan_ns}")
        path = plan.values[:, [plan.spec.index("x_m"), plan.spec.index("y_m"), plan.spec.index("yaw_rad")]]
        steps = np.diff(path[:, :2], axis=0)
        if not (np.abs(steps) <= MAX_PLAN_STEP_M).all():
            raise ContractError(f"plan: jumps by {np.abs(steps).max():.3g} m between two points, must be at most {MAX_PLAN_STEP_M}")
        along = steps[:, 0] * np.cos(path[:-1, 2]) + steps[:, 1] * np.sin(path[:-1, 2])
        if along.min() < -MAX_PLAN_STEP_BACK_M:
            raise ContractError(f"plan: goes back by {-along.min():.1f} m between two points: reversing is not supported")
        arc_m = np.concatenate([[0.0], np.cumsum(np.hypot(*steps.T))])
        _check_agreement(plan, arc_m)
        placed = from_frame(path, self._pose_at(plan.stamp_ns))
        if self._plan is not None:
            self._older.append((self._plan, self._path, self._arc_m))
        while len(self._older) > 1 and self._older[1][0].stamp_ns <= plan.stamp_ns - MAX_SUSPECT_S * 1e9:
            self._older.popleft()
        self._plan, self._path, self._arc_m, self._newest_plan_ns = plan, placed, arc_m, plan.stamp_ns

    def forget_plan(self) -> None:
        """Drop the plan: a new engagement begins with a new one."""
        self._plan = None
        self._older.clear()

    def revert(self, suspect_s: float) -> None:
        """Go back to the last plan from so long before the newest one, or to the oldest that is kept."""
        while self._plan is not None and self._older and self._plan.stamp_ns > self._newest_plan_ns - suspect_s * 1e9:
            self._plan, self._path, self._arc_m = self._older.pop()

    def follow(self, *, pose: NDArray[np.float64], speed_mps: float, age_s: float) -> Wish:
        """Drive the plan from this pose and speed: the acceleration that brings the vehicle to the plan's speed
        SPEED_AHEAD_S after the actuation latency, so that noise at the plan's beginning neither jerks it nor keeps it
        from starting; the curvature of its line. Where the plan is too fast for its own line, the line is kept.
        """
        ahead_s = self._latency_s + SPEED_AHEAD_S
        speed_ahead_mps = self._require_plan().at(age_s + ahead_s)[CAR.index("speed_mps")]
        acceleration = min(float(speed_ahead_mps - speed_mps) / ahead_s, self._acceleration_into_bends(speed_mps=speed_mps, age_s=age_s))
        return Wish(acceleration_mps2=acceleration, curvature_1pm=self.steer(pose=pose, speed_mps=speed_mps))

    def _acceleration_into_bends(self, *, speed_mps: float, age_s: float) -> float:
        """The most with which the vehicle is slow enough wherever the line bends within BEND_AHEAD_S: beyond
        the lateral acceleration limit it could not follow."""
        plan = self._require_plan()
        soon = (plan.spec.times_s > age_s) & (plan.spec.times_s <= age_s + BEND_AHEAD_S)
        if not soon.any():
            return np.inf
        way_m = self._arc_m - np.interp(age_s, plan.spec.times_s, self._arc_m)
        squared = self._max_lateral_acceleration_mps2 / np.maximum(np.abs(plan.channel("curvature_1pm")), 1e-6)
        return float(((squared - speed_mps**2) / (2.0 * np.maximum(way_m, MIN_BRAKING_WAY_M)))[soon].min())

    def rests(self, *, age_s: float) -> bool:
        """Whether the plan stands still from this age (plus the actuation latency) on."""
        plan = self._require_plan()
        speed_mps = plan.channel("speed_mps")[plan.spec.times_s > age_s + self._latency_s]
        return bool(max([plan.at(age_s + self._latency_s)[CAR.index("speed_mps")], *speed_mps]) < STANDSTILL_MPS)

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
        if not self._motions:
            raise ContractError("plan: no odometry yet to place it by")
        first, last = self._motions[0], self._motions[-1]
        after_s, before_s = (stamp_ns - last.stamp_ns) / 1e9, (stamp_ns - first.stamp_ns) / 1e9
        if before_s < -MAX_RECKONING_S or after_s > MAX_RECKONING_S:
            raise ContractError(f"plan: stamp {stamp_ns} is over {MAX_RECKONING_S} s outside the odometry's {first.stamp_ns} to {last.stamp_ns}")
        if after_s >= 0.0:
            return last.pose_after(after_s)
        if before_s < 0.0:
            return first.pose_after(before_s)
        times_s = [(m.stamp_ns - first.stamp_ns) / 1e9 for m in self._motions]
        x_m, y_m, yaw_rad = np.array([m.pose for m in self._motions]).T
        return np.array([np.interp(before_s, times_s, column) for column in (x_m, y_m, np.unwrap(yaw_rad))])


def _check_agreement(plan: Plan, arc_m: NDArray[np.float64]) -> None:
    """Raise ContractError when speeds or curvatures lead somewhere else than the points, at arc_m (T,) from the first: half of a plan is
    followed by its points and half by these, so that one of them wrong would be driven."""
    speeds, curvatures, yaws = (plan.channel(name) for name in ("speed_mps", "curvature_1pm", "yaw_rad"))
    told_m = float(np.sum((speeds[1:] + speeds[:-1]) / 2.0 * np.diff(plan.spec.times_s)))
    if abs(told_m - arc_m[-1]) > APART_M + APART_SHARE * max(told_m, arc_m[-1]):
        raise ContractError(f"plan: contradicts itself: its points are {arc_m[-1]:.1f} m long, its speeds lead {told_m:.1f} m far")
    told_rad = float(np.sum((curvatures[1:] + curvatures[:-1]) / 2.0 * np.diff(arc_m)))
    turned_rad = float(np.unwrap(yaws)[-1] - yaws[0])
    if abs(told_rad - turned_rad) > APART_RAD + APART_SHARE * max(abs(told_rad), abs(turned_rad)):
        raise ContractError(f"plan: contradicts itself: its headings turn by {turned_rad:.2f} rad, its curvatures by {told_rad:.2f} rad")
