"""A road network by hand, as SUMO would write it: roads with few points, junctions with arcs, joined end to start."""

from collections.abc import Sequence

import numpy as np

from mimic_sim.road_network import Lane, RoadNetwork

LANE_WIDTH_M = 3.2


def lane(lane_id: str, points: Sequence[Sequence[float]], successors: tuple[str, ...] = (), *, speed_limit_mps: float = 13.9) -> Lane:
    return Lane(
        lane_id=lane_id,
        centre_m=np.array(points, np.float64),
        width_m=LANE_WIDTH_M,
        speed_limit_mps=speed_limit_mps,
        left_marking="dashed",
        right_marking="solid",
        has_sidewalk=False,
        successors=successors,
    )


def chain(*pieces: float | tuple[float, float]) -> RoadNetwork:
    """Roads and junctions in turn: a road is its length in m, a junction (angle in degrees, left positive; radius in m).

    The lanes are road_0, :junction_0, road_1, … .
    """
    names = [f"road_{i // 2}" if i % 2 == 0 else f":junction_{i // 2}" for i in range(len(pieces))]
    lanes, place, yaw = [], np.zeros(2), 0.0
    for i, piece in enumerate(pieces):
        if isinstance(piece, tuple):
            angle, radius_m = np.radians(piece[0]), piece[1]
            turned = np.linspace(0.0, angle, 8)
            middle = place + np.sign(angle) * radius_m * np.array([-np.sin(yaw), np.cos(yaw)])
            points = middle + np.sign(angle) * radius_m * np.stack([np.sin(yaw + turned), -np.cos(yaw + turned)], axis=1)
            yaw += angle
        else:
            points = place + np.linspace(0.0, piece, 3)[:, None] * np.array([np.cos(yaw), np.sin(yaw)])
        place = points[-1]
        lanes.append(lane(names[i], points, tuple(names[i + 1 : i + 2]), speed_limit_mps=8.0 if isinstance(piece, tuple) else 13.9))
    return RoadNetwork(name="by hand", lanes=tuple(lanes))
