"""A route file from a recorded drive: drive it once, then follow it."""

import numpy as np
from numpy.typing import NDArray

from bag_tools.bag_reader import Bag
from bag_tools.recording import read_numbers
from bag_tools.topic_map import TopicMap
from mimic_contracts.errors import MimicError
from mimic_contracts.motion import wrap_angle
from mimic_contracts.navigation import Manoeuvre, RouteFile

FILE_STEP_M = 5.0  # between the points of the file
STEP_M = 1.0  # between the places at which turning is looked for
SHORTEST_M = 20.0
JUMP_M = 10.0  # between two messages: the localisation has jumped
CHORD_M = 10.0  # before and behind a place: a change of direction over this is turning, and what shakes the pose is not
TURNING_RAD = np.radians(15.0)  # over two chords: a bend of less than 80 m of radius
TURN_RAD, U_TURN_RAD = np.radians(45.0), np.radians(150.0)  # in all, of a turn in a junction
CLOSES_M = 10.0  # a drive that ends so near to where it began, and in the same direction, is a round


def driven_route(bag: Bag, topic_map: TopicMap, *, name: str) -> RouteFile:
    """The way that was driven, by the map's signal `pose`.

    Turns are found by their shape: junctions that are crossed straight on cannot be told from road; who wants them adds them to the
    file. Raises MimicError when there is no pose, or it jumps, or the vehicle hardly moved.
    """
    recording = read_numbers(bag, topic_map, ("pose",))
    if "pose" not in recording.signals:
        raise MimicError(f"{bag.path}: has no pose: {recording.missing.get('pose', 'the topic map names no signal pose')}")
    points_m = np.array(recording.signals["pose"].values, np.float64).reshape(-1, 3)[:, :2]
    steps_m = np.hypot(*np.diff(points_m, axis=0).T)
    if (steps_m > JUMP_M).any():
        raise MimicError(f"{bag.path}: the pose jumps by {steps_m.max():.1f} m after message {steps_m.argmax()}: cut the bag there, or mend the localisation")
    line_m = _even(points_m[np.append(True, steps_m > 1e-3)], STEP_M)
    if len(line_m) * STEP_M < SHORTEST_M:
        raise MimicError(f"{bag.path}: the vehicle moved by {len(line_m) * STEP_M:.0f} m, must be at least {SHORTEST_M:g} m")
    line_m, closed = _round(line_m)
    stride = round(FILE_STEP_M / STEP_M)
    points_m = line_m[::stride] if closed or (len(line_m) - 1) % stride == 0 else np.concatenate([line_m[::stride], line_m[-1:]])
    return RouteFile(name=name, points_m=points_m, closed=closed, manoeuvres=_turns(line_m))


def _even(points_m: NDArray[np.float64], step_m: float) -> NDArray[np.float64]:
    """Points of the same line at even distances."""
    if len(points_m) < 2:
        return points_m
    s_m = np.append(0.0, np.cumsum(np.hypot(*np.diff(points_m, axis=0).T)))
    return np.stack([np.interp(np.arange(0.0, s_m[-1], step_m), s_m, points_m[:, axis]) for axis in (0, 1)], axis=1)


def _direction_rad(line_m: NDArray[np.float64], chord: int) -> NDArray[np.float64]:
    """(N,) of the chord that begins at each place; at the end of the last whole one."""
    ends = np.minimum(np.arange(len(line_m)) + chord, len(line_m) - 1)
    begins = np.minimum(np.arange(len(line_m)), len(line_m) - 1 - chord)
    return np.arctan2(*(line_m[ends] - line_m[begins]).T[::-1])


def _round(line_m: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """The line up to where it comes back to its beginning, and whether it does so at its end."""
    tail = max(len(line_m) - round(3 * CLOSES_M / STEP_M), len(line_m) // 2)
    away_m = np.hypot(*(line_m[tail:] - line_m[0]).T)
    direction = _direction_rad(line_m, min(round(CHORD_M / STEP_M), len(line_m) - 1))
    nearest = tail + int(away_m.argmin())
    if away_m.min() > CLOSES_M or abs(float(wrap_angle(direction[nearest] - direction[0]))) > TURN_RAD:
        return line_m, False
    return line_m[:nearest], True


def _turns(line_m: NDArray[np.float64]) -> tuple[Manoeuvre, ...]:
    chord = round(CHORD_M / STEP_M)
    direction = np.unwrap(_direction_rad(line_m, chord))
    change = np.zeros(len(line_m))  # of direction about each place
    change[chord:] = direction[chord:] - direction[:-chord]
    found = []
    for sign, command in ((1.0, "left"), (-1.0, "right")):
        is_turning = np.append(sign * change > TURNING_RAD, False)
        edges = np.flatnonzero(np.diff(np.append(False, is_turning).astype(int)))
        for first, after in edges.reshape(-1, 2).tolist():
            turned = sign * (direction[min(after, len(direction) - 1)] - direction[max(first - chord, 0)])
            if turned >= TURN_RAD:
                start_m, end_m = first * STEP_M, max(after - chord // 2, first + 1) * STEP_M  # a junction begins before its bend does
                found.append(Manoeuvre(start_m=start_m, end_m=end_m, command="u_turn" if turned >= U_TURN_RAD else command))
    return tuple(sorted(found, key=lambda manoeuvre: manoeuvre.start_m))
