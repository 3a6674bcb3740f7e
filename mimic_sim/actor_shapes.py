"""The shapes of road users as quads, one for each kind and variant.

Every quad of a shape has a role (PARTS), which decides its tint at drawing: paint, glass, a lamp that is on or off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mimic_sim.mesh import MeshBuilder

PARTS = ("paint", "dark", "glass", "metal", "skin", "trousers", "headlight", "tail", "brake", "left", "right")
VARIANTS = 3  # of each kind that are about; scenery.py says which of the cars
SWING_M = 0.33  # of a foot before and behind the hip

Point = tuple[float, float, float]
Slab = tuple[float, float, float, float]  # rear x, front x, half the width, z


@dataclass(frozen=True, eq=False)
class Shape:
    """vertices: (4 Q, VERTEX_FLOATS) float32 with x forward from the middle of its box, at size_m (length, width, height);
    part: (4 Q,) index into PARTS; swing_m: (4 Q,) how far the vertex goes forward in the middle of a step."""

    vertices: NDArray[np.float32]
    part: NDArray[np.int64]
    swing_m: NDArray[np.float32]
    size_m: tuple[float, float, float]


@cache
def actor_shape(kind: str, variant: int) -> Shape:
    """The shape of a kind; of cars there are as many variants as CARS, of the others VARIANTS."""
    maker = _Maker()
    size_m = {"car": _car, "van": _van, "truck": _truck, "bus": _bus, "bicycle": _bicycle, "pedestrian": _pedestrian}[kind](maker, variant)
    return maker.shape(size_m)


class _Maker:
    """Quads of one shape. Until it is done, a vertex carries its part in the tint and its swing in the texture coordinates."""

    def __init__(self) -> None:
        self._builder = MeshBuilder()

    def quads(self, corners_m: NDArray[np.float64], part: str, swing_m: NDArray[np.float64] | float = 0.0) -> None:
        """(M, 4, 3), counter-clockwise seen from outside; swing_m (M, 4)."""
        uv = np.zeros((*corners_m.shape[:2], 2))
        uv[..., 0] = swing_m
        self._builder.add(corners_m, "plain", uv=uv, tint=(PARTS.index(part), 0.0, 0.0))

    def block(self, low: Slab, high: Slab, part: str, *, top: str | None = None) -> None:
        """Four walls between two level rectangles and the lid on them; both centred on y = 0."""
        rings = [np.array([(f, -w, z), (f, w, z), (r, w, z), (r, -w, z)]) for r, f, w, z in (low, high)]
        foot, lid = rings
        self.quads(np.stack([foot, np.roll(foot, -1, axis=0), np.roll(lid, -1, axis=0), lid], axis=1), part)
        self.quads(np.stack([lid]), top or part)

    def bar(self, start: Point, end: Point, thick_m: tuple[float, float], part: str, *, swing_m: tuple[float, float] = (0.0, 0.0)) -> None:
        """A beam with two caps; thick_m: (across, the other way); swing_m at its start and end."""
        a, b = np.array(start), np.array(end)
        along = (b - a) / np.linalg.norm(b - a)
        across = np.array([0.0, 1.0, 0.0]) if abs(along[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
        other = np.cross(along, across)
        u, v = across * thick_m[0] / 2.0, other * thick_m[1] / 2.0
        near, far = (p + np.array([-u - v, -v + u, u + v, v - u]) for p in (a, b))
        side = np.stack([near, far, np.roll(far, -1, axis=0), np.roll(near, -1, axis=0)], axis=1)
        self.quads(side, part, np.tile([swing_m[0], swing_m[1], swing_m[1], swing_m[0]], (4, 1)))
        self.quads(np.stack([near, far[::-1]]), part, np.stack([np.full(4, swing_m[0]), np.full(4, swing_m[1])]))

    def wheel(self, x_m: float, y_m: float, radius_m: float, wide_m: float) -> None:
        """A tyre with a rim on its outer face, on the ground."""
        angle = np.arange(8) * np.pi / 4.0 + np.pi / 8.0
        out = np.sign(y_m)
        radius_m /= np.cos(np.pi / 8.0)  # so that a flat side stands on the ground
        rings = {}
        for name, radius, y in (("in", radius_m, y_m - out * wide_m), ("out", radius_m, y_m), ("rim", 0.58 * radius_m, y_m + out * 0.01)):
            ring = np.stack([radius * np.cos(angle), np.full(8, y), radius * np.sin(angle)], axis=1)
            rings[name] = (ring + np.array([x_m, 0.0, radius_m * np.cos(np.pi / 8.0)]))[:: -1 if out > 0 else 1]
        for ring, part in ((rings["out"], "dark"), (rings["rim"], "metal")):
            self.quads(ring[np.array([[0, 1, 2, 3], [0, 3, 4, 7], [4, 5, 6, 7]])], part)
        inner, outer = rings["in"], rings["out"]
        self.quads(np.stack([inner, np.roll(inner, -1, axis=0), np.roll(outer, -1, axis=0), outer], axis=1), "dark")

    def panel(self, x_m: float, y_m: tuple[float, float], z_m: tuple[float, float], part: str) -> None:
        """An upright plate that faces forward where x_m is positive, else backward."""
        y0, y1 = y_m if x_m > 0 else y_m[::-1]
        self.quads(np.array([[(x_m, y0, z_m[0]), (x_m, y1, z_m[0]), (x_m, y1, z_m[1]), (x_m, y0, z_m[1])]]), part)

    def side_panel(self, x_m: tuple[float, float], y_m: float, z_m: tuple[float, float], part: str) -> None:
        """An upright plate on both sides, at y_m and -y_m."""
        (r, f), (low, high) = x_m, z_m
        left = np.array([(f, y_m, low), (r, y_m, low), (r, y_m, high), (f, y_m, high)])
        self.quads(np.stack([left, left[::-1] * np.array([1.0, -1.0, 1.0])]), part)

    def lamps(self, front_m: float, rear_m: float, half_width_m: float, *, front_z_m: float, rear_z_m: float) -> None:
        """Head lights, tail and brake lights side by side, indicators at the corners; all just before the body's ends."""
        w, f, r = half_width_m, front_m + 0.015, rear_m - 0.015
        for side, indicator in ((1.0, "left"), (-1.0, "right")):

            def across(inner: float, outer: float, side: float = side) -> tuple[float, float]:
                low, high = sorted((side * inner * w, side * outer * w))
                return low, high

            self.panel(f, across(0.52, 0.84), (front_z_m - 0.09, front_z_m + 0.09), "headlight")
            self.panel(f, across(0.86, 0.99), (front_z_m - 0.09, front_z_m + 0.09), indicator)
            self.panel(r, across(0.62, 0.98), (rear_z_m, rear_z_m + 0.17), "brake")
            self.panel(r, across(0.62, 0.80), (rear_z_m - 0.11, rear_z_m), "tail")
            self.panel(r, across(0.80, 0.98), (rear_z_m - 0.11, rear_z_m), indicator)

    def shape(self, size_m: tuple[float, float, float]) -> Shape:
        """All quads so far."""
        vertices = self._builder.build().vertices
        part, swing_m = vertices[:, 9].astype(np.int64), vertices[:, 6].copy()
        vertices[:, 6] = 0.0
        return Shape(vertices, part, swing_m, size_m)


def _wheels(maker: _Maker, x_m: Sequence[float], half_width_m: float, radius_m: float) -> None:
    for x in x_m:
        for side in (1.0, -1.0):
            maker.wheel(x, side * half_width_m, radius_m, 0.24)


@dataclass(frozen=True)
class _CarBody:
    """A car from the side. size_m: length, width, height; sill_m, belt_m: heights of the floor and of where the windows begin.

    bonnet_m, boot_m: length before the windscreen and behind the rear window; screen_m, rear_m: how far these two lean;
    wheel_m: its radius and how far its axle is from the body's end. load: "windows" to the back, a closed "box", an open "bed".
    """

    size_m: tuple[float, float, float]
    sill_m: float
    belt_m: float
    bonnet_m: float
    boot_m: float
    rear_m: float
    screen_m: float = 0.75
    wheel_m: tuple[float, float] = (0.33, 0.85)
    load: str = "windows"


CARS = (
    _CarBody((4.1, 1.76, 1.48), 0.24, 0.92, 0.95, 0.08, 0.40),  # hatchback
    _CarBody((4.7, 1.80, 1.45), 0.24, 0.90, 1.15, 0.75, 0.62),  # saloon
    _CarBody((4.6, 1.88, 1.72), 0.32, 1.08, 1.05, 0.08, 0.28),  # sport utility
    _CarBody((3.6, 1.66, 1.55), 0.22, 0.96, 0.72, 0.05, 0.16),  # city car
    _CarBody((4.8, 1.84, 1.49), 0.24, 0.92, 1.20, 0.06, 0.45),  # estate
    _CarBody((4.5, 1.86, 1.32), 0.20, 0.84, 1.50, 0.40, 0.95),  # coupe
    _CarBody((5.3, 1.90, 1.80), 0.34, 1.12, 1.25, 1.75, 0.12, 0.62, (0.40, 0.95), "bed"),  # pickup
    _CarBody((4.3, 1.80, 1.85), 0.26, 1.05, 0.80, 0.05, 0.06, 0.85, load="box"),  # delivery car
    _CarBody((4.4, 1.95, 1.30), 0.16, 0.92, 0.85, 0.70, 0.70, 1.30, (0.34, 0.95)),  # mid engined
    _CarBody((3.4, 1.50, 1.80), 0.24, 0.98, 0.24, 0.04, 0.05, 0.40, (0.28, 0.55)),  # microvan
    _CarBody((4.0, 1.80, 1.90), 0.36, 1.20, 1.25, 0.10, 0.05, 0.18, (0.42, 0.75)),  # off roader
    _CarBody((4.9, 1.88, 1.42), 0.20, 0.94, 1.25, 0.15, 1.45, 0.95, (0.36, 0.90)),  # fastback
)


def _car(maker: _Maker, variant: int) -> tuple[float, float, float]:
    body = CARS[variant]
    length, width, height = body.size_m
    h, w, sill, belt = length / 2.0, width / 2.0, body.sill_m, body.belt_m
    bonnet, back = h - body.bonnet_m, -h + body.boot_m  # where the windscreen begins and the rear window ends
    maker.block((-h + 0.06, h - 0.06, 0.94 * w, sill), (-h, h, w - 0.02, 0.55), "paint")
    maker.block((-h, h, w - 0.02, 0.55), (-h + 0.05, h - 0.12, 0.95 * w, belt - 0.06), "paint")
    maker.block((back - 0.05, bonnet + 0.05, 0.95 * w, belt - 0.06), (back, bonnet, 0.92 * w, belt), "paint")
    roof_front, roof_back = bonnet - body.screen_m, back + body.rear_m
    maker.block((back, bonnet, 0.90 * w, belt), (roof_back, roof_front, 0.74 * w, height - 0.04), "glass", top="paint")
    maker.block((roof_back - 0.04, roof_front + 0.04, 0.76 * w, height - 0.05), (roof_back + 0.06, roof_front - 0.06, 0.70 * w, height), "paint")
    for side in (1.0, -1.0):  # pillars and mirrors
        for x, foot in (((roof_front + roof_back) / 2.0, (bonnet + back) / 2.0), (roof_back, back), (roof_front, bonnet)):
            maker.bar((foot, side * 0.905 * w, belt), (x, side * 0.745 * w, height - 0.04), (0.03, 0.09), "paint")
        maker.bar((bonnet - 0.25, side * 0.90 * w, belt + 0.06), (bonnet - 0.25, side * w, belt + 0.06), (0.14, 0.08), "paint")
    if body.load == "box":
        middle = (bonnet + back) / 2.0
        maker.block((back - 0.02, middle, 0.92 * w, belt), (roof_back - 0.02, middle, 0.76 * w, height - 0.03), "paint")
    elif body.load == "bed":
        maker.block((-h + 0.14, back - 0.12, 0.86 * w, belt - 0.06), (-h + 0.14, back - 0.12, 0.86 * w, belt - 0.04), "dark")
    radius, overhang = body.wheel_m
    _wheels(maker, (h - overhang, -h + overhang), w, radius)
    maker.panel(h + 0.01, (-0.5 * w, 0.5 * w), (sill + 0.10, 0.52), "dark")
    maker.panel(-h - 0.012, (-0.28, 0.28), (0.50, 0.62), "metal")
    maker.panel(-h - 0.010, (-0.9 * w, 0.9 * w), (sill + 0.04, 0.42), "dark")
    maker.panel(back - 0.07, (-0.25, 0.25), (belt + 0.02, belt + 0.08), "brake")
    maker.lamps(h, -h, w - 0.02, front_z_m=0.64, rear_z_m=0.72)
    return length, width, height


def _van(maker: _Maker, variant: int) -> tuple[float, float, float]:
    """Panel van; a variant has windows all along."""
    length, width, height = 5.4, 2.0, 2.3
    h, w = length / 2.0, width / 2.0
    maker.block((-h, h, w, 0.30), (-h, h - 0.04, w, 0.95), "paint")
    maker.block((-h, h - 0.04, w, 0.95), (-h, h - 0.75, w, 1.22), "paint")
    maker.block((-h, h - 0.75, w, 1.22), (-h + 0.05, h - 1.45, 0.92 * w, height), "paint")
    slope = np.array([(h - 0.77, 1.25), (h - 1.35, 2.12)])  # windscreen, a little before the body
    (x0, z0), (x1, z1) = slope + np.array([0.06, 0.0])
    maker.quads(np.array([[(x0, -0.9 * w, z0), (x0, 0.9 * w, z0), (x1, 0.84 * w, z1), (x1, -0.84 * w, z1)]]), "glass")
    maker.side_panel((h - 2.2, h - 1.45), w + 0.005, (1.25, 1.85), "glass")
    if variant == 1:
        maker.side_panel((-h + 0.3, h - 2.35), w + 0.005, (1.25, 1.85), "glass")
    for side in (-0.46 * w, 0.46 * w):
        maker.panel(-h - 0.012, (side - 0.35, side + 0.35), (1.35, 1.90), "glass")
    maker.panel(-h - 0.013, (-0.012, 0.012), (0.40, 2.1), "dark")
    maker.panel(-h - 0.010, (-w, w), (0.30, 0.46), "dark")
    maker.panel(h + 0.01, (-0.5 * w, 0.5 * w), (0.35, 0.85), "dark")
    _wheels(maker, (h - 0.95, -h + 1.05), w, 0.35)
    maker.lamps(h, -h, w, front_z_m=0.76, rear_z_m=0.95)
    return length, width, height


def _truck(maker: _Maker, variant: int) -> tuple[float, float, float]:
    """A cab in paint before a bright box on a dark chassis."""
    length, width, height = 8.5, 2.5, 3.5
    h, w = length / 2.0, width / 2.0
    maker.block((-h, h - 0.1, 0.80 * w, 0.55), (-h, h - 0.1, 0.80 * w, 1.05), "dark")
    maker.block((h - 1.9, h, 0.95 * w, 0.45), (h - 1.9, h, 0.95 * w, 1.45), "paint")
    maker.block((h - 1.9, h, 0.95 * w, 1.45), (h - 1.9, h - 0.25, 0.90 * w, 2.75), "paint")
    maker.quads(np.array([[(h - 0.0, -0.85 * w, 1.55), (h - 0.0, 0.85 * w, 1.55), (h - 0.17, 0.80 * w, 2.45), (h - 0.17, -0.80 * w, 2.45)]]), "glass")
    maker.side_panel((h - 1.3, h - 0.35), 0.96 * w, (1.5, 2.3), "glass")
    maker.block((-h, h - 2.1, w, 1.05), (-h, h - 2.1, w, height), ("metal", "paint", "metal")[variant])
    maker.panel(-h - 0.012, (-0.015, 0.015), (1.1, height - 0.1), "dark")
    for y in (-0.97 * w, 0.97 * w):
        maker.panel(-h - 0.012, (y - 0.03, y + 0.03), (1.1, height - 0.05), "dark")
    maker.panel(h + 0.01, (-0.6 * w, 0.6 * w), (0.95, 1.35), "dark")
    maker.panel(-h - 0.011, (-w, w), (0.50, 1.03), "dark")
    _wheels(maker, (h - 1.1, -h + 2.3, -h + 1.2), w, 0.48)
    maker.lamps(h, -h, 0.98 * w, front_z_m=0.75, rear_z_m=0.80)
    return length, width, height


def _bus(maker: _Maker, variant: int) -> tuple[float, float, float]:
    """A long body with a band of windows, doors on the right and a line number."""
    length, width, height = 12.0, 2.55, 3.1
    h, w = length / 2.0, width / 2.0
    maker.block((-h, h, w, 0.32), (-h, h, w, 1.15), "paint")
    maker.block((-h, h, w, 1.15), (-h, h - 0.12, 0.97 * w, 2.65), "glass")
    maker.block((-h, h - 0.12, 0.975 * w, 2.60), (-h + 0.1, h - 0.25, 0.92 * w, height), "paint")
    for x in np.linspace(-h + 0.05, h - 1.6, 7 + variant):
        for side in (1.0, -1.0):
            maker.bar((float(x), side * w, 1.15), (float(x), side * 0.97 * w, 2.62), (0.04, 0.10), "paint")
    for x in (h - 0.8, 0.2):
        maker.quads(np.array([[(x - 0.6, -w - 0.01, 0.4), (x + 0.6, -w - 0.01, 0.4), (x + 0.6, -w - 0.01, 2.5), (x - 0.6, -w - 0.01, 2.5)]]), "glass")
    maker.panel(-h - 0.012, (-0.98 * w, 0.98 * w), (1.15, 1.45), "paint")
    maker.panel(h - 0.10, (-0.5 * w, 0.5 * w), (2.66, 2.92), "dark")
    maker.panel(-h - 0.011, (-w, w), (0.32, 0.52), "dark")
    _wheels(maker, (h - 2.6, -h + 3.1), w + 0.01, 0.48)
    maker.lamps(h, -h, w, front_z_m=0.70, rear_z_m=0.80)
    return length, width, height


def _bicycle(maker: _Maker, variant: int) -> tuple[float, float, float]:
    """A bicycle and its rider, who pedals."""
    radius, axle = 0.34, 0.52
    for middle in (axle, -axle):
        angle = np.arange(9) * np.pi / 4.0 + np.pi / 8.0
        rim = [(middle + radius * float(np.cos(a)), 0.0, radius * (1.0 + float(np.sin(a)))) for a in angle]
        for one, two in pairwise(rim):
            maker.bar(one, two, (0.045, 0.05), "dark")
    crank, seat, head = (-0.05, 0.0, 0.32), (-0.20, 0.0, 0.92), (0.36, 0.0, 0.92)
    for start, end in ((crank, seat), (crank, head), (seat, head), (crank, (-axle, 0.0, radius)), (head, (axle, 0.0, radius))):
        maker.bar(start, end, (0.05, 0.05), "metal")
    maker.bar((0.36, -0.27, 1.02), (0.36, 0.27, 1.02), (0.05, 0.05), "dark")
    maker.bar(seat, (0.02, 0.0, 1.47), (0.38, 0.22), "paint")
    maker.bar((0.08, 0.0, 1.50), (0.13, 0.0, 1.76), (0.18, 0.21), "skin")
    maker.bar((0.05, 0.0, 1.69), (0.13, 0.0, 1.80), (0.20, 0.24), ("dark", "metal", "paint")[variant])
    for side in (1.0, -1.0):
        maker.bar((0.0, side * 0.22, 1.40), (0.34, side * 0.24, 1.05), (0.09, 0.09), "paint")
        knee, foot = (0.18, side * 0.12, 0.66), (-0.02, side * 0.12, 0.24)
        maker.bar((-0.18, side * 0.11, 0.95), knee, (0.15, 0.16), "trousers", swing_m=(0.0, side * 0.08))
        maker.bar(knee, foot, (0.11, 0.12), "trousers", swing_m=(side * 0.08, side * 0.16))
    maker.panel(-0.30, (-0.06, 0.06), (0.78, 0.90), "tail")
    maker.panel(0.45, (-0.06, 0.06), (0.86, 0.98), "headlight")
    return 1.75, 0.6, 1.8


def _pedestrian(maker: _Maker, variant: int) -> tuple[float, float, float]:
    """Two legs and two arms that swing against each other, a torso, a head with hair; a variant wears a long coat."""
    hip, shoulder = 0.88, 1.42
    for side in (1.0, -1.0):
        knee = side * SWING_M * 0.45
        maker.bar((0.0, side * 0.10, hip), (0.02, side * 0.10, 0.46), (0.17, 0.18), "trousers", swing_m=(0.0, knee))
        maker.bar((0.02, side * 0.10, 0.46), (0.0, side * 0.10, 0.0), (0.13, 0.14), "trousers", swing_m=(knee, side * SWING_M))
        maker.bar((-0.08, side * 0.10, 0.04), (0.18, side * 0.10, 0.04), (0.11, 0.08), "dark", swing_m=(side * SWING_M, side * SWING_M))
        maker.bar((0.0, side * 0.27, shoulder), (0.02, side * 0.29, 0.88), (0.10, 0.12), "paint", swing_m=(0.0, -side * 0.22))
        maker.bar((0.02, side * 0.29, 0.88), (0.02, side * 0.29, 0.78), (0.08, 0.09), "skin", swing_m=(-side * 0.22, -side * 0.25))
    coat = (0.84, 0.84, 0.62)[variant]
    maker.block((-0.12, 0.12, 0.17, coat), (-0.13, 0.13, 0.24, shoulder), "paint")
    maker.block((-0.13, 0.13, 0.24, shoulder), (-0.07, 0.07, 0.09, 1.50), "paint")
    maker.block((-0.09, 0.10, 0.08, 1.48), (-0.10, 0.11, 0.09, 1.68), "skin")
    maker.block((-0.13, 0.02, 0.10, 1.52), (-0.12, 0.02, 0.10, 1.68), "dark")
    maker.block((-0.13, 0.12, 0.10, 1.67), (-0.09, 0.07, 0.07, 1.75), "dark")
    return 0.55, 0.65, 1.75
