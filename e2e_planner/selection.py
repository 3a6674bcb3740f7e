"""Which of the offered plans drives: along the most probable path, with a hold so that two equally good ones don't alternate, at
the median speed; a stop that has begun is finished."""

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.motion import to_frame
from mimic_contracts.plan import Plan

SAME_GROUP_M = 0.7  # plans nearer to each other than this, on average, are one decision (LEARNING, 'why continuous')
RIVAL_RATIO = 2.0  # a rival group of paths takes over only with more than this times the probability of the held one
MAX_HOLD_S = 1.0  # an older plan says nothing about now; also the end of plans that is not compared
NEARLY_MPS, WITHIN_S = 1.5, 2.0  # a stop has begun when the vehicle is slower and was to stand within this
STANDS_MPS = 0.1
SPEED = CAR.index("speed_mps")
POSE = [CAR.index("x_m"), CAR.index("y_m"), CAR.index("yaw_rad")]


def select(plans: NDArray[np.float64], probabilities: NDArray[np.float64], *, paths: int, stamp_ns: int = 0, previous: Plan | None = None) -> int:
    """Index of the plan that drives, of plans (K, T, C) of `car` with probabilities (K,), made at stamp_ns: path after path, each
    with the same speed profiles.

    Paths of which a plan is within SAME_GROUP_M of the one driven before are held, unless the group around the best rival has
    more than RIVAL_RATIO times their probability; the most probable of them is taken. Where to go is a decision, how fast a matter
    of degree: of the profiles, it is the one to which all are nearest, as they are probable. The most probable
    one says less: one way to brake may be likelier than each of three ways to go on, and yet unlikely. But to stop is a decision: once
    it has begun, only the profiles that stop count until the vehicle stands, or none of them does.
    """
    plans, probabilities = plans.reshape(paths, -1, *plans.shape[1:]), probabilities.reshape(paths, -1)
    if previous is not None and not 0 < stamp_ns - previous.stamp_ns <= MAX_HOLD_S * 1e9:
        previous = None
    stops, nearly_stands = _stands(plans[0], 0.0), STANDS_MPS < plans[0, 0, 0, SPEED] < NEARLY_MPS
    is_stopping = previous is not None and nearly_stands and _stands(previous.values, (stamp_ns - previous.stamp_ns) / 1e9)
    counts = stops if is_stopping and stops.any() else np.ones_like(stops)
    shares, profile = probabilities.sum(axis=1), _median(plans, probabilities, counts)
    return _path(plans, shares, profile, stamp_ns, previous) * plans.shape[1] + profile


def _path(plans: NDArray[np.float64], shares: NDArray[np.float64], profile: int, stamp_ns: int, previous: Plan | None) -> int:
    """The most probable of the paths that are held, of plans (P, S, T, C) and the probabilities (P,) of the paths."""
    best = int(shares.argmax())
    if previous is None:
        return best
    held = (_apart_m(plans, _continued(previous, stamp_ns)) <= SAME_GROUP_M).any(axis=1)
    rivals = ~held & (_apart_m(plans[:, profile], plans[best, profile][:, POSE[:2]]) <= SAME_GROUP_M)
    if held.any() and shares[rivals].sum() <= RIVAL_RATIO * shares[held].sum():
        return int(np.where(held, shares, -1.0).argmax())
    return best


def _median(plans: NDArray[np.float64], probabilities: NDArray[np.float64], counts: NDArray[np.bool_]) -> int:
    """The speed profile with the least expected distance from the others, of those that count (S,), of plans (P, S, T, C),
    probabilities (P, S)."""
    along = plans[probabilities.sum(axis=1).argmax()]
    apart_m = np.stack([_apart_m(along, plan[:, POSE[:2]]) for plan in along])
    return int(np.where(counts, apart_m @ (counts * probabilities.sum(axis=0)), np.inf).argmin())


def _stands(plans: NDArray[np.float64], since_s: float) -> NDArray[np.bool_]:
    """(...) whether plans (..., T, C) come to a standstill within WITHIN_S from since_s on."""
    soon = (since_s <= CAR.times_s) & (since_s + WITHIN_S >= CAR.times_s)
    return np.asarray(plans[..., soon, SPEED].min(axis=-1) <= STANDS_MPS)


def _continued(previous: Plan, stamp_ns: int) -> NDArray[np.float64]:
    """(T, 2) the rest of the previous plan, seen from where it has the vehicle at stamp_ns; held at its end."""
    elapsed_s = (stamp_ns - previous.stamp_ns) / 1e9
    poses = np.stack([np.interp(CAR.times_s + elapsed_s, CAR.times_s, previous.values[:, column]) for column in POSE], axis=1)
    return to_frame(poses, poses[0])[:, :2]


def _apart_m(plans: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...) mean distance of plans (..., T, C) from positions (T, 2) at equal times."""
    compared = CAR.times_s <= CAR.times_s[-1] - MAX_HOLD_S
    difference = plans[..., compared, :][..., POSE[:2]] - reference[compared]
    return np.asarray(np.hypot(difference[..., 0], difference[..., 1]).mean(axis=-1))
