"""Views: from what the encoder has found at every place of every camera to the few features that heads read.

`FlatView` weighs each place of the coarsest map by itself: right for a few minutes of one camera, where what counts is where
something is. `TokenView` asks for what it needs wherever it is (attention, Vaswani et al. 2017), which a light or a car in
four cameras takes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from e2e_planner.recipe import Network
from perception.points import GROUPS, POINTED_AT, SCORE

REDUCED_CHANNELS = 32  # of the feature map, before its places are told apart
HEADS = 4
FAINTEST = 1e-6  # score below which all points are heard alike
SILENT = -1e4  # added to what attention weighs by: not heard at all


def flat_tokens(maps: Sequence[Tensor], points: Tensor) -> Tensor:
    """Feature maps (N, C, h, w) of the cameras and points (N, K, V) → (N, places · C + K · V), camera after camera, row after row:
    what is seen as one vector, which can be kept."""
    places = torch.cat([features.flatten(2) for features in maps], 2).transpose(1, 2)
    return torch.cat([places.flatten(1), points.flatten(1)], 1)


class FlatView(nn.Module):
    """seen (N, places, channels_in) or None, told (N, told) → the same features (N, width) for path and speed."""

    def __init__(self, sizes: Network, *, channels_in: int, places: int, told: int) -> None:
        super().__init__()
        # As many features of what it is told as of what it sees: a speed among 128 picture features is not heard.
        self.hear = nn.Linear(told, sizes.width)
        inputs = sizes.width
        if places:
            self.reduce = nn.Linear(channels_in, REDUCED_CHANNELS)
            self.see = nn.Linear(REDUCED_CHANNELS * places, sizes.width)
            inputs += sizes.width
        layers: list[nn.Module] = []
        for _ in range(sizes.layers):
            layers += [nn.Linear(inputs, sizes.width), nn.ReLU(), nn.Dropout(sizes.dropout)]
            inputs = sizes.width
        self.trunk = nn.Sequential(*layers)

    def forward(self, seen: Tensor | None, told: Tensor) -> dict[str, Tensor]:
        """See the class."""
        features = [torch.relu(self.hear(told))]
        if seen is not None:
            features.append(torch.relu(self.see(torch.relu(self.reduce(seen)).flatten(1))))
        trunk = self.trunk(torch.cat(features, 1))
        return {"path": trunk, "speed": trunk}


class TokenView(nn.Module):
    """seen (N, places · tokens + points · point_values) of `flat_tokens`, told (N, told) → features (N, width) of each query.

    Only `movers` hear the first `ego` of what is told, and nobody else hears them: a light that is red because the car
    stands has not been seen.
    """

    groups: Tensor
    moves: Tensor
    hush: Tensor

    def __init__(self, sizes: Network, queries: Sequence[str], *, movers: Sequence[str], places: int, point_values: int, told: int, ego: int) -> None:
        super().__init__()
        self.queries, self.tokens, self.point_values, width = tuple(queries), sizes.tokens, point_values, sizes.width
        self.ego, moves = ego, torch.tensor([query in movers for query in queries])
        self.register_buffer("moves", moves[:, None], persistent=False)
        self.register_buffer("hush", torch.where(moves[None] & ~moves[:, None], SILENT, 0.0), persistent=False)  # (Q, Q)
        self.split = [places * sizes.tokens, len(GROUPS) * point_values]
        self.register_buffer("groups", torch.tensor(GROUPS), persistent=False)
        self.see = nn.Linear(sizes.tokens, width)
        self.place = nn.Parameter(0.02 * torch.randn(places, width))
        self.point = nn.Sequential(nn.Linear(point_values, width), nn.ReLU(), nn.Linear(width, width))
        self.group = nn.Parameter(0.02 * torch.randn(len(POINTED_AT), width))
        self.hear = nn.Sequential(nn.Linear(told, width), nn.ReLU(), nn.Linear(width, width))
        self.ask = nn.Parameter(0.5 * torch.randn(len(queries), width))
        self.tidy = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, sizes.dropout) for _ in range(sizes.layers))
        self.last = nn.LayerNorm(width)

    def forward(self, seen: Tensor | None, told: Tensor) -> dict[str, Tensor]:
        """See the class."""
        assert seen is not None
        places, points = seen.split(self.split, 1)
        places, points = places.unflatten(1, (-1, self.tokens)), points.unflatten(1, (-1, self.point_values))
        memory = self.tidy(torch.cat([self.see(places) + self.place, self.point(points) + self.group[self.groups]], 1))
        scores = torch.cat([torch.ones_like(places[..., 0]), points[..., SCORE]], 1)
        weight = scores.clamp(min=FAINTEST).log()[:, None, None]  # added to what attention weighs by: half as likely, half as heard
        quiet = torch.cat([torch.zeros_like(told[:, : self.ego]), told[:, self.ego :]], 1)
        queries = self.ask + torch.where(self.moves, self.hear(told)[:, None], self.hear(quiet)[:, None])
        for layer in self.layers:
            queries = layer(queries, memory, weight, self.hush)
        return dict(zip(self.queries, self.last(queries).unbind(1), strict=True))


class Layer(nn.Module):
    """Queries (N, Q, width) look at a memory (N, L, width), then at each other, then think (pre-norm)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.look, self.talk = Attention(width), Attention(width)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width))

    def forward(self, queries: Tensor, memory: Tensor, weight: Tensor, hush: Tensor) -> Tensor:
        """The queries, changed; weight (N, 1, 1, L): log of how much each of the memory is there; hush (Q, Q): SILENT where the one
        must not hear the other."""
        queries = queries + self.look(self.norms[0](queries), memory, weight)
        own = self.norms[1](queries)
        queries = queries + self.talk(own, own, hush)
        return queries + self.think(self.norms[2](queries))


class Attention(nn.Module):
    """Scaled dot-product attention with HEADS heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key_value, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor, weight: Tensor) -> Tensor:
        """(N, Q, width) and (N, L, width) → (N, Q, width)."""
        q, (k, v) = self._split(self.query(queries)), (self._split(part) for part in self.key_value(memory).chunk(2, -1))
        alike = (q @ k.transpose(2, 3)).float() / math.sqrt(q.shape[-1])
        return self.out(((alike + weight).softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2))

    @staticmethod
    def _split(x: Tensor) -> Tensor:
        """(N, L, width) → (N, HEADS, L, width / HEADS)."""
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
