"""Camera messages become pictures, through CvBridge where it is installed, else by our own decoder; transforms become mountings."""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from mimic_contracts.errors import MimicError
from mimic_contracts.ros_conversions import compressed_image, raw_image
from mimic_contracts.static_transforms import StaticTransforms
from perception.image_decoding import Picture, check_raw, decode_compressed, decode_raw

TF_STATIC_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # as tf2_ros listens
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


def picture_of(message: Image | CompressedImage) -> Picture:
    """(H, W, 3) uint8 RGB; raises MimicError when the payload is damaged, with and without CvBridge for the same reasons."""
    if isinstance(message, CompressedImage):
        return decode_compressed(compressed_image(message))
    bridge = cv_bridge()
    if bridge is None or message.encoding not in CV_BRIDGE_ENCODINGS:
        return decode_raw(raw_image(message))
    check_raw(raw_image(message))
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding="rgb8"))
    except (TypeError, ValueError, RuntimeError, cv2.error) as error:  # CvBridgeError is a TypeError
        raise MimicError(f"image: CvBridge cannot convert {message.encoding}, {message.width}x{message.height}: {error}") from error


def tf_message_type() -> Any:
    """tf2_msgs/TFMessage; raises MimicError where tf2_msgs is not installed, as on machines without a whole ROS."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        raise MimicError("mounting: 'tf_static' needs the ROS package tf2_msgs, which is not installed: install it, or choose 'vehicle_file'") from error
    return TFMessage


def note_transform(tree: StaticTransforms, stamped: TransformStamped) -> None:
    """Note one transform of a TFMessage; raises MimicError when its numbers are no pose."""
    t, q = stamped.transform.translation, stamped.transform.rotation
    tree.set(stamped.child_frame_id, parent=stamped.header.frame_id, translation_m=np.array([t.x, t.y, t.z]), quaternion=np.array([q.x, q.y, q.z, q.w]))
