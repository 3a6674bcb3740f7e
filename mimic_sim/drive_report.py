"""report.html of a closed-loop evaluation: one page, nothing to fetch, curves as SVG.

First who drove how well, beside the baselines; then each scenario class; then every route, the failed ones first, with
the reason; then all the figures, and each drive with its film and its curves.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_sim import drive_score, drive_statistics, judge
from mimic_sim.drive_result import DriveResult
from mimic_sim.drive_score import failure_of
from mimic_sim.world import COMPLETED

WIDTH_PX, HEIGHT_PX = 860, 150
STYLE = (
    "body{font:15px system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse;margin:.5em 0 1.5em}"
    "td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}th{font-weight:600;background:#f7f7f5}"
    "td:first-child,th:first-child,.wordy td:last-child,.wordy th:last-child{text-align:left}small{color:#777;white-space:nowrap;display:block}"
    "svg{background:#f7f7f5;display:block;margin:.3em 0}video{width:100%}"
    "pre{white-space:pre-wrap;font-size:12px}.bad{color:#b00}.good{color:#1a7f4b}"
)
# Column: key of a score, factor and decimals to print it with.
COLUMNS = {
    "routes": ("routes", 1.0, 0),
    "success, %": ("success_rate", 100.0, 0),
    "driving score": ("driving_score", 1.0, 1),
    "completion, %": ("route_completion", 100.0, 0),
    "collisions per km": ("collisions_per_km", 1.0, 2),
    "interventions per km": ("interventions_per_km", 1.0, 2),
    "flicker per min": ("flicker_per_min", 1.0, 2),
    "comfort, %": ("comfort_share", 100.0, 0),
}
Score = Mapping[str, Any]


def report_html(title: str, score: Score, drives: Sequence[tuple[DriveResult, Mapping[str, float]]], *, videos: Mapping[str, str]) -> str:
    """The page. score: as score.json has it; drives: each with its figures; videos: route id → file name beside the page."""
    drivers = {str(score.get("policy", "this policy")): score, **score.get("baselines", {})}
    figures = "".join(f"<tr><td>{escape(k)}</td><td>{_text(v)}</td></tr>" for k, v in score.items() if not isinstance(v, Mapping))
    sections = [_drive_section(drive, values, videos.get(drive.route.route_id)) for drive, values in drives]
    definitions = "".join(f"<pre>{escape(module.__doc__ or '')}</pre>" for module in (drive_score, judge, drive_statistics))
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{_drivers_table(drivers)}{_classes_table(drivers, [drive for drive, _ in drives])}{_routes_table(drives)}"
        f"<h2>All figures</h2><table>{figures}</table>{''.join(sections)}<h2>Definitions</h2>{definitions}</body></html>\n"
    )


def _drivers_table(drivers: Mapping[str, Score]) -> str:
    rows = [[escape(name), *(_figure(score, *column) for column in COLUMNS.values())] for name, score in drivers.items()]
    return "<p>Success is the mean of the classes' rates; small: 95 % interval over routes.</p>" + _table(["driver", *COLUMNS], rows)


def _classes_table(drivers: Mapping[str, Score], drives: Sequence[DriveResult]) -> str:
    """The classes: how the first driver, whose drives these are, fares and what it does wrong; the others' success beside."""
    (_, score), *others = drivers.items()
    per_class: Mapping[str, Score] = score.get("per_class", {})
    if not per_class:
        return ""
    shown = ("routes", "success, %", "driving score")
    header = ["class", *shown, *(f"{name}: success, %" for name, _ in others), "what went wrong"]
    rows = []
    for scenario, values in per_class.items():
        beside = [_figure(other["per_class"][scenario], *COLUMNS["success, %"]) for _, other in others]
        wrong = Counter(what for drive in drives if drive.route.scenario == scenario for what in _wrongs(drive))
        counts = ", ".join(f"{count} {escape(what)}" for what, count in wrong.most_common())
        rows.append([escape(scenario), *(_figure(values, *COLUMNS[name]) for name in shown), *beside, counts])
    return "<h2>Scenario classes</h2>" + _table(header, rows, is_wordy=True)


def _wrongs(drive: DriveResult) -> list[str]:
    """The kinds of what the ego is to blame for, and the ending if the route was not completed."""
    ending = [] if drive.ended == COMPLETED else [drive.ended.partition(":")[0]]
    return ending + [event.kind for event in drive.events if event.at_fault]


def _routes_table(drives: Sequence[tuple[DriveResult, Mapping[str, float]]]) -> str:
    rows = []
    for drive, values in sorted(drives, key=lambda pair: pair[1]["is_success"]):
        name, failure = escape(drive.route.route_id), failure_of(drive)
        reason = f"<span class='bad'>{escape(failure)}</span>" if failure else "<span class='good'>success</span>"
        figures = (escape(drive.route.scenario), f"{100.0 * values['route_completion']:.0f}", f"{values['driving_score']:.1f}")
        rows.append([f"<a href='#{name}'>{name}</a>", *figures, reason])
    return "<h2>Routes</h2>" + _table(["route", "class", "completion, %", "driving score", "what went wrong"], rows, is_wordy=True)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, is_wordy: bool = False) -> str:
    """header: text; rows: HTML of each cell; is_wordy: the last column is text."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    css = " class='wordy'" if is_wordy else ""
    return f"<table{css}><tr>{head}</tr>{body}</table>"


def _figure(score: Score, key: str, factor: float, decimals: int) -> str:
    """A figure with its interval in small print."""
    if score.get(key) is None:
        return "not scored"
    interval = score.get(f"{key}_ci95")
    small = "" if interval is None else f" <small>{factor * interval[0]:.{decimals}f}–{factor * interval[1]:.{decimals}f}</small>"
    return f"{factor * score[key]:.{decimals}f}{small}"


def _drive_section(drive: DriveResult, figures: Mapping[str, float], video: str | None) -> str:
    c = drive.columns
    failure = failure_of(drive)
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{_text(v)}</td></tr>" for k, v in figures.items())
    curves = ""
    if len(drive) > 1:
        margin = float(c["lane_margin_m"].min())
        curves = _curve(
            "distance from the lane's centre, m (lines: edge of the lane)",
            c["progress_m"],
            c["rear_offset_m"],
            marks=(-margin, 0.0, margin) if np.isfinite(margin) else (0.0,),
        )
        curves += _curve("speed, m/s", c["progress_m"], c["speed_mps"], marks=(0.0,))
        curves += _curve("lateral acceleration, m/s²", c["progress_m"], c["speed_mps"] * c["yaw_rate_radps"], marks=(-3.0, 0.0, 3.0))
    ending = f"<p class='bad'>{escape(failure)}</p>" if failure else "<p class='good'>success</p>"
    film = f"<video controls src='{escape(video)}'></video>" if video else ""
    name, table = escape(drive.route.route_id), f"<details><summary>figures</summary><table>{rows}</table></details>"
    return f"<h2 id='{name}'>{name}</h2>{ending}{film}{curves}{table}"


def _curve(caption: str, x: NDArray[np.float64], y: NDArray[np.float64], *, marks: Sequence[float]) -> str:
    """A line over the way driven, with horizontal marks."""
    every = max(2 * len(x) // WIDTH_PX, 1)
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
