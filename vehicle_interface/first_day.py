"""The first day of a vehicle: small motions through the vehicle interface, step by step, before anything else drives it.

Each step trusts those before it, so the first that fails is the last. Speed comes before steering, because a standing
vehicle's wheels are held. What moves the vehicle are an operator's plans, as a joystick's; the safety envelope is in between, with
the limits of `gentle_limits`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from mimic_contracts.errors import MimicError
from mimic_contracts.vehicle import ActuationLimits, VehicleSpec
from vehicle_interface import first_day_figures as judge
from vehicle_interface import modes
from vehicle_interface.first_day_figures import Connections, Heard, Measured
from vehicle_interface.kinematics import curvature_of_road_wheel, road_wheel_angle
from vehicle_interface.plan_tracker import STANDSTILL_MPS
from vehicle_interface.teleop import Sticks

SPEED_MPS, CREEP_MPS, ACCELERATION_MPS2 = 1.0, 0.5, 1.0  # walking pace; creeping while it is steered
WHEEL_RAD, WHEEL_SHARE, STEERING_RATE_RADPS = 0.1, 0.5, 0.3  # at most this share of the full lock; clearly seen, and no bend to speak of
RUNAWAY, RUNAWAY_MPS, BACK_MPS = 1.5, 0.2, -0.3  # times the speed, and m/s more, at which it is stopped; the same backwards
WATCH_S, SETTLE_S, REACH_S, TURN_S, MEAN_S = 2.0, 0.3, 2.5, 1.5, 1.0
MODE_WITHIN_S, PERSON_WITHIN_S = 1.0, 20.0
STOP_WITHIN_S, EMERGENCY_WITHIN_S, OWN_STOP_WITHIN_S = 4.0, 3.0, 5.0


class Bench(Protocol):
    """A vehicle, the vehicle interface before it, and somebody who listens to both."""

    heard: Heard

    @property
    def now_s(self) -> float:
        """On the steady clock, as arrivals are."""

    def tick(self, sticks: Sticks | None) -> None:
        """Give the vehicle interface a plan for these sticks, or none, and listen for a moment."""

    def engage(self, on: bool) -> tuple[bool, str]:
        """Ask the vehicle interface: whether it did, and why not."""

    def emergency_stop(self, on: bool) -> tuple[bool, str]:
        """Ask the vehicle interface: whether it did, and why not."""

    def set_active(self, on: bool) -> None:
        """Let the vehicle interface work, or fall silent as when it dies."""

    def connections(self) -> Connections:
        """Of the command topic."""


class Stopped(MimicError):
    """A motion that was ended because it was not as expected."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """explanation: what must be so, or what comes and what to look at; question: what the person shall have seen, to be answered with
    yes; empty: nothing is done, the explanation is to be confirmed."""

    name: str
    explanation: str
    question: str


MOTIONS = (
    Step(
        name="topics",
        explanation="It listens for 2 s to what the vehicle says of itself; the vehicle stands.",
        question="Are these the topics of this vehicle, and of no other?",
    ),
    Step(
        name="silence",
        explanation="Disengaged nothing is sent to the vehicle, although there are plans to drive: watch for 2 s that nothing moves.",
        question="Did everything stand still, the steering wheel too?",
    ),
    Step(
        name="override",
        explanation=f"It engages and tells the vehicle to stand; then press the brake or turn the steering wheel within {PERSON_WITHIN_S:.0f} s, and let go.",
        question="Did you act, and did the vehicle take it from you without resistance?",
    ),
    Step(
        name="speed",
        explanation=f"It engages and drives straight on at {SPEED_MPS} m/s for 4 s: watch which way the wheels turn; the brake is yours.",
        question="Did it go forward, gently, and stop?",
    ),
    Step(
        name="steering",
        explanation=f"It creeps at {CREEP_MPS} m/s and steers a little to the left, then a little to the right: watch the front wheels.",
        question="Did the wheels turn to the left first, then to the right?",
    ),
    Step(
        name="stop",
        explanation="It drives straight on twice: the first time plans cease, and it stops; the second time the emergency stop is called.",
        question="Did it stop both times, the second time harder?",
    ),
    Step(
        name="own_brakes",
        explanation="It drives straight on, and the vehicle interface falls silent as when this computer dies: be ready to brake if the vehicle does not.",
        question="Did the vehicle brake to standstill by itself?",
    ),
)
PLACES = {
    False: "The driven and the steered wheels are off the ground, on stands that hold, untouched; a person at the brake, the emergency-off at hand.",
    True: "It stands on flat, empty ground, 40 m free ahead and 10 m to each side; a person in it at the brake, the emergency-off at hand.",
}


def steps_of(vehicle: VehicleSpec, *, on_ground: bool) -> tuple[Step, ...]:
    """The steps of this vehicle; where nobody sits in it there is no override to be tested."""
    place = Step(name="place", explanation=PLACES[on_ground], question="")
    return (place, *(step for step in MOTIONS if step.name != "override" or vehicle.driver_override_required))


def gentle_limits(vehicle: VehicleSpec) -> ActuationLimits:
    """The vehicle's limits, tightened to what the steps need; braking stays as it is."""
    limits = vehicle.limits
    wheel_rad = min(WHEEL_RAD, WHEEL_SHARE * road_wheel_angle(limits.max_curvature_1pm, wheelbase_m=vehicle.wheelbase_m))
    return replace(
        limits,
        max_speed_mps=min(limits.max_speed_mps, SPEED_MPS),
        max_curvature_1pm=curvature_of_road_wheel(wheel_rad, wheelbase_m=vehicle.wheelbase_m),
        max_acceleration_mps2=min(limits.max_acceleration_mps2, ACCELERATION_MPS2),
        max_steering_rate_radps=min(limits.max_steering_rate_radps, STEERING_RATE_RADPS),
    )


class FirstDay:
    """The steps, on a bench whose vehicle interface has `gentle_limits`; vehicle: as its file says."""

    def __init__(self, bench: Bench, vehicle: VehicleSpec, *, on_ground: bool) -> None:
        self._bench, self._heard, self._vehicle, self._on_ground = bench, bench.heard, vehicle, on_ground
        self._may_drive = False
        self._speed_mps = gentle_limits(vehicle).max_speed_mps
        self._creep_mps = self._speed_mps * CREEP_MPS / SPEED_MPS

    def perform(self, step: Step) -> Measured:
        """Do what a step says; afterwards the vehicle stands and is disengaged, or the findings say that it is not."""
        work: Mapping[str, Callable[[], Measured]] = {
            "topics": self._topics,
            "silence": self._silence,
            "override": self._override,
            "speed": self._speed,
            "steering": self._steering,
            "stop": self._stop,
            "own_brakes": self._own_brakes,
        }
        self._heard.forget()
        try:
            measured = work[step.name]()
        except Stopped as stopped:
            measured = Measured(findings=(str(stopped),))
        left = self.make_safe()
        return replace(measured, findings=(*measured.findings, left)) if left else measured

    def make_safe(self) -> str:
        """Brake what may drive to standstill, then disengage; why that was not possible, else empty."""
        if not self._may_drive:
            return ""
        self._wait(lambda: self._heard.mode in modes.COMMANDING, SETTLE_S)  # the answer to an engagement may be on its way
        if self._heard.mode in modes.COMMANDING or not self._stands():
            self._bench.emergency_stop(True)
            self._wait(self._stands, EMERGENCY_WITHIN_S)
            done, why = self._bench.emergency_stop(False)
            if not done:
                return f"the emergency stop cannot be reset: {why}"
        self._may_drive = False
        return ""

    # The steps

    def _topics(self) -> Measured:
        start_s = self._bench.now_s
        self._listen(WATCH_S)
        return judge.topics(self._heard, self._bench.connections(), self._vehicle, start_s=start_s, end_s=self._bench.now_s)

    def _silence(self) -> Measured:
        self._listen(WATCH_S, self._sticks(self._speed_mps))
        return judge.silence(self._heard)

    def _override(self) -> Measured:
        self._engage()
        start_s = self._bench.now_s
        self._wait(lambda: any(event.value for event in self._heard.overrides), PERSON_WITHIN_S, self._sticks(0.0))
        self._listen(judge.OVERRIDE_WITHIN_S + SETTLE_S, self._sticks(0.0))
        self._wait(lambda: not self._heard.overrides or not self._heard.overrides[-1].value, PERSON_WITHIN_S)
        self._wait(lambda: self._heard.mode == modes.DISENGAGED, MODE_WITHIN_S)
        return judge.override(self._heard, start_s=start_s, end_s=self._bench.now_s)

    def _speed(self) -> Measured:
        self._engage()
        self._drive(self._speed_mps, 0.0, REACH_S)
        self._heard.forget()
        self._drive(self._speed_mps, 0.0, MEAN_S)
        measured = judge.speed(self._heard, wanted_mps=self._speed_mps)
        self._come_to_rest()
        return measured

    def _steering(self) -> Measured:
        self._engage()
        turns = []
        for side, reach_s in ((1.0, REACH_S), (-1.0, TURN_S)):
            self._drive(self._creep_mps, side, reach_s)
            self._heard.forget()
            self._drive(self._creep_mps, side, MEAN_S)
            turns.append(judge.turn(self._heard, self._vehicle, on_ground=self._on_ground))
        self._come_to_rest()
        return judge.steering(turns[0], turns[1], self._vehicle)

    def _stop(self) -> Measured:
        figures: dict[str, float | None] = {}
        for name, mode, within_s in (("stop_s", modes.MINIMAL_RISK_STOP, STOP_WITHIN_S), ("emergency_stop_s", modes.EMERGENCY_STOP, EMERGENCY_WITHIN_S)):
            self._engage()
            self._drive(self._speed_mps, 0.0, REACH_S)
            start_s = self._bench.now_s
            if mode == modes.EMERGENCY_STOP:
                self._bench.emergency_stop(True)
            self._wait(lambda mode=mode: self._heard.mode == mode and self._stands(), within_s)  # type: ignore[misc]
            figures[name] = self._bench.now_s - start_s
            if self._heard.mode != mode or not self._stands():
                return Measured(figures, (f"after {within_s} s the mode is {self._heard.mode}, must be {mode}, and the speed {self._heard.speed_mps:.2f} m/s",))
            self._leave(mode)
        return Measured(figures)

    def _leave(self, mode: str) -> None:
        """A stop is over; an emergency stop must first have refused to be engaged."""
        if mode == modes.EMERGENCY_STOP:
            self._listen(SETTLE_S, self._sticks(0.0))
            if self._bench.engage(True)[0]:
                raise Stopped("it could be engaged in an emergency stop")
            done, why = self._bench.emergency_stop(False)
        else:
            done, why = self._bench.engage(False)
        if not done:
            raise Stopped(f"{mode} cannot be left: {why}")
        self._await_mode(modes.DISENGAGED)

    def _own_brakes(self) -> Measured:
        self._engage()
        self._drive(self._speed_mps, 0.0, REACH_S)
        self._bench.set_active(False)
        silent_from_s, slower_mps = self._bench.now_s, self._heard.speed_mps - judge.SLOWER_MPS
        try:
            self._wait(lambda: self._heard.speed_mps < slower_mps, self._vehicle.command_timeout_s + judge.NOTICING_S)
            if self._heard.speed_mps < slower_mps:
                self._wait(self._stands, OWN_STOP_WITHIN_S)
        finally:
            self._bench.set_active(True)
        return judge.own_brakes(self._heard, self._vehicle, silent_from_s=silent_from_s)

    # What they are made of

    def _sticks(self, speed_mps: float, steering: float = 0.0) -> Sticks:
        return Sticks(speed_mps / self._speed_mps, steering, is_held=True, engages=False, is_emergency=False)

    def _stands(self) -> bool:
        return abs(self._heard.speed_mps) <= STANDSTILL_MPS

    def _listen(self, seconds: float, sticks: Sticks | None = None) -> None:
        self._wait(lambda: False, seconds, sticks)

    def _wait(self, condition: Callable[[], bool], at_most_s: float, sticks: Sticks | None = None) -> None:
        until_s = self._bench.now_s + at_most_s
        while not condition() and self._bench.now_s < until_s:
            self._bench.tick(sticks)

    def _await_mode(self, mode: str, sticks: Sticks | None = None) -> None:
        self._wait(lambda: self._heard.mode == mode, MODE_WITHIN_S, sticks)
        if self._heard.mode != mode:
            raise Stopped(f"the mode is {self._heard.mode}, should be {mode} now: {self._heard.reason}")

    def _engage(self) -> None:
        self._listen(SETTLE_S, self._sticks(0.0))
        self._may_drive = True
        done, why = self._bench.engage(True)
        if not done:
            raise Stopped(f"the vehicle interface refuses to engage: {why}")
        self._await_mode(modes.ENGAGED, self._sticks(0.0))

    def _drive(self, speed_mps: float, steering: float, seconds: float) -> None:
        """Drive so for a while; raises Stopped when the vehicle does otherwise."""
        until_s, sticks = self._bench.now_s + seconds, self._sticks(speed_mps, steering)
        while self._bench.now_s < until_s:
            self._bench.tick(sticks)
            measured_mps = self._heard.speed_mps
            if measured_mps > RUNAWAY * self._speed_mps + RUNAWAY_MPS:
                raise Stopped(f"it goes {measured_mps:.2f} m/s, and was told {speed_mps} m/s at most: metres per second everywhere?")
            if measured_mps < BACK_MPS:
                raise Stopped(
                    f"the odometry says {measured_mps:.2f} m/s: it goes backwards, or the odometry's sign is wrong: "
                    "forward is positive in the command and in the odometry (REP-103)"
                )
            if self._heard.mode != modes.ENGAGED:
                self._listen(SETTLE_S)  # the reason comes after the mode
                raise Stopped(f"the mode became {self._heard.mode}: {self._heard.reason}")

    def _come_to_rest(self) -> None:
        self._wait(self._stands, STOP_WITHIN_S, self._sticks(0.0))
        if not self._stands():
            raise Stopped(f"it does not come to rest: {self._heard.speed_mps:.2f} m/s after {STOP_WITHIN_S} s")
        self._bench.engage(False)
        self._await_mode(modes.DISENGAGED)
