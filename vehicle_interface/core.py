"""The vehicle interface without ROS: plans and odometry in, commands inside the envelope out.

Every call carries times: stamps on the vehicle's (ROS) clock, and arrival on the steady clock, because the ROS clock
can freeze or jump while the vehicle rolls on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_contracts.plan import Command, Plan
from mimic_contracts.validation import check_array, check_number
from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface import modes
from vehicle_interface.envelope import Envelope
from vehicle_interface.kinematics import advance_pose
from vehicle_interface.plan_tracker import PlanTracker, Wish
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

STOP_ACCELERATION_MPS2 = -3.0
EMERGENCY_ACCELERATION_MPS2 = -100.0  # as hard as the envelope lets it
STANDSTILL_MPS = 0.1
MAX_STEP_S = 0.2  # longer gaps between steps are taken as this one: the limits count per second of actuation
NEVER_NS = -(2**62)


@dataclass(frozen=True, kw_only=True)
class InterfaceOutput:
    """command: None where nothing may be published; mode: one of modes.MODES; reason: why the mode is what it is."""

    command: Command | None
    mode: str
    reason: str


class VehicleInterfaceCore:
    """One per vehicle. Set what arrived, then step once per actuation period."""

    def __init__(self, vehicle: VehicleSpec, parameters: VehicleInterfaceParameters) -> None:
        self._parameters = parameters
        self._envelope = Envelope(vehicle.limits, wheelbase_m=vehicle.wheelbase_m)
        self._tracker = PlanTracker(actuation_latency_s=vehicle.actuation_latency_s)
        self._mode, self._reason = modes.DISENGAGED, "not engaged yet"
        self._plan_steady_ns = self._odometry_steady_ns = self._override_steady_ns = NEVER_NS
        self._pose: NDArray[np.float64] | None = None
        self._pose_ns = self._step_ns = 0
        self._measured_speed_mps = self._measured_yaw_rate_radps = 0.0
        self._override_active = False
        self._was_override_seen = False
        self._last_curvature_1pm = 0.0
        self.rejected_plans = 0
        self.rejected_odometry = 0

    @property
    def mode(self) -> str:
        """One of modes.MODES."""
        return self._mode

    def set_plan(self, plan: Plan, *, steady_ns: int) -> None:
        """Take a plan over; raises ContractError with the reason when it cannot be driven: the last good one stays."""
        try:
            self._tracker.accept(plan)
        except ContractError:
            self.rejected_plans += 1
            raise
        self._plan_steady_ns = steady_ns

    def set_odometry(self, *, stamp_ns: int, pose: NDArray[np.float64], speed_mps: float, yaw_rate_radps: float, steady_ns: int) -> None:
        """Take odometry over: pose (3,) [x_m, y_m, yaw_rad]; raises ContractError when it is not finite: it counts as lost."""
        try:
            check_array("odometry.pose", pose, shape=(3,), dtype=np.float64)
            check_number("odometry.speed_mps", speed_mps)
            check_number("odometry.yaw_rate_radps", yaw_rate_radps)
        except ContractError:
            self.rejected_odometry += 1
            raise
        self._tracker.add_pose(stamp_ns=stamp_ns, pose=pose)
        self._pose, self._pose_ns, self._odometry_steady_ns = pose, stamp_ns, steady_ns
        self._measured_speed_mps, self._measured_yaw_rate_radps = speed_mps, yaw_rate_radps

    def set_override(self, active: bool, *, steady_ns: int) -> None:
        """A heartbeat of the driver override; active while the driver brakes, steers or presses the button."""
        if active != self._override_active:
            self._enter(modes.OVERRIDE_BEGIN if active else modes.OVERRIDE_END, "the driver took over" if active else "the driver let go: engage again")
        self._override_active, self._was_override_seen = active, True
        self._override_steady_ns = steady_ns

    def request_engage(self, engage: bool, *, now_ns: int, steady_ns: int) -> tuple[bool, str]:
        """Engage or disengage: whether it was done, and why not."""
        if not engage:
            self._enter(modes.DISENGAGE, "disengaged by request")
            done = self._mode == modes.DISENGAGED
            return done, "disengaged" if done else f"stays in {self._mode}"
        if self._mode == modes.ENGAGED:
            return True, "already engaged"
        if self._mode in (modes.DRIVER_OVERRIDE, modes.EMERGENCY_STOP):
            return False, f"not in mode {self._mode}"
        fault = self._fault(now_ns=now_ns, steady_ns=steady_ns)
        if fault:
            return False, fault
        if self._mode == modes.DISENGAGED:
            self._begin_from_measured_motion()
            self._step_ns = steady_ns
        self._enter(modes.ENGAGE, "engaged by request")
        return True, "engaged"

    def emergency_stop(self, stop: bool) -> tuple[bool, str]:
        """Stop hard and stay so, or (False) reset; a reset is refused while the vehicle moves."""
        if stop:
            if self._mode in (modes.DISENGAGED, modes.DRIVER_OVERRIDE):
                self._begin_from_measured_motion()
                self._tracker.forget_plan()  # it may be the plan of a road long left
            self._enter(modes.EMERGENCY, "emergency stop requested")
            return True, "stopping"
        if self._mode != modes.EMERGENCY_STOP:
            return True, "no emergency stop"
        if abs(self._measured_speed_mps) > STANDSTILL_MPS:
            return False, f"still moving at {self._measured_speed_mps:.1f} m/s"
        self._enter(modes.RESET, "emergency stop reset: engage again")
        return True, "reset"

    def step(self, *, now_ns: int, steady_ns: int) -> InterfaceOutput:
        """One actuation period: find faults, then follow the plan, stop along it, or say nothing."""
        dt_s = min(max((steady_ns - self._step_ns) / 1e9, 1e-3), MAX_STEP_S)
        self._step_ns = steady_ns
        if self._mode == modes.ENGAGED:
            fault = self._fault(now_ns=now_ns, steady_ns=steady_ns)
            if fault:
                self._enter(modes.FAULT, fault)
        if self._mode in (modes.DISENGAGED, modes.DRIVER_OVERRIDE):
            return InterfaceOutput(command=None, mode=self._mode, reason=self._reason)
        is_odometry_fresh = self._is_fresh(self._odometry_steady_ns, steady_ns, self._parameters.odometry_timeout_s)
        wish, is_emergency = self._wish(now_ns)
        out = self._envelope.step(
            acceleration_mps2=wish.acceleration_mps2,
            curvature_1pm=wish.curvature_1pm,
            measured_speed_mps=self._measured_speed_mps if is_odometry_fresh else None,
            dt_s=dt_s,
            is_emergency=is_emergency,
        )
        self._last_curvature_1pm = out.curvature_1pm
        command = Command(stamp_ns=now_ns, acceleration_mps2=out.acceleration_mps2, curvature_1pm=out.curvature_1pm, target_speed_mps=out.target_speed_mps)
        return InterfaceOutput(command=command, mode=self._mode, reason=self._reason)

    def _wish(self, now_ns: int) -> tuple[Wish, bool]:
        """What to ask of the envelope, and whether it is an emergency."""
        plan, speed = self._tracker.plan, self._envelope.speed_mps
        is_emergency = self._mode == modes.EMERGENCY_STOP
        braking = EMERGENCY_ACCELERATION_MPS2 if is_emergency else STOP_ACCELERATION_MPS2
        if plan is None or self._pose is None:
            return Wish(acceleration_mps2=braking, curvature_1pm=self._last_curvature_1pm), is_emergency
        # From the last odometry to now, and on where it is lost: as commanded.
        since_s = min(max((now_ns - self._pose_ns) / 1e9, 0.0), 5.0)
        pose = advance_pose(self._pose, distance_m=speed * since_s, curvature_1pm=self._last_curvature_1pm)
        if self._mode == modes.ENGAGED:
            age_s = max((now_ns - plan.stamp_ns) / 1e9, 0.0)
            return self._tracker.follow(pose=pose, speed_mps=speed, age_s=age_s), plan.is_emergency
        curvature = self._tracker.steer(pose=pose, speed_mps=speed) if speed > STANDSTILL_MPS else self._last_curvature_1pm
        return Wish(acceleration_mps2=braking, curvature_1pm=curvature), is_emergency

    def _fault(self, *, now_ns: int, steady_ns: int) -> str:
        """Why the vehicle must not be driven now; empty when it may."""
        parameters, plan = self._parameters, self._tracker.plan
        if not self._is_fresh(self._odometry_steady_ns, steady_ns, parameters.odometry_timeout_s):
            return f"no odometry within {parameters.odometry_timeout_s} s"
        if plan is None:
            return "no plan yet"
        if not self._is_fresh(self._plan_steady_ns, steady_ns, parameters.plan_timeout_s):
            return f"no plan arrived within {parameters.plan_timeout_s} s"
        age_s = (now_ns - plan.stamp_ns) / 1e9
        if not -parameters.plan_timeout_s <= age_s <= parameters.plan_timeout_s:
            return f"the plan's stamp is {age_s:.2f} s old, must be within {parameters.plan_timeout_s} s"
        is_watched = self._was_override_seen or parameters.override_required
        if is_watched and not self._is_fresh(self._override_steady_ns, steady_ns, parameters.override_timeout_s):
            return f"no heartbeat of the driver override within {parameters.override_timeout_s} s"
        return ""

    def _begin_from_measured_motion(self) -> None:
        """A mode with commands, after one without, starts from what the vehicle does now."""
        speed = self._measured_speed_mps
        self._last_curvature_1pm = self._measured_yaw_rate_radps / speed if speed > 1.0 else 0.0
        self._envelope.reset(speed_mps=speed, curvature_1pm=self._last_curvature_1pm)

    def _enter(self, event: str, reason: str) -> None:
        before, self._mode = self._mode, modes.next_mode(self._mode, event)
        if self._mode != before:
            self._reason = reason

    @staticmethod
    def _is_fresh(arrival_ns: int, steady_ns: int, timeout_s: float) -> bool:
        return steady_ns - arrival_ns <= timeout_s * 1e9
