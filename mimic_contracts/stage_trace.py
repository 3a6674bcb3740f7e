"""When each frame passed each stage of a node, on the steady clock, as Chrome trace events: for ui.perfetto.dev and chrome://tracing.

A file is a JSON array whose end may be missing, as that format allows, so that what was written before a crash can be read.
Source of the format: Google's "Trace Event Format", complete events (ph X), times in microseconds.
"""

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_contracts.errors import MimicError

WRITE_PERIOD_S = 0.1  # little at a time: while it is made into text, the node's own thread waits
TRAVELLED = "travelled"  # the stage before a node's own: from the message's publication to the callback that gets it


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A stage of the frame with this stamp, from when to when on the steady clock."""

    process: str
    stage: str
    stamp_ns: int
    begin_ns: int
    end_ns: int


class StageTrace:
    """Of one node; does nothing until it is opened. To note a stage takes about a microsecond; a thread writes what was noted, so
    that nobody waits for a disk."""

    def __init__(self) -> None:
        self._is_open = False
        self._noted: deque[tuple[str, int, int, int]] = deque()  # stage, stamp, begin, end
        self._stamp_ns: int | None = None  # None: between two frames
        self._since_ns = 0

    def open(self, directory: Path, process: str) -> None:
        """Begin DIRECTORY/PROCESS.json; raises MimicError when it is there already, or cannot be written."""
        path = directory / f"{process}.json"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = path.open("x", encoding="utf-8")
        except OSError as error:
            why, mend = ("exists", ", or delete it") if path.exists() else (f"cannot be written ({error.strerror})", "")
            raise MimicError(f"trace: {path} {why}: name another directory{mend}") from error
        self._file.write(f"[\n{json.dumps(_process(os.getpid(), process))}")
        self._end = threading.Event()
        self._writer = threading.Thread(target=self._write_on, daemon=True)
        self._is_open = True
        self._writer.start()

    def begin(self, stamp_ns: int, *, sent_ns: int = 0) -> None:
        """A frame begins here; sent_ns: when its message was published, on the system clock, where that is known."""
        if self._is_open:
            now_ns = time.monotonic_ns()
            self._stamp_ns, self._since_ns = stamp_ns, now_ns
            if sent_ns:
                self._noted.append((TRAVELLED, stamp_ns, now_ns - max(time.time_ns() - sent_ns, 0), now_ns))

    def mark(self, stage: str) -> None:
        """A stage of the frame ends here, and the next begins."""
        if self._is_open and self._stamp_ns is not None:
            now_ns = time.monotonic_ns()
            self._noted.append((stage, self._stamp_ns, self._since_ns, now_ns))
            self._since_ns = now_ns

    def end(self, stage: str) -> None:
        """The last stage of the frame ends here."""
        self.mark(stage)
        self._stamp_ns = None

    def close(self) -> None:
        """Write what is left."""
        if self._is_open:
            self._end.set()
            self._writer.join()
            if self._is_open:
                self._file.write("\n]\n")
            self._file.close()
            self._is_open = False

    def _write_on(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._end.wait(WRITE_PERIOD_S)
            try:
                while self._noted:
                    stage, stamp_ns, begin_ns, end_ns = self._noted.popleft()
                    self._file.write(",\n" + json.dumps(_event(os.getpid(), stage, stamp_ns, begin_ns, end_ns)))
                self._file.flush()
            except OSError as error:  # a full disk: the node has other work
                self._is_open = False
                sys.stderr.write(f"trace: {self._file.name} ends here: {error.strerror}\n")
                return


def chrome_events(slices: Iterable[Slice]) -> list[dict[str, Any]]:
    """The slices of all nodes as one array of trace events, a process each."""
    numbers: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    for one in slices:
        if one.process not in numbers:
            numbers[one.process] = len(numbers) + 1
            events.append(_process(numbers[one.process], one.process))
        events.append(_event(numbers[one.process], one.stage, one.stamp_ns, one.begin_ns, one.end_ns))
    return events


def read_trace(path: Path) -> list[Slice]:
    """The slices of a file, whole or cut off; raises MimicError when it is no trace."""
    process, slices = path.stem, []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        text = line.strip().rstrip(",")
        if text in ("[", "]", ""):
            continue
        try:
            event = json.loads(text)
            if event["ph"] == "X":
                begin_ns = round(event["ts"] * 1e3)
                end_ns = begin_ns + round(event["dur"] * 1e3)
                slices.append(Slice(process=process, stage=event["name"], stamp_ns=event["args"]["stamp_ns"], begin_ns=begin_ns, end_ns=end_ns))
        except (ValueError, KeyError, TypeError) as error:
            if 0 < number == len(lines) - 1:  # cut off
                break
            raise MimicError(f"{path}: line {number + 1} is no trace event: {error}") from error
    return slices


def _process(number: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": name}}


def _event(process: int, stage: str, stamp_ns: int, begin_ns: int, end_ns: int) -> dict[str, Any]:
    times = {"ts": begin_ns / 1e3, "dur": (end_ns - begin_ns) / 1e3}
    return {"ph": "X", "name": stage, "pid": process, "tid": 0, **times, "args": {"stamp_ns": stamp_ns}}
