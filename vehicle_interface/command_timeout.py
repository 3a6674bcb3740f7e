"""A command timeout for a vehicle that has none of its own, as Gazebo's car: it passes commands on, and brakes when they cease."""

import math

from mimic_contracts.errors import ContractError
from vehicle_interface.adapters import Twist2D

BRAKING_MPS2 = 3.0  # as the built-in simulator's car does by itself


class CommandTimeout:
    """What the vehicle is told once no command has come for timeout_s: less and less speed on the last arc, down to standstill."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._last: Twist2D | None = None
        self._taken_ns = 0

    def take(self, command: Twist2D, *, steady_ns: int) -> None:
        """Note a command; raises ContractError when it is not finite, which is as if it had not come."""
        if not (math.isfinite(command.speed_mps) and math.isfinite(command.yaw_rate_radps)):
            raise ContractError(f"command: is {command.speed_mps} m/s, {command.yaw_rate_radps} rad/s, must be finite")
        self._last, self._taken_ns = command, steady_ns

    def brake(self, *, steady_ns: int) -> Twist2D | None:
        """The command of now; None while none is late, and when the vehicle has been told to stand."""
        late_s = (steady_ns - self._taken_ns) / 1e9 - self._timeout_s
        if self._last is None or late_s < 0.0:
            return None
        last = self._last
        left_mps = max(abs(last.speed_mps) - BRAKING_MPS2 * late_s, 0.0)
        if left_mps == 0.0:
            self._last = None
            return Twist2D(speed_mps=0.0, yaw_rate_radps=0.0)
        share = left_mps / abs(last.speed_mps)
        return Twist2D(speed_mps=share * last.speed_mps, yaw_rate_radps=share * last.yaw_rate_radps)
