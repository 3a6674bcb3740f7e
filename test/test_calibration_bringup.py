"""Which vehicles are calibrated, by which bring-ups, and what is said of those that could not be."""

import dataclasses

import pytest

from mimic.process_table import Table, vehicle_values
from mimic_contracts.errors import ContractError
from mimic_contracts.rig import load_rig
from mimic_contracts.vehicle import load_vehicle
from mimic_contracts.vehicle_check import notes


@pytest.mark.parametrize("name", ["drive", "shadow", "teleop", "record"])
def test_the_mounting_is_watched_where_the_vehicle_file_asks_for_it(name: str) -> None:
    for vehicle, is_watched in (("twist_car", True), ("simulator", False), ("diff_robot", False)):
        table = Table.load(name)
        given = {"vehicle": vehicle, "policy": "p", "out": "o"}
        specs = {spec.name: spec for spec in table.process_specs({key: value for key, value in given.items() if key in table.arguments})}
        assert ("calibration_node" in specs) == is_watched
        if is_watched:
            assert "camera_node" in specs and specs["calibration_node"].parameters["camera"] == "front"
        if name == "drive":
            assert specs["supervisor_node"].parameters["calibration_required"] == is_watched


def test_the_camera_that_looks_ahead_is_the_rigs_first_of_those() -> None:
    assert vehicle_values("simulator_quad")["vehicle.ahead_camera"] == "front"


def test_a_vehicle_that_never_drives_so_fast_is_noted() -> None:
    car, rig = load_vehicle("simulator"), load_rig("mono")
    slow = dataclasses.replace(car, calibration_required=True, limits=dataclasses.replace(car.limits, max_speed_mps=3.0))
    assert [note.partition(":")[0] for note in notes(slow, rig)] == ["calibration_required"]
    assert notes(dataclasses.replace(slow, calibration_required=False), rig) == []
    with pytest.raises(ContractError, match="calibration_required: is 'no', must be true or false"):
        dataclasses.replace(car, calibration_required="no")
