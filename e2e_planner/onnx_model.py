"""What every exported network needs at run time: its card, a session, and inputs made of observations as in training."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from e2e_planner.recall import Recall
from e2e_planner.recipe import route_values
from e2e_planner.standing import LastStop, StandingClock
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import Observation
from perception.road_users import ROAD_USER_VALUES, ROAD_USERS, carried

HISTORY_TOLERANCE_S = 0.06  # as in training (e2e_planner.dataset)
Planes = Mapping[str, NDArray[np.uint8]]  # camera → (3, H, W), turned once and kept so for when it is the earlier picture


class Inputs:
    """Makes a network's inputs of the observations of a drive, in their order.

    cameras: whose pictures it sees, none: it has no eyes; recipe: of its card; ego_scales: over which it is told its signals.
    """

    def __init__(self, cameras: Sequence[str], *, recipe: Mapping[str, Any], ego_scales: Mapping[str, float]) -> None:
        self._cameras = tuple(cameras)
        self._history_ns = round(recipe["history_s"] * 1e9)
        self._has_route_points = bool(recipe["has_route_points"])
        self._recall: Recall[NDArray[np.float32]] | None = Recall(recipe["recall_s"]) if recipe.get("recall_s") else None
        self._pairs: dict[str, NDArray[np.uint8]] = {}  # by camera, to be filled anew for each observation
        self._ego_scales = {name: float(ego_scales[name]) for name in recipe["ego_inputs"]}
        self.reset()

    def reset(self) -> None:
        """Forget earlier pictures and road users, and for how long the vehicle has stood."""
        self._seen: deque[tuple[int, Planes]] = deque()
        self._standing = StandingClock()
        if self._recall is not None:
            self._recall.reset()

    def of(self, observation: Observation) -> dict[str, NDArray[Any]]:
        """picture_CAMERA (1, 6, H, W) uint8 [RGB now, RGB history_s ago], which the next call overwrites; ego (1, 2·E) float32,
        scaled values and validity bits; route (1, R) float32; for a network that remembers, recalled (1, ROAD_USERS,
        ROAD_USER_VALUES) float32."""
        now = {camera: np.ascontiguousarray(observation.frames[camera].image.transpose(2, 0, 1)) for camera in self._cameras}
        earlier = self._earlier(observation.stamp_ns, now)
        feeds: dict[str, NDArray[Any]] = {}
        for camera, planes in now.items():
            if camera not in self._pairs:
                self._pairs[camera] = np.empty((1, 6, *planes.shape[1:]), np.uint8)
            pair = self._pairs[camera]
            pair[0, :3], pair[0, 3:] = planes, earlier[camera]
            feeds[f"picture_{camera}"] = pair
        stop = self._standing.at(observation.stamp_ns, observation.ego.speed_mps)
        sources = {name: stop if name in LastStop._fields else observation.ego for name in self._ego_scales}
        values = [None if source is None else getattr(source, name) for name, source in sources.items()]
        scaled = [0.0 if v is None else v / scale for v, scale in zip(values, self._ego_scales.values(), strict=True)]
        feeds["ego"] = np.array([scaled + [float(v is not None) for v in values]], np.float32)
        route = observation.route
        feeds["route"] = route_values(route.command, route.points_m, has_points=self._has_route_points)[None].astype(np.float32)
        if self._recall is not None:
            found = self._recall.at(observation.stamp_ns, observation.ego.speed_mps, observation.ego.yaw_rate_radps)
            feeds["recalled"] = np.zeros((1, ROAD_USERS, ROAD_USER_VALUES), np.float32) if found is None else carried(*found)[None]
        return feeds

    def note(self, road_users: NDArray[np.float32]) -> None:
        """What the network has found (ROAD_USERS, ROAD_USER_VALUES) in the observation before."""
        if self._recall is not None:
            self._recall.note(road_users)

    def _earlier(self, stamp_ns: int, now: Planes) -> Planes:
        """The pictures nearest to history_s ago, within the tolerance; else those of now again, as in training."""
        if self._seen and stamp_ns <= self._seen[-1][0]:
            self._seen.clear()  # the clock was set back: what was seen before has no place on the new time line
        self._seen.append((stamp_ns, now))
        wanted_ns = stamp_ns - self._history_ns
        while len(self._seen) > 1 and abs(self._seen[1][0] - wanted_ns) <= abs(self._seen[0][0] - wanted_ns):
            self._seen.popleft()
        seen_ns, earlier = self._seen[0]
        return earlier if abs(seen_ns - wanted_ns) <= HISTORY_TOLERANCE_S * 1e9 else now


def open_session(content: bytes, *, provider: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """One that computes the same bytes each time; raises MimicError where the provider is not available.

    threads: that compute; more than one share each operation, and sleep while there is nothing to do: by default they would
    keep the processor busy with waiting, and a car has other work for its few cores.
    """
    if provider not in onnxruntime.get_available_providers():
        raise MimicError(f"execution provider '{provider}' is not available, this ONNX Runtime has {', '.join(onnxruntime.get_available_providers())}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=[provider])


def read_file(path: Path) -> bytes:
    """A model or its card; raises MimicError."""
    try:
        return path.read_bytes()
    except OSError as error:
        mend = ": is the training finished? `mimic train … --resume` finishes it" if path.name == "card.json" else ""
        raise MimicError(f"{path}: cannot be read ({error.strerror}){mend}") from error


def read_card(path: Path) -> dict[str, Any]:
    """Raises MimicError when there is none, or it is damaged."""
    try:
        return dict(json.loads(read_file(path)))
    except ValueError as error:
        raise MimicError(f"{path}: is damaged: {error}") from error
