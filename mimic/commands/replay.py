"""Run a recorded drive in lockstep through the real nodes, as processes of their own over DDS.

    mimic replay DRIVE --policy RUN --topics MAP.yaml --out REPLAYED
    mimic replay DRIVE --policy constant_velocity --topics config/topics/simulator.yaml --out REPLAYED --overwrite
    mimic replay DRIVE --policy RUN --topics udacity_hmb3 --out REPLAYED        no odometry: camera and planner only

REPLAYED is a bag of what the nodes answered (trajectories, actuation, modes, diagnostics), REPLAYED.json says what it
came to. The same drive gives the same canonical hash, which goes to stdout. A replay in which the planner never planned,
or the vehicle interface never engaged, fails.
"""

import argparse
import json
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from bag_tools.bag_reader import Bag
from bag_tools.bag_writer import check_bag_target
from bag_tools.replay import ReplayDrive, load_drive
from bag_tools.topic_map import load_topic_map
from e2e_planner.policies import load_policy
from mimic.bringup import Bringup, start
from mimic_contracts.action_spec import CAR
from mimic_contracts.config import config_dir, load_yaml, resolve_config
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.policy import Policy
from mimic_contracts.rig import Mounting

START_S = 90.0  # for all nodes to come up
SLOWEST_TICK_S = 2.0  # on average, beyond which a replay counts as hung
DEFAULT_MAP, DEFAULT_VEHICLE = "simulator", "simulator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mimic replay`."""
    parser.add_argument("bag", metavar="BAG", type=Path, help="rosbag2 directory or file, or ROS 1 bag")
    parser.add_argument("--policy", required=True, help="a run directory, an .onnx file with its card, a built-in name, or module:Class")
    parser.add_argument("--out", metavar="BAG", required=True, type=Path, help="bag for what the nodes answer")
    parser.add_argument("--topics", metavar="MAP", default=DEFAULT_MAP, help=f"topic map: a YAML file or a name in config/topics (default: {DEFAULT_MAP})")
    parser.add_argument("--vehicle", metavar="FILE", help="vehicle file with the limits of the vehicle interface (default: the topic map's)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")


def run(args: argparse.Namespace) -> int:
    """Replay; returns 0, or 1 (by MimicError) when a node failed or the replay says nothing about them."""
    if not args.bag.exists():
        raise UsageError(f"{args.bag}: there is no such bag")
    check_bag_target(args.out, overwrite=args.overwrite)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    topic_map = load_topic_map(args.topics)
    policy = load_policy(args.policy)
    if policy.rig_name not in (None, topic_map.rig.name):
        raise MimicError(f"policy: sees through rig '{policy.rig_name}', topic map '{args.topics}' is for rig '{topic_map.rig.name}'")
    vehicle = args.vehicle or load_yaml(resolve_config("topics", args.topics)).get("vehicle")
    with tempfile.TemporaryDirectory(prefix="mimic_replay_") as scratch, Bag(args.bag) as bag:
        drive = load_drive(bag, topic_map)
        has_vehicle_interface = takes_vehicle_interface(drive, policy)
        if has_vehicle_interface and vehicle is None:
            print(f"replay: neither --vehicle nor the topic map names a vehicle: limits are those of '{DEFAULT_VEHICLE}'", file=sys.stderr)
        vehicle_file = write_vehicle(vehicle or DEFAULT_VEHICLE, drive.frame_plan.recording.mountings, Path(scratch))
        arguments = {
            "bag": str(args.bag.resolve()),
            "topics": str(resolve_config("topics", args.topics).resolve()),
            "out": str(args.out.resolve()),
            "overwrite": str(args.overwrite).lower(),
            "policy": str(Path(args.policy).resolve()) if Path(args.policy).exists() else args.policy,
            "rig": topic_map.rig.name,
            "vehicle": str(vehicle_file),
            "has_odometry": str(drive.odometry is not None).lower(),
            "has_vehicle_interface": str(has_vehicle_interface).lower(),
            "listeners": str(1 + has_vehicle_interface),
            "camera_parameters": str(write_camera_parameters(drive, Path(scratch))),
        }
        with start("replay", arguments, log_directory=Path(scratch) / "logs") as bringup:
            _wait(bringup, tick_count=len(drive.stamp_ns))
    print(summary_text(json.loads(Path(f"{args.out}.json").read_text(encoding="utf-8")), args.out))
    return 0


def takes_vehicle_interface(drive: ReplayDrive, policy: Policy) -> bool:
    """Whether the vehicle interface can take part; says why on stderr when it cannot."""
    reasons = ["the recording has no odometry"] * (drive.odometry is None)
    reasons += [f"plans of action spec '{policy.spec.name}' drive no vehicle"] * (policy.spec.name != CAR.name)
    if reasons:
        print(f"replay: without the vehicle interface, because {' and '.join(reasons)}", file=sys.stderr)
    return not reasons


def write_camera_parameters(drive: ReplayDrive, directory: Path) -> Path:
    """The camera node's parameter file for the recorded cameras; raises MimicError when raw and compressed ones are mixed."""
    topics, sources = drive.camera_topics, drive.topic_map.cameras
    kinds = {"compressed" if drive.bag.topics[topic].type_name.endswith("/CompressedImage") else "raw" for topic in topics.values()}
    if len(kinds) > 1:
        raise MimicError(f"cameras: {', '.join(topics.values())} are raw and compressed pictures; the camera node takes one kind")
    crops = {name: source.crop for name, source in sources.items() if source.crop}
    content = load_yaml(config_dir() / "nodes" / "camera_node.yaml")
    content["/**"]["ros__parameters"] |= {
        "topics": [f"{name}={topic.lstrip('/')}" for name, topic in topics.items()],
        "info_topics": [f"{name}={source.camera_info.lstrip('/')}" for name, source in sources.items() if source.camera_info] or [""],
        "crops": [f"{name}={c.left_px},{c.top_px},{c.width_px},{c.height_px}" for name, c in crops.items()] or [""],
        "transport": kinds.pop(),
        "sync_tolerance_s": drive.topic_map.sync_tolerance_s,
    }
    return _written(directory / "camera_node.yaml", content)


def write_vehicle(name: str, mountings: dict[str, Mounting], directory: Path) -> Path:
    """The vehicle file with the mountings of this recording, whether the topic map or /tf_static gave them."""
    content = dict(load_yaml(resolve_config("vehicles", name)))
    content["cameras"] = {camera: _mounting_values(mounting) for camera, mounting in mountings.items()}
    return _written(directory / "vehicle.yaml", content)


def summary_text(report: dict[str, Any], out: Path) -> str:
    """What the replay came to."""
    lines = [f"ticks {report['ticks']}, planned {report['planned']}", f"odometry: {report['odometry']}"]
    lines += [f"modes: {', '.join(f'{mode} {count}' for mode, count in report['modes'].items())}"] if report["modes"] else []
    lines += [f"skipped {count}: {reason}" for reason, count in report["skipped"].items()]
    lines += [f"left out {count} frames: {reason}" for reason, count in report["left_out"].items()]
    return "\n".join([*lines, f"canonical hash {report['canonical_hash']}", f"bag {out}"])


def _written(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _mounting_values(mounting: Mounting) -> dict[str, float]:
    angles = {"roll_deg": mounting.roll_rad, "pitch_deg": mounting.pitch_rad, "yaw_deg": mounting.yaw_rad}
    return {"x_m": mounting.x_m, "y_m": mounting.y_m, "z_m": mounting.z_m, **{name: float(np.degrees(angle)) for name, angle in angles.items()}}


def _wait(bringup: Bringup, *, tick_count: int) -> None:
    """Wait for the replay node's end, with a progress bar from what it logs; raises MimicError when a node fails."""
    with ThreadPoolExecutor(1) as pool, tqdm(total=tick_count, desc="replay", unit="tick", file=sys.stderr, dynamic_ncols=True) as bar:
        end = pool.submit(bringup.wait_for_exit_of, "replay_node", timeout_s=START_S + SLOWEST_TICK_S * tick_count)
        while not end.done():
            with suppress(TimeoutError):
                end.exception(timeout=0.5)
            reported = re.findall(r"(\d+) of \d+ ticks", bringup.last_lines("replay_node"))
            bar.update(max(int(reported[-1]) - bar.n, 0) if reported else 0)
        end.result()
