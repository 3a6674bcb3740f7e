"""The kinematic bicycle, referred to the middle of the rear axle."""

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.motion import wrap_angle


def advance_pose(pose: NDArray[np.float64], *, distance_m: float, curvature_1pm: float) -> NDArray[np.float64]:
    """The pose (3,) [x_m, y_m, yaw_rad] after driving an exact arc of this length and curvature."""
    turn = distance_m * curvature_1pm
    # sin(x)/x and (1 - cos(x))/x stay exact near zero, where a straight line has no circle to turn on.
    along = distance_m * np.sinc(turn / np.pi)
    across = distance_m * np.sinc(turn / (2.0 * np.pi)) * np.sin(turn / 2.0)
    c, s = np.cos(pose[2]), np.sin(pose[2])
    return np.array([pose[0] + c * along - s * across, pose[1] + s * along + c * across, float(wrap_angle(pose[2] + turn))])


def road_wheel_angle(curvature_1pm: float, *, wheelbase_m: float) -> float:
    """Angle of the (virtual, middle) front wheel in rad, positive to the left: δ = atan(κ·L)."""
    return float(np.arctan(curvature_1pm * wheelbase_m))


def curvature_of_road_wheel(angle_rad: float, *, wheelbase_m: float) -> float:
    """Curvature in 1/m, positive to the left: κ = tan(δ)/L."""
    return float(np.tan(angle_rad) / wheelbase_m)
