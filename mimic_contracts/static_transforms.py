"""Where cameras are mounted, from the transforms that a vehicle publishes once."""

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_contracts.image_geometry import OPTICAL_FROM_BODY
from mimic_contracts.rig import Mounting

Array = NDArray[np.float64]


class StaticTransforms:
    """A tree of frames, as /tf_static tells it: each frame's pose in its parent."""

    def __init__(self) -> None:
        self._poses: dict[str, tuple[str, Array]] = {}

    def set(self, frame: str, *, parent: str, translation_m: Array, quaternion: Array) -> None:
        """Note a frame's pose in its parent: translation (3,) m, quaternion (4,) [x, y, z, w] of any length but zero.

        Raises MimicError when the numbers are no pose.
        """
        length = float(np.linalg.norm(quaternion))
        if not (np.isfinite(translation_m).all() and np.isfinite(length) and length > 1e-6):
            raise MimicError(f"transform of '{frame}' in '{parent}': translation {translation_m}, quaternion {quaternion} are no pose")
        pose = np.eye(4)
        pose[:3, :3] = _rotation(quaternion / length)
        pose[:3, 3] = translation_m
        self._poses[frame] = (parent, pose)

    def mounting(self, optical_frame: str, *, base_frame: str) -> Mounting:
        """The mounting of the camera whose pictures carry `optical_frame` (x right, y down, z forward; REP-103).

        Raises MimicError that tells how far the chain from the camera towards the vehicle's base frame leads.
        """
        pose, frame, seen = np.eye(4), optical_frame, [optical_frame]
        while frame != base_frame:
            if frame not in self._poses or len(seen) > len(self._poses) + 1:
                raise MimicError(f"mounting: no static transform leads from '{optical_frame}' to '{base_frame}': known is {' → '.join(seen)}")
            frame, step = self._poses[frame]
            pose = step @ pose
            seen.append(frame)
        return mounting_from_matrix(pose[:3, :3] @ OPTICAL_FROM_BODY, translation_m=pose[:3, 3])


def mounting_from_matrix(rotation: Array, *, translation_m: Array) -> Mounting:
    """The inverse of Mounting.rotation(): (3, 3), whose columns are the camera's body axes in the vehicle frame."""
    forward, left, up = rotation.T
    return Mounting(
        x_m=float(translation_m[0]),
        y_m=float(translation_m[1]),
        z_m=float(translation_m[2]),
        yaw_rad=float(np.arctan2(forward[1], forward[0])),
        pitch_rad=float(np.arctan2(-forward[2], np.hypot(forward[0], forward[1]))),
        roll_rad=float(np.arctan2(left[2], up[2])),
    )


def _rotation(quaternion: Array) -> Array:
    x, y, z, w = quaternion
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + 2.0 * w * cross + 2.0 * cross @ cross
