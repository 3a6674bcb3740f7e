"""What is in a bag: topics, types, counts, rates, gaps, jitter, duration, damage."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bag_tools.bag_reader import Bag
from bag_tools.synchronise import Timing


def bag_info(bag: Bag) -> dict[str, Any]:
    """Figures of a bag. Rates, gaps and jitter are of the header stamps where a topic has them, else of the log times
    (`clock` says which); duration and start are of the log times."""
    log_ns: dict[str, list[int]] = {name: [] for name in bag.topics}
    header_ns: dict[str, list[int]] = {name: [] for name in bag.topics}
    for message in bag.messages():
        log_ns[message.channel.topic].append(message.log_ns)
        stamp_ns = bag.header_stamp_ns(message)
        if stamp_ns is not None:
            header_ns[message.channel.topic].append(stamp_ns)
    topics = []
    for name, topic in bag.topics.items():
        log, header = np.array(log_ns[name], np.int64), np.array(header_ns[name], np.int64)
        has_stamps = len(header) == len(log) > 0 and float(np.mean(header > 0)) > 0.5
        timing = Timing.of(header if has_stamps else log).as_dict()
        offset_s = float(np.median(log - header)) / 1e9 if has_stamps else None
        details = {"clock": "header" if has_stamps else "log", **timing, "log_minus_header_s": offset_s, "problem": topic.problem}
        topics.append({"name": name, "type": topic.type_name, **details})
    everything = np.array(sorted(stamp for stamps in log_ns.values() for stamp in stamps), np.int64)
    return {
        "bag": str(bag.path),
        "messages": bag.message_count,
        "start_ns": int(everything[0]) if len(everything) else None,
        "duration_s": float(everything[-1] - everything[0]) / 1e9 if len(everything) else 0.0,
        "damage": bag.damage,
        "topics": topics,
    }


def info_table(info: Mapping[str, Any]) -> str:
    """The same as a table for people."""
    head = ("topic", "type", "messages", "rate_hz", "jitter_ms", "gaps", "longest_gap_s", "duplicated", "backward", "clock")
    rows = [head] + [
        (
            topic["name"],
            topic["type"],
            str(topic["count"]),
            f"{topic['rate_hz']:.2f}",
            f"{topic['jitter_s'] * 1e3:.2f}",
            str(topic["gaps"]),
            f"{topic['longest_gap_s']:.3f}",
            str(topic["duplicated"]),
            str(topic["backward"]),
            topic["clock"] + (f" ({topic['log_minus_header_s']:+.3f} s)" if topic["log_minus_header_s"] is not None else ""),
        )
        for topic in info["topics"]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    is_text = [column in (0, 1, len(head) - 1) for column in range(len(head))]
    lines = [f"{info['bag']}: {info['messages']} messages in {info['duration_s']:.3f} s"]
    lines += ["  " + "  ".join(c.ljust(w) if text else c.rjust(w) for c, w, text in zip(row, widths, is_text, strict=True)).rstrip() for row in rows]
    lines += [f"  cannot be decoded: {topic['name']}: {topic['problem']}" for topic in info["topics"] if topic["problem"]]
    lines += [f"  damage: {text}" for text in info["damage"]]
    return "\n".join(lines)
