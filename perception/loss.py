"""How far the picture heads are from the labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss

from mimic_contracts.labels import CLASS_INDEX, LAMP_CLASSES, NOT_LABELLED, SEMANTIC_CLASSES
from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import BRAKE, INDICATOR, MIDDLE, SIZE, SPEED

RARE = ("lane_marking", "pole", "sign", "traffic_light")
RARE_WEIGHT = 3.0
LAMP_WEIGHT = 40.0  # a place or two, on which it depends whether to go
SELDOM_MET = ("truck", "bus", "bicycle", "pedestrian")
SELDOM_MET_WEIGHT = 5.0  # an eighth of those in sight, whom the network would rather overlook
FOCUS, FORGIVING = 2.0, 4.0  # exponents of the focal loss (Law and Deng 2018)
SOLID = slice(4, 11)  # of BOX_VALUES: what places a road user in space


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureLabels:
    """Of one camera, N pictures of h x w places. semantic: (N, h, w) int64, NOT_LABELLED: unknown; log_depth: (N, 1, h, w)
    log of metres, NaN: unknown or sky; heat, counts: as of AgentTargets, (N, kinds, h, w) and (N, 1, h, w); of all A road
    users of all pictures: picture (A,), place (A,), kind (A,) int64, values (A, BOX_VALUES), is_solid (A,)."""

    semantic: Tensor
    log_depth: Tensor
    heat: Tensor
    counts: Tensor
    picture: Tensor
    place: Tensor
    kind: Tensor
    values: Tensor
    is_solid: Tensor

    def to(self, device: torch.device) -> "PictureLabels":
        """The same on another device."""
        return PictureLabels(**{name: tensor.to(device) for name, tensor in self.__dict__.items()})


def picture_loss(said: Mapping[str, Tensor], labels: PictureLabels) -> dict[str, Tensor]:
    """Terms of one camera: semantic, depth, heat, boxes."""
    weights = torch.ones(len(SEMANTIC_CLASSES), device=labels.semantic.device)
    weights[[CLASS_INDEX[name] for name in RARE]] = RARE_WEIGHT
    weights[[CLASS_INDEX[name] for name in LAMP_CLASSES]] = LAMP_WEIGHT
    weights[[CLASS_INDEX[name] for name in SELDOM_MET]] = SELDOM_MET_WEIGHT
    semantic = cross_entropy(said["semantic"], labels.semantic, weight=weights, ignore_index=NOT_LABELLED, reduction="sum")
    known = torch.isfinite(labels.log_depth)
    depth = huber_loss(said["log_depth"], torch.where(known, labels.log_depth, said["log_depth"].detach()), delta=0.5, reduction="sum")
    return {
        "semantic": semantic / (labels.semantic != NOT_LABELLED).sum().clamp(min=1),
        "depth": 4.0 * depth / known.sum().clamp(min=1),
        "heat": heat_loss(said["heat"], labels),
        "boxes": box_loss(said["boxes"], labels),
    }


def heat_loss(heat: Tensor, labels: PictureLabels) -> Tensor:
    """Focal loss over places, per road user: a place is right only at a middle, and the less wrong the nearer to one."""
    positive = torch.zeros_like(labels.heat)
    positive.flatten(2)[labels.picture, labels.kind, labels.place] = 1.0
    share, weight = heat.sigmoid(), kind_weights(heat.device)[:, None, None]
    hit = (1.0 - share) ** FOCUS * torch.nn.functional.logsigmoid(heat) * positive
    miss = (1.0 - labels.heat) ** FORGIVING * share**FOCUS * torch.nn.functional.logsigmoid(-heat) * (1.0 - positive) * labels.counts
    return -(weight * (hit + miss)).sum() / ((weight * positive).sum() + len(heat))


def box_loss(boxes: Tensor, labels: PictureLabels) -> Tensor:
    """Of the values at the places of road users: the picture's part for all of them, the solid one where it is known."""
    at = boxes.flatten(2)[labels.picture, :, labels.place]  # (A, BOX_VALUES)
    wanted, weight = labels.values, kind_weights(boxes.device)[labels.kind]
    flat = (at[:, MIDDLE] - wanted[:, MIDDLE]).abs().sum(-1) + (at[:, SIZE] - wanted[:, SIZE]).abs().sum(-1)
    solid = huber_loss(at[:, SOLID], wanted[:, SOLID], delta=0.2, reduction="none").sum(-1) * 5.0
    moving = (at[:, SPEED] - wanted[:, SPEED]).square() * 5.0  # not the median of all, most of whom stand
    lights = binary_cross_entropy_with_logits(at[:, BRAKE], wanted[:, BRAKE], reduction="none")
    lights = lights + cross_entropy(at[:, INDICATOR], wanted[:, INDICATOR], reduction="none") if len(at) else lights
    return (weight * (flat + (solid + moving + 0.3 * lights) * labels.is_solid)).sum() / weight.sum().clamp(min=1.0)


def kind_weights(device: torch.device) -> Tensor:
    """(kinds,) how much a road user of each kind counts."""
    return torch.tensor([SELDOM_MET_WEIGHT if kind in SELDOM_MET else 1.0 for kind in AGENT_KINDS], device=device)
