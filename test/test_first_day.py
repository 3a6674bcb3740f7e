"""The first-day procedure without ROS: the real vehicle interface and the simulator's car, with what can be wrong with vehicles."""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic.cli import main
from mimic.first_day import report_lines
from mimic_contracts.config import config_dir
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.ego import Control, EgoMotion, step
from vehicle_interface import modes
from vehicle_interface.core import VehicleInterfaceCore
from vehicle_interface.first_day import FirstDay, gentle_limits, steps_of
from vehicle_interface.first_day_figures import Connections, Event, Heard, Measured, Odometry, Told, Turn, Wheel, own_brakes, steering, topics
from vehicle_interface.first_day_procedure import FAILED, PASSED, SKIPPED, Procedure
from vehicle_interface.kinematics import road_wheel_angle
from vehicle_interface.teleop import plan_of
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

VEHICLES = ("simulator", "twist_car", "pedal_car", "autoware_car", "scale_car", "diff_robot")
WITH_DRIVER = dataclasses.replace(load_vehicle("simulator"), driver_override_required=True)
STEP_S, START_NS = 0.05, 1_000_000_000_000
FINE = Connections(command_subscriptions=1, other_publishers=())


class TooMuch(Exception):
    """The person presses Ctrl-C."""


@dataclasses.dataclass
class Faults:
    """What is wrong with a vehicle; as it is here, nothing."""

    steering: float = 1.0  # what its driver makes of the angle that it is told
    middle_rad: float = 0.0
    speed: float = 1.0
    odometry: float = 1.0  # what is said of the speed
    has_timeout: bool = True
    has_sensor: bool = False
    ratio: float = 1.0  # of the true steering ratio to the file's
    act_s: tuple[float, float] | None = (1.0, 2.0)  # when the driver acts while it is engaged, after which time
    lets_go: bool = True
    heart_stops: bool = False
    age_s: float = 0.0
    pause_s: tuple[float, float] = (math.inf, math.inf)  # of the odometry
    connections: Connections = FINE


class CalculatedBench:
    """The vehicle interface's core, the simulator's car, and a clock that runs as fast as it is asked."""

    def __init__(self, vehicle, faults, ends_after_s=math.inf):
        self.heard, self.faults, self.vehicle, self.ends_after_s = Heard(), faults, vehicle, ends_after_s
        self.gentle = dataclasses.replace(vehicle, limits=gentle_limits(vehicle))
        self.core = VehicleInterfaceCore(self.gentle, VehicleInterfaceParameters(override_required=vehicle.driver_override_required))
        self.ego, self.is_active, self.ticks, self.told_ticks, self.told = EgoMotion(x_m=0.0, y_m=0.0, yaw_rad=0.0), True, 0, -1000, None
        self.engaged_s, self.reason = 0.0, ""
        self.outputs = []

    @property
    def now_s(self):
        return self.ticks * STEP_S

    def times(self):
        return {"now_ns": START_NS + round(self.now_s * 1e9), "steady_ns": round(self.now_s * 1e9)}

    def tick(self, sticks):
        if self.now_s > self.ends_after_s:
            self.ends_after_s = math.inf
            raise TooMuch
        times = self.times()
        if sticks is not None and self.ticks % 2 == 0:
            top_mps = self.gentle.limits.max_speed_mps
            plan = plan_of(sticks, vehicle=self.gentle, max_speed_mps=top_mps, speed_mps=self.heard.speed_mps, stamp_ns=times["now_ns"])
            self.core.set_plan(plan, steady_ns=times["steady_ns"], is_operators=True)
        output = self.core.step(**times)
        self.reason = output.reason if output.mode == self.heard.mode else self.heard.reason
        if output.command is not None and self.is_active:
            command = output.command
            wheel_rad = road_wheel_angle(command.curvature_1pm, wheelbase_m=self.vehicle.wheelbase_m)
            self.outputs.append(command)
            self.heard.commands.append(Told(self.now_s, command.target_speed_mps, wheel_rad))
            self.told, self.told_ticks = (command.target_speed_mps, wheel_rad), self.ticks
        self.ticks += 1
        self._move()
        self._say()

    def _move(self):
        f = self.faults
        is_silent = (self.ticks - self.told_ticks) * STEP_S > self.vehicle.command_timeout_s
        control = None
        if self.told is not None and not (is_silent and f.has_timeout):
            speed_mps, wheel_rad = self.told
            control = Control(speed_mps=f.speed * speed_mps, curvature_1pm=math.tan(f.steering * wheel_rad + f.middle_rad) / self.vehicle.wheelbase_m)
        self.ego = step(self.ego, self.vehicle, control, duration_s=STEP_S)

    def _say(self):
        f, times = self.faults, self.times()
        speed_mps = f.odometry * self.ego.speed_mps
        motion = {"pose": self.ego.pose, "speed_mps": speed_mps, "yaw_rate_radps": self.ego.yaw_rate_radps}
        if not f.pause_s[0] < self.now_s < f.pause_s[1]:
            self.core.set_odometry(stamp_ns=times["now_ns"], **motion, steady_ns=times["steady_ns"])
            self.heard.note_odometry(Odometry(self.now_s, times["now_ns"] / 1e9, f.age_s, speed_mps, self.ego.yaw_rate_radps))
        if f.has_sensor:
            self.heard.wheels.append(Wheel(self.now_s, f.ratio * road_wheel_angle(self.ego.curvature_1pm, wheelbase_m=self.vehicle.wheelbase_m)))
        self.engaged_s = self.engaged_s + STEP_S if self.core.mode in (modes.ENGAGED, modes.DRIVER_OVERRIDE) else 0.0
        if self.vehicle.driver_override_required and not (f.heart_stops and self.engaged_s > 0.5):
            acts = f.act_s is not None and self.engaged_s > f.act_s[0] and (self.engaged_s < f.act_s[1] or not f.lets_go)
            self.heard.overrides.append(Event(self.now_s, acts))
            self.core.set_override(acts, steady_ns=times["steady_ns"])
        self.heard.reason = self.reason  # a tick after the mode, as by the node
        if self.core.mode != self.heard.mode:
            self.heard.note_mode(self.core.mode, arrival_s=self.now_s)

    def engage(self, on):
        return self.core.request_engage(on, **self.times())

    def emergency_stop(self, on):
        return self.core.emergency_stop(on, **self.times())

    def set_active(self, on):
        self.is_active = on
        if not on:
            self.engage(False)

    def connections(self):
        return self.faults.connections


def gone_through(vehicle, faults, *, on_ground=True):
    """The procedure with a person who says yes, and acts in the step that asks for it only."""
    steps = steps_of(vehicle, on_ground=on_ground)
    bench, procedure = CalculatedBench(vehicle, faults), Procedure(steps)
    first_day, acts = FirstDay(bench, vehicle, on_ground=on_ground), faults.act_s
    while not procedure.is_over:
        if procedure.question:
            procedure.answer("y", time="") or procedure.answer("n", time="")
        else:
            faults.act_s = acts if procedure.step.name == "override" else None
            procedure.note(first_day.perform(procedure.step))
            assert bench.core.mode in (modes.DISENGAGED, modes.DRIVER_OVERRIDE) and abs(bench.ego.speed_mps) <= 0.1
    return procedure, bench


# The whole


@pytest.mark.parametrize(("name", "has_sensor"), [("pedal_car", True), *((name, False) for name in VEHICLES)])
def test_a_vehicle_that_obeys_passes_every_step(name, has_sensor):
    vehicle = load_vehicle(name)
    procedure, bench = gone_through(vehicle, Faults(has_sensor=has_sensor))
    assert procedure.has_passed, [(result.step.name, result.why) for result in procedure.results]
    figures = {key: value for result in procedure.results for key, value in result.measured.figures.items()}
    assert figures["speed_factor"] == pytest.approx(1.0, abs=0.05) and figures["steering_factor"] == pytest.approx(1.0, abs=0.05)
    assert abs(figures["offset_rad"]) < 0.005
    assert figures["emergency_stop_s"] < figures["stop_s"] < 4.0
    assert vehicle.command_timeout_s < figures["braking_after_s"] < vehicle.command_timeout_s + 0.3
    assert ("override" in [result.step.name for result in procedure.results]) == vehicle.driver_override_required
    limits = gentle_limits(vehicle)
    assert limits.max_speed_mps <= 1.0 and max(command.target_speed_mps for command in bench.outputs) <= limits.max_speed_mps
    wheels = [abs(math.atan(command.curvature_1pm * vehicle.wheelbase_m)) for command in bench.outputs]
    assert 0.09 < max(wheels) < 0.1 + 1e-9
    assert max(command.acceleration_mps2 for command in bench.outputs) <= 1.0


SIDE, BACK = "it turns to the other side", "it goes backwards"


@pytest.mark.parametrize(
    ("faults", "name", "said"),
    [
        (Faults(steering=-1.0), "steering", SIDE),
        (Faults(steering=-1.0, has_sensor=True), "steering", SIDE),
        (Faults(steering=0.0), "steering", "the wheels do not turn"),
        (Faults(steering=0.7), "steering", "measured is 0.70 times what was told"),
        (Faults(middle_rad=0.03), "steering", "told and measured differ by [+]0.0"),
        (Faults(has_sensor=True, ratio=1.3), "steering", "measured is 1.30 times what was told: steering_ratio is 15.0; 19.5 would explain it"),
        (Faults(speed=0.5), "speed", "measured is 0.50 times what was told"),
        (Faults(speed=0.0), "speed", "it does not move, or the odometry does not see it"),
        (Faults(odometry=-1.0), "speed", BACK),
        (Faults(speed=3.6), "speed", "measured is|it goes .* m/s, and was told"),
        (Faults(has_timeout=False), "own_brakes", "when commands cease the vehicle does not brake; command_timeout_s is 0.5"),
        (Faults(act_s=None), "override", "the driver's act was not seen"),
        (Faults(lets_go=False), "override", "after letting go it should be disengaged, and is driver_override"),
        (Faults(pause_s=(14.0, 14.6)), "steering", "the mode became minimal_risk_stop: no odometry within 0.3 s"),
        (Faults(heart_stops=True), "override", "the driver's act was not seen|heartbeat"),
        (Faults(connections=Connections(command_subscriptions=0, other_publishers=())), "topics", "/vehicle/command: nobody listens"),
        (Faults(connections=Connections(command_subscriptions=1, other_publishers=("old_planner",))), "topics", "old_planner publishes it, too"),
        (Faults(age_s=-40.0), "topics", "its stamps are -40.00 s old"),
    ],
)
def test_what_is_wrong_is_found_in_its_step_and_ends_the_procedure(faults, name, said):
    procedure, _ = gone_through(WITH_DRIVER, faults)
    outcomes = [result.outcome for result in procedure.results]
    failed = procedure.results[outcomes.index(FAILED)]
    assert (failed.step.name, bool(re.search(said, failed.why))) == (name, True), failed.why
    at = outcomes.index(FAILED)
    assert set(outcomes[:at]) == {PASSED} and set(outcomes[at + 1 :]) <= {SKIPPED}


def test_with_the_wheels_up_a_yaw_rate_says_nothing_and_the_person_says_all():
    procedure, _ = gone_through(WITH_DRIVER, Faults(), on_ground=False)
    figures = {result.step.name: result.measured.figures for result in procedure.results}
    assert procedure.has_passed and figures["steering"]["steering_factor"] is None


@settings(max_examples=12)
@given(ends_after_s=st.floats(0.0, 50.0))
def test_whenever_it_is_aborted_the_vehicle_is_brought_to_a_standstill(ends_after_s):
    faults = Faults(has_timeout=False)  # nothing but the vehicle interface stops it
    bench = CalculatedBench(WITH_DRIVER, faults, ends_after_s)
    first_day = FirstDay(bench, WITH_DRIVER, on_ground=True)
    try:
        for step_ in steps_of(WITH_DRIVER, on_ground=True)[1:]:
            faults.act_s = (1.0, 2.0) if step_.name == "override" else None
            first_day.perform(step_)
    except TooMuch:
        assert first_day.make_safe() == ""
    assert bench.core.mode in (modes.DISENGAGED, modes.DRIVER_OVERRIDE)
    assert abs(bench.ego.speed_mps) <= 0.1 and bench.is_active


# The course of it


def procedure_at_speed():
    steps = steps_of(load_vehicle("simulator"), on_ground=True)
    return Procedure([step for step in steps if step.name in ("place", "speed", "stop")])


def test_a_step_passes_by_what_is_measured_and_what_is_seen_together():
    procedure = procedure_at_speed()
    assert procedure.step.name == "place" and procedure.question == "Is this so?" and not procedure.answer("perhaps", time="1")
    assert procedure.answer("YES", time="2") and procedure.results[0].outcome == PASSED  # nothing is measured
    assert procedure.question == "Ready?" and procedure.choices == ("y", "n", "a") and procedure.answer("y", time="3")
    assert procedure.question == ""
    procedure.note(Measured({"speed_factor": 0.5}, ("too slow",)))
    assert procedure.question == "Do it again?" and not procedure.answer("y", time="4"), "a yes makes nothing right"
    assert procedure.answer("r", time="5") and procedure.is_beginning and procedure.answer("y", time="6")
    procedure.note(Measured({"speed_factor": 1.0}))
    assert procedure.question.startswith("Did it go forward") and procedure.answer("y", time="7")
    result = procedure.results[1]
    assert (result.outcome, result.attempts, result.measured.figures["speed_factor"]) == (PASSED, 2, 1.0)
    assert result.answers == [("3", "yes"), ("5", "repeat"), ("6", "yes"), ("7", "yes")]
    assert not procedure.is_over and procedure.answer("y", time="8")
    procedure.note(Measured())
    assert procedure.answer("y", time="9") and procedure.is_over and procedure.has_passed


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["n"], "the person was not ready"),
        (["a"], "aborted by the person"),
        (["y", "y", "n"], "the person saw otherwise"),
        (["y", "y", "a"], "aborted by the person"),
    ],
)
def test_a_person_ends_it_with_no_and_with_abort(answers, why):
    procedure = procedure_at_speed()
    for text in answers:
        if not procedure.question:
            procedure.note(Measured())
        assert procedure.answer(text, time="")
    assert procedure.is_over and not procedure.has_passed
    assert [result.why for result in procedure.results if result.outcome == FAILED] == [why]
    procedure.abort("later")
    assert [result.why for result in procedure.results if result.outcome == FAILED] == [why]


# Figures


@pytest.mark.parametrize("adapter", ["throttle_brake", "twist"])
@pytest.mark.parametrize("by_sensor", [True, False])
def test_the_hint_names_the_value_of_the_file_that_mends_it(adapter, by_sensor):
    """A true ratio of 20 and an offset of 0.6 rad at the steering wheel, where the file says 15 and 0."""
    vehicle = dataclasses.replace(load_vehicle("pedal_car"), adapter=adapter)
    ratio, offset_rad, wheel_rad = 20.0, 0.6, 0.1
    is_angle = adapter == "throttle_brake"
    true = [(15.0 * told - offset_rad) / ratio if is_angle else told for told in (wheel_rad, -wheel_rad)]
    seen = [(ratio * angle + offset_rad) / 15.0 for angle in true] if by_sensor else true
    findings = steering(*(Turn(told, angle, by_sensor) for told, angle in zip((wheel_rad, -wheel_rad), seen, strict=True)), vehicle).findings
    if is_angle == by_sensor:  # the file's value is in both, or in neither
        assert not any("explain" in finding for finding in findings)
    else:
        assert "steering_ratio is 15.0; 20 would explain it" in findings[0]
        assert "steering_offset_rad is 0.0; 0.600 would explain it" in findings[1]


def test_what_does_not_arrive_is_named_with_its_key():
    heard = Heard()
    said = topics(heard, FINE, WITH_DRIVER, start_s=0.0, end_s=2.0)
    assert [finding.split(":")[0] for finding in said.findings] == ["/localization/kinematic_state", "/vehicle/driver_override"]
    assert "is topics.odometry right?" in said.findings[0] and "is topics.driver_override right?" in said.findings[1]
    for arrival_s in (0.1, 0.9, 1.0, 1.1):
        heard.note_odometry(Odometry(arrival_s, 5.0, 0.0, 0.0, 0.0))
    said = topics(heard, FINE, load_vehicle("simulator"), start_s=0.0, end_s=1.2)
    assert "nothing arrived for 0.80 s, at most 0.3 s are allowed" in said.findings[0] and "its stamps do not increase" in said.findings[1]


def test_commands_of_somebody_else_spoil_the_test_of_the_vehicles_own_brakes():
    heard = Heard(commands=[Told(0.0, 1.0, 0.0), Told(0.5, 1.0, 0.0)])
    assert "by whom?" in own_brakes(heard, WITH_DRIVER, silent_from_s=0.1).findings[0]


# The command


@pytest.mark.parametrize(
    ("out", "words"), [("report.txt", "must end with .json"), ("nowhere/report.json", "does not exist"), ("old.json", "exists; --overwrite")]
)
def test_reports_are_not_lost(tmp_path: Path, out, words, capsys):
    (tmp_path / "old.txt").write_text("an older report", encoding="utf-8")
    assert main(["vehicle", "test", "simulator", "--rehearse", "--out", str(tmp_path / out)]) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / "old.txt").read_text(encoding="utf-8") == "an older report"


def test_a_rehearsal_has_no_place_in_a_fleet(tmp_path: Path, capsys):
    assert main(["vehicle", "test", "simulator", "--rehearse", "--namespace", "car_7", "--out", str(tmp_path / "report.json")]) == 2
    assert "leave --namespace and --domain-id out" in capsys.readouterr().err


def test_a_file_with_mistakes_is_not_tested(tmp_path: Path, capsys):
    text = (config_dir() / "vehicles" / "simulator.yaml").read_text(encoding="utf-8").replace("length_m: 4.6", "length_m: 3.0")
    (tmp_path / "short.yaml").write_text(text, encoding="utf-8")
    assert main(["vehicle", "test", str(tmp_path / "short.yaml"), "--out", str(tmp_path / "report.json")]) == 1
    assert "cannot be right" in capsys.readouterr().err and not (tmp_path / "report.json").exists()


def test_the_lines_for_people_say_what_failed_and_what_was_not_measured():
    steps = [
        {"step": "speed", "outcome": PASSED, "attempts": 2, "figures": {"speed_factor": 0.987654}, "why": ""},
        {"step": "steering", "outcome": FAILED, "attempts": 1, "figures": {"steering_factor": None}, "why": SIDE},
    ]
    report = {"vehicle": "v", "passed": False, "rehearsal": False, "on_ground": False, "person": "P", "started": "1", "ended": "2"}
    lines = report_lines(json.loads(json.dumps({**report, "vehicle_file": "/v.yaml", "vehicle_file_sha256": "0a", "steps": steps}))).splitlines()
    assert lines[0] == "First day of v: NOT PASSED (wheels off the ground), confirmed by P"
    assert lines[3:] == ["passed  speed (attempt 2)", "  speed_factor 0.988", f"failed  steering: {SIDE}", "  steering_factor not measured"]
