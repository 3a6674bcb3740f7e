"""Plots of a score as SVG text that stands in a page on its own."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bag_tools import metrics
from bag_tools.score_runs import POLICY, ClipRun
from mimic_contracts.action_spec import CAR, ActionSpec

HUMAN_COLOUR, POLICY_COLOUR = "#0072b2", "#d55e00"  # with the others: Okabe and Ito's palette for any colour vision
OTHER_COLOURS = ("#6b7280", "#cc79a7", "#009e73", "#b8860b", "#56b4e9")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": "#374151",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "xtick.color": "#6b7280",
    "ytick.color": "#6b7280",
    "grid.color": "#e5e7eb",
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
Captioned = list[tuple[str, str]]


def plots(runs: Sequence[ClipRun], spec: ActionSpec, sweep: tuple[list[float], list[float]] | None) -> Captioned:
    """(caption, SVG) of every plot for these runs; sweep: time shifts (s) and the error at each."""
    names = list(runs[0].tracks)
    with mpl.rc_context(STYLE):
        narrow, wide = _car_plots(runs, names) if spec.name == CAR.name else _steering_plots(runs)
        if sweep is not None:
            caption = "Error when the labels are taken earlier (−) or later (+). A lowest point away from 0 s tells of clocks that disagree."
            narrow.append((caption, shift_plot(*sweep)))
    return narrow + wide


def _car_plots(runs: Sequence[ClipRun], names: Sequence[str]) -> tuple[Captioned, Captioned]:
    return [("Distance between plan and human over the horizon, mean over all frames.", error_over_horizon(runs, names))], [
        ("Distance at 3 s along each clip.", fde_over_time(runs)),
        ("Speed: what the human drove, and what the plan of 1 s before wanted for that moment.", speed_over_time(runs)),
    ]


def _steering_plots(runs: Sequence[ClipRun]) -> tuple[Captioned, Captioned]:
    narrow = [("Planned angle against the human's, every frame; on the line they agree.", steering_scatter(runs))]
    return narrow, [("Steering wheel angle along each clip: human and policy.", steering_over_time(runs))]


def error_over_horizon(runs: Sequence[ClipRun], names: Sequence[str]) -> str:
    """Mean distance at each t, for every policy."""
    figure, axes = _figure(5.2, 3.0)
    for name, colour in zip(names, _colours(names), strict=False):
        distance = np.concatenate([np.where(run.known, metrics.displacement_m(run.tracks[name].values, run.human), np.nan) for run in runs])
        counts = np.isfinite(distance).sum(axis=0)
        mean = np.nansum(distance, axis=0) / np.maximum(counts, 1)
        axes.plot(metrics.TIMES_S[1:], np.where(counts > 0, mean, np.nan)[1:], color=colour, lw=2.4 if name == POLICY else 1.4, label=name.replace("_", " "))
    axes.set(xlabel="t after the frame (s)", ylabel="distance (m)", xlim=(0, metrics.TIMES_S[-1]), ylim=(0, None))
    axes.legend()
    return _svg(figure, "horizon")


def fde_over_time(runs: Sequence[ClipRun]) -> str:
    """FDE@3 of the policy, clip after clip."""
    figure, axes = _figure(10.6, 2.4)
    for start_s, run in _laid_out(runs):
        axes.plot(start_s + run.times_s, metrics.fde_m(run.tracks[POLICY].values, run.human, run.known, horizon_s=3.0), color=POLICY_COLOUR, lw=1.2)
    axes.set(xlabel="time (s), clips one after the other", ylabel="FDE@3 s (m)", ylim=(0, None))
    return _svg(figure, "fde")


def speed_over_time(runs: Sequence[ClipRun]) -> str:
    """The human's speed, and the one planned a second before."""
    figure, axes = _figure(10.6, 2.4)
    ahead = int(np.flatnonzero(np.isclose(metrics.TIMES_S, 1.0))[0])
    for i, (start_s, run) in enumerate(_laid_out(runs)):
        human = np.where(run.known[:, 0], run.human[:, 0, metrics.SPEED], np.nan)
        axes.plot(start_s + run.times_s, human, color=HUMAN_COLOUR, lw=1.6, label=None if i else "human")
        axes.plot(start_s + run.times_s + 1.0, run.tracks[POLICY].values[:, ahead, metrics.SPEED], color=POLICY_COLOUR, lw=1.0, label=None if i else "policy")
    axes.set(xlabel="time (s), clips one after the other", ylabel="speed (m/s)", ylim=(0, None))
    axes.legend(ncols=2, loc="lower right")
    return _svg(figure, "speed")


def steering_over_time(runs: Sequence[ClipRun]) -> str:
    """The human's angle and the policy's."""
    figure, axes = _figure(10.6, 3.0)
    for i, (start_s, run) in enumerate(_laid_out(runs)):
        human = np.where(run.known[:, 0], run.human[:, 0, 0], np.nan)
        axes.plot(start_s + run.times_s, human, color=HUMAN_COLOUR, lw=1.8, label=None if i else "human")
        axes.plot(start_s + run.times_s, run.tracks[POLICY].values[:, 0, 0], color=POLICY_COLOUR, lw=1.2, label=None if i else "policy")
    axes.set(xlabel="time (s), clips one after the other", ylabel="angle (rad), left positive")
    axes.legend(ncols=2)
    return _svg(figure, "steering")


def steering_scatter(runs: Sequence[ClipRun]) -> str:
    """Planned against driven angle."""
    figure, axes = _figure(5.2, 3.0)
    human = np.concatenate([np.where(run.known[:, 0], run.human[:, 0, 0], np.nan) for run in runs])
    planned = np.concatenate([run.tracks[POLICY].values[:, 0, 0] for run in runs])
    bound = float(np.nanmax(np.abs(np.concatenate([human, planned])))) * 1.05
    axes.plot([-bound, bound], [-bound, bound], color=HUMAN_COLOUR, lw=1.0)
    axes.scatter(human, planned, s=6, color=POLICY_COLOUR, alpha=0.35, linewidths=0)
    axes.set(xlabel="human (rad)", ylabel="policy (rad)", xlim=(-bound, bound), ylim=(-bound, bound))
    return _svg(figure, "scatter")


def shift_plot(shifts_s: Sequence[float], errors: Sequence[float]) -> str:
    """The time-shift sweep."""
    figure, axes = _figure(5.2, 3.0)
    axes.axvline(0.0, color="#9ca3af", lw=1.0)
    axes.plot(shifts_s, errors, color=POLICY_COLOUR, marker="o", ms=4, lw=1.6)
    axes.set(xlabel="label time shift (s)", ylabel="error")
    return _svg(figure, "shift")


def _laid_out(runs: Sequence[ClipRun]) -> list[tuple[float, ClipRun]]:
    """Each run with its place on an axis on which clips follow each other, a little apart."""
    starts, start_s = [], 0.0
    for run in runs:
        starts.append((start_s, run))
        start_s += float(run.times_s[-1]) + 2.0
    return starts


def _colours(names: Sequence[str]) -> list[str]:
    others = iter(OTHER_COLOURS * len(names))
    return [POLICY_COLOUR if name == POLICY else next(others) for name in names]


def _figure(width_in: float, height_in: float) -> tuple[Figure, "mpl.axes.Axes"]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, salt: str) -> str:
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):  # the same plot, the same bytes; ids of two plots differ
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
