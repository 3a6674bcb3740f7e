"""Quads with normals, texture coordinates, material, tint and label, gathered from everywhere and sorted into chunks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.labels import CLASS_INDEX
from mimic_sim.textures import LAYER

CHUNK_M = 60.0
# One vertex: position 3, normal 3, texture coordinates 2, material 1, tint 3, label 1.
VERTEX_FLOATS = 13
INSTANCE_STEP = 256  # a label is the semantic class + INSTANCE_STEP * the instance; float32 holds it exactly


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
    """Collects quads of one semantic class; `of` gives a builder of another class for the same mesh."""

    def __init__(self, semantic_class: str = "sky", quads: list[NDArray[np.float32]] | None = None) -> None:
        self._label = CLASS_INDEX[semantic_class]
        self._quads: list[NDArray[np.float32]] = [] if quads is None else quads

    def of(self, semantic_class: str) -> "MeshBuilder":
        """What is added to this one is of another class, and goes into the same mesh."""
        return MeshBuilder(semantic_class, self._quads)

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
        quads[..., 12] = self._label
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

    def round(self, place: NDArray[np.float64], height_m: tuple[float, float], radii_m: NDArray[np.float64], material: str, tint: NDArray[np.float64]) -> None:
        """Add a body turned about the vertical at place (4,) [x, y, z, yaw], radii (N,) at equal steps from bottom to top."""
        sides = 7
        angle = np.arange(sides + 1) * 2.0 * np.pi / sides + place[3]
        height = np.linspace(*height_m, len(radii_m))
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        points = np.concatenate([radii_m[:, None, None] * ring[None], np.broadcast_to(height[:, None, None], (len(height), sides + 1, 1))], axis=2)
        slope = np.gradient(radii_m, height)
        normals = np.concatenate(
            [np.broadcast_to(ring[None], (len(height), sides + 1, 2)), np.broadcast_to(-slope[:, None, None], (len(height), sides + 1, 1))], axis=2
        )
        normals = normals / np.linalg.norm(normals, axis=2, keepdims=True)
        uv = np.stack(np.broadcast_arrays(np.arange(sides + 1)[None] * 3.0 / sides, height[:, None] / 1.6), axis=2)
        corners, turned, texture = (
            (np.stack([a[:-1, :-1], a[:-1, 1:], a[1:, 1:], a[1:, :-1]], axis=2).reshape(-1, 4, a.shape[2])) for a in (points, normals, uv)
        )
        self.add(corners + place[:3], material, uv=texture, tint=tint, normals=turned)

    def level(
        self,
        corners_m: NDArray[np.float64],
        z_m: float,
        material: str,
        *,
        tile_m: float,
        tint: NDArray[np.float64] | tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Add level quads seen from above, corners (M, 4, 2) either way round; the texture lies as the world does."""
        diagonals = corners_m[:, 2] - corners_m[:, 0], corners_m[:, 3] - corners_m[:, 1]
        is_clockwise = diagonals[0][:, 0] * diagonals[1][:, 1] - diagonals[0][:, 1] * diagonals[1][:, 0] < 0.0
        corners_m = np.where(is_clockwise[:, None, None], corners_m[:, ::-1], corners_m)
        self.add(np.concatenate([corners_m, np.full((*corners_m.shape[:2], 1), z_m)], axis=2), material, uv=corners_m / tile_m, tint=tint)

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


class MeshPlan:
    """Stands in for a MeshBuilder: notes what is added, so that it can be made later, or never."""

    def __init__(self, semantic_class: str = "sky", noted: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] | None = None) -> None:
        self._class, self._noted = semantic_class, [] if noted is None else noted

    def of(self, semantic_class: str) -> "MeshPlan":
        """What is added to this one is of another class, and goes into the same mesh."""
        return MeshPlan(semantic_class, self._noted)

    def add(self, *args: Any, **options: Any) -> None:
        """As in MeshBuilder."""
        self._noted.append((self._class, "add", args, options))

    def box(self, *args: Any, **options: Any) -> None:
        """As in MeshBuilder."""
        self._noted.append((self._class, "box", args, options))

    def round(self, *args: Any, **options: Any) -> None:
        """As in MeshBuilder."""
        self._noted.append((self._class, "round", args, options))

    def add_to(self, builder: MeshBuilder) -> None:
        """Make all of it."""
        for semantic_class, shape, args, options in self._noted:
            getattr(builder.of(semantic_class), shape)(*args, **options)


def turned(corners_m: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners (M, 4, 3) of a thing that stands at place (4,) [x, y, z, yaw]."""
    c, s = np.cos(place[3]), np.sin(place[3])
    x, y, z = np.moveaxis(corners_m, 2, 0)
    return np.stack([place[0] + c * x - s * y, place[1] + s * x + c * y, place[2] + z], axis=2)


def triangles(outline_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M, 4, 2): a polygon (N, 2), either way round, cut into triangles by clipping ears; the last corner comes twice."""
    area = np.sum(outline_m[:, 0] * np.roll(outline_m[:, 1], -1) - outline_m[:, 1] * np.roll(outline_m[:, 0], -1))
    rest = list(outline_m if area > 0.0 else outline_m[::-1])
    ears = []
    while len(rest) > 2:
        k = next((k for k in range(len(rest)) if _is_ear(rest, k)), 0)  # an outline that crosses itself has none left: go on
        ears.append([rest[k - 1], rest[k], rest[(k + 1) % len(rest)], rest[(k + 1) % len(rest)]])
        del rest[k]
    return np.array(ears)


def _is_ear(outline_m: list[NDArray[np.float64]], k: int) -> bool:
    """Whether corner k of a polygon that turns left sticks out and no other corner lies in its triangle."""
    a, b, c = outline_m[k - 1], outline_m[k], outline_m[(k + 1) % len(outline_m)]
    if _side(a, b, c) <= 0.0:
        return False
    others = [p for p in outline_m if p is not a and p is not b and p is not c]
    return not any(_side(a, b, p) >= 0.0 and _side(b, c, p) >= 0.0 and _side(c, a, p) >= 0.0 for p in others)


def _side(a: NDArray[np.float64], b: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Positive when p lies to the left of the way from a to b."""
    return float((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]))
