"""A street between two walls, seen by a camera that drives along it: for tests of how cameras are mounted."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.image_geometry import optical_from_vehicle
from mimic_contracts.rig import CameraSpec, Mounting, load_rig

CAMERA = load_rig("mono").camera("front")
WALL_M, TEXTURE_M = 5.0, 25.6  # walls to both sides, and how soon the pattern on all of it comes again
LEVELS_M = (0.15, 0.4, 0.8, 1.6)  # sizes of what the pattern is made of: each is seen while it is larger than a pixel is there


def otherwise(mounting: Mounting, *, pitch_deg: float = 0.0, yaw_deg: float = 0.0, up_m: float = 0.0) -> Mounting:
    return replace(mounting, pitch_rad=mounting.pitch_rad + np.radians(pitch_deg), yaw_rad=mounting.yaw_rad + np.radians(yaw_deg), z_m=mounting.z_m + up_m)


@cache
def texture() -> NDArray[np.float32]:
    """(512, 512, levels): the pattern on everything, by the size of what it is made of."""
    tiled = np.tile(np.random.default_rng(0).normal(0.0, 1.0, (512, 512)).astype(np.float32), (3, 3))
    blurred = [cv2.GaussianBlur(tiled, (0, 0), size_m * 512 / TEXTURE_M)[512:1024, 512:1024] for size_m in LEVELS_M]
    return np.dstack([25.0 * level / level.std() for level in blurred]).astype(np.float32)


class Street:
    """Pictures of it by a camera of a rig, mounted as `mounted` says."""

    def __init__(self, mounted: Mounting = CAMERA.mounting, camera: CameraSpec = CAMERA) -> None:
        self._camera, self._place_m = camera, np.array([mounted.x_m, mounted.y_m, mounted.z_m])
        v, u = np.mgrid[0 : camera.height_px, 0 : camera.width_px]
        pixels = np.stack([u, v, np.ones_like(u)], axis=-1).astype(np.float64)
        self._rays = pixels.reshape(-1, 3) @ np.linalg.inv(camera.intrinsics()).T @ optical_from_vehicle(mounted)

    def picture(self, pose: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB with the vehicle at pose (3,) [x_m, y_m, yaw_rad]; the street runs along x."""
        c, s = np.cos(pose[2]), np.sin(pose[2])
        to_street = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        place_m, rays = to_street @ self._place_m + [pose[0], pose[1], 0.0], self._rays @ to_street.T
        with np.errstate(divide="ignore", invalid="ignore"):
            down = np.where(rays[:, 2] < 0.0, -place_m[2] / rays[:, 2], np.inf)
            aside = np.where(rays[:, 1] == 0.0, np.inf, (np.sign(rays[:, 1]) * WALL_M - place_m[1]) / rays[:, 1])
        is_wall = aside < down
        hit_m = place_m + rays * np.minimum(np.minimum(down, aside), 300.0)[:, None]
        across_m = np.where(is_wall, hit_m[:, 2] + 7.0, hit_m[:, 1])
        size = (self._camera.height_px, self._camera.width_px)
        at = [(value / TEXTURE_M * 512 % 512).astype(np.float32).reshape(size) for value in (hit_m[:, 0], across_m)]
        away_m = np.linalg.norm(hit_m - place_m, axis=1)
        pixel_m = (away_m**2 / self._camera.intrinsics()[0, 0] / np.where(is_wall, WALL_M, place_m[2])).reshape(size)
        seen = np.clip(2.0 - 0.7 * pixel_m[..., None] / LEVELS_M, 0.0, 1.0)
        pattern = (cv2.remap(texture(), at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP) * seen).sum(axis=2)
        return np.repeat(np.clip(np.rint(128.0 + pattern), 1, 255).astype(np.uint8)[..., None], 3, axis=2)
