"""Message types of actuation: those that are there, and a clear word about those that are not."""

import dataclasses
import math
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from std_msgs.msg import Bool

from mimic_contracts.errors import MimicError
from mimic_contracts.plan import Command
from mimic_contracts.ros_lifecycle import LATCHED_QOS
from mimic_contracts.vehicle import ADAPTERS, load_vehicle
from vehicle_interface import ros_actuation
from vehicle_interface.longitudinal import Pedals
from vehicle_interface.ros_actuation import MESSAGES, actuation_message, actuation_qos, actuation_type, is_overridden, told


def test_every_adapter_of_a_vehicle_file_has_its_message() -> None:
    assert set(MESSAGES) == set(ADAPTERS)


@pytest.mark.parametrize(("adapter", "message"), MESSAGES.items())
def test_the_type_is_found_or_its_package_is_named(adapter: str, message: tuple[str, str]) -> None:
    package, name = message
    if find_spec(package) is None:
        with pytest.raises(MimicError, match=f"adapter '{adapter}': needs the ROS package {package}.*apt install"):
            actuation_type(adapter)
    else:
        assert actuation_type(adapter).__name__ == name


# Autoware's messages, as autoware_control_msgs and autoware_vehicle_msgs define them; a field that they lack is an error here, too.


class Lateral:
    __slots__ = ("control_time", "is_defined_steering_tire_rotation_rate", "stamp", "steering_tire_angle", "steering_tire_rotation_rate")


class Longitudinal:
    __slots__ = ("acceleration", "control_time", "is_defined_acceleration", "is_defined_jerk", "jerk", "stamp", "velocity")


class Control:
    __slots__ = ("control_time", "lateral", "longitudinal", "stamp")

    def __init__(self) -> None:
        self.lateral, self.longitudinal = Lateral(), Longitudinal()


def control_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real class where it is installed."""
    if find_spec("autoware_control_msgs") is None:
        monkeypatch.setattr(ros_actuation, "actuation_type", lambda _: Control)


def test_autoware_is_told_angle_speed_and_acceleration(monkeypatch: pytest.MonkeyPatch) -> None:
    control_type(monkeypatch)
    vehicle = load_vehicle("autoware_car")
    command = Command(stamp_ns=1_500_000_000, acceleration_mps2=-0.5, curvature_1pm=0.1, target_speed_mps=7.0)
    message = actuation_message(command, None, vehicle)
    assert (message.stamp.sec, message.stamp.nanosec) == (1, 500_000_000) and message.lateral.stamp == message.longitudinal.stamp == message.stamp
    assert message.lateral.steering_tire_angle == pytest.approx(math.atan(0.1 * 2.79)), "left is positive"
    assert (message.longitudinal.velocity, message.longitudinal.acceleration, message.longitudinal.is_defined_acceleration) == (7.0, -0.5, True)
    assert actuation_qos("autoware") == LATCHED_QOS


@pytest.mark.parametrize("mode", range(7))
def test_only_in_mode_autonomous_the_driver_has_nothing(mode: int) -> None:
    assert is_overridden("autoware", SimpleNamespace(mode=mode)) == (mode != 1)
    assert is_overridden("twist", Bool(data=True)) and not is_overridden("twist", Bool(data=False))


def test_what_autoware_has_installed_has_these_fields() -> None:
    messages = pytest.importorskip("autoware_control_msgs.msg", reason="autoware_control_msgs is not installed: no wheel has it")
    for own, real in ((Control, messages.Control), (Lateral, messages.Lateral), (Longitudinal, messages.Longitudinal)):
        assert set(own.__slots__) == set(real.get_fields_and_field_types())


@pytest.mark.parametrize("name", ["twist_car", "simulator", "pedal_car", "ackermann_car", "autoware_car"])
def test_what_a_message_tells_is_what_was_commanded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vehicle = dataclasses.replace(load_vehicle(name), steering_offset_rad=0.3)
    if vehicle.adapter == "autoware":
        control_type(monkeypatch)
    elif find_spec(MESSAGES[vehicle.adapter][0]) is None:
        pytest.skip(f"{MESSAGES[vehicle.adapter][0]} is not installed")
    command = Command(stamp_ns=1, acceleration_mps2=0.5, curvature_1pm=-0.1, target_speed_mps=2.0)
    speed_mps, wheel_rad = told(actuation_message(command, Pedals(throttle=0.1, brake=0.0), vehicle), vehicle)
    assert speed_mps == (None if vehicle.adapter == "throttle_brake" else pytest.approx(2.0))
    assert wheel_rad == pytest.approx(math.atan(-0.1 * vehicle.wheelbase_m))


def test_a_twist_of_a_standing_vehicle_tells_no_angle() -> None:
    vehicle = load_vehicle("twist_car")
    standing = actuation_message(Command(stamp_ns=1, acceleration_mps2=0.0, curvature_1pm=0.1, target_speed_mps=0.0), None, vehicle)
    assert told(standing, vehicle) == (0.0, None)
