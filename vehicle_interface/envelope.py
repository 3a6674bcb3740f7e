"""The safety envelope: whatever is asked, what comes out stays inside the vehicle's limits.

It knows nothing of networks, plans or modes. Its limits are ranked, because they can contradict each other:

1. finite numbers and the vehicle's hard limits (curvature, speed from standstill to maximum);
2. lateral acceleration at the filtered speed;
3. curvature rate: from lateral jerk, below 5 m/s from the steering rate;
4. longitudinal acceleration and jerk; wider for a marked emergency.

Source: ISO 11270 (lane keeping assistance: 3 m/s², 5 m/s³), as openpilot uses it.

Which limits decide the output is told by name, for people; nothing is computed from it.
"""

import math
from dataclasses import dataclass
from typing import SupportsFloat

from mimic_contracts.errors import ContractError
from mimic_contracts.vehicle import ActuationLimits

STEERING_RATE_BELOW_MPS = 5.0
SPEED_WINDOW_MPS = 1.5  # how far the commanded speed may run ahead of the filtered one, or behind it
MAX_ANGLE_RAD = 1.57  # just below a right angle, where the curvature is infinite
SMALLEST_SQUARED_SPEED_M2PS2 = 1e-6  # of a squared speed that is divided by: any curvature is allowed there
SPEED_WINDOW = "speed_window"  # its name where limits are named; all others have that of the vehicle file
BRAKING_KEPT = 0.5  # of the braking asked for, even where the measured speed doesn't fall with it: a stuck sensor must not hold the speed


@dataclass(frozen=True, kw_only=True)
class Actuation:
    """Acceleration over the next step, curvature, and the speed that the vehicle shall have after the step."""

    acceleration_mps2: float
    curvature_1pm: float
    target_speed_mps: float


class _Wish:
    """A value on its way through the limits, and the last of them that changed it: without that one it would be another."""

    def __init__(self, value: float, limit: str = "") -> None:
        self.value, self.limit = value, limit

    def clip(self, low: float, high: float, *, lower: str, upper: str) -> None:
        """Bound the value; lower, upper: what these bounds are called, empty: nothing that a person would call a limit."""
        clipped = _clip(self.value, low, high)
        if clipped != self.value:
            self.limit = lower if clipped > self.value else upper
        self.value = clipped


class Envelope:
    """Bounds every step by the limits; keeps the last output and a filtered speed between steps.

    biting: the limits that decided the last output, by their names in the vehicle file: at most one of the acceleration and
    one of the curvature; empty: the output is what was asked.
    """

    def __init__(self, limits: ActuationLimits, *, wheelbase_m: float) -> None:
        self._limits = limits
        self._wheelbase_m = wheelbase_m
        self.reset(speed_mps=0.0, curvature_1pm=0.0)

    def reset(self, *, speed_mps: SupportsFloat, curvature_1pm: SupportsFloat) -> None:
        """Begin from what the vehicle does now: the output then starts there without a jump."""
        speed = _finite_or(speed_mps, 0.0)
        self.speed_mps = _clip(speed, 0.0, self._limits.max_speed_mps)
        self._acceleration_mps2 = 0.0
        self._target_speed_mps = self.speed_mps
        bound, _ = self._max_curvature(self.speed_mps)
        self._curvature_1pm = _clip(_finite_or(curvature_1pm, 0.0), -bound, bound)
        self.biting: tuple[str, ...] = ()

    def step(
        self,
        *,
        acceleration_mps2: SupportsFloat,
        curvature_1pm: SupportsFloat,
        measured_speed_mps: SupportsFloat | None,
        dt_s: SupportsFloat,
        is_emergency: bool = False,
    ) -> Actuation:
        """The nearest permitted actuation to what is asked.

        A wish that is not finite counts as 'brake' and 'keep the curvature'. measured_speed_mps None, or not finite:
        the filtered speed goes on as commanded. Raises ContractError when dt_s is not within (0, 1] s.
        """
        dt_s = _finite_or(dt_s, math.nan)
        if not 0.0 < dt_s <= 1.0:
            raise ContractError(f"dt_s: is {dt_s}, must be within (0, 1]")
        self._filter_speed(_finite_or(measured_speed_mps, self._target_speed_mps), dt_s)
        along = self._bound_longitudinal(_finite_or(acceleration_mps2, self._limits.min_acceleration_mps2), dt_s, is_emergency)
        across = self._bound_lateral(_finite_or(curvature_1pm, self._curvature_1pm), dt_s)
        self.biting = tuple(filter(None, (along, across)))
        return Actuation(acceleration_mps2=self._acceleration_mps2, curvature_1pm=self._curvature_1pm, target_speed_mps=self._target_speed_mps)

    def _filter_speed(self, measured_mps: float, dt_s: float) -> None:
        """Follow the measurement no faster than the vehicle can accelerate or brake: a jump can't move the limits."""
        limits = self._limits
        change = _clip(measured_mps - self.speed_mps, limits.min_emergency_acceleration_mps2 * dt_s, limits.max_acceleration_mps2 * dt_s)
        self.speed_mps = _clip(self.speed_mps + change, 0.0, limits.max_speed_mps)

    def _bound_longitudinal(self, wish_mps2: float, dt_s: float, is_emergency: bool) -> str:
        """Set acceleration and target speed; returns the limit that bites."""
        limits = self._limits
        last = self._acceleration_mps2
        # After an emergency the acceleration comes back under the emergency's jerk limit, from wherever it was.
        is_braking_hard = is_emergency or last < limits.min_acceleration_mps2
        jerk_name = "max_emergency_jerk_mps3" if is_braking_hard else "max_jerk_mps3"
        lowest_name = "min_emergency_acceleration_mps2" if is_emergency else "min_acceleration_mps2"
        jerk, lowest = getattr(limits, jerk_name), getattr(limits, lowest_name)
        wish = _Wish(wish_mps2)
        wish.clip(lowest, limits.max_acceleration_mps2, lower=lowest_name, upper="max_acceleration_mps2")
        # Anti-windup: the commanded speed stays near the vehicle's own, but is never raised to it: the odometry may be wrong.
        ahead = self._target_speed_mps - self.speed_mps
        wish.clip(min((-SPEED_WINDOW_MPS - ahead) / dt_s, BRAKING_KEPT * wish.value), math.inf, lower=SPEED_WINDOW, upper="")
        wish.clip(-math.inf, (SPEED_WINDOW_MPS - ahead) / dt_s, lower="", upper=SPEED_WINDOW)
        wish.clip(lowest, math.inf, lower=lowest_name, upper="")
        wish.clip(last - jerk * dt_s, last + jerk * dt_s, lower=jerk_name, upper=jerk_name)
        # Rank 1, above jerk: the speed ends at standstill and at the maximum.
        speed = _Wish(self._target_speed_mps + wish.value * dt_s, wish.limit)
        speed.clip(0.0, limits.max_speed_mps, lower="", upper="max_speed_mps")
        # The clip takes off what the division's rounding adds.
        self._acceleration_mps2 = _clip((speed.value - self._target_speed_mps) / dt_s, min(wish.value, 0.0), max(wish.value, 0.0))
        self._target_speed_mps = speed.value
        return speed.limit

    def _bound_lateral(self, wish_1pm: float, dt_s: float) -> str:
        """Set the curvature; returns the limit that bites."""
        limits = self._limits
        last = self._curvature_1pm
        speed = max(self.speed_mps, self._target_speed_mps)
        if speed >= STEERING_RATE_BELOW_MPS:
            rate_name = "max_lateral_jerk_mps3"
            change = limits.max_lateral_jerk_mps3 / speed**2 * dt_s
            lowest, highest = last - change, last + change
        else:  # in the angle of the wheels, whose relation to the curvature is bent
            rate_name = "max_steering_rate_radps"
            angle, change = math.atan(last * self._wheelbase_m), limits.max_steering_rate_radps * dt_s
            lowest, highest = (math.tan(_clip(angle + turn, -MAX_ANGLE_RAD, MAX_ANGLE_RAD)) / self._wheelbase_m for turn in (-change, change))
        wish = _Wish(wish_1pm)
        wish.clip(lowest, highest, lower=rate_name, upper=rate_name)
        bound, bound_name = self._max_curvature(speed)
        wish.clip(-bound, bound, lower=bound_name, upper=bound_name)
        self._curvature_1pm = wish.value
        return wish.limit

    def _max_curvature(self, speed_mps: float) -> tuple[float, str]:
        """The largest curvature at a speed, to either side, and the limit that it comes from."""
        limits = self._limits
        of_speed_1pm = limits.max_lateral_acceleration_mps2 / max(speed_mps**2, SMALLEST_SQUARED_SPEED_M2PS2)
        return min((limits.max_curvature_1pm, "max_curvature_1pm"), (of_speed_1pm, "max_lateral_acceleration_mps2"))


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _finite_or(value: SupportsFloat | None, replacement: float) -> float:
    """A float of Python's own, whatever kind of number came: a float16 would hand its coarse steps on to the state."""
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:  # an integer beyond the range of floats
        return replacement
    return number if math.isfinite(number) else replacement
