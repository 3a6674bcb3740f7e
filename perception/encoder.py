"""The picture encoder: a small residual network, shared by all cameras of a rig."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """widths: channels of each stage, each halving the picture; blocks: residual blocks a stage;
    pictures: how many pictures (times) are stacked in channels."""

    widths: tuple[int, ...] = (16, 24, 48, 96, 128)
    blocks: int = 1
    pictures: int = 2

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


class Encoder(nn.Module):
    """Pictures (N, 3 · pictures, H, W), uint8 or float 0–255 → features (N, channels_out, H/stride, W/stride)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        stem, *widths = config.widths
        layers: list[nn.Module] = [
            nn.Conv2d(3 * config.pictures, stem, 5, 2, 2, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        ]
        before = stem
        for width in widths:
            layers.append(Block(before, width, 2))
            layers.extend(Block(width, width, 1) for _ in range(config.blocks - 1))
            before = width
        self.layers = nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        return self.layers((pictures - 128.0) / 64.0)
