"""Boxes around road users, as labels: in the vehicle frame, and in the picture of a camera with how much of each is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.image_geometry import NEAREST_M, optical_from_vehicle
from mimic_contracts.labels import Labels
from mimic_contracts.rig import CameraSpec
from mimic_sim.actors import Actor

# Pixels of a road user in the open per pixel of its projected box, the mean over all sides at 12 to 30 m.
FILL = {"car": 0.73, "van": 0.81, "truck": 0.84, "bus": 0.90, "bicycle": 0.33, "pedestrian": 0.53}
# Corners of a box as -1 or 1 along its length, width and height; pairs of corners that an edge joins.
CORNERS = np.array([(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
EDGES = np.array([(i, j) for i in range(8) for j in range(i) if np.abs(CORNERS[i] - CORNERS[j]).sum() == 2.0])


@dataclass(frozen=True, eq=False, kw_only=True)
class Box:
    """A road user that a camera sees.

    instance: as in Labels; box_m: (7,) float64 as of boxes_m; bounds_px: (4,) float64 [left, top, right, bottom] of the
    projected box, clipped to the picture, whose pixels have their centres at integers; visible: about which share of what
    lies within the picture is not hidden, (0, 1].
    """

    instance: int
    kind: str
    box_m: NDArray[np.float64]
    bounds_px: NDArray[np.float64]
    visible: float


def boxes_m(actors: Sequence[Actor], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 7) [x, y, z of the middle, length, width, height, yaw] in the vehicle frame at pose (3,) [x_m, y_m, yaw_rad]."""
    rows = [(a.x_m, a.y_m, a.height_m / 2.0, a.length_m, a.width_m, a.height_m, a.yaw_rad) for a in actors]
    boxes = np.array(rows, np.float64).reshape(-1, 7)
    c, s = np.cos(pose[2]), np.sin(pose[2])
    boxes[:, :2] = (boxes[:, :2] - pose[:2]) @ np.array([[c, -s], [s, c]])
    boxes[:, 6] = (boxes[:, 6] - pose[2] + np.pi) % (2.0 * np.pi) - np.pi
    return boxes


def outline_px(box_m: NDArray[np.float64], camera: CameraSpec) -> NDArray[np.float64]:
    """(M, 2) convex outline [u, v] of a box (7,) in the picture, clipped to it; M is 0 where nothing lies within."""
    c, s = np.cos(box_m[6]), np.sin(box_m[6])
    corners = CORNERS * box_m[3:6] / 2.0 @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) + box_m[:3]
    m = camera.mounting
    optical = (corners - np.array([m.x_m, m.y_m, m.z_m])) @ optical_from_vehicle(m).T
    a, b = optical[EDGES[:, 0]], optical[EDGES[:, 1]]
    a, b = np.concatenate([a, b]), np.concatenate([b, a])
    a, b = a[a[:, 2] > NEAREST_M], b[a[:, 2] > NEAREST_M]
    if not len(a):
        return np.zeros((0, 2))
    # Of each edge the end before the camera, and the other end or where the edge leaves the space before the camera.
    behind = b[:, 2] < NEAREST_M
    share = np.where(behind, (a[:, 2] - NEAREST_M) / np.where(behind, a[:, 2] - b[:, 2], 1.0), 1.0)
    points = np.concatenate([a, a + share[:, None] * (b - a)])
    pixels = (points @ camera.intrinsics().T)[:, :2] / points[:, 2:]
    hull = cv2.convexHull(pixels.astype(np.float32))
    w, h = camera.width_px - 0.5, camera.height_px - 0.5
    picture = np.array([(-0.5, -0.5), (w, -0.5), (w, h), (-0.5, h)], np.float32)
    area, clipped = cv2.intersectConvexConvex(hull, picture)
    return np.zeros((0, 2)) if area <= 0.0 else clipped.reshape(-1, 2).astype(np.float64)


def visible_boxes(actors: Sequence[Actor], pose: NDArray[np.float64], camera: CameraSpec, labels: Labels) -> tuple[Box, ...]:
    """The boxes of all road users of which the labels of this camera at this pose show at least a pixel, by instance."""
    boxes = boxes_m(actors, pose)
    pixels = np.bincount(labels.instance.ravel(), minlength=len(actors) + 1)
    found = []
    for i in np.flatnonzero(pixels[1:]).tolist():
        outline = outline_px(boxes[i], camera)
        if not len(outline):  # a foot that swings out of its box, at the edge of the picture
            continue
        open_px = FILL[actors[i].kind] * cv2.contourArea(outline.astype(np.float32))
        found.append(
            Box(
                instance=i + 1,
                kind=actors[i].kind,
                box_m=boxes[i],
                bounds_px=np.concatenate([outline.min(axis=0), outline.max(axis=0)]),
                visible=float(min(pixels[i + 1] / max(open_px, 1.0), 1.0)),
            )
        )
    return tuple(found)
