"""Pictures as cameras deliver them, before they become the rig's."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError
from mimic_contracts.validation import check_array, check_choice, check_integer, check_stamp_ns

DISTORTION_SIZES = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}


@dataclass(frozen=True, kw_only=True)
class RawImage:
    """The payload of a sensor_msgs/Image: data is (N,) uint8, rows of `step_bytes`, encoding as sensor_msgs names it."""

    stamp_ns: int
    height_px: int
    width_px: int
    encoding: str
    step_bytes: int
    is_bigendian: bool
    data: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class CompressedImage:
    """The payload of a sensor_msgs/CompressedImage: data is (N,) uint8, a JPEG or PNG file."""

    stamp_ns: int
    format: str
    data: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class CameraInfo:
    """Intrinsics of a real camera, as sensor_msgs/CameraInfo: k (3, 3) float64 in pixels, d (N,) float64."""

    height_px: int
    width_px: int
    distortion_model: str
    k: NDArray[np.float64]
    d: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_integer("camera_info.height", self.height_px, low=1)
        check_integer("camera_info.width", self.width_px, low=1)
        check_choice("camera_info.distortion_model", self.distortion_model, tuple(DISTORTION_SIZES))
        check_array("camera_info.k", self.k, shape=(3, 3), dtype=np.float64)
        check_array("camera_info.d", self.d, shape=(None,), dtype=np.float64)
        if self.k[0, 0] <= 0 or self.k[1, 1] <= 0:
            raise ContractError(f"camera_info.k: focal lengths are {self.k[0, 0]}, {self.k[1, 1]}, must be positive: is the camera calibrated?")
        if self.d.size and self.d.size not in DISTORTION_SIZES[self.distortion_model]:
            raise ContractError(f"camera_info.d: {self.d.size} coefficients for {self.distortion_model}, must be {DISTORTION_SIZES[self.distortion_model]}")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One canonical picture: image (H, W, 3) uint8 RGB, stamp_ns of its exposure."""

    image: NDArray[np.uint8]
    stamp_ns: int

    def __post_init__(self) -> None:
        check_array("frame.image", self.image, shape=(None, None, 3), dtype=np.uint8)
        check_stamp_ns("frame.stamp_ns", self.stamp_ns)
