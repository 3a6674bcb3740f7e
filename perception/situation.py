"""What a driver has to know of the road ahead beside what stands in it: light, line, lead, lane, limit.

Each question has features of its own, since the answer depends on the route as well as on the pictures.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss

from mimic_contracts.labels import LANE_STATIONS_M
from mimic_contracts.scene import LIGHT_STATES, STOP_RULES

ROAD, LEAD = ("light", "line", "lane"), "lead"  # the questions: of the road alone, and of who is ahead on it
LIGHTS, RULES = ("none", *LIGHT_STATES), ("none", *STOP_RULES)
NEAR_M, BEHIND_M = 5.0, 2.0  # distances count on a scale that is logarithmic beyond NEAR_M and begins BEHIND_M behind the bumper
TYPICAL_SPEED_MPS, TYPICAL_LANE_M = 10.0, 30.0
UNKNOWN = -100  # of a class: not learned from
LEAD_VALUES = 3  # see lead_answers
SPOKEN_VALUES = len(LIGHTS) + len(RULES) + 2 * len(LANE_STATIONS_M) + 2


@dataclass(frozen=True, eq=False, kw_only=True)
class SituationLabels:
    """Of N frames. light, rule: (N,) int64, index in LIGHTS and RULES, or UNKNOWN; line_m: (N,) NaN without; has_lead: (N,) 0 or
    1, NaN unknown; lead_gap_m, lead_mps, limit_mps: (N,), NaN unknown; lane_m: (N, S, 2) at LANE_STATIONS_M, NaN beyond."""

    light: Tensor
    rule: Tensor
    line_m: Tensor
    has_lead: Tensor
    lead_gap_m: Tensor
    lead_mps: Tensor
    limit_mps: Tensor
    lane_m: Tensor

    def to(self, device: torch.device) -> "SituationLabels":
        """The same on another device."""
        return SituationLabels(**{name: tensor.to(device) for name, tensor in self.__dict__.items()})


class RoadHead(nn.Module):
    """Features (N, width) of 'light', 'line' and 'lane' → light, rule: logits; line: distance on the scale of `scaled`; lane_m
    (N, S, 2); limit_mps."""

    stations_m: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("stations_m", torch.tensor(LANE_STATIONS_M))
        self.light = nn.Linear(width, len(LIGHTS))
        self.line = nn.Linear(width, len(RULES) + 1)
        self.lane = nn.Linear(width, 2 * len(LANE_STATIONS_M) + 1)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See the class."""
        line, lane = self.line(features["line"]), self.lane(features["lane"])
        along, aside = lane[:, : len(LANE_STATIONS_M)], lane[:, len(LANE_STATIONS_M) : -1]
        return {
            "light": self.light(features["light"]),
            "rule": line[:, :-1],
            "line": line[:, -1],
            "lane_m": torch.stack([self.stations_m * (1.0 + 0.1 * along), self.stations_m * 0.1 * aside], -1),
            "limit_mps": TYPICAL_SPEED_MPS * (1.0 + lane[:, -1]),
        }


def lead_answers(lead: Tensor) -> dict[str, Tensor]:
    """What LEAD_VALUES numbers (N, LEAD_VALUES) of a head say: has_lead: logit; lead_gap: distance on the scale of `scaled`; lead_mps."""
    return {"has_lead": lead[:, 0], "lead_gap": lead[:, 1], "lead_mps": TYPICAL_SPEED_MPS * lead[:, 2]}


def spoken(road: Mapping[str, Tensor]) -> Tensor:
    """What RoadHead says, as a planner is told it: (N, SPOKEN_VALUES), each about one in size."""
    lane = road["lane_m"].flatten(1) / TYPICAL_LANE_M
    return torch.cat([road["light"].softmax(1), road["rule"].softmax(1), road["line"][:, None], lane, road["limit_mps"][:, None] / TYPICAL_SPEED_MPS], 1)


def scaled(distance_m: Tensor) -> Tensor:
    """Metres → the scale on which a metre near by counts as much as ten per cent far away."""
    return torch.log1p((distance_m + BEHIND_M).clamp(min=0.0) / NEAR_M)


def metres(scaled_distance: Tensor) -> Tensor:
    """The inverse of `scaled`."""
    return NEAR_M * torch.expm1(scaled_distance) - BEHIND_M


def situation_loss(said: Mapping[str, Tensor], labels: SituationLabels) -> dict[str, Tensor]:
    """One term for each question; what is unknown counts in none."""
    stations_m = torch.tensor(LANE_STATIONS_M, device=labels.lane_m.device)
    lane = (said["lane_m"] - labels.lane_m) / (0.5 + 0.05 * stations_m[:, None])
    has_lead = binary_cross_entropy_with_logits(said["has_lead"], torch.nan_to_num(labels.has_lead), reduction="none")
    return {
        "light": cross_entropy(said["light"], labels.light, ignore_index=UNKNOWN, reduction="sum") / _count(labels.light != UNKNOWN),
        "line": cross_entropy(said["rule"], labels.rule, ignore_index=UNKNOWN, reduction="sum") / _count(labels.rule != UNKNOWN)
        + 2.0 * _apart(5.0 * (said["line"] - scaled(labels.line_m))),
        "lead": (has_lead * torch.isfinite(labels.has_lead)).sum() / _count(torch.isfinite(labels.has_lead))
        + _apart(5.0 * (said["lead_gap"] - scaled(labels.lead_gap_m)))
        + _apart((said["lead_mps"] - labels.lead_mps) / 2.0),
        "lane": _apart(lane) + 0.3 * _apart((said["limit_mps"] - labels.limit_mps) / 2.0),
    }


def _apart(difference: Tensor) -> Tensor:
    """Mean Huber loss of differences, in what is known of them."""
    known = torch.isfinite(difference)
    kept = torch.where(known, difference, torch.zeros_like(difference))
    return huber_loss(kept, torch.zeros_like(kept), delta=1.0, reduction="sum") / _count(known)


def _count(known: Tensor) -> Tensor:
    return known.sum().clamp(min=1)
