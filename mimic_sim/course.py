"""The built-in courses: closed two-lane roads of straights and bends, given as data.

Turning to the left is positive. Between a straight and a bend the curvature changes linearly (a clothoid), so that a
car can follow without a jump of the steering wheel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_sim.road_network import Lane, RoadNetwork

SAMPLE_M = 0.1
KEEP_EVERY = 5  # of the samples, one in so many becomes a point of a lane
LANE_WIDTH_M = 3.5
SPEED_LIMIT_MPS = 50.0 / 3.6
EGO_LANE, ONCOMING_LANE = "right", "left"


@dataclass(frozen=True)
class Straight:
    """A piece without curvature. is_free: its length may be changed to close the loop."""

    length_m: float
    is_free: bool = False


@dataclass(frozen=True)
class Bend:
    """A turn by angle_deg (left positive) with radius_m, entered and left over a clothoid of transition_m each."""

    angle_deg: float
    radius_m: float
    transition_m: float


COURSE: tuple[Straight | Bend, ...] = (
    Straight(110.0),
    Bend(80.0, 40.0, 16.0),
    Straight(20.0),
    Bend(-30.0, 150.0, 24.0),
    Straight(40.0),
    Bend(-50.0, 60.0, 20.0),
    Straight(110.0),
    Bend(110.0, 45.0, 18.0),
    Straight(40.0),
    Bend(-70.0, 30.0, 14.0),
    Straight(20.0),
    Bend(150.0, 18.0, 10.0),
    Straight(90.0, is_free=True),
    Bend(-60.0, 22.0, 12.0),
    Straight(20.0),
    Bend(90.0, 80.0, 20.0),
    Straight(20.0, is_free=True),
    Bend(40.0, 100.0, 20.0),
    Straight(110.0),
    Bend(-75.0, 35.0, 16.0),  # the S-bend
    Bend(80.0, 35.0, 16.0),
    Straight(30.0),
    Bend(95.0, 25.0, 12.0),
)

# Wide enough for 50 km/h all the way round.
RING: tuple[Straight | Bend, ...] = (
    Straight(200.0, is_free=True),
    Bend(90.0, 120.0, 40.0),
    Straight(100.0, is_free=True),
    Bend(90.0, 120.0, 40.0),
    Straight(200.0),
    Bend(90.0, 120.0, 40.0),
    Straight(100.0),
    Bend(90.0, 120.0, 40.0),
)


def build_course(name: str = "course") -> RoadNetwork:
    """The road network of a built-in course; raises ContractError that lists the known names."""
    if name not in COURSES:
        raise ContractError(f"course: is '{name}', must be one of {', '.join(COURSES)}")
    middle, yaw = closed_loop(COURSES[name])
    left_normal = np.stack([-np.sin(yaw), np.cos(yaw)], axis=1)
    half = LANE_WIDTH_M / 2.0
    return RoadNetwork(
        name=name,
        lanes=(
            _lane(EGO_LANE, middle - half * left_normal, left_marking="dashed"),
            _lane(ONCOMING_LANE, (middle + half * left_normal)[::-1].copy(), left_marking="none"),  # one line, not two
        ),
    )


def closed_loop(pieces: Sequence[Straight | Bend]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middle of the road: points (N, 2), m, and heading (N,), rad, every SAMPLE_M * KEEP_EVERY or so.

    The two free straights get the lengths that bring the end back to the start.
    Raises ContractError when the bends do not add up to one full turn or no lengths of 20 to 1000 m close the loop.
    """
    turn_deg = sum(p.angle_deg for p in pieces if isinstance(p, Bend))
    free = [i for i, p in enumerate(pieces) if isinstance(p, Straight) and p.is_free]
    if abs(turn_deg - 360.0) > 1e-9 or len(free) != 2:
        raise ContractError(f"course: turns by {turn_deg}° with {len(free)} free straights, must be 360° with 2")
    end, directions = _trace(pieces)[0][-1], _free_directions(pieces, free)
    change = np.linalg.solve(directions.T, -end)
    lengths = {i: pieces[i].length_m + float(c) for i, c in zip(free, change, strict=True)}  # type: ignore[union-attr]
    if min(lengths.values()) < 20.0 or max(lengths.values()) > 1000.0:
        raise ContractError(f"course: the free straights would be {list(lengths.values())} m long, must be 20 to 1000 m: change a bend")
    points, yaw = _trace([Straight(lengths[i]) if i in lengths else p for i, p in enumerate(pieces)])
    return points[:-1:KEEP_EVERY], yaw[:-1:KEEP_EVERY]


def _free_directions(pieces: Sequence[Straight | Bend], free: Sequence[int]) -> NDArray[np.float64]:
    """(2, 2): unit vectors of the free straights, which do not depend on any length."""
    headings = [np.radians(sum(p.angle_deg for p in pieces[:i] if isinstance(p, Bend))) for i in free]
    return np.array([[np.cos(h), np.sin(h)] for h in headings])


def _trace(pieces: Sequence[Straight | Bend]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and headings from the origin on, by integrating the curvature."""
    lengths, curvatures = [0.0], [0.0]  # corners of the curvature over arc length
    for piece in pieces:
        if isinstance(piece, Straight):
            lengths.append(lengths[-1] + piece.length_m)
            curvatures.append(0.0)
            continue
        curvature = np.sign(piece.angle_deg) / piece.radius_m
        arc_m = abs(np.radians(piece.angle_deg)) * piece.radius_m - piece.transition_m
        if arc_m < 0:
            raise ContractError(f"bend: {piece} is shorter than its transitions")
        for length_m, value in ((piece.transition_m, curvature), (arc_m, curvature), (piece.transition_m, 0.0)):
            lengths.append(lengths[-1] + length_m)
            curvatures.append(float(value))
    s = np.linspace(0.0, lengths[-1], round(lengths[-1] / SAMPLE_M / KEEP_EVERY) * KEEP_EVERY + 1)
    corners, heights = np.array(lengths), np.array(curvatures)
    area = np.concatenate([[0.0], np.cumsum(np.diff(corners) * (heights[1:] + heights[:-1]) / 2.0)])
    piece_of = np.clip(np.searchsorted(corners, s, side="right") - 1, 0, len(corners) - 2)
    into = s - corners[piece_of]
    slope = np.diff(heights)[piece_of] / np.maximum(np.diff(corners)[piece_of], 1e-9)
    yaw = area[piece_of] + heights[piece_of] * into + 0.5 * slope * into**2
    step = s[1] - s[0]
    middle_yaw = (yaw[1:] + yaw[:-1]) / 2.0
    moves = step * np.stack([np.cos(middle_yaw), np.sin(middle_yaw)], axis=1)
    return np.concatenate([[[0.0, 0.0]], np.cumsum(moves, axis=0)]), yaw


def _lane(lane_id: str, centre_m: NDArray[np.float64], *, left_marking: str) -> Lane:
    return Lane(
        lane_id=lane_id,
        centre_m=np.ascontiguousarray(centre_m),
        width_m=LANE_WIDTH_M,
        speed_limit_mps=SPEED_LIMIT_MPS,
        left_marking=left_marking,
        right_marking="solid",
        has_sidewalk=True,
        successors=(lane_id,),
    )


COURSES = {"course": COURSE, "ring": RING}
