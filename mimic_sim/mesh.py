"""Quads with normals, texture coordinates, material and tint, gathered from everywhere and sorted into chunks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_sim.textures import LAYER

CHUNK_M = 60.0
# One vertex: position 3, normal 3, texture coordinates 2, material 1, tint 3.
VERTEX_FLOATS = 12


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices: (4 Q, VERTEX_FLOATS) float32, four a quad; chunks: index of the first quad of each and their number
    (C, 2) int64; spheres: around each chunk (C, 4) float64 [x, y, z, radius], m."""

    vertices: NDArray[np.float32]
    chunks: NDArray[np.int64]
    spheres: NDArray[np.float64]

    def quad_indices(self) -> NDArray[np.uint32]:
        """(Q, 6): two triangles a quad."""
        return (np.arange(0, len(self.vertices), 4)[:, None] + np.array([0, 1, 2, 0, 2, 3])).astype(np.uint32)


class MeshBuilder:
    """Collects quads."""

    def __init__(self) -> None:
        self._quads: list[NDArray[np.float32]] = []

    def add(
        self,
        corners_m: NDArray[np.float64],
        material: str,
        *,
        uv: NDArray[np.float64],
        tint: NDArray[np.float64] | tuple[float, float, float] = (1.0, 1.0, 1.0),
        normals: NDArray[np.float64] | None = None,
    ) -> None:
        """Add quads: corners (M, 4, 3) counter-clockwise seen from outside, uv (M, 4, 2), tint (3,) or (M, 3).

        normals (M, 4, 3): for round things; default: flat.
        """
        quads = np.zeros((len(corners_m), 4, VERTEX_FLOATS), np.float32)
        if normals is None:
            across = np.cross(corners_m[:, 2] - corners_m[:, 0], corners_m[:, 3] - corners_m[:, 1])
            normals = np.repeat((across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12))[:, None], 4, axis=1)
        quads[..., 0:3], quads[..., 3:6], quads[..., 6:8] = corners_m, normals, uv
        quads[..., 8] = LAYER[material]
        quads[..., 9:12] = np.broadcast_to(np.asarray(tint, np.float64), (len(corners_m), 3))[:, None]
        self._quads.append(quads)

    def strip(
        self,
        left_m: NDArray[np.float64],
        right_m: NDArray[np.float64],
        s_m: NDArray[np.float64],
        material: str,
        *,
        tile_m: float,
        tint: tuple[float, float, float],
    ) -> None:
        """Add a band between two lines (N, 3) that run beside each other; s_m (N,) runs along it for the texture."""
        corners = np.stack([right_m[:-1], right_m[1:], left_m[1:], left_m[:-1]], axis=1)
        width = np.linalg.norm(left_m - right_m, axis=1)
        u0, u1 = s_m[:-1] / tile_m, s_m[1:] / tile_m
        zero = np.zeros_like(u0)
        uv = np.stack([np.stack(c, axis=1) for c in ((u0, zero), (u1, zero), (u1, width[1:] / tile_m), (u0, width[:-1] / tile_m))], axis=1)
        self.add(corners, material, uv=uv, tint=tint)

    def box(
        self, frame: NDArray[np.float64], size_m: tuple[float, float, float], material: str, *, tile_m: tuple[float, float], tint: NDArray[np.float64]
    ) -> None:
        """Add the four walls of a box; frame (4,) [x, y, z of the foot's middle, yaw]; tiles fit a whole number of times."""
        length, width, height = size_m
        foot = np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]]) * np.array([length, width]) / 2.0
        c, s = np.cos(frame[3]), np.sin(frame[3])
        ring = np.stack([frame[0] + c * foot[:, 0] - s * foot[:, 1], frame[1] + s * foot[:, 0] + c * foot[:, 1]], axis=1)
        nxt = np.roll(ring, -1, axis=0)
        low, high = np.full(4, frame[2]), np.full(4, frame[2] + height)
        corners = np.stack([np.column_stack([ring, low]), np.column_stack([nxt, low]), np.column_stack([nxt, high]), np.column_stack([ring, high])], axis=1)
        columns = np.maximum(np.round(np.linalg.norm(nxt - ring, axis=1) / tile_m[0]), 1.0)
        rows = np.full(4, max(round(height / tile_m[1]), 1.0))
        zero = np.zeros(4)
        uv = np.stack([np.stack(p, axis=1) for p in ((zero, zero), (columns, zero), (columns, rows), (zero, rows))], axis=1)
        self.add(corners, material, uv=uv, tint=tint)

    def build(self) -> Mesh:
        """Everything added so far, sorted into chunks of CHUNK_M squared."""
        quads = np.concatenate(self._quads)
        cells = np.floor(quads[:, :, :2].mean(axis=1) / CHUNK_M).astype(np.int64)
        order = np.lexsort((cells[:, 0], cells[:, 1]))
        quads, cells = quads[order], cells[order]
        starts = np.flatnonzero(np.concatenate([[True], (np.diff(cells, axis=0) != 0).any(axis=1)]))
        counts = np.diff(np.append(starts, len(quads)))
        spheres = np.zeros((len(starts), 4))
        for i, (start, count) in enumerate(zip(starts, counts, strict=True)):
            points = quads[start : start + count, :, :3].reshape(-1, 3).astype(np.float64)
            middle = (points.min(axis=0) + points.max(axis=0)) / 2.0
            spheres[i] = *middle, np.linalg.norm(points - middle, axis=1).max()
        return Mesh(quads.reshape(-1, VERTEX_FLOATS), np.stack([starts, counts], axis=1), spheres)
