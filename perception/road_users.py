"""How road users that stand out (perception.points) are written down, each a row of ROAD_USER_VALUES numbers."""

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import BOX_VALUES

ROAD_USERS = 32  # of all cameras together, at most
SCORE, PLACE, AHEAD = 0, slice(1, 3), slice(3, 5)  # place: x, y over TYPICAL_PLACE_M; ahead: the unit vector that it faces;
KINDS = slice(AHEAD.stop, AHEAD.stop + len(AGENT_KINDS))  # probabilities
BOX = slice(KINDS.stop, KINDS.stop + BOX_VALUES)  # see perception.agent_boxes
ROAD_USER_VALUES = BOX.stop
TYPICAL_PLACE_M = 30.0


def carried(users: NDArray[np.floating], driven: NDArray[np.float64]) -> NDArray[np.float32]:
    """Road users (K, ROAD_USER_VALUES) as they were seen from where the vehicle was, from where it is now; driven: (3,) [x_m, y_m,
    yaw_rad] its pose now in the frame of then."""
    moved = users.astype(np.float32)
    cos, sin = np.cos(driven[2]), np.sin(driven[2])
    turn = np.array([[cos, -sin], [sin, cos]])  # of row vectors
    moved[:, PLACE] = (users[:, PLACE] - driven[:2] / TYPICAL_PLACE_M) @ turn
    moved[:, AHEAD] = users[:, AHEAD] @ turn
    return moved
