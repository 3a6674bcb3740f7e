"""The faults that the nodes must survive: how each is brought about, what answers it, and after how long at the latest."""

import signal
from dataclasses import dataclass, field, fields, replace
from typing import Any

import fault_changes as change
from fault_injections import (
    RECORDER,
    ChangeParameters,
    FillDisk,
    Injection,
    Joystick,
    LoseOverride,
    Override,
    Signal,
    Spoil,
    Starve,
    Vanish,
    WhileOperatorDrives,
)

from mimic_contracts.vehicle import load_vehicle
from vehicle_interface import modes
from vehicle_interface.plausibility import OFTEN
from vehicle_interface.supervisor_core import COMPLAINT_S
from vehicle_interface.supervisor_parameters import SupervisorParameters
from vehicle_interface.teleop import TeleopParameters
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

DRIVES_ON, DEGRADED, STOP = "drives on", "degraded", "stop"
OWN_BRAKES = "the vehicle's own brakes"
SILENT = "silent"
DRIVES_ON_OR_STOPS = "drives on, or stops"

CAMERA, PLANNER, SUPERVISOR, INTERFACE = "camera_node", "planner_node", "supervisor_node", "vehicle_interface_node"
ROUTE, CALIBRATION, TELEOP, OVERLAY = "route_node", "calibration_node", "teleop_node", "overlay_node"
NOT_NEEDED = (TELEOP, OVERLAY, "sound_node", RECORDER)  # while the planner drives
TICK_S = 0.05  # between two pictures, or two odometries, of the simulator
NEW_DIAGNOSTICS_S = 0.5  # at which the camera node repeats how its cameras do
FROZEN_POSE_S = 0.6  # at 5 m/s and more, test_supervisor_core.py
STEPS_S = 0.4  # between two jumps of change.jumping


@dataclass(frozen=True, kw_only=True)
class Fault:
    """within_s: from its begin to its answer; lasts_s: then it is taken back; on_clock: the nodes go by /clock; beside: a node that
    the simulator's bring-up does not have takes part; on_straight: it needs a straight road ahead, because the simulated car, when nobody
    commands it, brakes with its wheels held."""

    name: str
    injection: Injection
    answer: str
    within_s: float = 0.0
    lasts_s: float = 8.0
    on_clock: bool = False
    beside: str = ""
    on_straight: bool = False
    is_emergency: bool = False

    @property
    def bringup(self) -> tuple[bool, str]:
        """What distinguishes the bring-up that it needs."""
        return self.on_clock, self.beside


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Of the supervisor and the vehicle interface, as their parameters; way_s: what comes on top: a tick of the car, a judgement of the
    supervisor, a period of actuation, and what messages need on their way."""

    supervisor: SupervisorParameters = field(default_factory=SupervisorParameters)
    interface: VehicleInterfaceParameters = field(default_factory=VehicleInterfaceParameters)
    way_s: float = 0.1

    @classmethod
    def times(cls, factor: float) -> "Timeouts":
        """So many times as long as by default, where the parameters' bounds allow it: for machines that are busy with other things."""
        return cls(supervisor=_longer(SupervisorParameters(), factor), interface=_longer(VehicleInterfaceParameters(), factor), way_s=factor * cls.way_s)

    def parameters(self) -> dict[str, dict[str, float]]:
        """By node."""
        return {name: {key: getattr(own, key) for key in _timeouts(own)} for name, own in ((SUPERVISOR, self.supervisor), (INTERFACE, self.interface))}


def _timeouts(parameters: Any) -> list[str]:
    return [declared.name for declared in fields(parameters) if declared.name.endswith("_timeout_s") or declared.name == "frozen_after_s"]


def _longer(parameters: Any, factor: float) -> Any:
    bounds = {declared.name: declared.metadata["high"] for declared in fields(parameters)}
    return replace(parameters, **{name: min(factor * getattr(parameters, name), bounds[name]) for name in _timeouts(parameters)})


def faults(timeouts: Timeouts = Timeouts()) -> list[Fault]:
    """All of them, with the times that follow from the timeouts."""
    supervisor, interface, way_s = timeouts.supervisor, timeouts.interface, timeouts.way_s
    dead_s = dict.fromkeys((CAMERA, PLANNER), supervisor.heartbeat_timeout_s + way_s)
    dead_s[SUPERVISOR] = interface.supervisor_timeout_s + way_s
    no_pictures_s, frozen_s = supervisor.frame_timeout_s + way_s, supervisor.frozen_after_s + way_s
    no_odometry_s, no_plan_s = interface.odometry_timeout_s + way_s, interface.plan_timeout_s + way_s
    no_operator_s = interface.operator_timeout_s + way_s
    own_s = load_vehicle("simulator").command_timeout_s + 2.0 * TICK_S + way_s
    ends = (("killed", signal.SIGKILL, 8.0), ("hung for 2 s", signal.SIGSTOP, 2.0), ("in a busy loop for 2 s", signal.SIGUSR1, 2.0))
    table = [
        Fault(name=f"{node} {end}", injection=Signal(node, number), answer=STOP, within_s=dead_s[node], lasts_s=lasts_s)
        for node in (CAMERA, PLANNER, SUPERVISOR)
        for end, number, lasts_s in ends
    ]
    table += [
        Fault(name=f"{INTERFACE} {end}", injection=Signal(INTERFACE, number), answer=OWN_BRAKES, within_s=own_s, lasts_s=lasts_s, on_straight=True)
        for end, number, lasts_s in ends
    ]
    table += [
        Fault(name=f"{node} {end}", injection=Signal(node, number), answer=answer, within_s=within_s, lasts_s=lasts_s, beside=node)
        for node, answer, within_s in (
            (ROUTE, STOP, supervisor.heartbeat_timeout_s + way_s),
            (CALIBRATION, DEGRADED, COMPLAINT_S + way_s),
            *((node, DRIVES_ON, 0.0) for node in NOT_NEEDED),
        )
        for end, number, lasts_s in ends
    ]
    operators = [
        *((f"{TELEOP} {end}, while the operator drives", Signal(TELEOP, number), no_operator_s, lasts_s) for end, number, lasts_s in ends),
        ("operator lets go of the joystick", Joystick(holds=False), no_operator_s, 8.0),
        ("operator's joystick falls silent", Joystick(holds=None), no_operator_s + TeleopParameters().joy_timeout_s, 8.0),
    ]
    table += [
        Fault(name=name, injection=WhileOperatorDrives(then), answer=STOP, within_s=within_s, lasts_s=lasts_s, beside=TELEOP)
        for name, then, within_s, lasts_s in operators
    ]

    def spoilt(name: str, change_: change.Change, *streams: str, answer: str = STOP, within_s: float, on_clock: bool = False) -> None:
        table.append(Fault(name=name, injection=Spoil(change_, streams), answer=answer, within_s=within_s, on_clock=on_clock))

    seen = ("pictures", "route")  # the route stands for what a planner sees
    spoilt("camera unplugged", change.gone, "pictures", within_s=no_pictures_s)
    spoilt("camera frozen", change.frozen, *seen, within_s=frozen_s)
    spoilt("camera at half rate", change.halved, "pictures", answer=DRIVES_ON, within_s=0.0)
    spoilt("camera's stamps back by 2 days", change.shifted(-2 * change.DAY_S), "pictures", within_s=way_s)
    spoilt("camera's stamps forward by 2 days", change.shifted(2 * change.DAY_S), "pictures", within_s=way_s)
    spoilt("camera's stamps stand still", change.stuck, *seen, within_s=no_pictures_s)
    spoilt("camera of wrong size", change.small, "pictures", within_s=way_s)
    spoilt("camera sends half of the bytes", change.cut, "pictures", within_s=way_s)
    spoilt("camera of wrong encoding", change.recoded, "pictures", within_s=way_s)
    spoilt("odometry lost", change.gone, "odometry", within_s=no_odometry_s)
    spoilt("odometry frozen", change.frozen, "odometry", within_s=FROZEN_POSE_S + way_s)
    spoilt("odometry not a number", change.not_a_number, "odometry", within_s=no_odometry_s)
    spoilt("odometry's pose jumps 3 m", change.jumping(1), "odometry", answer=DEGRADED, within_s=way_s)
    spoilt("odometry's pose jumps again and again", change.jumping(99), "odometry", within_s=(OFTEN - 1) * STEPS_S + way_s)
    spoilt("odometry says speed 0", change.standing, "odometry", within_s=way_s)
    spoilt("odometry says three times the speed", change.racing, "odometry", within_s=way_s)
    spoilt("odometry's stamps back by 2 days", change.shifted(-2 * change.DAY_S), "odometry", within_s=way_s)
    spoilt("odometry's stamps forward by 2 days", change.shifted(2 * change.DAY_S), "odometry", within_s=way_s)
    spoilt("no plans", change.gone, "plans", within_s=no_plan_s)
    spoilt("plan not a number", change.nan_plan, "plans", within_s=no_plan_s)
    spoilt("plan reversed", change.reversed_plan, "plans", within_s=no_plan_s)
    spoilt("plan teleports 5 m", change.teleporting_plan, "plans", within_s=no_plan_s)
    spoilt("plan oscillates", change.oscillating_plan, "plans", within_s=OFTEN * TICK_S + way_s)
    spoilt("plan 100 times too large", change.times(100.0), "plans", within_s=no_plan_s)
    spoilt("plan 100 times too fast", change.times(100.0, change.SPEED), "plans", within_s=no_plan_s)
    spoilt("plan's curvatures contradict its points", change.contradicting_plan, "plans", within_s=no_plan_s)
    every_clock = ("pictures", "odometry", "clock")
    spoilt("clock reset by an hour", change.shifted(-3600), *every_clock, within_s=way_s, on_clock=True)
    spoilt("clock set forward by an hour", change.shifted(3600), *every_clock, within_s=way_s, on_clock=True)
    spoilt("clock stops, stamps go on", change.gone, "clock", within_s=no_odometry_s, on_clock=True)
    return [
        *table,
        Fault(name="car's DDS participant lost, and back", injection=Vanish(), answer=STOP, within_s=no_odometry_s, lasts_s=2.0),
        Fault(name="two busy processes", injection=Starve(2), answer=DRIVES_ON_OR_STOPS),
        Fault(name="disk full while recording", injection=FillDisk(), answer=DRIVES_ON, beside=RECORDER),
        Fault(name="parameters changed", injection=ChangeParameters((CAMERA, PLANNER, SUPERVISOR, INTERFACE)), answer=DRIVES_ON, lasts_s=2.0),
        Fault(name="driver override without a heartbeat", injection=LoseOverride(), answer=STOP, within_s=interface.override_timeout_s + way_s),
        *(
            Fault(
                name=f"driver overrides in mode {mode}",
                injection=Override(mode),
                answer=SILENT,
                within_s=way_s,
                lasts_s=2.0,
                on_straight=True,
                is_emergency=True,
            )
            for mode in (modes.ENGAGED, modes.MINIMAL_RISK_STOP, modes.EMERGENCY_STOP, modes.DISENGAGED)
        ),
    ]
