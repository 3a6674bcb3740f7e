"""A path, corrected by what lies along it.

The few features by which a planner decides where to go cannot hold where each kerb is. So the ground seen from above is unrolled along each
path that is offered, as if it were straight: how far beside the middle of its lane a path lies is then the same picture in a bend as on a
straight street, and what is learned in one street holds in all others. Sampling where one predicts, to correct what one predicts,
is how deformable convolutions (Dai et al. 2017) and lane detectors look (Tabelini et al. 2021, line pooling along anchors).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from perception.ground_view import AHEAD_M, ASIDE_M, ON_GROUND, hide_squares

ALONG_M, EVERY_M = 34.0, 1.0  # how far along a path is looked, and at places how far apart
BESIDE_M, BESIDE_EVERY_M = 4.0, 0.5  # to either side
CHANNELS, WIDTH = 16, 48
STRETCH = 2  # places along a path that become one


class AlongPath(nn.Module):
    """ground (N, groups, *CELLS), places (N, P, len(arc_m), 3) [x_m, y_m, yaw_rad] along P paths, their curvature (N, P, J) on the scale of the
    head, where (N, width): what decides on the path → what to add to that curvature (N, P, J), and to the paths' logits (N, P). Nothing, before
    anything is learned. While it learns, some of the ground is hidden in squares."""

    arc_m: Tensor
    beside_m: Tensor

    def __init__(self, width: int, *, stations: int) -> None:
        super().__init__()
        self.register_buffer("arc_m", torch.arange(0.0, ALONG_M + EVERY_M, EVERY_M), persistent=False)
        self.register_buffer("beside_m", torch.arange(-BESIDE_M, BESIDE_M + BESIDE_EVERY_M / 2.0, BESIDE_EVERY_M), persistent=False)
        rows = -(-len(self.arc_m) // STRETCH)
        self.first = nn.Conv2d(len(ON_GROUND), CHANNELS, 3, stride=(STRETCH, 1), padding=1)
        self.second = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.third = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=(2, 1), dilation=(2, 1))
        self.across = nn.Linear(CHANNELS * len(self.beside_m), WIDTH)
        self.told, self.shape, self.row = nn.Linear(width, WIDTH), nn.Linear(stations, WIDTH), nn.Parameter(0.02 * torch.randn(rows, WIDTH))
        self.near, self.far = nn.Conv1d(WIDTH, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, WIDTH, 3, padding=3, dilation=3)
        self.correct = nn.Linear(WIDTH * rows, stations + 1)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(self, ground: Tensor, places: Tensor, curvature: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        paths = places.shape[1]
        seen = self._unrolled(hide_squares(ground) if self.training else ground, places).flatten(0, 1)
        for look in (self.first, self.second, self.third):
            seen = torch.relu(look(seen))
        rows = self.across(seen.permute(0, 2, 1, 3).flatten(2)) + self.row
        told = (self.told(where)[:, None] + self.shape(curvature)).flatten(0, 1)
        along = torch.relu(rows + told[:, None]).transpose(1, 2)
        for spread in (self.near, self.far):
            along = along + torch.relu(spread(along))
        corrections = self.correct(along.flatten(1)).unflatten(0, (-1, paths))
        return corrections[..., :-1], corrections[..., -1]

    def _unrolled(self, ground: Tensor, places: Tensor) -> Tensor:
        """(N, P, groups, len(arc_m), len(beside_m)) what lies along paths and beside them; 0 where nothing is known."""
        x, y, yaw = (values[..., None] for values in places.unbind(-1))
        ahead, aside = x - self.beside_m * yaw.sin(), y + self.beside_m * yaw.cos()  # (N, P, arc, beside)
        row, column = (2.0 * (at_m - low) / (high - low) - 1.0 for at_m, (low, high) in ((ahead, AHEAD_M), (aside, ASIDE_M)))
        found = grid_sample(ground, torch.stack([column, row], -1).flatten(1, 2), align_corners=False)  # (N, groups, P · arc, beside)
        return found.unflatten(2, places.shape[1:3]).transpose(1, 2)
