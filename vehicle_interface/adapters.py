"""What a vehicle is told in its own terms."""

from dataclasses import dataclass

from mimic_contracts.plan import Command


@dataclass(frozen=True, kw_only=True)
class Twist2D:
    """Speed along x and yaw rate, positive to the left."""

    speed_mps: float
    yaw_rate_radps: float


def twist_from_command(command: Command) -> Twist2D:
    """Target speed, and the yaw rate of the commanded curvature at that speed: ω = v·κ."""
    return Twist2D(speed_mps=command.target_speed_mps, yaw_rate_radps=command.target_speed_mps * command.curvature_1pm)
