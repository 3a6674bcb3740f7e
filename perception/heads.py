"""What is learned from labels: the class and depth of every place of a picture, and the road users in it.

A neck mixes the encoder's stages from coarse to fine (feature pyramid, Lin et al. 2017). Road users are found as points
(CenterNet, Zhou et al. 2019): a heat map for each kind, and beside it what is true of one whose middle is there
(`agent_boxes`), so that a picture may hold any number of them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

from mimic_contracts.labels import LABEL_STRIDE, SEMANTIC_CLASSES
from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import BOX_VALUES
from perception.encoder import ConvNorm

NECK_STAGES = 4  # of the encoder, strides 4 to 32
FINE_CHANNELS = 32
FIRST_LOG_DEPTH = 2.7  # 15 m
FIRST_HEAT = -4.0  # a place is a road user's middle in one of 50 cases, before anything is learned


class Neck(nn.Module):
    """Encoder stages of strides 4 to 32, and the pictures → tokens (N, channels, H/16, W/16) and fine (N, FINE_CHANNELS, H/4, W/4)."""

    def __init__(self, widths: Sequence[int], channels: int, cameras: int) -> None:
        super().__init__()
        quarter, eighth, sixteenth, last = widths
        self.coarse = nn.Conv2d(last, channels, 1)
        self.sides = nn.ModuleList([nn.Conv2d(sixteenth, channels, 1), nn.Conv2d(eighth, channels, 1), nn.Conv2d(quarter, FINE_CHANNELS, 1)])
        sizes = ((channels, channels), (channels, FINE_CHANNELS), (FINE_CHANNELS, FINE_CHANNELS))
        self.pixels = nn.Conv2d(3, FINE_CHANNELS, LABEL_STRIDE, LABEL_STRIDE)
        self.mixes = nn.ModuleList(ConvNorm(before, after, 3, cameras=cameras) for before, after in sizes)

    def tokens(self, pyramid: Sequence[Tensor], camera: int) -> Tensor:
        """What a planner looks at."""
        sixteenth, last = pyramid[-2:]
        return torch.relu(self.mixes[0](self.sides[0](sixteenth) + grown(self.coarse(last), sixteenth), camera))

    def fine(self, newest: Tensor, pyramid: Sequence[Tensor], tokens: Tensor, camera: int) -> Tensor:
        """What the heads for each place look at. The newest picture's own pixels (N, 3, H, W), `centred`, are among it: what colour
        a lamp has is lost on the way to what kind of thing it is."""
        quarter, eighth = pyramid[-4], pyramid[-3]
        mixed = torch.relu(self.mixes[1](self.sides[1](eighth) + grown(tokens, eighth), camera))
        pixels = conv2d(newest, self.pixels.weight / 64.0, self.pixels.bias, LABEL_STRIDE)
        return torch.relu(self.mixes[2](self.sides[2](quarter) + pixels + grown(mixed, quarter), camera))


def grown(features: Tensor, to: Tensor) -> Tensor:
    """Features at the height and width of others."""
    return interpolate(features, size=to.shape[-2:], mode="nearest")


class PictureHeads(nn.Module):
    """Fine features of one camera → semantic (N, classes, h, w) logits, log_depth (N, 1, h, w) of metres, heat (N, kinds,
    h, w) logits of road users' middles, boxes (N, BOX_VALUES, h, w)."""

    def __init__(self, cameras: int) -> None:
        super().__init__()
        self.places = nn.Conv2d(FINE_CHANNELS, len(SEMANTIC_CLASSES) + 1, 1)
        self.look = ConvNorm(FINE_CHANNELS, FINE_CHANNELS, 3, cameras=cameras)
        self.agents = nn.Conv2d(FINE_CHANNELS, len(AGENT_KINDS) + BOX_VALUES, 1)
        with torch.no_grad():
            assert self.agents.bias is not None and self.places.bias is not None
            self.places.bias[-1] = FIRST_LOG_DEPTH
            self.agents.bias[: len(AGENT_KINDS)] = FIRST_HEAT

    def forward(self, fine: Tensor, camera: int) -> dict[str, Tensor]:
        """See the class."""
        places, agents = self.places(fine), self.agents(torch.relu(self.look(fine, camera)))
        return {
            "semantic": places[:, :-1],
            "log_depth": places[:, -1:],
            "heat": agents[:, : len(AGENT_KINDS)],
            "boxes": agents[:, len(AGENT_KINDS) :],
        }
