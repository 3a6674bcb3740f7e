"""The parts of docs/results.md about recorded frames: open loop, whether it foretells closed loop, and scaling."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bag_tools.metrics import HORIZONS_S
from bag_tools.score_definitions import DEFINITIONS
from mimic.results_input import Drives, Report
from mimic.results_statistics import MIN_POINTS, pearson, pooled, spearman
from mimic.results_text import NOT_MEASURED, excludes_zero, figure, joined, table
from mimic_sim.drive_statistics import score_routes

TWIN = "twin"
BASELINES = ("constant_velocity", "hold_last", TWIN)
SHOWN = (
    *(f"{kind}_{horizon_s:.0f}s_m" for kind in ("ade", "fde") for horizon_s in HORIZONS_S),
    "lateral_error_m",
    "speed_error_mps",
    "lateral_control_error_mps2",
    "longitudinal_control_error_mps2",
    "expert_score",
)
DEFINITION = {definition.key: definition for definition in DEFINITIONS}
COMPARED = ("ade_4s_m", "lateral_error_m", "speed_error_mps", "expert_score")
CURVES = {"ade_4s_m": ("ADE@4 s on val, m", 3), "failure_rate": ("failure rate, closed loop", 3), "driving_score_loss": ("100 − driving score", 1)}


class Checkpoint(NamedTuple):
    """A trained planner with figures of both kinds; None: not measured."""

    label: str
    open_loop: Mapping[str, float | None]
    closed_loop: Mapping[str, float | None]


def open_loop_section(reports: Sequence[Report]) -> list[str]:
    """How close plans come to the expert's on recorded frames, baselines beside, by data."""
    lines = ["## Open loop", ""]
    if not reports:
        return [*lines, f"{NOT_MEASURED.capitalize()}: no report of `mimic score` was given.", ""]
    lines += [f"Less is better, but for the expert score. The {TWIN} is the same network and training without the picture.", ""]
    for group in _by_data(reports):
        s = group[0].summary
        lines += [f"### {s['split']}: {s['frames']} frames, {s['clips']} clips, {s['drives']} drives, {s['blocks']} blocks (data {s['data_hash'][:12]})", ""]
        columns = dict(_columns(group))
        rows = [
            [_label(key), *(figure(values, key, digits=DEFINITION[key].digits) for values in columns.values())]
            for key in SHOWN
        ]  # fmt: skip
        lines += table(["", *columns], rows)
        lines += _differences(group)
        for report in group:
            lines += _time_shift(report)
    return lines


def correlation_section(drives: Drives, reports: Sequence[Report], scaling: Mapping[str, Any] | None) -> list[str]:
    """Whether who is better open loop is better closed loop: over the checkpoints given, and over those of `mimic scaling`."""
    text = f"Over checkpoints that have both, by the hash of the model; at least {MIN_POINTS}, and fewer than 10 say little. Near −1 for an error, near +1 for "
    lines = ["## Does open loop foretell closed loop?", "", text + "a score: whoever is better open loop is better closed loop.", ""]
    groups = [(f"{g[0].summary['split']}, data {g[0].summary['data_hash'][:12]}", _checkpoints(drives, g)) for g in _by_data(reports)]
    if scaling is not None and "route_rows" in scaling:
        groups.append((f"`mimic scaling`, val and {scaling['suite']}", _scaling_checkpoints(scaling)))
    if not groups:
        return [*lines, f"{NOT_MEASURED.capitalize()}: no checkpoint has figures of both kinds.", ""]
    for name, points in groups:
        keys = [key for key in COMPARED if any(point.open_loop.get(key) is not None for point in points)] or ["ade_4s_m"]
        rows = []
        for key in keys:
            for result in ("driving score", "success, %"):
                pairs = [(p.open_loop[key], p.closed_loop[result]) for p in points if p.open_loop.get(key) is not None and p.closed_loop[result] is not None]
                x, y = [float(a) for a, _ in pairs if a is not None], [float(b) for _, b in pairs if b is not None]
                both = {"spearman": spearman(x, y), "pearson": pearson(x, y)}
                rows.append([f"{_label(key)} and {result}", str(len(x)), *(figure(both, kind, digits=2) for kind in both)])
        lines += [f"### {name}", "", *table(["", "n", "Spearman", "Pearson"], rows)]
        if points:
            values = [[p.label, *(figure(p.open_loop, key, digits=2) for key in keys), *(figure(p.closed_loop, r) for r in p.closed_loop)] for p in points]
            lines += table(["checkpoint", *map(_label, keys), "driving score", "success, %"], values)
    return lines


def scaling_section(scaling: Mapping[str, Any]) -> list[str]:
    """What more data is worth. scaling: scaling.json as `mimic scaling` writes it, of which are read: recipe's name, seeds, sizes
    (drives, frames), suite and suite_hash where it was driven, and of each curve that is there points, held_out and forecasts
    (e2e_planner.scaling_law.scaling_curve)."""
    sizes, curves = scaling["sizes"], scaling["curves"]
    driven = f" Closed loop: suite `{scaling['suite']}` ({scaling['suite_hash']})." if "suite" in scaling else ""
    seeds = f"training seeds {joined(scaling['seeds'])}; intervals over val drives or routes, and seeds."
    lines = ["## Scaling", "", f"Recipe {scaling['recipe']['name']} on nested parts of the training drives, {seeds}{driven}", ""]

    def row(title: str, frames: float, kind: str, k: int) -> list[str]:
        points = {name: curves[name][kind][k] if name in curves else {} for name in CURVES}
        values = {name: {"value": point.get("value"), "value_ci95": point.get("ci95")} for name, point in points.items()}
        return [title, f"{frames:.0f}", *(figure(values[name], "value", digits=digits) for name, (_, digits) in CURVES.items())]

    rows = [row(str(len(size["drives"])), size["frames"], "points", k) for k, size in enumerate(sizes)]
    for k, forecast in enumerate(next(iter(curves.values()))["forecasts"]):
        rows.append(row(f"forecast for {forecast['share']:g} times the data", forecast["share"] * sizes[-1]["frames"], "forecasts", k))
    lines += table(["drives", "frames", *(label for label, _ in CURVES.values())], rows)
    held = []
    for name, (label, digits) in CURVES.items():
        h = curves[name]["held_out"] if name in curves else {}
        closer = {"share": h.get("share_of_resamples_closer")}
        figures = [figure({"value": h.get(key), "value_ci95": h.get(f"{key}_ci95")}, "value", digits=digits) for key in ("observed", "forecast", "no_change")]
        held.append([label, *figures, figure(closer, "share", factor=100.0, digits=0)])
    lines += ["The largest size, foretold from the others; 'no change' is the size before.", ""]
    return lines + table(["", "observed", "foretold (95 %)", "no change", "foretold closer, % of resamples"], held)


def _by_data(reports: Sequence[Report]) -> list[list[Report]]:
    groups: dict[tuple[str, str], list[Report]] = {}
    for report in reports:
        groups.setdefault((report.summary["split"], report.summary["data_hash"]), []).append(report)
    return list(groups.values())


def _columns(group: Sequence[Report]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Title and figures: planners, the mean of seeds where there are several, and the baselines; all on the same frames."""
    for name in ("", TWIN):
        told = [(report, report.summary if not name else report.summary["baselines"].get(name)) for report in group]
        yield from ((f"{report.label}{', ' + name if name else ''}", values or {}) for report, values in told)
        for recipe in dict.fromkeys(report.summary.get("recipe") for report in group):
            runs = [(report, values) for report, values in told if recipe and report.summary.get("recipe") == recipe and values]
            if len(runs) > 1:
                known = [key for key in SHOWN if all(key in values for _, values in runs)]
                seeds = joined([report.summary["training_seed"] for report, _ in runs])
                mean = {key: float(np.mean([values[key] for _, values in runs])) for key in known}
                yield f"{recipe}{', ' + name if name else ''}, mean of seeds {seeds}", mean
        if not name:
            yield from ((baseline, group[0].summary["baselines"].get(baseline, {})) for baseline in BASELINES if baseline != TWIN)


def _differences(group: Sequence[Report]) -> list[str]:
    rows = []
    for report in group:
        for name in BASELINES:
            beside = report.summary["baselines"].get(name, {})
            cells = []
            for key in COMPARED:
                interval = beside.get(f"{key}_difference_ci95")
                is_clear = excludes_zero(interval) == "yes"
                is_better = is_clear and (beside[f"{key}_difference"] < 0.0) == (DEFINITION[key].better == "less")
                verdict = "" if interval is None else ", better" if is_better else ", worse" if is_clear else ", open"
                cells.append(figure(beside, f"{key}_difference", digits=DEFINITION[key].digits) + verdict)
            rows.append([f"{report.label} minus {name}", *cells])
    text = "Differences on the same frames, paired; better or worse where the interval excludes zero, else open."
    return [text, "", *table(["", *map(_label, COMPARED)], rows)]


def _time_shift(report: Report) -> list[str]:
    s = report.summary
    if "time_shift_ade_3s_m" not in s:
        return []
    least = int(np.argmin(s["time_shift_ade_3s_m"]))
    return [f"{report.label}: labels shifted by −0.4 to +0.4 s give the least ADE@3 s at {s['time_shift_s'][least]:+.1f} s.", ""]


def _checkpoints(drives: Drives, group: Sequence[Report]) -> list[Checkpoint]:
    by_model = {report.summary["model_hash"]: report.summary for report in group if "model_hash" in report.summary}
    points = []
    for driver in drives.drivers:
        for run in driver.runs if driver.pictures == "as_is" and driver.is_trained else ():
            if summary := by_model.get(run.version):
                score = score_routes(pooled([run.routes]), class_of={route: entry["scenario"] for route, entry in run.routes.items()})
                closed = {"driving score": score["driving_score"], "success, %": 100.0 * score["success_rate"]}
                points.append(Checkpoint(f"{driver.label}, seed {run.seed}", {key: summary.get(key) for key in COMPARED}, closed))
    return points


def _scaling_checkpoints(scaling: Mapping[str, Any]) -> list[Checkpoint]:
    points = []
    for size, seed in dict.fromkeys((row["size"], row["seed"]) for row in scaling["rows"]):
        recorded, driven = ([row for row in scaling[key] if (row["size"], row["seed"]) == (size, seed)] for key in ("rows", "route_rows"))
        ade_m = sum(row["frames"] * row["ade_4s_m"] for row in recorded) / sum(row["frames"] for row in recorded)
        classes = [row["scenario"] for row in driven]
        weights = [1.0 / classes.count(name) for name in classes]
        scores = [row["driving_score"] for row in driven if row["driving_score"] is not None]
        success = sum(weight * row["is_success"] for weight, row in zip(weights, driven, strict=True)) / sum(weights)
        closed = {"driving score": float(np.mean(scores)) if scores else None, "success, %": 100.0 * success}
        points.append(Checkpoint(f"{len(scaling['sizes'][size]['drives'])} drives, seed {seed}", {"ade_4s_m": ade_m}, closed))
    return points


def _label(key: str) -> str:
    definition = DEFINITION[key]
    return f"{definition.label}, {definition.unit}" if definition.unit else definition.label
