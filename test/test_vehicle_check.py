"""`mimic vehicle check`: mistakes in vehicle files that each value alone does not show."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mimic.cli import main
from mimic_contracts.config import config_dir, load_yaml
from mimic_contracts.rig import Mounting, load_rig
from mimic_contracts.vehicle import LongitudinalSpec, VehicleTopics, load_vehicle
from mimic_contracts.vehicle_check import inferred, mistakes, notes, stopping_m

VEHICLES = sorted((config_dir() / "vehicles").glob("*.yaml"))
CAR = load_vehicle("simulator_quad")
RIG = load_rig(CAR.rig)


@pytest.mark.parametrize("path", VEHICLES, ids=lambda path: path.stem)
def test_those_that_come_along_have_no_mistakes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vehicle", "check", str(path)]) == 0
    told = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert set(told) == set(inferred(load_vehicle(path))) and all(float(value) > 0.0 for value in told.values())


def looking(**changes: float) -> dict[str, Mounting]:
    return {**CAR.cameras, "left": dataclasses.replace(CAR.cameras["left"], **changes)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"length_m": 3.5}, "length_m: is 3.5, shorter than wheelbase_m 2.8 and rear_overhang_m 0.9"),
        ({"adapter": "ackermann", "wheelbase_m": 2.8, "limits": {"max_curvature_1pm": 0.5}}, r"limits.max_curvature_1pm: is 0.5, which takes 54°"),
        ({"steering_ratio": 38.0}, r"steering_ratio: is 38.0, so that the steering wheel turns by 1016°"),
        ({"command_timeout_s": 0.05}, "command_timeout_s: is 0.05, so that one late command stops the vehicle"),
        ({"longitudinal": LongitudinalSpec(throttle_gain_mps2=4.0, brake_gain_mps2=5.0)}, r"limits.min_emergency_acceleration_mps2: is -6.0, and .* 5.0 m/s²"),
        (
            {"longitudinal": LongitudinalSpec(throttle_gain_mps2=0.5, brake_gain_mps2=9.0, linear_drag_1ps=0.1)},
            r"longitudinal.throttle_gain_mps2: .* 2.50 m/s²",
        ),
        ({"cameras": {"fornt": Mounting(x_m=1.6, y_m=0.0, z_m=1.4)}}, "cameras.fornt: rig 'quad' has no such camera, it has front, tele, left, right"),
        ({"topics": VehicleTopics(images={"rear": "/rear"})}, "topics.images.rear: rig 'quad' has no such camera, it has front"),
        ({"cameras": looking(x_m=5.0)}, r"cameras.left.x_m: is 5.0, which is not on this vehicle \(-1.20 to 4.00\)"),
        ({"cameras": looking(y_m=3.0)}, r"cameras.left.y_m: is 3.0, which is not"),
        ({"cameras": looking(z_m=-0.5)}, r"cameras.left.z_m: is -0.5, which is not"),
        ({"cameras": looking(yaw_rad=-math.radians(70.0))}, r"cameras.left.yaw_deg: the camera looks 140° away from the rig's"),
    ],
)
def test_one_mistake_is_one_line(changes: dict, said: str) -> None:
    if "limits" in changes:
        changes = {**changes, "limits": dataclasses.replace(CAR.limits, **changes["limits"])}
    found = mistakes(dataclasses.replace(CAR, **changes), RIG)
    assert len(found) == 1
    assert re.match(said, found[0]), found[0]


def test_what_is_easily_overlooked_is_noted() -> None:
    assert notes(CAR, RIG) == []
    low = notes(dataclasses.replace(CAR, cameras={"front": Mounting(x_m=1.6, y_m=0.0, z_m=0.2)}), load_rig("mono"))
    assert len(low) == 1 and low[0].startswith("cameras.front.z_m: is 0.2, the rig's is 1.4")
    assert ["tf_static" in note for note in notes(dataclasses.replace(CAR, cameras={}), RIG)] == [True] * 4


def test_all_mistakes_are_told_at_once_with_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = load_yaml(config_dir() / "vehicles" / "simulator.yaml")
    path = tmp_path / "my_car.yaml"
    path.write_text(yaml.safe_dump({**content, "length_m": 3.0, "command_timeout_s": 0.06}), encoding="utf-8")
    assert main(["vehicle", "check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "my_car.yaml: cannot be right:" in err and "length_m: is 3.0" in err and "command_timeout_s: is 0.06" in err
    assert main(["vehicle", "check", "unicorn"]) == 1
    assert "unicorn" in capsys.readouterr().err


@given(speed=st.floats(0.1, 40.0), braking=st.floats(0.5, 10.0), jerk=st.floats(1.0, 50.0))
def test_the_stopping_distance_is_that_of_a_stop_step_by_step(speed: float, braking: float, jerk: float) -> None:
    times_s = np.linspace(0.0, speed / braking + braking / jerk + 1.0, 20_001)
    step_s = times_s[1]
    speeds = np.maximum(speed - np.cumsum(np.minimum(jerk * times_s, braking)) * step_s, 0.0)
    assert stopping_m(speed, braking_mps2=braking, jerk_mps3=jerk) == pytest.approx(speeds.sum() * step_s, rel=0.01, abs=0.01)
