"""What a driver has to know of the road ahead beside what stands in it: light, line, junction, zebra, lead, lane, limit.

Each question has features of its own, since the answer depends on the route as well as on the pictures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss

from mimic_contracts.labels import LANE_STATIONS_M
from mimic_contracts.scene import LIGHT_STATES, STOP_RULES

ROAD, LEAD = ("light", "line", "junction", "zebra", "lane"), "lead"  # the questions: of the road alone, and of who is ahead on it
LIGHTS, RULES = ("none", *LIGHT_STATES), ("none", *STOP_RULES)
NEAR_M, BEHIND_M = 5.0, 2.0  # distances count on a scale that is logarithmic beyond NEAR_M and begins BEHIND_M behind the bumper
TYPICAL_SPEED_MPS, TYPICAL_LANE_M = 10.0, 30.0
UNKNOWN = -100  # of a class: not learned from
LEAD_VALUES = 3  # see lead_answers
SPOKEN_VALUES = len(LIGHTS) + len(RULES) + 2 * len(LANE_STATIONS_M) + 7


@dataclass(frozen=True, eq=False, kw_only=True)
class SituationLabels:
    """Of N frames. light, rule: (N,) int64, index in LIGHTS and RULES, or UNKNOWN; line_m: (N,) NaN without; has_junction, has_zebra,
    has_lead: (N,) 0 or 1, NaN unknown; junction_start_m, junction_end_m, zebra_m, lead_gap_m, lead_mps, limit_mps: (N,), NaN none or
    unknown; lane_m: (N, S, 2) at LANE_STATIONS_M, NaN beyond."""

    light: Tensor
    rule: Tensor
    line_m: Tensor
    has_junction: Tensor
    junction_start_m: Tensor
    junction_end_m: Tensor
    has_zebra: Tensor
    zebra_m: Tensor
    has_lead: Tensor
    lead_gap_m: Tensor
    lead_mps: Tensor
    limit_mps: Tensor
    lane_m: Tensor

    def to(self, device: torch.device) -> "SituationLabels":
        """The same on another device."""
        return SituationLabels(**{name: tensor.to(device) for name, tensor in self.__dict__.items()})

    def seen_from(self, poses: Tensor) -> "SituationLabels":
        """The same from poses (N, 3) [x_m, y_m, yaw_rad] in the vehicle frame, not far away: the lane lies elsewhere."""
        cos, sin = poses[:, 2].cos(), poses[:, 2].sin()
        turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # of row vectors
        return replace(self, lane_m=(self.lane_m - poses[:, None, :2]) @ turn)


class RoadHead(nn.Module):
    """Features (N, width) of the questions ROAD → light, rule, has_junction, has_zebra: logits; line, junction_start, junction_end,
    zebra: distances on the scale of `scaled`; lane_m (N, S, 2); limit_mps."""

    stations_m: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("stations_m", torch.tensor(LANE_STATIONS_M))
        self.light = nn.Linear(width, len(LIGHTS))
        self.line = nn.Linear(width, len(RULES) + 1)
        self.junction, self.zebra = nn.Linear(width, 3), nn.Linear(width, 2)
        self.lane = nn.Linear(width, 2 * len(LANE_STATIONS_M) + 1)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See the class."""
        line, junction, zebra, lane = (getattr(self, name)(features[name]) for name in ("line", "junction", "zebra", "lane"))
        along, aside = lane[:, : len(LANE_STATIONS_M)], lane[:, len(LANE_STATIONS_M) : -1]
        return {
            "light": self.light(features["light"]),
            "rule": line[:, :-1],
            "line": line[:, -1],
            "has_junction": junction[:, 0],
            "junction_start": junction[:, 1],
            "junction_end": junction[:, 2],
            "has_zebra": zebra[:, 0],
            "zebra": zebra[:, 1],
            "lane_m": torch.stack([self.stations_m * (1.0 + 0.1 * along), self.stations_m * 0.1 * aside], -1),
            "limit_mps": TYPICAL_SPEED_MPS * (1.0 + lane[:, -1]),
        }


def lead_answers(lead: Tensor) -> dict[str, Tensor]:
    """What LEAD_VALUES numbers (N, LEAD_VALUES) of a head say: has_lead: logit; lead_gap: distance on the scale of `scaled`; lead_mps."""
    return {"has_lead": lead[:, 0], "lead_gap": lead[:, 1], "lead_mps": TYPICAL_SPEED_MPS * lead[:, 2]}


def spoken(road: Mapping[str, Tensor]) -> Tensor:
    """What RoadHead says, as a planner is told it: (N, SPOKEN_VALUES), each about one in size."""
    lane, limit = road["lane_m"].flatten(1) / TYPICAL_LANE_M, road["limit_mps"][:, None] / TYPICAL_SPEED_MPS
    there = torch.stack([road["has_junction"].sigmoid(), road["has_zebra"].sigmoid()], 1)
    away = torch.stack([road[name] for name in ("line", "junction_start", "junction_end", "zebra")], 1)
    return torch.cat([road["light"].softmax(1), road["rule"].softmax(1), there, away, lane, limit], 1)


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
    return {
        "light": cross_entropy(said["light"], labels.light, ignore_index=UNKNOWN, reduction="sum") / _count(labels.light != UNKNOWN),
        "line": cross_entropy(said["rule"], labels.rule, ignore_index=UNKNOWN, reduction="sum") / _count(labels.rule != UNKNOWN)
        + 2.0 * _apart(5.0 * (said["line"] - scaled(labels.line_m))),
        "junction": _doubt(said["has_junction"], labels.has_junction)
        + _apart(5.0 * (said["junction_start"] - scaled(labels.junction_start_m)))
        + _apart(5.0 * (said["junction_end"] - scaled(labels.junction_end_m))),
        "zebra": _doubt(said["has_zebra"], labels.has_zebra) + _apart(5.0 * (said["zebra"] - scaled(labels.zebra_m))),
        "lead": _doubt(said["has_lead"], labels.has_lead)
        + _apart(5.0 * (said["lead_gap"] - scaled(labels.lead_gap_m)))
        + _apart((said["lead_mps"] - labels.lead_mps) / 2.0),
        "lane": _apart(lane) + 0.3 * _apart((said["limit_mps"] - labels.limit_mps) / 2.0),
    }


def _doubt(logit: Tensor, is_there: Tensor) -> Tensor:
    """Mean cross-entropy of logits (N,), in what is known."""
    known = torch.isfinite(is_there)
    return (binary_cross_entropy_with_logits(logit, torch.nan_to_num(is_there), reduction="none") * known).sum() / _count(known)


def _apart(difference: Tensor) -> Tensor:
    """Mean Huber loss of differences, in what is known of them."""
    known = torch.isfinite(difference)
    kept = torch.where(known, difference, torch.zeros_like(difference))
    return huber_loss(kept, torch.zeros_like(kept), delta=1.0, reduction="sum") / _count(known)


def _count(known: Tensor) -> Tensor:
    return known.sum().clamp(min=1)
