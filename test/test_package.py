"""The package: one version, files that a ROS machine needs, programs that exist, configuration that is valid."""

import ast
import os
import shutil
import stat
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mimic_contracts.action_spec import CONTRACT_VERSION
from mimic_contracts.config import load_yaml

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("mimic_contracts", "perception", "vehicle_interface", "bag_tools", "e2e_planner", "mimic_sim", "mimic")
CONFIGURATION = sorted((ROOT / "config").rglob("*.yaml"))
ROSDEP_KEYS = {
    "python3-numpy",
    "python3-opencv",
    "python3-pytest",
    "python3-pytest-timeout",
    "python3-hypothesis",
    "python3-tqdm",
    "python3-yaml",
}  # of rosdistro's python.yaml
ROS_PACKAGES = {"rclpy", "launch", "launch_ros", "ros2launch", "cv_bridge"}  # besides those of messages
MESSAGES = ("_msgs", "_srvs", "_interfaces")


def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def copied_tree(destination: Path) -> Path:
    ignored = shutil.ignore_patterns(".*", "build", "install", "log", "out", "*.egg-info", "__pycache__", "docs", "test")
    return Path(shutil.copytree(ROOT, destination, ignore=ignored))


def declared_in_setup() -> dict[str, Any]:
    """What setup.py declares, by asking it."""
    program = (
        "import setuptools, json\n"
        "setuptools.setup = lambda **k: print(json.dumps({'scripts': k['entry_points']['console_scripts'],"
        " 'version': k['version'], 'extras': k['extras_require']}))\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'), {'__file__': 'setup.py', '__name__': '__main__'})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(ast.literal_eval(done.stdout))


def entry_points() -> dict[str, str]:
    """Its programs."""
    declared = declared_in_setup()
    assert declared["version"] == manifest().findtext("version")
    return dict(text.split(" = ") for text in declared["scripts"])


def imported_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in named | {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}}


def test_the_manifest_is_of_format_3_for_ament_python():
    root = manifest()
    assert (root.tag, root.get("format"), root.findtext("name")) == ("package", "3", "mimic_drive")
    assert root.findtext("export/build_type") == "ament_python"
    assert (root.findtext("license"), root.find("license").get("file")) == ("Apache-2.0", "LICENSE")
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / "resource" / "mimic_drive").is_file()


def test_dependencies_are_packages_of_ros_or_keys_of_rosdep():
    names = [element.text for element in manifest() if element.tag.endswith("depend")]
    assert len(names) == len(set(names))
    assert [name for name in names if name not in ROSDEP_KEYS | ROS_PACKAGES and not name.endswith(MESSAGES)] == []


def test_every_message_package_that_is_imported_is_a_dependency():
    declared = {element.text for element in manifest() if element.tag.endswith("depend")}
    used = {name for room in ROOMS for path in (ROOT / room).rglob("*.py") for name in imported_modules(path)}
    messages = {name for name in used if name.endswith(MESSAGES) or name == "rclpy"}
    optional = {"ackermann_msgs", "autoware_control_msgs", "autoware_vehicle_msgs"}  # imported only where they are chosen
    assert messages - optional <= declared


def test_colcon_knows_that_the_tests_are_pytests():
    assert "pytest" in declared_in_setup()["extras"]["test"], "else `colcon test` runs unittest, which finds none and is content"


def test_programs_exist():
    programs = entry_points()
    assert "mimic" in programs
    for name, target in programs.items():
        module, function = target.split(":")
        path = ROOT / f"{module.replace('.', '/')}.py"
        assert path.is_file(), f"{name}: {path} is missing"
        names = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}
        assert function in names, f"{name}: {target}"


def test_every_room_imports_and_every_command_has_what_the_command_line_needs():
    for room in ROOMS:
        import_module(room)
    from mimic.cli import COMMANDS

    assert {path.stem for path in (ROOT / "mimic" / "commands").glob("[a-z]*.py")} == set(COMMANDS)
    for name in COMMANDS:
        path = ROOT / "mimic" / "commands" / f"{name}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert {"add_arguments", "run"} <= functions
        assert f"mimic {name}" in (ast.get_docstring(tree) or ""), f"{path}: the docstring has no example"


@pytest.mark.parametrize("name", ["bag", "extract", "train", "score", "replay", "sim", "drive", "up"])
def test_help_is_printed_by_every_command(name, capsys):
    from mimic.cli import main

    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: mimic {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["fly"], ["up"], ["up", "no_such_table"], ["up", "sim", "laps=1"]])
def test_wrong_usage_is_not_exit_code_0(arguments, capsys):
    from mimic.cli import main

    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    assert code in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_only_the_ros_shells_import_ros():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if not (path.name.endswith("_node.py") or path.name.startswith("ros_")):
                assert not {name for name in imported_modules(path) if name == "rclpy" or name.endswith(MESSAGES)}, path


def test_nobody_imports_a_node():
    for path in [p for room in ROOMS for p in (ROOT / room).rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("_node")], path


@pytest.mark.parametrize("path", CONFIGURATION, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_configuration_is_valid(path):
    kind = path.parent.name
    if kind == "rigs":
        assert import_module("mimic_contracts.rig").load_rig(path).name == path.stem
    elif kind == "vehicles":
        import_module("mimic_contracts.vehicle").load_vehicle(path)
    elif kind == "topics":
        import_module("bag_tools.topic_map").load_topic_map(str(path))
    elif kind == "recipes":
        import_module("e2e_planner.recipe").Recipe.load(path)
    elif kind == "suites":
        import_module("mimic_sim.suite").load_suite(str(path))
    elif kind == "towns":
        assert all(set(made) == {"style", "seed", "split"} for made in load_yaml(path).values())
    elif kind == "bringup":
        import_module("mimic.process_table").Table.load(str(path))
    else:
        assert kind == "nodes" and list(load_yaml(path)) == ["/**"]  # in whatever namespace the node is


def test_the_loopback_profile_is_one_that_lost_nothing():
    text = (ROOT / "config" / "dds" / "loopback.xml").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    for words in ("<segment_size>8388608<", "<address>127.0.0.1<", "<useBuiltinTransports>false<", 'is_default_profile="true"'):
        assert words in text


def test_the_lock_pins_everything_and_the_two_that_matter():
    lines = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and "+" not in line for line in lines)
    assert "torch==2.13.0" in lines
    assert [line for line in lines if line.startswith("pyarrow==23.")]
    assert len({line.split("==")[0].lower() for line in lines}) == len(lines)


def test_the_lock_names_nothing_that_only_comes_inside_another_wheel():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("_", "-").lower().splitlines()
    inner = {d.metadata["Name"].replace("_", "-").lower() for d in distributions() if d.read_text("INSTALLER") is None}  # of the ros-* wheels
    assert not [line for line in lock if line.split("==")[0] in inner]


@pytest.mark.parametrize("name", ["demo.sh", "test.sh", "setup_venv.sh", ".ci/run"])
def test_scripts_are_executable_and_stop_at_the_first_failure(name):
    path = ROOT / name
    assert path.stat().st_mode & stat.S_IXUSR
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in text
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


def test_the_contract_version_is_text():
    assert CONTRACT_VERSION.isdigit()


def installed_version() -> str | None:
    program = "from importlib.metadata import version; print(version('mimic_drive'))"
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd="/", capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


@pytest.mark.slow
def test_pip_installs_what_ros2_run_and_ros2_launch_look_for(tmp_path):
    tree = copied_tree(tmp_path / "tree")
    prefix = tmp_path / "prefix"
    own = installed_version()
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed"]  # else pip would remove our own
    command = [sys.executable, "-m", "pip", "install", *options, "--prefix", str(prefix), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert installed_version() == own, "the environment that runs the tests keeps its own installation"
    assert (prefix / "share/ament_index/resource_index/packages/mimic_drive").is_file()
    share = prefix / "share/mimic_drive"
    assert (share / "package.xml").is_file() and (share / "launch/sim.launch.py").is_file() and (share / "config/rigs/mono.yaml").is_file()
    for name in entry_points():
        assert os.access(prefix / "bin" / name, os.X_OK)
        assert name == "mimic" or os.access(prefix / "lib/mimic_drive" / name, os.X_OK), name
    site = next(prefix.glob("lib/python3*/site-packages"))
    found = subprocess.run(
        [sys.executable, "-c", "from mimic_contracts.config import config_dir; print(config_dir())"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == share / "config"


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--symlink-install"]], ids=["plain", "symlink"])
def test_colcon_builds_an_ament_python_package(tmp_path, options):
    colcon = shutil.which("colcon") or shutil.which("colcon", path=str(Path(sys.executable).parent))
    if colcon is None:
        pytest.skip("colcon is not installed: it comes with ROS 2")
    copied_tree(tmp_path / "src" / "mimic_drive")
    listed = subprocess.run([colcon, "list"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "(ros.ament_python)" in listed
    done = subprocess.run([colcon, "build", *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    prefix = tmp_path / "install" / "mimic_drive"
    assert (prefix / "share/ament_index/resource_index/packages/mimic_drive").exists()
    assert (prefix / "share/mimic_drive/launch/drive.launch.py").exists() and (prefix / "share/mimic_drive/config/bringup/drive.yaml").exists()
    assert all(os.access(prefix / "lib/mimic_drive" / name, os.X_OK) for name in entry_points())
