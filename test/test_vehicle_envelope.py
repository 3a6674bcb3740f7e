"""The safety envelope: whatever comes in, in whatever order, nothing outside the limits comes out.

test_vehicle_coverage.py asserts that every line and branch is run, and changes the envelope to see whether the tests of this file notice.
"""

import itertools
import math
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mimic_contracts.errors import ContractError
from mimic_contracts.plan import Command
from mimic_contracts.vehicle import ActuationLimits, load_vehicle
from vehicle_interface.adapters import twist_from_command
from vehicle_interface.envelope import BRAKING_KEPT, SPEED_WINDOW, SPEED_WINDOW_MPS, STEERING_RATE_BELOW_MPS, Actuation, Envelope

LIMITS = load_vehicle("simulator").limits
WHEELBASE_M = 2.8
DT_S = 0.05
TINY = 1e-9

floats = st.floats(allow_nan=True, allow_infinity=True)
numbers = st.one_of(
    floats,
    floats.map(np.float64),
    npst.from_dtype(np.dtype(np.float16)),
    npst.from_dtype(np.dtype(np.float32)),
    st.floats(-1e300, 1e300).map(np.longdouble),
    st.integers(-(10**400), 10**400),
    st.booleans(),
    st.just(Fraction(1, 3)),
)
plausible = st.floats(-40.0, 80.0)
wishes = st.one_of(numbers, st.floats(-10.0, 10.0))
periods = st.one_of(st.floats(1e-3, 1.0), st.sampled_from([0.02, 0.05, 0.1, 1.0]))
inputs = st.fixed_dictionaries(
    {
        "acceleration_mps2": wishes,
        "curvature_1pm": st.one_of(numbers, st.floats(-0.3, 0.3)),
        "measured_speed_mps": st.one_of(st.none(), numbers, plausible),
        "dt_s": periods,
        "is_emergency": st.booleans(),
    }
)
STANDING = {"acceleration_mps2": 0, "curvature_1pm": 1, "measured_speed_mps": 1e-200, "dt_s": 1.0}  # its square is 0
limit_sets = st.builds(
    ActuationLimits,
    max_speed_mps=st.floats(0.1, 70.0),
    max_curvature_1pm=st.floats(1e-3, 5.0),
    max_lateral_acceleration_mps2=st.floats(0.1, 3.0),
    max_lateral_jerk_mps3=st.floats(0.1, 5.0),
    max_steering_rate_radps=st.floats(0.01, 0.5),
    min_acceleration_mps2=st.floats(-3.5, -0.1),
    max_acceleration_mps2=st.floats(0.1, 2.0),
    max_jerk_mps3=st.floats(0.1, 5.0),
    min_emergency_acceleration_mps2=st.floats(-6.0, -3.5),
    max_emergency_jerk_mps3=st.floats(5.0, 15.0),
)


def check_step(limits: ActuationLimits, wheelbase_m: float, before: Actuation, after: Actuation, *, filtered, dt_s: float, is_emergency: bool) -> None:
    """Every limit of METRICS.md, written down a second time and independently of the envelope."""
    a, kappa, v = after.acceleration_mps2, after.curvature_1pm, after.target_speed_mps
    # 1: finite, plain numbers within the vehicle's own limits
    assert all(type(x) is float and math.isfinite(x) for x in (a, kappa, v))
    assert 0.0 <= v <= limits.max_speed_mps and abs(kappa) <= limits.max_curvature_1pm
    # 2: lateral acceleration, at the filtered and at the commanded speed
    assert abs(kappa) * max(filtered, v) ** 2 <= limits.max_lateral_acceleration_mps2 * (1 + TINY)
    # 3: curvature rate, but for what rank 2 takes off
    speed = max(filtered, v)
    is_rank_2 = abs(kappa) * speed**2 >= limits.max_lateral_acceleration_mps2 * (1 - TINY) and abs(kappa) <= abs(before.curvature_1pm)
    if speed >= STEERING_RATE_BELOW_MPS:
        assert abs(kappa - before.curvature_1pm) * speed**2 <= limits.max_lateral_jerk_mps3 * dt_s * (1 + TINY) + TINY or is_rank_2
    else:
        turn = math.atan(kappa * wheelbase_m) - math.atan(before.curvature_1pm * wheelbase_m)
        assert abs(turn) <= limits.max_steering_rate_radps * dt_s + TINY or is_rank_2
    # 4: longitudinal acceleration and jerk; from an emergency it comes back under the emergency's jerk
    was_hard = before.acceleration_mps2 < limits.min_acceleration_mps2
    lowest = limits.min_emergency_acceleration_mps2 if is_emergency or was_hard else limits.min_acceleration_mps2
    assert lowest <= a <= limits.max_acceleration_mps2
    jerk = limits.max_emergency_jerk_mps3 if is_emergency or was_hard else limits.max_jerk_mps3
    is_at_end = v in (0.0, limits.max_speed_mps)
    assert abs(a - before.acceleration_mps2) <= jerk * dt_s + 1e-9 or is_at_end
    # speed and acceleration are the same statement, so that a vehicle that is told only the speed keeps the limits too
    assert math.isclose(v - before.target_speed_mps, a * dt_s, abs_tol=1e-9)


def begin(envelope: Envelope, *, speed_mps, curvature_1pm) -> Actuation:
    """The state that the first step is compared with."""
    envelope.reset(speed_mps=speed_mps, curvature_1pm=curvature_1pm)
    state = vars(envelope)
    return Actuation(acceleration_mps2=0.0, curvature_1pm=state["_curvature_1pm"], target_speed_mps=state["_target_speed_mps"])


@settings(max_examples=400, deadline=None)
@given(limits=limit_sets, wheelbase=st.floats(0.05, 12.0), speed=numbers, curvature=numbers, steps=st.lists(inputs, min_size=1, max_size=30))
@example(
    limits=LIMITS, wheelbase=2.8, speed=1e-200, curvature=0.0, steps=[{"acceleration_mps2": 0, "curvature_1pm": 1, "measured_speed_mps": 1e-200, "dt_s": 1.0}]
)
@example(
    limits=LIMITS,
    wheelbase=2.8,
    speed=20.0,
    curvature=0.0,
    steps=[{"acceleration_mps2": 10**400, "curvature_1pm": -(10**400), "measured_speed_mps": 10**400, "dt_s": 0.05}],
)
def test_no_sequence_leads_outside(limits, wheelbase, speed, curvature, steps):
    envelope = Envelope(limits, wheelbase_m=wheelbase)
    before = begin(envelope, speed_mps=speed, curvature_1pm=curvature)
    filtered = envelope.speed_mps
    for step in steps:
        after = envelope.step(**step)
        change = envelope.speed_mps - filtered
        assert limits.min_emergency_acceleration_mps2 * step["dt_s"] - TINY <= change <= limits.max_acceleration_mps2 * step["dt_s"] + TINY
        filtered = envelope.speed_mps
        check_step(limits, wheelbase, before, after, filtered=filtered, dt_s=step["dt_s"], is_emergency=step.get("is_emergency", False))
        before = after


STRANGE = (math.nan, math.inf, -math.inf, 1e300, -1e300, 10**400, 5e-324, -0.0, np.float16(7.1), np.float32(-0.2), None)


def drawn(rng: np.random.Generator, low: float, high: float):
    """Mostly a number of that range, now and then a strange one, or an end of the range."""
    kind = rng.random()
    return STRANGE[rng.integers(len(STRANGE))] if kind < 0.08 else (low, high)[rng.integers(2)] if kind < 0.16 else rng.uniform(low, high)


def test_no_drawn_sequence_leads_outside_either(envelope_cases):
    """As above, by lot instead of by search: cheaper, so that there can be many (`--envelope-cases 1000000 --timeout 0`)."""
    rng = np.random.default_rng(0)
    defaults = ActuationLimits(max_speed_mps=1.0, max_curvature_1pm=1.0)
    for _ in range(envelope_cases):
        tightened = {f.name: getattr(defaults, f.name) * rng.uniform(0.05, 1.0) for f in fields(ActuationLimits)[2:]}
        for hard, usual in (("min_emergency_acceleration_mps2", "min_acceleration_mps2"), ("max_emergency_jerk_mps3", "max_jerk_mps3")):
            tightened[hard] = max(tightened[hard], tightened[usual], key=abs)
        limits = ActuationLimits(max_speed_mps=rng.uniform(0.1, 70.0), max_curvature_1pm=10.0 ** rng.uniform(-3.0, 0.69), **tightened)
        wheelbase_m, dt_s = 10.0 ** rng.uniform(-1.3, 1.07), (0.02, 0.05, 0.1, 10.0 ** rng.uniform(-3.0, 0.0))[rng.integers(4)]
        envelope = Envelope(limits, wheelbase_m=wheelbase_m)
        before = begin(envelope, speed_mps=drawn(rng, -10.0, 80.0), curvature_1pm=drawn(rng, -0.3, 0.3))
        for _ in range(rng.integers(1, 9)):
            is_emergency = bool(rng.random() < 0.2)
            wish = {"acceleration_mps2": drawn(rng, -10.0, 10.0), "curvature_1pm": drawn(rng, -0.3, 0.3), "measured_speed_mps": drawn(rng, -10.0, 80.0)}
            after = envelope.step(**wish, dt_s=dt_s, is_emergency=is_emergency)
            check_step(limits, wheelbase_m, before, after, filtered=envelope.speed_mps, dt_s=dt_s, is_emergency=is_emergency)
            before = after


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(inputs, min_size=2, max_size=40), speed=st.floats(0.0, 25.0))
def test_consecutive_twists_obey_the_envelope_too(steps, speed):
    """A vehicle that is told speed and yaw rate only: what two messages imply stays within the limits."""
    envelope = Envelope(LIMITS, wheelbase_m=WHEELBASE_M)
    last = begin(envelope, speed_mps=speed, curvature_1pm=0.0).target_speed_mps
    for step in steps:
        out = envelope.step(**step)
        twist = twist_from_command(Command(stamp_ns=0, **vars(out)))
        assert -6.0 - 1e-9 <= (twist.speed_mps - last) / step["dt_s"] <= 2.0 + 1e-9
        assert abs(twist.speed_mps * twist.yaw_rate_radps) <= 3.0 + 1e-9
        assert twist.speed_mps > 0.0 or twist.yaw_rate_radps == 0.0
        if twist.speed_mps > 0.1:
            assert twist.yaw_rate_radps / twist.speed_mps == pytest.approx(out.curvature_1pm)
        last = twist.speed_mps


@given(dt_s=st.one_of(st.floats(max_value=0.0), st.floats(min_value=1.0, exclude_min=True), st.sampled_from([math.nan, math.inf, -math.inf, 10**400])))
@example(dt_s=0.0)
def test_impossible_period(dt_s):
    with pytest.raises(ContractError, match=r"dt_s: is .*, must be within \(0, 1\]"):
        Envelope(LIMITS, wheelbase_m=WHEELBASE_M).step(acceleration_mps2=0.0, curvature_1pm=0.0, measured_speed_mps=0.0, dt_s=dt_s)


@pytest.mark.parametrize("dt_s", [5e-324, 1e-300, 1e-9, 1.0])
def test_extreme_but_possible_period(dt_s):
    out = at(10.0).step(acceleration_mps2=1.0, curvature_1pm=0.01, measured_speed_mps=10.0, dt_s=dt_s)
    assert all(math.isfinite(x) for x in vars(out).values()) and -3.5 <= out.acceleration_mps2 <= 2.0


def at(speed_mps: float, curvature_1pm: float = 0.0, limits: ActuationLimits = LIMITS) -> Envelope:
    envelope = Envelope(limits, wheelbase_m=WHEELBASE_M)
    envelope.reset(speed_mps=speed_mps, curvature_1pm=curvature_1pm)
    return envelope


def settle(envelope: Envelope, *, seconds: float = 3.0, measured: float | None = None, is_emergency: bool = False, **wish: float) -> Actuation:
    """Ask for the same for a while, of a vehicle that does as commanded."""
    for _ in range(round(seconds / DT_S)):
        out = envelope.step(
            acceleration_mps2=wish.get("a", 0.0), curvature_1pm=wish.get("k", 0.0), measured_speed_mps=measured, dt_s=DT_S, is_emergency=is_emergency
        )
    return out


# Just inside and just outside each limit.


@pytest.mark.parametrize(("asked", "got"), [(0.1799, 0.1799), (0.18, 0.18), (0.1801, 0.18), (-0.1799, -0.1799), (-0.1801, -0.18)])
def test_curvature_limit(asked, got):
    assert settle(at(1.0), k=asked).curvature_1pm == pytest.approx(got, abs=1e-12)


@pytest.mark.parametrize(("asked", "got"), [(0.0299, 0.0299), (0.03, 0.03), (0.0301, 0.03), (-0.0299, -0.0299), (-0.0301, -0.03)])
def test_lateral_acceleration_limit(asked, got):
    assert settle(at(10.0), k=asked).curvature_1pm == pytest.approx(got, abs=1e-12)


@pytest.mark.parametrize(("asked", "got"), [(0.00249, 0.00249), (0.00251, 0.0025), (-0.00249, -0.00249), (-0.00251, -0.0025)])
def test_curvature_rate_limit_from_lateral_jerk(asked, got):
    assert settle(at(10.0), seconds=DT_S, k=asked).curvature_1pm == pytest.approx(got, abs=1e-12)


@pytest.mark.parametrize(("angle", "got"), [(0.0249, 0.0249), (0.0251, 0.025), (-0.0249, -0.0249), (-0.0251, -0.025)])
@pytest.mark.parametrize("speed", [0.0, 2.0, 4.99])
def test_steering_rate_limit_below_5_mps(angle, got, speed):
    out = settle(at(speed), seconds=DT_S, k=math.tan(angle) / WHEELBASE_M)
    assert math.atan(out.curvature_1pm * WHEELBASE_M) == pytest.approx(got, abs=1e-12)


def test_steering_rate_is_replaced_by_lateral_jerk_at_5_mps():
    assert settle(at(4.999), seconds=DT_S, k=1.0).curvature_1pm == pytest.approx(math.tan(0.025) / WHEELBASE_M)
    assert settle(at(5.0), seconds=DT_S, k=1.0).curvature_1pm == pytest.approx(5.0 / 25.0 * DT_S)


def test_steering_rate_with_wheels_far_over():
    """Towards a right angle the curvature runs away; the bound in the wheels' angle holds all the same."""
    wide = ActuationLimits(max_speed_mps=5.0, max_curvature_1pm=5.0)
    envelope = Envelope(wide, wheelbase_m=12.0)
    out = settle(envelope, seconds=8.0, k=1e9)
    assert out.curvature_1pm == 5.0
    back = settle(envelope, seconds=DT_S, k=-1e9)
    assert math.atan(back.curvature_1pm * 12.0) == pytest.approx(math.atan(60.0) - 0.025)


@pytest.mark.parametrize(("asked", "got"), [(1.99, 1.99), (2.01, 2.0), (-3.49, -3.49), (-3.51, -3.5), (-6.5, -3.5)])
def test_longitudinal_limits(asked, got):
    assert settle(at(12.0), seconds=1.0, a=asked).acceleration_mps2 == pytest.approx(got, abs=1e-9)


@pytest.mark.parametrize(("asked", "got"), [(-5.99, -5.99), (-6.01, -6.0), (1.99, 1.99), (2.01, 2.0)])
def test_longitudinal_limits_in_an_emergency(asked, got):
    assert settle(at(12.0), seconds=1.0, a=asked, is_emergency=True).acceleration_mps2 == pytest.approx(got, abs=1e-9)


@pytest.mark.parametrize(("asked", "got"), [(0.24, 0.24), (0.26, 0.25), (-0.24, -0.24), (-0.26, -0.25)])
def test_jerk_limit(asked, got):
    assert settle(at(10.0), seconds=DT_S, a=asked).acceleration_mps2 == pytest.approx(got, abs=1e-9)


@pytest.mark.parametrize(("asked", "got"), [(-0.74, -0.74), (-0.76, -0.75), (0.74, 0.74), (0.76, 0.75)])
def test_jerk_limit_in_an_emergency(asked, got):
    assert settle(at(10.0), seconds=DT_S, a=asked, is_emergency=True).acceleration_mps2 == pytest.approx(got, abs=1e-9)


def test_after_an_emergency_the_acceleration_comes_back_under_its_jerk():
    envelope = at(20.0)
    assert settle(envelope, seconds=1.0, a=-6.0, is_emergency=True).acceleration_mps2 == pytest.approx(-6.0)
    back = [settle(envelope, seconds=DT_S, a=0.0).acceleration_mps2 for _ in range(5)]
    assert back == pytest.approx([-5.25, -4.5, -3.75, -3.0, -2.75])


def test_speed_ends_at_standstill_and_at_the_maximum():
    stopped = settle(at(2.0), a=-3.0)
    assert stopped == Actuation(acceleration_mps2=0.0, curvature_1pm=0.0, target_speed_mps=0.0)
    fastest = settle(at(24.0), a=2.0)
    assert (fastest.acceleration_mps2, fastest.target_speed_mps) == (0.0, 25.0)
    assert at(99.0).speed_mps == 25.0 and at(-3.0).speed_mps == 0.0 and at(math.nan).speed_mps == 0.0


def test_a_new_envelope_stands_with_straight_wheels():
    out = Envelope(LIMITS, wheelbase_m=WHEELBASE_M).step(acceleration_mps2=0.0, curvature_1pm=math.nan, measured_speed_mps=None, dt_s=DT_S)
    assert out == Actuation(acceleration_mps2=0.0, curvature_1pm=0.0, target_speed_mps=0.0)
    assert at(1.0, math.nan).step(acceleration_mps2=0.0, curvature_1pm=math.nan, measured_speed_mps=1.0, dt_s=DT_S).curvature_1pm == 0.0


def test_the_documented_window():
    assert (SPEED_WINDOW_MPS, BRAKING_KEPT) == (1.5, 0.5)


def test_start_from_standstill_commands_a_speed_at_once():
    assert settle(at(0.0), seconds=DT_S, a=1.0, measured=0.0).target_speed_mps == pytest.approx(5.0 * DT_S * DT_S)


# The speed that limits depend on.


@pytest.mark.parametrize("jump", [1000.0, 0.0, -1000.0, math.nan, math.inf, -math.inf, None])
def test_an_odometry_jump_does_not_move_the_limits(jump):
    envelope = at(10.0)
    settle(envelope, measured=10.0)
    envelope.step(acceleration_mps2=0.0, curvature_1pm=0.0, measured_speed_mps=jump, dt_s=DT_S)
    assert 10.0 - 6.0 * DT_S - TINY <= envelope.speed_mps <= 10.0 + 2.0 * DT_S + TINY


def test_filtered_speed_follows_exactly_within_what_the_vehicle_can_do():
    for measured, filtered in [(10.09, 10.09), (10.11, 10.1), (9.71, 9.71), (9.69, 9.7)]:
        envelope = at(10.0)
        envelope.step(acceleration_mps2=0.0, curvature_1pm=0.0, measured_speed_mps=measured, dt_s=DT_S)
        assert envelope.speed_mps == pytest.approx(filtered, abs=1e-12)


def test_without_odometry_the_speed_goes_on_as_commanded():
    envelope = at(10.0)
    out = settle(envelope, seconds=2.0, a=-2.0)
    assert envelope.speed_mps == pytest.approx(out.target_speed_mps, abs=0.2)


def test_a_coarse_float_does_not_rub_off_on_the_state():
    envelope = at(10.0)
    envelope.step(acceleration_mps2=np.float16(0.1), curvature_1pm=np.float32(0.01), measured_speed_mps=np.float16(10.01), dt_s=np.float32(0.05))
    assert type(envelope.speed_mps) is float


def test_a_stuck_high_speed_neither_accelerates_nor_keeps_the_vehicle_from_stopping():
    envelope = at(10.0)
    speeds = [settle(envelope, seconds=DT_S, a=-3.0, measured=25.0).target_speed_mps for _ in range(200)]
    assert all(b <= a for a, b in itertools.pairwise(speeds)) and speeds[-1] == 0.0
    envelope = at(10.0)
    assert settle(envelope, seconds=5.0, a=0.0, measured=25.0).target_speed_mps == 10.0


def test_a_vehicle_that_does_not_brake_as_told_is_not_left_far_behind():
    """The commanded speed may fall ahead of the vehicle's by the window; beyond it only BRAKING_KEPT of the wish goes on."""
    envelope = at(20.0)
    rates = [settle(envelope, seconds=DT_S, a=-3.0, measured=20.0).acceleration_mps2 for _ in range(40)]
    assert min(rates) < -1.5 * BRAKING_KEPT * 3.0 / 1.5 and rates[-1] == pytest.approx(BRAKING_KEPT * -3.0)


def test_a_vehicle_that_does_not_follow_is_not_left_with_a_high_speed():
    """Stuck at a kerb: when it comes free, no high speed is waiting."""
    envelope = at(0.0)
    speeds = [settle(envelope, seconds=DT_S, a=2.0, measured=0.0).target_speed_mps for _ in range(200)]
    assert max(speeds) < SPEED_WINDOW_MPS + 1.0 and abs(speeds[-1] - SPEED_WINDOW_MPS) < 0.5


# Rank: the higher one wins.


def test_rank_2_over_rank_3_when_the_speed_grows():
    """Lateral acceleration takes curvature away faster than the lateral jerk alone would let it."""
    envelope = at(10.0, 0.03)
    out = envelope.step(acceleration_mps2=2.0, curvature_1pm=0.03, measured_speed_mps=99.0, dt_s=1.0)
    assert out.curvature_1pm == pytest.approx(3.0 / 12.0**2)
    assert abs(out.curvature_1pm - 0.03) * 12.0**2 > 1.2


def test_rank_1_over_rank_4_at_standstill():
    envelope = at(0.1)
    settle(envelope, seconds=DT_S, a=-3.0, measured=0.1)
    out = settle(envelope, seconds=1.0, a=-3.0, measured=0.0)
    assert out.acceleration_mps2 == 0.0 and out.target_speed_mps == 0.0


def test_an_impossible_wish_brakes_and_keeps_the_curvature():
    envelope = at(10.0, 0.01)
    settle(envelope, k=0.01)
    out = settle(envelope, seconds=1.0, a=math.nan, k=math.nan)
    assert (out.acceleration_mps2, out.curvature_1pm) == (pytest.approx(-3.5), 0.01)


# Which limit bites.


@pytest.mark.parametrize(
    ("speed", "seconds", "wish", "biting"),
    [
        (10.0, 2.0, {"a": 0.5, "k": 0.01}, ()),
        (10.0, 1.0, {"a": 2.01}, ("max_acceleration_mps2",)),
        (20.0, 1.0, {"a": -3.51}, ("min_acceleration_mps2",)),
        (30.0, 1.0, {"a": -6.01, "is_emergency": True}, ("min_emergency_acceleration_mps2",)),
        (10.0, DT_S, {"a": 9.0}, ("max_jerk_mps3",)),
        (10.0, DT_S, {"a": -9.0}, ("max_jerk_mps3",)),
        (10.0, DT_S, {"a": -9.0, "is_emergency": True}, ("max_emergency_jerk_mps3",)),
        (25.0, 1.0, {"a": 0.1}, ("max_speed_mps",)),
        (2.0, 3.0, {"a": -3.0}, ()),  # standstill is the end of braking, not a limit
        (0.0, 6.0, {"a": 1.0, "measured": 0.0}, ("speed_window",)),
        (20.0, 3.0, {"a": -3.0, "measured": 20.0}, ("speed_window",)),
        (1.0, 3.0, {"k": 0.19}, ("max_curvature_1pm",)),
        (1.0, 3.0, {"k": -0.19}, ("max_curvature_1pm",)),
        (10.0, 3.0, {"k": 0.04}, ("max_lateral_acceleration_mps2",)),
        (10.0, DT_S, {"k": -0.04}, ("max_lateral_jerk_mps3",)),
        (4.0, DT_S, {"k": 0.1}, ("max_steering_rate_radps",)),
        (10.0, DT_S, {"a": 9.0, "k": 0.04}, ("max_jerk_mps3", "max_lateral_jerk_mps3")),
    ],
)
def test_the_limit_that_decides_is_named(speed, seconds, wish, biting):
    envelope = at(speed)
    settle(envelope, seconds=seconds, **wish)
    assert envelope.biting == biting
    assert set(biting) <= {f.name for f in fields(ActuationLimits)} | {SPEED_WINDOW}
    envelope.reset(speed_mps=speed, curvature_1pm=0.0)
    assert envelope.biting == ()


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(inputs, min_size=1, max_size=20), speed=st.floats(0.0, 25.0))
def test_what_is_not_as_asked_has_a_limit_that_says_so(steps, speed):
    across = {"max_curvature_1pm", "max_lateral_acceleration_mps2", "max_lateral_jerk_mps3", "max_steering_rate_radps"}
    envelope = at(speed)
    for step in steps:
        before = vars(envelope)["_target_speed_mps"]
        out = envelope.step(**step)
        biting = set(envelope.biting)
        for name, named in (("acceleration_mps2", biting - across), ("curvature_1pm", biting & across)):
            try:
                asked, got = float(step[name]), getattr(out, name)
            except OverflowError:
                continue
            is_standing = name == "acceleration_mps2" and out.target_speed_mps == 0.0
            if math.isfinite(asked) and not is_standing and abs(got - asked) > 1e-6 * max(1.0, abs(before) / step["dt_s"]):
                assert len(named) == 1, (name, asked, got)


# Limits in the vehicle file.


@pytest.mark.parametrize("name", [f.name for f in fields(ActuationLimits) if isinstance(f.default, float)])
def test_a_vehicle_file_tightens_limits_but_never_loosens_them(name):
    default = getattr(LIMITS, name)
    others = {"max_speed_mps": 20.0, "max_curvature_1pm": 0.2, "min_acceleration_mps2": -1.0, "max_jerk_mps3": 1.0}  # an emergency's are no weaker
    assert getattr(ActuationLimits(**(others | {name: default * 0.5})), name) == default * 0.5
    for bad in (default * 1.001, -default, 0.0, math.nan, math.inf):
        with pytest.raises(ContractError, match=f"limits.{name}"):
            ActuationLimits(**(others | {name: bad}))


def test_the_defaults_are_those_of_the_metrics():
    limits = ActuationLimits(max_speed_mps=20.0, max_curvature_1pm=0.2)
    assert (limits.max_lateral_acceleration_mps2, limits.max_lateral_jerk_mps3) == (3.0, 5.0)
    assert (limits.min_acceleration_mps2, limits.max_acceleration_mps2, limits.max_jerk_mps3) == (-3.5, 2.0, 5.0)
    assert (limits.min_emergency_acceleration_mps2, limits.max_emergency_jerk_mps3) == (-6.0, 15.0)
