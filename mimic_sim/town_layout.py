"""Draws towns in four styles, each from a seed: grid, suburb, arterial and organic.

Every town has signals, stop signs and priority junctions, sidewalks, zebra crossings, kerbs to park at, a narrow street and
a road outside with 80 km/h. No street is a dead end.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mimic_contracts.errors import UsageError
from mimic_contracts.validation import check_integer
from mimic_sim.town_streets import (
    COLLECTOR,
    ENTRY,
    GIVE_WAY,
    MAIN,
    NARROW,
    OUTSIDE,
    SIDE,
    SIGNALS,
    STOP,
    STOP_ALL,
    Points,
    Sketch,
    TownLayout,
    Warp,
)

CORNER_M = 28.0  # how long before its corner a street begins to bend
ENTRY_M = 70.0


def town_layout(style: str, seed: int) -> TownLayout:
    """The town of a style and a seed; raises UsageError that lists the styles, ContractError on a seed outside 0 ... 2**31 - 1."""
    if style not in STYLES:
        raise UsageError(f"--style: '{style}' is unknown, must be one of: {', '.join(STYLES)}")
    check_integer("seed", seed, low=0, high=2**31 - 1)
    return STYLES[style](np.random.default_rng([seed, *style.encode()]))


def grid(rng: np.random.Generator) -> TownLayout:
    """Blocks: two main streets with signals, stop signs elsewhere, a collector road around."""
    columns, rows = (_spread(rng.uniform(105.0, 165.0, 4)) for _ in range(2))
    main_x, main_y = rng.integers(1, 4, 2)
    narrow_y = int(rng.choice([j for j in (1, 2, 3) if j != main_y]))
    sketch = Sketch(_warp(rng, amplitude_m=9.0, wavelength_m=420.0))
    nodes = {}
    for i, x in enumerate(columns):
        for j, y in enumerate(rows):
            on_main, at_edge = (i == main_x) + (j == main_y), (i in (0, 4)) + (j in (0, 4))
            if at_edge == 2:
                continue  # the ring road bends there
            if on_main + at_edge == 2:
                control = SIGNALS
            elif on_main:
                control = str(rng.choice([SIGNALS, STOP]))
            else:
                control = str(rng.choice([GIVE_WAY, STOP] if at_edge else [STOP_ALL, STOP]))
            nodes[i, j] = sketch.junction(x, y, control)

    for (i, j), node in nodes.items():
        for across in ((i + 1, j), (i, j + 1)):
            if across not in nodes:
                continue
            in_row = across[1] == j
            if (j if in_row else i) == (main_y if in_row else main_x):
                sketch.street(node, nodes[across], MAIN)
            elif (j if in_row else i) in (0, 4):
                sketch.street(node, nodes[across], COLLECTOR, has_zebra=rng.random() < 0.4)
            else:
                kind = NARROW if in_row and j == narrow_y else SIDE
                sketch.street(node, nodes[across], kind, parking=_kerbs(rng), has_zebra=rng.random() < 0.15)
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


def _around(sketch: Sketch, start: str, end: str, corner: Points) -> None:
    """A road outside that leaves one junction to the side, turns around a corner and comes to another from above or below."""
    (ax, ay), (bx, by), (cx, cy) = sketch.place(start), sketch.place(end), corner
    first, second = np.array([cx, ay]), np.array([bx, cy])
    via = [*_bend(np.array([ax, ay]), first, corner), *_bend(first, corner, second), *_bend(corner, second, np.array([bx, by]))]
    sketch.road_outside(start, end, (ENTRY, OUTSIDE), via=via, entry_m=ENTRY_M)


def _bend(before: Points, corner: Points, after: Points) -> list[Points]:
    """Points that round a corner."""
    towards = [(p - corner) / np.hypot(*(p - corner)) * min(CORNER_M, 0.45 * np.hypot(*(p - corner))) for p in (before, after)]
    return [corner + towards[0], corner, corner + towards[1]]


def _spread(gaps_m: Points) -> Points:
    """Coordinates with these gaps, the middle at 0."""
    places = np.concatenate([[0.0], np.cumsum(gaps_m)])
    return places - places[-1] / 2.0


def _kerbs(rng: np.random.Generator) -> tuple[bool, bool]:
    """On which sides of a street cars park: mostly on one at least."""
    return ((True, True), (True, False), (False, True), (False, False))[rng.choice(4, p=[0.35, 0.25, 0.25, 0.15])]


def _warp(rng: np.random.Generator, *, amplitude_m: float, wavelength_m: float) -> Warp:
    """A displacement that changes slowly from place to place."""
    directions, phases = rng.uniform(0.0, 2.0 * np.pi, (2, 3)), rng.uniform(0.0, 2.0 * np.pi, (2, 3))
    waves = 2.0 * np.pi / wavelength_m * np.stack([np.cos(directions), np.sin(directions)])  # (2, axis, wave)

    def warp(points: Points) -> Points:
        return points + amplitude_m * np.sin(np.einsum("np,pdk->ndk", points, waves) + phases).mean(axis=-1)

    return warp


STYLES = {"grid": grid}
