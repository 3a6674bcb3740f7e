"""The picture encoder: a small residual network, shared by all cameras of a rig."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

DESCRIPTOR_CHANNELS = 16  # of what is compared between two pictures
CORRELATION_ROWS = 1  # searched above and below: between two pictures a car's camera turns and rolls little


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """widths: channels of each stage, each halving the picture; blocks: residual blocks a stage;
    pictures: how many pictures (times) come stacked in channels, the newest first; correlation_cells: how far to either
    side, in pixels of the second stage, the newest is compared with the one before it; 0: they are only stacked."""

    widths: tuple[int, ...] = (16, 24, 48, 96, 128)
    blocks: int = 1
    pictures: int = 2
    correlation_cells: int = 0

    def __post_init__(self) -> None:
        if self.correlation_cells and (self.pictures != 2 or len(self.widths) < 2):
            raise ValueError(f"correlation_cells: compares 2 pictures after stage 2, not {self.pictures} in {len(self.widths)} stages; set 0")

    @property
    def channels_out(self) -> int:
        """Channels of the feature map."""
        return self.widths[-1]

    @property
    def stride(self) -> int:
        """How many pixels of the picture one pixel of the feature map stands for, along each axis."""
        return int(2 ** len(self.widths))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, basic block)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        is_same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if is_same else nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) → (N, C_out, H/stride, W/stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


class Correlation(nn.Module):
    """What the newest picture shows, and where each of it was in the one before: what moved, and how far.

    The correlation layer of FlowNetC (Dosovitskiy et al. 2015), here of cosines, and mostly sideways. Only the
    descriptors that are compared are passed on, or what a few minutes of driving look like is learned by heart.
    """

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.cells = cells
        self.describe = nn.Conv2d(channels, DESCRIPTOR_CHANNELS, 1, bias=False)
        places = (2 * CORRELATION_ROWS + 1) * (2 * cells + 1)
        self.join = nn.Sequential(nn.Conv2d(DESCRIPTOR_CHANNELS + places, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))

    def forward(self, now: Tensor, before: Tensor) -> Tensor:
        """(N, C, H, W) twice → (N, C, H, W)."""
        here, there = self.describe(now), self.describe(before)
        return self.join(torch.cat([torch.relu(here), self.compare(here, there).to(here.dtype)], 1))

    def compare(self, now: Tensor, before: Tensor) -> Tensor:
        """Descriptors (N, D, H, W) twice → (N, places, H, W): cosine of each with the earlier ones around it, from the
        upper left to the lower right; zero beyond the edge."""
        height, width = now.shape[2:]
        here = normalize(now.float(), dim=1)
        there = pad(normalize(before.float(), dim=1), (self.cells, self.cells, CORRELATION_ROWS, CORRELATION_ROWS))
        rows, columns = range(2 * CORRELATION_ROWS + 1), range(2 * self.cells + 1)
        return torch.stack([(here * there[:, :, v : v + height, u : u + width]).sum(1) for v in rows for u in columns], 1)


class Encoder(nn.Module):
    """Pictures (N, 3 · pictures, H, W), uint8 or float 0–255 → features (N, channels_out, H/stride, W/stride), and those of
    the stages before, for heads that need finer ones (`pyramid`)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        stem, *widths = config.widths
        stages: list[nn.Module] = [
            nn.Sequential(
                nn.Conv2d(3 if config.correlation_cells else 3 * config.pictures, stem, 5, 2, 2, bias=False),
                nn.BatchNorm2d(stem),
                nn.ReLU(inplace=True),
            )
        ]
        before = stem
        for width in widths:
            stages.append(nn.Sequential(Block(before, width, 2), *(Block(width, width, 1) for _ in range(config.blocks - 1))))
            before = width
        self.early, self.late = nn.Sequential(*stages[:2]), nn.Sequential(*stages[2:])
        self.correlation = Correlation(config.widths[1], config.correlation_cells) if config.correlation_cells else None

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        return self.pyramid(pictures)[-1]

    def pyramid(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """The features of every stage from the second on: (N, widths[i], H/2^(i+1), W/2^(i+1)), the finest first."""
        scaled = (pictures - 128.0) / 64.0
        if self.correlation is None:
            features = [self.early(scaled)]
        else:
            now, before = self.early(torch.cat(scaled.split(3, dim=1))).chunk(2)
            features = [self.correlation(now, before)]
        for stage in self.late:
            features.append(stage(features[-1]))
        return tuple(features)
