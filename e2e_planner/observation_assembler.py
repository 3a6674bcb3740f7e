"""Pictures and vehicle signals that arrive on their own become observations."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_contracts.images import Frame
from mimic_contracts.motion import points_to_frame
from mimic_contracts.observation import ROUTE_POINTS, EgoState, Observation, Route
from mimic_contracts.scene import Scene

KEPT = 200  # states kept, some seconds of odometry


class ObservationAssembler:
    """Finds for each frame the vehicle's state at its exposure, and the Scene, where the policy needs one."""

    def __init__(self, *, odometry_required: bool, tolerance_ns: int, scene_required: bool = False) -> None:
        self._is_required, self._is_scene_required = odometry_required, scene_required
        self._tolerance_ns = tolerance_ns
        self._states: deque[tuple[int, EgoState, NDArray[np.float64] | None]] = deque(maxlen=KEPT)
        self._command = "follow"
        self._route_m, self._is_route_fixed = np.zeros((0, 2)), False
        self._scene: tuple[int, Scene] | None = None

    def add_ego(self, ego: EgoState, *, stamp_ns: int, pose: NDArray[np.float64] | None = None) -> None:
        """Note the vehicle's state; pose: (3,) [x_m, y_m, yaw_rad] in the odometry's frame, which a fixed route needs."""
        if self._states and stamp_ns < self._states[-1][0]:
            self._states.clear()  # the clock was set back
        self._states.append((stamp_ns, ego, pose))

    def set_route_command(self, command: str) -> None:
        """Note what to do next, of ROUTE_COMMANDS; raises ContractError on anything else."""
        self._command = Route(command=command).command

    def set_route_points(self, points_m: NDArray[np.float64], *, is_fixed: bool) -> None:
        """Note the road-level points (N, 2) ahead; is_fixed: they are in the odometry's frame, else in the vehicle's."""
        self._route_m, self._is_route_fixed = points_m[:ROUTE_POINTS], is_fixed

    def set_scene(self, scene: Scene, *, stamp_ns: int) -> None:
        """Note what can be seen."""
        self._scene = (stamp_ns, scene)

    def is_complete(self, stamp_ns: int) -> bool:
        """Whether all that is required was noted with exactly this stamp."""
        has_state = not self._is_required or any(stamp == stamp_ns for stamp, *_ in self._states)
        has_scene = not self._is_scene_required or (self._scene is not None and self._scene[0] == stamp_ns)
        return has_state and has_scene

    def assemble(self, frames: dict[str, Frame], *, stamp_ns: int) -> Observation:
        """The observation of these frames; raises MimicError when odometry or a Scene is required and none is near enough."""
        scene = self._scene_at(stamp_ns)
        nearest = min(self._states, key=lambda entry: abs(entry[0] - stamp_ns), default=None)
        if nearest is None or abs(nearest[0] - stamp_ns) > self._tolerance_ns:
            if self._is_required:
                found = "none has arrived" if nearest is None else f"the nearest is {(nearest[0] - stamp_ns) / 1e9:+.3f} s away"
                raise MimicError(f"no odometry within {self._tolerance_ns / 1e9} s of the picture: {found}")
            return Observation(stamp_ns=stamp_ns, frames=frames, route=self._route(None), scene=scene)
        _, ego, pose = nearest
        return Observation(stamp_ns=stamp_ns, frames=frames, ego=ego, route=self._route(pose), scene=scene)

    def _route(self, pose: NDArray[np.float64] | None) -> Route:
        """Where to go from a pose; without one, fixed points mean nothing."""
        if not self._is_route_fixed:
            return Route(command=self._command, points_m=self._route_m)
        return Route(command=self._command) if pose is None else Route(command=self._command, points_m=points_to_frame(self._route_m, pose))

    def _scene_at(self, stamp_ns: int) -> Scene | None:
        if not self._is_scene_required:
            return None
        if self._scene is None or abs(self._scene[0] - stamp_ns) > self._tolerance_ns:
            found = "none has arrived" if self._scene is None else f"the last is {(self._scene[0] - stamp_ns) / 1e9:+.3f} s away"
            raise MimicError(f"no Scene within {self._tolerance_ns / 1e9} s of the picture: {found}; the simulator sends Scenes with publishes_scene")
        return self._scene[1]
