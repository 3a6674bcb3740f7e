"""Drives through the real nodes, as separate processes over DDS in lockstep."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from e2e_planner.policies import load_policy
from mimic.bringup import start
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import MimicError
from mimic_sim import engine
from mimic_sim.drive_result import DriveResult
from mimic_sim.route_spec import RouteSpec
from mimic_sim.world import build_world

START_S = 90.0  # for all nodes to come up
ANSWER_S = (0.1, 600.0)  # what sim_node takes as the longest time for an answer
SLOWEST = 5.0  # wall time over simulated time, beyond which a drive counts as hung


def drive_over_ros(policy_text: str, route: RouteSpec, out_dir: Path, *, pictures: str, budget_s: float = 10.0) -> DriveResult:
    """One route, driven by a policy through camera, planner and vehicle interface node; their logs are left in out_dir.

    The same rows and the same end as the in-process engine gives; an answer that takes longer than budget_s fails the
    route. Raises MimicError where the policy can't drive this vehicle, or naming the node that failed.
    """
    world, policy = build_world(route), load_policy(policy_text)
    engine.rig_of(policy, world.vehicle)
    if policy.spec.name != CAR.name:
        raise MimicError(f"plan: action spec is '{policy.spec.name}', only '{CAR.name}' can be driven; others can be scored and replayed")
    rows = out_dir / "rows.parquet"
    policy_path = Path(policy_text)
    arguments = {
        "policy": str(policy_path.resolve()) if policy_path.exists() else policy_text,
        "lockstep": "true",
        "vehicle": route.vehicle,
        "route": json.dumps(asdict(route)),
        "pictures": pictures,
        "scene": str(getattr(policy, "needs_scene", False)).lower(),
        "answer_timeout_s": str(float(np.clip(budget_s, *ANSWER_S))),
        "rows": str(rows.resolve()),
    }
    timeout_s = START_S + SLOWEST * world.time_limit_s
    with start("sim", arguments, log_directory=out_dir / "logs") as bringup:
        try:
            bringup.wait_for_exit_of("sim_node", timeout_s=timeout_s)
        except MimicError:
            if not rows.is_file():  # else they say why the drive failed
                raise
    return DriveResult.load(rows)
