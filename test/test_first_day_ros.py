"""`mimic vehicle test` as its user runs it, with a car over DDS. The whole of it, and other faults: benchmarks/first_day.py."""

import json
import signal
from hashlib import sha256

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from first_day_car import Car, Terminal, vehicle_file

pytestmark = pytest.mark.ros


def test_the_driver_overrides_and_ctrl_c_in_a_motion_stops_the_car_and_leaves_a_report(ros, tmp_path):
    car = Car(ros.node, namespace="/car_7", has_timeout=False)  # nothing but the vehicle interface stops it
    path, out = vehicle_file(tmp_path), tmp_path / "report.json"
    terminal = Terminal(path, "--on-ground", "--namespace", "car_7", "--person", "the tester", "--out", out)
    try:
        while not (terminal.step == "speed" and car.ego.speed_mps > 0.5):
            ros.wait_until(lambda: terminal.asks or car.ego.speed_mps > 0.5, "a question, or the motion", timeout_s=60.0)
            assert terminal.process.poll() is None, terminal.said + terminal.end()[1]
            if not terminal.asks:
                continue
            is_beginning = "Ready?" in terminal.question
            terminal.answer("r" if "Do it again?" in terminal.question else "y")  # the test's machine may be too busy for the limits
            if is_beginning and terminal.step == "override":
                car.control = None
                ros.wait_until(lambda: car.control is not None, "the engagement")
                car.is_braked_by_driver = True
                ros.spin_for(0.5)
                car.is_braked_by_driver = False
        for _ in range(3):  # in fear
            terminal.process.send_signal(signal.SIGINT)
            ros.spin_for(0.1)
        terminal.process.stdin.close()
        ros.wait_until(lambda: terminal.process.poll() is not None, "the end", timeout_s=60.0)
        code, lines = terminal.end()
    finally:
        terminal.close()
    assert code == 1 and terminal.said.count("aborted by SIGINT") == 1 and "Traceback" not in terminal.said
    assert car.ego.speed_mps < 0.1 and car.top_mps < 1.1
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [step["outcome"] for step in report["steps"]] == ["passed"] * 4 + ["failed"] + ["skipped"] * 3
    assert (report["passed"], report["person"], report["on_ground"], report["namespace"]) == (False, "the tester", True, "car_7")
    assert report["vehicle_file_sha256"] == sha256(path.read_bytes()).hexdigest()
    override, speed = report["steps"][3], report["steps"][4]
    assert override["figures"]["silent_after_s"] <= 0.2 and override["answers"][-1]["answer"] == "yes"
    assert speed["why"] == "aborted by SIGINT" and speed["answers"][0]["time"].startswith("20")
    assert out.with_suffix(".txt").read_text(encoding="utf-8") == lines and "NOT PASSED (on the ground), confirmed by the tester" in lines
