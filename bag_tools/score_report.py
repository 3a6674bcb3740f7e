"""The page of a score: one HTML file with everything in it, readable without a network."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from bag_tools import metrics
from bag_tools.clip_store import ClipStore
from bag_tools.overlay_video import Strip, draw_paths, draw_wheels, encode_mp4, with_strip
from bag_tools.score import Score
from bag_tools.score_definitions import DEFINITIONS, Definition
from bag_tools.score_figures import frame_metrics
from bag_tools.score_plots import plots
from bag_tools.score_runs import POLICY, ClipRun
from bag_tools.score_statistics import BLOCK_S, blocks_of_clips
from mimic_contracts.action_spec import CAR
from mimic_contracts.rig import load_rig

WORST_COUNT = 3
IN_3_S = int(np.flatnonzero(np.isclose(metrics.TIMES_S, 3.0))[0])


STYLE = """
:root { color-scheme: light; --ink: #1f2937; --soft: #6b7280; --line: #e5e7eb; --accent: #d55e00; --human: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: #f8f8f6; color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 1.7rem; margin: 0 0 4px; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 44px 0 12px; }
p, li { max-width: 75ch; } .soft { color: var(--soft); } a { color: inherit; text-decoration-color: #c4c9d1; text-underline-offset: 3px; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; }
.headline { display: flex; flex-wrap: wrap; gap: 14px; margin-top: 24px; }
.headline .card { min-width: 180px; flex: 1 1 0; } .headline b { display: block; font-size: 2rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.headline .ours { border-top: 4px solid var(--accent); flex-grow: 1.6; } .headline .ours b { color: #b34700; }
.scroll { overflow-x: auto; padding: 4px 20px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
tr:last-child td { border-bottom: 0; } th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } td.ours { font-weight: 600; }
td { line-height: 1.3; } td .soft { font-weight: 400; font-size: .82em; }
td.best { background: #eef6f1; }
.plots { display: flex; flex-wrap: wrap; gap: 16px; } figure { margin: 0; } .plots figure { flex: 1 1 440px; } .plots figure.wide { flex-basis: 100%; }
figure svg, video { width: 100%; height: auto; display: block; } figcaption { color: var(--soft); font-size: .9rem; margin-top: 8px; }
video { border-radius: 6px; background: #161a20; } dt { font-weight: 600; margin-top: 14px; } dt:target { color: #b34700; } dd { margin: 0; max-width: 80ch; }
.videos { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 16px; }
"""


def report_html(score: Score, store: ClipStore) -> str:
    """The whole page as text."""
    summary = score.summary
    title = f"{summary['policy']} on {summary['split']}"
    sweep = _sweep(summary)
    figures = "".join(
        f'<figure class="card{" wide" if _is_wide(svg) else ""}">{svg}<figcaption>{escape(caption)}</figcaption></figure>'
        for caption, svg in plots(score.runs, score.spec, sweep)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>
<h1>How close to the human: {escape(summary["policy"])}</h1>
<p class="soft">{_provenance(summary)}</p>
{_headline(summary)}
<h2>All figures</h2>
<div class="card scroll">{_table(summary)}</div>
<p class="soft">Below a figure: its 95 % interval, by bootstrap over {summary["blocks"]} contiguous blocks of about {BLOCK_S:.0f} s
(— where there are fewer than two). Shaded: best of the row. All columns are of the same frames. {escape(_remarks(summary))}</p>
<h2>Where it goes wrong</h2>
<div class="plots">{figures}</div>
<h2>Worst stretches</h2>
<p class="soft">Blue: what the human did next. Orange: the plan.{" The picture is a declared crop without camera calibration." if store.meta.crop else ""}</p>
<div class="videos">{"".join(_video(stretch, score, store) for stretch in worst_stretches(score))}</div>
<h2>Not scored</h2>
<div class="card scroll">{_not_scored(summary)}</div>
<h2>Definitions</h2>
<dl>{"".join(f'<dt id="{d.key}">{escape(d.label)}{_unit(d)}</dt><dd>{escape(d.text)}</dd>' for d in DEFINITIONS if d.key in summary)}</dl>
</main></body></html>
"""


def headline_definition(summary: dict[str, Any]) -> Definition:
    """The figure that stands for the whole."""
    return next(definition for definition in DEFINITIONS if definition.key in summary)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """A block of a clip (`frames`: its part of the run) and its error."""

    run: ClipRun
    frames: slice
    error: float


def worst_stretches(score: Score) -> list[Stretch]:
    """The blocks with the greatest mean error: ADE@3 s of a plan, or RMSE of the steering wheel angle."""
    key, power = ("ade_3s_m", 1.0) if score.spec.name == CAR.name else ("steering_wheel_error_rad", 2.0)
    values = np.abs(frame_metrics(score.runs, POLICY, score.spec)[key]) ** power
    found: list[Stretch] = []
    start = 0
    for run, block in zip(score.runs, blocks_of_clips([run.frames.stamp_ns for run in score.runs]), strict=True):
        errors = values[start : start + len(block)]
        start += len(block)
        for number in np.unique(block):
            at = np.flatnonzero(block == number)
            if np.isfinite(errors[at]).any():
                found.append(Stretch(run=run, frames=slice(int(at[0]), int(at[-1]) + 1), error=float(np.nanmean(errors[at]) ** (1.0 / power))))
    return sorted(found, key=lambda stretch: -stretch.error)[:WORST_COUNT]


def stretch_pictures(stretch: Stretch, score: Score, store: ClipStore) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The frames of a stretch with plan and human drawn in."""
    run, at = stretch.run, stretch.frames
    camera = load_rig(store.meta.rig).cameras[0]
    plans = run.tracks[POLICY].values[at]
    human = np.where(run.known[at, :, None], run.human[at], np.nan)
    times_s = run.times_s[at]
    if score.spec.name == CAR.name:
        error = metrics.ade_m(run.tracks[POLICY].values, run.human, run.known, horizon_s=3.0)[at]
        strip = Strip(label="ADE@3 s (m)", times_s=times_s, plan=error)
    else:
        strip = Strip(label="steering wheel angle (rad)", times_s=times_s, plan=plans[:, 0, 0], human=human[:, 0, 0])
    for i, image in enumerate(store.images(run.frames.row[at], camera.name)):
        caption = f"{times_s[i]:.1f} s"
        if score.spec.name == CAR.name:
            speeds = {"now": human[i, 0], "human in 3 s": human[i, IN_3_S], "plan": plans[i, IN_3_S]}
            known = [f"{name} {values[metrics.SPEED]:.1f}" for name, values in speeds.items() if np.isfinite(values[metrics.SPEED])]
            caption += f"   m/s: {', '.join(known)}"
            canvas = draw_paths(image, camera, plan=plans[i], human=human[i])
        else:
            canvas = draw_wheels(image, plan_rad=float(plans[i, 0, 0]), human_rad=float(human[i, 0, 0]))
        yield with_strip(canvas, strip, i, caption)


def _video(stretch: Stretch, score: Score, store: ClipStore) -> str:
    data = base64.b64encode(encode_mp4(stretch_pictures(stretch, score, store), rate_hz=store.meta.frame_rate_hz)).decode()
    unit = "m ADE@3 s" if score.spec.name == CAR.name else "rad RMSE"
    seconds = stretch.run.times_s[stretch.frames]
    where = f"{stretch.run.clip.clip_id}, {seconds[0]:.1f}–{seconds[-1]:.1f} s: {stretch.error:.3f} {unit}"
    source = f"data:video/mp4;base64,{data}"
    return f'<figure class="card"><video controls muted loop preload="auto" src="{source}"></video><figcaption>{escape(where)}</figcaption></figure>'


def _provenance(summary: dict[str, Any]) -> str:
    parts = [
        f"split {summary['split']}",
        f"{summary['clips']} clips of {summary['drives']} drives, {summary['frames']} frames, {summary['duration_s'] / 60.0:.1f} min",
        f"rig {summary['rig']}",
        f"action spec {summary['action_spec']}",
        f"{summary['training_seeds']} training seed",
        f"metrics version {summary['metric_version']}",
        f"data {summary['data_hash'][:12]}",
    ]
    return escape(" · ".join(parts))


def _headline(summary: dict[str, Any]) -> str:
    definition = headline_definition(summary)
    own = f"{escape(definition.label)}{_unit(definition)}<b>{summary[definition.key]:.{definition.digits}f}</b>{_interval(summary, definition)}"
    cards = [f'<div class="card ours">{own}</div>']
    for name, figures in summary["baselines"].items():
        value = f"{figures[definition.key]:.{definition.digits}f}" if definition.key in figures else "—"
        cards.append(f'<div class="card"><span class="soft">{escape(_pretty(name))}</span><b>{value}</b>{_interval(figures, definition)}</div>')
    return f'<div class="headline">{"".join(cards)}</div>'


def _table(summary: dict[str, Any]) -> str:
    columns = {"this policy": summary, **summary["baselines"]}
    rows = [f"<tr><th></th>{''.join(f'<th>{escape(_pretty(name))}</th>' for name in columns)}<th>samples</th></tr>"]
    for definition in DEFINITIONS:
        if definition.key in summary:
            values = [figures.get(definition.key) for figures in columns.values()]
            known = [value for value in values if value is not None]
            best = {"less": min(known), "more": max(known)}.get(definition.better) if len(known) > 1 else None
            cells = [
                _cell(figures, definition, is_first=i == 0, is_best=values[i] is not None and values[i] == best) for i, figures in enumerate(columns.values())
            ]
            name = f'<a href="#{definition.key}">{escape(definition.label)}</a>{_unit(definition)}'
            rows.append(f"<tr><td>{name}</td>{''.join(cells)}<td class=soft>{summary[f'{definition.key}_count']}</td></tr>")
            rows += _tag_rows(columns, definition, summary)
    return f"<table>{''.join(rows)}</table>"


def _tag_rows(columns: dict[str, Any], definition: Definition, summary: dict[str, Any]) -> list[str]:
    rows = []
    for tag in summary.get(f"{definition.key}_tags", []):
        part = Definition(key=f"{definition.key}_{tag}", label=tag, unit=definition.unit, better="", text="")
        cells = "".join(_cell(figures, part, is_first=i == 0, is_best=False) for i, figures in enumerate(columns.values()))
        rows.append(f"<tr><td class=soft>&emsp;{tag}</td>{cells}<td class=soft>{summary[f'{part.key}_count']}</td></tr>")
    return rows


def _cell(figures: dict[str, Any], definition: Definition, *, is_first: bool, is_best: bool) -> str:
    classes = " ".join(["ours"] * is_first + ["best"] * is_best)
    if definition.key not in figures:
        return f'<td class="{classes}">—</td>'
    return f'<td class="{classes}">{figures[definition.key]:.{definition.digits}f}<br>{_interval(figures, definition)}</td>'


def _interval(figures: dict[str, Any], definition: Definition) -> str:
    interval = figures.get(f"{definition.key}_ci95")
    text = f"{interval[0]:.{definition.digits}f} … {interval[1]:.{definition.digits}f}" if interval else "—"
    return f'<span class="soft">{text}</span>'


def _unit(definition: Definition) -> str:
    return f' <span class="soft">{escape(definition.unit)}</span>' if definition.unit else ""


def _pretty(name: str) -> str:
    return name.replace("_", " ")


def _remarks(summary: dict[str, Any]) -> str:
    remarks = [
        f"Tags without a frame, and therefore not in the score: {', '.join(tags)}." for key, tags in summary.items() if key.endswith("_tags_absent") and tags
    ]
    if summary["action_spec"] == CAR.name:
        remarks.append("The score's ceiling, a second driver of the same style, was not recorded.")
        remarks += ["No onset of the human or of the policy occurs."] if summary["onset_precision_count"] + summary["onset_recall_count"] == 0 else []
    return " ".join(remarks)


def _not_scored(summary: dict[str, Any]) -> str:
    rows = [(reason, "this policy", count) for reason, count in summary["not_scored"].items()]
    rows += [
        (reason, name, count)
        for name, figures in summary["baselines"].items()
        for reason, count in figures["not_scored"].items()
        if reason not in summary["not_scored"]
    ]
    if not rows:
        return "<p>Every frame was scored.</p>"
    cells = "".join(f"<tr><td>{escape(reason)}</td><td>{escape(_pretty(name))}</td><td>{count}</td></tr>" for reason, name, count in rows)
    return f"<table><tr><th>reason</th><th>policy</th><th>frames of {summary['frames']}</th></tr>{cells}</table>"


def _sweep(summary: dict[str, Any]) -> tuple[list[float], list[float]] | None:
    values: Sequence[list[float]] = [v for key, v in summary.items() if key.startswith("time_shift_") and key != "time_shift_s"]
    return (summary["time_shift_s"], values[0]) if values else None


def _is_wide(svg: str) -> bool:
    return 'width="763' in svg
