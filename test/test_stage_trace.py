"""Traces of the stages of frames: written, read again, and made into a table."""

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from mimic.cli import main
from mimic.trace_table import rows_of, whole_way_ms
from mimic_contracts.errors import MimicError
from mimic_contracts.stage_trace import TRAVELLED, Slice, StageTrace, read_trace

MS = 1_000_000


def traced(directory: Path, process: str, stages: tuple[str, ...], frames: int = 3) -> Path:
    """A file with these stages of some frames, stamped 1, 2, 3 …"""
    trace = StageTrace()
    trace.open(directory, process)
    for stamp_ns in range(1, frames + 1):
        trace.begin(stamp_ns, sent_ns=time.time_ns() - MS)
        for stage in stages[:-1]:
            trace.mark(stage)
        trace.end(stages[-1])
        trace.mark("between two frames: nobody's")
    trace.close()
    return directory / f"{process}.json"


def a_slice(process: str, stage: str, begin_ms: float, end_ms: float, stamp_ns: int = 7) -> Slice:
    return Slice(process=process, stage=stage, stamp_ns=stamp_ns, begin_ns=round(begin_ms * MS), end_ns=round(end_ms * MS))


def test_what_was_noted_can_be_read(tmp_path: Path) -> None:
    path = traced(tmp_path / "made", "camera_node", ("decoded", "published"))
    slices = read_trace(path)
    assert [(one.stamp_ns, one.stage) for one in slices] == [(stamp, stage) for stamp in (1, 2, 3) for stage in (TRAVELLED, "decoded", "published")]
    assert all(one.process == "camera_node" and one.begin_ns <= one.end_ns for one in slices)
    assert all(before.end_ns == after.begin_ns for before, after in pairwise(slices) if after.stage != TRAVELLED)
    events = json.loads(path.read_text(encoding="utf-8"))
    assert events[0]["args"] == {"name": "camera_node"} and {event["ph"] for event in events[1:]} == {"X"}


def test_what_a_killed_node_left_can_be_read(tmp_path: Path) -> None:
    path = traced(tmp_path, "camera_node", ("decoded", "published"))
    whole = read_trace(path)
    text = path.read_text(encoding="utf-8")
    for end in (text.rindex('"stamp_ns"'), text.rindex("}")):
        path.write_text(text[:end], encoding="utf-8")
        assert read_trace(path) == whole[:-1]
    path.write_text('[\n{"ph": "X", "name": "decoded"}\n]\n', encoding="utf-8")
    with pytest.raises(MimicError, match=r"camera_node.json: line 2 is no trace event"):
        read_trace(path)


def test_a_trace_that_is_not_asked_for_costs_nothing_and_one_that_is_there_is_kept(tmp_path: Path) -> None:
    silent = StageTrace()
    silent.begin(1, sent_ns=1)
    silent.end("decoded")
    silent.close()
    path = traced(tmp_path, "planner_node", ("inferred",))
    content = path.read_bytes()
    with pytest.raises(MimicError, match=r"planner_node.json exists: name another directory, or delete it"):
        StageTrace().open(tmp_path, "planner_node")
    assert path.read_bytes() == content
    with pytest.raises(MimicError, match=r"cannot be written \(File exists\)"):
        StageTrace().open(path, "planner_node")


def test_a_full_disk_ends_the_trace_and_not_the_node(tmp_path: Path) -> None:
    code = f"""
import resource, pathlib
from mimic_contracts.stage_trace import StageTrace
trace = StageTrace()
trace.open(pathlib.Path({str(tmp_path)!r}), "camera_node")
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
for stamp in range(1000):
    trace.begin(stamp)
    trace.end("published")
trace._writer.join()
trace.end("published")
trace.close()
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert "camera_node.json ends here: File too large" in done.stderr
    assert 0 < len(read_trace(tmp_path / "camera_node.json")) < 1000


def test_the_whole_way_is_from_the_first_camera_to_the_actuation() -> None:
    slices = [
        a_slice("vehicle_interface_node", "published", 18.0, 20.0),
        a_slice("planner_node", "inferred", 8.0, 11.0),
        a_slice("camera_node", TRAVELLED, 3.0, 4.0),
        a_slice("camera_node", TRAVELLED, 2.0, 5.0),
        a_slice("camera_node", TRAVELLED, 50.0, 51.0, stamp_ns=8),  # led to nothing
        a_slice("vehicle_interface_node", "published", 90.0, 91.0, stamp_ns=9),  # came of nothing
    ]
    assert whole_way_ms(slices).tolist() == [18.0]
    assert whole_way_ms(slices, since_ns=8).tolist() == []
    assert [(node, stage, times.tolist()) for node, stage, times in rows_of(slices)] == [
        ("camera_node", TRAVELLED, [1.0, 3.0, 1.0]),
        ("planner_node", "inferred", [3.0]),
        ("vehicle_interface_node", "published", [2.0, 1.0]),
        ("picture → actuation", "", [18.0]),
    ]
    assert len(rows_of(slices[1:2])) == 1


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(tmp_path)]) == 2
    assert "holds no traces" in capsys.readouterr().err
    for node in ("camera_node", "planner_node", "vehicle_interface_node"):
        traced(tmp_path, node, ("worked", "published"))
    out = tmp_path / "all.json"
    assert main(["trace", str(tmp_path), "--json", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11 and lines[0].split() == ["node", "stage", "frames", "p50", "p99", "p99.9", "max", "ms"]
    assert lines[2].split()[:3] == ["camera_node", "worked", "3"] and lines[-1].startswith("picture → actuation")
    events = json.loads(out.read_text(encoding="utf-8"))
    assert sorted({event["pid"] for event in events}) == [1, 2, 3] and len(events) == 3 + 3 * 3 * 3
    assert main(["trace", str(tmp_path), "--json", str(out)]) == 2
    assert main(["trace", str(tmp_path), "--json", str(out), "--overwrite"]) == 0
    assert capsys.readouterr().out.splitlines() == lines
