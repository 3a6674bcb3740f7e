"""Views: from what the encoder has found at every place of every camera to the few features that heads read.

`FlatView` weighs each place of the coarsest map by itself: right for a few minutes of one camera, where what counts is where
something is. `RoadView` asks for what it needs wherever it is (attention, Vaswani et al. 2017), which a light in four cameras
takes; when the road is known, `TrafficView` asks what to do about whoever is on it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from e2e_planner.recipe import Network
from perception.encoder import ConvNorm
from perception.ground_view import CELLS, GROUND_VALUES, ON_GROUND, hide_squares
from perception.points import ALONG_VALUES, GROUPS, POINTED_AT, along_lane
from perception.road_users import ROAD_USER_VALUES, SCORE
from perception.situation import LEAD, ROAD

REDUCED_CHANNELS = 32  # of the feature map, before its places are told apart
HEADS = 4
WAY = "way"
FAINTEST = 1e-6  # score below which all points are heard alike
SILENT = -1e4  # added to what attention weighs by: not heard at all
HIDDEN = 0.3  # of the places, another lot each time while learning
GROUND_CHANNELS, GROUND_REDUCED = (16, 32, 40), 8  # of each halving, and in the end


def flat_tokens(maps: Sequence[Tensor], ground: Tensor, points: Tensor) -> Tensor:
    """Feature maps (N, C, h, w) of the cameras, ground (N, groups, *CELLS) and points (N, K, V) → (N, places · C + GROUND_VALUES +
    K · V), camera after camera, row after row: what is seen as one vector, which can be kept."""
    places = torch.cat([features.flatten(2) for features in maps], 2).transpose(1, 2)
    return torch.cat([places.flatten(1), ground.flatten(1), points.flatten(1)], 1)


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


class GroundEncoder(nn.Module):
    """ground (N, groups, *CELLS), from above → features (N, width), zero before anything is learned. What is hidden while it learns
    is hidden in squares."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[ConvNorm] = []
        before, rows, columns = len(ON_GROUND), *CELLS
        for channels in GROUND_CHANNELS:
            layers += [ConvNorm(before, channels, 3, stride=2, cameras=1), ConvNorm(channels, channels, 3, cameras=1)]
            before, rows, columns = channels, -(-rows // 2), -(-columns // 2)
        self.look = nn.ModuleList(layers)
        self.reduce = nn.Conv2d(before, GROUND_REDUCED, 1)
        self.join = nn.Linear(GROUND_REDUCED * rows * columns, width)
        nn.init.zeros_(self.join.weight)
        nn.init.zeros_(self.join.bias)

    def forward(self, ground: Tensor) -> Tensor:
        """See the class."""
        if self.training:
            ground = hide_squares(ground)
        for layer in self.look:
            ground = torch.relu(layer(ground, 0))
        return self.join(torch.relu(self.reduce(ground)).flatten(1))


class RoadView(nn.Module):
    """seen (N, places · tokens + GROUND_VALUES + points · point_values) of `flat_tokens`, route (N, R) → features (N, width) of each
    question of ROAD, and of WAY: what a path may need of the places.

    None hears how the ego moves: a light that is red because the car stands has not been seen. Nothing of the features is dropped
    out: whoever decides by what is said would learn not to listen. But some places are hidden while it learns, or it would know the
    junctions of its drives by single ones.
    """

    groups: Tensor

    def __init__(self, sizes: Network, *, places: int, point_values: int, route: int) -> None:
        super().__init__()
        self.tokens, self.point_values, width = sizes.tokens, point_values, sizes.width
        self.split = [places * sizes.tokens, GROUND_VALUES, len(GROUPS) * point_values]
        self.register_buffer("groups", torch.tensor(GROUPS), persistent=False)
        self.see = nn.Linear(sizes.tokens, width)
        self.place = nn.Parameter(0.02 * torch.randn(places, width))
        self.point = nn.Sequential(nn.Linear(point_values, width), nn.ReLU(), nn.Linear(width, width))
        self.group = nn.Parameter(0.02 * torch.randn(len(POINTED_AT), width))
        self.ground = GroundEncoder(width)
        self.hear = nn.Sequential(nn.Linear(route, width), nn.ReLU(), nn.Linear(width, width))
        self.nothing = nn.Parameter(0.02 * torch.randn(1, 1, width))  # to look at where all else is hidden
        self.look = Decoder(sizes, (*ROAD, WAY), dropout=0.0)

    def ground_of(self, seen: Tensor) -> Tensor:
        """(N, groups, *CELLS), the ground from above in what is seen."""
        return seen.split(self.split, 1)[1].unflatten(1, (len(ON_GROUND), *CELLS))

    def forward(self, seen: Tensor, route: Tensor) -> dict[str, Tensor]:
        """See the class."""
        places, _, points = seen.split(self.split, 1)
        places, points = places.unflatten(1, (-1, self.tokens)), points.unflatten(1, (-1, self.point_values))
        nothing = self.nothing.expand(len(places), -1, -1)
        memory = torch.cat([self.see(places) + self.place, self.point(points) + self.group[self.groups], nothing], 1)
        there = torch.ones_like(places[..., 0])
        if self.training:  # places without any value are hidden because the vehicle was moved from where they were seen
            there = ((torch.rand_like(there) >= HIDDEN) & places.any(2)).to(there.dtype)
        scores = torch.cat([there, points[..., SCORE], torch.ones_like(there[:, :1])], 1)
        return self.look(memory, scores, self.hear(route) + self.ground(self.ground_of(seen)))


class TrafficView(nn.Module):
    """users and recalled, road users now and a moment ago (N, K, ROAD_USER_VALUES), the lane's middle (N, S, 2), m, told (N, told):
    ego, route, and what is said of the road; way (N, width) of RoadView → features (N, width) of 'path', 'speed' and LEAD.

    Whoever decides on the speed sees no places, by which the drives that it learns from could be told apart and learned by
    heart, and does not hear who does.
    """

    def __init__(self, sizes: Network, *, told: int) -> None:
        super().__init__()
        width, values = sizes.width, ROAD_USER_VALUES + ALONG_VALUES
        self.meet, self.recall, self.hear = (nn.Sequential(nn.Linear(n, width), nn.ReLU(), nn.Linear(width, width)) for n in (values, values, told))
        self.way = nn.Linear(width, width)
        self.look = Decoder(sizes, ("path", "speed", LEAD), dropout=sizes.dropout, unheard="path")

    def forward(self, users: Tensor, recalled: Tensor, lane_m: Tensor, told: Tensor, way: Tensor) -> dict[str, Tensor]:
        """See the class."""
        now, then = along_lane(torch.cat([users, recalled], 1), lane_m).split([users.shape[1], recalled.shape[1]], 1)
        memory = torch.cat([self.meet(now), self.recall(then)], 1)
        heard = self.hear(told)
        queries = torch.stack([heard + self.way(way), heard, heard], 1)
        return self.look(memory, torch.cat([users[..., SCORE], recalled[..., SCORE]], 1), queries)


class Decoder(nn.Module):
    """Some queries look at a memory (N, L, width), each of it as much as its score (N, L) in 0 to 1 says, told (N, width) for all,
    or (N, Q, width) for each of them → features (N, width) by name. unheard: the query that no other one hears."""

    hush: Tensor

    def __init__(self, sizes: Network, queries: Sequence[str], *, dropout: float, unheard: str = "") -> None:
        super().__init__()
        self.queries, width = tuple(queries), sizes.width
        is_hushed = [[heard == unheard and query != unheard for heard in queries] for query in queries]
        self.register_buffer("hush", torch.where(torch.tensor(is_hushed), SILENT, 0.0), persistent=False)  # (Q, Q)
        self.ask = nn.Parameter(0.5 * torch.randn(len(queries), width))
        self.tidy = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, dropout) for _ in range(sizes.layers))
        self.last = nn.LayerNorm(width)

    def forward(self, memory: Tensor, scores: Tensor, told: Tensor) -> dict[str, Tensor]:
        """See the class."""
        memory = self.tidy(memory)
        weight = scores.clamp(min=FAINTEST).log()[:, None, None]  # added to what attention weighs by: half as likely, half as heard
        queries = self.ask + (told[:, None] if told.ndim == 2 else told)
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
