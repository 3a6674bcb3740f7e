"""How a camera that looks ahead is mounted, as two pictures and the motion between them tell.

It looks at the rig's picture, not at the camera's own: that is what the planner drives by, so that a wrong lens and a wrong warp are
found, too; it is the same for every camera, and small. Where in it the vehicle goes, and how fast the road comes, is known; how the
camera must be mounted for that follows from the mounting with which the picture was made.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.image_geometry import OPTICAL_FROM_BODY, ground_points, optical_from_vehicle
from mimic_contracts.rig import CameraSpec, Mounting
from mimic_contracts.static_transforms import mounting_from_matrix
from perception.expansion import expansion, heights_m, turned
from perception.travel import Travel

Array = NDArray[np.float64]
Grey = NDArray[np.uint8]

CORNERS, ROAD_CORNERS = 300, 150  # at most
BACK_AND_FORTH_PX = 0.5  # a track that does not come back to where it began is none
WINDOW_PX, LEVELS = 11, 3  # larger windows see near and far road as one, and the camera too high
BLACK_EDGE_PX = 5  # what the real camera doesn't see is black, and its edge stands still
ROAD_M = (3.0, 20.0, 2.0)  # from here, to there, and so far to either side there is nothing but road, mostly
MIN_ROAD_FLOW_PX, MIN_ROAD_TRACKS = 1.5, 5
MAX_SIGMA_RAD = np.radians(0.5)
MAX_ROAD_SPREAD = 0.25


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What two pictures tell of a mounting; angles as in Mounting; height_m: nan where too little of the road was seen to move."""

    yaw_rad: float
    pitch_rad: float
    height_m: float


class MountingSight:
    """One per camera of a rig; mounting: with which its pictures are made."""

    def __init__(self, camera: CameraSpec, mounting: Mounting) -> None:
        self._camera, self._mounting = camera, mounting
        self._k = camera.intrinsics()
        self._optical = optical_from_vehicle(camera.mounting)
        self._road = _road_mask(replace(camera, mounting=replace(camera.mounting, z_m=mounting.z_m, x_m=mounting.x_m, y_m=mounting.y_m)))
        # from the direction that the rig's picture shows to the one in the vehicle, were the camera mounted as is thought
        self._correction = camera.mounting.rotation().T @ mounting.rotation()

    def compare(self, before: Grey, after: Grey, travel: Travel) -> Sighting | None:
        """Of two pictures (H, W) uint8 and the travel between them; None: they tell nothing."""
        pixels_before, pixels_after = self._tracks(before, after)
        p, q = self._normalised(pixels_before), self._normalised(pixels_after)
        q = turned(q, self._optical @ np.array([0.0, 0.0, travel.yaw_rad]))  # where it would be, had the vehicle not turned
        travel_m, direction = self._motion(travel)
        expected = self._optical @ direction
        found = expansion(p, q, expected=expected[:2] / expected[2], focal_px=float(self._k[0, 0]))
        if found is None or found.sigma_rad.max() > MAX_SIGMA_RAD:
            return None
        rotation = self._rotation(found.ahead, direction)
        on_road = found.fits & self._is_on_road(pixels_before)
        down = -(OPTICAL_FROM_BODY @ rotation.T)[:, 2]
        height_m = self._height_m(p[on_road], turned(q[on_road], found.turn_rad), ahead=found.ahead, travel_m=travel_m, down=down)
        mounted = mounting_from_matrix(rotation @ self._correction, translation_m=np.zeros(3))
        return Sighting(yaw_rad=mounted.yaw_rad, pitch_rad=mounted.pitch_rad, height_m=height_m)

    def _height_m(self, p: Array, q: Array, *, ahead: Array, travel_m: float, down: Array) -> float:
        """Of the road, by the middle of what its points tell, each as much as it moves; nan where they are few or do not agree."""
        heights, told = heights_m(p, q, ahead=ahead, travel_m=travel_m, down=down)
        good = np.linalg.norm(q - p, axis=1) > MIN_ROAD_FLOW_PX / self._k[0, 0]
        if good.sum() < MIN_ROAD_TRACKS:
            return float("nan")
        heights, told = heights[good], told[good]
        order = np.argsort(heights)
        share = np.cumsum(told[order]) / told.sum()
        low, middle, high = np.interp((0.25, 0.5, 0.75), share, heights[order])
        return float(middle) if high - low < MAX_ROAD_SPREAD * middle else float("nan")

    def _tracks(self, before: Grey, after: Grey) -> tuple[Array, Array]:
        """(N, 2) pixels that were followed from one picture to the other."""
        seen = cv2.erode(((before > 0) & (after > 0)).astype(np.uint8), np.ones((2 * BLACK_EDGE_PX + 1,) * 2, np.uint8), borderValue=1)
        anywhere = cv2.goodFeaturesToTrack(before, CORNERS, 0.01, 4.0, mask=seen)
        on_road = cv2.goodFeaturesToTrack(before, ROAD_CORNERS, 0.01, 4.0, mask=seen & self._road)
        corners = [found for found in (anywhere, on_road) if found is not None]
        if not corners:
            return np.zeros((0, 2)), np.zeros((0, 2))
        start = np.vstack(corners).astype(np.float32)
        end, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None, winSize=(WINDOW_PX, WINDOW_PX), maxLevel=LEVELS)
        back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, end, None, winSize=(WINDOW_PX, WINDOW_PX), maxLevel=LEVELS)
        good = (found & returned).ravel().astype(bool) & (np.linalg.norm(back - start, axis=(1, 2)) < BACK_AND_FORTH_PX)
        return start[good, 0].astype(np.float64), end[good, 0].astype(np.float64)

    def _motion(self, travel: Travel) -> tuple[float, Array]:
        """How far the camera came, and in which direction (3,) of the vehicle's frame before: the rear axle's middle moves along an
        arc, the camera ahead of it further out."""
        half = travel.yaw_rad / 2.0
        chord_m = travel.distance_m * np.sinc(half / np.pi)
        c, s = np.cos(travel.yaw_rad), np.sin(travel.yaw_rad)
        lever_m = np.array([self._mounting.x_m, self._mounting.y_m])
        moved_m = chord_m * np.array([np.cos(half), np.sin(half)]) + np.array([[c, -s], [s, c]]) @ lever_m - lever_m
        length_m = float(np.linalg.norm(moved_m))
        return length_m, np.array([*moved_m / length_m, 0.0])

    def _rotation(self, ahead: Array, direction: Array) -> Array:
        """(3, 3) of the canonical picture's camera in the vehicle, as Mounting.rotation(): it moves along `direction` there and along
        `ahead` in its optical axes; the roll is the rig's."""
        roll = Mounting(x_m=0.0, y_m=0.0, z_m=0.0, roll_rad=self._camera.mounting.roll_rad).rotation()
        body = roll @ OPTICAL_FROM_BODY.T @ ahead
        pitch_rad = float(np.arctan2(body[2], body[0]))
        yaw_rad = float(np.arctan2(direction[1], direction[0]) - np.arctan2(body[1], np.hypot(body[0], body[2])))
        return replace(self._camera.mounting, yaw_rad=yaw_rad, pitch_rad=pitch_rad).rotation()

    def _normalised(self, pixels: Array) -> Array:
        return (pixels - self._k[:2, 2]) / self._k[[0, 1], [0, 1]]

    def _is_on_road(self, pixels: Array) -> NDArray[np.bool_]:
        columns, rows = np.rint(pixels).astype(int).T
        return self._road[np.clip(rows, 0, self._road.shape[0] - 1), np.clip(columns, 0, self._road.shape[1] - 1)] > 0


def _road_mask(camera: CameraSpec) -> Grey:
    """(H, W) 1 where the picture shows what lies within ROAD_M of flat ground ahead."""
    v, u = np.mgrid[0 : camera.height_px, 0 : camera.width_px]
    points_m, is_ground = ground_points(camera, np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
    near_m, far_m, beside_m = ROAD_M
    is_road = is_ground & (points_m[:, 0] > near_m) & (points_m[:, 0] < far_m) & (np.abs(points_m[:, 1]) < beside_m)
    return is_road.reshape(camera.height_px, camera.width_px).astype(np.uint8)
