"""A road network and a seed become geometry: road, markings, kerbs, pavements, and the town around them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_sim.mesh import Mesh, MeshBuilder
from mimic_sim.road_network import Lane, Line, RoadNetwork

STRIP_STEP_M = 1.5
MARKING_WIDTH_M = 0.14
EDGE_INSET_M = 0.12  # from the lane's edge to the solid line
DASH_M, GAP_M = 3.0, 6.0  # German country and town roads
GUTTER_M, KERB_M, KERB_HEIGHT_M, PAVEMENT_M = 0.35, 0.15, 0.12, 1.6
ROADSIDE_M = GUTTER_M + KERB_M + PAVEMENT_M  # from a lane's right edge to where gardens begin
GROUND_Z_M, ROAD_Z_M, MARKING_Z_M = -0.08, 0.0, 0.012
GROUND_MARGIN_M = 300.0
WHITE = (1.0, 1.0, 1.0)
WALLS = np.array([(0.93, 0.88, 0.78), (0.85, 0.75, 0.62), (0.80, 0.80, 0.80), (0.90, 0.82, 0.66), (0.72, 0.78, 0.80), (0.86, 0.70, 0.62)])
BRICKS = np.array([(0.62, 0.34, 0.27), (0.70, 0.45, 0.35), (0.55, 0.40, 0.33)])
ROOFS = np.array([(0.62, 0.30, 0.24), (0.45, 0.32, 0.28), (0.38, 0.39, 0.42)])


def scene_mesh(network: RoadNetwork, *, seed: int) -> Mesh:
    """All static geometry of a road network; the seed places and colours everything beside the road."""
    builder = MeshBuilder()
    roads = [(lane, network.line([lane.lane_id])) for lane in network.lanes]
    middles = np.concatenate([np.stack([line.x_m, line.y_m], axis=1) for _, line in roads])
    _ground(builder, middles)
    for lane, line in roads:
        _lane(builder, lane, line)
    _Roadside(builder, middles, np.random.default_rng([seed, 5])).fill(roads)
    return builder.build()


def _ground(builder: MeshBuilder, middles_m: NDArray[np.float64]) -> None:
    low, high = middles_m.min(axis=0) - GROUND_MARGIN_M, middles_m.max(axis=0) + GROUND_MARGIN_M
    step = 60.0
    x, y = (a.ravel() for a in np.meshgrid(np.arange(low[0], high[0], step), np.arange(low[1], high[1], step), indexing="ij"))
    xs, ys = np.stack([x, x + step, x + step, x], axis=1), np.stack([y, y, y + step, y + step], axis=1)
    builder.add(np.stack([xs, ys, np.full_like(xs, GROUND_Z_M)], axis=2), "grass", uv=np.stack([xs, ys], axis=2) / 5.0)


def _lane(builder: MeshBuilder, lane: Lane, line: Line) -> None:
    s = np.linspace(0.0, line.length_m, int(np.ceil(line.length_m / STRIP_STEP_M)) + 1)
    half = lane.width_m / 2.0

    def edge(left_m: float, z_m: float) -> NDArray[np.float64]:
        return _beside(line, s, left_m, z_m)

    outer = half + GUTTER_M
    builder.strip(edge(half, ROAD_Z_M), edge(-outer, ROAD_Z_M), s, "asphalt", tile_m=4.0, tint=WHITE)
    _marking(builder, lane.left_marking, line, s, half)
    _marking(builder, lane.right_marking, line, s, -half + EDGE_INSET_M)
    if not lane.has_sidewalk:
        return
    kerb, back = outer + KERB_M, half + ROADSIDE_M
    builder.strip(edge(-outer, ROAD_Z_M), edge(-outer - 0.02, KERB_HEIGHT_M), s, "plain", tile_m=2.0, tint=(0.50, 0.50, 0.49))
    builder.strip(edge(-outer - 0.02, KERB_HEIGHT_M), edge(-kerb, KERB_HEIGHT_M), s, "plain", tile_m=2.0, tint=(0.62, 0.62, 0.60))
    builder.strip(edge(-kerb, KERB_HEIGHT_M), edge(-back, KERB_HEIGHT_M), s, "paving", tile_m=2.0, tint=WHITE)
    builder.strip(edge(-back, KERB_HEIGHT_M), edge(-back - 0.1, GROUND_Z_M), s, "plain", tile_m=2.0, tint=(0.45, 0.45, 0.42))


def _beside(line: Line, s_m: NDArray[np.float64], left_m: float, z_m: float) -> NDArray[np.float64]:
    """(N, 3) points of a line moved to the left."""
    poses = line.poses(np.minimum(s_m, line.length_m - 1e-6))
    x, y, yaw = poses.T
    return np.stack([x - left_m * np.sin(yaw), y + left_m * np.cos(yaw), np.full_like(x, z_m)], axis=1)


def _marking(builder: MeshBuilder, kind: str, line: Line, s_m: NDArray[np.float64], left_m: float) -> None:
    half = MARKING_WIDTH_M / 2.0
    if kind == "solid":
        pieces = [s_m]
    elif kind == "dashed":
        count = round(line.length_m / (DASH_M + GAP_M))  # as many as close the lap without a broken one
        pieces = [start + np.linspace(0.0, DASH_M, 3) for start in np.arange(count) * line.length_m / count]
    else:
        return
    for s in pieces:
        left, right = _beside(line, s, left_m + half, MARKING_Z_M), _beside(line, s, left_m - half, MARKING_Z_M)
        builder.strip(left, right, s, "plain", tile_m=1.5, tint=(0.90, 0.90, 0.88))


@dataclass(eq=False)
class _Roadside:
    """Places things along the right edge of every lane, never on a road and never into each other's walls."""

    builder: MeshBuilder
    middles_m: NDArray[np.float64]
    rng: np.random.Generator

    def fill(self, roads: list[tuple[Lane, Line]]) -> None:
        """Every 40 to 120 m the character changes: town, suburb, park or open land."""
        self._taken: list[tuple[float, float, float]] = []
        for lane, line in roads:
            edge = lane.width_m / 2.0 + ROADSIDE_M
            s = 0.0
            while s < line.length_m:
                length = min(float(self.rng.uniform(40.0, 120.0)), line.length_m - s)
                kind = str(self.rng.choice(["town", "town", "suburb", "suburb", "park", "open"]))
                if kind in ("town", "suburb"):
                    self._buildings(line, s, length, edge, is_town=kind == "town")
                spacing = {"town": 18.0, "suburb": 14.0, "park": 5.0, "open": 25.0}[kind]
                self._trees(line, s, length, edge, spacing_m=spacing, depth_m=30.0 if kind == "park" else 5.0)
                if kind == "suburb":
                    self._hedge(line, s, length, edge)
                s += length
            for post_s in np.arange(10.0, line.length_m, 32.0):
                self._street_light(line, post_s, edge - 0.3)

    def _place(self, line: Line, s_m: float, right_m: float) -> NDArray[np.float64]:
        """(4,) [x, y, z, yaw] beside the line."""
        x, y, yaw = line.poses(np.array([s_m]))[0]
        return np.array([x + right_m * np.sin(yaw), y - right_m * np.cos(yaw), GROUND_Z_M, yaw])

    def _is_free(self, place: NDArray[np.float64], *, radius_m: float, road_m: float) -> bool:
        if np.hypot(*(self.middles_m - place[:2]).T).min() < road_m:
            return False
        return all(np.hypot(x - place[0], y - place[1]) > radius_m + r for x, y, r in self._taken)

    def _buildings(self, line: Line, start_m: float, length_m: float, edge_m: float, *, is_town: bool) -> None:
        rng, s = self.rng, start_m
        while s < start_m + length_m:
            width = float(rng.uniform(12.0, 24.0) if is_town else rng.uniform(8.0, 13.0))
            depth = float(rng.uniform(9.0, 13.0) if is_town else rng.uniform(8.0, 11.0))
            floors = int(rng.integers(3, 7) if is_town else rng.integers(1, 3))
            setback = float(rng.uniform(1.0, 3.0) if is_town else rng.uniform(4.0, 9.0))
            place = self._place(line, s + width / 2.0, edge_m + setback + depth / 2.0)
            reach = float(np.hypot(width, depth)) / 2.0
            if self._is_free(place, radius_m=0.8 * reach, road_m=edge_m + depth / 2.0 + 0.5):
                self._building(place, (width, depth, 3.0 * floors + 0.4), is_town=is_town)
                self._taken.append((float(place[0]), float(place[1]), 0.8 * reach))
            s += width + float(rng.uniform(0.5, 6.0) if is_town else rng.uniform(5.0, 12.0))

    def _building(self, place: NDArray[np.float64], size_m: tuple[float, float, float], *, is_town: bool) -> None:
        rng = self.rng
        wall = str(rng.choice(["plaster", "plaster", "brick", "office"] if is_town else ["plaster", "plaster", "brick"]))
        palette = BRICKS if wall == "brick" else WALLS
        tint = palette[rng.integers(len(palette))] * rng.uniform(0.9, 1.05)
        self.builder.box(place, size_m, wall, tile_m=(3.0, 3.0), tint=tint)
        roof = ROOFS[rng.integers(len(ROOFS))]
        self._roof(place, size_m, 0.0 if is_town and rng.random() < 0.6 else float(rng.uniform(2.0, 3.5)), roof)

    def _roof(self, place: NDArray[np.float64], size_m: tuple[float, float, float], rise_m: float, tint: NDArray[np.float64]) -> None:
        """A gable along the road, or a flat roof when rise_m is 0; with eaves."""
        length, width, height = size_m[0] + 0.6, size_m[1] + 0.6, size_m[2]
        a, b, top = length / 2.0, width / 2.0, height + rise_m
        sides = [[(-a, -b, height), (a, -b, height), (a, 0, top), (-a, 0, top)], [(a, b, height), (-a, b, height), (-a, 0, top), (a, 0, top)]]
        gables = [[(a, -b, height), (a, b, height), (a, 0, top), (a, 0, top)], [(-a, b, height), (-a, -b, height), (-a, 0, top), (-a, 0, top)]]
        for faces, material, colour in ((sides, "roof", tint), (gables, "plain", np.array([0.8, 0.78, 0.74]))):
            if faces is gables and rise_m == 0.0:
                continue
            corners = _turned(np.array(faces, np.float64), place)
            uv = np.array([[[0, 0], [length / 3.0, 0], [length / 3.0, width / 5.0], [0, width / 5.0]]] * 2)
            self.builder.add(corners, material, uv=uv, tint=colour)

    def _trees(self, line: Line, start_m: float, length_m: float, edge_m: float, *, spacing_m: float, depth_m: float) -> None:
        rng, s = self.rng, start_m
        while s < start_m + length_m:
            place = self._place(line, s, edge_m + 1.3 + depth_m * float(rng.random()) ** 2)
            if self._is_free(place, radius_m=1.5, road_m=edge_m + 1.0):
                self._tree(place)
                self._taken.append((float(place[0]), float(place[1]), 1.0))
            s += spacing_m * float(rng.uniform(0.5, 1.6))

    def _tree(self, place: NDArray[np.float64]) -> None:
        rng = self.rng
        height = float(rng.uniform(4.5, 9.0))
        green = np.array([1.0, 1.0, 1.0]) * rng.uniform(0.7, 1.15) * np.array([rng.uniform(0.85, 1.25), 1.0, rng.uniform(0.8, 1.0)])
        if rng.random() < 0.25:  # a conifer
            self._round(place, (0.15 * height, height), np.array([0.26, 0.20, 0.10, 0.0]) * height * 0.8, "leaves", green * 0.75)
            self._round(place, (0.0, 0.2 * height), np.array([0.14, 0.12]), "bark", np.ones(3))
            return
        self._round(place, (0.0, 0.45 * height), np.array([0.19, 0.14]), "bark", np.ones(3))
        profile = np.sin(np.linspace(0.06, np.pi - 0.02, 6)) * rng.uniform(0.85, 1.15, 6) * 0.28 * height
        self._round(place, (0.32 * height, height), profile, "leaves", green)

    def _round(self, place: NDArray[np.float64], height_m: tuple[float, float], radii_m: NDArray[np.float64], material: str, tint: NDArray[np.float64]) -> None:
        """A body turned about the vertical, with the given radii at equal steps from bottom to top."""
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
        self.builder.add(corners + place[:3], material, uv=texture, tint=tint, normals=turned)

    def _hedge(self, line: Line, start_m: float, length_m: float, edge_m: float) -> None:
        green = np.array([0.75, 0.95, 0.7]) * self.rng.uniform(0.7, 1.0)
        for s in np.arange(start_m, start_m + length_m - 4.0, 4.0):
            if self.rng.random() < 0.7:
                place = self._place(line, s + 2.0, edge_m + 0.7)
                self.builder.box(place, (4.1, 0.7, 1.0), "leaves", tile_m=(1.5, 1.5), tint=green)
                top = np.array([[(-2.05, -0.35, 1.0), (2.05, -0.35, 1.0), (2.05, 0.35, 1.0), (-2.05, 0.35, 1.0)]])
                self.builder.add(_turned(top, place), "leaves", uv=top[..., :2] / 1.5, tint=green)

    def _street_light(self, line: Line, s_m: float, right_m: float) -> None:
        place = self._place(line, s_m, right_m)
        grey = np.array([0.33, 0.35, 0.36])
        self._round(place, (0.0, 6.5), np.array([0.09, 0.06]), "plain", grey)
        arm = np.array([[(-0.05, 0.0, 6.4), (0.05, 0.0, 6.4), (0.05, 1.7, 6.7), (-0.05, 1.7, 6.7)]])
        lamp = np.array([[(-0.15, 1.1, 6.52), (-0.15, 1.8, 6.62), (0.15, 1.8, 6.62), (0.15, 1.1, 6.52)]])
        uv = np.zeros((1, 4, 2))
        for face in (arm, arm[:, ::-1]):
            self.builder.add(_turned(face, place), "plain", uv=uv, tint=grey)
        self.builder.add(_turned(lamp, place), "lamp", uv=uv)


def _turned(corners_m: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners (M, 4, 3) of a thing that stands at place (4,) [x, y, z, yaw]."""
    c, s = np.cos(place[3]), np.sin(place[3])
    x, y, z = np.moveaxis(corners_m, 2, 0)
    return np.stack([place[0] + c * x - s * y, place[1] + s * x + c * y, place[2] + z], axis=2)
