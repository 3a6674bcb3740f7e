"""Runs a policy and its baselines along the clips of a split, and states how close each comes to the human.

METRICS, 'Open loop'. What a figure is made of stands beside it, in the rows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bag_tools import metrics
from bag_tools.clip_store import ClipStore
from bag_tools.observations import clip_observations
from bag_tools.score_figures import Figures, frame_metrics, not_scored, time_shift_sweep
from bag_tools.score_runs import POLICY, ClipRun, run_clip
from mimic_contracts.action_spec import CAR, STEERING_ONLY, ActionSpec
from mimic_contracts.errors import MimicError
from mimic_contracts.policy import Policy

MAX_FAILED_SHARE = 0.01  # of the frames without a plan; beyond it the figures describe another planner

Array = NDArray[np.float64]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Score:
    """summary: the content of score.json; rows: one per policy and frame; runs: for the report."""

    summary: dict[str, Any]
    rows: pa.Table
    runs: Sequence[ClipRun]
    spec: ActionSpec


def score(
    policy: Policy, store: ClipStore, split: str, *, policy_name: str, baselines: Mapping[str, Policy], progress: Progress = lambda items, _: items
) -> Score:
    """Score a policy on a split; baselines see the same frames.

    progress(iterable, total) wraps the frames. Raises MimicError before any work when the policy doesn't fit the store,
    and afterwards when it had no plan for more than MAX_FAILED_SHARE of the frames.
    """
    check_fit(policy, store, split, baselines=baselines)
    clips = store.clips(split)
    policies = {POLICY: policy, **baselines}
    all_frames = [store.frames(clip.clip_id) for clip in clips]
    total = sum(len(frames) for frames in all_frames)
    observations = iter(progress((item for clip in clips for item in clip_observations(store, clip)), total))
    runs = [run_clip(clip, frames, observations, policies, policy.spec) for clip, frames in zip(clips, all_frames, strict=True)]
    next(observations, None)  # so that the progress sees its end
    _refuse_failures(runs)
    tables = {name: frame_metrics(runs, name, policy.spec) for name in policies}
    figures = Figures.of(runs, policy.spec, is_simulated="expert_plan" in store.meta.signals)
    summary = {
        "metric_version": metrics.METRIC_VERSION,
        "policy": policy_name,
        "action_spec": policy.spec.name,
        "split": split,
        "data_hash": store.meta.data_hash,
        "rig": store.meta.rig,
        "clips": len(runs),
        "drives": len({run.clip.drive_id for run in runs}),
        "frames": total,
        "blocks": figures.bootstrap.block_count,
        "duration_s": float(sum(run.times_s[-1] for run in runs)),
        "training_seeds": 1,
        **figures.of_policy(POLICY, tables[POLICY]),
        **time_shift_sweep(runs, policy.spec),
        "not_scored": not_scored(runs, POLICY, policy.spec),
        "baselines": {
            name: {
                **figures.of_policy(name, tables[name]),
                **figures.difference(tables[POLICY], tables[name]),
                "not_scored": not_scored(runs, name, policy.spec),
            }
            for name in baselines
        },
    }
    return Score(summary=summary, rows=_rows(runs, tables), runs=runs, spec=policy.spec)


def check_fit(policy: Policy, store: ClipStore, split: str, *, baselines: Mapping[str, Policy]) -> None:
    """Raise MimicError when this store cannot tell how good this policy is."""
    meta = store.meta
    if policy.rig_name not in (None, meta.rig):
        raise MimicError(f"policy: sees through rig '{policy.rig_name}', {store.path} was extracted for rig '{meta.rig}': extract with a topic map of that rig")
    needed = {
        STEERING_ONLY.name: [{"steering_wheel_rad"}],
        CAR.name: [{"expert_plan"}, {"pose"}, {"speed_mps", "yaw_rate_radps"}, {"speed_mps", "curvature_1pm"}],
    }
    if policy.spec.name not in needed:
        raise MimicError(f"policy: has action spec '{policy.spec.name}', only {' and '.join(needed)} can be scored")
    if not any(signals <= set(meta.signals) for signals in needed[policy.spec.name]):
        ways = " or ".join(" and ".join(sorted(signals)) for signals in needed[policy.spec.name])
        raise MimicError(f"{store.path}: does not tell what the human did in terms of '{policy.spec.name}': it has {', '.join(meta.signals)}, needed is {ways}")
    for name, baseline in baselines.items():
        if baseline.spec.name != policy.spec.name:
            raise MimicError(f"baseline '{name}': has action spec '{baseline.spec.name}', the policy has '{policy.spec.name}'")
    if not store.clips(split):
        raise MimicError(f"{store.path}: has no clip of split '{split}'; its clips are {dict(Counter(clip.split for clip in store.clips()))}")


def _refuse_failures(runs: Sequence[ClipRun]) -> None:
    reasons = Counter(reason for run in runs for reason in run.tracks[POLICY].reasons if reason)
    total = sum(len(run.frames) for run in runs)
    if reasons.total() > MAX_FAILED_SHARE * total:
        worst = "; ".join(f"{count} times: {reason}" for reason, count in reasons.most_common(3))
        raise MimicError(f"the policy had no plan for {reasons.total()} of {total} frames, at most {MAX_FAILED_SHARE:.0%} may fail: {worst}")


def _rows(runs: Sequence[ClipRun], tables: Mapping[str, Mapping[str, Array]]) -> pa.Table:
    """One row per policy and frame: its metrics, and the plan, the human's future and the pose that they are made of."""
    parts = []
    for name, table in tables.items():
        columns: dict[str, Any] = {
            "policy": [name] * sum(len(run.frames) for run in runs),
            "clip_id": [run.clip.clip_id for run in runs for _ in range(len(run.frames))],
            "drive_id": [run.clip.drive_id for run in runs for _ in range(len(run.frames))],
            "stamp_ns": np.concatenate([run.frames.stamp_ns for run in runs]),
            "not_scored": [reason for run in runs for reason in run.tracks[name].reasons],
            "pose": _lists(np.concatenate([run.frames.pose for run in runs])),
            "plan": _lists(np.concatenate([run.tracks[name].values for run in runs])),
            "human": _lists(np.concatenate([np.where(run.known[:, :, None], run.human, np.nan) for run in runs])),
            **table,
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _lists(values: Array) -> pa.Array:
    flat = values.reshape(len(values), -1)
    return pa.FixedSizeListArray.from_arrays(flat.ravel(), flat.shape[1])
