"""`mimic top`: what it makes of arrivals, how it says so, and that it does nothing but listen."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vehicle_helpers import arc_plan

from mimic.cli import main
from mimic.domain import child_environment
from mimic.top_core import COMPLAINT_NS, PLAN_TOPIC, VERDICT_TOPIC, WINDOW_NS, PipelineTopics, TopCore
from mimic.top_text import top_text
from mimic_contracts.rig import load_rig
from mimic_contracts.vehicle import load_vehicle

MS, S = 1_000_000, 1_000_000_000
TOPICS = PipelineTopics.of(load_vehicle("simulator"), load_rig("mono"))
PICTURE, ODOMETRY, COMMAND = "/camera/front/image_raw", "/localization/kinematic_state", "/vehicle/command"
HEART = "/camera_node/heartbeat"
EPOCH_NS = 1_790_000_000 * S  # publishers tell the time since 1970, a simulator's stamps begin at 0
VALUES = {
    "mode": "engaged",
    "driven_by": "planner",
    "asked_acceleration_mps2": "1.5",
    "asked_curvature_1pm": "0.01",
    "commanded_acceleration_mps2": "0.25",
    "commanded_curvature_1pm": "0.008",
    "commanded_speed_mps": "8.3",
    "limits": "max_jerk_mps3 0.40, max_lateral_jerk_mps3 1.00",
}


def row(figures: dict[str, Any], topic: str) -> dict[str, Any] | None:
    return next((one for one in figures["topics"] if one["topic"] == topic), None)


def driven(*, stamp_offset_ns: int = 0, seconds: float = 4.0) -> TopCore:
    """Pictures at 20 Hz, their plans 12 ms later, commands at 50 Hz."""
    core = TopCore(TOPICS)
    for k in range(round(seconds * 20)):
        at_ns = k * 50 * MS
        core.note(PICTURE, steady_ns=at_ns, source_ns=EPOCH_NS + at_ns, stamp_ns=stamp_offset_ns + at_ns)
        core.note(PLAN_TOPIC, steady_ns=at_ns + 13 * MS, source_ns=EPOCH_NS + at_ns + 12 * MS, stamp_ns=stamp_offset_ns + at_ns)
    for k in range(round(seconds * 50)):
        core.note(COMMAND, steady_ns=k * 20 * MS, source_ns=EPOCH_NS + k * 20 * MS)
    return core


def test_rates_ages_and_gaps_are_the_publishers() -> None:
    core = TopCore(TOPICS)
    for k in [*range(20), *range(25, 41)]:  # five are missing
        core.note(ODOMETRY, steady_ns=0, source_ns=EPOCH_NS + k * 50 * MS)  # all heard at once: this process was busy
    core.note(PICTURE, steady_ns=0, source_ns=EPOCH_NS)
    figures = core.figures(steady_ns=2 * S)
    assert row(figures, ODOMETRY) == {"topic": ODOMETRY, "rate_hz": pytest.approx(20.0), "age_s": 2.0, "longest_gap_s": pytest.approx(0.3), "gaps": 1}
    assert row(figures, PICTURE) == {"topic": PICTURE, "rate_hz": None, "age_s": 2.0, "longest_gap_s": None, "gaps": None}
    assert row(figures, COMMAND) == {"topic": COMMAND, "rate_hz": None, "age_s": None, "longest_gap_s": None, "gaps": None}
    assert row(core.figures(steady_ns=WINDOW_NS + 1), ODOMETRY)["rate_hz"] is None, "only the last seconds count"


def test_topics_stand_in_the_order_of_the_way() -> None:
    core = TopCore(TOPICS)
    for topic in ("/planner_node/heartbeat", "/camera_node/heartbeat", "/planning/route", VERDICT_TOPIC, PICTURE):
        core.note(topic, steady_ns=0, source_ns=1)
    names = [one["topic"] for one in core.figures(steady_ns=0)["topics"]]
    assert names == [*TOPICS.required, "/planning/route", "/camera_node/heartbeat", "/planner_node/heartbeat"]
    quad = PipelineTopics.of(load_vehicle("simulator_quad"), load_rig("quad"))
    assert quad.required[:2] == ("/camera/front/image_raw", "/camera/tele/image_raw")


def test_latencies_lead_from_the_picture_to_its_plan_and_the_command_that_knows_it() -> None:
    latency = driven().figures(steady_ns=4 * S)["latency_ms"]
    assert latency["picture_to_plan"] == {"p50": pytest.approx(12.0), "p99": pytest.approx(12.0), "count": 80}
    # Planned 12 ms after pictures at 0, 50, 100 … ms; commands at 0, 20, 40 … ms: 20, and 80 - 50 = 30 ms, in turn.
    assert latency["picture_to_command"]["p50"] == pytest.approx(25.0, abs=5.0) and latency["picture_to_command"]["p99"] == pytest.approx(30.0)
    assert latency["stamp_to_picture"] is None, "a simulator's stamps are of another clock"
    late = driven(stamp_offset_ns=EPOCH_NS - 7 * MS).figures(steady_ns=4 * S)["latency_ms"]
    assert late["stamp_to_picture"] == {"p50": pytest.approx(7.0), "p99": pytest.approx(7.0), "count": 80}
    assert TopCore(TOPICS).figures(steady_ns=0)["latency_ms"] == {"stamp_to_picture": None, "picture_to_plan": None, "picture_to_command": None}


def test_what_nodes_say_of_themselves() -> None:
    core = TopCore(TOPICS)
    unknown = core.figures(steady_ns=0)
    assert (unknown["mode"], unknown["takeover_requested"], unknown["verdict"], unknown["limits"], unknown["interface_age_s"]) == (None, None, None, {}, None)
    core.note_mode("engaged")
    core.note_takeover_request(False)
    core.note_verdict(1, "too dark")
    core.note_speed(8.1)
    core.note_planned_speed(9.0)
    core.note_status("vehicle_interface_node", 0, "engaged by request", VALUES, steady_ns=S)
    core.note_status("camera_node", 1, "camera 'front': low rate", {}, steady_ns=S)
    core.note_status("camera_node", 2, "camera 'left': no picture", {}, steady_ns=S)
    core.note_status("camera_node", 0, "camera 'left': ok", {}, steady_ns=S)
    core.note_status("supervisor_node", 1, "too dark", {}, steady_ns=S)
    figures = core.figures(steady_ns=2 * S)
    assert json.loads(json.dumps(figures)) == figures
    assert (figures["mode"], figures["driven_by"], figures["takeover_requested"], figures["verdict"]) == ("engaged", "planner", False, "warn")
    assert figures["asked"] == {"acceleration_mps2": 1.5, "curvature_1pm": 0.01}
    assert figures["commanded"] == {"acceleration_mps2": 0.25, "curvature_1pm": 0.008, "speed_mps": 8.3}
    assert figures["limits"] == {"max_jerk_mps3": 0.4, "max_lateral_jerk_mps3": 1.0}
    assert (figures["speed_mps"], figures["planned_speed_mps"], figures["interface_age_s"]) == (8.1, 9.0, 1.0)
    assert figures["complaints"] == [{"node": "camera_node", "level": "warn", "message": "camera 'front': low rate"}], "the verdict says the other"
    assert core.figures(steady_ns=S + COMPLAINT_NS + 1)["complaints"] == []


def test_the_table_for_people() -> None:
    core = driven()
    core.note_status("vehicle_interface_node", 0, "engaged by request", VALUES, steady_ns=S)
    core.note_status("camera_node", 1, "camera 'front': low rate", {}, steady_ns=4 * S)
    core.note_mode("engaged")
    core.note_takeover_request(True)
    core.note_verdict(2, "no odometry within 0.3 s")
    lines = top_text(core.figures(steady_ns=4 * S)).splitlines()
    assert lines[:3] == [
        "mode        engaged, plans by planner: engaged by request",
        "takeover    A DRIVER IS NEEDED",
        "supervisor  error: no odometry within 0.3 s",
    ]
    words = {line.split("  ")[0]: line.split() for line in lines}
    assert words["acceleration"] == ["acceleration", "1.50", "0.25", "-", "m/s2"]
    assert "limits that bite  max_jerk_mps3 (40% of the steps), max_lateral_jerk_mps3 (100% of the steps)" in lines
    assert words["picture -> plan"][-3:] == ["12.0", "12.0", "80"] and words["stamp -> picture"][-3:] == ["-", "-", "0"]
    assert words[PICTURE] == [PICTURE, "20.0", "0.05", "0.050", "0"] and words[ODOMETRY] == [ODOMETRY, "-", "-", "-", "-", "!"]
    assert lines[-1] == "warn  camera_node: camera 'front': low rate"
    assert max(map(len, lines)) < 100 and not any(line != line.rstrip() for line in lines)
    stale = top_text(core.figures(steady_ns=5 * S)).splitlines()
    assert next(line for line in stale if line.startswith(PICTURE)).endswith("!"), "silent for a second at 20 Hz"


@pytest.mark.ros
def test_it_hears_a_pipeline_and_only_listens(ros, tmp_path: Path) -> None:
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
    from geometry_msgs.msg import TwistStamped
    from nav_msgs.msg import Odometry
    from sensor_msgs.msg import Image
    from std_msgs.msg import Bool, Header, String
    from trajectory_msgs.msg import JointTrajectory

    from mimic_contracts.ros_conversions import odometry_message, plan_message, rgb_message
    from mimic_contracts.ros_lifecycle import LATCHED_QOS, SENSOR_QOS

    kinds = {PICTURE: Image, ODOMETRY: Odometry, PLAN_TOPIC: JointTrajectory, COMMAND: TwistStamped, VERDICT_TOPIC: DiagnosticStatus}
    publishers = {topic: ros.publisher(kind, f"/car_7{topic}", SENSOR_QOS, matched=False) for topic, kind in kinds.items()}
    diagnostics = ros.publisher(DiagnosticArray, "/car_7/diagnostics", matched=False)
    hearts = [ros.publisher(Header, f"{space}/camera_node/heartbeat", SENSOR_QOS, matched=False) for space in ("/car_7", "/car_7/inner", "")]
    ros.publisher(String, "/car_7/vehicle/mode", LATCHED_QOS, matched=False).publish(String(data="engaged"))
    ros.publisher(Bool, "/car_7/vehicle/takeover_request", LATCHED_QOS, matched=False).publish(Bool(data=False))
    said = DiagnosticStatus(level=DiagnosticStatus.OK, name="vehicle_interface_node", message="engaged by request")
    said.values = [KeyValue(key=key, value=value) for key, value in VALUES.items()]

    def tick() -> None:
        now_ns = ros.node.get_clock().now().nanoseconds
        messages = {
            PICTURE: rgb_message(np.zeros((8, 8, 3), np.uint8), stamp_ns=now_ns, frame_id="front"),
            ODOMETRY: odometry_message(stamp_ns=now_ns, pose=np.zeros(3), speed_mps=8.0, yaw_rate_radps=0.0),
            PLAN_TOPIC: plan_message(arc_plan(stamp_ns=now_ns, speed=8.0, acceleration=0.5)),
            VERDICT_TOPIC: DiagnosticStatus(level=DiagnosticStatus.WARN, message="too dark"),
            COMMAND: TwistStamped(),
        }
        for topic, message in messages.items():
            publishers[topic].publish(message)
        publishers[PLAN_TOPIC].publish(JointTrajectory())  # of no use, and no harm
        diagnostics.publish(DiagnosticArray(status=[said]))
        for heart in hearts:
            heart.publish(Header())

    ros.node.create_timer(0.05, tick)
    out = tmp_path / "lines.json"
    with out.open("wb") as file:
        top = subprocess.Popen([sys.executable, "-m", "mimic.cli", "top", "--namespace", "car_7", "--json"], env=child_environment(loopback=True), stdout=file)

    def last() -> dict[str, Any]:
        lines = [line for line in out.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return json.loads(lines[-1]) if lines else {}

    def has_heard_all() -> bool:
        figures = last()
        return bool(figures and figures["limits"] and figures["mode"] and row(figures, HEART) and figures["latency_ms"]["picture_to_plan"])

    try:
        ros.wait_until(has_heard_all, "all of it in one line")
        own = {name for name, _ in ros.node.get_publisher_names_and_types_by_node("mimic_top", "/car_7")}
        assert own <= {"/parameter_events"}, "which each node of rclpy has"
        assert ros.node.get_service_names_and_types_by_node("mimic_top", "/car_7") == []
        figures = last()
        top.send_signal(signal.SIGINT)
        ros.wait_until(lambda: top.poll() is not None, "its end")
    finally:
        top.kill()
    assert top.returncode == 0
    assert (figures["mode"], figures["takeover_requested"], figures["verdict"], figures["verdict_reason"]) == ("engaged", False, "warn", "too dark")
    assert figures["limits"] == {"max_jerk_mps3": 0.4, "max_lateral_jerk_mps3": 1.0} and figures["speed_mps"] == 8.0
    assert figures["planned_speed_mps"] == pytest.approx(8.5)
    assert 0.0 < row(figures, PICTURE)["rate_hz"] < 40.0
    assert {one["topic"] for one in figures["topics"]} == {*TOPICS.required, HEART}, "of no other namespace"
    assert row(figures, "/perception/frame")["age_s"] is None, "which nobody publishes"
    assert figures["latency_ms"]["picture_to_plan"]["p50"] > 0.0 and figures["latency_ms"]["stamp_to_picture"]["count"] > 0


@pytest.mark.ros
def test_where_nobody_is_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for key, value in child_environment(loopback=True).items():
        monkeypatch.setenv(key, value)
    begun_s = time.monotonic()
    assert main(["top", "--once", "--seconds", "0.2"]) == 1
    out, err = capsys.readouterr()
    assert "nobody publishes any of the topics here: are ROS_DOMAIN_ID and --namespace those of the nodes?" in err and PICTURE in out
    assert time.monotonic() - begun_s < 10.0
    assert main(["top", "--namespace", "car 7"]) == 2 and "--namespace is 'car 7'" in capsys.readouterr().err
    assert main(["top", "--vehicle", "unicorn"]) == 1 and "vehicles: 'unicorn'" in capsys.readouterr().err
