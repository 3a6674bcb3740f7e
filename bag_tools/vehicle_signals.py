"""Signals of a vehicle on one regular grid of time, to identify it from."""

import numpy as np
from numpy.typing import NDArray

from bag_tools.bag_reader import Bag
from bag_tools.clip_store import EGO_SIGNALS
from bag_tools.recording import Track, read_numbers
from bag_tools.synchronise import BACKWARD_JUMP_NS, interpolate
from bag_tools.topic_map import VEHICLE_SIGNALS, TopicMap
from mimic_contracts.errors import MimicError


def vehicle_signals(bag: Bag, topic_map: TopicMap, *, step_s: float) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Signals of the map that are in the bag, (N,) each, every step_s while all of them are recorded, linear, NaN in gaps; and why
    the others are missing.

    On the clock of the headers where all have it and none jumps back, else as the recorder wrote them down. Raises MimicError
    when there is no time in which all are recorded.
    """
    recording = read_numbers(bag, topic_map, (*EGO_SIGNALS, *VEHICLE_SIGNALS))
    tracks, missing = recording.signals, recording.missing
    if not tracks:
        return {}, missing
    has_headers = all(track.clock == "header" and (np.diff(track.stamp_ns) > -BACKWARD_JUMP_NS).all() for track in tracks.values())
    series = {name: _increasing(track, track.stamp_ns if has_headers else track.log_ns) for name, track in tracks.items()}
    start_ns, end_ns = max(stamps[0] for stamps, _ in series.values()), min(stamps[-1] for stamps, _ in series.values())
    if end_ns <= start_ns:
        raise MimicError(f"{bag.path}: {', '.join(series)} are never recorded at the same time, or their stamps are of different clocks")
    grid_ns = np.arange(start_ns, end_ns + 1, round(step_s * 1e9))
    max_gap_ns = round(topic_map.max_signal_gap_s * 1e9)
    return {name: interpolate(stamps, values, grid_ns, max_gap_ns=max_gap_ns) for name, (stamps, values) in series.items()}, missing


def _increasing(track: Track, stamp_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Stamps in order, and the value of each, the first where there are several."""
    stamps, index = np.unique(stamp_ns, return_index=True)
    return stamps, np.array(track.values, np.float64)[index]
