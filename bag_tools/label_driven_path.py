"""Labels for recordings of which nothing is known but how they were driven: where the vehicle went soon after is road.

Flat ground is assumed, and that nothing stood in between: what drove ahead at that moment is labelled as road, too, where it
hides the path. So these labels are only half sure, and of one class.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bag_tools.clip_store import ClipFrames, ClipStore
from bag_tools.targets import driven_poses
from mimic_contracts.image_geometry import ground_points
from mimic_contracts.labels import CLASS_INDEX, DRIVEN_PATH, LABEL_STRIDE, NOT_LABELLED, FrameLabels
from mimic_contracts.motion import to_frame
from mimic_contracts.rig import CameraSpec, Rig

HORIZON_S, LONGEST_M = 4.0, 40.0
SHORTEST_M = 2.0  # who drives less within HORIZON_S shows no road
STEP_M = 0.5
WIDTH_M = 1.85  # of a car
CONFIDENCE = 0.5


def driven_path_labels(store: ClipStore, rig: Rig, *, width_m: float = WIDTH_M) -> Iterator[FrameLabels | None]:
    """Labels of every row of a store, in their order, for the first camera of its rig: 'road' where the vehicle, as wide as
    width_m, drove in the next HORIZON_S, at most LONGEST_M; all else is NOT_LABELLED. None where it did not drive
    far enough to be seen, or neither its pose nor its speed and yaw rate are known."""
    camera = rig.cameras[0]
    corridor = Corridor(camera, width_m=width_m)
    for clip in store.clips():
        frames = store.frames(clip.clip_id)
        for path in driven_paths(frames):
            classes = corridor.label(path) if path is not None else None
            if classes is None or (classes == NOT_LABELLED).all():
                yield None
            else:
                yield FrameLabels(source=DRIVEN_PATH, confidence=CONFIDENCE, semantic={camera.name: classes})


def driven_paths(frames: ClipFrames) -> Iterator[NDArray[np.float64] | None]:
    """For every frame (K, 3) poses [x_m, y_m, yaw_rad] in the vehicle frame there, every STEP_M along what is driven next;
    None where that is unknown, too short, or backwards. The end of a clip shortens it."""
    seconds = (frames.stamp_ns - frames.stamp_ns[0]) / 1e9
    poses = driven_poses(frames, seconds)
    for index, end in enumerate(np.searchsorted(seconds, seconds + HORIZON_S + 1e-6, side="right").tolist()):
        ahead = poses[index:end]
        known = np.isfinite(ahead).all(axis=1)
        ahead = ahead[: len(ahead) if known.all() else int(np.argmin(known))]
        yield _resampled(to_frame(ahead, ahead[0])) if len(ahead) > 1 else None


class Corridor:
    """What a vehicle of a width drives over, as labels of a camera."""

    def __init__(self, camera: CameraSpec, *, width_m: float) -> None:
        self._shape = camera.height_px // LABEL_STRIDE, camera.width_px // LABEL_STRIDE
        v, u = np.mgrid[: self._shape[0], : self._shape[1]].astype(np.float64) * LABEL_STRIDE + (LABEL_STRIDE - 1) / 2.0
        points, is_ground = ground_points(camera, np.stack([u.ravel(), v.ravel()], axis=1))
        self._pixels = np.flatnonzero(is_ground & (np.hypot(points[:, 0], points[:, 1]) < LONGEST_M + STEP_M))
        self._points, self._half_m = points[self._pixels], width_m / 2.0

    def label(self, path: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(H / 4, W / 4) classes of a path (K, 3) of poses every STEP_M."""
        c, s = np.cos(path[:, 2]), np.sin(path[:, 2])
        dx, dy = self._points[:, :1] - path[:, 0], self._points[:, 1:] - path[:, 1]
        is_driven = ((np.abs(c * dx + s * dy) <= STEP_M) & (np.abs(c * dy - s * dx) <= self._half_m)).any(axis=1)
        labels = np.full(self._shape[0] * self._shape[1], NOT_LABELLED, np.uint8)
        labels[self._pixels[is_driven]] = CLASS_INDEX["road"]
        return labels.reshape(self._shape)


def _resampled(poses: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(N, 3) poses in time → (K, 3) every STEP_M, from the first on."""
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(poses[:, :2], axis=0).T))])
    length_m = min(float(arc[-1]), LONGEST_M)
    last_x_m = float(np.interp(min(length_m, SHORTEST_M), arc, poses[:, 0]))
    if length_m < SHORTEST_M or last_x_m <= 0.0:
        return None
    moving = np.concatenate([[True], np.diff(arc) > 0.0])
    stations = np.arange(0.0, length_m + 1e-9, STEP_M)
    return np.stack([np.interp(stations, arc[moving], column[moving]) for column in (poses[:, 0], poses[:, 1], np.unwrap(poses[:, 2]))], axis=1)
