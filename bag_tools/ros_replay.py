"""Recorded pictures become messages again, stamped with the tick that they belong to."""

from typing import Any

import numpy as np
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo as CameraInfoMsg
from sensor_msgs.msg import CompressedImage, Image

from mimic_contracts.images import CameraInfo
from mimic_contracts.ros_conversions import ns_to_stamp


def picture_type(type_name: str) -> type[Image] | type[CompressedImage]:
    """The message class of a recorded picture topic."""
    return CompressedImage if type_name.endswith("/CompressedImage") else Image


def picture_message(recorded: Any, type_name: str, *, stamp_ns: int) -> Image | CompressedImage:
    """The recorded picture as it was, with the tick's stamp (its own, but for recordings without header stamps)."""
    if picture_type(type_name) is CompressedImage:
        message = CompressedImage(format=recorded.format)
    else:
        message = Image(height=recorded.height, width=recorded.width, encoding=recorded.encoding, is_bigendian=int(recorded.is_bigendian), step=recorded.step)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), recorded.header.frame_id
    message.data.frombytes(memoryview(np.ascontiguousarray(recorded.data, np.uint8).data))
    return message


def camera_info_message(info: CameraInfo, *, stamp_ns: int, frame_id: str) -> CameraInfoMsg:
    """A CameraInfo of recorded intrinsics, not rectified."""
    message = CameraInfoMsg(height=info.height_px, width=info.width_px, distortion_model=info.distortion_model)
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), frame_id
    message.k, message.d = info.k.ravel().tolist(), info.d.tolist()
    message.r = np.eye(3).ravel().tolist()
    message.p = np.hstack([info.k, np.zeros((3, 1))]).ravel().tolist()
    return message


def clock_message(stamp_ns: int) -> Clock:
    """/clock at a tick."""
    return Clock(clock=ns_to_stamp(stamp_ns))
