"""Installs under colcon (ament_python) and under plain pip, with what `ros2 run` and `ros2 launch` look for."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import setup  # before distutils, which it brings

from distutils.command.install_data import install_data  # isort: skip

NAME = "mimic_drive"
ROOT = Path(__file__).parent
PACKAGES = ["mimic_contracts", "perception", "e2e_planner", "vehicle_interface", "bag_tools", "mimic_sim", "mimic", "mimic.commands"]

NODES = {
    "camera_node": "perception.camera_node:main",
    "overlay_node": "perception.overlay_node:main",
    "planner_node": "e2e_planner.planner_node:main",
    "route_node": "e2e_planner.route_node:main",
    "vehicle_interface_node": "vehicle_interface.vehicle_interface_node:main",
    "calibration_node": "perception.calibration_node:main",
    "supervisor_node": "vehicle_interface.supervisor_node:main",
    "teleop_node": "vehicle_interface.teleop_node:main",
    "sound_node": "vehicle_interface.sound_node:main",
    "command_timeout_node": "vehicle_interface.command_timeout_node:main",
    "sim_node": "mimic_sim.sim_node:main",
    "replay_node": "bag_tools.replay_node:main",
    "record_node": "bag_tools.record_node:main",
    "lifecycle_manager_node": "mimic.lifecycle_manager_node:main",
}


def files_of(folder: str) -> list[tuple[str, list[str]]]:
    directories = sorted({path.parent for path in Path(folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts})
    return [(f"share/{NAME}/{d}", [str(p) for p in sorted(d.iterdir()) if p.is_file()]) for d in directories]


class InstallDataAndNodes(install_data):  # type: ignore[misc]
    """pip puts programs into bin/ only; `ros2 run` and `ros2 launch` look for them in lib/mimic_drive, where colcon puts them."""

    def run(self) -> None:
        super().run()
        folder = Path(self.install_dir) / "lib" / NAME
        folder.mkdir(parents=True, exist_ok=True)
        for node in NODES:
            program = folder / node
            if not program.exists():
                program.write_text(f'#!/bin/sh\nexec "$(dirname "$0")/../../bin/{node}" "$@"\n')
                program.chmod(0o755)
                self.outfiles.append(str(program))


setup(
    name=NAME,
    version=ElementTree.parse(ROOT / "package.xml").findtext("version"),
    description="Drives a vehicle by mimicking good human drivers: a ROS 2 suite from rosbag to driving car.",
    license="Apache-2.0",
    maintainer="mimic_drive maintainers",
    maintainer_email="maintainers@mimic-drive.org",
    python_requires=">=3.10",
    packages=PACKAGES,
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *files_of("launch"),
        *files_of("config"),
        *files_of("models"),
    ],
    install_requires=["numpy", "pyyaml", "opencv-python-headless", "rosbags", "tqdm"],
    extras_require={
        "train": [
            "torch",
            "lightning-fabric",
            "tensorboard",
            "safetensors",
            "onnx",
            "onnxscript",
            "onnxruntime",
            "pylance",
            "pyarrow",
            "simplejpeg",
            "matplotlib",
            "av",
        ],
        "sim": ["moderngl", "av", "pyarrow", "simplejpeg", "libsumo==1.28.*", "sumolib==1.28.*"],
        "towns": ["eclipse-sumo==1.28.*"],
        "test": ["pytest", "pytest-timeout", "hypothesis"],  # by which `colcon test` knows that these are pytest's
    },
    zip_safe=False,
    cmdclass={"install_data": InstallDataAndNodes},
    entry_points={"console_scripts": ["mimic = mimic.cli:main", *(f"{name} = {target}" for name, target in NODES.items())]},
)
