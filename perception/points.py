"""What stands out: the road users, lamps of signals and signs that the picture heads see most clearly, each as a point of its own.

A lamp is a few pixels, and a person far away not many more: too little to be told from the coarse places that a planner looks
at. So the heads point, and what is fine about the place they point at is passed on, down to its pixels, in which a lamp is red
or green. The planner listens to a point in the measure in which there is something (its score), and is told of road users where
they are along the lane that the vehicle follows (`along_lane`), which is what matters of them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from mimic_contracts.labels import CLASS_INDEX, LABEL_STRIDE, LAMP_CLASSES
from mimic_contracts.rig import Rig
from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import ASIDE, BOX_VALUES, DEPTH, FACING, FARTHEST_M, NEAREST_M, SPEED, TYPICAL_DEPTH_M, TYPICAL_PX, TYPICAL_SPEED_MPS
from perception.encoder import unit_vectors
from perception.heads import FINE_CHANNELS
from perception.road_users import AHEAD, BOX, PLACE, ROAD_USER_VALUES, ROAD_USERS, TYPICAL_PLACE_M

POINTED_AT = {"road_user": ROAD_USERS, "lamp": 16, "sign": 8}  # of all cameras together, at most
GROUPS = [group for group, count in enumerate(POINTED_AT.values()) for _ in range(count)]  # of each point
LAMPS, SIGN = [CLASS_INDEX[name] for name in LAMP_CLASSES], [CLASS_INDEX["sign"]]
LEAST_SCORE = 0.05  # up to which nothing is there: before anything is learned, all is equally little
GLIMPSE_PLACES = 3  # whose pixels are passed on: the one above, the point's own, the one below
GLIMPSE_PIXELS = LABEL_STRIDE**2  # of each of these
GLIMPSE_VALUES = GLIMPSE_PLACES * 3 * GLIMPSE_PIXELS
TYPICAL_STATION_M, TYPICAL_OFFSET_M, FAR_OFFSETS, LANE_M, TYPICAL_MPS = 20.0, 4.0, 2.0, 2.0, 5.0  # of what is along the lane
BEHIND_M, BEYOND_M = 30.0, 60.0  # how far a lane is taken to go on
ALONG_VALUES = 7  # see along_lane
STEEPNESS = 4.0  # how fast a place loses its score to a higher one beside it
MAX_VALUE = 8.0  # of what an untrained head may say

Values = TypeVar("Values", Tensor, NDArray[Any])


def point_values(cameras: int) -> int:
    """How many numbers tell of a point in a rig with so many cameras: first those of a road user, then its fine features, its
    glimpse, its column and row, -1 to 1, and its camera, one-hot."""
    return ROAD_USER_VALUES + FINE_CHANNELS + GLIMPSE_VALUES + 2 + cameras


class Points(nn.Module):
    """The points of a rig's cameras. Where a road user is and what it is like is taken as the heads say it, and learned from
    its labels alone; the fine features learn from what is made of them, too."""

    told: Tensor
    aside: Tensor
    cameras: Tensor
    glimpsed: Tensor
    widths: Tensor
    down: Tensor
    across: Tensor

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        told, aside, seen_from, glimpsed, widths, first = [], [], [], [], [], 0
        for index, camera in enumerate(rig.cameras):
            k, m = camera.intrinsics(), camera.mounting
            height, width = camera.height_px // LABEL_STRIDE, camera.width_px // LABEL_STRIDE
            v, u = np.indices((height, width)).reshape(2, -1)
            is_of = [np.full(len(u), index == i) for i in range(len(rig.cameras))]
            told.append(np.stack([2.0 * u / (width - 1) - 1.0, 2.0 * v / (height - 1) - 1.0, *is_of], axis=1))
            rows = np.stack([np.maximum(v - 1, 0), v, np.minimum(v + 1, height - 1)], axis=1)
            glimpsed.append(first + LABEL_STRIDE * (rows * camera.width_px + u[:, None]))
            widths.append(np.full(len(u), camera.width_px))
            first += camera.height_px * camera.width_px
            aside.append(((u + 0.5) * LABEL_STRIDE - 0.5 - k[0, 2]) / k[0, 0])
            seen_from.append((1.0 / k[0, 0], m.x_m, m.y_m, np.cos(m.yaw_rad), np.sin(m.yaw_rad)))
        self.register_buffer("glimpsed", torch.tensor(np.concatenate(glimpsed)), persistent=False)  # (places, GLIMPSE_PLACES): their first pixels
        self.register_buffer("widths", torch.tensor(np.concatenate(widths)), persistent=False)  # (places,) of their pictures
        down, across = np.indices((LABEL_STRIDE, LABEL_STRIDE)).reshape(2, -1)
        self.register_buffer("down", torch.tensor(down), persistent=False)  # (GLIMPSE_PIXELS,) rows, and columns, from a place's first pixel
        self.register_buffer("across", torch.tensor(across), persistent=False)
        self.register_buffer("told", torch.tensor(np.concatenate(told)).half().float(), persistent=False)  # (places, 2 + cameras), small in files
        self.register_buffer("aside", torch.tensor(np.concatenate(aside), dtype=torch.float32), persistent=False)  # (places,) to the right, at a depth of 1 m
        self.register_buffer("cameras", torch.tensor(seen_from, dtype=torch.float32), persistent=False)  # (cameras, 5) width of a pixel there, x, y, cos, sin

    def forward(self, pictures: Sequence[Tensor], fine: Sequence[Tensor], said: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Of each camera its pictures (N, 3 or more, H, W), the newest first, fine features (N, FINE_CHANNELS, h, w) and what the
        heads say of them → (N, len(GROUPS), point_values)."""
        heat, boxes, classes = (torch.cat([heads[name].detach().float().flatten(2) for heads in said], 2) for name in ("heat", "boxes", "semantic"))
        features = torch.cat([f.float().flatten(2) for f in fine], 2)
        scores = tops(clearness(heat, classes), [f.shape[2:] for f in fine])  # (N, groups, places)
        found = [scores[:, group].topk(count, dim=1) for group, count in enumerate(POINTED_AT.values())]
        score, place = (torch.cat(parts, 1) for parts in zip(*found, strict=True))  # (N, K)
        kinds, boxes, features = (values.gather(2, place[:, None].expand(-1, values.shape[1], -1)) for values in (heat, boxes, features))
        values = torch.cat([kinds.sigmoid(), boxes.clamp(-MAX_VALUE, MAX_VALUE), features], 1).transpose(1, 2)
        told = self.told[place]
        posed = self._posed(values[..., len(AGENT_KINDS) : len(AGENT_KINDS) + BOX_VALUES], self.aside[place], self.cameras[told[..., 2:].argmax(-1)])
        pixels = torch.cat([p[:, :3].flatten(2) for p in pictures], 2)
        within = self.widths[place][..., None] * self.down + self.across  # (N, K, pixels)
        which = (self.glimpsed[place][..., None] + within[:, :, None]).flatten(1)
        glimpse = pixels.gather(2, which[:, None].expand(-1, 3, -1)).float()  # (N, 3, K · places · pixels)
        glimpse = (glimpse.unflatten(2, (-1, GLIMPSE_PLACES, GLIMPSE_PIXELS)).permute(0, 2, 3, 1, 4).flatten(2) - 128.0) / 64.0
        points = torch.cat([score[..., None], posed, values, glimpse, told], 2)
        return points * (score[..., None] > 0.0)  # which of the places where nothing is, is by lot

    @staticmethod
    def _posed(boxes: Tensor, right: Tensor, cameras: Tensor) -> Tensor:
        """(N, K, 4): where in the vehicle frame boxes (N, K, BOX_VALUES) at places so far to the right (N, K) of the axes of cameras
        (N, K, 5) are, and the unit vectors that they face (see agent_boxes)."""
        per_px, x_m, y_m, cos, sin = cameras.unbind(2)
        depth_m = (TYPICAL_DEPTH_M * boxes[..., DEPTH].exp()).clamp(NEAREST_M, FARTHEST_M)
        left_m = -depth_m * (right + TYPICAL_PX * per_px * boxes[..., ASIDE])
        ray_m = torch.stack([cos * depth_m - sin * left_m, sin * depth_m + cos * left_m], 2)
        ray, facing = unit_vectors(ray_m, dim=2), unit_vectors(boxes[..., FACING], dim=2)
        (x, y), (s, c) = ray.unbind(2), facing.unbind(2)
        at_m = torch.stack([x_m, y_m], 2) + ray_m
        return torch.cat([at_m / TYPICAL_PLACE_M, torch.stack([c * x - s * y, s * x + c * y], 2)], 2)


def clearness(heat: Tensor, classes: Tensor) -> Tensor:
    """(N, groups, places) how clearly each group is seen, by the heads' logits (N, kinds, places) and (N, classes, places)."""
    powers = (classes - classes.amax(1, keepdim=True)).exp()  # a softmax over what is not the last axis is slow in ONNX Runtime
    lamps, sign = (powers[:, wanted].sum(1, keepdim=True) / powers.sum(1, keepdim=True) for wanted in (LAMPS, SIGN))
    return torch.cat([heat.amax(1, keepdim=True).sigmoid(), lamps, sign], 1)


def tops(scores: Tensor, sizes: Sequence[tuple[int, ...]]) -> Tensor:
    """Scores (N, groups, places) of cameras with these heights and widths; 0 where a group is seen clearly more so beside it."""
    maps = [of.unflatten(2, size) for of, size in zip(scores.split([math.prod(size) for size in sizes], 2), sizes, strict=True)]
    highest = torch.cat([max_pool2d(of, 3, stride=1, padding=1).flatten(2) for of in maps], 2)
    return torch.relu(scores - LEAST_SCORE - STEEPNESS * (highest - scores))


def road_users(seen: Values, cameras: int) -> Values:
    """(N, ROAD_USERS, ROAD_USER_VALUES) of what is seen (N, …), which ends with the points of a rig with so many cameras."""
    return seen[:, -len(GROUPS) * point_values(cameras) :].reshape(-1, len(GROUPS), point_values(cameras))[:, :ROAD_USERS, :ROAD_USER_VALUES]


def along_lane(users: Tensor, lane_m: Tensor) -> Tensor:
    """Of road users (N, K, ROAD_USER_VALUES) and the middle of a lane (N, S, 2) that begins at the vehicle, m → (N, K,
    ROAD_USER_VALUES + ALONG_VALUES), beside what is known of each where it is along the lane: station and offset to the left; how near
    to its middle, 0 to 1; its heading and its velocity, along the lane and to the left."""
    at_m, ahead = TYPICAL_PLACE_M * users[..., PLACE], users[..., AHEAD]
    origin = torch.zeros_like(lane_m[:, :1])
    last = lane_m[:, -1:] + BEYOND_M * unit_vectors(lane_m[:, -1:] - lane_m[:, -2:-1], dim=2)
    line = torch.cat([origin - origin.new_tensor([BEHIND_M, 0.0]), origin, lane_m, last], 1)
    step = line[:, 1:] - line[:, :-1]
    length = step.norm(dim=2).clamp(min=1e-3)
    unit = step / length[..., None]
    away = at_m[:, :, None] - line[:, None, :-1]  # (N, K, G, 2) of the points, from where each of the G parts begins
    on = torch.minimum((away * unit[:, None]).sum(-1).clamp(min=0.0), length[:, None])
    apart = (away - on[..., None] * unit[:, None]).norm(dim=3)
    side = torch.where(unit[:, None, :, 0] * away[..., 1] < unit[:, None, :, 1] * away[..., 0], -apart, apart)
    nearest = apart.argmin(2, keepdim=True)
    begin = length.cumsum(1) - length - BEHIND_M
    station, offset, share = (values.gather(2, nearest)[..., 0] for values in (on + begin[:, None], side, on / length[:, None]))
    bends = torch.cat([unit[:, :1], unit_vectors(unit[:, 1:] + unit[:, :-1], dim=2), unit[:, -1:]], 1)  # the direction where parts meet:
    before, after = (bend.gather(1, nearest.expand(-1, -1, 2)) for bend in (bends[:, :-1], bends[:, 1:]))
    along = unit_vectors(torch.lerp(before, after, share[..., None]), dim=2)  # the same for whoever is nearest to two parts alike
    heading = torch.stack([(ahead * along).sum(2), along[..., 0] * ahead[..., 1] - along[..., 1] * ahead[..., 0]], 2)
    speed = TYPICAL_SPEED_MPS / TYPICAL_MPS * users[..., BOX][..., SPEED, None]
    place = [station / TYPICAL_STATION_M, (offset / TYPICAL_OFFSET_M).clamp(-FAR_OFFSETS, FAR_OFFSETS), torch.exp(-((offset / LANE_M) ** 2))]
    return torch.cat([users, torch.stack(place, 2), heading, speed * heading], 2)
