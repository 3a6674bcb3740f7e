"""Which of the offered plans drives: the most probable one, with a hold so that two equally good ones don't alternate."""

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.motion import to_frame
from mimic_contracts.plan import Plan

SAME_GROUP_M = 0.7  # plans nearer to each other than this, on average, are one decision (LEARNING, 'why continuous')
RIVAL_RATIO = 2.0  # a rival group takes over only with more than this times the probability of the held one
MAX_HOLD_S = 1.0  # an older plan says nothing about now; also the end of plans that is not compared
POSE = [CAR.index("x_m"), CAR.index("y_m"), CAR.index("yaw_rad")]


def select(plans: NDArray[np.float64], probabilities: NDArray[np.float64], *, stamp_ns: int, previous: Plan | None) -> int:
    """Index of the plan that drives, of plans (K, T, C) of `car` with probabilities (K,), made at stamp_ns.

    The group of plans within SAME_GROUP_M of the one driven before is held, unless the group around the best rival has
    more than RIVAL_RATIO times its probability; the most probable plan of the group drives.
    """
    best = int(probabilities.argmax())
    if previous is None or not 0 < stamp_ns - previous.stamp_ns <= MAX_HOLD_S * 1e9:
        return best
    held = _distance_m(plans, _continued(previous, stamp_ns)) <= SAME_GROUP_M
    if held[best] or not held.any():
        return best
    rivals = ~held & (_distance_m(plans, plans[best][:, POSE[:2]]) <= SAME_GROUP_M)
    if probabilities[rivals].sum() > RIVAL_RATIO * probabilities[held].sum():
        return best
    return int(np.where(held, probabilities, -1.0).argmax())


def _continued(previous: Plan, stamp_ns: int) -> NDArray[np.float64]:
    """(T, 2) the rest of the previous plan, seen from where it has the vehicle at stamp_ns; held at its end."""
    elapsed_s = (stamp_ns - previous.stamp_ns) / 1e9
    poses = np.stack([np.interp(CAR.times_s + elapsed_s, CAR.times_s, previous.values[:, column]) for column in POSE], axis=1)
    return to_frame(poses, poses[0])[:, :2]


def _distance_m(plans: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) mean distance of plans (K, T, C) from positions (T, 2) at equal times."""
    compared = CAR.times_s <= CAR.times_s[-1] - MAX_HOLD_S
    difference = plans[:, compared][:, :, POSE[:2]] - reference[compared]
    return np.asarray(np.hypot(difference[..., 0], difference[..., 1]).mean(axis=1))
