"""Road users as quads: their shapes, stretched to the actor's size, tinted, and placed in the world anew each tick."""

import zlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.labels import CLASS_INDEX
from mimic_sim.actor_shapes import PARTS, VARIANTS, Shape, actor_shape
from mimic_sim.actors import Actor
from mimic_sim.mesh import INSTANCE_STEP, VERTEX_FLOATS, MeshBuilder
from mimic_sim.scenery import NORTH, Scenery

BLINK_HZ = 1.5
STRIDE_M = 1.4  # two steps
GLASS, TYRE, METAL, SKIN = (0.16, 0.20, 0.24), (0.13, 0.13, 0.14), (0.62, 0.63, 0.65), (0.78, 0.58, 0.46)
TROUSERS = ((0.16, 0.19, 0.32), (0.20, 0.20, 0.21), (0.50, 0.44, 0.34))
# Lamps: off, on. A tint above 1.5 shines by itself (see shaders.py).
HEADLIGHT = ((0.85, 0.87, 0.88), (2.4, 2.3, 2.1))
TAIL = ((0.50, 0.06, 0.06), (1.6, 0.12, 0.10))
BRAKE = ((0.42, 0.05, 0.05), (2.6, 0.30, 0.22))
INDICATOR = ((0.70, 0.40, 0.12), (2.4, 1.15, 0.10))


def actor_quads(actors: Sequence[Actor], stamp_ns: int, *, lights: bool, shown: Sequence[int] | None = None, scenery: Scenery = NORTH) -> NDArray[np.float32]:
    """(4 Q, VERTEX_FLOATS) vertices as in mesh.Mesh of actors in the world, labelled by kind and 1 + index as instance.

    lights: head and tail lights are on; shown: indices of the actors to make, default all; scenery: has the shapes of cars.
    """
    alike: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for i in range(len(actors)) if shown is None else shown:
        kind, variant = actors[i].kind, _variant(actors[i])
        alike[kind, scenery.car_shapes[variant] if kind == "car" else variant].append(i)
    placed = [_placed(actor_shape(*look), [actors[i] for i in members], np.array(members) + 1, stamp_ns, lights) for look, members in alike.items()]
    return np.concatenate(placed) if placed else np.zeros((0, VERTEX_FLOATS), np.float32)


def shade_quads(actors: Sequence[Actor]) -> NDArray[np.float32]:
    """(4 n, VERTEX_FLOATS): a quad on the ground below each actor; texture coordinates run from -1 to 1 across it."""
    if not actors:
        return np.zeros((0, VERTEX_FLOATS), np.float32)
    corner = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    places = np.array([(a.x_m, a.y_m, a.yaw_rad, a.length_m / 2.0 + 0.2, a.width_m / 2.0 + 0.2) for a in actors])
    along, left = np.moveaxis(corner * places[:, None, 3:], 2, 0)
    c, s = np.cos(places[:, 2:3]), np.sin(places[:, 2:3])
    corners = np.stack([places[:, :1] + c * along - s * left, places[:, 1:2] + s * along + c * left, np.full_like(along, 0.03)], axis=2)
    builder = MeshBuilder()
    builder.add(corners, "plain", uv=np.broadcast_to(corner, (len(actors), 4, 2)))
    return builder.build().vertices


def _variant(actor: Actor) -> int:
    return zlib.crc32(actor.actor_id.encode()) % VARIANTS


def _placed(shape: Shape, actors: Sequence[Actor], instances: NDArray[np.int64], stamp_ns: int, lights: bool) -> NDArray[np.float32]:
    """(n · 4 Q, VERTEX_FLOATS): one shape as n actors."""
    x, y, yaw = np.array([(a.x_m, a.y_m, a.yaw_rad) for a in actors]).T
    c, s, zero = np.cos(yaw), np.sin(yaw), np.zeros(len(actors))
    turn = np.stack([c, s, zero, -s, c, zero, zero, zero, zero + 1.0], axis=1).reshape(-1, 3, 3).astype(np.float32)
    scale = (np.array([(a.length_m, a.width_m, a.height_m) for a in actors]) / shape.size_m).astype(np.float32)[:, None]
    step = np.sin(2.0 * np.pi * (x * c + y * s) / STRIDE_M).astype(np.float32)
    vertices = np.repeat(shape.vertices[None], len(actors), axis=0)
    vertices[:, :, 0] += step[:, None] * shape.swing_m
    vertices[:, :, 0:3] = (vertices[:, :, 0:3] * scale) @ turn + np.stack([x, y, zero], axis=1)[:, None].astype(np.float32)
    normals = vertices[:, :, 3:6] / scale
    vertices[:, :, 3:6] = normals / np.linalg.norm(normals, axis=2, keepdims=True) @ turn
    vertices[:, :, 9:12] = np.stack([_tints(actor, stamp_ns, lights) for actor in actors])[:, shape.part]
    vertices[:, :, 12] = (CLASS_INDEX[actors[0].kind] + INSTANCE_STEP * instances)[:, None]
    return vertices.reshape(-1, VERTEX_FLOATS)


def _tints(actor: Actor, stamp_ns: int, lights: bool) -> NDArray[np.float32]:
    """(PARTS, 3)"""
    lit = int(stamp_ns * 2 * BLINK_HZ) // 1_000_000_000 % 2 == 0
    tints = {
        "paint": np.sqrt(actor.colour),  # the shader squares tints
        "dark": TYRE,
        "glass": GLASS,
        "metal": METAL,
        "skin": SKIN,
        "trousers": TROUSERS[_variant(actor)],
        "headlight": HEADLIGHT[lights],
        "tail": TAIL[lights],
        "brake": BRAKE[actor.brake],
        "left": INDICATOR[lit and actor.indicator in ("left", "both")],
        "right": INDICATOR[lit and actor.indicator in ("right", "both")],
    }
    return np.array([tints[part] for part in PARTS], np.float32)
