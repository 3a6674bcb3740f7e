"""Modes, faults, overrides and stops of the vehicle interface, without ROS."""

import math
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vehicle_helpers import TICK_NS, VEHICLE, Car, S, arc_plan

from mimic_contracts.action_spec import STEERING_ONLY
from mimic_contracts.canonical import canonical_hash
from mimic_contracts.config import config_dir
from mimic_contracts.errors import ContractError
from mimic_contracts.parameters import parameters_from_file
from mimic_contracts.plan import Plan
from mimic_contracts.vehicle import load_vehicle
from vehicle_interface import modes
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

# The transition table, pair by pair.


def test_every_pair_is_covered_and_leads_to_a_known_mode():
    assert set(modes.TRANSITIONS) == {(m, e) for m in modes.MODES for e in modes.EVENTS}
    assert set(modes.TRANSITIONS.values()) == set(modes.MODES)


def test_what_each_event_may_do():
    """The rules that the table states, each over all modes."""
    to = modes.next_mode
    for mode in modes.MODES:
        assert to(mode, modes.OVERRIDE_BEGIN) == modes.DRIVER_OVERRIDE  # a driver can always take over
        assert (to(mode, modes.ENGAGE) == modes.ENGAGED) == (mode in (modes.DISENGAGED, modes.ENGAGED, modes.MINIMAL_RISK_STOP))
        assert to(mode, modes.FAULT) == (modes.MINIMAL_RISK_STOP if mode == modes.ENGAGED else mode)
        assert to(mode, modes.RESET) == (modes.DISENGAGED if mode == modes.EMERGENCY_STOP else mode)
        assert to(mode, modes.OVERRIDE_END) == (modes.DISENGAGED if mode == modes.DRIVER_OVERRIDE else mode)
        assert to(mode, modes.EMERGENCY) == (modes.DRIVER_OVERRIDE if mode == modes.DRIVER_OVERRIDE else modes.EMERGENCY_STOP)
        stays = mode in (modes.DRIVER_OVERRIDE, modes.EMERGENCY_STOP)
        assert to(mode, modes.DISENGAGE) == (mode if stays else modes.DISENGAGED)
    for event in set(modes.EVENTS) - {modes.ENGAGE}:
        assert all(to(mode, event) != modes.ENGAGED for mode in modes.MODES if mode != modes.ENGAGED)  # only a request engages
    for event in set(modes.EVENTS) - {modes.RESET, modes.OVERRIDE_BEGIN}:
        assert to(modes.EMERGENCY_STOP, event) == modes.EMERGENCY_STOP


def test_the_documented_table_names_every_mode():
    assert all(f"| {mode} |" in modes.__doc__ for mode in modes.MODES)


def test_unknown_event():
    with pytest.raises(KeyError):
        modes.next_mode(modes.ENGAGED, "explode")


# Engaging.


def test_nothing_is_commanded_before_engagement():
    car = Car()
    assert all(car.drive(1).command is None for _ in range(20))
    assert car.core.mode == modes.DISENGAGED and car.outputs[-1].reason == "not engaged yet"


def test_engaged_it_drives_from_the_measured_motion():
    car = Car(speed=8.0, curvature=0.01).engaged(curvature=0.01)
    out = car.drive(1, curvature=0.01)
    assert out.mode == modes.ENGAGED and out.reason == "engaged by request"
    assert out.command.stamp_ns == 10 * S
    assert (out.command.target_speed_mps, out.command.curvature_1pm) == (pytest.approx(8.0, abs=0.05), pytest.approx(0.01, abs=1e-4))
    assert car.engage() == (True, "already engaged")
    assert car.engage(False) == (True, "disengaged")
    assert car.drive(1).command is None and car.outputs[-1].reason == "disengaged by request"


def refused(car, text):
    done, reason = car.engage()
    assert not done and text in reason and car.core.mode != modes.ENGAGED
    return True


def test_engaging_is_refused_with_the_reason():
    assert refused(Car(), "no odometry within 0.3 s")
    car = Car()
    car.sense()
    assert refused(car, "no plan yet")
    car.plan()
    car.steady_ns += 400_000_000
    assert refused(car, "no odometry within 0.3 s")
    car.sense(stamp_ns=car.now_ns + 1)
    car.steady_ns += 200_000_000
    assert refused(car, "no plan arrived within 0.5 s")


def test_engaging_is_refused_on_stamps_that_are_not_of_now():
    car = Car()
    car.sense()
    car.plan()
    car.now_ns += 301_000_000
    assert refused(car, "the odometry's stamp is 0.30 s old")
    car.sense()
    assert car.engage()[0]
    car = Car()
    car.sense()
    car.plan()
    car.now_ns += 501_000_000
    car.sense()
    assert refused(car, "the plan's stamp is 0.50 s old, must be within 0.5 s")
    car = Car()
    car.sense()
    car.now_ns += 600_000_000
    car.plan()
    car.now_ns -= 600_000_000
    assert refused(car, "the plan's stamp is -0.60 s old")


@pytest.mark.parametrize(
    ("speed", "refusal"), [(-0.09, ""), (-0.11, "moves at -0.1 m/s"), (25.49, ""), (25.51, "moves at 25.5 m/s, must be within 0 and 25.0")]
)
def test_engaging_at_speeds_that_are_no_beginning(speed, refusal):
    car = Car(speed=speed)
    car.sense()
    car.plan(speed=abs(speed))
    assert refused(car, refusal) if refusal else car.engage()[0]


@pytest.mark.parametrize(("after", "refusal"), [(9.09, ""), (9.11, "the measured speed has jumped"), (6.91, ""), (6.89, "the measured speed has jumped")])
def test_engaging_waits_until_a_jump_has_settled(after, refusal):
    """A glitch of the odometry must not become the speed that is commanded first: 0.5 + 12 m/s² · 0.05 s may change."""
    car = Car(speed=8.0)
    car.drive(3)
    car.speed = after
    car.sense()
    car.plan(speed=after)
    assert refused(car, refusal) if refusal else car.engage()[0]
    if refusal:
        car.step()
        car.drive(21)
        assert car.engage()[0]


def test_a_gap_or_a_clock_set_back_is_no_jump():
    car = Car(speed=8.0)
    car.drive(1)
    car.now_ns += S
    car.steady_ns += S
    car.speed = 20.0
    assert car.drive(1).mode == modes.DISENGAGED
    assert car.engage()[0]


# Faults.


def test_odometry_lost_while_engaged():
    """A minimal-risk stop on the last estimate, along the plan's arc, to standstill, that stays."""
    car = Car(speed=10.0, curvature=0.02).engaged(curvature=0.02)
    car.drive(20, curvature=0.02)
    centre = car.pose[:2] + 50.0 * np.array([-np.sin(car.pose[2]), np.cos(car.pose[2])])
    assert car.drive(6, sensing=False, planning=False).mode == modes.ENGAGED
    out = car.drive(1, sensing=False, planning=False)
    assert (out.mode, out.reason) == (modes.MINIMAL_RISK_STOP, "no odometry within 0.3 s")
    while car.speed > 0.0:
        car.drive(1, sensing=False, planning=False)
        assert abs(np.hypot(*(car.pose[:2] - centre)) - 50.0) < 0.15
    held = car.drive(40, sensing=False, planning=False)
    assert held.mode == modes.MINIMAL_RISK_STOP and held.command.target_speed_mps == 0.0
    assert held.command.curvature_1pm == car.outputs[-30].command.curvature_1pm  # standing, the wheels don't move


def test_a_stop_takes_what_minus_3_takes():
    car = Car(speed=10.0).engaged()
    car.drive(5)
    start_m = car.pose[0]
    car.drive(150, planning=False)
    assert car.core.mode == modes.MINIMAL_RISK_STOP and car.speed == 0.0
    assert 10.0**2 / 6.0 < car.pose[0] - start_m < 10.0**2 / 6.0 + 10.0 * 1.2


@pytest.mark.parametrize(("ticks", "mode"), [(10, modes.ENGAGED), (11, modes.MINIMAL_RISK_STOP)])
def test_stale_plan(ticks, mode):
    """Exactly 0.5 s old is fresh, one tick more is not."""
    car = Car().engaged()
    car.drive(1)
    assert car.drive(ticks - 1, planning=False).mode == modes.ENGAGED
    assert car.drive(1, planning=False).mode == mode


def test_stale_by_the_steady_clock_where_ros_time_has_frozen():
    car = Car(speed=10.0, curvature=0.02).engaged(curvature=0.02)
    car.drive(2, curvature=0.02)
    for _ in range(7):
        out = car.step(ros_time_runs=False)
    assert (out.mode, out.reason) == (modes.MINIMAL_RISK_STOP, "no odometry within 0.3 s")
    for _ in range(120):
        out = car.step(ros_time_runs=False)
    assert out.command.target_speed_mps == 0.0
    assert abs(math.hypot(car.pose[0], car.pose[1] - 50.0) - 50.0) < 0.15  # it kept reckoning along the arc


def test_a_plan_that_arrives_now_but_is_old():
    car = Car().engaged()
    car.drive(1)
    for _ in range(11):
        car.sense()
        car.core.set_plan(arc_plan(stamp_ns=10 * S), steady_ns=car.steady_ns)
        out = car.step()
    assert (out.mode, out.reason) == (modes.MINIMAL_RISK_STOP, "the plan's stamp is 0.55 s old, must be within 0.5 s")


def test_a_stop_is_left_only_by_request_and_without_a_jump():
    car = Car(speed=10.0).engaged()
    car.drive(30, planning=False)
    assert car.drive(10).mode == modes.MINIMAL_RISK_STOP
    before = car.outputs[-1].command
    assert car.engage() == (True, "engaged")
    after = car.drive(1).command
    assert abs(after.acceleration_mps2 - before.acceleration_mps2) <= 5.0 * TICK_NS / S + 1e-9


def test_disengaging_from_a_stop():
    car = Car(speed=10.0).engaged()
    car.drive(20, planning=False)
    assert car.engage(False) == (True, "disengaged")
    assert car.drive(1).command is None


def test_bad_odometry_counts_as_lost():
    car = Car().engaged()
    car.drive(1)
    for _ in range(8):
        for bad in ({"speed_mps": math.nan}, {"pose": np.array([0.0, np.inf, 0.0])}, {"yaw_rate_radps": -math.inf}, {"stamp_ns": -1}, {"stamp_ns": 10 * S}):
            with pytest.raises(ContractError, match="odometry"):
                car.sense(**bad)
        car.plan()
        out = car.step()
    assert (out.mode, out.reason) == (modes.MINIMAL_RISK_STOP, "no odometry within 0.3 s") and car.core.rejected_odometry == 40


def test_rejected_plans_leave_the_last_good_one():
    car = Car().engaged()
    car.drive(1)
    steering = Plan.single(stamp_ns=car.now_ns, spec=STEERING_ONLY, values=np.zeros((1, 1)), model_id="m")
    with pytest.raises(ContractError, match="action spec is 'steering_only', only 'car' can be driven"):
        car.core.set_plan(steering, steady_ns=car.steady_ns)
    assert car.core.rejected_plans == 1
    assert car.drive(9, planning=False).mode == modes.ENGAGED
    assert car.drive(2, planning=False).mode == modes.MINIMAL_RISK_STOP


# The driver.


def test_override_silences_at_once_and_needs_a_new_engagement():
    car = Car().engaged()
    car.drive(5, overriding=False)
    assert car.drive(1, overriding=True).command is None
    assert (car.core.mode, car.outputs[-1].reason) == (modes.DRIVER_OVERRIDE, "the driver took over")
    assert refused(car, "not in mode driver_override")
    assert car.engage(False) == (False, "stays in driver_override")
    assert car.emergency() == (False, "the driver has the vehicle")
    out = car.drive(5, overriding=False)
    assert out.command is None and (out.mode, out.reason) == (modes.DISENGAGED, "the driver let go: engage again")
    assert car.engage()[0]


@pytest.mark.parametrize(("ticks", "mode"), [(10, modes.ENGAGED), (11, modes.MINIMAL_RISK_STOP)])
def test_a_heartbeat_that_was_ever_seen_must_go_on(ticks, mode):
    car = Car()
    car.drive(1, overriding=False)
    car.engaged()
    car.drive(1, overriding=False)
    out = car.drive(ticks, overriding=None)
    assert out.mode == mode
    if mode == modes.MINIMAL_RISK_STOP:
        assert out.reason == "no heartbeat of the driver override within 0.5 s"


def test_a_heartbeat_can_be_required():
    car = Car(override_required=True)
    car.drive(1)
    assert refused(car, "no heartbeat of the driver override")
    car.override(False)
    assert car.engage()[0]


def test_override_beats_every_mode():
    for bring in (lambda c: None, lambda c: c.engaged(), lambda c: c.emergency(), lambda c: c.engaged().drive(20, planning=False)):
        car = Car()
        car.drive(1)
        bring(car)
        assert car.drive(1, overriding=True).command is None and car.core.mode == modes.DRIVER_OVERRIDE
        assert car.drive(1, overriding=False).mode == modes.DISENGAGED


# Emergency stop.


def test_emergency_stop_brakes_hard_and_latches():
    car = Car(speed=12.0).engaged()
    car.drive(5)
    start_m = car.pose[0]
    assert car.emergency() == (True, "stopping")
    assert car.emergency(False) == (False, "still moving at 12.0 m/s")
    out = car.drive(1)
    assert (out.mode, out.reason) == (modes.EMERGENCY_STOP, "emergency stop requested")
    car.drive(60)
    assert car.speed == 0.0 and car.pose[0] - start_m < 12.0**2 / 12.0 + 12.0 * 0.3
    assert min(o.command.acceleration_mps2 for o in car.outputs) == pytest.approx(-6.0)
    assert refused(car, "not in mode emergency_stop") and car.engage(False) == (False, "stays in emergency_stop")
    assert car.emergency(False) == (True, "reset")
    assert car.drive(1).command is None and car.core.mode == modes.DISENGAGED
    assert car.emergency(False) == (True, "no emergency stop")
    assert car.engage()[0]


def test_emergency_stop_is_not_reset_blindly():
    car = Car(speed=12.0).engaged()
    car.emergency()
    car.drive(100, sensing=False, planning=False)
    done, reason = car.emergency(False)
    assert not done and reason == "whether the vehicle stands is not known: no odometry within 0.3 s"


def test_emergency_stop_of_a_vehicle_that_was_driven_by_hand():
    """It begins from the measured speed, and not along a plan of a road long left, but along new ones."""
    car = Car(speed=10.0, curvature=0.02)
    car.drive(5, curvature=-0.05)
    assert car.emergency()[0]
    out = car.drive(1, planning=False)
    assert out.command.target_speed_mps == pytest.approx(10.0, abs=0.1) and out.command.curvature_1pm == pytest.approx(0.02)
    assert car.drive(20, curvature=-0.02).command.curvature_1pm < 0.0


def test_emergency_stop_without_odometry():
    car = Car()
    assert car.emergency()[0]
    out = car.step()
    assert out.command.target_speed_mps == 0.0 and out.mode == modes.EMERGENCY_STOP


def test_a_plan_marked_as_emergency_brakes_harder_also_once_it_is_stale():
    car = Car(speed=20.0).engaged()
    car.drive(30, acceleration=-8.0, emergency=True)
    assert min(o.command.acceleration_mps2 for o in car.outputs) == pytest.approx(-6.0)
    car = Car(speed=20.0).engaged()
    car.drive(1, acceleration=-8.0, emergency=True)
    car.drive(30, planning=False)
    assert car.core.mode == modes.MINIMAL_RISK_STOP and car.outputs[-1].command.acceleration_mps2 == pytest.approx(-6.0)


# Standing.


def test_standing_it_holds_still():
    """A plan that stays, with noise on its line: no creeping, no steering on the spot."""
    car = Car(speed=0.0).engaged(speed=0.0)
    noise = np.random.default_rng(0).normal(0.0, 0.02, 40)
    commands = [car.drive(1, speed=0.05, curvature=float(n)).command for n in noise]
    assert {c.target_speed_mps for c in commands} == {0.0} and len({c.curvature_1pm for c in commands}) == 1


def test_a_planned_stop_ends_at_standstill():
    car = Car(speed=6.0).engaged()
    for _ in range(200):
        car.sense()
        car.plan(speed=car.speed, acceleration=-1.5)
        car.step()
    assert car.speed == 0.0 and car.core.mode == modes.ENGAGED
    assert all(b.command.target_speed_mps <= a.command.target_speed_mps + 1e-9 for a, b in pairwise(car.outputs))


def test_start_from_standstill():
    car = Car(speed=0.0).engaged(speed=0.0, acceleration=1.5)
    for _ in range(60):
        car.sense()
        car.plan(speed=car.speed, acceleration=1.5)
        car.step()
    assert car.outputs[0].command.target_speed_mps > 0.0 and car.speed > 3.0


# As a whole.


def test_the_same_inputs_give_the_same_bytes():
    hashes = set()
    for _ in range(2):
        car = Car(speed=5.0).engaged()
        car.drive(40, curvature=0.01, acceleration=0.5)
        car.drive(40, planning=False)
        hashes.add(canonical_hash(o.command for o in car.outputs))
    assert len(hashes) == 1


actions = st.one_of(
    st.tuples(st.just("sense"), st.floats(-60.0, 60.0), st.floats(-500.0, 500.0)),
    st.tuples(st.just("plan"), st.floats(0.0, 60.0), st.floats(-1.0, 1.0)),
    st.tuples(st.sampled_from(["engage", "emergency", "override"]), st.booleans(), st.none()),
    st.tuples(st.sampled_from(["run", "freeze", "jump"]), st.integers(1, 15), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(sequence=st.lists(actions, min_size=5, max_size=60))
def test_whatever_happens_commands_stay_inside_and_silence_is_kept(sequence):
    car, limits = Car(speed=8.0).engaged(), VEHICLE.limits
    for kind, value, other in sequence:
        if kind == "sense":
            with np.errstate(all="ignore"):
                car.speed, car.pose = value, car.pose + np.array([other, -other, value])
        elif kind == "plan":
            car.sense()
            with suppress(ContractError):  # what can't be driven is refused
                car.plan(speed=value, curvature=other)
        elif kind in ("engage", "emergency", "override"):
            getattr(car, kind)(value)
        else:
            for _ in range(value):
                if kind == "jump":
                    car.now_ns += 7 * S
                with suppress(ContractError):
                    car.sense()
                car.step(ros_time_runs=kind == "run")
    for before, after in pairwise(car.outputs):
        assert (after.command is None) == (after.mode in (modes.DISENGAGED, modes.DRIVER_OVERRIDE))
        if after.command is None:
            continue
        c = after.command
        assert 0.0 <= c.target_speed_mps <= limits.max_speed_mps and -6.0 <= c.acceleration_mps2 <= 2.0
        assert abs(c.curvature_1pm) * c.target_speed_mps**2 <= 3.0 + 1e-9
        if before.command is not None and before.mode == after.mode == modes.ENGAGED:
            assert abs(c.target_speed_mps - before.command.target_speed_mps) <= 6.0 * TICK_NS / S + 1e-9


def test_parameter_file_equals_the_dataclass():
    path = config_dir() / "nodes" / "vehicle_interface_node.yaml"
    assert parameters_from_file(VehicleInterfaceParameters, str(path), "vehicle_interface_node") == VehicleInterfaceParameters()


@pytest.mark.parametrize("path", sorted((config_dir() / "vehicles").glob("*.yaml")), ids=lambda p: p.stem)
def test_vehicle_files(path):
    vehicle = load_vehicle(path)
    assert vehicle.name == path.stem and vehicle.cameras
