"""Which frames of which recordings become clips, and for which split; decided before any picture is decoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bag_tools.clip_store import EGO_SIGNALS, PLAN_SHAPE, ROUTE_SHAPE
from bag_tools.recording import Recording, RoutePath, Track
from bag_tools.synchronise import Stamps, at_rate, clock_segments, hold, interpolate, interpolate_poses, nearest, onto_clock, runs
from bag_tools.topic_map import TopicMap
from mimic_contracts.clip import SPLITS
from mimic_contracts.motion import points_to_frame

LOG_SLACK_NS = 1_000_000_000  # how far from a piece's pictures, in log time, its other messages may have been recorded
PLAN_TOLERANCE_NS = 10_000_000  # an expert plan holds for the pose at its stamp; it cannot be interpolated


@dataclass(eq=False)
class FramePlan:
    """The frames of one recording. stamp_ns (N,) of the reference camera; segment (N,): piece of unbroken clock;
    ordinals: camera → (N,) which of its topic's messages; split (N,): text; counts: what was left out."""

    bag: Path
    recording: Recording
    identity: dict[str, str]
    stamp_ns: Stamps
    segment: NDArray[np.int64]
    ordinals: dict[str, NDArray[np.int64]]
    split: NDArray[np.str_]
    counts: dict[str, int]

    def select(self, keep: NDArray[np.bool_], reason: str) -> None:
        """Leave out the others, and count them."""
        self.counts[reason] = self.counts.get(reason, 0) + int((~keep).sum())
        self.stamp_ns, self.segment, self.split = self.stamp_ns[keep], self.segment[keep], self.split[keep]
        self.ordinals = {camera: ordinal[keep] for camera, ordinal in self.ordinals.items()}


def plan_frames(bag: Path, recording: Recording, topic_map: TopicMap) -> FramePlan:
    """Choose frames at the map's rate, with a picture of every camera, in runs that are long enough.

    Raises MimicError when the bag belongs to no split or its path does not fit bag_pattern.
    """
    names = [camera.name for camera in topic_map.rig.cameras]
    reference = recording.cameras[names[0]]
    segments = clock_segments(reference.stamp_ns)
    counts = {"clock jumps": int(segments[-1]) if len(segments) else 0, "same stamp again": 0, "not needed at this rate": 0}
    pieces: list[tuple[Stamps, NDArray[np.int64], dict[str, NDArray[np.int64]]]] = []
    for number in np.unique(segments):
        members = np.flatnonzero(segments == number)
        stamps, first = np.unique(reference.stamp_ns[members], return_index=True)
        keep = at_rate(stamps, topic_map.frame_rate_hz)
        counts["same stamp again"] += len(members) - len(stamps)
        counts["not needed at this rate"] += int((~keep).sum())
        chosen = {names[0]: reference.ordinal[members[first]][keep]}
        for name in names[1:]:
            track = recording.cameras[name]
            other_stamps, index = _piece(track, reference, members)
            match = nearest(other_stamps, stamps[keep], tolerance_ns=round(topic_map.sync_tolerance_s * 1e9))
            chosen[name] = np.where(match >= 0, track.ordinal[index[match]] if len(index) else -1, -1)
        pieces.append((stamps[keep], np.full(int(keep.sum()), number), chosen))
    plan = FramePlan(
        bag=bag,
        recording=recording,
        identity=topic_map.identity(bag),
        stamp_ns=np.concatenate([piece[0] for piece in pieces]) if pieces else np.zeros(0, np.int64),
        segment=np.concatenate([piece[1] for piece in pieces]) if pieces else np.zeros(0, np.int64),
        ordinals={name: np.concatenate([piece[2][name] for piece in pieces]) if pieces else np.zeros(0, np.int64) for name in names},
        split=np.full(sum(len(piece[0]) for piece in pieces), topic_map.split_of_bag(bag)),
        counts=counts,
    )
    plan.select(np.all([ordinal >= 0 for ordinal in plan.ordinals.values()], axis=0), "picture of another camera is missing")
    plan.select(_in_long_runs(plan, topic_map), "in pieces shorter than min_clip_s")
    return plan


def assign_splits(plans: Sequence[FramePlan], topic_map: TopicMap) -> None:
    """Give time blocks of drives to their splits, and keep train frames split_margin_s away from held-out ones."""
    margin_ns = round(topic_map.split_margin_s * 1e9)
    for drive in sorted({plan.identity["drive_id"] for plan in plans}):
        members = [plan for plan in plans if plan.identity["drive_id"] == drive and len(plan.stamp_ns)]
        if not members:
            continue
        first, last = min(int(plan.stamp_ns.min()) for plan in members), max(int(plan.stamp_ns.max()) for plan in members)
        for plan in members:
            fraction = (plan.stamp_ns - first) / max(last - first, 1)
            for split, block in reversed(topic_map.blocks()):  # the first of them has the last word
                is_last = block.end == 1.0
                plan.split = np.where((fraction >= block.start) & ((fraction < block.end) | is_last), split, plan.split).astype("<U5")
        held_out = np.sort(np.concatenate([plan.stamp_ns[plan.split != "train"] for plan in members]))
        for plan in members:
            too_close = (plan.split == "train") & (nearest(held_out, plan.stamp_ns, tolerance_ns=margin_ns) >= 0)
            plan.select(~too_close, "train frame within split_margin_s of held-out driving")
            plan.select(_in_long_runs(plan, topic_map), "in pieces shorter than min_clip_s")


def clip_runs(plan: FramePlan, topic_map: TopicMap) -> list[slice]:
    """The contiguous pieces of a plan: one clock, one split, no gap."""
    labels = plan.segment * len(SPLITS) + np.array([SPLITS.index(split) for split in plan.split.tolist()], np.int64)
    return runs(plan.stamp_ns, labels, max_gap_ns=round(topic_map.max_gap_s * 1e9))


def is_contiguous(plan: FramePlan, topic_map: TopicMap, earlier: int, later: int) -> bool:
    """Whether two frames of a plan can be neighbours in a clip."""
    gap_ns = int(plan.stamp_ns[later] - plan.stamp_ns[earlier])
    same_piece = plan.segment[earlier] == plan.segment[later] and plan.split[earlier] == plan.split[later]
    return bool(same_piece and 0 < gap_ns <= topic_map.max_gap_s * 1e9)


def signals_at(plan: FramePlan, topic_map: TopicMap) -> dict[str, NDArray[Any]]:
    """Every recorded signal at the moments of exposure, (N, …) as ClipFrames has them; NaN where it cannot be told."""
    reference = plan.recording.cameras[topic_map.rig.cameras[0].name]
    reference_segments = clock_segments(reference.stamp_ns)
    max_gap_ns = round(topic_map.max_signal_gap_s * 1e9)
    columns: dict[str, NDArray[Any]] = {}
    for name, track in sorted(plan.recording.signals.items(), key=lambda item: item[0] == "route_points"):  # which needs the pose
        parts = []
        for number in np.unique(plan.segment):
            stamps, index = _piece(track, reference, np.flatnonzero(reference_segments == number))
            values = [track.values[i] for i in index.tolist()]
            here = plan.segment == number
            if name == "route_points":
                poses = columns["pose"][here] if "pose" in columns else np.full((int(here.sum()), 3), np.nan)
                parts.append(_route_at_exposure(stamps, values, plan.stamp_ns[here], poses, base_frame=topic_map.base_frame))
            else:
                parts.append(_at_exposure(name, stamps, values, plan.stamp_ns[here], max_gap_ns=max_gap_ns))
        if parts:
            columns[name] = np.concatenate(parts)
    return columns


def _at_exposure(name: str, stamps: Stamps, values: list[Any], at_ns: Stamps, *, max_gap_ns: int) -> NDArray[Any]:
    """Values of one signal (N) at M moments: commands are held, plans must fit, numbers are interpolated."""
    if name == "route_command":
        return np.array([values[i] if i >= 0 else "follow" for i in hold(stamps, at_ns).tolist()], np.str_)
    if name == "pose":
        return interpolate_poses(stamps, np.array(values, np.float64).reshape(-1, 3), at_ns, max_gap_ns=max_gap_ns)
    if name in EGO_SIGNALS:
        return interpolate(stamps, np.array(values, np.float64), at_ns, max_gap_ns=max_gap_ns)
    plans = np.full((len(at_ns), *PLAN_SHAPE), np.nan)
    for row, index in enumerate(nearest(stamps, at_ns, tolerance_ns=PLAN_TOLERANCE_NS).tolist()):
        if index >= 0:
            plans[row] = values[index]
    return plans


def _route_at_exposure(stamps: Stamps, paths: list[RoutePath], at_ns: Stamps, poses: NDArray[np.float64], *, base_frame: str) -> NDArray[np.float64]:
    """(M, ROUTE_POINTS, 2) points in the vehicle frame at M moments and poses (M, 3), held; NaN where route or pose is missing."""
    points = np.full((len(at_ns), *ROUTE_SHAPE), np.nan)
    for row, index in enumerate(hold(stamps, at_ns).tolist()):
        if index >= 0:
            path = paths[index]
            points[row] = path.points_m if path.frame_id == base_frame else points_to_frame(path.points_m, poses[row])
    return points


def _piece(track: Track, reference: Track, members: NDArray[np.int64]) -> tuple[Stamps, NDArray[np.int64]]:
    """Stamps (strictly increasing) and indices of a track's messages that were recorded along with these pictures.

    A topic without header stamps is carried over from log time to the clock of the pictures.
    """
    log_ns, stamp_ns = reference.log_ns[members], reference.stamp_ns[members]
    near = np.flatnonzero((track.log_ns >= log_ns.min() - LOG_SLACK_NS) & (track.log_ns <= log_ns.max() + LOG_SLACK_NS))
    stamps = track.stamp_ns[near]
    if track.clock == "log" and reference.clock == "header":
        stamps = onto_clock(track.log_ns[near], reference_log_ns=log_ns, reference_stamp_ns=stamp_ns)
    unique, first = np.unique(stamps, return_index=True)
    return unique, near[first]


def _in_long_runs(plan: FramePlan, topic_map: TopicMap) -> NDArray[np.bool_]:
    keep = np.zeros(len(plan.stamp_ns), bool)
    for run in clip_runs(plan, topic_map):
        keep[run] = plan.stamp_ns[run][-1] - plan.stamp_ns[run][0] >= topic_map.min_clip_s * 1e9
    return keep
