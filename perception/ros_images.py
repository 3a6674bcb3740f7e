"""Camera messages become pictures: through CvBridge where it is installed, else by our own decoder."""

from functools import lru_cache
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from mimic_contracts.errors import MimicError
from mimic_contracts.rig import Mounting
from mimic_contracts.ros_conversions import compressed_image, raw_image
from perception.image_decoding import decode_compressed, decode_raw

# CvBridge knows these; YUV orders differ between its versions, and 16 bit it would scale, so those stay ours.
CV_BRIDGE_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")


@lru_cache(maxsize=1)
def cv_bridge() -> Any:
    """A CvBridge, or None where cv_bridge is not installed or does not fit the installed numpy."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except (ImportError, AttributeError):
        return None


def picture_of(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB; raises MimicError when the payload is damaged."""
    if isinstance(message, CompressedImage):
        return decode_compressed(compressed_image(message))
    bridge = cv_bridge()
    if bridge is None or message.encoding not in CV_BRIDGE_ENCODINGS:
        return decode_raw(raw_image(message))
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding="rgb8"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise MimicError(f"image: {message.encoding}, {message.width}x{message.height}, cannot be decoded: {error}") from error


def mounting_of(transform: TransformStamped) -> Mounting:
    """The mounting of a camera from the transform of its optical frame (x right, y down, z forward) in the vehicle frame."""
    t, q = transform.transform.translation, transform.transform.rotation
    forward, left, up = (_rotate(q, axis) for axis in ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)))
    return Mounting(
        x_m=t.x,
        y_m=t.y,
        z_m=t.z,
        yaw_rad=float(np.arctan2(forward[1], forward[0])),
        pitch_rad=float(np.arctan2(-forward[2], np.hypot(forward[0], forward[1]))),
        roll_rad=float(np.arctan2(left[2], up[2])),
    )


def _rotate(q: Any, vector: tuple[float, float, float]) -> NDArray[np.float64]:
    axis, v = np.array([q.x, q.y, q.z]), np.array(vector)
    return v + 2.0 * np.cross(axis, np.cross(axis, v) + q.w * v)
