"""What a planner sees at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_contracts.images import Frame
from mimic_contracts.rig import Rig
from mimic_contracts.scene import Scene
from mimic_contracts.validation import check_array, check_choice, check_number, check_stamp_ns

MAX_CURVATURE_1PM = 2.0
ROUTE_POINTS = 4  # how many points ahead a planner is told of at most
ROUTE_COMMANDS = ("follow", "left", "right", "straight", "u_turn", "park")


@dataclass(frozen=True, kw_only=True)
class EgoState:
    """The vehicle's own motion; None: not recorded, and therefore masked. Left turns are positive."""

    speed_mps: float | None = None
    acceleration_mps2: float | None = None
    yaw_rate_radps: float | None = None
    curvature_1pm: float | None = None
    steering_wheel_rad: float | None = None

    def __post_init__(self) -> None:
        bounds = {"speed_mps": 100.0, "acceleration_mps2": 50.0, "yaw_rate_radps": 10.0, "curvature_1pm": MAX_CURVATURE_1PM, "steering_wheel_rad": 20.0}
        for name, bound in bounds.items():
            if getattr(self, name) is not None:
                check_number(f"ego.{name}", getattr(self, name), low=-bound, high=bound)

    @classmethod
    def from_motion(cls, *, speed_mps: float, yaw_rate_radps: float) -> "EgoState":
        """What odometry tells: speed, yaw rate, and above 1 m/s the curvature that follows from them, where it is one that
        a vehicle can drive."""
        curvature = yaw_rate_radps / speed_mps if speed_mps > 1.0 else None
        is_possible = curvature is not None and abs(curvature) <= MAX_CURVATURE_1PM
        return cls(speed_mps=speed_mps, yaw_rate_radps=yaw_rate_radps, curvature_1pm=curvature if is_possible else None)

    def as_arrays(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(5,) values in declared order, zero where missing, and (5,) validity bits."""
        values = [getattr(self, f.name) for f in fields(self)]
        return np.array([0.0 if v is None else v for v in values]), np.array([v is not None for v in values])


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where to go, as a navigation map knows it: command, and road-level points (N, 2) float64, m, vehicle frame,
    about every 30 m ahead, the nearest first, at most ROUTE_POINTS, with metres of error; never the lane's centre.
    (0, 2): none."""

    command: str = "follow"
    points_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))

    def __post_init__(self) -> None:
        check_choice("route.command", self.command, ROUTE_COMMANDS)
        check_array("route.points_m", self.points_m, shape=(None, 2), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """stamp_ns: exposure of the reference camera; frames: camera name → Frame; scene: only for rule-based planners."""

    stamp_ns: int
    frames: Mapping[str, Frame]
    ego: EgoState = field(default_factory=EgoState)
    route: Route = field(default_factory=Route)
    scene: Scene | None = None

    def __post_init__(self) -> None:
        check_stamp_ns("observation.stamp_ns", self.stamp_ns)

    def check_rig(self, rig: Rig) -> None:
        """Raise ContractError when a camera of the rig is missing, superfluous or has another size."""
        names = [camera.name for camera in rig.cameras]
        if set(self.frames) != set(names):
            raise ContractError(f"observation.frames: cameras are {sorted(self.frames)}, rig '{rig.name}' needs {names}")
        for camera in rig.cameras:
            check_array(f"observation.frames[{camera.name}].image", self.frames[camera.name].image, shape=camera.shape, dtype=np.uint8)
