"""Traffic signals and signs as geometry: posts, housings and faces stand in the scene; the lamps are made anew when they change."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_contracts.labels import CLASS_INDEX
from mimic_sim.mesh import VERTEX_FLOATS, MeshBuilder, turned
from mimic_sim.road_network import Sign, Signal

LAMPS = ("red", "yellow", "green")  # from above
LAMP_STEP_M, LAMP_RADIUS_M = 0.34, 0.14
HOUSING_M = (0.20, 0.40, 1.10)  # depth, width, height
ARM_M = 0.12  # thickness
BOARD_M = (0.03, 0.64, 1.40)  # behind the housing, so that it stands out against anything
QUADS_PER_LAMP = 3  # an octagon
QUADS_PER_SIGNAL = QUADS_PER_LAMP * len(LAMPS)
# A tint above 1 shines by itself, by night and in fog.
LIT = {"red": (2.6, 0.25, 0.15), "yellow": (2.4, 1.7, 0.2), "green": (0.2, 2.3, 0.9)}
DARK = {"red": (0.28, 0.07, 0.06), "yellow": (0.26, 0.21, 0.06), "green": (0.06, 0.22, 0.14)}
# What SUMO's characters light; a blinking yellow counts as lit.
SHOWN = {"r": {"red"}, "s": {"red"}, "u": {"red", "yellow"}, "y": {"yellow"}, "o": {"yellow"}, "g": {"green"}, "O": set()}
POST_TINT, HOUSING_TINT = np.array([0.38, 0.40, 0.41]), np.array([0.10, 0.11, 0.10])
SIGN_RED, SIGN_WHITE, SIGN_BACK = (0.78, 0.06, 0.08), (1.0, 1.0, 1.0), (0.45, 0.46, 0.47)
SIGN_HEIGHT_M, SIGN_RADIUS_M, LAYER_M = 2.3, 0.45, 0.006
STOP_LETTERS = (  # five rows
    "###.###.###.###",
    "#....#..#.#.#.#",
    "###..#..#.#.###",
    "..#..#..#.#.#..",
    "###..#..###.#..",
)


class Lamps:
    """The lamps of signals: their geometry once, their tints and classes by state."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._signals = signals
        self._states: dict[str, str] | None = None
        self._quads = np.concatenate([_lamps(signal) for signal in signals] or [np.zeros((0, VERTEX_FLOATS), np.float32)])

    def quads(self, states: Mapping[str, str]) -> NDArray[np.float32]:
        """(4 Q, VERTEX_FLOATS) vertices as in mesh.Mesh, Q = QUADS_PER_SIGNAL for each signal, in their order.

        states: SUMO's tlLogic id → its state string. Raises ContractError where a signal has no state in there.
        """
        if states != self._states:
            shown = [_lit(signal, states) for signal in self._signals]
            lamps = [(lamp, lamp in lit) for lit in shown for lamp in LAMPS]
            quads = self._quads.copy().reshape(-1, 4 * QUADS_PER_LAMP, VERTEX_FLOATS)
            quads[:, :, 9:12] = np.array([LIT[lamp] if shines else DARK[lamp] for lamp, shines in lamps], np.float32).reshape(-1, 1, 3)
            quads[:, :, 12] = np.array([CLASS_INDEX[f"{lamp}_lamp" if shines else "traffic_light"] for lamp, shines in lamps], np.float32)[:, None]
            self._quads, self._states = quads.reshape(-1, VERTEX_FLOATS), dict(states)
        return self._quads


def _lit(signal: Signal, states: Mapping[str, str]) -> set[str]:
    state, index = states.get(signal.signal_id), signal.link_indices[0]
    if state is None or index >= len(state):
        raise ContractError(f"signal '{signal.signal_id}': its state is {state!r}, must be a string with a character for link {index}")
    shown = SHOWN.get(state[index], SHOWN.get(state[index].lower()))
    if shown is None:
        raise ContractError(f"signal '{signal.signal_id}': link {index} is in state '{state[index]}', must be one of {''.join(SHOWN)}")
    return shown


def _lamps(signal: Signal) -> NDArray[np.float32]:
    builder = MeshBuilder("traffic_light")
    for k in range(len(LAMPS)):
        place = np.append(signal.position_m + np.array([0.0, 0.0, (1 - k) * LAMP_STEP_M]), signal.yaw_rad)
        _face(builder, _octagon(LAMP_RADIUS_M), place, HOUSING_M[0] / 2.0 + LAYER_M, (0.0, 0.0, 0.0))
    return builder.build().vertices


def add_signal(builder: MeshBuilder, signal: Signal) -> None:
    """The post, the arm, the housing and the board behind it; without lamps."""
    x, y, z = signal.position_m
    c, s = np.cos(signal.yaw_rad), np.sin(signal.yaw_rad)
    back = np.array([x, y, 0.0]) - (HOUSING_M[0] / 2.0 + 0.06) * np.array([c, s, 0.0])
    outwards = np.array([-s, c, 0.0])  # the right of those who face it
    housing, pole = builder.of("traffic_light"), builder.of("pole")
    pole.round(np.append(back + signal.arm_m * outwards, signal.yaw_rad), (0.0, z + HOUSING_M[2] / 2.0), np.array([0.07, 0.07]), "plain", POST_TINT)
    if signal.arm_m:
        middle = back + signal.arm_m / 2.0 * outwards + np.array([0.0, 0.0, z + HOUSING_M[2] / 2.0 - ARM_M])
        pole.box(np.append(middle, signal.yaw_rad), (ARM_M, signal.arm_m, ARM_M), "plain", tile_m=(1.0, 1.0), tint=POST_TINT)
    for size, tint in ((HOUSING_M, HOUSING_TINT), (BOARD_M, HOUSING_TINT)):
        housing.box(np.array([x, y, z - size[2] / 2.0, signal.yaw_rad]), size, "plain", tile_m=(1.0, 1.0), tint=tint)


def add_sign(builder: MeshBuilder, sign: Sign) -> None:
    """A post with a stop sign or a give-way sign."""
    place = np.array([*sign.position_m, 0.0, sign.yaw_rad])
    face = builder.of("sign")
    builder.of("pole").round(place, (0.0, SIGN_HEIGHT_M + 0.3), np.array([0.035, 0.035]), "plain", POST_TINT)
    middle = place + np.array([0.0, 0.0, SIGN_HEIGHT_M, 0.0])
    if sign.kind != "give_way":
        outline, inner = _octagon(SIGN_RADIUS_M), _octagon(0.93 * SIGN_RADIUS_M)
        layers = [(outline, SIGN_WHITE), (inner, SIGN_RED), (_letters(), SIGN_WHITE)]
    else:
        layers = [(_triangle(1.15 * SIGN_RADIUS_M), SIGN_RED), (_triangle(0.70 * SIGN_RADIUS_M), SIGN_WHITE)]
    for k, (corners, tint) in enumerate(layers):
        _face(face, corners, middle, 0.04 + k * LAYER_M, tint)
    _face(face, layers[0][0][:, ::-1], middle, 0.036, SIGN_BACK)


def _face(builder: MeshBuilder, corners_m: NDArray[np.float64], place: NDArray[np.float64], forward_m: float, tint: tuple[float, float, float]) -> None:
    """Quads (M, 4, 2) [left, up] that face forward from a place (4,) [x, y, z, yaw]."""
    corners = np.concatenate([np.full((*corners_m.shape[:2], 1), forward_m), corners_m], axis=2)
    builder.add(turned(corners, place), "plain", uv=corners_m, tint=tint)


def _octagon(radius_m: float) -> NDArray[np.float64]:
    """(3, 4, 2)"""
    angle = (np.arange(8) + 0.5) * np.pi / 4.0
    ring = radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return ring[np.array([[0, 1, 2, 3], [0, 3, 4, 7], [4, 5, 6, 7]])]


def _triangle(radius_m: float) -> NDArray[np.float64]:
    """(1, 4, 2), a corner down"""
    angle = -np.pi / 2.0 + np.arange(3) * 2.0 * np.pi / 3.0
    ring = radius_m * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return ring[np.array([[0, 1, 2, 2]])]


def _letters() -> NDArray[np.float64]:
    """(M, 4, 2): STOP in small cells; what lies to the left of the sign lies to the right of who looks at it."""
    rows, columns = len(STOP_LETTERS), len(STOP_LETTERS[0])
    size = 1.5 * SIGN_RADIUS_M / columns
    cells = np.array([(j - columns / 2.0, rows / 2.0 - i) for i, row in enumerate(STOP_LETTERS) for j, mark in enumerate(row) if mark == "#"])
    square = np.array([(0.0, 0.0), (0.0, -1.0), (1.0, -1.0), (1.0, 0.0)])
    return size * (cells[:, None] + square) * np.array([1.0, 1.5])
