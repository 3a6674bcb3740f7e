"""The vehicle interface without ROS: plans and odometry in, commands inside the envelope out.

Every call carries times: stamps on the vehicle's (ROS) clock, and arrival on the steady clock, because the ROS clock
can freeze or jump while the vehicle rolls on.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_contracts.plan import Command, Plan
from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface import modes
from vehicle_interface.envelope import Envelope
from vehicle_interface.kinematics import advance_pose
from vehicle_interface.longitudinal import LongitudinalController, Pedals
from vehicle_interface.plan_tracker import MAX_RECKONING_S, STANDSTILL_MPS, Motion, PlanTracker, Wish
from vehicle_interface.supervision import DEGRADED, STOP, Verdict
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

STOP_ACCELERATION_MPS2 = -3.0
EMERGENCY_ACCELERATION_MPS2 = -100.0  # as hard as the envelope lets it
MIN_STEP_S, MAX_STEP_S = 1e-6, 0.2  # other gaps between steps are taken as these: the limits count per second of actuation
# A measured speed that changes faster than any road vehicle's: too wrong to begin from, so engaging waits until it settles.
JUMP_MPS2, JUMP_MPS, SETTLE_S = 12.0, 0.5, 1.0
# A measured speed this far from the envelope's, which follows it as fast as a vehicle can accelerate or brake, is wrong: to believe in it
# would bound curvatures by a speed that the vehicle does not have, so that it could not follow its line.
MAX_APART_MPS = 3.0
MAX_SPEED_EXCESS_MPS = 0.5  # beyond the vehicle's limit at which it can still be engaged
NEVER_NS = -(2**62)


@dataclass(frozen=True, kw_only=True)
class InterfaceOutput:
    """command: None where nothing may be published; mode: one of modes.MODES; reason: why the mode is what it is; pedals: for the
    command, where the vehicle takes pedals; wish: what was asked of the envelope; biting: the limits that decided otherwise."""

    command: Command | None
    mode: str
    reason: str
    pedals: Pedals | None = None
    wish: Wish | None = None
    biting: tuple[str, ...] = ()


class VehicleInterfaceCore:
    """One per vehicle. Set what arrived, then step: once per actuation period, and whenever else there is something to do."""

    def __init__(self, vehicle: VehicleSpec, parameters: VehicleInterfaceParameters) -> None:
        self._parameters = parameters
        self._limits = vehicle.limits
        self._envelope = Envelope(vehicle.limits, wheelbase_m=vehicle.wheelbase_m)
        pedals = vehicle.longitudinal if vehicle.adapter == "throttle_brake" else None
        self._longitudinal = LongitudinalController(pedals, vehicle.limits) if pedals is not None else None
        self._tracker = PlanTracker(actuation_latency_s=vehicle.actuation_latency_s, max_lateral_acceleration_mps2=vehicle.limits.max_lateral_acceleration_mps2)
        self._mode, self._reason = modes.DISENGAGED, "not engaged yet"
        self._plan_steady_ns = self._odometry_steady_ns = self._override_steady_ns = self._verdict_steady_ns = NEVER_NS
        self._by_wire_steady_ns, self._by_wire_fault = NEVER_NS, False
        self._verdict: Verdict | None = None  # of the supervisor; None: nobody supervises
        self._motion: Motion | None = None  # as last measured
        self._pose = np.zeros(3)  # where the vehicle is thought to be, at …
        self._pose_ns = self._pose_steady_ns = self._step_ns = 0
        self._jump_ns = NEVER_NS
        self._override_active = False
        self._was_override_seen = False
        self._last_curvature_1pm = 0.0
        self._operator_drives = False
        self.rejected_plans = 0
        self.rejected_odometry = 0

    @property
    def mode(self) -> str:
        """One of modes.MODES."""
        return self._mode

    def set_plan(self, plan: Plan, *, steady_ns: int, is_operators: bool = False) -> None:
        """Take a plan over; raises ContractError with the reason when it cannot be driven: the last good one stays.

        From an operator's first plan on the planner's are left aside, until the vehicle is engaged anew; so is what is planned while the
        supervisor stops the vehicle, which it does because plans are not to be trusted, or what they are made of.
        """
        if (self._operator_drives and not is_operators) or self._is_being_stopped:
            return
        try:
            self._tracker.accept(plan)
        except ContractError:
            self.rejected_plans += 1
            raise
        self._plan_steady_ns, self._operator_drives = steady_ns, is_operators

    def set_odometry(self, *, stamp_ns: int, pose: NDArray[np.float64], speed_mps: float, yaw_rate_radps: float, steady_ns: int) -> None:
        """Take odometry over: pose (3,) [x_m, y_m, yaw_rad].

        Raises ContractError when it is not finite or out of order: it then counts as not arrived.
        """
        try:
            motion = Motion(stamp_ns=stamp_ns, pose=pose, speed_mps=speed_mps, yaw_rate_radps=yaw_rate_radps)
            self._tracker.add_motion(self._believed(motion))
        except ContractError:
            self.rejected_odometry += 1
            raise
        if self._motion is not None:
            since_s = (stamp_ns - self._motion.stamp_ns) / 1e9
            if since_s < SETTLE_S and abs(motion.speed_mps - self._motion.speed_mps) > JUMP_MPS + JUMP_MPS2 * max(since_s, 0.0):
                self._jump_ns = steady_ns
        self._motion, self._pose, self._pose_ns = motion, motion.pose, stamp_ns
        self._odometry_steady_ns = self._pose_steady_ns = steady_ns

    def set_override(self, active: bool, *, steady_ns: int) -> None:
        """A heartbeat of the driver override; active while the driver brakes, steers or presses the button."""
        if active != self._override_active:
            self._enter(modes.OVERRIDE_BEGIN if active else modes.OVERRIDE_END, "the driver took over" if active else "the driver let go: engage again")
        self._override_active, self._was_override_seen = active, True
        self._override_steady_ns = steady_ns

    def set_by_wire(self, is_faulty: bool, *, steady_ns: int) -> None:
        """A heartbeat of the vehicle's drive-by-wire; faulty while it can't, or won't, do what it is told."""
        self._by_wire_fault, self._by_wire_steady_ns = is_faulty, steady_ns

    def set_verdict(self, verdict: Verdict, *, steady_ns: int) -> None:
        """What the supervisor says, which counts as its heartbeat, too: from the first one on it must not cease."""
        self._verdict, self._verdict_steady_ns = verdict, steady_ns

    @property
    def driven_by(self) -> str:
        """Whose plans count: 'operator' or 'planner'."""
        return "operator" if self._operator_drives else "planner"

    @property
    def wants_driver(self) -> bool:
        """Whether a driver is asked to take over: the vehicle stops by itself, or is about to."""
        return self._mode in (modes.MINIMAL_RISK_STOP, modes.EMERGENCY_STOP) or (self._mode == modes.ENGAGED and self._is_degraded)

    @property
    def _is_being_stopped(self) -> bool:
        """Whether it still moves in a stop that the supervisor wants."""
        return self._mode == modes.MINIMAL_RISK_STOP and self._supervisor_says(STOP) != "" and self._envelope.speed_mps > STANDSTILL_MPS

    @property
    def _is_degraded(self) -> bool:
        return self._verdict is not None and self._verdict.level == DEGRADED

    def request_engage(self, engage: bool, *, now_ns: int, steady_ns: int) -> tuple[bool, str]:
        """Engage or disengage: whether it was done, and why not."""
        if not engage:
            self._enter(modes.DISENGAGE, "disengaged by request")
            done = self._mode == modes.DISENGAGED
            return done, "disengaged" if done else f"stays in {self._mode}"
        self._operator_drives = False
        if self._mode == modes.ENGAGED:
            return True, "already engaged"
        if self._mode in (modes.DRIVER_OVERRIDE, modes.EMERGENCY_STOP):
            return False, f"not in mode {self._mode}"
        fault = self._fault(now_ns=now_ns, steady_ns=steady_ns) or self._supervisor_says(DEGRADED)
        if fault:
            return False, fault
        if self._mode == modes.DISENGAGED:
            obstacle = self._cannot_begin(steady_ns)
            if obstacle:
                return False, obstacle
            self._begin_from_measured_motion()
            self._step_ns = steady_ns
        self._enter(modes.ENGAGE, "engaged by request")
        return True, "engaged"

    def emergency_stop(self, stop: bool, *, now_ns: int, steady_ns: int) -> tuple[bool, str]:
        """Stop hard and stay so, or (False) reset: whether it was done, and why not.

        A driver who has taken over is not braked against; a reset is refused while the vehicle moves, or may.
        Without odometry the stop begins from standstill: all that can be told to the vehicle is speed 0.
        """
        if stop:
            if self._mode == modes.DRIVER_OVERRIDE:
                return False, "the driver has the vehicle"
            if self._mode == modes.DISENGAGED:
                self._begin_from_measured_motion()
                self._tracker.forget_plan()  # it may be the plan of a road long left
            self._enter(modes.EMERGENCY, "emergency stop requested")
            return True, "stopping"
        if self._mode != modes.EMERGENCY_STOP:
            return True, "no emergency stop"
        if self._odometry_fault(now_ns=now_ns, steady_ns=steady_ns):
            return False, f"whether the vehicle stands is not known: {self._odometry_fault(now_ns=now_ns, steady_ns=steady_ns)}"
        speed = 0.0 if self._motion is None else self._motion.speed_mps
        if abs(speed) > STANDSTILL_MPS:
            return False, f"still moving at {speed:.1f} m/s"
        self._enter(modes.RESET, "emergency stop reset: engage again")
        return True, "reset"

    def step(self, *, now_ns: int, steady_ns: int) -> InterfaceOutput:
        """One step of whatever time has passed: find faults, then follow the plan, stop along it, or say nothing."""
        dt_s = min(max((steady_ns - self._step_ns) / 1e9, MIN_STEP_S), MAX_STEP_S)
        self._step_ns = steady_ns
        if self._mode == modes.ENGAGED:
            fault = self._fault(now_ns=now_ns, steady_ns=steady_ns)
            if fault:
                self._enter(modes.FAULT, fault)
                if self._supervisor_says(STOP) and self._verdict is not None:
                    self._tracker.revert(self._verdict.suspect_s)
        if self._mode not in modes.COMMANDING:
            return InterfaceOutput(command=None, mode=self._mode, reason=self._reason)
        is_lost = self._motion is None or self._odometry_fault(now_ns=now_ns, steady_ns=steady_ns) != ""
        pose = self._reckon(now_ns=now_ns, steady_ns=steady_ns)
        if is_lost:  # braking changes the speed: reckon on from here, not from where the odometry ended
            self._pose, self._pose_ns, self._pose_steady_ns = pose, now_ns, steady_ns
        wish, is_emergency = self._wish(pose, now_ns)
        measured = None if is_lost or self._motion is None else self._motion.speed_mps
        out = self._envelope.step(
            acceleration_mps2=wish.acceleration_mps2,
            curvature_1pm=wish.curvature_1pm,
            measured_speed_mps=measured,
            dt_s=dt_s,
            is_emergency=is_emergency,
        )
        self._last_curvature_1pm = out.curvature_1pm
        command = Command(stamp_ns=now_ns, acceleration_mps2=out.acceleration_mps2, curvature_1pm=out.curvature_1pm, target_speed_mps=out.target_speed_mps)
        pedals = self._longitudinal.step(command, speed_mps=measured, dt_s=dt_s) if self._longitudinal is not None else None
        return InterfaceOutput(command=command, mode=self._mode, reason=self._reason, pedals=pedals, wish=wish, biting=self._envelope.biting)

    def _reckon(self, *, now_ns: int, steady_ns: int) -> NDArray[np.float64]:
        """(3,) the pose now: from the last known one on, as commanded; by the steady clock where the vehicle's stands still, or the
        stamp is of another time."""
        stamp_age_s, arrival_age_s = (now_ns - self._pose_ns) / 1e9, (steady_ns - self._pose_steady_ns) / 1e9
        told_s = stamp_age_s if stamp_age_s <= MAX_RECKONING_S else 0.0
        since_s = min(max(told_s, arrival_age_s, 0.0), MAX_RECKONING_S)
        return advance_pose(self._pose, distance_m=self._envelope.speed_mps * since_s, curvature_1pm=self._last_curvature_1pm)

    def _wish(self, pose: NDArray[np.float64], now_ns: int) -> tuple[Wish, bool]:
        """What to ask of the envelope, and whether it is an emergency."""
        plan, speed = self._tracker.plan, self._envelope.speed_mps
        if self._mode == modes.ENGAGED and plan is not None:
            age_s = max((now_ns - plan.stamp_ns) / 1e9, 0.0)
            if speed > STANDSTILL_MPS or not self._tracker.rests(age_s=age_s):
                wish = self._tracker.follow(pose=pose, speed_mps=speed, age_s=age_s)
                return (replace(wish, acceleration_mps2=min(wish.acceleration_mps2, 0.0)) if self._is_degraded else wish), plan.is_emergency
        is_emergency = self._mode == modes.EMERGENCY_STOP or (plan is not None and plan.is_emergency)
        braking = EMERGENCY_ACCELERATION_MPS2 if is_emergency else STOP_ACCELERATION_MPS2
        is_steering = plan is not None and speed > STANDSTILL_MPS  # standing, the wheels are held
        curvature = self._tracker.steer(pose=pose, speed_mps=speed) if is_steering else self._last_curvature_1pm
        return Wish(acceleration_mps2=braking, curvature_1pm=curvature), is_emergency

    def _fault(self, *, now_ns: int, steady_ns: int) -> str:
        """Why the vehicle must not be driven now; empty when it may."""
        faults = (
            self._odometry_fault(now_ns=now_ns, steady_ns=steady_ns),
            self._plan_fault(now_ns=now_ns, steady_ns=steady_ns),
            self._override_fault(steady_ns),
            self._by_wire_says(steady_ns),
            self._supervisor_fault(steady_ns),
        )
        return next(filter(None, faults), "")

    def _plan_fault(self, *, now_ns: int, steady_ns: int) -> str:
        plan, p = self._tracker.plan, self._parameters
        timeout_s = p.operator_timeout_s if self._operator_drives else p.plan_timeout_s
        if plan is None:
            return "no plan yet"
        if not self._is_fresh(self._plan_steady_ns, steady_ns, timeout_s):
            return f"no plan arrived within {timeout_s} s"
        age_s = (now_ns - plan.stamp_ns) / 1e9
        return f"the plan's stamp is {age_s:.2f} s old, must be within {timeout_s} s" if abs(age_s) > timeout_s else ""

    def _override_fault(self, steady_ns: int) -> str:
        timeout_s = self._parameters.override_timeout_s
        is_watched = self._was_override_seen or self._parameters.override_required
        is_silent = is_watched and not self._is_fresh(self._override_steady_ns, steady_ns, timeout_s)
        return f"no heartbeat of the driver override within {timeout_s} s" if is_silent else ""

    def _by_wire_says(self, steady_ns: int) -> str:
        timeout_s = self._parameters.fault_timeout_s
        if not self._parameters.fault_topic:  # this vehicle does not tell
            return ""
        if not self._is_fresh(self._by_wire_steady_ns, steady_ns, timeout_s):
            return f"the vehicle's drive-by-wire said nothing within {timeout_s} s"
        return "the vehicle's drive-by-wire has a fault" if self._by_wire_fault else ""

    def _supervisor_fault(self, steady_ns: int) -> str:
        timeout_s = self._parameters.supervisor_timeout_s
        is_supervised = self._verdict is not None or (self._parameters.supervisor_required and not self._parameters.lockstep)
        if is_supervised and not self._is_fresh(self._verdict_steady_ns, steady_ns, timeout_s):
            return f"no verdict of the supervisor within {timeout_s} s"
        return self._supervisor_says(STOP)

    def _supervisor_says(self, level: str) -> str:
        """Its reason, when its verdict is of this level; else empty."""
        return f"the supervisor says: {self._verdict.reason}" if self._verdict is not None and self._verdict.level == level else ""

    def _odometry_fault(self, *, now_ns: int, steady_ns: int) -> str:
        """Why the odometry can't be relied on now; empty when it can."""
        timeout_s = self._parameters.odometry_timeout_s
        if self._motion is None or not self._is_fresh(self._odometry_steady_ns, steady_ns, timeout_s):
            return f"no odometry within {timeout_s} s"
        age_s = (now_ns - self._motion.stamp_ns) / 1e9
        if abs(age_s) > timeout_s:
            return f"the odometry's stamp is {age_s:.2f} s old, must be within {timeout_s} s"
        if self._believed(self._motion) is not self._motion:
            return f"the measured speed is {self._motion.speed_mps:.1f} m/s, where the vehicle can only have come to {self._envelope.speed_mps:.1f} m/s"
        return ""

    def _believed(self, motion: Motion) -> Motion:
        """A motion, or, where its speed is wrong, its pose with the speed and the curvature that were commanded: a pose that moves otherwise
        than its speed says would be taken for a jump of the localisation, with which the plan's line moves."""
        speed_mps = self._envelope.speed_mps
        if self._mode not in modes.COMMANDING or abs(motion.speed_mps - speed_mps) <= MAX_APART_MPS:
            return motion
        return replace(motion, speed_mps=speed_mps, yaw_rate_radps=speed_mps * self._last_curvature_1pm)

    def _cannot_begin(self, steady_ns: int) -> str:
        """Why commands must not begin from the motion that is measured now; empty when they may."""
        speed = 0.0 if self._motion is None else self._motion.speed_mps
        if not -STANDSTILL_MPS <= speed <= self._limits.max_speed_mps + MAX_SPEED_EXCESS_MPS:
            return f"the vehicle moves at {speed:.1f} m/s, must be within 0 and {self._limits.max_speed_mps} m/s"
        if self._is_fresh(self._jump_ns, steady_ns, SETTLE_S):
            return f"the measured speed has jumped within the last {SETTLE_S} s"
        return ""

    def _begin_from_measured_motion(self) -> None:
        """A mode with commands, after one without, starts from what the vehicle does now."""
        speed, yaw_rate = (0.0, 0.0) if self._motion is None else (self._motion.speed_mps, self._motion.yaw_rate_radps)
        self._last_curvature_1pm = yaw_rate / speed if speed > 1.0 else 0.0
        self._envelope.reset(speed_mps=speed, curvature_1pm=self._last_curvature_1pm)
        if self._longitudinal is not None:
            self._longitudinal.reset()

    def _enter(self, event: str, reason: str) -> None:
        before, self._mode = self._mode, modes.next_mode(self._mode, event)
        if self._mode != before:
            self._reason = reason

    @staticmethod
    def _is_fresh(arrival_ns: int, steady_ns: int, timeout_s: float) -> bool:
        return steady_ns - arrival_ns <= timeout_s * 1e9
