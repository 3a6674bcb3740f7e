"""Messages become contracts, and contracts become messages, here and nowhere else."""

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, TwistStamped
from nav_msgs.msg import Odometry, Path
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo as CameraInfoMsg
from sensor_msgs.msg import CompressedImage as CompressedImageMsg
from sensor_msgs.msg import Image
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from mimic_contracts.action_spec import ACTION_SPECS
from mimic_contracts.errors import ContractError
from mimic_contracts.images import CameraInfo, CompressedImage, RawImage
from mimic_contracts.motion import quaternion_yaw, yaw_quaternion
from mimic_contracts.observation import EgoState
from mimic_contracts.plan import Plan

NS_PER_S = 1_000_000_000
BASE_FRAME, ODOMETRY_FRAME = "base_link", "odom"


def stamp_to_ns(stamp: Time) -> int:
    """Nanoseconds of a builtin_interfaces/Time."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def ns_to_stamp(stamp_ns: int) -> Time:
    """builtin_interfaces/Time of nanoseconds; raises ContractError beyond what its 32-bit seconds hold."""
    sec, nanosec = divmod(stamp_ns, NS_PER_S)
    if not 0 <= sec < 2**31:
        raise ContractError(f"stamp_ns: is {stamp_ns}, must be within 0 and 2^31 s")
    return Time(sec=sec, nanosec=nanosec)


def raw_image(message: Image) -> RawImage:
    """The payload of an Image, without a copy."""
    return RawImage(
        stamp_ns=stamp_to_ns(message.header.stamp),
        height_px=message.height,
        width_px=message.width,
        encoding=message.encoding,
        step_bytes=message.step,
        is_bigendian=bool(message.is_bigendian),
        data=np.frombuffer(message.data, np.uint8),
    )


def compressed_image(message: CompressedImageMsg) -> CompressedImage:
    """The payload of a CompressedImage, without a copy."""
    return CompressedImage(stamp_ns=stamp_to_ns(message.header.stamp), format=message.format, data=np.frombuffer(message.data, np.uint8))


def camera_info(message: CameraInfoMsg) -> CameraInfo:
    """Intrinsics of a CameraInfo; raises ContractError when it is not calibrated."""
    return CameraInfo(
        height_px=message.height,
        width_px=message.width,
        distortion_model=message.distortion_model,
        k=np.array(message.k, np.float64).reshape(3, 3),
        d=np.array(message.d, np.float64),
    )


def rgb_message(image: NDArray[np.uint8], *, stamp_ns: int, frame_id: str) -> Image:
    """An rgb8 Image of an (H, W, 3) uint8 RGB array."""
    message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8", step=image.shape[1] * 3)
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = frame_id
    message.data.frombytes(memoryview(np.ascontiguousarray(image).data).cast("B"))
    return message


def rgb_array(message: Image) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB view of an unpadded rgb8 Image; raises ContractError on anything else."""
    expected = message.height * message.width * 3
    if message.encoding != "rgb8" or message.step != message.width * 3 or len(message.data) != expected:
        raise ContractError(f"packed frame: {message.encoding}, step {message.step}, {len(message.data)} bytes, must be unpadded rgb8 of {expected} bytes")
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def odometry_message(*, stamp_ns: int, pose: NDArray[np.float64], speed_mps: float, yaw_rate_radps: float) -> Odometry:
    """Odometry of a planar vehicle; pose (3,) float64 [x_m, y_m, yaw_rad] in frame odom, twist in base_link."""
    message = Odometry()
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id, message.child_frame_id = ODOMETRY_FRAME, BASE_FRAME
    message.pose.pose.position.x, message.pose.pose.position.y = float(pose[0]), float(pose[1])
    message.pose.pose.orientation.z, message.pose.pose.orientation.w = yaw_quaternion(float(pose[2]))
    message.twist.twist.linear.x, message.twist.twist.angular.z = float(speed_mps), float(yaw_rate_radps)
    return message


def odometry_pose(message: Odometry) -> NDArray[np.float64]:
    """(3,) float64 [x_m, y_m, yaw_rad] in the message's frame; not checked for finite numbers."""
    q = message.pose.pose.orientation
    return np.array([message.pose.pose.position.x, message.pose.pose.position.y, quaternion_yaw(x=q.x, y=q.y, z=q.z, w=q.w)])


def ego_state(message: Odometry) -> EgoState:
    """Speed and yaw rate of an Odometry, and the curvature that follows from them above 1 m/s."""
    return EgoState.from_motion(speed_mps=message.twist.twist.linear.x, yaw_rate_radps=message.twist.twist.angular.z)


def route_message(points_m: NDArray[np.float64], *, stamp_ns: int, frame_id: str = ODOMETRY_FRAME) -> Path:
    """A Path of road-level points (N, 2) of that frame."""
    message = Path()
    message.header.stamp, message.header.frame_id = ns_to_stamp(stamp_ns), frame_id
    for x, y in points_m.tolist():
        pose = PoseStamped(header=message.header)
        pose.pose.position.x, pose.pose.position.y, pose.pose.orientation.w = x, y, 1.0
        message.poses.append(pose)
    return message


def route_points(message: Path) -> NDArray[np.float64]:
    """(N, 2) positions of a Path in its own frame; raises ContractError when one is not finite."""
    points = np.array([(p.pose.position.x, p.pose.position.y) for p in message.poses], np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ContractError("route: a position is not finite")
    return points


def plan_message(plan: Plan) -> JointTrajectory:
    """The plan that drives as a JointTrajectory: joint_names are the channels, frame_id is 'base_link;SPEC;MODEL[;emergency]'."""
    message = JointTrajectory(joint_names=list(plan.spec.channels))
    message.header.stamp = ns_to_stamp(plan.stamp_ns)
    message.header.frame_id = ";".join([BASE_FRAME, plan.spec.name, plan.model_id] + ["emergency"] * plan.is_emergency)
    for time_s, row in zip(plan.spec.times_s, plan.values, strict=True):
        point = JointTrajectoryPoint(positions=row.tolist())
        nanoseconds = round(float(time_s) * NS_PER_S)
        point.time_from_start.sec, point.time_from_start.nanosec = divmod(nanoseconds, NS_PER_S)
        message.points.append(point)
    return message


def plan_from_message(message: JointTrajectory) -> Plan:
    """The plan of a JointTrajectory, validated; raises ContractError naming what is wrong with it."""
    parts = message.header.frame_id.split(";")
    if len(parts) not in (3, 4) or parts[0] != BASE_FRAME or parts[1] not in ACTION_SPECS or parts[3:] not in ([], ["emergency"]):
        raise ContractError(f"trajectory.header.frame_id: is '{message.header.frame_id}', must be 'base_link;SPEC;MODEL[;emergency]'")
    spec = ACTION_SPECS[parts[1]]
    if tuple(message.joint_names) != spec.channels:
        raise ContractError(f"trajectory.joint_names: are {list(message.joint_names)}, action spec '{spec.name}' has {list(spec.channels)}")
    times = np.array([p.time_from_start.sec + p.time_from_start.nanosec / NS_PER_S for p in message.points])
    if times.shape != spec.times_s.shape or not np.allclose(times, spec.times_s, atol=1e-6):
        raise ContractError(f"trajectory.points: times are {times}, action spec '{spec.name}' has {spec.times_s}")
    rows = [p.positions for p in message.points]
    if any(len(row) != len(spec.channels) for row in rows):
        raise ContractError(f"trajectory.points: rows have {[len(r) for r in rows]} positions, must be {len(spec.channels)}")
    values = np.array(rows, np.float64).reshape(len(rows), len(spec.channels))
    none = np.zeros((0, *values.shape))
    return Plan(
        stamp_ns=stamp_to_ns(message.header.stamp),
        spec=spec,
        values=values,
        alternatives=none,
        probabilities=np.zeros(0),
        model_id=parts[2],
        is_emergency=len(parts) == 4,
    )


def twist_stamped_message(*, stamp_ns: int, speed_mps: float, yaw_rate_radps: float) -> TwistStamped:
    """TwistStamped in base_link."""
    message = TwistStamped()
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.header.frame_id = BASE_FRAME
    message.twist.linear.x, message.twist.angular.z = float(speed_mps), float(yaw_rate_radps)
    return message
