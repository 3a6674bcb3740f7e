"""Throttle and brake for a command: feed-forward by the vehicle's model, and a PI controller for what the model lacks.

Wanted is the commanded acceleration and a share of the speed error, inside the vehicle's limits; the integral and the drag at the
target speed come on top, and the model's inverse turns the sum into one of the two pedals.

Source: Åström and Hägglund, Advanced PID Control (ISA, 2006): feed-forward, and conditional integration against windup, here in the
form that the integral rests while the output is at a bound and the error would push it further.
"""

from dataclasses import dataclass

from mimic_contracts.plan import Command
from mimic_contracts.vehicle import ActuationLimits, LongitudinalSpec
from vehicle_interface.envelope import BRAKING_KEPT, SPEED_WINDOW_MPS
from vehicle_interface.plan_tracker import STANDSTILL_MPS

FIRMNESS = 4.0  # how fast, with the commanded braking, the acceleration that a speed error may still ask for fades


@dataclass(frozen=True, kw_only=True)
class Pedals:
    """Shares of the pedals' travel, 0 to 1; one of the two is always 0."""

    throttle: float
    brake: float


class LongitudinalController:
    """One per vehicle: reset when commands begin, then step once per command."""

    def __init__(self, spec: LongitudinalSpec, limits: ActuationLimits) -> None:
        self._spec, self._limits = spec, limits
        self.reset()

    def reset(self) -> None:
        """Begin without a memory: the first step is the model's pedal for its command, whatever was before."""
        self.correction_mps2 = 0.0
        self._pedals = Pedals(throttle=0.0, brake=0.0)
        self._is_braking = False

    def step(self, command: Command, *, speed_mps: float | None, dt_s: float) -> Pedals:
        """The pedals for the next dt_s; speed_mps: as measured, None: not known, so that the model alone must do."""
        if self._shall_stand(command, speed_mps):
            self.correction_mps2, self._is_braking = 0.0, True
            # Where the speed is not known it may still roll: a brake that stops it stays on.
            brake = self._spec.standstill_brake if speed_mps is not None else max(self._spec.standstill_brake, self._pedals.brake)
            self._pedals = Pedals(throttle=0.0, brake=brake)
            return self._pedals
        # Bounded as the envelope's window: an odometry jump moves the pedals by so much and no more.
        error_mps = 0.0 if speed_mps is None else _clip(command.target_speed_mps - speed_mps, -SPEED_WINDOW_MPS, SPEED_WINDOW_MPS)
        asked = command.acceleration_mps2 + self._spec.speed_gain_1ps * error_mps
        highest = self._highest_mps2(command.acceleration_mps2)
        wanted = _clip(asked, self._limits.min_emergency_acceleration_mps2, highest)
        force = wanted + self.correction_mps2 + self._spec.drag_mps2(command.target_speed_mps)
        self._is_braking = force < (self._spec.pedal_hysteresis_mps2 if self._is_braking else -self._spec.pedal_hysteresis_mps2)
        throttle = 0.0 if self._is_braking else self._spec.throttle_dead_band + max(force, 0.0) / self._spec.throttle_gain_mps2
        brake = self._spec.brake_dead_band + max(-force, 0.0) / self._spec.brake_gain_mps2 if self._is_braking else 0.0
        if not self._winds_up(error_mps, is_at_top=throttle > 1.0 or wanted < asked or highest < 0.0, is_at_bottom=brake > 1.0 or wanted > asked):
            bound = self._spec.max_correction_mps2
            self.correction_mps2 = _clip(self.correction_mps2 + self._spec.integral_gain_1ps2 * error_mps * dt_s, -bound, bound)
        self._pedals = Pedals(throttle=min(throttle, 1.0), brake=min(brake, 1.0))
        return self._pedals

    def _highest_mps2(self, commanded_mps2: float) -> float:
        """A braking that is meant stays a braking, even where the measured speed is stuck far below the target."""
        highest = self._limits.max_acceleration_mps2
        return highest if commanded_mps2 >= 0.0 else max(BRAKING_KEPT * commanded_mps2, highest + FIRMNESS * commanded_mps2)

    @staticmethod
    def _shall_stand(command: Command, speed_mps: float | None) -> bool:
        is_to_stop = command.target_speed_mps < STANDSTILL_MPS and command.acceleration_mps2 <= 0.0
        return is_to_stop and (speed_mps is None or abs(speed_mps) < STANDSTILL_MPS)

    @staticmethod
    def _winds_up(error_mps: float, *, is_at_top: bool, is_at_bottom: bool) -> bool:
        """Whether integrating this error would only store what has to be undone before the output can leave its bound."""
        return (is_at_top and error_mps > 0.0) or (is_at_bottom and error_mps < 0.0)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
