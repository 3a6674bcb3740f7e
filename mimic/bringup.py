"""Running processes of a bring-up: started together, watched, ended in order."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mimic.process_table import EXECUTABLES, ProcessSpec, Table
from mimic_contracts.errors import MimicError

GRACE_S = 5.0  # after SIGINT, and again after SIGTERM
RESPAWN_S = 1.0  # from the end of a process that is started again to its start
LAST_LINES = 12
POLL_S = 0.2


class Bringup:
    """Running processes of a bring-up; made by `start`."""

    def __init__(self, specs: Sequence[ProcessSpec], *, log_directory: Path, environment: Mapping[str, str], is_quiet: bool, fails_together: bool) -> None:
        self.log_directory = log_directory
        self.environment = environment
        self._fails_together = fails_together
        self._specs = {spec.name: spec for spec in specs}
        self._is_quiet = is_quiet
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._failed: dict[str, int] = {}
        self._respawn_s: dict[str, float] = {}
        for spec in specs:
            self._start(spec)

    def _start(self, spec: ProcessSpec) -> None:
        command = [sys.executable, "-m", EXECUTABLES[spec.executable], "--ros-args", *spec.ros_arguments()]
        with (self.log_directory / f"{spec.name}.log").open("ab") as log:
            self._processes[spec.name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log if self._is_quiet else None,
                stderr=subprocess.STDOUT if self._is_quiet else None,
                env=dict(self.environment),
                start_new_session=True,
            )

    def wait_for_exit_of(self, name: str, *, timeout_s: float) -> None:
        """Wait until this process ends with 0; raises MimicError when it, or any other meanwhile, fails, or time is up."""
        deadline_s = time.monotonic() + timeout_s
        while self._processes[name].poll() is None:
            self._raise_for_failed()
            if time.monotonic() > deadline_s:
                raise MimicError(f"{name} did not end within {timeout_s:.0f} s:\n{self.last_lines(name)}")
            with suppress(subprocess.TimeoutExpired):
                self._processes[name].wait(POLL_S)
        self._raise_for_failed()

    def _raise_for_failed(self) -> None:
        for name, process in self._processes.items():
            if process.poll():
                raise MimicError(f"{name} ended with exit code {process.returncode}:\n{self.last_lines(name)}")

    def wait(self) -> int:
        """Wait until a process whose end ends all does so, or all have ended, or one fails that the others need; returns the exit code."""
        while True:
            codes = {name: process.poll() for name, process in self._processes.items()}
            for name, code in codes.items():
                if code is not None and self._specs[name].respawns:
                    self._respawn(self._specs[name], code)
                    continue
                if code and name not in self._failed:
                    self._failed[name] = code
                    print(f"{name} ended with exit code {code}", file=sys.stderr)
                if code is not None and (self._specs[name].ends_all or (code and self._fails_together)):
                    return code
            running = [name for name, code in codes.items() if code is None]
            if not running:
                return next(iter(self._failed.values()), 0)
            with suppress(subprocess.TimeoutExpired):
                self._processes[running[0]].wait(POLL_S)

    def _respawn(self, spec: ProcessSpec, code: int) -> None:
        if spec.name not in self._respawn_s:
            self._respawn_s[spec.name] = time.monotonic() + RESPAWN_S
            print(f"{spec.name} ended with exit code {code}: it is started again", file=sys.stderr)
        elif time.monotonic() > self._respawn_s[spec.name]:
            del self._respawn_s[spec.name]
            self._start(spec)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its processes."""
        return tuple(self._processes)

    def process(self, name: str) -> "subprocess.Popen[bytes]":
        """One of the processes, for whoever wants to see how it does, or to end it."""
        return self._processes[name]

    def last_lines(self, name: str) -> str:
        """The end of a process's log."""
        path = self.log_directory / f"{name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        return "\n".join(f"  {line}" for line in lines[-LAST_LINES:]) or "  (it wrote nothing)"

    def stop(self) -> None:
        """End all processes, the last started first: SIGINT, then SIGTERM, then SIGKILL."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            running = [process for process in reversed(self._processes.values()) if process.poll() is None]
            for process in running:
                os.killpg(process.pid, number)
            deadline_s = time.monotonic() + GRACE_S
            for process in running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.01, deadline_s - time.monotonic()))


@contextmanager
def start(name: str, arguments: Mapping[str, str], *, log_directory: Path | None = None, is_quiet: bool = True) -> Iterator[Bringup]:
    """Run a bring-up for the time of a `with` block; when quiet, logs go to log_directory, by default one that goes with it."""
    table = Table.load(name)
    specs = table.process_specs(arguments)
    environment = table.environment(arguments)
    with tempfile.TemporaryDirectory(prefix=f"mimic_{table.name}_") as scratch:
        directory = Path(scratch) if log_directory is None else log_directory
        directory.mkdir(parents=True, exist_ok=True)
        bringup = Bringup(specs, log_directory=directory, environment=environment, is_quiet=is_quiet, fails_together=table.loopback)
        try:
            yield bringup
        finally:
            bringup.stop()
