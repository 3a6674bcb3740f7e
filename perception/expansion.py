"""What moves past a camera that drives straight ahead tells where ahead is, and how high the camera is above the road.

Pure numpy on tracked points. Axes are optical (x right, y down, z forward), points are normalised (x/z, y/z).
Source: the epipolar constraint t·(p × R p') = 0 (Longuet-Higgins, 1981), with the little rotation that the odometry does not tell
(a car nods) found along with t, as far as a prior lets it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

NOISE_PX = 0.3  # of a track, and what more than three times as far from its line is somebody else's motion
NODDING_RAD = np.radians([0.3, 0.05, 0.1])  # about x, y, z from one picture to the next, beyond the odometry's turn: y is what it measures
WIDEST = np.tan(np.radians(15.0))  # how far from where it should be the focus of expansion is looked for
CANDIDATES = 300
SCALES = (8.0, 6.0, 4.0, 3.0, 2.0, 1.5, 1.0, 1.0, 1.0, 1.0)  # of the noise: what nods is far off at first, what drives by itself stays so
MIN_FLOW_PX = 0.7  # less tells no direction
MIN_TRACKS, MIN_SHARE = 25, 0.5  # that fit, and of all that move


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """ahead (3,): the direction of the camera's own motion, z = 1; turn_rad (3,): beyond the odometry's; sigma_rad (2,): of x and y of
    ahead; fits (N,): the tracks of what stands still."""

    ahead: Array
    turn_rad: Array
    sigma_rad: Array
    fits: Flags


def expansion(before: Array, after: Array, *, expected: Array, focal_px: float) -> Expansion | None:
    """The motion that made tracks (N, 2) → (N, 2) of normalised points, after the odometry's turn was taken out of them, for a camera
    that goes forward; expected: (2,) where its focus should be. None: they tell none."""
    noise = NOISE_PX / focal_px
    moves = np.linalg.norm(after - before, axis=1) > MIN_FLOW_PX / focal_px
    if moves.sum() < MIN_TRACKS:
        return None
    p, q = before[moves], after[moves]
    focus = _first_guess(p, q, expected=expected, noise=noise)
    unknown = np.concatenate([focus, np.zeros(3)])
    prior = np.diag(np.concatenate([np.zeros(2), (noise / NODDING_RAD) ** 2]))
    for scale in SCALES:
        residual, slope = _residual(p, q, unknown)
        weight = 1.0 / (1.0 + (residual / (scale * noise)) ** 2) ** 2
        normal = slope.T @ (slope * weight[:, None]) + prior
        if np.linalg.cond(normal) > 1e10:
            return None
        unknown = unknown - np.linalg.solve(normal, slope.T @ (weight * residual) + prior @ unknown)
    residual, slope = _residual(p, q, unknown)
    fits = np.abs(residual) < 3.0 * noise
    fits &= ((q - p) * (p - unknown[:2])).sum(axis=1) > 0.0  # it grows, as what one drives towards
    if fits.sum() < MIN_TRACKS or fits.mean() < MIN_SHARE or np.linalg.norm(unknown[:2] - expected) > WIDEST:
        return None
    scatter = max(float(np.sqrt(np.mean(residual[fits] ** 2))), noise / 3.0)
    covariance = np.linalg.inv(slope[fits].T @ slope[fits] / scatter**2 + np.diag(np.concatenate([np.zeros(2), NODDING_RAD**-2])))
    return Expansion(ahead=np.array([*unknown[:2], 1.0]), turn_rad=unknown[2:], sigma_rad=np.sqrt(np.diag(covariance)[:2]), fits=_spread_out(fits, moves))


def turned(points: Array, turn_rad: Array) -> Array:
    """Normalised points (N, 2) after a turn (3,) by a small angle, as exactly as an angle of some degrees needs."""
    angle = float(np.linalg.norm(turn_rad))
    rays = np.column_stack([points, np.ones(len(points))])
    if angle > 0.0:
        axis = turn_rad / angle
        rays = rays * np.cos(angle) + np.cross(axis, rays) * np.sin(angle) + np.outer(rays @ axis, axis) * (1.0 - np.cos(angle))
    return rays[:, :2] / rays[:, 2:]


def heights_m(before: Array, after: Array, *, ahead: Array, travel_m: float, down: Array) -> tuple[Array, Array]:
    """How far below the camera (N,) each point (N, 2) → (N, 2) is that stands still, turns taken out, and how much (N,) its flow tells
    of that, 0 to 1; down (3,): unit vector; travel_m: of the camera, along `ahead` (3,)."""
    focus = ahead[:2] / ahead[2]
    forward_m = travel_m * ahead[2] / float(np.linalg.norm(ahead))
    near, far = np.linalg.norm(after - focus, axis=1), np.linalg.norm(before - focus, axis=1)
    flow = np.maximum(near - far, 1e-9)
    depth_m = forward_m * near / flow
    return depth_m * (np.column_stack([before, np.ones(len(before))]) @ down), flow / np.maximum(near, 1e-9)


def _first_guess(p: Array, q: Array, *, expected: Array, noise: float) -> Array:
    """(2,) the crossing of two tracks that most tracks run through."""
    rng = np.random.default_rng(0)  # the same pictures, the same answer
    i, j = rng.integers(0, len(p), (2, CANDIDATES))
    lines = np.cross(np.column_stack([p, np.ones(len(p))]), np.column_stack([q, np.ones(len(p))]))
    crossing = np.cross(lines[i], lines[j])
    meets = np.abs(crossing[:, 2]) > 1e-12
    found = np.vstack([expected, crossing[meets, :2] / crossing[meets, 2:]])
    found = found[np.linalg.norm(found - expected, axis=1) < WIDEST]
    away = np.abs(found @ lines[:, :2].T + lines[:, 2]) / np.maximum(np.linalg.norm(q[None] - found[:, None], axis=2), 1e-9)
    return found[int(np.argmin(np.minimum(away, 3.0 * noise).sum(axis=1)))]


def _residual(p: Array, q: Array, unknown: Array) -> tuple[Array, Array]:
    """(N,) how far each point is from the line that it should move along, and (N, 5) how that changes with focus and turn."""
    ones = np.ones((len(p), 1))
    a, b = np.hstack([p, ones]), np.hstack([q, ones])
    t, turn = np.array([*unknown[:2], 1.0]), unknown[2:]
    back = b + np.cross(turn, b)
    apart = np.maximum(np.linalg.norm(back[:, :2] - back[:, 2:] * t[:2], axis=1), 1e-6)
    normal = np.cross(a, back)
    along_t = np.cross(t, a)  # t·(a × (w × b)) = (t × a)·(w × b) = w·(b × (t × a))
    return normal @ t / apart, np.hstack([normal[:, :2], np.cross(b, along_t)]) / apart[:, None]


def _spread_out(fits: Flags, moves: Flags) -> Flags:
    whole = np.zeros(len(moves), bool)
    whole[moves] = fits
    return whole
