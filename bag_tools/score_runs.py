"""Lets policies plan along recorded clips, and keeps what each of them planned beside what the human did."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from bag_tools.clip_store import ClipFrames
from bag_tools.targets import frame_targets
from mimic_contracts.action_spec import ActionSpec
from mimic_contracts.clip import Clip
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.policy import Policy

POLICY = "policy"  # the name under which the scored policy stands beside its baselines

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """What one policy planned along a clip: values (N, T, C) and alternatives (N, K, T, C), NaN where there is none, and
    the reason for each frame without a plan ('' where there is one)."""

    values: Array
    alternatives: Array
    reasons: tuple[str, ...]

    @property
    def has_plan(self) -> NDArray[np.bool_]:
        """(N,) which frames have a plan."""
        return np.array([not reason for reason in self.reasons], np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipRun:
    """A clip, what the human did (human (N, T, C), known (N, T)), and what each policy planned."""

    clip: Clip
    frames: ClipFrames
    human: Array
    known: NDArray[np.bool_]
    tracks: Mapping[str, Track]

    @property
    def times_s(self) -> Array:
        """(N,) seconds since the clip's first frame."""
        return np.asarray((self.frames.stamp_ns - self.frames.stamp_ns[0]) / 1e9, np.float64)


def run_clip(clip: Clip, frames: ClipFrames, observations: Iterator[Observation], policies: Mapping[str, Policy], spec: ActionSpec) -> ClipRun:
    """Reset the policies, and let each plan from every frame of the clip; takes the clip's observations from the iterator."""
    outcomes: dict[str, list[Plan | str]] = {name: [] for name in policies}
    for policy in policies.values():
        policy.reset()
    for observation in islice(observations, len(frames)):
        for name, policy in policies.items():
            outcomes[name].append(_plan_or_reason(policy, observation))
    human, known = frame_targets(frames, spec)
    return ClipRun(clip=clip, frames=frames, human=human, known=known, tracks={name: _track(items, spec) for name, items in outcomes.items()})


def _plan_or_reason(policy: Policy, observation: Observation) -> Plan | str:
    try:
        plan = policy.plan(observation)
        if plan.spec.name != policy.spec.name or plan.stamp_ns != observation.stamp_ns:
            raise ContractError(f"plan is '{plan.spec.name}' of {plan.stamp_ns}, must be '{policy.spec.name}' of {observation.stamp_ns}")
    except MimicError as error:
        return str(error) or "no reason given"
    except Exception as error:  # noqa: BLE001 - a planner of somebody else may raise anything; the frame is counted with it
        return f"{type(error).__name__}: {error}"
    return plan


def _track(outcomes: Sequence[Plan | str], spec: ActionSpec) -> Track:
    shape = (len(spec.times_s), len(spec.channels))
    most = max((len(o.alternatives) for o in outcomes if isinstance(o, Plan)), default=0)
    values, alternatives = np.full((len(outcomes), *shape), np.nan), np.full((len(outcomes), most, *shape), np.nan)
    for i, outcome in enumerate(outcomes):
        if isinstance(outcome, Plan):
            values[i] = outcome.values
            alternatives[i, : len(outcome.alternatives)] = outcome.alternatives
    return Track(values=values, alternatives=alternatives, reasons=tuple("" if isinstance(o, Plan) else o for o in outcomes))
