"""The command timeout for vehicles that have none: commands pass as they are; when they cease, it brakes on the last arc."""

import math

import pytest

from mimic_contracts.errors import ContractError
from vehicle_interface.adapters import Twist2D
from vehicle_interface.command_timeout import BRAKING_MPS2, CommandTimeout

TIMEOUT_S = 0.5


def told(timeout: CommandTimeout, *times_s: float) -> list[Twist2D | None]:
    return [timeout.brake(steady_ns=round(time_s * 1e9)) for time_s in times_s]


def late(speed_mps: float, yaw_rate_radps: float) -> CommandTimeout:
    """One that took its last command at 0 s."""
    timeout = CommandTimeout(TIMEOUT_S)
    timeout.take(Twist2D(speed_mps=speed_mps, yaw_rate_radps=yaw_rate_radps), steady_ns=0)
    return timeout


def test_it_says_nothing_before_the_first_command_and_before_the_timeout() -> None:
    assert told(CommandTimeout(TIMEOUT_S), 0.0, 10.0) == [None, None]
    assert told(late(8.0, 0.4), 0.0, TIMEOUT_S - 0.001) == [None, None]


@pytest.mark.parametrize("speed_mps", [8.0, -2.0])
def test_it_brakes_evenly_along_the_last_arc(speed_mps: float) -> None:
    for after_s, command in zip((0.0, 0.2, 0.6), told(late(speed_mps, 0.05 * speed_mps), TIMEOUT_S, TIMEOUT_S + 0.2, TIMEOUT_S + 0.6), strict=True):
        assert command.speed_mps == pytest.approx(math.copysign(abs(speed_mps) - BRAKING_MPS2 * after_s, speed_mps))
        assert command.yaw_rate_radps == pytest.approx(0.05 * command.speed_mps), "the wheels stay as they are"


@pytest.mark.parametrize("speed_mps", [8.0, 0.0])
def test_it_ends_with_standstill_once(speed_mps: float) -> None:
    stood = Twist2D(speed_mps=0.0, yaw_rate_radps=0.0)
    assert told(late(speed_mps, 0.4), TIMEOUT_S + 8.0 / BRAKING_MPS2 + 0.01, 100.0) == [stood, None]


def test_a_new_command_ends_it() -> None:
    timeout = late(8.0, 0.4)
    assert told(timeout, 1.0)[0].speed_mps < 8.0
    timeout.take(Twist2D(speed_mps=6.0, yaw_rate_radps=0.0), steady_ns=round(1.1e9))
    assert told(timeout, 1.1 + TIMEOUT_S - 0.001) == [None] and told(timeout, 1.1 + TIMEOUT_S)[0].speed_mps == 6.0


@pytest.mark.parametrize("values", [(math.nan, 0.0), (5.0, math.inf)])
def test_what_is_not_finite_counts_as_not_come(values: tuple[float, float]) -> None:
    timeout = late(8.0, 0.0)
    with pytest.raises(ContractError, match=r"command: is .*, must be finite"):
        timeout.take(Twist2D(speed_mps=values[0], yaw_rate_radps=values[1]), steady_ns=round(0.4e9))
    assert told(timeout, TIMEOUT_S)[0].speed_mps == 8.0
