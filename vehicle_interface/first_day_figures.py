"""What the first-day procedure hears of a vehicle, the figures that it makes of it, and what is wrong with them.

Signs as everywhere: speed forward positive, wheel and yaw rate to the left positive. Arrivals are on the steady clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mimic_contracts.vehicle import VehicleSpec
from vehicle_interface import modes
from vehicle_interface.kinematics import road_wheel_angle
from vehicle_interface.plan_tracker import STANDSTILL_MPS
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

TIMEOUTS = VehicleInterfaceParameters()
SCALE_TOLERANCE = 0.15  # of a factor, which should be 1
OFFSET_TOLERANCE_RAD = 0.02  # of the wheels, which should be told and measured the same: half a lane's width after 15 s at walking pace
NO_ANSWER = 0.2  # a factor below this: what was told was not done at all
OVERRIDE_WITHIN_S = 0.2  # from the driver's act, as told by the vehicle, to silence
SLOWER_MPS = 0.1  # than at the last command: the brakes are on
LATE_S = 0.1  # how much later than the vehicle interface's falling silent its last command may arrive
NOTICING_S = 0.3  # beyond command_timeout_s: what odometry and the brakes need to show it
YAW_FROM_MPS = 0.1  # below, a yaw rate says nothing of the wheels


class Odometry(NamedTuple):
    """age_s: of the stamp, on the vehicle's clock, when it arrived."""

    arrival_s: float
    stamp_s: float
    age_s: float
    speed_mps: float
    yaw_rate_radps: float


class Wheel(NamedTuple):
    """Angle of the (virtual, middle) front wheel, by the steering wheel's sensor."""

    arrival_s: float
    angle_rad: float


class Told(NamedTuple):
    """A command; None: it does not say."""

    arrival_s: float
    speed_mps: float | None
    wheel_rad: float | None


class Event(NamedTuple):
    """A mode, or whether the driver overrides."""

    arrival_s: float
    value: str | bool


@dataclass
class Heard:
    """Everything since the last `forget`, in the order of arrival; the vehicle interface's mode, with the reason that it gives, and the
    speed as last measured."""

    odometry: list[Odometry] = field(default_factory=list)
    wheels: list[Wheel] = field(default_factory=list)
    commands: list[Told] = field(default_factory=list)
    overrides: list[Event] = field(default_factory=list)
    modes: list[Event] = field(default_factory=list)
    mode: str = ""
    reason: str = ""
    speed_mps: float = 0.0

    def forget(self) -> None:
        """Begin anew; how things stand now is kept."""
        for rows in (self.odometry, self.wheels, self.commands, self.overrides, self.modes):
            rows.clear()

    def note_odometry(self, row: Odometry) -> None:
        """It arrived."""
        self.odometry.append(row)
        self.speed_mps = row.speed_mps

    def note_mode(self, mode: str, *, arrival_s: float) -> None:
        """It changed."""
        self.modes.append(Event(arrival_s, mode))
        self.mode = mode


@dataclass(frozen=True, kw_only=True)
class Connections:
    """Who else speaks where only the vehicle interface may, by node names, and how many listen to the commands."""

    command_subscriptions: int
    other_publishers: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """Of a step: figures (None: not to be had), and what is wrong with them; no findings: as it should be."""

    figures: Mapping[str, float | None] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


def topics(heard: Heard, connections: Connections, vehicle: VehicleSpec, *, start_s: float, end_s: float) -> Measured:
    """Whether what the vehicle says arrives often enough and is stamped now, and its ears and mouths are ours alone."""
    names, findings = vehicle.topics, []
    figures: dict[str, float | None] = {}
    streams = [("odometry", heard.odometry, names.odometry, TIMEOUTS.odometry_timeout_s)]
    if vehicle.driver_override_required:
        streams.append(("override", heard.overrides, names.driver_override, TIMEOUTS.override_timeout_s))  # type: ignore[arg-type]
    for name, rows, topic, timeout_s in streams:
        rate_hz, gap_s = rate(rows, start_s=start_s, end_s=end_s)
        figures |= {f"{name}_hz": rate_hz, f"{name}_longest_gap_s": gap_s}
        if not rows:
            findings.append(f"{topic}: nothing arrives: does the vehicle publish it, and is topics.{'driver_override' if name == 'override' else name} right?")
        elif gap_s > timeout_s:
            findings.append(f"{topic}: nothing arrived for {gap_s:.2f} s, at most {timeout_s} s are allowed: publish it at 10 Hz or more")
    figures["steering_hz"] = rate(heard.wheels, start_s=start_s, end_s=end_s)[0]
    if heard.odometry:
        figures["odometry_age_s"] = age_s = float(np.median([row.age_s for row in heard.odometry]))
        if abs(age_s) > TIMEOUTS.odometry_timeout_s:
            findings.append(
                f"{names.odometry}: its stamps are {age_s:.2f} s old, at most {TIMEOUTS.odometry_timeout_s} s are allowed: synchronise the clocks "
                "(chrony, PTP), and stamp with the time of the measurement"
            )
        if (np.diff([row.stamp_s for row in heard.odometry]) <= 0.0).any():
            findings.append(f"{names.odometry}: its stamps do not increase: does one node alone publish it?")
    if not connections.command_subscriptions:
        findings.append(f"{names.command}: nobody listens: is the vehicle's driver up, and do topics.command and adapter '{vehicle.adapter}' fit it?")
    findings += [f"{names.command}: {node} publishes it, too: end it; only the vehicle interface may" for node in connections.other_publishers]
    return Measured(figures, tuple(findings))


def rate(rows: Sequence[tuple], *, start_s: float, end_s: float) -> tuple[float, float]:  # type: ignore[type-arg]
    """Hz, and the longest time in which nothing arrived, s."""
    times_s = [start_s, *(row[0] for row in rows), end_s]
    return len(rows) / (end_s - start_s), float(np.diff(times_s).max())


def silence(heard: Heard) -> Measured:
    """Whether disengaged nothing is published, and nothing moves."""
    speed_mps = max((abs(row.speed_mps) for row in heard.odometry), default=0.0)
    figures = {"commands": float(len(heard.commands)), "highest_speed_mps": speed_mps}
    findings = []
    if heard.commands:
        findings.append(f"{len(heard.commands)} commands were published while disengaged: by whom?")
    if speed_mps > STANDSTILL_MPS:
        findings.append(f"the odometry says {speed_mps:.2f} m/s: the vehicle must stand, and an odometry of a standing vehicle must say so")
    return Measured(figures, tuple(findings))


def override(heard: Heard, *, start_s: float, end_s: float) -> Measured:
    """Whether the driver's act silenced the commands, ended the engagement, and had a heartbeat throughout."""
    rate_hz, gap_s = rate(heard.overrides, start_s=start_s, end_s=end_s)
    figures: dict[str, float | None] = {"override_hz": rate_hz, "override_longest_gap_s": gap_s, "silent_after_s": None}
    acted_s = next((event.arrival_s for event in heard.overrides if event.value), None)
    if acted_s is None:
        return Measured(figures, ("the driver's act was not seen: press the brake, or turn the wheel, until the vehicle tells it",))
    findings = []
    later = [row.arrival_s for row in heard.commands if row.arrival_s > acted_s]
    figures["silent_after_s"] = silent_s = max(later, default=acted_s) - acted_s
    if silent_s > OVERRIDE_WITHIN_S:
        findings.append(f"commands went on for {silent_s:.2f} s, must cease within {OVERRIDE_WITHIN_S} s")
    if modes.DRIVER_OVERRIDE not in [event.value for event in heard.modes]:
        findings.append(f"the vehicle interface did not say mode {modes.DRIVER_OVERRIDE}; it is {heard.mode}")
    if gap_s > TIMEOUTS.override_timeout_s:
        findings.append(f"the override's heartbeat paused for {gap_s:.2f} s, at most {TIMEOUTS.override_timeout_s} s are allowed")
    if heard.overrides[-1].value or heard.mode != modes.DISENGAGED:
        findings.append(f"after letting go it should be {modes.DISENGAGED}, and is {heard.mode}")
    return Measured(figures, tuple(findings))


def speed(heard: Heard, *, wanted_mps: float) -> Measured:
    """Sign and scale of a steady speed; what was told counts, where commands say a speed, else what was wanted."""
    told_mps = _mean([row.speed_mps for row in heard.commands])
    measured_mps = _mean([row.speed_mps for row in heard.odometry])
    told_mps = wanted_mps if told_mps is None else told_mps
    factor = None if measured_mps is None else measured_mps / told_mps
    figures = {"told_mps": told_mps, "measured_mps": measured_mps, "speed_factor": factor}
    if factor is None:
        finding = "no odometry came"
    elif factor < -NO_ANSWER:
        finding = "it goes backwards, or the odometry's sign is wrong: forward is positive in the command and in the odometry (REP-103)"
    elif factor < NO_ANSWER:
        finding = "it does not move, or the odometry does not see it: with the wheels up only an odometry that counts them does (--on-ground otherwise)"
    elif abs(factor - 1.0) > SCALE_TOLERANCE:
        finding = f"measured is {factor:.2f} times what was told: metres per second in the command, in the vehicle's driver and in the odometry?"
    else:
        return Measured(figures)
    return Measured(figures, (finding,))


@dataclass(frozen=True)
class Turn:
    """Mean angles of the front wheel, rad, told and measured; by_sensor: of the steering wheel, else from yaw rate and speed;
    measured None: neither is to be had."""

    told_rad: float | None
    measured_rad: float | None
    by_sensor: bool


def turn(heard: Heard, vehicle: VehicleSpec, *, on_ground: bool) -> Turn:
    """Of what was heard while it was steered to one side. With the wheels up a yaw rate says nothing."""
    told = _mean([row.wheel_rad for row in heard.commands])
    if heard.wheels:
        return Turn(told, _mean([row.angle_rad for row in heard.wheels]), True)
    moving = [row for row in heard.odometry if abs(row.speed_mps) > YAW_FROM_MPS] if on_ground else []
    return Turn(told, _mean([road_wheel_angle(row.yaw_rate_radps / row.speed_mps, wheelbase_m=vehicle.wheelbase_m) for row in moving]), False)


def steering(left: Turn, right: Turn, vehicle: VehicleSpec) -> Measured:
    """Sign, scale and middle of the steering from one turn to each side, and which value of the vehicle file would mend it."""
    told = {"told_left_rad": left.told_rad, "told_right_rad": right.told_rad}
    figures = {**told, "measured_left_rad": left.measured_rad, "measured_right_rad": right.measured_rad, "steering_factor": None, "offset_rad": None}
    if left.told_rad is None or right.told_rad is None:
        return Measured(figures, ("no command came that says an angle",))
    if left.measured_rad is None or right.measured_rad is None:
        return Measured(figures)  # the person alone says
    factor = (left.measured_rad - right.measured_rad) / (left.told_rad - right.told_rad)
    offset_rad = (left.measured_rad + right.measured_rad - left.told_rad - right.told_rad) / 2.0
    figures |= {"steering_factor": factor, "offset_rad": offset_rad}
    sensed, angled = left.by_sensor, vehicle.adapter == "throttle_brake"
    findings = []
    if factor < -NO_ANSWER:
        findings.append(
            f"it turns to the other side, or {'the steering sensor' if sensed else 'the yaw rate'}'s sign is wrong: left is positive in the command, "
            "in the vehicle's driver and in what it measures (REP-103)"
        )
    elif factor < NO_ANSWER:
        findings.append("the wheels do not turn, or it is not measured: does the vehicle's driver take the steering, too?")
    elif abs(factor - 1.0) > SCALE_TOLERANCE:
        text = f"measured is {factor:.2f} times what was told"
        if sensed != angled:  # else the ratio is in both, or in neither
            ratio = vehicle.steering_ratio * (factor if sensed else 1.0 / factor)
            text += f": steering_ratio is {vehicle.steering_ratio}; {ratio:.3g} would explain it"
        else:
            text += ": radians in the vehicle's driver? wheelbase_m right?"
        findings.append(text)
    if factor > NO_ANSWER and abs(offset_rad) > OFFSET_TOLERANCE_RAD:
        text = f"told and measured differ by {offset_rad:+.3f} rad to both sides"
        if sensed != angled:
            at_wheel_rad = vehicle.steering_offset_rad + offset_rad * vehicle.steering_ratio * (1.0 if sensed else -1.0 / factor)
            text += f": steering_offset_rad is {vehicle.steering_offset_rad}; {at_wheel_rad:.3f} would explain it"
        else:
            text += ": is the steering's middle where the vehicle goes straight?"
        findings.append(text)
    return Measured(figures, tuple(findings))


def own_brakes(heard: Heard, vehicle: VehicleSpec, *, silent_from_s: float) -> Measured:
    """Whether the vehicle braked by itself in its time after the last command."""
    last_command_s = max((row.arrival_s for row in heard.commands), default=silent_from_s)
    before = [row.speed_mps for row in heard.odometry if row.arrival_s <= last_command_s]
    after = [row for row in heard.odometry if row.arrival_s > last_command_s]
    figures: dict[str, float | None] = {"braking_after_s": None, "standing_after_s": None}
    if last_command_s > silent_from_s + LATE_S:
        return Measured(figures, ("commands came although the vehicle interface is silent: by whom?",))
    for name, bound_mps in (("braking_after_s", before[-1] - SLOWER_MPS if before else 0.0), ("standing_after_s", STANDSTILL_MPS)):
        figures[name] = next((row.arrival_s - last_command_s for row in after if row.speed_mps <= bound_mps), None)
    allowed_s = vehicle.command_timeout_s + NOTICING_S
    braking_s = figures["braking_after_s"]
    if braking_s is None or braking_s > allowed_s:
        seen = "does not brake" if braking_s is None else f"brakes after {braking_s:.2f} s only"
        return Measured(
            figures,
            (
                f"when commands cease the vehicle {seen}; command_timeout_s is {vehicle.command_timeout_s}, {NOTICING_S} s more may pass: do not drive it, "
                "nothing stops it when this computer dies",
            ),
        )
    return Measured(figures)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
