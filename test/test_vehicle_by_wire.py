"""The handshake with a vehicle's drive-by-wire: no engagement without its word, a stop at its fault, enabled as long as it is to obey."""

import pytest
import yaml
from vehicle_helpers import TICK_NS, Car, S

from mimic.process_table import Table, vehicle_values
from mimic_contracts.config import config_dir, load_yaml
from vehicle_interface import modes

TOPICS = {"fault_topic": "vehicle/dbw_fault", "enable_topic": "vehicle/dbw_enable"}
SILENCE, FAULT = "the vehicle's drive-by-wire said nothing within 0.5 s", "the vehicle's drive-by-wire has a fault"


def told(car: Car, ticks: int, is_faulty: bool = False):
    for _ in range(ticks):
        car.core.set_by_wire(is_faulty, steady_ns=car.steady_ns)
        out = car.drive(1)
    return out


def test_nothing_engages_before_the_drive_by_wire_says_that_it_has_no_fault():
    car = Car(**TOPICS)
    car.drive(2)
    car.sense()
    car.plan(speed=car.speed)
    assert car.engage() == (False, SILENCE)
    car.core.set_by_wire(True, steady_ns=car.steady_ns)
    assert car.engage() == (False, FAULT)
    car.core.set_by_wire(False, steady_ns=car.steady_ns)
    assert car.engage() == (True, "engaged")


@pytest.mark.parametrize("reason", [FAULT, SILENCE])
def test_a_fault_stops_at_once_and_silence_after_its_time(reason):
    car = Car(**TOPICS)
    car.core.set_by_wire(False, steady_ns=car.steady_ns)
    car.engaged()
    assert told(car, 20).mode == modes.ENGAGED
    fault_ns = car.steady_ns
    while car.core.mode == modes.ENGAGED:
        out = told(car, 1, is_faulty=True) if reason == FAULT else car.drive(1)
    assert (out.mode, out.reason) == (modes.MINIMAL_RISK_STOP, reason) and out.command is not None
    assert car.steady_ns - fault_ns <= (TICK_NS if reason == FAULT else 0.5 * S + TICK_NS)
    assert told(car, 200, is_faulty=True).command.target_speed_mps == 0.0
    assert car.core.wants_driver and car.engage()[0] is False
    told(car, 2)
    assert car.engage() == (True, "engaged")


def test_a_vehicle_that_tells_nothing_of_it_is_driven_as_ever():
    car = Car().engaged()
    assert car.drive(30).mode == modes.ENGAGED


def test_the_bring_ups_hand_over_what_the_vehicle_file_names(tmp_path):
    content = load_yaml(config_dir() / "vehicles" / "twist_car.yaml")
    content["topics"] |= {"fault": "/vehicle/dbw_fault", "enable": "/vehicle/dbw_enable"}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    for name in ("drive", "teleop", "first_day"):
        given = {key: {"vehicle": str(path)}.get(key, "p") for key, argument in Table.load(name).arguments.items() if argument.required}
        interface = next(spec for spec in Table.load(name).process_specs(given) if spec.name == "vehicle_interface_node")
        assert interface.parameters.items() >= TOPICS.items()
    assert set(TOPICS.values()) <= set(vehicle_values(str(path))["vehicle.recorded_topics"])
    assert vehicle_values("simulator")["vehicle.fault_topic"] == "" and "" not in vehicle_values("simulator")["vehicle.recorded_topics"]
