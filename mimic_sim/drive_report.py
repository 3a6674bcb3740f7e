"""report.html of a closed-loop evaluation: one page, nothing to fetch, curves as SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_sim.drive_result import DriveResult
from mimic_sim.drive_score import __doc__ as definitions

WIDTH_PX, HEIGHT_PX = 860, 150
STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:900px;margin:2em auto;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}"
    "svg{background:#f7f7f5;display:block;margin:.3em 0}video{width:100%}pre{white-space:pre-wrap;font-size:12px}.bad{color:#b00}"
)


def report_html(title: str, score: Mapping[str, Any], drives: Sequence[tuple[DriveResult, Mapping[str, float]]], *, videos: Mapping[str, str]) -> str:
    """The page: overall figures, then each drive with its curves; videos: route id → file name beside the page."""
    overall = "".join(f"<tr><td>{escape(k)}</td><td>{_text(v)}</td></tr>" for k, v in score.items() if not isinstance(v, Mapping))
    parts = [_drive_section(drive, figures, videos.get(drive.route.route_id)) for drive, figures in drives]
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><table>{overall}</table>{''.join(parts)}<h2>Definitions</h2><pre>{escape(definitions or '')}</pre></body></html>\n"
    )


def _drive_section(drive: DriveResult, figures: Mapping[str, float], video: str | None) -> str:
    c = drive.columns
    css = "" if drive.ended == "completed" else " class='bad'"
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{_text(v)}</td></tr>" for k, v in figures.items())
    curves = ""
    if len(drive) > 1:
        margin = float(c["lane_margin_m"][0])
        curves = _curve("distance from the lane's centre, m (lines: edge of the lane)", c["progress_m"], c["rear_offset_m"], marks=(-margin, 0.0, margin))
        curves += _curve("speed, m/s", c["progress_m"], c["speed_mps"], marks=(0.0,))
        curves += _curve("lateral acceleration, m/s²", c["progress_m"], c["speed_mps"] * c["yaw_rate_radps"], marks=(-3.0, 0.0, 3.0))
    film = f"<video controls src='{escape(video)}'></video>" if video else ""
    return f"<h2>{escape(drive.route.route_id)}</h2><p{css}>{escape(drive.ended)}</p>{film}{curves}<table>{rows}</table>"


def _curve(caption: str, x: NDArray[np.float64], y: NDArray[np.float64], *, marks: Sequence[float]) -> str:
    """A line over the way driven, with horizontal marks."""
    every = max(len(x) // 1500, 1)
    x, y = x[::every], y[::every]
    low, high = min(float(y.min()), *marks), max(float(y.max()), *marks)
    room = 0.05 * (high - low) + 1e-9
    low, high = low - room, high + room
    left, right = float(x.min()), max(float(x.max()), float(x.min()) + 1e-9)

    def row(value: float) -> float:
        return HEIGHT_PX * (high - value) / (high - low)

    points = " ".join(f"{WIDTH_PX * (a - left) / (right - left):.1f},{row(float(b)):.1f}" for a, b in zip(x, y, strict=True))
    lines = "".join(
        f"<line x1='0' x2='{WIDTH_PX}' y1='{row(m):.1f}' y2='{row(m):.1f}' stroke='#bbb'/><text x='2' y='{row(m) - 2:.1f}' font-size='10'>{m:g}</text>"
        for m in marks
    )
    line = f"<polyline points='{points}' fill='none' stroke='#1a7f4b' stroke-width='1.5'/>"
    return f"<div>{escape(caption)}</div><svg width='{WIDTH_PX}' height='{HEIGHT_PX}'>{lines}{line}</svg>"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "not scored" if np.isnan(value) else f"{value:.3f}"
    if isinstance(value, list):
        return " … ".join(_text(v) for v in value)
    return "not scored" if value is None else escape(str(value))
