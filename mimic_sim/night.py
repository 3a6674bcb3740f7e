"""Which lamps light a scene by night: the street lamps around the car, its own head lights and those of the nearest others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mimic_sim.actors import Actor
from mimic_sim.mesh import Mesh
from mimic_sim.textures import LAYER

MAX_LAMPS, MAX_BEAMS = 10, 5  # each costs something for every pixel
LAMP_REACH_M, LAMP_FADE_M = 75.0, 15.0  # faded in, so that no lamp is switched on by coming near
BEAM_AHEAD_M, BEAM_UP_M = 2.0, 0.75  # where the ego's head lights are
OTHERS_BEAM = 0.6  # of the ego's, so that nobody is dazzled


def street_lamps(mesh: Mesh) -> NDArray[np.float64]:
    """(L, 3) where the street lamps of a mesh shine."""
    quads = mesh.vertices.reshape(-1, 4, mesh.vertices.shape[1])
    return quads[quads[:, 0, 8] == LAYER["lamp"], :, :3].mean(axis=1, dtype=np.float64)


def nearest_lamps(lamps_m: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 4) [x, y, z, share of its light] of the lamps (L, 3) around the car, at most MAX_LAMPS."""
    away = np.hypot(*(lamps_m[:, :2] - pose[:2] - 25.0 * np.array([np.cos(pose[2]), np.sin(pose[2])])).T)
    first = np.argsort(away, kind="stable")[: MAX_LAMPS + 1]
    reach = min(LAMP_REACH_M, away[first[-1]]) if len(first) > MAX_LAMPS else LAMP_REACH_M
    first = first[:MAX_LAMPS]
    share = np.clip((reach - away[first]) / LAMP_FADE_M, 0.0, 1.0)
    return np.column_stack([lamps_m[first], share])[share > 0.0]


def beams(actors: Sequence[Actor], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 6) [x, y, z, x and y of the direction, share of the ego's light]: the ego's first, then of actors, near ones first."""
    rows = [(pose[0], pose[1], pose[2], BEAM_AHEAD_M, BEAM_UP_M, 1.0)]
    vehicles = [a for a in actors if a.kind not in ("pedestrian", "bicycle")]
    rows += [(a.x_m, a.y_m, a.yaw_rad, a.length_m / 2.0, BEAM_UP_M, OTHERS_BEAM) for a in vehicles[: MAX_BEAMS - 1]]
    x, y, yaw, ahead, up, share = np.array(rows).T
    c, s = np.cos(yaw), np.sin(yaw)
    return np.column_stack([x + ahead * c, y + ahead * s, up, c, s, share])
