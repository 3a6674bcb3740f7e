"""Drives through the real nodes, as separate processes over DDS in lockstep."""

import json
from dataclasses import asdict
from pathlib import Path

from e2e_planner.policies import load_policy
from mimic.bringup import start
from mimic_sim.drive_result import DriveResult
from mimic_sim.route_spec import RouteSpec
from mimic_sim.world import build_world

START_S = 90.0  # for all nodes to come up
SLOWEST = 5.0  # wall time over simulated time, beyond which a drive counts as hung


def drive_over_ros(policy_text: str, route: RouteSpec, out_dir: Path, *, pictures: str) -> DriveResult:
    """One route, driven by a policy through camera, planner and vehicle interface node; their logs are left in out_dir.

    Raises MimicError naming the node that failed. The same rows as the in-process engine gives.
    """
    world = build_world(route)
    rows = out_dir / "rows.parquet"
    policy_path = Path(policy_text)
    arguments = {
        "policy": str(policy_path.resolve()) if policy_path.exists() else policy_text,
        "lockstep": "true",
        "vehicle": route.vehicle,
        "rig": world.vehicle.rig,
        "route": json.dumps(asdict(route)),
        "pictures": pictures,
        "scene": str(getattr(load_policy(policy_text), "needs_scene", False)).lower(),
        "rows": str(rows.resolve()),
    }
    timeout_s = START_S + SLOWEST * world.time_limit_s
    with start("sim", arguments, log_directory=out_dir / "logs") as bringup:
        bringup.wait_for_exit_of("sim_node", timeout_s=timeout_s)
    return DriveResult.load(rows)
