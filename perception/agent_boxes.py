"""Road users as points of a picture: from labelled boxes to what the heads learn, and from what they say back to boxes.

A road user belongs to the place (LABEL_STRIDE pixels square) in which the middle of its box in the picture lies. There the
heads tell BOX_VALUES numbers of it; where it is in the vehicle frame follows from the depth and the bearing of its middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.labels import AGENT_COLUMNS, LABEL_STRIDE
from mimic_contracts.motion import wrap_angle
from mimic_contracts.rig import CameraSpec
from mimic_contracts.scene import AGENT_KINDS, INDICATORS

COLUMN = {name: index for index, name in enumerate(AGENT_COLUMNS)}
MIDDLE, SIZE, ASIDE, DEPTH, DIMENSIONS, FACING, SPEED, BRAKE = slice(0, 2), slice(2, 4), 4, 5, slice(6, 9), slice(9, 11), 11, 12
INDICATOR = slice(13, 13 + len(INDICATORS))  # logits
BOX_VALUES = INDICATOR.stop  # see encode
TYPICAL_PX, TYPICAL_DEPTH_M, TYPICAL_SPEED_MPS = 16.0, 20.0, 10.0
TYPICAL_M = np.array([4.5, 1.8, 1.6])  # length, width, height
NEAREST_M, FARTHEST_M = 1.0, 120.0
MIN_VISIBLE, MIN_HEIGHT_PX = 0.25, 4.0  # less of it need not be found
SPREAD = 0.15  # of the box, standard deviation of a middle's heat
SAME_M = {"pedestrian": 0.8, "bicycle": 1.2}  # two of a kind that are nearer to each other are one, seen twice;
SAME_VEHICLE_M = 2.5  # so are two vehicles, whichever kinds they are taken for

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class AgentTargets:
    """What the heads of one camera learn from one picture, h x w places.

    heat: (kinds, h, w) float32, 1 at middles, falling around them; counts: (h, w) bool, False where there is somebody who
    need not be found; place: (A,) int64 index into h·w; kind: (A,) int64; values: (A, BOX_VALUES) float32; the indicator as
    one-hot; is_solid: (A,) bool, whether all but the place in the picture is known.
    """

    heat: NDArray[np.float32]
    counts: NDArray[np.bool_]
    place: NDArray[np.int64]
    kind: NDArray[np.int64]
    values: NDArray[np.float32]
    is_solid: NDArray[np.bool_]


def encode(agents: NDArray[np.float32], camera: CameraSpec) -> AgentTargets:
    """Targets from labels (N, len(AGENT_COLUMNS)) of one picture.

    values: middle (u, v) from the place's own, in strides; log of the size in the picture, over TYPICAL_PX; how far right of
    the place the middle of the solid box appears, over TYPICAL_PX; log of its depth along the optical axis over
    TYPICAL_DEPTH_M; log of length, width, height over TYPICAL_M; sine and cosine of where it faces against the ray to it;
    speed over TYPICAL_SPEED_MPS; brake lights; indicator.
    """
    height, width = camera.height_px // LABEL_STRIDE, camera.width_px // LABEL_STRIDE
    heat = np.zeros((len(AGENT_KINDS), height, width), np.float32)
    counts = np.ones((height, width), bool)
    rows = agents.astype(np.float64)
    left, top, right, bottom = (rows[:, COLUMN[name]] for name in ("left_px", "top_px", "right_px", "bottom_px"))
    size = np.stack([right - left, bottom - top], axis=1).clip(min=1.0)
    middle = np.stack([(left + right) / 2.0, (top + bottom) / 2.0], axis=1) / LABEL_STRIDE + 0.5 / LABEL_STRIDE  # in places, edges at integers
    cell = np.floor(middle).astype(np.int64).clip(0, [width - 1, height - 1])
    is_wanted = (rows[:, COLUMN["visible"]] >= MIN_VISIBLE) & (size[:, 1] >= MIN_HEIGHT_PX)
    for i in np.flatnonzero(~is_wanted):
        first, last = np.floor(np.array([left[i], top[i]]) / LABEL_STRIDE), np.ceil(np.array([right[i], bottom[i]]) / LABEL_STRIDE)
        (u0, v0), (u1, v1) = first.astype(int).clip(0), last.astype(int)
        counts[v0 : v1 + 1, u0 : u1 + 1] = False
    wanted = np.flatnonzero(is_wanted)
    for i in wanted:
        _splat(heat[int(rows[i, COLUMN["kind"]])], cell[i], SPREAD * size[i] / LABEL_STRIDE)
        counts[cell[i, 1], cell[i, 0]] = True
    values = np.zeros((len(wanted), BOX_VALUES))
    some, at, of = rows[wanted], cell[wanted], size[wanted]
    values[:, MIDDLE] = middle[wanted] - at - 0.5
    values[:, SIZE] = np.log(of / TYPICAL_PX)
    aside_px, depth_m, bearing = _appearance(some, camera)
    values[:, ASIDE] = (aside_px - _pixels(at[:, 0])) / TYPICAL_PX
    is_solid = (depth_m > NEAREST_M) & np.isfinite(some).all(axis=1) & (np.abs(values[:, ASIDE]) < 8.0)
    values[:, DEPTH] = np.log(depth_m.clip(NEAREST_M) / TYPICAL_DEPTH_M)
    values[:, DIMENSIONS] = np.log(some[:, COLUMN["length_m"] : COLUMN["height_m"] + 1].clip(0.1) / TYPICAL_M)
    facing = some[:, COLUMN["yaw_rad"]] - bearing
    values[:, FACING] = np.stack([np.sin(facing), np.cos(facing)], axis=1)
    values[:, SPEED] = some[:, COLUMN["speed_mps"]] / TYPICAL_SPEED_MPS
    values[:, BRAKE] = some[:, COLUMN["brake"]]
    values[:, INDICATOR] = some[:, COLUMN["indicator"], None] == np.arange(len(INDICATORS))
    return AgentTargets(
        heat=heat,
        counts=counts,
        place=at[:, 1] * width + at[:, 0],
        kind=some[:, COLUMN["kind"]].astype(np.int64),
        values=np.nan_to_num(values).astype(np.float32),
        is_solid=is_solid,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """Road users that heads have found: rows (N, len(AGENT_COLUMNS)) as of labels (visible 1, track NaN), scores (N,), the
    most certain first."""

    rows: Array
    scores: Array


def decode(heat: Array, boxes: Array, camera: CameraSpec, *, min_score: float, most: int = 128) -> Found:
    """heat: (kinds, h, w) probabilities; boxes: (BOX_VALUES, h, w) as the heads give them, brake and indicator as logits."""
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-1.0)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    is_peak = (heat >= windows.max(axis=(3, 4))) & (heat >= min_score)
    is_peak &= heat >= heat.max(axis=0)  # of several kinds at one place the most likely one
    kind, v, u = np.nonzero(is_peak)
    scores = heat[kind, v, u].astype(np.float64)
    order = np.argsort(-scores, kind="stable")[:most]
    kind, v, u, scores = kind[order], v[order], u[order], scores[order]
    said = boxes[:, v, u].T.astype(np.float64)
    middle = (np.stack([u, v], axis=1) + 0.5 + said[:, MIDDLE] - 0.5 / LABEL_STRIDE) * LABEL_STRIDE
    half = TYPICAL_PX * np.exp(said[:, SIZE].clip(-4.0, 4.0)) / 2.0
    depth_m = (TYPICAL_DEPTH_M * np.exp(said[:, DEPTH].clip(-4.0, 3.0))).clip(NEAREST_M, FARTHEST_M)
    x, y, bearing = _placed(_pixels(u) + TYPICAL_PX * said[:, ASIDE], depth_m, camera)
    rows = np.full((len(kind), len(AGENT_COLUMNS)), np.nan)
    columns = {
        "kind": kind,
        "left_px": middle[:, 0] - half[:, 0],
        "top_px": middle[:, 1] - half[:, 1],
        "right_px": middle[:, 0] + half[:, 0],
        "bottom_px": middle[:, 1] + half[:, 1],
        "visible": np.ones(len(kind)),
        "x_m": x,
        "y_m": y,
        "yaw_rad": wrap_angle(np.arctan2(said[:, FACING.start], said[:, FACING.start + 1]) + bearing),
        "speed_mps": np.maximum(said[:, SPEED] * TYPICAL_SPEED_MPS, 0.0),
        "brake": said[:, BRAKE] > 0.0,
        "indicator": said[:, INDICATOR].argmax(axis=1),
    }
    for name, values in columns.items():
        rows[:, COLUMN[name]] = values
    rows[:, COLUMN["length_m"] : COLUMN["height_m"] + 1] = TYPICAL_M * np.exp(said[:, DIMENSIONS].clip(-2.5, 2.5))
    return Found(rows=rows, scores=scores)


def merge(found: Sequence[Found]) -> Found:
    """What the cameras of a rig have found, each road user once: of those at the same place the most certain one."""
    rows, scores = np.concatenate([f.rows for f in found]), np.concatenate([f.scores for f in found])
    order = np.argsort(-scores, kind="stable")
    rows, scores = rows[order], scores[order]
    kinds = [AGENT_KINDS[int(kind)] for kind in rows[:, COLUMN["kind"]]]
    groups = np.array([kind if kind in SAME_M else "vehicle" for kind in kinds])
    is_kept = np.ones(len(rows), bool)
    for i in range(len(rows)):
        if is_kept[i]:
            away_m = np.hypot(rows[:, COLUMN["x_m"]] - rows[i, COLUMN["x_m"]], rows[:, COLUMN["y_m"]] - rows[i, COLUMN["y_m"]])
            is_same = (away_m < SAME_M.get(kinds[i], SAME_VEHICLE_M)) & (groups == groups[i])
            is_kept[i + 1 :] &= ~is_same[i + 1 :]
    return Found(rows=rows[is_kept], scores=scores[is_kept])


def _splat(heat: NDArray[np.float32], cell: NDArray[np.int64], sigma: Array) -> None:
    """Raise the heat (h, w) around a cell (u, v), by a Gaussian of (2,) standard deviations in places."""
    sigma = sigma.clip(0.4)
    reach = np.ceil(3.0 * sigma).astype(int)
    u = np.arange(max(cell[0] - reach[0], 0), min(cell[0] + reach[0] + 1, heat.shape[1]))
    v = np.arange(max(cell[1] - reach[1], 0), min(cell[1] + reach[1] + 1, heat.shape[0]))
    bump = np.exp(-0.5 * (((v - cell[1]) / sigma[1]) ** 2)[:, None] - 0.5 * ((u - cell[0]) / sigma[0]) ** 2)
    window = heat[v[0] : v[-1] + 1, u[0] : u[-1] + 1]
    np.maximum(window, bump.astype(np.float32), out=window)


def _pixels(cell: NDArray[np.int64]) -> Array:
    """Pixels of the middles of places along an axis."""
    return np.asarray((cell + 0.5) * LABEL_STRIDE - 0.5, np.float64)


def _appearance(rows: Array, camera: CameraSpec) -> tuple[Array, Array, Array]:
    """(N,) each: the column (u, px) where the middle of a solid box appears, its depth along the optical axis, the bearing of
    the ray to it in the vehicle frame."""
    m = camera.mounting
    offset = rows[:, [COLUMN["x_m"], COLUMN["y_m"]]] - np.array([m.x_m, m.y_m])
    turn = m.yaw_rad
    ahead, left = np.cos(turn) * offset[:, 0] + np.sin(turn) * offset[:, 1], np.cos(turn) * offset[:, 1] - np.sin(turn) * offset[:, 0]
    k = camera.intrinsics()
    u_px: Array = k[0, 2] - k[0, 0] * left / ahead.clip(NEAREST_M)
    return u_px, ahead, np.arctan2(offset[:, 1], offset[:, 0])


def _placed(u_px: Array, depth_m: Array, camera: CameraSpec) -> tuple[Array, Array, Array]:
    """The inverse of _appearance: x_m, y_m and bearing, (N,) each."""
    m, k = camera.mounting, camera.intrinsics()
    left = depth_m * (k[0, 2] - u_px) / k[0, 0]
    c, s = np.cos(m.yaw_rad), np.sin(m.yaw_rad)
    dx, dy = c * depth_m - s * left, s * depth_m + c * left
    return m.x_m + dx, m.y_m + dy, np.arctan2(dy, dx)
