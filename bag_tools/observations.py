"""What a policy would have seen along a recorded clip."""

from collections.abc import Iterator

import numpy as np

from bag_tools.clip_store import EGO_SIGNALS, ClipFrames, ClipStore
from mimic_contracts.clip import Clip
from mimic_contracts.images import Frame
from mimic_contracts.observation import EgoState, Observation, Route

BATCH = 64  # pictures decoded at a time: enough for the table, little memory


def ego_at(frames: ClipFrames, index: int) -> EgoState:
    """The vehicle's motion at a frame; what was not recorded is None, but curvature follows from speed and yaw rate
    exactly as it does from odometry at run time."""
    values = {name: float(getattr(frames, name)[index]) for name in EGO_SIGNALS}
    known = {name: value for name, value in values.items() if not np.isnan(value)}
    if "curvature_1pm" not in known and "speed_mps" in known and "yaw_rate_radps" in known:
        derived = EgoState.from_motion(speed_mps=known["speed_mps"], yaw_rate_radps=known["yaw_rate_radps"])
        return EgoState(**known, curvature_1pm=derived.curvature_1pm)
    return EgoState(**known)


def route_at(frames: ClipFrames, index: int) -> Route:
    """The route as it was told at a frame; what was not recorded is 'follow' and no points."""
    points_m = frames.route_points[index]
    return Route(command=str(frames.route_command[index]), points_m=points_m[np.isfinite(points_m).all(axis=1)])


def clip_observations(store: ClipStore, clip: Clip) -> Iterator[Observation]:
    """The observations of a clip in time order; raises MimicError when the store has no such clip."""
    frames = store.frames(clip.clip_id)
    for first in range(0, len(frames), BATCH):
        rows = frames.row[first : first + BATCH]
        pictures = {camera: store.images(rows, camera) for camera in store.meta.cameras}
        for i in range(len(rows)):
            index, stamp_ns = first + i, int(frames.stamp_ns[first + i])
            yield Observation(
                stamp_ns=stamp_ns,
                frames={camera: Frame(image=images[i], stamp_ns=stamp_ns) for camera, images in pictures.items()},
                ego=ego_at(frames, index),
                route=route_at(frames, index),
            )
