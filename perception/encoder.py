"""The picture encoder: a small residual network, shared by all cameras of a rig."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, batch_norm, pad

CORRELATION_ROWS = 1  # searched above and below: between two pictures a car's camera turns and rolls little


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """widths: channels of each stage, each halving the picture; blocks: residual blocks a stage;
    pictures: how many pictures (times) come stacked in channels, the newest first; correlation_cells: how far to either
    side, in pixels of the second stage, the newest is compared with the one before it; 0: they are only stacked; motion_alone:
    from the second stage on it sees what moved and not what is there; cameras: how many cameras share it."""

    widths: tuple[int, ...] = (16, 24, 48, 96, 128)
    blocks: int = 1
    pictures: int = 2
    correlation_cells: int = 0
    motion_alone: bool = False
    cameras: int = 1

    def __post_init__(self) -> None:
        if self.motion_alone and not self.correlation_cells:
            raise ValueError("motion_alone: is true, but correlation_cells is 0; set false, or give cells")
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


class CameraNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) with one scale and shift for all cameras and statistics for each (Chang et
    al. 2019): a telephoto shows other things than a side camera, and the mean of both is right for neither."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, cameras: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(cameras, channels))
        self.register_buffer("variance", torch.ones(cameras, channels))
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, camera: int) -> Tensor:
        """(N, channels, H, W) of a camera → the same shape."""
        is_learning = self.training and self.scale.requires_grad  # one that is to stay as it is keeps its statistics, too
        return batch_norm(x, self.mean[camera], self.variance[camera], self.scale, self.shift, training=is_learning)


class ConvNorm(nn.Module):
    """A convolution without bias that keeps height and width, or divides them by the stride, and a CameraNorm."""

    def __init__(self, channels_in: int, channels_out: int, size: int, *, stride: int = 1, cameras: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False)
        self.norm = CameraNorm(channels_out, cameras)

    def forward(self, x: Tensor, camera: int) -> Tensor:
        """(N, C_in, H, W) → (N, C_out, H/stride, W/stride)."""
        return self.norm(self.conv(x), camera)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, basic block)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, cameras: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels_in, channels_out, 3, stride=stride, cameras=cameras)
        self.second = ConvNorm(channels_out, channels_out, 3, cameras=cameras)
        is_same = stride == 1 and channels_in == channels_out
        self.shortcut = None if is_same else ConvNorm(channels_in, channels_out, 1, stride=stride, cameras=cameras)

    def forward(self, x: Tensor, camera: int) -> Tensor:
        """(N, C_in, H, W) → (N, C_out, H/stride, W/stride)."""
        body = self.second(torch.relu(self.first(x, camera)), camera)
        return torch.relu(body + (x if self.shortcut is None else self.shortcut(x, camera)))


class Stage(nn.Module):
    """Blocks, of which the first halves height and width."""

    def __init__(self, channels_in: int, channels_out: int, count: int, cameras: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels_out if i else channels_in, channels_out, 1 if i else 2, cameras) for i in range(count))

    def forward(self, x: Tensor, camera: int) -> Tensor:
        """(N, C_in, H, W) → (N, C_out, H/2, W/2)."""
        for block in self.blocks:
            x = block(x, camera)
        return x


class Correlation(nn.Module):
    """Where each part of the newest picture was in the one before: what moves, and how far.

    The correlation layer of FlowNetC (Dosovitskiy et al. 2015), here of cosines, mostly sideways, and of what the stem sees.
    """

    def __init__(self, channels: int, cells: int, cameras: int) -> None:
        super().__init__()
        self.cells = cells
        self.join = nn.Linear((2 * CORRELATION_ROWS + 1) * (2 * cells + 1), channels, bias=False)
        self.norm = CameraNorm(channels, cameras)

    def forward(self, now: Tensor, before: Tensor, camera: int) -> Tensor:
        """The stem's (N, C, H, W) twice → (N, channels, H/2, W/2)."""
        here, there = (unit_vectors(avg_pool2d(x, 2), dim=1) for x in (now, before))
        return torch.relu(self.norm(self.join(self.compare(here, there)).permute(0, 3, 1, 2).contiguous(), camera))

    def compare(self, now: Tensor, before: Tensor) -> Tensor:
        """Unit descriptors (N, D, H, W) twice → (N, H, W, places): cosine of each with the earlier ones around it, from the
        upper left to the lower right; zero beyond the edge."""
        height, width = now.shape[2:]
        sideways = 2 * self.cells
        lines = pad(now, (0, sideways + 1)).permute(0, 2, 3, 1).contiguous()  # (N, H, W + sideways + 1, D)
        before = pad(before, (self.cells, self.cells, CORRELATION_ROWS, CORRELATION_ROWS)).transpose(1, 2).contiguous()
        # Cosines of a row's places with all W + sideways places of the earlier row. Read with one more a line, each line begins one
        # further on: at the first of those around it. The lines beyond the row's end are there for the numbers to come out even.
        rows = [(lines @ before[:, v : v + height]).reshape(-1, height, width + sideways, width + sideways + 1) for v in range(2 * CORRELATION_ROWS + 1)]
        return torch.cat([row[..., : sideways + 1] for row in rows], -1)[:, :, :width]


def centred(pictures: Tensor) -> Tensor:
    """Pictures about zero; how large they are is the stem's normalisation's business."""
    return pictures - 128.0


def unit_vectors(x: Tensor, *, dim: int) -> Tensor:
    """x over its length along dim; as torch's normalize, which spreads the lengths over memory before it divides."""
    return x / x.norm(dim=dim, keepdim=True).clamp(min=1e-12)


class Encoder(nn.Module):
    """Pictures (N, 3 · pictures, H, W), uint8 or float 0–255 → features (N, channels_out, H/stride, W/stride), and those of
    the stages before, for heads that need finer ones (`pyramid`)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        cameras = config.cameras
        self.stem = ConvNorm(3 if config.correlation_cells else 3 * config.pictures, config.widths[0], 5, stride=2, cameras=cameras)
        stages = [Stage(before, width, config.blocks, cameras) for before, width in pairwise(config.widths)]
        self._motion_alone = config.motion_alone
        self.stages = nn.ModuleList(stages[1:] if config.motion_alone else stages)
        self.correlation = Correlation(config.widths[1], config.correlation_cells, cameras) if config.correlation_cells else None

    def forward(self, pictures: Tensor, camera: int = 0) -> Tensor:
        """See the class; camera: which of those that share it took the pictures."""
        return self.pyramid(centred(pictures), camera)[-1]

    def pyramid(self, pixels: Tensor, camera: int = 0) -> tuple[Tensor, ...]:
        """Pictures, `centred` → the features of every stage from the second on: (N, widths[i], H/2^(i+1), W/2^(i+1)), the finest first."""
        if self.correlation is None:
            last = torch.relu(self.stem(pixels, camera))
            moved = None
        else:
            now, before = self.stem(pixels[:, :3], camera), self.stem(pixels[:, 3:], camera)
            last = torch.relu(now)
            # What the stem looks for is learned from what it sees now, which takes half the time, where it is not for motion alone.
            moved = self.correlation(now, before, camera) if self._motion_alone else self.correlation(now.detach(), before.detach(), camera)
        features = [moved] if moved is not None and self._motion_alone else []
        for stage in self.stages:
            last = stage(features[-1] if features else last, camera)
            features.append(last if features or moved is None else last + moved)
        return tuple(features) if features else (last,)
