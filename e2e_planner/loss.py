"""The score that training minimises."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, huber_loss

from e2e_planner.plan_heads import SPEED_SCALE_MPS, Head, PathSpeedHead, SteeringHead, bicycle, sideways
from e2e_planner.recipe import LossWeights
from mimic_contracts.action_spec import CAR

X, Y, SPEED, ACCELERATION, CURVATURE = (CAR.index(name) for name in ("x_m", "y_m", "speed_mps", "acceleration_mps2", "curvature_1pm"))
POSITION_SCALE_M, POSITION_SCALE = 0.15, 0.03  # an error of 0.15 m here weighs as much as one of 0.45 m in 10 m
SAME_ANCHOR = 1e-6  # squared distance below which two anchors are one
CONTROL_TIMES = slice(0, 6)  # the first second: what is driven before the next plan


def planner_loss(head: Head, outputs: Mapping[str, Tensor], targets: Tensor, weights: LossWeights) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and its terms by name. targets: (N, T, C) of the head's action spec."""
    if isinstance(head, SteeringHead):
        error = (outputs["angle"][:, 0] - targets[:, 0, 0]) / head.scale_rad
        loss = huber_loss(error, torch.zeros_like(error), delta=1.0)
        return loss, {"angle": loss}
    terms = _path_speed_terms(head, outputs, targets)
    return sum((getattr(weights, name) * term for name, term in terms.items()), torch.zeros(())), terms


def _path_speed_terms(head: PathSpeedHead, outputs: Mapping[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
    """Every path and every profile learns from the driver's in the measure in which it is near to it (`shares`).

    trajectory: distance from the driver's points of the path at the driver's own arc lengths, so that a wrong speed
    is not paid for twice; near points, which are driven, count more: near in metres, for a lane is no wider where one drives
    slowly. speed: in SPEED_SCALE_MPS. control: lateral and longitudinal acceleration over the first second, m/s² (METRICS,
    'control error').
    """
    speed_true, kappa_true = targets[:, :, SPEED], targets[:, :, CURVATURE]
    arc = head.arc_of(speed_true)[:, None].expand(-1, len(head.path_anchors), -1)
    _, side, _, _ = bicycle(head.path_anchors[None].expand(len(targets), -1, -1), arc)
    path_shares = shares((sideways(side) - sideways(targets[:, None, :, Y])).square().sum(-1))
    change_true = speed_true - speed_true[:, :1]
    speed_shares = shares((head.speed_anchors[None] - change_true[:, None]).square().sum(-1))
    x, y, _, kappa = bicycle(outputs["curvature"], arc)
    offset = torch.stack([x - targets[:, None, :, X], y - targets[:, None, :, Y]], -1)
    offset = offset / (POSITION_SCALE_M + POSITION_SCALE * arc[..., None])
    weight = speed_true.clamp(min=3.0).square()[:, None]
    lateral = (kappa - kappa_true[:, None]) * weight
    longitudinal = head.acceleration_of(outputs["speed"]) - targets[:, None, :, ACCELERATION]
    return {
        "trajectory": _shared(path_shares, _huber(offset).mean(-1)),
        "mode": cross_entropy(outputs["path_logits"], path_shares) + cross_entropy(outputs["speed_logits"], speed_shares),
        "speed": _shared(speed_shares, _huber((outputs["speed"] - speed_true[:, None]) / SPEED_SCALE_MPS * 3.0)),
        "control": _shared(path_shares, _huber(lateral[..., CONTROL_TIMES])) + _shared(speed_shares, _huber(longitudinal[..., CONTROL_TIMES])),
    }


def shares(squared_distance: Tensor) -> Tensor:
    """(N, K) ≥ 0 → (N, K) that add up to one: all for an anchor that is hit, equal ones for two that are equally near.

    Inverse distance weights (Shepard 1968). Winner-takes-all would leave a seam between two anchors, where drivers'
    plans are learned by either one or the other and the network jumps.
    """
    distance = squared_distance + SAME_ANCHOR
    weights = (distance.amin(-1, keepdim=True) / distance).square()
    return weights / weights.sum(-1, keepdim=True)


def _shared(weights: Tensor, error: Tensor) -> Tensor:
    """Mean over the batch of errors (N, K, T), weighed over K."""
    return (weights * error.mean(-1)).sum(-1).mean()


def _huber(error: Tensor) -> Tensor:
    return huber_loss(error, torch.zeros_like(error), delta=1.0, reduction="none")
