"""Does what arrives fit together? One check a stream; each notes what arrives, and says what is wrong with it.

Stamps are on the vehicle's (ROS) clock, arrivals on the steady clock, which can neither freeze nor jump.
"""

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.motion import from_frame, to_frame, wrap_angle
from mimic_contracts.plan import Plan
from vehicle_interface.plan_tracker import Motion
from vehicle_interface.supervision import DEGRADED, STOP, Verdict

HELD_S = 2.0  # how long something that happened counts
CLOCK_JUMP_S = 1.0  # stamps that advance otherwise than the steady clock by more than this, from one message to the next
OFTEN = 3  # as often within HELD_S it is no accident
MOVING_MPS = 1.0
WINDOW_S = 1.0  # of odometry whose poses and speeds are compared
APART_M, APART_SHARE = 0.5, 0.3  # by how much they may differ, and by this share of the way
APART_RAD = 0.2
POSE_JUMP_M = 0.5  # a pose this far from where the motion leads, plus APART_SHARE of the way, has jumped
LOOK_AHEAD_S = 1.0  # where successive plans are compared
PLAN_JUMP_M, PLAN_JUMP_MPS = 1.0, 4.0  # sideways, and in speed
JUST_BEFORE_S = 0.1  # a picture or two before what was first seen to be wrong
PLAN_XY = [CAR.index("x_m"), CAR.index("y_m"), CAR.index("yaw_rad")]
PLAN_SPEED = CAR.index("speed_mps")


class Stream:
    """Whether something arrives in time, with stamps of now that go on as the time does."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self._name, self._timeout_s = name, timeout_s
        self._stamp_ns = self._steady_ns = 0
        self._has_come = False
        self._jumps: deque[tuple[int, float]] = deque()  # when, by how much, s

    def note(self, *, stamp_ns: int, steady_ns: int) -> None:
        """One arrived."""
        if self._has_come:
            jump_s = (stamp_ns - self._stamp_ns - (steady_ns - self._steady_ns)) / 1e9
            if abs(jump_s) > CLOCK_JUMP_S:
                self._jumps.append((steady_ns, jump_s))
        self._stamp_ns, self._steady_ns, self._has_come = stamp_ns, steady_ns, True

    def findings(self, *, now_ns: int, steady_ns: int) -> list[Verdict]:
        """What is wrong now."""
        if not self._has_come or steady_ns - self._steady_ns > self._timeout_s * 1e9:
            return [Verdict(STOP, f"no {self._name} within {self._timeout_s} s")]
        age_s = (now_ns - self._stamp_ns) / 1e9
        if abs(age_s) > self._timeout_s:
            return [Verdict(STOP, f"the stamp of the {self._name} is {age_s:.2f} s old, must be within {self._timeout_s} s")]
        while self._jumps and steady_ns - self._jumps[0][0] > HELD_S * 1e9:
            self._jumps.popleft()
        return [Verdict(STOP, f"the clock of the {self._name} jumped by {jump_s:.1f} s") for _, jump_s in list(self._jumps)[-1:]]


class OdometryPlausibility:
    """Whether poses move as the speeds and yaw rates beside them say."""

    def __init__(self) -> None:
        self._motions: deque[Motion] = deque()
        self._jumps: deque[tuple[int, float]] = deque()  # stamps, and how far, m

    @property
    def speed_mps(self) -> float:
        """As last measured; 0 before."""
        return self._motions[-1].speed_mps if self._motions else 0.0

    @property
    def pose(self) -> NDArray[np.float64] | None:
        """(3,) [x_m, y_m, yaw_rad] as last measured."""
        return self._motions[-1].pose if self._motions else None

    def note(self, motion: Motion) -> None:
        """One arrived. A clock that was set back begins anew; with a pose that jumps, the poses before do, so that the ways go on being compared."""
        if self._motions:
            last = self._motions[-1]
            since_s = (motion.stamp_ns - last.stamp_ns) / 1e9
            if not 0.0 < since_s < WINDOW_S:
                self._motions.clear()
            else:
                expected = last.pose_after(since_s)
                away_m = float(np.hypot(*(motion.pose - expected)[:2]))
                if away_m > POSE_JUMP_M + APART_SHARE * abs(motion.speed_mps) * since_s:
                    moved = from_frame(to_frame(np.array([before.pose for before in self._motions]), expected), motion.pose)
                    self._motions = deque(replace(before, pose=pose) for before, pose in zip(self._motions, moved, strict=True))
                    self._jumps.append((motion.stamp_ns, away_m))
        self._motions.append(motion)
        while motion.stamp_ns - self._motions[0].stamp_ns > WINDOW_S * 1e9:
            self._motions.popleft()
        while self._jumps and not 0 <= motion.stamp_ns - self._jumps[0][0] <= HELD_S * 1e9:
            self._jumps.popleft()

    def pose_at(self, stamp_ns: int) -> NDArray[np.float64] | None:
        """(3,) where the vehicle was; None when nothing near that time is known."""
        known = [motion for motion in self._motions if motion.stamp_ns <= stamp_ns] or list(self._motions)[:1]
        return known[-1].pose_after((stamp_ns - known[-1].stamp_ns) / 1e9) if known else None

    def findings(self) -> list[Verdict]:
        """What is wrong with the last second."""
        found = [
            Verdict(STOP if len(self._jumps) >= OFTEN else DEGRADED, f"the odometry's pose jumped by {far_m:.1f} m, {len(self._jumps)} times within {HELD_S} s")
            for _, far_m in list(self._jumps)[-1:]
        ]
        motions = list(self._motions)
        if len(motions) < 3 or motions[-1].stamp_ns - motions[0].stamp_ns < WINDOW_S / 2.0 * 1e9:
            return found
        steps_s = np.diff([motion.stamp_ns for motion in motions]) / 1e9
        poses = np.array([motion.pose for motion in motions])
        speeds, yaw_rates = (np.array([getattr(motion, name) for motion in motions]) for name in ("speed_mps", "yaw_rate_radps"))
        ways_m, turns_rad = (steps_s * (values[1:] + values[:-1]) / 2.0 for values in (speeds, yaw_rates))
        headings = poses[0, 2] + np.cumsum(turns_rad) - turns_rad / 2.0
        told = poses[0] + [np.sum(ways_m * np.cos(headings)), np.sum(ways_m * np.sin(headings)), turns_rad.sum()]
        apart_m, apart_rad = float(np.hypot(*(poses[-1] - told)[:2])), float(wrap_angle(poses[-1, 2] - told[2]))
        if apart_m > APART_M + APART_SHARE * float(np.abs(ways_m).sum()):
            found.append(
                Verdict(STOP, f"the odometry contradicts itself: its poses are {apart_m:.1f} m from where its speeds lead within {steps_s.sum():.1f} s")
            )
        if abs(apart_rad) > APART_RAD:
            found.append(Verdict(STOP, f"the odometry contradicts itself: its poses are turned by {apart_rad:.2f} rad from where its yaw rates lead"))
        return found


class FrozenPictures:
    """Whether a camera's pictures change while the vehicle moves. What stands may see the same again and again."""

    def __init__(self, camera: str, frozen_after_s: float) -> None:
        self._camera, self._frozen_after_s = camera, frozen_after_s
        self._sample = np.zeros((0, 0), np.uint8)
        self._since_ns = self._stamp_ns = 0

    def note(self, sample: NDArray[np.uint8], *, stamp_ns: int, is_moving: bool) -> None:
        """A picture arrived; sample: some of its pixels, always the same ones."""
        if not is_moving or not np.array_equal(sample, self._sample) or stamp_ns < self._stamp_ns:
            self._sample, self._since_ns = sample, stamp_ns
        self._stamp_ns = stamp_ns

    def findings(self) -> list[Verdict]:
        """What is wrong now."""
        frozen_s = (self._stamp_ns - self._since_ns) / 1e9
        return (
            [Verdict(STOP, f"the pictures of camera '{self._camera}' are frozen for {frozen_s:.1f} s while the vehicle moves", frozen_s + JUST_BEFORE_S)]
            if frozen_s >= self._frozen_after_s
            else []
        )


class PlanContinuity:
    """Whether plans go on where the ones before led."""

    def __init__(self) -> None:
        self._stamp_ns = 0
        self._poses: NDArray[np.float64] | None = None  # (T, 3) of the last plan, in the odometry frame
        self._speeds = np.zeros(0)
        self._jumps: deque[int] = deque()  # stamps of plans that jumped

    def note(self, plan: Plan, pose: NDArray[np.float64]) -> None:
        """A plan of `car` arrived; pose: (3,) of the vehicle at its stamp."""
        poses, speeds = from_frame(plan.values[:, PLAN_XY], pose), plan.values[:, PLAN_SPEED]
        since_s = (plan.stamp_ns - self._stamp_ns) / 1e9
        if self._poses is not None and 0.0 < since_s <= LOOK_AHEAD_S:
            before = [np.interp(since_s + LOOK_AHEAD_S, CAR.times_s, column) for column in (*self._poses[:, :2].T, np.unwrap(self._poses[:, 2]), self._speeds)]
            after = [np.interp(LOOK_AHEAD_S, CAR.times_s, column) for column in (*poses[:, :2].T, speeds)]
            sideways_m = -np.sin(before[2]) * (after[0] - before[0]) + np.cos(before[2]) * (after[1] - before[1])
            if abs(sideways_m) > PLAN_JUMP_M or abs(after[2] - before[3]) > PLAN_JUMP_MPS:
                self._jumps.append(plan.stamp_ns)
        self._stamp_ns, self._poses, self._speeds = plan.stamp_ns, poses, speeds
        while self._jumps and not 0 <= plan.stamp_ns - self._jumps[0] <= HELD_S * 1e9:
            self._jumps.popleft()

    def findings(self) -> list[Verdict]:
        """What is wrong now."""
        if not self._jumps:
            return []
        since_s = (self._stamp_ns - self._jumps[0]) / 1e9 + JUST_BEFORE_S
        return [Verdict(STOP if len(self._jumps) >= OFTEN else DEGRADED, f"the plan jumped {len(self._jumps)} times within {HELD_S} s", since_s)]
