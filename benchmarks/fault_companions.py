"""The nodes that the simulator's bring-up does not have: their parameters, for a drive that they take part in, and how the supervisor watches them."""

from pathlib import Path
from typing import Any

import numpy as np
from fault_injections import BAG, RECORDED
from faulty_car import OPERATOR_MPS

from mimic_contracts.navigation import RouteFile, route_text
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.world import World
from perception.calibration_memory import memory_path, remember
from perception.mounting_estimate import NEEDED
from vehicle_interface.supervisor_parameters import SupervisorParameters

VEHICLE, CAMERA = "simulator", "front"
ROUTE_LAPS, ROUTE_STEP_M = 20, 20.0
SUPERVISED = {  # the supervisor's parameters where a drive's bring-up has these nodes
    "route_node": {"node_names": [*SupervisorParameters().node_names, "route_node"]},
    "calibration_node": {"calibration_required": True},
}


def companions(scratch: Path, world: World) -> dict[str, dict[str, Any]]:
    """Parameters by node. What they tell the planner goes nowhere: the car sends the route."""
    stations_m = world.route.start_m + np.arange(0.0, ROUTE_LAPS * world.lane_line.length_m, ROUTE_STEP_M)
    points_m = world.lane_line.poses(stations_m % world.lane_line.length_m)[:, :2]
    route, memory = scratch / "route.yaml", scratch / "mountings"
    route.write_text(route_text(RouteFile(name="ring", points_m=points_m, manoeuvres=())), encoding="utf-8")
    right = load_vehicle(VEHICLE).cameras[CAMERA]
    blocks = [(right.yaw_rad, right.pitch_rad, right.z_m)] * NEEDED
    remember(memory_path(str(memory), vehicle=VEHICLE, camera=CAMERA), blocks, vehicle=VEHICLE, camera=CAMERA)
    return {
        "teleop_node": {"max_speed_mps": OPERATOR_MPS},
        "command_timeout_node": {"command_topic": "/gazebo/command"},  # which is of another type than the simulator's
        "record_node": {"topics": ["/diagnostics", *RECORDED], "out": str(scratch / BAG)},
        "route_node": {"route": str(route), **{f"{kind}_topic": f"/other/{kind}" for kind in ("route", "route_command")}},
        "overlay_node": {},
        "calibration_node": {"memory": str(memory)},
        "sound_node": {},
    }
