"""Where a camera is mounted, from the transforms of /tf_static."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_contracts.image_geometry import OPTICAL_FROM_BODY
from mimic_contracts.rig import Mounting


@dataclass(frozen=True, kw_only=True, eq=False)
class Transform:
    """Pose of a child frame in its parent: rotation (3, 3), translation (3,) m."""

    parent: str
    rotation: NDArray[np.float64]
    translation_m: NDArray[np.float64]


def rotation_matrix(*, x: float, y: float, z: float, w: float) -> NDArray[np.float64]:
    """(3, 3) of a quaternion, normalised first; raises MimicError when it is zero."""
    norm = float(np.sqrt(x * x + y * y + z * z + w * w))
    if not np.isfinite(norm) or norm < 1e-9:
        raise MimicError(f"/tf_static: quaternion is ({x}, {y}, {z}, {w}), must have length 1")
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def mounting_from_transforms(transforms: Mapping[str, Transform], *, base_frame: str, optical_frame: str) -> Mounting:
    """Mounting of a camera whose optical frame (x right, y down, z forward) hangs below base_frame.

    transforms: child frame → Transform. Raises MimicError when no chain connects the two.
    """
    rotation, translation, frame, seen = np.eye(3), np.zeros(3), optical_frame, []
    while frame != base_frame:
        if frame not in transforms or frame in seen:
            raise MimicError(f"/tf_static: no chain from '{base_frame}' to '{optical_frame}'; give the camera's mounting in the topic map or vehicle file")
        seen.append(frame)
        step = transforms[frame]
        rotation, translation, frame = step.rotation @ rotation, step.rotation @ translation + step.translation_m, step.parent
    body = rotation @ OPTICAL_FROM_BODY
    return Mounting(
        x_m=float(translation[0]),
        y_m=float(translation[1]),
        z_m=float(translation[2]),
        yaw_rad=float(np.arctan2(body[1, 0], body[0, 0])),
        pitch_rad=float(np.arcsin(np.clip(-body[2, 0], -1.0, 1.0))),
        roll_rad=float(np.arctan2(body[2, 1], body[2, 2])),
    )
