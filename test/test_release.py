"""Releases: what they name, and that nothing else is started."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from e2e_planner.policies import load_policy
from mimic import release
from mimic.cli import main
from mimic.process_table import Table
from mimic_contracts.config import config_dir, models_dir
from mimic_contracts.errors import MimicError, UsageError

TINY = models_dir() / "tiny"


@pytest.fixture
def car(tmp_path: Path) -> dict[str, str]:
    """Arguments of a drive whose files may be changed, and its release."""
    policy, vehicle = tmp_path / "run", tmp_path / "car_7.yaml"
    policy.mkdir()
    for name in ("model.onnx", "card.json"):
        shutil.copy(TINY / name, policy)
    shutil.copy(config_dir() / "vehicles" / "twist_car.yaml", vehicle)
    return {"vehicle": str(vehicle), "policy": str(policy), "release": released(tmp_path, vehicle=str(vehicle), policy=str(policy))}


def released(folder: Path, **arguments: str) -> str:
    path = folder / "release.json"
    path.write_text(json.dumps(Table.load("drive").release(arguments)), encoding="utf-8")
    return str(path)


def test_mimic_release_prints_what_a_drive_runs_with(car, capsys):
    assert main(["release", "drive", f"vehicle:={car['vehicle']}", f"policy:={car['policy']}"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(Path(car["release"]).read_text(encoding="utf-8"))
    nodes = {f"nodes/{spec.name}.yaml" for spec in Table.load("drive").process_specs(car)}
    names = {"code", "processes", "vehicle", "rig", "policy/model.onnx", "policy/card.json"} | nodes
    assert printed.keys() == names and len(set(printed.values())) == len(names)
    assert printed["policy/model.onnx"] == json.loads((TINY / "card.json").read_text(encoding="utf-8"))["model_hash"]


def test_what_is_released_starts_in_any_namespace_and_as_a_fleet_member(car):
    specs = Table.load("drive").process_specs(car)
    assert specs == Table.load("drive").process_specs({**car, "release": ""})
    assert len(Table.load("fleet").process_specs({**car, "namespace": "car_7", "domain_id": "7"})) == len(specs)


@pytest.mark.parametrize(("name", "file"), [("policy/model.onnx", "policy"), ("policy/card.json", "policy"), ("vehicle", "vehicle")])
def test_one_changed_byte_stops_a_bring_up(car, name, file):
    path = Path(car[file]) / Path(name).name if file == "policy" else Path(car[file])
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(MimicError, match=f"release: not what .*release.json names: {name} differs; restore it"):
        Table.load("drive").process_specs(car)


def test_code_processes_and_another_policy_stop_it_too(car, monkeypatch, tmp_path):
    drive = Table.load("drive")
    with pytest.raises(MimicError, match="policy is not in it"):
        drive.process_specs({**car, "policy": "constant_velocity"})
    with pytest.raises(MimicError, match=r"nodes/teleop_node.yaml is not in it"):
        drive.process_specs({**car, "teleop": "true"})
    changed = yaml.safe_load((config_dir() / "bringup" / "drive.yaml").read_text(encoding="utf-8"))
    changed["processes"][4]["parameters"]["supervisor_required"] = False
    (tmp_path / "drive.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    with pytest.raises(MimicError, match="processes differs"):
        Table.load(str(tmp_path / "drive.yaml")).process_specs(car)
    monkeypatch.setattr(release, "ROOMS", release.ROOMS[:-1])
    with pytest.raises(MimicError, match="code differs"):
        drive.process_specs(car)


@pytest.mark.parametrize(("content", "words"), [("{", "cannot be read"), ("[]", "holds a list, must be what `mimic release` printed")])
def test_damaged_releases_are_refused(car, content, words):
    Path(car["release"]).write_text(content, encoding="utf-8")
    with pytest.raises(MimicError, match=words):
        Table.load("drive").process_specs(car)
    with pytest.raises(MimicError, match="cannot be read"):
        Table.load("drive").process_specs({**car, "release": "no_such_file.json"})


def test_somebodys_class_cannot_be_released(car, capsys):
    with pytest.raises(UsageError, match="'my_module:MyPlanner' is a class of its own code"):
        Table.load("drive").release({"vehicle": car["vehicle"], "policy": "my_module:MyPlanner"})
    assert Table.load("drive").release({"vehicle": car["vehicle"], "policy": "rule_based_perceived"})["policy/perception.onnx"]


def test_perception_that_is_not_its_cards_is_refused(tmp_path):
    shutil.copytree(TINY / "perception", tmp_path / "perception")
    with (tmp_path / "perception" / "perception.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(MimicError, match="card and model don't belong together"):
        load_policy(f"rule_based_perceived:{tmp_path}")


def test_the_rooms_are_all_that_is_installed():
    own = config_dir().parent
    assert {path.parent.name for path in own.glob("*/__init__.py")} == set(release.ROOMS)
