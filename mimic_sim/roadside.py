"""What stands beside the roads: buildings, trees, hedges and street lights, never on anything paved."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mimic_sim.mesh import MeshPlan, turned
from mimic_sim.road_network import Lane, Line
from mimic_sim.scenery import NORTH, Scenery

CELL_M = 25.0  # more than any two things that touch are apart
WALL_GAP_M = 0.1  # between a wall and anything paved
RIM_M = 0.35  # of a pavement, where posts may stand


class Circles:
    """Circles on the ground, kept in cells of CELL_M, so that asking about a place looks only at those near it."""

    def __init__(self) -> None:
        self._cells: defaultdict[tuple[int, int], list[NDArray[np.float64]]] = defaultdict(list)
        self._near: dict[tuple[int, int, int, int], NDArray[np.float64]] = {}

    def add(self, circles_m: NDArray[np.float64]) -> None:
        """Remember circles (N, 3) [x, y, radius]."""
        self._near.clear()
        cells, member = np.unique(np.floor(circles_m[:, :2] / CELL_M).astype(np.int64), axis=0, return_inverse=True)
        for k, (i, j) in enumerate(cells):
            self._cells[int(i), int(j)].append(circles_m[member.ravel() == k])

    def are_free(self, points_m: NDArray[np.float64], gap_m: float) -> bool:
        """Whether points (M, 2), which lie within CELL_M, are all at least gap_m from every circle."""
        low, high = (np.floor(f(points_m, axis=0) / CELL_M).astype(np.int64) for f in (np.min, np.max))
        circles = self._around(*low.tolist(), *high.tolist())
        middle = points_m.mean(axis=0)
        reach = np.hypot(*(points_m - middle).T).max() + gap_m + circles[:, 2]
        circles = circles[np.hypot(*(circles[:, :2] - middle).T) < reach + 1e-6]  # the others cannot matter
        away = np.hypot(points_m[:, None, 0] - circles[:, 0], points_m[:, None, 1] - circles[:, 1])
        return bool((away >= gap_m + circles[:, 2]).all())

    def _around(self, first_i: int, first_j: int, last_i: int, last_j: int) -> NDArray[np.float64]:
        """(N, 3) the circles in some cells and those next to them, put together once."""
        key = first_i, first_j, last_i, last_j
        if key not in self._near:
            cells = ((i, j) for i in range(first_i - 1, last_i + 2) for j in range(first_j - 1, last_j + 2))
            self._near[key] = np.concatenate([np.zeros((0, 3)), *(circles for cell in cells for circles in self._cells.get(cell, ()))])
        return self._near[key]


@dataclass(eq=False)
class Roadside:
    """Places things along the right edge of every road, never on paved ground and never into each other's walls."""

    plan: MeshPlan
    paved: Circles
    foot_z_m: float
    rng: np.random.Generator
    scenery: Scenery = NORTH
    taken: Circles = field(default_factory=Circles)
    walls: list[tuple[float, float, float, float, float]] = field(default_factory=list)  # x_m, y_m, yaw_rad, length_m, width_m

    def fill(self, roads: list[tuple[Lane, Line, float]]) -> None:
        """Along lanes, each with its line and how far to the right of that the gardens begin, m.

        Every 40 to 120 m the character changes: town, suburb, park or open land.
        """
        for _, line, edge in roads:
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
        return np.array([x + right_m * np.sin(yaw), y - right_m * np.cos(yaw), self.foot_z_m, yaw])

    def _is_beside(self, place: NDArray[np.float64], length_m: float, width_m: float) -> bool:
        """Whether a rectangle is at least WALL_GAP_M from everything paved."""
        share = np.linspace(-0.5, 0.5, 5)
        x, y = (a.ravel() for a in np.meshgrid(share * length_m, share * width_m))
        c, s = np.cos(place[3]), np.sin(place[3])
        return self.paved.are_free(place[:2] + np.stack([c * x - s * y, s * x + c * y], axis=1), WALL_GAP_M)

    def _buildings(self, line: Line, start_m: float, length_m: float, edge_m: float, *, is_town: bool) -> None:
        rng, s = self.rng, start_m
        while s < start_m + length_m:
            width = float(rng.uniform(12.0, 24.0) if is_town else rng.uniform(8.0, 13.0))
            depth = float(rng.uniform(9.0, 13.0) if is_town else rng.uniform(8.0, 11.0))
            floors = int(rng.integers(3, 7) if is_town else rng.integers(1, 3))
            setback = float(rng.uniform(1.0, 3.0) if is_town else rng.uniform(4.0, 9.0))
            place = self._place(line, s + width / 2.0, edge_m + setback + depth / 2.0)
            reach = float(np.hypot(width, depth)) / 2.0
            if self.paved.are_free(place[None, :2], depth / 2.0 + 0.5) and self.taken.are_free(place[None, :2], 0.8 * reach):
                self._building(place, (width, depth, 3.0 * floors + 0.4), is_town=is_town)
                self.taken.add(np.array([[place[0], place[1], 0.8 * reach]]))
            s += width + float(rng.uniform(0.5, 6.0) if is_town else rng.uniform(5.0, 12.0))

    def _building(self, place: NDArray[np.float64], size_m: tuple[float, float, float], *, is_town: bool) -> None:
        rng, scenery = self.rng, self.scenery
        wall = str(rng.choice(scenery.town if is_town else scenery.house))
        palette = scenery.bricks if wall == scenery.bare else scenery.walls
        tint = palette[rng.integers(len(palette))] * rng.uniform(0.9, 1.05)
        roof = scenery.roofs[rng.integers(len(scenery.roofs))]
        rise_m = 0.0 if is_town and rng.random() < 0.6 else float(rng.uniform(2.0, 3.5))
        if self._is_beside(place, size_m[0], size_m[1]):  # after all draws: one house left out changes no other
            self.walls.append((float(place[0]), float(place[1]), float(place[3]), size_m[0], size_m[1]))
            self.plan.of("building").box(place, size_m, wall, tile_m=(3.0, 3.0), tint=tint)
            self._roof(place, size_m, rise_m, roof)

    def _roof(self, place: NDArray[np.float64], size_m: tuple[float, float, float], rise_m: float, tint: NDArray[np.float64]) -> None:
        """A gable along the road, or a flat roof when rise_m is 0; with eaves."""
        length, width, height = size_m[0] + 0.6, size_m[1] + 0.6, size_m[2]
        a, b, top = length / 2.0, width / 2.0, height + rise_m
        sides = [[(-a, -b, height), (a, -b, height), (a, 0, top), (-a, 0, top)], [(a, b, height), (-a, b, height), (-a, 0, top), (a, 0, top)]]
        gables = [[(a, -b, height), (a, b, height), (a, 0, top), (a, 0, top)], [(-a, b, height), (-a, -b, height), (-a, 0, top), (-a, 0, top)]]
        for faces, material, colour in ((sides, "roof", tint), (gables, "plain", np.array([0.8, 0.78, 0.74]))):
            if faces is gables and rise_m == 0.0:
                continue
            corners = turned(np.array(faces, np.float64), place)
            uv = np.array([[[0, 0], [length / 3.0, 0], [length / 3.0, width / 5.0], [0, width / 5.0]]] * 2)
            self.plan.of("building").add(corners, material, uv=uv, tint=colour)

    def _trees(self, line: Line, start_m: float, length_m: float, edge_m: float, *, spacing_m: float, depth_m: float) -> None:
        rng, s = self.rng, start_m
        while s < start_m + length_m:
            place = self._place(line, s, edge_m + 1.3 + depth_m * float(rng.random()) ** 2)
            if self.paved.are_free(place[None, :2], 1.0) and self.taken.are_free(place[None, :2], 1.5):
                self._tree(place)
                self.taken.add(np.array([[place[0], place[1], 1.0]]))
            s += spacing_m * float(rng.uniform(0.5, 1.6))

    def _tree(self, place: NDArray[np.float64]) -> None:
        rng, builder, scenery = self.rng, self.plan.of("vegetation"), self.scenery
        height = float(rng.uniform(4.5, 9.0))
        green = np.array([1.0, 1.0, 1.0]) * rng.uniform(0.7, 1.15) * np.array([rng.uniform(0.85, 1.25), 1.0, rng.uniform(0.8, 1.0)]) * scenery.foliage
        if rng.random() < 0.25:  # a conifer
            builder.round(place, (0.15 * height, height), np.array(scenery.needles) * height * 0.8, "leaves", green * 0.75)
            builder.round(place, (0.0, 0.2 * height), np.array([0.14, 0.12]), "bark", np.ones(3))
            return
        builder.round(place, (0.0, 0.45 * height), np.array([0.19, 0.14]), "bark", np.ones(3))
        profile = np.sin(np.linspace(0.06, np.pi - 0.02, 6) ** scenery.crown * np.pi ** (1.0 - scenery.crown)) * rng.uniform(0.85, 1.15, 6) * 0.28 * height
        builder.round(place, (0.32 * height, height), profile, "leaves", green)

    def _hedge(self, line: Line, start_m: float, length_m: float, edge_m: float) -> None:
        hedge = self.plan.of("vegetation")
        green = np.array([0.75, 0.95, 0.7]) * self.rng.uniform(0.7, 1.0)
        for s in np.arange(start_m, start_m + length_m - 4.0, 4.0):
            if self.rng.random() < 0.7:
                place = self._place(line, s + 2.0, edge_m + 0.7)
                if not self._is_beside(place, 4.1, 0.7):
                    continue
                hedge.box(place, (4.1, 0.7, 1.0), "leaves", tile_m=(1.5, 1.5), tint=green)
                top = np.array([[(-2.05, -0.35, 1.0), (2.05, -0.35, 1.0), (2.05, 0.35, 1.0), (-2.05, 0.35, 1.0)]])
                hedge.add(turned(top, place), "leaves", uv=top[..., :2] / 1.5, tint=green)

    def _street_light(self, line: Line, s_m: float, right_m: float) -> None:
        place = self._place(line, s_m, right_m)
        if not self.paved.are_free(place[None, :2], -RIM_M):
            return
        pole = self.plan.of("pole")
        grey = np.array([0.33, 0.35, 0.36])
        pole.round(place, (0.0, 6.5), np.array([0.09, 0.06]), "plain", grey)
        arm = np.array([[(-0.05, 0.0, 6.4), (0.05, 0.0, 6.4), (0.05, 1.7, 6.7), (-0.05, 1.7, 6.7)]])
        lamp = np.array([[(-0.15, 1.1, 6.52), (-0.15, 1.8, 6.62), (0.15, 1.8, 6.62), (0.15, 1.1, 6.52)]])
        uv = np.zeros((1, 4, 2))
        for face in (arm, arm[:, ::-1]):
            pole.add(turned(face, place), "plain", uv=uv, tint=grey)
        pole.add(turned(lamp, place), "lamp", uv=uv)
