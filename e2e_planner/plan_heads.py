"""Heads: what the network's features mean for an embodiment, and which plans it offers at run time."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from e2e_planner.along_path import AlongPath
from e2e_planner.recipe import EGO_SCALES, Network
from mimic_contracts.action_spec import CAR, ActionSpec

STATIONS_M = (0.0, 2.0, 4.0, 7.0, 10.0, 14.0, 19.0, 25.0, 32.0, 40.0, 50.0, 62.0, 76.0)  # where a path's curvature is given
CURVATURE_SCALE_1PM = 0.02
SPEED_SCALE_MPS = 3.0
SIDE_SCALE_M = 0.5
LOOKED_ALONG = 4  # of the paths, the likeliest ones: nine tenths of the probability, on average


def sideways(y_m: Tensor) -> Tensor:
    """Where paths lead to on the scale on which they are other decisions: to pass somebody on the left is as far from passing
    on the right as one turn from another."""
    return torch.asinh(y_m / SIDE_SCALE_M)


def curvature_at(curvature: Tensor, arc_m: Tensor) -> Tensor:
    """Linear interpolation of (..., J) at STATIONS_M, at arc lengths (..., T): (..., T), held beyond the last station."""
    s = arc_m.clamp(max=STATIONS_M[-1])[..., None]
    stations = torch.tensor(STATIONS_M, device=arc_m.device)
    left = torch.cat([stations[:1] - 1.0, stations[:-1]])
    right = torch.cat([stations[1:], stations[-1:] + 1.0])
    weights = torch.minimum((s - left) / (stations - left), (right - s) / (right - stations)).clamp(min=0.0)
    return (weights * curvature[..., None, :]).sum(-1)


def bicycle(curvature: Tensor, arc_m: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A bicycle along curvature (..., J) at STATIONS_M: x, y, yaw and curvature, each (..., T), at arc lengths (..., T). The dimensions
    before the last may spread over each other."""
    kappa = curvature_at(curvature, arc_m)
    step = arc_m[..., 1:] - arc_m[..., :-1]
    turn = (kappa[..., 1:] + kappa[..., :-1]) / 2.0 * step
    zero = torch.zeros_like(kappa[..., :1])
    yaw = torch.cat([zero, turn.cumsum(-1)], -1)
    middle = yaw[..., :-1] + turn / 2.0
    x = torch.cat([zero, (step * middle.cos()).cumsum(-1)], -1)
    y = torch.cat([zero, (step * middle.sin()).cumsum(-1)], -1)
    return x, y, yaw, kappa


class PathSpeedHead(nn.Module):
    """Action spec `car`: some paths (curvature over arc length) times some speed profiles (change of speed over time).

    A profile begins at the speed that the vehicle has: the ego's where it is told, else what the pictures tell.
    Each is an anchor, found in the training data, plus a residual; a path and a profile together give a plan by the
    bicycle. sees_ground: the likeliest paths are corrected by what lies along them. Offered: plans (N, P·S, T, C) and their
    logits (N, P·S).
    """

    path_anchors: Tensor
    speed_anchors: Tensor
    times_s: Tensor

    def __init__(self, width: int, *, path_anchors: Tensor, speed_anchors: Tensor, residuals: bool = True, sees_ground: bool = False) -> None:
        super().__init__()
        self._residual = float(residuals)  # without, an anchor is a plan as it is
        self.register_buffer("path_anchors", path_anchors)  # (P, J) 1/m at STATIONS_M
        self.register_buffer("speed_anchors", speed_anchors)  # (S, T) m/s more than now, at the spec's times
        self.register_buffer("times_s", torch.tensor(CAR.times_s, dtype=torch.float32))
        self.path = nn.Linear(width, path_anchors.numel() + len(path_anchors))
        self.speed = nn.Linear(width, speed_anchors.numel() + len(speed_anchors))
        self.seen_speed = nn.Linear(width, 1)
        self.along = AlongPath(width, stations=len(STATIONS_M)) if sees_ground and residuals else None

    def forward(self, where: Tensor, how_fast: Tensor, ego_speed: Tensor, is_known: Tensor, ground: Tensor | None = None) -> dict[str, Tensor]:
        """where, how_fast: features (N, width) for the path and for the speed; ego_speed (N, 1) m/s and whether it is known
        (N, 1), 0 or 1; ground (N, groups, *CELLS), for a head that sees it → curvature (N, P, J) 1/m, path_logits (N, P), speed
        (N, S, T) m/s, speed_logits (N, S)."""
        path, path_logits = self._split(self.path(where), self.path_anchors)
        curvature = self.path_anchors + self._residual * CURVATURE_SCALE_1PM * path
        if self.along is not None and ground is not None:
            curvature, path_logits = self._corrected(self.along, ground, curvature, path_logits, where)
        change, speed_logits = self._split(self.speed(how_fast), self.speed_anchors)
        seen = EGO_SCALES["speed_mps"] * softplus(self.seen_speed(how_fast))
        now = is_known * ego_speed + (1.0 - is_known) * seen
        later = (self.times_s > 0.0).to(change.dtype)
        return {
            "curvature": curvature,
            "path_logits": path_logits,
            "speed": torch.relu(now[:, :, None] + self.speed_anchors + self._residual * SPEED_SCALE_MPS * later * change),
            "speed_logits": speed_logits,
        }

    @staticmethod
    def _corrected(along: AlongPath, ground: Tensor, curvature: Tensor, logits: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """Curvature (N, P, J) and logits (N, P) of the paths, the likeliest of them corrected by what lies along them."""
        likeliest = logits.topk(min(LOOKED_ALONG, logits.shape[1]), dim=1).indices
        spread = likeliest[..., None].expand(-1, -1, curvature.shape[2])
        looked_along = curvature.detach().gather(1, spread)
        x, y, yaw, _ = bicycle(looked_along, along.arc_m)
        more, likelier = along(ground, torch.stack([x, y, yaw], -1), looked_along / CURVATURE_SCALE_1PM, where)
        more = CURVATURE_SCALE_1PM * more.to(curvature.dtype)  # of what is computed in bfloat16
        return curvature.scatter_add(1, spread, more), logits.scatter_add(1, likeliest, likelier.to(logits.dtype))

    @staticmethod
    def _split(flat: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        count = anchors.numel()
        return flat[:, :count].reshape(-1, *anchors.shape), flat[:, count:]

    def arc_of(self, speed: Tensor) -> Tensor:
        """Arc length (..., T) of a speed profile (..., T), trapezoidal."""
        step = (speed[..., 1:] + speed[..., :-1]) / 2.0 * (self.times_s[1:] - self.times_s[:-1])
        return torch.cat([torch.zeros_like(speed[..., :1]), step.cumsum(-1)], -1)

    def acceleration_of(self, speed: Tensor) -> Tensor:
        """(..., T): slope of a speed profile, one-sided at the ends."""
        dt = self.times_s[1] - self.times_s[0]
        inner = (speed[..., 2:] - speed[..., :-2]) / (2.0 * dt)
        return torch.cat([(speed[..., 1:2] - speed[..., :1]) / dt, inner, (speed[..., -1:] - speed[..., -2:-1]) / dt], -1)

    def plans(self, outputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """All pairs of path and profile: plans (N, P·S, T, C) in the spec's channels, logits (N, P·S)."""
        speed = outputs["speed"][:, None]
        x, y, yaw, kappa = bicycle(outputs["curvature"][:, :, None], self.arc_of(speed))
        plans = torch.stack([x, y, yaw, speed.expand_as(x), self.acceleration_of(speed).expand_as(x), kappa], -1).flatten(1, 2)
        logits = outputs["path_logits"].log_softmax(-1)[:, :, None] + outputs["speed_logits"].log_softmax(-1)[:, None]
        return plans, logits.flatten(1)


class SteeringHead(nn.Module):
    """Action spec `steering_only`: the steering wheel angle itself, continuous; one plan with logit 0."""

    mean_rad: Tensor
    scale_rad: Tensor

    def __init__(self, width: int, *, mean_rad: float, scale_rad: float) -> None:
        super().__init__()
        self.register_buffer("mean_rad", torch.tensor(mean_rad))
        self.register_buffer("scale_rad", torch.tensor(scale_rad))
        self.angle = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(N, width) → angle (N, 1) rad."""
        return {"angle": self.mean_rad + self.scale_rad * self.angle(features)}

    def plans(self, outputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Plans (N, 1, 1, 1), logits (N, 1)."""
        return outputs["angle"][:, :, None, None], torch.zeros_like(outputs["angle"])


Head = PathSpeedHead | SteeringHead


def make_head(spec: ActionSpec, sizes: Network, anchors: Mapping[str, Tensor], *, has_eyes: bool = True) -> Head:
    """The head of an action spec from what was found in the training data (e2e_planner.modes), for a network or its twin without eyes."""
    if spec is CAR:
        kept = {"path_anchors": anchors["path_anchors"], "speed_anchors": anchors["speed_anchors"]}
        return PathSpeedHead(sizes.width, **kept, residuals=sizes.residuals, sees_ground=has_eyes and sizes.tokens > 0)
    return SteeringHead(sizes.width, mean_rad=float(anchors["mean_rad"]), scale_rad=float(anchors["scale_rad"]))
