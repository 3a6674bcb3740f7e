"""Figures of traces: each stage of each node, and the whole way from a picture to the actuation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.stage_trace import TRAVELLED, Slice

CAMERA, ACTUATION, PUBLISHED = "camera_node", "vehicle_interface_node", "published"
ORDER = (CAMERA, "planner_node", ACTUATION)  # others come after
WHOLE_WAY = ("picture → actuation", "")


def rows_of(slices: Sequence[Slice]) -> list[tuple[str, str, NDArray[np.float64]]]:
    """(node, stage, (N,) ms of its frames) in the order in which a frame passes them, and at last the whole way, where the traces
    of both ends are there."""
    times: dict[tuple[str, str], list[int]] = {}
    for one in sorted(slices, key=lambda one: ORDER.index(one.process) if one.process in ORDER else len(ORDER)):
        times.setdefault((one.process, one.stage), []).append(one.end_ns - one.begin_ns)
    rows = [(node, stage, np.array(durations) / 1e6) for (node, stage), durations in times.items()]
    whole_ms = whole_way_ms(slices)
    return [*rows, (*WHOLE_WAY, whole_ms)] if len(whole_ms) else rows


def whole_way_ms(slices: Sequence[Slice], *, since_ns: int = 0) -> NDArray[np.float64]:
    """(N,) from the publication of a picture, after this stamp, to that of the actuation which its plan led to."""
    begun: dict[int, int] = {}
    for one in slices:
        if one.process == CAMERA and one.stage == TRAVELLED:
            begun[one.stamp_ns] = min(one.begin_ns, begun.get(one.stamp_ns, one.begin_ns))
    ended = {one.stamp_ns: one.end_ns for one in slices if one.process == ACTUATION and one.stage == PUBLISHED}
    return np.array([(ended[stamp] - begun[stamp]) / 1e6 for stamp in sorted(begun.keys() & ended.keys()) if stamp >= since_ns], np.float64)


def percentiles(times_ms: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """p50, p99, p99.9 and the maximum."""
    p50, p99, p999 = np.percentile(times_ms, (50.0, 99.0, 99.9))
    return float(p50), float(p99), float(p999), float(times_ms.max())
