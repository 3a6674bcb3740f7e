"""Draws towns in four styles, each from a seed: grid, suburb, arterial and organic; and the first three slanted, so that streets that would
meet at right angles meet at 60° to 75° or 105° to 120°, and winding, so that all streets bend, within junctions, too.

Every town has signals, stop signs and priority junctions, sidewalks, zebra crossings, kerbs to park at, a narrow street and
a road outside with 80 km/h. No street is a dead end.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product
from typing import Literal

import numpy as np

from mimic_contracts.errors import ContractError
from mimic_contracts.validation import check_integer
from mimic_sim.town_streets import (
    COLLECTOR,
    GIVE_WAY,
    MAIN,
    NARROW,
    SIDE,
    SIGNALS,
    SIGNALS_IN_TURN,
    STOP,
    STOP_ALL,
    Points,
    Sketch,
    TownLayout,
    Warp,
)

MAX_SEED = 2**31 - 1
CORNER_M = 45.0  # how long before its corner a street begins to bend
LOOP_M = 26.0  # radius of a turning loop
RINGS_M = (75.0, 165.0, 260.0)  # radii of the organic town
SLANTED_STRETCH = (1.15, 1.3)  # of a slanted town along one diagonal; it shrinks as much along the other
WINDING_AMPLITUDE_M, WINDING_WAVELENGTH_M = 22.0, 220.0  # of a winding town, instead of its style's: bends of about 100 m

Shape = Literal["", "slanted", "winding"]


def town_layout(style: str, seed: int) -> TownLayout:
    """The town of a style and a seed; raises ContractError on an unknown style or a seed outside 0 … 2³¹ − 1."""
    if style not in STYLES:
        raise ContractError(f"style: is '{style}', must be one of {', '.join(STYLES)}")
    check_integer("seed", seed, low=0, high=MAX_SEED)
    return STYLES[style](np.random.default_rng([seed, *style.encode()]))


def grid(rng: np.random.Generator, *, shape: Shape = "") -> TownLayout:
    """Blocks: two main streets with signals, stop signs elsewhere, a collector road around."""
    columns, rows = (_spread(rng.uniform(105.0, 165.0, 4)) for _ in range(2))
    main_x, main_y = (int(line) for line in rng.integers(1, 4, 2))
    narrow_y = int(rng.choice([j for j in (1, 2, 3) if j != main_y]))
    sketch = Sketch(_warp(rng, amplitude_m=9.0, wavelength_m=420.0, shape=shape))
    on_main, at_edge, inside = (_mixed(rng, two, count) for two, count in (((SIGNALS, STOP), 4), ((GIVE_WAY, STOP), 8), ((STOP_ALL, STOP), 4)))
    nodes = {}
    for i, j in product(range(5), range(5)):
        mains, edges = (i == main_x) + (j == main_y), (i in (0, 4)) + (j in (0, 4))
        if edges < 2:  # in the corners the road around bends
            control = SIGNALS if mains + edges == 2 else next(on_main if mains else at_edge if edges else inside)
            nodes[i, j] = sketch.junction((columns[i], rows[j]), control)
    left_out = _left_out(rng, main_x, main_y)
    for (i, j), start in nodes.items():
        for across in ((i + 1, j), (i, j + 1)):
            in_row = across[1] == j
            line, main = (j, main_y) if in_row else (i, main_x)
            end = nodes.get(across)
            if end is None or {(i, j), across} in left_out:
                continue
            if line == main:
                sketch.street(start, end, MAIN)
            elif line in (0, 4):
                sketch.street(start, end, COLLECTOR, has_zebra=(i + j) % 2 == 1)
            elif in_row and j == narrow_y:
                sketch.street(start, end, NARROW, parking=(True, False))
            else:
                sketch.street(start, end, SIDE, parking=_kerbs(rng), has_zebra=rng.random() < 0.15)
    for i, j in ((0, 0), (0, 4), (4, 0), (4, 4)):
        corner = np.array([columns[i], rows[j]])
        beside_x, beside_y = nodes[1 if i == 0 else 3, j], nodes[i, 1 if j == 0 else 3]
        sketch.street(beside_x, beside_y, COLLECTOR, via=_bend(sketch.place(beside_x), corner, sketch.place(beside_y)))

    out = rng.uniform(95.0, 130.0)
    east, north, west, south = nodes[4, main_y], nodes[main_x, 4], nodes[0, main_y], nodes[main_x, 0]
    for start, end, i, j in ((east, north, 1, 1), (west, south, -1, -1)):
        corner = np.array([i * (abs(columns[0]) + out), j * (abs(rows[0]) + out)])
        _around(sketch, start, end, corner)
    return sketch.layout()


def _left_out(rng: np.random.Generator, main_x: int, main_y: int) -> list[set[tuple[int, int]]]:
    """Two side streets inside the grid that are not built, each by its ends, without an end in common."""
    across = [{(i, j), (i + 1, j)} for i in (1, 2) for j in (1, 2, 3) if j != main_y]
    up = [{(i, j), (i, j + 1)} for i in (1, 2, 3) for j in (1, 2) if i != main_x]
    pairs = [[one, other] for one in across for other in up if not one & other]
    return pairs[rng.integers(len(pairs))]


def suburb(rng: np.random.Generator, *, shape: Shape = "") -> TownLayout:
    """A collector road around and one across, and residential streets that begin and end there, some with a turning loop."""
    sketch = Sketch(_warp(rng, amplitude_m=10.0, wavelength_m=350.0, shape=shape))
    wide, high = rng.uniform(255.0, 285.0), rng.uniform(185.0, 205.0)
    angles = np.radians(36.0 * np.arange(10) + rng.uniform(-4.0, 4.0, 10))

    def on_ring(angle: float, out_m: float = 0.0) -> Points:
        circle, radii = np.array([np.cos(angle), np.sin(angle)]), np.array([wide, high])
        return radii * circle + out_m * circle / radii / np.hypot(*(circle / radii))

    mixed = _mixed(rng, (GIVE_WAY, STOP), 10)
    controls = [{0: SIGNALS, 2: STOP_ALL, 5: SIGNALS}.get(k) or next(mixed) for k in range(10)]
    ring = [sketch.junction(on_ring(angle), control) for angle, control in zip(angles, controls, strict=True)]
    for k, (a, b) in enumerate(pairwise([*angles, angles[0] + 2.0 * np.pi])):
        via = [on_ring(a + part * (b - a), 5.0) for part in (0.25, 0.5, 0.75)]
        sketch.street(ring[k], ring[(k + 1) % 10], COLLECTOR, via=via, has_zebra=k in (1, 7))

    bow = rng.uniform(15.0, 30.0) * rng.choice([-1.0, 1.0])
    west, middle, east = (sketch.junction((x, y), control) for x, y, control in ((-125.0, bow, STOP), (0.0, 0.0, SIGNALS), (125.0, -bow, STOP)))
    for start, end in ((ring[5], west), (west, middle), (middle, east), (east, ring[0])):
        (ax, ay), (bx, by) = sketch.place(start), sketch.place(end)
        sketch.street(start, end, COLLECTOR, via=[(ax + 0.35 * (bx - ax), ay), (ax + 0.65 * (bx - ax), by)])
    for side, outer in ((1.0, ring[2]), (-1.0, ring[7])):  # a street that bulges from the one across, with a way out of it
        inner = sketch.junction((rng.uniform(-15.0, 15.0), side * rng.uniform(88.0, 100.0)), str(rng.choice([STOP_ALL, STOP])))
        y = sketch.place(inner)[1]
        for start, x in ((west, -125.0), (east, 125.0)):
            sketch.street(start, inner, SIDE, via=[(x, y - side * 35.0), (0.9 * x, y), (0.6 * x, y)], parking=_kerbs(rng), has_zebra=rng.random() < 0.3)
        sketch.street(inner, middle, NARROW, parking=(True, False))
        x_outer, y_outer = sketch.place(outer)
        sketch.street(inner, outer, SIDE, via=[(sketch.place(inner)[0], y + side * 35.0), (0.8 * x_outer, 0.75 * y_outer)], parking=_kerbs(rng))

    _turning_loop(sketch, ring[8], on_ring(angles[8], 1.0) - on_ring(angles[8]))
    for first in (1, 3, 6):  # outside: from one junction of the ring to the next
        a, b = angles[first], angles[first + 1]
        bulge_m = rng.uniform(75.0, 95.0)
        top = sketch.junction(on_ring((a + b) / 2.0, bulge_m), next(mixed))
        for k, sign in ((first, 1.0), (first + 1, -1.0)):
            via = [on_ring(angles[k], 0.6 * bulge_m), on_ring(angles[k] + sign * 0.2 * (b - a), bulge_m)]
            sketch.street(ring[k], top, SIDE, via=via, parking=_kerbs(rng))
        _turning_loop(sketch, top, on_ring((a + b) / 2.0, bulge_m + 1.0) - on_ring((a + b) / 2.0, bulge_m))

    sketch.road_outside(
        ring[9],
        ring[0],
        via=[on_ring(angles[9], 110.0), on_ring(angles[9], 190.0), on_ring(angles[9] + 0.3, 250.0), on_ring(angles[0], 190.0), on_ring(angles[0], 110.0)],
    )
    return sketch.layout()


def _turning_loop(sketch: Sketch, start: str, outwards: Points) -> None:
    """A short street that ends in a loop around some houses."""
    ahead = outwards / np.hypot(*outwards)
    left = np.array([-ahead[1], ahead[0]])
    neck = sketch.junction(sketch.place(start) + 45.0 * ahead, GIVE_WAY)
    place = sketch.place(neck)
    sketch.street(start, neck, NARROW)
    loop = [place + LOOP_M * (along * ahead + aside * left) for along, aside in ((0.0, 0.41), (0.59, 1.0), (1.41, 1.0), (2.0, 0.41))]  # half an octagon
    back = [point - 2.0 * ((point - place) @ left) * left for point in loop[::-1]]
    sketch.street(neck, neck, NARROW, via=[*loop, *back], parking=(True, False), has_zebra=True)


def arterial(rng: np.random.Generator, *, shape: Shape = "") -> TownLayout:
    """A corridor of two lanes a direction, with lanes and phases for left turns, and staggered side streets behind it."""
    sketch = Sketch(_warp(rng, amplitude_m=14.0, wavelength_m=600.0, shape=shape))
    columns = _spread(rng.uniform(150.0, 180.0, 4))
    between = (columns[1:] + columns[:-1]) / 2.0 + rng.uniform(-12.0, 12.0, 4)
    ends = (columns[0], columns[4])  # where the left turns from outside have no lane of their own
    corridor = [sketch.junction((x, 0.0), SIGNALS_IN_TURN if x in ends else SIGNALS) for x in columns]
    for start, end in pairwise(corridor):  # at its two ends one lane leads on, and the other is for left turns anyway
        sketch.avenue(start, end, MAIN, left_lanes=(end != corridor[-1], start != corridor[0]))
    for side in (1.0, -1.0):
        near_y, far_y = side * rng.uniform(100.0, 120.0), side * rng.uniform(190.0, 215.0)
        inner = [sketch.junction((x, near_y), control) for x, control in zip(columns[1:4], _mixed(rng, (STOP, STOP_ALL), 3), strict=True)]
        half = [sketch.junction((x, near_y), control) for x, control in zip(between, _mixed(rng, (GIVE_WAY, STOP), 4), strict=True)]
        gate, other = (2, 1) if side > 0.0 else (1, 2)  # where the road outside comes in
        outer = {k: sketch.junction((between[k], far_y), control) for k, control in ((gate, SIGNALS), (other, STOP_ALL))}
        for start, end in zip(corridor[1:4], inner, strict=True):
            sketch.street(start, end, SIDE, parking=_kerbs(rng))
        for start, end in pairwise([half[0], inner[0], half[1], inner[1], half[2], inner[2], half[3]]):
            sketch.street(start, end, COLLECTOR, has_zebra=rng.random() < 0.25)
        for end, start in ((half[0], corridor[0]), (half[3], corridor[4])):
            corner = np.array([sketch.place(start)[0], near_y])
            sketch.street(start, end, COLLECTOR, via=_bend(sketch.place(start), corner, sketch.place(end)))
        sketch.street(half[gate], outer[gate], COLLECTOR)
        sketch.street(half[other], outer[other], SIDE, parking=_kerbs(rng))
        sketch.street(outer[1], outer[2], NARROW, parking=(True, False), has_zebra=True)
        for start, end in ((half[0], outer[1]), (half[3], outer[2])):
            corner = np.array([sketch.place(start)[0], far_y])
            sketch.street(start, end, NARROW, via=_bend(sketch.place(start), corner, sketch.place(end)), parking=_kerbs(rng))
        end_x = side * (columns[4] + rng.uniform(90.0, 110.0))
        _around(sketch, corridor[4 if side > 0.0 else 0], outer[gate], np.array([end_x, far_y + side * 90.0]))
    return sketch.layout(has_protected_lefts=True)


def organic(rng: np.random.Generator) -> TownLayout:
    """An old town: crooked rings around a market place and lanes between them that seldom meet head on."""
    sketch = Sketch(_warp(rng, amplitude_m=14.0, wavelength_m=260.0))
    waves, phases = rng.uniform(0.01, 0.05, (3, 2)), rng.uniform(0.0, 2.0 * np.pi, (3, 2))

    def at(ring: int, angle: float, out_m: float = 0.0) -> Points:
        wobble = 1.0 + (waves[ring] * np.sin(np.array([2.0, 3.0]) * angle + phases[ring])).sum()
        return (RINGS_M[ring] * wobble + out_m) * np.array([np.cos(angle), np.sin(angle)])

    inner = np.radians(72.0 * np.arange(5) + rng.uniform(-6.0, 6.0, 5))  # angles of the lanes from the first ring to the second
    gaps = np.diff([*inner, inner[0] + 2.0 * np.pi])
    outer = np.sort(np.concatenate([inner + part * gaps + np.radians(rng.uniform(-2.0, 2.0, 5)) for part in (0.36, 0.67)]))  # to the third
    gates = (0, 2, 5, 7)  # where the roads outside come in
    ways = [(0, inner), (1, np.sort(np.concatenate([inner, outer]))), (2, outer)]
    mixed = _mixed(rng, (STOP, GIVE_WAY, STOP_ALL), 30)
    rings = {}
    for ring, angles in ways:
        for k, angle in enumerate(angles):
            control = SIGNALS if ring == 2 and k in gates else next(mixed)
            rings[ring, angle] = sketch.junction(at(ring, angle), control)
    for (ring, angles), kind in zip(ways, (NARROW, SIDE, COLLECTOR), strict=True):
        for k, (a, b) in enumerate(pairwise([*angles, angles[0] + 2.0 * np.pi])):
            via = [at(ring, a + part * (b - a), rng.uniform(0.0, 6.0)) for part in (0.2, 0.5, 0.8)]
            parking = _kerbs(rng) if kind != COLLECTOR else (False, False)
            sketch.street(rings[ring, a], rings[ring, angles[(k + 1) % len(angles)]], kind, via=via, parking=parking, has_zebra=ring != 1 and k % 3 == 0)
    for ring, angles in ((0, inner), (1, outer)):
        for angle in angles:
            start, end = rings[ring, angle], rings[ring + 1, angle]
            via = [sketch.place(start) * (1 - part) + sketch.place(end) * part for part in (0.25, 0.5, 0.75)]
            via[1] = via[1] + 12.0 * rng.choice([-1.0, 1.0]) * np.array([-np.sin(angle), np.cos(angle)])
            sketch.street(start, end, NARROW if rng.random() < 0.6 else SIDE, via=via, parking=_kerbs(rng))
    for first, second in (gates[:2], gates[2:]):
        a, b = outer[first], outer[second]
        via = [at(2, a, 70.0), at(2, a + 0.2 * (b - a), 120.0), at(2, (a + b) / 2.0, 130.0), at(2, b - 0.2 * (b - a), 120.0), at(2, b, 70.0)]
        sketch.road_outside(rings[2, a], rings[2, b], via=via)
    return sketch.layout()


def _around(sketch: Sketch, start: str, end: str, corner: Points) -> None:
    """A road outside that leaves one junction to the side, turns around a corner and comes to another from above or below."""
    via = [np.array([corner[0], sketch.place(start)[1]]), corner, np.array([sketch.place(end)[0], corner[1]])]
    sketch.road_outside(start, end, via=via)


def _bend(before: Points, corner: Points, after: Points) -> list[Points]:
    """Points that round a corner."""
    towards = [(p - corner) / np.hypot(*(p - corner)) * min(CORNER_M, 0.45 * np.hypot(*(p - corner))) for p in (before, after)]
    return [corner + towards[0], corner, corner + towards[1]]


def _spread(gaps_m: Points) -> Points:
    """Coordinates with these gaps, the middle at 0."""
    places = np.concatenate([[0.0], np.cumsum(gaps_m)])
    return places - places[-1] / 2.0


def _mixed(rng: np.random.Generator, words: tuple[str, ...], count: int) -> Iterator[str]:
    """The words, each as often as the others, in random order."""
    return (str(word) for word in rng.permutation(np.resize(words, count)))


def _kerbs(rng: np.random.Generator) -> tuple[bool, bool]:
    """On which sides of a street cars park: mostly on one at least."""
    return ((True, True), (True, False), (False, True), (False, False))[rng.choice(4, p=[0.35, 0.25, 0.25, 0.15])]


def _warp(rng: np.random.Generator, *, amplitude_m: float, wavelength_m: float, shape: Shape = "") -> Warp:
    """A displacement that changes slowly from place to place, faster in a winding town; a slanted one is stretched along a diagonal before."""
    if shape == "winding":
        amplitude_m, wavelength_m = WINDING_AMPLITUDE_M, WINDING_WAVELENGTH_M
    directions, phases = rng.uniform(0.0, 2.0 * np.pi, (2, 3)), rng.uniform(0.0, 2.0 * np.pi, (2, 3))
    waves = 2.0 * np.pi / wavelength_m * np.stack([np.cos(directions), np.sin(directions)])  # (2, axis, wave)

    stretch = np.eye(2)
    if shape == "slanted":
        along, sign = rng.uniform(*SLANTED_STRETCH), rng.choice([-1.0, 1.0])
        stretch = np.array([[along + 1.0 / along, sign * (along - 1.0 / along)], [sign * (along - 1.0 / along), along + 1.0 / along]]) / 2.0

    def warp(points: Points) -> Points:
        points = points @ stretch
        return points + amplitude_m * np.sin(np.einsum("np,pdk->ndk", points, waves) + phases).mean(axis=-1)

    return warp


STYLES: dict[str, Callable[[np.random.Generator], TownLayout]] = {
    "grid": grid,
    "suburb": suburb,
    "arterial": arterial,
    "organic": organic,
    "slanted_grid": partial(grid, shape="slanted"),
    "slanted_suburb": partial(suburb, shape="slanted"),
    "slanted_arterial": partial(arterial, shape="slanted"),
    "winding_grid": partial(grid, shape="winding"),
    "winding_suburb": partial(suburb, shape="winding"),
    "winding_arterial": partial(arterial, shape="winding"),
}
