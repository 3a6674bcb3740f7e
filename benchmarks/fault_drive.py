"""A drive on the course `ring` in real time, through the real nodes, with a car that can be faulty; and what comes of it all."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import mock

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fault_checks import envelope_findings
from fault_companions import SUPERVISED, companions
from fault_table import DEGRADED, DRIVES_ON, DRIVES_ON_OR_STOPS, OVERLAY, OWN_BRAKES, SILENT, STOP, SUPERVISOR, Fault, Timeouts
from faulty_car import PLANNER_REMAPS, SIMULATOR_REMAPS, FaultyCar
from geometry_msgs.msg import TwistStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from ring_driver import SPEED_MPS
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import SetBool

from mimic.bringup import Bringup
from mimic.domain import child_environment, own_domain_id
from mimic.process_table import EXECUTABLES, ProcessSpec, Table
from mimic_contracts.config import config_dir
from mimic_contracts.ros_conversions import stamp_to_ns
from mimic_contracts.ros_lifecycle import LATCHED_QOS, OK, RELIABLE_QOS, SENSOR_QOS, WARN
from mimic_sim.route_spec import RouteSpec
from mimic_sim.world import build_world
from vehicle_interface import modes

ROUTE = RouteSpec(course="ring", laps=1000.0)
MANAGER, INTERFACE = "lifecycle_manager_node", "vehicle_interface_node"
NODES = ("planner_node", "supervisor_node", "vehicle_interface_node")  # that have a clock
START_S, ENGAGE_S, STOP_S, ANSWER_S = 90.0, 60.0, 12.0, 5.0
STOPPING_WAY_M = 75.0  # of a straight road, for the car's own brakes at 50 km/h
SLOWER_MPS, STANDING_MPS = 0.02, 0.05
STILL_FASTER_MPS = 0.5  # until an acceleration has ended under the jerk limit
MAX_FALSE_STOPS = 20


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a fault led to. answer_ms: from its begin to the answer; braking_ms: to the first command, or of the vehicle's own brakes the first
    odometry, that is slower; margin_m: the least distance of the car's outline to the edge of its lane; findings: what must not be;
    false_stops: before the fault, because the machine is too busy."""

    fault: str
    answer_ms: float | None
    within_ms: float
    braking_ms: float | None
    margin_m: float
    commands: int
    false_stops: int
    findings: tuple[str, ...]

    @classmethod
    def lost(cls, fault: Fault, why: str) -> "Outcome":
        """Of a fault after which the drive could not go on."""
        return cls(
            fault=fault.name, answer_ms=None, within_ms=1e3 * fault.within_s, braking_ms=None, margin_m=-np.inf, commands=0, false_stops=0, findings=(why,)
        )


class FaultDrive:
    """A bring-up of `sim` with a FaultyCar in it, for the time of a `with` block; `suffer` one fault after the other.

    timeouts: of supervisor and vehicle interface; on_clock: the nodes go by /clock, which is the car's; beside: a node that takes part, too,
    see fault_companions.py.
    """

    def __init__(self, *, on_clock: bool = False, beside: str = "", timeouts: Timeouts = Timeouts()) -> None:  # noqa: B008  frozen
        self._on_clock, self._companion, self._parameters, self._is_patient = on_clock, beside, timeouts.parameters(), timeouts != Timeouts()
        self.world = build_world(ROUTE)
        self.number, self.findings = 0, []
        self.commands: list[tuple[int, int, int, float, float]] = []  # number; made (on /clock: published) and published, ns; m/s; rad/s
        self.modes: list[tuple[int, str]] = []
        self.verdicts: list[tuple[int, bytes]] = []
        self.statuses: list[DiagnosticStatus] = []
        self._begun_ns = 0
        self._beside: dict[str, Bringup] = {}
        self._seen_of_logs: dict[Path, int] = {}

    # The bring-up

    def __enter__(self) -> "FaultDrive":
        self._directory = tempfile.TemporaryDirectory(prefix="mimic_faults_")
        self.scratch = Path(self._directory.name)
        self._environment = child_environment(loopback=True)
        self._environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), self._environment["PYTHONPATH"]])  # for ring_driver and fault_node
        self._context = Context()
        self._own_environment = mock.patch.dict("os.environ", {k: v for k, v in self._environment.items() if k.startswith(("ROS_", "FASTDDS_"))})
        self._own_environment.start()
        rclpy.init(context=self._context, domain_id=own_domain_id())
        self.node = rclpy.create_node("fault_observer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.car = FaultyCar(self.world, self.node)
        self._listen()
        arguments = {"policy": "ring_driver:RingDriver", "lockstep": "false", "route": "{course: ring, laps: 1000}"}
        arguments["overlay"] = str(self._companion == OVERLAY).lower()  # which the bring-up has, if wanted
        self._specs = {spec.name: spec for spec in self._table().process_specs(arguments)}
        self._bringup = self._start(list(self._specs.values()), self.scratch / "logs")
        try:
            self.wait_until(lambda: "active: " in self._bringup.last_lines(MANAGER), "all nodes active", START_S)
        except RuntimeError:
            self.__exit__(None, None, None)  # nobody is left behind
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for bringup in (*self._beside.values(), self._bringup):
            bringup.stop()
        self.car.leave()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
        self._own_environment.stop()
        self._directory.cleanup()

    def _table(self) -> Table:
        """The bring-up `sim`, in which nobody hears the simulator, and nobody the planner, but through the car."""
        content = yaml.safe_load((config_dir() / "bringup" / "sim.yaml").read_text(encoding="utf-8"))
        for process in content["processes"]:
            name, parameters = process["name"], process["parameters"]
            if name == "sim_node":
                process["remaps"], parameters["engage"] = SIMULATOR_REMAPS, False
            if name == "planner_node":
                process["remaps"] = PLANNER_REMAPS
            if name in NODES:
                parameters["use_sim_time"] = self._on_clock
            if name == SUPERVISOR:
                parameters |= SUPERVISED.get(self._companion, {})
            if name == MANAGER and self._companion not in ("", OVERLAY):
                parameters["node_names"].append(self._companion)
            parameters |= self._parameters.get(name, {})
        if self._companion not in ("", OVERLAY):
            own = {"parameters_file": f"{self._companion}.yaml", "parameters": companions(self.scratch, self.world)[self._companion]}
            content["processes"].append({"executable": self._companion, "name": self._companion, **own})
        path = self.scratch / "faults.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return Table.load(str(path))

    def _start(self, specs: list[ProcessSpec], log_directory: Path) -> Bringup:
        log_directory.mkdir()
        with mock.patch.dict(EXECUTABLES, dict.fromkeys(EXECUTABLES, "fault_node")):
            return Bringup(specs, log_directory=log_directory, environment=self._environment, is_quiet=True, fails_together=False)

    def signal(self, node: str, number: int) -> None:
        """To a node's process."""
        self.process(node).send_signal(number)

    def process(self, node: str) -> Any:
        """Of a node, the newest."""
        return self._beside.get(node, self._bringup).process(node)

    def restart(self, node: str) -> None:
        """Start a node anew that has been killed."""
        self._start_beside([self._specs[node]])

    def start_beside(self, parameters: Mapping[str, Mapping[str, Any]]) -> None:
        """More nodes, with these parameters by node."""
        self._start_beside([ProcessSpec(executable=node, name=node, parameters=own) for node, own in parameters.items()])

    def _start_beside(self, specs: list[ProcessSpec]) -> None:
        names = [spec.name for spec in specs]
        manager = replace(self._specs[MANAGER], parameters={"node_names": names})
        for before in [self._beside.pop(name) for name in names if name in self._beside]:
            before.stop()  # its manager
        bringup = self._start([*specs, manager], self.scratch / f"logs_{self.number}_{names[0]}")
        self._beside |= dict.fromkeys(names, bringup)
        self.wait_until(lambda: "active: " in bringup.last_lines(MANAGER), f"{', '.join(names)} active", START_S)

    # What comes of it

    def _listen(self) -> None:
        subscribe = self.node.create_subscription
        subscribe(TwistStamped, "/vehicle/command", self._on_command, RELIABLE_QOS)
        subscribe(String, "/vehicle/mode", lambda message, info: self.modes.append((info["source_timestamp"], message.data)), LATCHED_QOS)
        subscribe(DiagnosticStatus, "/supervisor/verdict", self._on_verdict, SENSOR_QOS)
        subscribe(DiagnosticArray, "/diagnostics", lambda message: self.statuses.extend(message.status), RELIABLE_QOS)
        subscribe(Image, "/perception/overlay", lambda data: None, SENSOR_QOS, raw=True)  # overlay_node draws for somebody

    def _on_command(self, message: TwistStamped, info: Mapping[str, int]) -> None:
        published_ns = info["source_timestamp"]
        made_ns = published_ns if self._on_clock else stamp_to_ns(message.header.stamp)
        self.commands.append((info["publication_sequence_number"], made_ns, published_ns, message.twist.linear.x, message.twist.angular.z))

    def _on_verdict(self, message: DiagnosticStatus, info: Mapping[str, int]) -> None:
        if not self.verdicts or self.verdicts[-1][1] != message.level:
            self.verdicts.append((info["source_timestamp"], message.level))

    @property
    def mode(self) -> str:
        """Of the vehicle interface, as last said."""
        return self.modes[-1][1] if self.modes else ""

    @property
    def speed_mps(self) -> float:
        """Of the simulated car, in truth."""
        return self.car.truth[-1][1] if self.car.truth else 0.0

    @property
    def driven_by(self) -> str:
        """'planner' or 'operator', as the vehicle interface last said; empty: it said nothing since the fault's begin."""
        said = next((status.values for status in reversed(self.statuses) if status.name == INTERFACE), [])
        return next((pair.value for pair in said if pair.key == "driven_by"), "")

    def spin_until(self, condition: Callable[[], Any], timeout_s: float) -> bool:
        """Whether a condition came true meanwhile."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if (left_s := deadline_s - time.monotonic()) < 0.0:
                return False
            self._executor.spin_once(timeout_sec=min(left_s, 0.02))
        return True

    def wait_until(self, condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> None:
        """Raises RuntimeError with the ends of the logs when it does not come true."""
        if not self.spin_until(condition, timeout_s):
            raise RuntimeError(f"no {what} within {timeout_s:.0f} s; mode '{self.mode}', {self.speed_mps:.1f} m/s\n{self.logs()}")

    def logs(self) -> str:
        """The ends of the logs of all nodes."""
        return "\n".join(f"{name}:\n{self._beside.get(name, self._bringup).last_lines(name)}" for name in self._specs)

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        """The response of a service."""
        client = self.node.create_client(service_type, name)
        self.wait_until(client.service_is_ready, f"service {name}")
        for _ in range(5):  # a first answer can get lost, when the service has matched our request but not yet our reader
            future = client.call_async(request)
            if self.spin_until(future.done, ANSWER_S):
                break
        else:
            self.wait_until(future.done, f"answer of {name}")
        self.node.destroy_client(client)
        return future.result()

    # One fault after the other

    def engage(self) -> None:
        """As soon as the vehicle interface agrees."""
        deadline_s = time.monotonic() + ENGAGE_S
        while refusal := self.try_to_engage():
            self.spin_until(lambda: False, 0.2)
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"not engaged within {ENGAGE_S:.0f} s: {refusal}")

    def try_to_engage(self) -> str:
        """Why it could not; empty when it could, or is engaged already."""
        response = self.call(SetBool, "/vehicle/engage", SetBool.Request(data=True))
        if not response.success:
            return response.message
        engaged_from = len(self.modes)
        self.spin_until(lambda: self.mode == modes.ENGAGED or len(self.modes) > engaged_from, 5.0)
        return ""

    def reset_emergency_stop(self) -> bool:
        """Whether there is none any more."""
        return bool(self.call(SetBool, "/vehicle/emergency_stop", SetBool.Request(data=False)).success)

    def raise_for_dead(self) -> None:
        """RuntimeError with the log of a node that has ended."""
        for bringup in (self._bringup, *self._beside.values()):
            for name in bringup.names:
                if (code := bringup.process(name).poll()) is not None and (name in self._beside) == (bringup is not self._bringup):
                    raise RuntimeError(f"{name} ended with exit code {code}:\n{bringup.last_lines(name)}")

    def mark(self) -> None:
        """The fault begins now; what was said and driven before is looked at no more: to look takes time, which the car has not."""
        self._begun_ns = time.time_ns()
        self.statuses.clear()
        del self.car.truth[:-1]
        self.car.lane.least_margin_m = np.inf  # from the fault before it may have stood outside of its lane

    def suffer(self, fault: Fault, *, speed_mps: float = SPEED_MPS, wait_s: float = 0.0) -> Outcome:
        """Drive at a speed, let a fault happen wait_s later, wait for its answer, take it back; and look at everything that was said and driven."""
        self.number, self.findings = self.number + 1, []
        from_here = len(self.commands), len(self.modes)
        false_stops = 0
        while not self._drives_at(speed_mps, wait_s=wait_s, on_straight=fault.on_straight):
            false_stops += 1
            if false_stops == MAX_FALSE_STOPS:
                raise RuntimeError(f"not tried: stopped {false_stops} times without a fault, this machine is too busy, or --patience is needed")
        self.mark()
        before_mps = self.commands[-1][3]
        started_s = time.monotonic()
        fault.injection.begin(self)
        answered = self.spin_until(lambda: self._answered_ns(fault) is not None, max(ANSWER_S, 2.0 * fault.within_s))
        self.spin_until(lambda: self._stands() and fault.answer != DRIVES_ON, fault.lasts_s - (time.monotonic() - started_s))
        answered_ns = self._answered_ns(fault)
        self._judge_answer(fault, answered=answered, answered_ns=answered_ns, before_mps=before_mps)
        fault.injection.end(self)
        if self.mode in (modes.MINIMAL_RISK_STOP, modes.DISENGAGED, modes.EMERGENCY_STOP) and not self.spin_until(self._stands, STOP_S):
            self.findings.append(f"still {self.speed_mps:.1f} m/s after {STOP_S} s")
        if self.mode == modes.EMERGENCY_STOP:
            self.reset_emergency_stop()
        self.findings += self.judge_commands(*from_here, is_emergency=fault.is_emergency) + self.judge_logs()
        if self.car.lane.least_margin_m < 0.0 and not self._is_patient:  # with longer timeouts it is longer on a wrong way
            self.findings.append(f"the car left its lane by {-self.car.lane.least_margin_m:.2f} m")
        answer_ms = None if answered_ns is None else (answered_ns - self._begun_ns) / 1e6
        return Outcome(
            fault=fault.name,
            answer_ms=answer_ms if fault.within_s else None,
            within_ms=1e3 * fault.within_s,
            braking_ms=self._braking_ms(fault, answered_ns),
            margin_m=round(float(self.car.lane.least_margin_m), 2),
            commands=len(self.commands) - from_here[0],
            false_stops=false_stops,
            findings=tuple(self.findings),
        )

    def _drives_at(self, speed_mps: float, *, wait_s: float, on_straight: bool) -> bool:
        """Whether it came to this speed, with nothing wrong any more, and went on so for a while, without having been stopped."""
        self.engage()
        is_stopped = lambda: self.mode != modes.ENGAGED  # noqa: E731
        self.wait_until(lambda: is_stopped() or (self.verdicts and self.verdicts[-1][1] == OK), "verdict that all is well", ENGAGE_S)
        self.wait_until(lambda: is_stopped() or self.speed_mps > speed_mps - 0.5, f"{speed_mps:.1f} m/s", ENGAGE_S)
        self.spin_until(is_stopped, wait_s)
        if on_straight:
            self.wait_until(lambda: is_stopped() or self._is_straight_ahead(), "straight road ahead", ENGAGE_S)
        return not is_stopped()

    def _is_straight_ahead(self) -> bool:
        line = self.world.lane_line
        ahead = line.poses((self.car.lane.station_m + np.linspace(-5.0, STOPPING_WAY_M, 17)) % line.length_m)[:, 2]
        return bool(np.ptp(np.unwrap(ahead)) < 1e-3)

    def _stands(self) -> bool:
        return self.speed_mps < STANDING_MPS

    def _answered_ns(self, fault: Fault) -> int | None:
        """When the answer was given, or None."""
        if fault.answer == STOP:
            return next((ns for ns, mode in self.modes if ns > self._begun_ns and mode == modes.MINIMAL_RISK_STOP), None)
        if fault.answer == SILENT:
            return next((ns for ns, mode in self.modes if ns > self._begun_ns and mode == modes.DRIVER_OVERRIDE), None)
        if fault.answer == DEGRADED:
            return next((ns for ns, level in self.verdicts if ns > self._begun_ns and level == WARN), None)
        if fault.answer == OWN_BRAKES:
            return self._slower_ns(self.car.truth, self._begun_ns)
        return self._begun_ns

    def _complaint(self) -> str:
        """Of the vehicle interface, the first since the fault."""
        return next((status.message for status in self.statuses if status.name == INTERFACE and status.level != OK), "of what it did not say")

    @staticmethod
    def _slower_ns(speeds: list[tuple[int, float]], from_ns: int) -> int | None:
        """When it was first slower than at its fastest since then: it may have been accelerating."""
        highest_mps = 0.0
        for ns, speed in speeds:
            if ns > from_ns and speed < highest_mps - SLOWER_MPS:
                return ns
            highest_mps = speed if ns <= from_ns else max(highest_mps, speed)
        return None

    def _braking_ms(self, fault: Fault, answered_ns: int | None) -> float | None:
        if answered_ns is None or fault.answer not in (STOP, OWN_BRAKES):
            return None
        slower_ns = answered_ns if fault.answer == OWN_BRAKES else self._slower_ns([(made_ns, speed) for _, made_ns, _, speed, _ in self.commands], answered_ns)
        return None if slower_ns is None else (slower_ns - self._begun_ns) / 1e6

    def _judge_answer(self, fault: Fault, *, answered: bool, answered_ns: int | None, before_mps: float) -> None:
        if not answered or answered_ns is None:
            self.findings.append(f"no answer '{fault.answer}': mode {self.mode}, verdict {self.verdicts[-1][1] if self.verdicts else None!r}")
            return
        late_s = (answered_ns - self._begun_ns) / 1e9 - fault.within_s
        if fault.within_s and late_s > 0.0:
            self.findings.append(f"answered {1e3 * late_s:.0f} ms later than within {fault.within_s:.2f} s")
        since = [speed for _, ns, _, speed, _ in self.commands if ns > answered_ns]
        if fault.answer == SILENT and since:
            self.findings.append(f"{len(since)} commands after the driver took over")
        better_ns = next((ns for ns, level in self.verdicts if ns > answered_ns), self.car.truth[-1][0])
        while_degraded = [speed for _, ns, _, speed, _ in self.commands if answered_ns < ns < better_ns]
        if fault.answer == DEGRADED and max(while_degraded, default=0.0) > before_mps + STILL_FASTER_MPS:
            self.findings.append(f"became faster, {max(while_degraded):.2f} m/s, while degraded at {before_mps:.2f} m/s")
        if fault.answer == DRIVES_ON and self.mode != modes.ENGAGED:
            self.findings.append(f"did not drive on: {self.mode}, because {self._complaint()}")
        if fault.answer == DRIVES_ON_OR_STOPS and self.mode not in (modes.ENGAGED, modes.MINIMAL_RISK_STOP):
            self.findings.append(f"neither drove on nor stopped: {self.mode}")
        if fault.answer in (STOP, OWN_BRAKES) and not self.spin_until(self._stands, STOP_S):
            self.findings.append(f"still {self.speed_mps:.1f} m/s {STOP_S} s after the fault")

    def judge_commands(self, first_command: int, first_mode: int, *, is_emergency: bool = False) -> list[str]:
        """What is outside of the limits in any message since these, in stretches between which nothing was commanded."""
        commands = self.commands[first_command:]
        silences = [ns for ns, mode in self.modes[first_mode:] if mode in (modes.DISENGAGED, modes.DRIVER_OVERRIDE)]
        stretch_of = np.searchsorted(silences, [ns for _, ns, *_ in commands])
        found = []
        for stretch in np.unique(stretch_of):
            own = [command for command, which in zip(commands, stretch_of, strict=True) if which == stretch]
            rows = np.array([[number, (made_ns - own[0][1]) / 1e9, (published_ns - own[0][1]) / 1e9, *twist] for number, made_ns, published_ns, *twist in own])
            found += envelope_findings(rows, self.world.vehicle, is_emergency=is_emergency, is_exact=not self._on_clock)
        return found

    def judge_logs(self) -> list[str]:
        """Exceptions that were written since the last look."""
        found = []
        for path in sorted(self.scratch.glob("logs*/*.log")):
            text = path.read_text(encoding="utf-8", errors="replace")
            news, self._seen_of_logs[path] = text[self._seen_of_logs.get(path, 0) :], len(text)
            if "Traceback (most recent call last)" in news:
                found.append(f"{path.stem}: {news[news.index('Traceback') :].strip()[-600:]}")
        return found
