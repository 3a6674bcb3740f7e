"""What lies on the ground around the vehicle, seen from above.

What the picture heads say of each place is laid onto flat ground by inverse perspective mapping (Mallot et al. 1991), so that a lane
is as wide, and a turn as sharp, wherever the cameras see it: where a path leads need not be learned for every place of every
camera. What stands up is drawn away from the camera; it is a class of its own.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mimic_contracts.image_geometry import NEAREST_M, optical_from_vehicle, project_points
from mimic_contracts.labels import CLASS_INDEX, LABEL_STRIDE
from mimic_contracts.rig import CameraSpec, Rig

CELL_M = 0.5
AHEAD_M, ASIDE_M = (1.0, 37.0), (-14.0, 14.0)  # x and y of the vehicle frame, from edge to edge
CELLS = tuple(round((high - low) / CELL_M) for low, high in (AHEAD_M, ASIDE_M))
ON_GROUND = {  # what a cell is told of, as classes together
    "road": ("road",),
    "lane_marking": ("lane_marking",),
    "sidewalk": ("sidewalk",),
    "terrain": ("terrain",),
    "vehicle": ("car", "van", "truck", "bus"),
    "raised": ("building", "vegetation", "pole", "sign", "traffic_light", "bicycle", "pedestrian"),
}
GROUND_VALUES = len(ON_GROUND) * CELLS[0] * CELLS[1]
HIDDEN, HIDDEN_CELLS = 0.3, 4  # share of the ground that is hidden while somebody learns from it, and along each side of its squares
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # of the places around a point, row and column


def cell_middles_m() -> NDArray[np.float64]:
    """(CELLS, 2) [x_m, y_m] of the vehicle frame."""
    axes = [low + CELL_M * (np.arange(count) + 0.5) for (low, _), count in zip((AHEAD_M, ASIDE_M), CELLS, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def moved_ground(ground: NDArray[np.float32], pose: NDArray[np.float64]) -> NDArray[np.float32]:
    """What GroundView says (groups, *CELLS), as it would be from a pose (3,) [x_m, y_m, yaw_rad] in the vehicle frame; 0 where nothing is known."""
    (x_m, y_m, yaw), (low_x, low_y) = pose, cell_middles_m()[0, 0]
    cos, sin = np.cos(yaw), np.sin(yaw)
    first = np.array([sin * low_x + cos * low_y + y_m - low_y, cos * low_x - sin * low_y + x_m - low_x]) / CELL_M  # column and row of the new first cell
    matrix = np.column_stack([[cos, -sin], [sin, cos], first])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(of_group, matrix, CELLS[::-1], flags=flags) for of_group in ground])


def hide_squares(ground: Tensor) -> Tensor:
    """The ground (N, groups, *CELLS), of which squares are hidden by lot."""
    squares = torch.rand(len(ground), 1, *(-(-count // HIDDEN_CELLS) for count in CELLS), device=ground.device) >= HIDDEN
    return ground * interpolate(squares.to(ground.dtype), scale_factor=HIDDEN_CELLS)[:, :, : CELLS[0], : CELLS[1]]


class GroundView(nn.Module):
    """The classes (N, classes, h, w) of a rig's cameras → (N, len(ON_GROUND), *CELLS) shares in 0 to 1 of what each cell shows, by the
    camera that shows it largest; 0 where none does."""

    place: Tensor
    weight: Tensor
    sums: Tensor

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        middles = cell_middles_m().reshape(-1, 2)
        place, weight, best, first = np.zeros((len(middles), 4), np.int64), np.zeros((len(middles), 4)), np.zeros(len(middles)), 0
        for camera in rig.cameras:
            size = _pixels_per_m(camera, middles)
            height, width = camera.height_px // LABEL_STRIDE, camera.width_px // LABEL_STRIDE
            pixels, _ = project_points(camera, np.column_stack([middles, np.zeros(len(middles))]))
            column, row = ((pixels + 0.5) / LABEL_STRIDE - 0.5).T
            is_better = (size > best) & (column > -1.0) & (row > -1.0) & (column < width) & (row < height)
            column, row = np.clip(column[is_better], 0.0, width - 1.001), np.clip(row[is_better], 0.0, height - 1.001)
            left, top = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
            right, down = column - left, row - top
            place[is_better] = np.stack([first + (top + v) * width + left + u for v, u in CORNERS], axis=1)
            weight[is_better] = np.stack([(down if v else 1.0 - down) * (right if u else 1.0 - right) for v, u in CORNERS], axis=1)
            best[is_better] = size[is_better]
            first += height * width
        sums = np.zeros((len(ON_GROUND), len(CLASS_INDEX)))
        for group, names in enumerate(ON_GROUND.values()):
            sums[group, [CLASS_INDEX[name] for name in names]] = 1.0
        self.register_buffer("place", torch.tensor(place), persistent=False)  # (cells, 4) places of all cameras, one after the other
        self.register_buffer("weight", torch.tensor(weight).half().float(), persistent=False)  # (cells, 4), half precision keeps files small
        self.register_buffer("sums", torch.tensor(sums, dtype=torch.float32), persistent=False)  # (groups, classes)

    def forward(self, classes: Sequence[Tensor]) -> Tensor:
        """See the class; classes: logits."""
        powers = torch.cat([(logits.float() - logits.float().amax(1, keepdim=True)).exp().flatten(2) for logits in classes], 2)
        shares = (self.sums @ powers) / powers.sum(1, keepdim=True)  # (N, groups, places); a softmax over classes is slow in ONNX Runtime
        found = shares.index_select(2, self.place.flatten()).unflatten(2, (-1, len(CORNERS)))
        return (found * self.weight).sum(-1).unflatten(2, CELLS)


def _pixels_per_m(camera: CameraSpec, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how large a camera shows what is at these points (N, 2) on the ground; 0: behind it."""
    m = camera.mounting
    away = np.column_stack([points_m, np.zeros(len(points_m))]) - (m.x_m, m.y_m, m.z_m)
    depth_m = (away @ optical_from_vehicle(m).T)[:, 2]
    return np.where(depth_m > NEAREST_M, camera.intrinsics()[0, 0] / np.maximum(depth_m, NEAREST_M), 0.0)
