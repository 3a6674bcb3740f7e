"""Held-out driving stays held out: no training clip may come near a val or test clip of the same drive."""

from collections.abc import Iterable

from mimic_contracts.clip import Clip
from mimic_contracts.errors import MimicError

MARGIN_S = 2.0  # METRICS, 'Splits'; the longest history and horizon that a model uses come on top


def split_margin_s(*, history_s: float, horizon_s: float) -> float:
    """How far a training clip must stay away from held-out ones, for a model with this history and horizon."""
    return MARGIN_S + history_s + horizon_s


def gap_s(a: Clip, b: Clip) -> float:
    """Time between two clips; negative when they overlap."""
    return max(a.start_ns - b.end_ns, b.start_ns - a.end_ns) / 1e9


def refuse_overlap(clips: Iterable[Clip], margin_s: float) -> None:
    """Raise MimicError naming the clips when a train clip is within `margin_s` of a val or test clip of its drive.

    margin_s: 2 s plus the longest history and horizon that the model uses (split_margin_s). Source: METRICS, 'Splits'.
    """
    by_drive: dict[str, list[Clip]] = {}
    for clip in clips:
        by_drive.setdefault(clip.drive_id, []).append(clip)
    close = []
    for drive in by_drive.values():
        held_out = [clip for clip in drive if clip.split != "train"]
        for clip in drive:
            close += [(gap_s(clip, other), clip, other) for other in held_out if clip.split == "train" and gap_s(clip, other) < margin_s]
    if close:
        lines = [f"{clip.clip_id} and {other.clip_id} ({other.split}): {gap:.2f} s" for gap, clip, other in close[:5]]
        more = f" and {len(close) - 5} more" if len(close) > 5 else ""
        raise MimicError(
            f"{len(close)} train clip(s) come closer than {margin_s:.2f} s to held-out clips of their drive: {'; '.join(lines)}{more}; "
            f"extract with split_margin_s of at least {margin_s:.2f} in the topic map"
        )
