"""The score that training minimises."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, huber_loss

from e2e_planner.network import CURVATURE_SCALE_1PM, SPEED_SCALE_MPS, Head, PathSpeedHead, SteeringHead
from e2e_planner.recipe import LossWeights
from mimic_contracts.action_spec import CAR

X, Y, SPEED, ACCELERATION, CURVATURE = (CAR.index(name) for name in ("x_m", "y_m", "speed_mps", "acceleration_mps2", "curvature_1pm"))
POSITION_SCALE_M, POSITION_SCALE_MPS = 0.2, 0.4  # an error of 0.2 m now weighs as much as one of 1.8 m in 4 s
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
    """Winner-takes-all: only the path and the profile nearest to the driver's learn from the residuals.

    trajectory: distance from the driver's points of the path at the driver's own arc lengths, so that a wrong speed
    is not paid for twice; near points, which are driven, count more. speed: in SPEED_SCALE_MPS. control: lateral and longitudinal
    acceleration over the first second, m/s² (METRICS, 'control error').
    """
    speed_true, kappa_true = targets[:, :, SPEED], targets[:, :, CURVATURE]
    arc = head.arc_of(speed_true)
    at_arc = head.curvature_at(head.path_anchors[None].expand(len(targets), -1, -1), arc[:, None].expand(-1, len(head.path_anchors), -1))
    path_winner = ((at_arc - kappa_true[:, None]) / CURVATURE_SCALE_1PM).square().sum(-1).argmin(-1)
    change_true = speed_true - speed_true[:, :1]
    speed_winner = (head.speed_anchors[None] - change_true[:, None]).square().sum(-1).argmin(-1)
    rows = torch.arange(len(targets), device=targets.device)
    curvature, speed = outputs["curvature"][rows, path_winner], outputs["speed"][rows, speed_winner]
    x, y, _, kappa = head.drive(curvature, arc)
    offset = torch.stack([x - targets[:, :, X], y - targets[:, :, Y]], -1)
    offset = offset / (POSITION_SCALE_M + POSITION_SCALE_MPS * head.times_s[:, None])
    weight = speed_true.clamp(min=3.0).square()
    lateral = (kappa - kappa_true) * weight
    longitudinal = head.acceleration_of(speed) - targets[:, :, ACCELERATION]
    return {
        "trajectory": _huber(offset),
        "mode": cross_entropy(outputs["path_logits"], path_winner) + cross_entropy(outputs["speed_logits"], speed_winner),
        "speed": _huber((speed - speed_true) / SPEED_SCALE_MPS * 3.0),
        "control": _huber(lateral[:, CONTROL_TIMES]) + _huber(longitudinal[:, CONTROL_TIMES]),
    }


def _huber(error: Tensor) -> Tensor:
    return huber_loss(error, torch.zeros_like(error), delta=1.0)
