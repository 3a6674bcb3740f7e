"""Messages that only a simulated car sends: camera_info, mounting, compressed pictures, steering wheel, clock; and the one it obeys."""

import math
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped, TwistStamped
from numpy.typing import NDArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState

from mimic_contracts.errors import MimicError, require_package
from mimic_contracts.image_geometry import OPTICAL_FROM_BODY
from mimic_contracts.rig import CameraSpec, Rig
from mimic_contracts.ros_conversions import ns_to_stamp
from mimic_contracts.validation import check_number
from mimic_contracts.vehicle import VehicleSpec
from mimic_sim.ego import EgoMotion
from vehicle_interface.adapters import Twist2D


def optical_frame(camera: CameraSpec) -> str:
    """Frame id of a camera's pictures."""
    return f"{camera.name}_optical_frame"


def camera_info_message(camera: CameraSpec, *, stamp_ns: int) -> CameraInfo:
    """Intrinsics of a rendered camera: a pinhole without distortion."""
    message = CameraInfo(height=camera.height_px, width=camera.width_px, distortion_model="plumb_bob", d=[0.0] * 5)
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = optical_frame(camera)
    k = camera.intrinsics()
    message.k = k.ravel().tolist()
    message.r = np.eye(3).ravel().tolist()
    message.p = np.column_stack([k, np.zeros(3)]).ravel().tolist()
    return message


def mounting_message_type() -> Any:
    """tf2_msgs/TFMessage; raises MimicError with the install command where it is missing, as in the wheels."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError as error:
        raise MimicError("publishes_mounting needs the package tf2_msgs (apt install ros-$ROS_DISTRO-tf2-msgs); or set it to false") from error
    return TFMessage


def mounting_message(rig: Rig, *, stamp_ns: int) -> Any:
    """TFMessage with base_link → optical frame (x right, y down, z forward) of every camera."""
    message = mounting_message_type()()
    for camera in rig.cameras:
        transform = TransformStamped(child_frame_id=optical_frame(camera))
        transform.header.stamp, transform.header.frame_id = ns_to_stamp(stamp_ns), "base_link"
        m = camera.mounting
        place, turn = transform.transform.translation, transform.transform.rotation
        place.x, place.y, place.z = m.x_m, m.y_m, m.z_m
        turn.x, turn.y, turn.z, turn.w = quaternion(m.rotation() @ OPTICAL_FROM_BODY.T)
        message.transforms.append(transform)
    return message


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(x, y, z, w) of a rotation matrix (3, 3).

    Source: the eigenvector of Bar-Itzhack's symmetric matrix, which needs no case distinction.
    """
    r = rotation
    matrix = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    x, y, z, w = np.linalg.eigh(matrix)[1][:, -1] * np.sign(np.linalg.eigh(matrix)[1][3, -1] or 1.0)
    return float(x), float(y), float(z), float(w)


def jpeg_message(image: NDArray[np.uint8], camera: CameraSpec, *, stamp_ns: int, quality: int) -> CompressedImage:
    """A JPEG CompressedImage of an (H, W, 3) uint8 RGB picture; full chroma, so that lane markings keep their edges."""
    require_package("simplejpeg", extra="train", purpose="compressed pictures")
    import simplejpeg

    message = CompressedImage(format="rgb8; jpeg compressed bgr8")
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = optical_frame(camera)
    message.data.frombytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorspace="RGB", colorsubsampling="444"))
    return message


def steering_message(ego: EgoMotion, vehicle: VehicleSpec, *, stamp_ns: int) -> JointState:
    """Angle of the steering wheel in rad, left positive: steering ratio times the road wheels' angle."""
    message = JointState(name=["steering_wheel"], position=[vehicle.steering_ratio * math.atan(vehicle.wheelbase_m * ego.curvature_1pm)])
    message.header.stamp = ns_to_stamp(stamp_ns)
    return message


def twist_from_message(message: TwistStamped) -> Twist2D:
    """What the car is commanded; raises ContractError when it is not finite: no drive-by-wire takes such a command over."""
    twist = message.twist
    return Twist2D(speed_mps=check_number("command.twist.linear.x", twist.linear.x), yaw_rate_radps=check_number("command.twist.angular.z", twist.angular.z))


def clock_message(stamp_ns: int) -> Clock:
    """The simulated time."""
    return Clock(clock=ns_to_stamp(stamp_ns))
