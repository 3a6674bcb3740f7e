"""What an extraction tells: rates, gaps, clocks, what was left out, what is missing and therefore masked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bag_tools.clip_store import SIGNALS, ClipFrames
from bag_tools.frame_plan import FramePlan
from mimic_contracts.clip import SPLITS, Clip


def bag_report(plan: FramePlan) -> dict[str, Any]:
    """What is known of a bag before its pictures are decoded."""
    recording = plan.recording
    return {
        "name": recording.bag.name,
        "path": str(plan.bag),
        **plan.identity,
        "damage": recording.bag.damage,
        "unreadable_topics": {topic.name: topic.problem for topic in recording.bag.topics.values() if topic.problem},
        "cameras": {name: track.report() for name, track in recording.cameras.items()},
        "signals": {name: track.report() for name, track in recording.signals.items()},
        "missing_signals": {name: recording.missing.get(name, "not in the topic map") for name in SIGNALS if name not in recording.signals},
        "left_out": {reason: count for reason, count in plan.counts.items() if count},
        "clips": dict.fromkeys(SPLITS, 0),
        "frames": dict.fromkeys(SPLITS, 0),
        "masked_frames": {},
    }


def count_clip(report: dict[str, Any], clip: Clip, frames: ClipFrames) -> None:
    """Add a written clip to its bag's report."""
    report["clips"][clip.split] += 1
    report["frames"][clip.split] += len(frames)
    for name in report["signals"]:
        if name != "route_command":
            absent = np.isnan(getattr(frames, name)).reshape(len(frames), -1)
            masked = int((absent.all(axis=1) if name == "route_points" else absent.any(axis=1)).sum())  # fewer points are a route, too
            report["masked_frames"][name] = report["masked_frames"].get(name, 0) + masked


def split_figures(bag_reports: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Clips and frames by split."""
    return {split: {key: sum(item[key][split] for item in bag_reports) for key in ("clips", "frames")} for split in SPLITS}


def left_out_text(counts: Mapping[str, int]) -> str:
    """'3 same stamp again, 1 picture has no data'."""
    return ", ".join(f"{count} {reason}" for reason, count in counts.items() if count) or "nothing left out"


def report_text(report: Mapping[str, Any]) -> str:
    """The report for people, a few lines a bag."""
    lines = []
    for item in report["bags"]:
        frames = ", ".join(f"{item['frames'][split]} {split}" for split in SPLITS if item["frames"][split]) or "no"
        lines.append(f"{item['path']}: {frames} frames in {sum(item['clips'].values())} clip(s), drive {item['drive_id']}")
        lines += [f"  damage: {text}" for text in item["damage"]]
        for kind in ("cameras", "signals"):
            lines += [f"  {name}: {_track_text(track)}" for name, track in item[kind].items()]
        lines += [f"  masked: {name} in {count} frames" for name, count in item["masked_frames"].items() if count]
        lines += [f"  masked: {name}: {why}" for name, why in item["missing_signals"].items() if why != "not in the topic map"]
        absent = [name for name, why in item["missing_signals"].items() if why == "not in the topic map"]
        lines += [f"  not in the topic map, so masked: {', '.join(absent)}"] if absent else []
        lines += [f"  left out: {left_out_text(item['left_out'])}"] if item["left_out"] else []
    lines += [f"{bag}: REFUSED: {reason}" for bag, reason in report["refused"].items()]
    lines.append("; ".join(f"{split}: {figures['clips']} clips, {figures['frames']} frames" for split, figures in report["splits"].items()))
    return "\n".join(lines)


def _track_text(track: Mapping[str, Any]) -> str:
    offset = track["log_minus_header"]
    clock = f"log - header {offset['median_s']:+.3f} s" if track["clock"] == "header" and offset else "no header stamps: LOG TIME is used"
    skipped = f", skipped: {left_out_text(track['skipped'])}" if track["skipped"] else ""
    repeated = f", {track['repeated_payloads']} repeated" if track["repeated_payloads"] else ""
    timing = f"{track['count']} messages at {track['rate_hz']:.2f} Hz, jitter {track['jitter_s'] * 1e3:.1f} ms"
    losses = f"{track['gaps']} gaps (longest {track['longest_gap_s']:.2f} s), {track['dropped']} dropped, {track['duplicated']} duplicated{repeated}"
    return f"{timing}, {losses}, {clock}{skipped}"
