"""The calibration node without ROS: pictures and odometry in, what is known of a camera's mounting out."""

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.rig import CameraSpec, Mounting
from perception.calibration_parameters import CalibrationParameters
from perception.mounting_estimate import Judgement, MountingEstimate
from perception.mounting_sight import Grey, MountingSight
from perception.travel import Odometer

MIN_TRAVEL_M, MAX_TRAVEL_M = 1.0, 4.0  # between two pictures: less tells no direction, of more too little is in both
WAITING = 5  # pictures that may come before their odometry


class CalibrationCore:
    """One camera. It looks only while the vehicle drives fast and straight on: the rest tells less than it disturbs."""

    def __init__(self, camera: CameraSpec, mounting: Mounting, parameters: CalibrationParameters, *, blocks: Sequence[Sequence[float]] = ()) -> None:
        """camera: as the rig's pictures show it; mounting: with which they are made; blocks: remembered of earlier drives."""
        self._parameters = parameters
        self._sight = MountingSight(camera, mounting)
        self._estimate = MountingEstimate(
            mounting, angle_tolerance_rad=parameters.angle_tolerance_rad, height_tolerance_m=parameters.height_tolerance_m, blocks=blocks
        )
        self._odometer = Odometer()
        self._waiting: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=WAITING)
        self._before: tuple[int, Grey] | None = None
        self.looks = self.sightings = 0

    def note_odometry(self, *, stamp_ns: int, speed_mps: float, yaw_rate_radps: float) -> None:
        """Odometry arrived: finite numbers."""
        self._odometer.note(stamp_ns=stamp_ns, speed_mps=speed_mps, yaw_rate_radps=yaw_rate_radps)

    def note_picture(self, picture: NDArray[np.uint8], *, stamp_ns: int) -> bool:
        """A picture (H, W, 3) uint8 RGB arrived; whether there is a new block to remember."""
        self._waiting.append((stamp_ns, picture))
        is_new = False
        while self._waiting and self._waiting[0][0] <= self._odometer.latest_ns:
            is_new |= self._look(*self._waiting.popleft())
        return is_new

    @property
    def blocks(self) -> list[tuple[float, ...]]:
        """To be remembered for the next drive."""
        return self._estimate.blocks

    def judge(self) -> Judgement:
        """What is known now."""
        return self._estimate.judge()

    def _look(self, stamp_ns: int, picture: NDArray[np.uint8]) -> bool:
        p, before = self._parameters, self._before
        travel = None if before is None else self._odometer.between(before[0], stamp_ns)
        is_good = travel is not None and travel.min_speed_mps > p.min_speed_mps and travel.max_yaw_rate_radps < p.max_yaw_rate_radps
        if is_good and travel is not None and travel.distance_m < MIN_TRAVEL_M:
            return False
        self._before = after = (stamp_ns, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        if before is None or travel is None or not is_good or travel.distance_m > MAX_TRAVEL_M:
            return False
        self.looks += 1
        sighting = self._sight.compare(before[1], after[1], travel)
        if sighting is None:
            return False
        self.sightings += 1
        return self._estimate.add(sighting)
