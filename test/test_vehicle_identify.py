"""`mimic vehicle identify`: from bags to a piece of a vehicle file, with the simulator's car as the one that is known."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from bag_helpers import MAP, SHARED, START_NS, header, odometry, wheel, write_bag
from bag_helpers import STORE as TYPES

from bag_tools.bag_reader import Bag
from bag_tools.topic_map import load_topic_map
from bag_tools.vehicle_signals import vehicle_signals
from mimic.cli import main
from mimic_contracts.errors import MimicError
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.ego import SPEED_LAG_S, STEERING_LAG_S, Control, EgoMotion, step

CAR = load_vehicle("simulator")
SIGNALS = """signals:
  speed_mps: {topic: /odom, field: twist.twist.linear.x}
  yaw_rate_radps: {topic: /odom, field: twist.twist.angular.z}
  command_speed_mps: {topic: /vehicle/command, field: twist.linear.x}
  command_yaw_rate_radps: {topic: /vehicle/command, field: twist.angular.z}
  throttle: {topic: /pedals, field: "position[0]"}
"""
WITH_COMMANDS = MAP.replace("signals:\n", SIGNALS)
TICK_NS = 50_000_000


def command(stamp_ns, speed, yaw_rate):
    vector = TYPES.types["geometry_msgs/msg/Vector3"]
    twist = TYPES.types["geometry_msgs/msg/Twist"](linear=vector(x=speed, y=0.0, z=0.0), angular=vector(x=0.0, y=0.0, z=yaw_rate))
    return "/vehicle/command", "geometry_msgs/msg/TwistStamped", TYPES.types["geometry_msgs/msg/TwistStamped"](header=header(stamp_ns), twist=twist)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """120 s of the simulator's car under twist commands at 20 Hz."""
    ego, messages = EgoMotion(x_m=0.0, y_m=0.0, yaw_rad=0.0, speed_mps=8.0), []
    for k in range(2400):
        stamp_ns, time_s = START_NS + k * TICK_NS, k * TICK_NS / 1e9
        speed = 8.0 + 3.0 * np.sin(time_s / 3.0) + np.sin(time_s / 1.3)
        curvature = 0.02 * np.sin(time_s / 2.1) + 0.01 * np.sin(time_s / 0.9)
        angle = CAR.steering_ratio * np.arctan(CAR.wheelbase_m * ego.curvature_1pm)
        moved = odometry(stamp_ns, x_m=ego.x_m, yaw_rad=ego.yaw_rad, speed_mps=ego.speed_mps, yaw_rate_radps=ego.yaw_rate_radps)
        messages += [(stamp_ns, item) for item in (moved, wheel(stamp_ns, angle + 0.05), command(stamp_ns, speed, speed * curvature))]
        ego = step(ego, CAR, Control.from_twist(speed_mps=speed, yaw_rate_radps=speed * curvature), duration_s=TICK_NS / 1e9)
    return write_bag(tmp_path_factory.mktemp("identify") / "drive", messages)


def written_map(tmp_path: Path, text: str = WITH_COMMANDS) -> str:
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_simulators_car_is_found_again(bag, tmp_path, capsys):
    arguments = ["vehicle", "identify", str(bag), "--topics", written_map(tmp_path), "--vehicle", "simulator", "--out", str(tmp_path / "found.yaml")]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    found = yaml.safe_load(out)
    assert (tmp_path / "found.yaml").read_text(encoding="utf-8") == out and "no throttle: topic /pedals is not in the bag" in err
    assert found["steering_ratio"] == pytest.approx(15.0, abs=0.01) and found["steering_offset_rad"] == pytest.approx(0.05, abs=0.001)
    assert found["actuation_latency_s"] == pytest.approx(STEERING_LAG_S, abs=0.03)
    assert set(found) == {"steering_ratio", "steering_offset_rad", "actuation_latency_s"}
    speed_delay_s = float(out.split("# speed_delay_s: ")[1].split()[0])
    assert speed_delay_s == pytest.approx(SPEED_LAG_S, abs=0.06)
    assert "; the file says 15\n" in out and "  # brake_gain_mps2: not identifiable: no throttle, brake in the recording\n" in out
    assert main(arguments) == 2 and "found.yaml: exists; --overwrite replaces it" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_pedals_must_be_shares_of_their_travel(bag, tmp_path, capsys):
    percent = WITH_COMMANDS.replace("{topic: /pedals, field: ", "{topic: /vehicle/steering_wheel, factor: 100.0, field: ")
    assert main(["vehicle", "identify", str(bag), "--topics", written_map(tmp_path, percent), "--vehicle", "simulator"]) == 1
    assert "throttle is" in (err := capsys.readouterr().err) and "0 to 1: give factor and offset" in err


def test_signals_without_headers_are_taken_as_they_were_written_down(bag, tmp_path):
    """And never with stamps of another clock."""
    messages = []
    for k in range(100):
        log_ns = START_NS + k * TICK_NS
        plain = command(0, float(k), 0.0)[2].twist
        messages += [(log_ns, wheel(log_ns - 10**12, 0.01 * k)), (log_ns, ("/vehicle/command", "geometry_msgs/msg/Twist", plain))]
    topics = load_topic_map(
        written_map(tmp_path, WITH_COMMANDS.replace("field: twist.linear.x}", "field: linear.x}").replace("field: twist.angular.z}", "field: angular.z}"))
    )
    with Bag(write_bag(tmp_path / "plain", messages)) as plain_bag:
        signals, missing = vehicle_signals(plain_bag, topics, step_s=0.02)
    np.testing.assert_allclose(signals["command_speed_mps"], 100.0 * signals["steering_wheel_rad"], atol=1e-9)
    assert set(missing) == {"speed_mps", "yaw_rate_radps", "throttle"}
    apart = [message for k in range(20) for message in ((k, wheel(START_NS + k * TICK_NS, 0.1)), (k, command(1 + k * TICK_NS, 1.0, 0.0)))]
    with Bag(write_bag(tmp_path / "apart", apart)) as two_clocks, pytest.raises(MimicError, match="never recorded at the same time, or their stamps"):
        vehicle_signals(two_clocks, load_topic_map(written_map(tmp_path)), step_s=0.02)


@pytest.mark.skipif(not (SHARED / "udacity_hmb3").is_dir(), reason="the real car's bags are not here")
def test_a_recording_without_speed_tells_nothing_and_says_so(capsys):
    bag = SHARED / "udacity_hmb3" / "train_158_164"
    assert main(["vehicle", "identify", str(bag), "--topics", "udacity_hmb3", "--vehicle", "twist_car"]) == 1
    out, err = capsys.readouterr()
    assert "# steering_ratio: not identifiable: no speed_mps, yaw_rate_radps in the recording" in out and "tells nothing" in err
    assert yaml.safe_load(out) is None
