"""The vehicle interface and its supervisor's verdicts, without ROS."""

import pytest
from vehicle_helpers import Car

from vehicle_interface import modes
from vehicle_interface.supervision import DEGRADED, OK, STOP, Verdict


def say(car, level, reason="a reason"):
    car.core.set_verdict(Verdict(level, reason), steady_ns=car.steady_ns)


def supervised(ticks, car, level, reason="a reason", **options):
    for _ in range(ticks):
        say(car, level, reason)
        out = car.drive(1, **options)
    return out


def test_without_a_supervisor_nobody_engages_where_one_is_required():
    car = Car(supervisor_required=True)
    car.sense()
    car.plan()
    assert car.engage() == (False, "no verdict of the supervisor within 0.15 s")
    say(car, OK)
    assert car.engage() == (True, "engaged")
    assert Car(supervisor_required=True, lockstep=True).engaged().drive(10).mode == modes.ENGAGED  # every answer is waited for


@pytest.mark.parametrize("level", [DEGRADED, STOP])
def test_it_is_not_engaged_while_the_supervisor_objects(level):
    car = Car()
    car.sense()
    car.plan()
    say(car, level, "the pictures are frozen")
    assert car.engage() == (False, "the supervisor says: the pictures are frozen")


def test_stop_stops_and_stays_so_when_the_supervisor_is_content_again():
    car = Car().engaged()
    assert supervised(5, car, OK).mode == modes.ENGAGED and not car.core.wants_driver
    out = supervised(1, car, STOP, "no heartbeat of camera_node")
    assert (out.mode, out.reason) == (modes.MINIMAL_RISK_STOP, "the supervisor says: no heartbeat of camera_node")
    assert car.core.wants_driver
    out = supervised(200, car, OK)
    assert out.mode == modes.MINIMAL_RISK_STOP and car.speed == 0.0


def test_the_silence_of_a_supervisor_stops_within_its_timeout():
    car = Car().engaged()
    supervised(5, car, OK)
    assert car.drive(3).mode == modes.ENGAGED
    out = car.drive(2)  # 0.25 s
    assert (out.mode, out.reason) == (modes.MINIMAL_RISK_STOP, "no verdict of the supervisor within 0.15 s")


def test_degraded_becomes_no_faster_but_slower_and_asks_for_a_driver():
    car = Car(speed=6.0).engaged()
    assert supervised(20, car, OK, acceleration=1.0).command.target_speed_mps > 6.1
    before = car.speed
    outs = [supervised(1, car, DEGRADED, acceleration=1.0) for _ in range(40)]
    settled = car.outputs[-20:]
    assert all(out.mode == modes.ENGAGED for out in outs) and car.core.wants_driver
    assert max(out.command.acceleration_mps2 for out in settled) <= 0.0
    assert car.speed <= before + 0.5  # the jerk limit takes the acceleration back within some ticks
    assert supervised(40, car, DEGRADED, acceleration=-1.0).command.target_speed_mps < before - 1.0
