"""From what was planned to figures: metrics of every frame, then means with intervals, tags, onsets and flicker."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bag_tools import metrics
from bag_tools.score_runs import POLICY, ClipRun
from bag_tools.score_statistics import Bootstrap, Estimate, blocks_of_clips
from mimic_contracts.action_spec import CAR, ActionSpec

TIME_SHIFTS_S = np.round(np.arange(-4, 5) * 0.1, 1)
NO_FUTURE = "the human's next 4 s are not recorded whole"
NO_ANGLE = "the steering wheel angle was not recorded"
SHORT_WAY = "the human covers less than 2 m in 4 s: no lateral error, no human score"

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def frame_metrics(runs: Sequence[ClipRun], name: str, spec: ActionSpec) -> dict[str, Array]:
    """Metric → (N,) over the frames of all clips; NaN: not scored."""
    parts = [_clip_metrics(run, name) if spec.name == CAR.name else _steering_metrics(run, name) for run in runs]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def time_shift_sweep(runs: Sequence[ClipRun], spec: ActionSpec) -> dict[str, list[float]]:
    """How the error changes when the labels are taken earlier or later: a least error away from 0 s tells of clocks that
    disagree. Frames nearer than 0.4 s to an end of their clip are left out at every shift."""
    errors: list[list[Array]] = [[] for _ in TIME_SHIFTS_S]
    for run in runs:
        seconds, track = run.times_s, run.tracks[POLICY]
        inner = np.flatnonzero((seconds >= TIME_SHIFTS_S[-1]) & (seconds <= seconds[-1] - TIME_SHIFTS_S[-1]) & track.has_plan)
        shifted = [np.abs(seconds[None, :] - (seconds[inner, None] + shift)).argmin(axis=1) for shift in TIME_SHIFTS_S]
        whole: Mask = np.all([run.known[index].all(axis=1) for index in shifted], axis=0)
        for i, index in enumerate(shifted):
            plan, human, known = track.values[inner[whole]], run.human[index[whole]], run.known[index[whole]]
            errors[i].append(metrics.ade_m(plan, human, known, horizon_s=3.0) if spec.name == CAR.name else (plan - human)[:, 0, 0] ** 2)
    means = [np.concatenate(parts) for parts in errors]
    if not len(means[0]):
        return {}
    key, values = (
        ("ade_3s_m", [float(m.mean()) for m in means]) if spec.name == CAR.name else ("steering_wheel_rmse_rad", [float(np.sqrt(m.mean())) for m in means])
    )
    return {"time_shift_s": TIME_SHIFTS_S.tolist(), f"time_shift_{key}": values}


def _clip_metrics(run: ClipRun, name: str) -> dict[str, Array]:
    track, human = run.tracks[name], run.human
    scored: Mask = run.known & (track.has_plan & run.tracks[POLICY].has_plan)[:, None]
    plan = np.nan_to_num(track.values)  # a number where nothing is scored anyway
    by_horizon = {}
    for horizon_s in metrics.HORIZONS_S:
        by_horizon[f"ade_{horizon_s:.0f}s_m"] = metrics.ade_m(plan, human, scored, horizon_s=horizon_s)
        by_horizon[f"fde_{horizon_s:.0f}s_m"] = metrics.fde_m(plan, human, scored, horizon_s=horizon_s)
    result = {
        **by_horizon,
        "min_ade_4s_m": metrics.min_ade_m(track.alternatives, human, scored, horizon_s=4.0),
        "lateral_error_m": metrics.lateral_error_m(plan, human, scored),
        "speed_error_mps": metrics.speed_error_mps(plan, human, scored),
        "lateral_control_error_mps2": metrics.lateral_control_error_mps2(plan, human, scored),
        "longitudinal_control_error_mps2": metrics.longitudinal_control_error_mps2(plan, human, scored),
        "plan_continuity_m2": np.full(len(plan), np.nan),
    }
    result["frame_score"] = metrics.frame_score(
        lateral_m=result["lateral_error_m"],
        speed_mps=result["speed_error_mps"],
        fde_3s_m=result["fde_3s_m"],
        lateral_mps2=result["lateral_control_error_mps2"],
        longitudinal_mps2=result["longitudinal_control_error_mps2"],
    )
    if has_unbroken_run(run, name):
        result["plan_continuity_m2"] = metrics.continuity_m2(run.times_s, run.frames.pose, track.values)
    return result


def _steering_metrics(run: ClipRun, name: str) -> dict[str, Array]:
    scored = run.known[:, 0] & run.tracks[name].has_plan & run.tracks[POLICY].has_plan
    return {"steering_wheel_error_rad": np.where(scored, run.tracks[name].values[:, 0, 0] - run.human[:, 0, 0], np.nan)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Figures:
    """Every figure of each policy, over the same frames and the same blocks."""

    runs: Sequence[ClipRun]
    spec: ActionSpec
    headline: str  # human_score, or expert_score where simulated drivers are the standard
    blocks: Sequence[NDArray[np.int64]]
    bootstrap: Bootstrap

    @classmethod
    def of(cls, runs: Sequence[ClipRun], spec: ActionSpec, *, is_simulated: bool) -> "Figures":
        """Figures of these runs."""
        blocks = blocks_of_clips([run.frames.stamp_ns for run in runs])
        headline = "expert_score" if is_simulated else "human_score"
        return cls(runs=runs, spec=spec, headline=headline, blocks=blocks, bootstrap=Bootstrap(int(blocks[-1][-1]) + 1))

    def of_policy(self, name: str, table: Mapping[str, Array]) -> dict[str, Any]:
        """Flat: each figure with `_ci95` and `_count`; `table`: frame_metrics of this policy."""
        at = np.concatenate(self.blocks)
        if self.spec.name != CAR.name:
            return _flat({"steering_wheel_rmse_rad": self.bootstrap.mean(table["steering_wheel_error_rad"] ** 2, at, root=True)})
        tags = _all_tags(self.runs)
        scores = 100.0 * table["frame_score"]
        estimates = {self.headline: self.bootstrap.mean_of_groups(scores, list(tags.values()), at)}
        estimates |= {f"{self.headline}_{tag}": self.bootstrap.mean(np.where(mask, scores, np.nan), at) for tag, mask in tags.items()}
        estimates |= {key: self.bootstrap.mean(values, at) for key, values in table.items() if key not in ("frame_score", "plan_continuity_m2")}
        estimates["plan_continuity_m"] = self.bootstrap.mean(table["plan_continuity_m2"], at, root=True)
        present = [tag for tag, mask in tags.items() if (mask & np.isfinite(scores)).any()]
        absent = [tag for tag in metrics.TAGS if tag not in present]
        figures = _flat(estimates | self._onsets(name) | self._flicker(name))
        return {**figures, f"{self.headline}_tags": present, f"{self.headline}_tags_absent": absent}

    def difference(self, table: Mapping[str, Array], other: Mapping[str, Array]) -> dict[str, Any]:
        """Flat, as `of_policy`: KEY_difference, the policy's figure less a baseline's on the same frames; the interval draws
        the same blocks for both. Tables: frame_metrics. Empty for action specs other than `car`."""
        if self.spec.name != CAR.name:
            return {}
        at, tags = np.concatenate(self.blocks), list(_all_tags(self.runs).values())
        apart = {key: table[key] - other[key] for key in table if key not in ("plan_continuity_m2", "min_ade_4s_m")}
        score = self.bootstrap.mean_of_groups(100.0 * apart.pop("frame_score"), tags, at)
        return _flat({f"{self.headline}_difference": score} | {f"{key}_difference": self.bootstrap.mean(values, at) for key, values in apart.items()})

    def _onsets(self, name: str) -> dict[str, Estimate]:
        pairs, false_alarms, missed = (np.zeros(self.bootstrap.block_count) for _ in range(3))
        leads_s: list[float] = []
        lead_blocks: list[int] = []
        for run, block in zip(self.runs, self.blocks, strict=True):
            matches = clip_onsets(run, name)
            block_of = {onset: int(block[min(int(np.searchsorted(run.times_s, onset.time_s)), len(block) - 1)]) for onset in matches.all()}
            for human, planner in matches.pairs:
                pairs[block_of[human]] += 1
                leads_s.append(human.time_s - planner.time_s)
                lead_blocks.append(block_of[human])
            np.add.at(false_alarms, [block_of[onset] for onset in matches.false_alarms], 1.0)
            np.add.at(missed, [block_of[onset] for onset in matches.missed], 1.0)
        return {
            "onset_precision": self.bootstrap.ratio(pairs, pairs + false_alarms, count=int((pairs + false_alarms).sum())),
            "onset_recall": self.bootstrap.ratio(pairs, pairs + missed, count=int((pairs + missed).sum())),
            "onset_median_lead_s": self.bootstrap.median(np.array(leads_s), np.array(lead_blocks, np.int64)),
        }

    def _flicker(self, name: str) -> dict[str, Estimate]:
        events, minutes = np.zeros(self.bootstrap.block_count), np.zeros(self.bootstrap.block_count)
        has_any: list[float] = []
        run_blocks: list[int] = []
        count = 0
        for run, block in zip(self.runs, self.blocks, strict=True):
            if has_unbroken_run(run, name):
                at_s = metrics.flicker_times_s(run.times_s, run.frames.pose, run.tracks[name].values)
                np.add.at(events, block[np.searchsorted(run.times_s, at_s)], 1.0)
                np.add.at(minutes, block[1:], np.diff(run.times_s) / 60.0)
                has_any.append(float(len(at_s) > 0))
                run_blocks.append(int(block[0]))
                count += len(run.frames)
        return {
            "flicker_per_min": self.bootstrap.ratio(events, minutes, count=count),
            "flicker_clip_share": self.bootstrap.mean(np.array(has_any), np.array(run_blocks, np.int64)),
        }


def clip_onsets(run: ClipRun, name: str) -> metrics.OnsetMatches:
    """The human's onsets along a clip and the policy's; what is planned for the clip's last 2 s cannot be judged."""
    times_s, track = run.times_s, run.tracks[name]
    human, ready = metrics.human_onsets(times_s, np.where(run.known[:, 0], run.human[:, 0, metrics.ACCELERATION], np.nan))
    planner = metrics.planner_onsets(times_s, np.nan_to_num(track.values), ready & track.has_plan)
    return metrics.match_onsets(human, [onset for onset in planner if onset.time_s <= times_s[-1] - metrics.MATCH_EARLY_S])


def has_unbroken_run(run: ClipRun, name: str) -> bool:
    """Whether the plans along this clip can be put into one fixed frame, one after the other."""
    return bool(np.isfinite(run.frames.pose).all()) and bool(run.tracks[name].has_plan.all())


def _flat(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """`key`, `key_ci95` and `key_count` of every estimate that has samples; what has none is absent and counts 0."""
    flat: dict[str, Any] = {}
    for key, estimate in estimates.items():
        if estimate.value is not None:
            flat |= {key: estimate.value, f"{key}_ci95": list(estimate.ci95) if estimate.ci95 else None}
        flat[f"{key}_count"] = estimate.count
    return flat


def _all_tags(runs: Sequence[ClipRun]) -> dict[str, Mask]:
    parts = [metrics.frame_tags(run.human, run.known) for run in runs]
    return {tag: np.concatenate([part[tag] for part in parts]) for tag in parts[0]}


def not_scored(runs: Sequence[ClipRun], name: str, spec: ActionSpec) -> dict[str, int]:
    """Reason → frames."""
    counts: Counter[str] = Counter()
    for run in runs:
        reasons = run.tracks[name].reasons
        counts.update(f"no plan: {reason}" for reason in reasons if reason)
        whole = run.known.all(axis=1)
        counts[NO_FUTURE if spec.name == CAR.name else NO_ANGLE] += int((~whole).sum())
        if spec.name == CAR.name:
            lateral = metrics.lateral_error_m(run.human, run.human, run.known)
            counts[SHORT_WAY] += int((whole & np.isnan(lateral)).sum())
    return {reason: count for reason, count in counts.items() if count}
