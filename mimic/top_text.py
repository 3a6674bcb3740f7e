"""The figures of `mimic top` as text for people."""

from collections.abc import Mapping, Sequence
from typing import Any

SILENT_S, SILENT_PERIODS = 0.5, 5.0  # a topic whose last message is older than both is marked
LATENCIES = {"stamp_to_picture": "stamp -> picture", "picture_to_plan": "picture -> plan", "picture_to_command": "picture -> command"}
VALUES = (("acceleration_mps2", "acceleration", "m/s2", 2), ("curvature_1pm", "curvature", "1/m", 4), ("speed_mps", "speed", "m/s", 2))


def top_text(figures: Mapping[str, Any]) -> str:
    """Lines of what drives, what is asked and commanded, latencies, and a row a topic; '!': silent, '-': unknown."""
    lines = [*_driving(figures), "", *_wishes(figures), "", *_latencies(figures["latency_ms"]), "", *_topics(figures["topics"])]
    if figures["complaints"]:
        lines += ["", *(f"{one['level']:5} {one['node']}: {one['message']}" for one in figures["complaints"])]
    return "\n".join(line.rstrip() for line in lines)


def _driving(figures: Mapping[str, Any]) -> list[str]:
    request = {None: "-", True: "A DRIVER IS NEEDED", False: "no driver is needed"}[figures["takeover_requested"]]
    verdict = ": ".join(filter(None, (figures["verdict"] or "-", figures["verdict_reason"])))
    driver = f", plans by {figures['driven_by']}" if figures["driven_by"] else ""
    return [f"mode        {figures['mode'] or '-'}{driver}: {figures['reason'] or '-'}", f"takeover    {request}", f"supervisor  {verdict}"]


def _wishes(figures: Mapping[str, Any]) -> list[str]:
    rows: list[tuple[str, ...]] = [("", "asked", "commanded", "measured", "")]
    for key, name, unit, digits in VALUES:
        measured = figures["speed_mps"] if key == "speed_mps" else None
        asked = figures["planned_speed_mps"] if key == "speed_mps" else figures["asked"].get(key)
        rows.append((name, *(_number(value, digits) for value in (asked, figures["commanded"].get(key), measured)), unit))
    limits = ", ".join(f"{name} ({share:.0%} of the steps)" for name, share in figures["limits"].items())
    return [*_columns(rows), f"limits that bite  {limits or 'none'}"]


def _latencies(latencies_ms: Mapping[str, Any]) -> list[str]:
    rows: list[tuple[str, ...]] = [("latency, last 10 s", "p50 ms", "p99 ms", "count")]
    for key, name in LATENCIES.items():
        found = latencies_ms[key]
        rows.append((name, *((f"{found['p50']:.1f}", f"{found['p99']:.1f}", str(found["count"])) if found else ("-", "-", "0"))))
    return _columns(rows)


def _topics(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    table: list[tuple[str, ...]] = [("topic", "rate Hz", "age s", "longest gap s", "gaps", "")]
    for row in rows:
        period_s = 1.0 / row["rate_hz"] if row["rate_hz"] else 0.0
        is_silent = row["age_s"] is None or row["age_s"] > max(SILENT_S, SILENT_PERIODS * period_s)
        numbers = (_number(row["rate_hz"], 1), _number(row["age_s"], 2), _number(row["longest_gap_s"], 3), _number(row["gaps"], 0))
        table.append((row["topic"], *numbers, "!" if is_silent else ""))
    return _columns(table)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The first column to the left, the others to the right, except for a last one without a heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    is_left = [i == 0 or not rows[0][i] for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if left else cell.rjust(width) for cell, width, left in zip(row, widths, is_left, strict=True)) for row in rows]
