"""What `mimic scaling` shows of its result: curves as one SVG, and a plain table."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bag_tools.score_plots import HUMAN_COLOUR, POLICY_COLOUR, STYLE

DIGITS = {"ade_4s_m": 3, "failure_rate": 3, "driving_score_loss": 1}
LABELS = {"ade_4s_m": "ADE@4 s on val (m)", "failure_rate": "failure rate, closed loop", "driving_score_loss": "100 − driving score"}


def curves_svg(result: Mapping[str, Any]) -> str:
    """A panel for each measure: sizes with intervals, every seed, the law with and without the largest size, the forecasts."""
    curves, frames = result["curves"], result["sizes"][-1]["frames"]
    with mpl.rc_context({**STYLE, "svg.hashsalt": "scaling"}):
        figure = Figure(figsize=(5.6 * len(curves), 3.8), layout="constrained")
        for axes, (name, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
            for key, colour, style, label in (("held_out", HUMAN_COLOUR, "--", "law without the largest"), ("fit", POLICY_COLOUR, "-", "law of all sizes")):
                law, shares = curve[key], np.geomspace(curve["points"][0]["share"], curve["forecasts"][-1]["share"], 200)
                axes.plot(frames * shares, law["E"] + law["A"] * shares ** -law["alpha"], color=colour, lw=1.2, ls=style, label=label)
            for points, colour, marker, label in ((curve["points"], POLICY_COLOUR, "o", "measured"), (curve["forecasts"], "#6b7280", "D", "forecast")):
                x, y = frames * np.array([p["share"] for p in points]), np.array([p["value"] for p in points])
                low, high = np.array([p["ci95"] for p in points]).T
                axes.vlines(x, low, high, color=colour, lw=1.4)
                axes.plot(x, y, marker, color=colour, ms=5, label=label)
            for point in curve["points"]:
                axes.plot([frames * point["share"]] * len(point["per_seed"]), point["per_seed"], "_", color=POLICY_COLOUR, ms=7)
            axes.axhline(curve["points"][-1]["value"], color="#9ca3af", lw=1.0, ls=":", label="no change")
            axes.set(xscale="log", xlabel="frames learned from", ylabel=LABELS[name], ylim=(0, None))
            axes.legend(fontsize=8)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    return buffer.getvalue()


def table_text(result: Mapping[str, Any]) -> str:
    """The curves as text."""
    sizes, seeds = result["sizes"], result["seeds"]
    units = {"ade_4s_m": f"{len({row['drive_id'] for row in result['rows']})} val drives"}
    if "route_rows" in result:
        routes = len({row["route_id"] for row in result["route_rows"]})
        units |= {"failure_rate": f"{routes} routes", "driving_score_loss": f"{routes - result['routes_not_scored']} routes"}
    lines = [f"{result['recipe']['name']}: {len(sizes)} sizes, training seeds {', '.join(map(str, seeds))}, metrics version {result['metric_version']}"]
    for name, curve in result["curves"].items():
        lines += ["", *_curve_lines(name, curve, sizes, units[name], DIGITS[name])]
    return "\n".join(lines)


def _curve_lines(name: str, curve: Mapping[str, Any], sizes: Any, units: str, digits: int) -> list[str]:
    def of(point: Mapping[str, Any], key: str = "value", interval: str = "ci95") -> str:
        low, high = point[interval]
        return f"{point[key]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    lines = [f"{name}, {units}", f"{'size':>4} {'drives':>7} {'frames':>8} {'share':>7}  value (95 %); each seed"]
    for k, (size, point) in enumerate(zip(sizes, curve["points"], strict=True)):
        seeds = " ".join(f"{value:.{digits}f}" for value in point["per_seed"])
        lines.append(f"{k:>4} {len(size['drives']):>7} {size['frames']:>8} {point['share']:>7.3f}  {of(point)}; {seeds}")
    for pair in curve["more_is_better"]:
        one, other = pair["sizes"]
        lines.append(f"size {one} to {other}: {of(pair, 'change', 'change_ci95')}, better in {100.0 * pair['share_of_resamples']:.1f} % of resamples")
    held, fit = curve["held_out"], curve["fit"]
    low, high = fit["alpha_ci95"]
    lines.append(
        f"largest held out: observed {held['observed']:.{digits}f}; forecast {of(held, 'forecast', 'forecast_ci95')}, "
        f"off by {held['forecast_error']:.{digits}f}; no change {held['no_change']:.{digits}f}, off by {held['no_change_error']:.{digits}f}; "
        f"forecast closer in {100.0 * held['share_of_resamples_closer']:.1f} % of resamples"
    )
    lines.append(f"all sizes: err(N) = {fit['E']:.{digits}f} + {fit['A']:.{digits}f}·N^-{fit['alpha']:.2f} (alpha {low:.2f} to {high:.2f})")
    lines += [f"{point['share']:g} times the data: forecast {of(point)}; no change {point['no_change']:.{digits}f}" for point in curve["forecasts"]]
    return lines
