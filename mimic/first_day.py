"""`mimic vehicle test` at the terminal: asks the person, has the steps done, and writes the report, however it ends."""

import getpass
import json
import os
import select
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mimic.bringup import Bringup, start
from mimic_contracts.config import load_yaml, resolve_config
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.vehicle import VehicleSpec, load_vehicle
from vehicle_interface.first_day import FirstDay, gentle_limits, steps_of
from vehicle_interface.first_day_procedure import PASSED, WORDS, Procedure, Result

INTERFACE = "vehicle_interface_node"
LOOPBACK_KEYS = ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_DEFAULT_PROFILES_FILE")


class Aborted(MimicError):
    """The person wants it to end, or is gone."""


class Person:
    """Somebody at a terminal, or a program that answers questions on stdin.

    While the vehicle may move, whatever is typed ends the motion: `watch` raises Aborted, as it does after Ctrl-C.
    """

    def __init__(self) -> None:
        self._typed = b""
        self._signal = 0
        self._has_ended = self._has_aborted = False

    @contextmanager
    def at_hand(self) -> Iterator["Person"]:
        """Signals are noted instead of raised, so that they interrupt nothing that must be completed."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._note_signal) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def tell(self, text: str) -> None:
        """On stderr."""
        print(text, file=sys.stderr, flush=True)

    def prompt(self, question: str, choices: tuple[str, ...]) -> None:
        """Ask; the answer is one of `lines`. What was typed before is no answer to it."""
        self.lines()
        print(f"{question} [{', '.join(f'{choice} {WORDS[choice]}' for choice in choices)}] ", end="", file=sys.stderr, flush=True)

    def lines(self) -> list[str]:
        """Lines typed since the last call, without waiting; raises Aborted after a signal, and when stdin has ended."""
        if self._has_aborted:
            return []
        if self._signal:
            self._abort(f"aborted by {signal.Signals(self._signal).name}")
        while not self._has_ended and select.select([sys.stdin], [], [], 0.0)[0]:
            typed = os.read(sys.stdin.fileno(), 4096)
            self._typed, self._has_ended = self._typed + typed, not typed
        if self._has_ended and b"\n" not in self._typed:
            self._abort("aborted: nobody answers, stdin has ended")
        *lines, self._typed = self._typed.split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def watch(self) -> None:
        """Raises Aborted when something was typed."""
        if self.lines():
            self._abort("aborted: something was typed during a step")

    def _abort(self, why: str) -> NoReturn:
        """Once only: whoever presses keys in fear must not keep the vehicle from being stopped."""
        self._has_aborted = True
        raise Aborted(why)

    def _note_signal(self, number: int, _: object) -> None:
        self._signal = number


def run_first_day(file: str, *, out: Path, place: Mapping[str, str], person_name: str, on_ground: bool, rehearse: bool, overwrite: bool) -> int:
    """Go through the procedure with a vehicle file; place: namespace and domain_id of the vehicle, as bring-ups take them.

    Returns 0 when every step has passed, else 1.
    """
    text_out = out.with_suffix(".txt")
    if out.suffix != ".json":
        raise UsageError(f"--out: is '{out}', must end with .json; the lines for people go to a .txt beside it")
    for path in (out, text_out):
        if path.exists() and not overwrite:
            raise UsageError(f"{path}: exists; --overwrite replaces it")
    if not out.parent.is_dir():
        raise UsageError(f"--out: directory '{out.parent}' does not exist")
    path = resolve_config("vehicles", file)
    vehicle = load_vehicle(path)
    if rehearse:
        vehicle, on_ground = replace(vehicle, adapter="twist_stamped"), True
    procedure = Procedure(steps_of(vehicle, on_ground=on_ground))
    report: dict[str, Any] = {
        "vehicle": vehicle.name,
        "vehicle_file": str(path.resolve()),
        "vehicle_file_sha256": sha256(path.read_bytes()).hexdigest(),
        "person": person_name or getpass.getuser(),
        "on_ground": on_ground,
        "rehearsal": rehearse,
        **place,
        "limits": asdict(gentle_limits(vehicle)),
        "started": _now(),
    }
    with Person().at_hand() as person:
        try:
            _go_through(procedure, vehicle, path, person, place=place, on_ground=on_ground, rehearse=rehearse)
        except MimicError as error:
            procedure.abort(str(error))
            person.tell(f"mimic vehicle test: {error}")
    report |= {"ended": _now(), "passed": procedure.has_passed, "steps": [_step_row(result) for result in procedure.results]}
    lines = report_lines(report)
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    text_out.write_text(lines, encoding="utf-8")
    print(lines, end="")
    return 0 if procedure.has_passed else 1


def _go_through(procedure: Procedure, vehicle: VehicleSpec, path: Path, person: Person, *, place: Mapping[str, str], on_ground: bool, rehearse: bool) -> None:
    table = "first_day_sim" if rehearse else "first_day"
    person.tell("While a step is being done Ctrl-C, or Enter, stops the vehicle and ends the test.")
    with tempfile.TemporaryDirectory(prefix="mimic_first_day_") as scratch:
        gentle = Path(scratch) / f"{path.stem}.yaml"
        gentle.write_text(yaml.safe_dump({**load_yaml(path), "limits": asdict(gentle_limits(vehicle))}), encoding="utf-8")
        with start(table, {"vehicle": str(gentle), **place}) as bringup:
            if rehearse:
                os.environ.update({key: bringup.environment[key] for key in LOOPBACK_KEYS})
            _at_bench(procedure, vehicle, bringup, person, namespace=place["namespace"], on_ground=on_ground, rehearse=rehearse)


def _at_bench(procedure: Procedure, vehicle: VehicleSpec, bringup: Bringup, person: Person, *, namespace: str, on_ground: bool, rehearse: bool) -> None:
    from vehicle_interface.ros_first_day import RosBench

    gentle, domain_id = replace(vehicle, limits=gentle_limits(vehicle)), int(bringup.environment.get("ROS_DOMAIN_ID", "0"))
    bench = RosBench(gentle, watch=person.watch, use_sim_time=rehearse, namespace=namespace, domain_id=domain_id)
    first_day = FirstDay(bench, vehicle, on_ground=on_ground)
    try:
        bench.wait_until_up()
        while not procedure.is_over:
            if procedure.question:
                _ask(procedure, bench, person)
            else:
                measured = first_day.perform(procedure.step)
                person.tell("\n".join(_figure_lines(measured.figures) + [f"  NOT AS IT SHOULD BE: {finding}" for finding in measured.findings]))
                procedure.note(measured)
    except Aborted as aborted:
        procedure.abort(str(aborted))
        person.tell(f"\n{aborted}")
        left = first_day.make_safe()
        if left:
            person.tell(left)
    except MimicError as error:
        raise MimicError(f"{error}\n{bringup.last_lines(INTERFACE)}") from error
    finally:
        bench.close()


def _ask(procedure: Procedure, bench: Any, person: Person) -> None:
    if procedure.is_beginning:
        person.tell(f"\n{procedure.index + 1}/{len(procedure.results)} {procedure.step.name}: {procedure.step.explanation}")
    while True:
        person.prompt(procedure.question, procedure.choices)
        while not (lines := person.lines()):
            bench.listen()
        if procedure.answer(lines[0], time=_now()):
            return


def _step_row(result: Result) -> dict[str, Any]:
    return {
        "step": result.step.name,
        "outcome": result.outcome,
        "attempts": result.attempts,
        "figures": dict(result.measured.figures),
        "findings": list(result.measured.findings),
        "why": result.why,
        "asked": result.step.question or result.step.explanation,
        "answers": [{"time": time, "answer": answer} for time, answer in result.answers],
    }


def report_lines(report: dict[str, Any]) -> str:
    """The report for people."""
    what = "a rehearsal in the simulator" if report["rehearsal"] else "on the ground" if report["on_ground"] else "wheels off the ground"
    lines = [
        f"First day of {report['vehicle']}: {'PASSED' if report['passed'] else 'NOT PASSED'} ({what}), confirmed by {report['person']}",
        f"{report['started']} to {report['ended']}",
        f"{report['vehicle_file']} sha256 {report['vehicle_file_sha256']}",
    ]
    for row in report["steps"]:
        tries = f" (attempt {row['attempts']})" if row["attempts"] > 1 else ""
        lines.append(f"{row['outcome']:8}{row['step']}{tries}{': ' + row['why'] if row['outcome'] != PASSED and row['why'] else ''}")
        lines += _figure_lines(row["figures"])
    return "\n".join(lines) + "\n"


def _figure_lines(figures: Any) -> list[str]:
    return [f"  {name} {'not measured' if value is None else format(value, '.3g')}" for name, value in figures.items()]


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
