"""What a simulated car sends, as bytes for a bag without ROS: field by field the messages of ros_sim and ros_conversions.

Beside those, ground truth in standard messages: labels as PNG pictures, boxes as markers, lanes as paths.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from bag_tools.message_bytes import MessageBytes, header, message_bytes, stamp
from mimic_contracts.motion import yaw_quaternion
from mimic_contracts.plan import Plan
from mimic_contracts.rig import CameraSpec
from mimic_contracts.vehicle import VehicleSpec
from mimic_sim.actors import Actor
from mimic_sim.boxes import Box
from mimic_sim.ego import EgoMotion

JPEG_QUALITY = 95  # sim_node's
PNG_SPEED = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
CUBE = 1  # visualization_msgs/Marker
BASE_FRAME, ODOMETRY_FRAME = "base_link", "odom"
COLOURS = {"pedestrian": (1.0, 0.3, 0.3), "bicycle": (1.0, 0.8, 0.2)}
VEHICLE_COLOUR = (0.3, 0.6, 1.0)


def clock_bytes(stamp_ns: int) -> MessageBytes:
    """The simulated time."""
    return message_bytes("rosgraph_msgs/msg/Clock", clock=stamp(stamp_ns))


def text_bytes(text: str) -> MessageBytes:
    """A std_msgs/String."""
    return message_bytes("std_msgs/msg/String", data=text)


def json_bytes(stamp_ns: int, content: Mapping[str, Any]) -> MessageBytes:
    """A std_msgs/String that holds JSON, with the stamp that such a message lacks."""
    return text_bytes(json.dumps({"stamp_ns": stamp_ns, **content}))


def odometry_bytes(ego: EgoMotion, *, stamp_ns: int) -> MessageBytes:
    """Odometry of a planar vehicle, pose in frame odom, twist in base_link."""
    z, w = yaw_quaternion(ego.yaw_rad)
    return message_bytes(
        "nav_msgs/msg/Odometry",
        header=header(stamp_ns, ODOMETRY_FRAME),
        child_frame_id=BASE_FRAME,
        pose={"pose": {"position": {"x": ego.x_m, "y": ego.y_m}, "orientation": {"z": z, "w": w}}},
        twist={"twist": {"linear": {"x": ego.speed_mps}, "angular": {"z": ego.yaw_rate_radps}}},
    )


def steering_bytes(ego: EgoMotion, vehicle: VehicleSpec, *, stamp_ns: int) -> MessageBytes:
    """Angle of the steering wheel in rad, left positive."""
    angle_rad = vehicle.steering_ratio * math.atan(vehicle.wheelbase_m * ego.curvature_1pm)
    return message_bytes("sensor_msgs/msg/JointState", header=header(stamp_ns), name=["steering_wheel"], position=[angle_rad])


def plan_bytes(plan: Plan) -> MessageBytes:
    """A plan as a JointTrajectory."""
    frame_id = ";".join([BASE_FRAME, plan.spec.name, plan.model_id] + ["emergency"] * plan.is_emergency)
    times_ns = [round(float(time_s) * 1e9) for time_s in plan.spec.times_s]
    points = [{"positions": row, "time_from_start": stamp(time_ns)} for time_ns, row in zip(times_ns, plan.values, strict=True)]
    return message_bytes("trajectory_msgs/msg/JointTrajectory", header=header(plan.stamp_ns, frame_id), joint_names=plan.spec.channels, points=points)


def camera_info_bytes(camera: CameraSpec, *, stamp_ns: int) -> MessageBytes:
    """Intrinsics of a rendered camera: a pinhole without distortion."""
    k = camera.intrinsics()
    return message_bytes(
        "sensor_msgs/msg/CameraInfo",
        header=_optical(camera, stamp_ns),
        height=camera.height_px,
        width=camera.width_px,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=np.column_stack([k, np.zeros(3)]).ravel(),
    )


def jpeg_bytes(image: NDArray[np.uint8], camera: CameraSpec, *, stamp_ns: int) -> MessageBytes:
    """A JPEG CompressedImage of an (H, W, 3) uint8 RGB picture; full chroma, so that lane markings keep their edges."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444")
    return _compressed("rgb8; jpeg compressed bgr8", data, camera, stamp_ns)


def png_bytes(image: NDArray[Any], encoding: str, camera: CameraSpec, *, stamp_ns: int) -> MessageBytes:
    """A PNG CompressedImage of an (H, W) picture: mono8 of uint8, mono16 or 16UC1 of uint16."""
    return _compressed(f"{encoding}; png compressed", cv2.imencode(".png", image, PNG_SPEED)[1], camera, stamp_ns)


def markers_bytes(boxes_m: NDArray[np.float64], kinds: Sequence[str], ids: Sequence[int], *, stamp_ns: int, lifetime_ns: int) -> MessageBytes:
    """3D boxes as a MarkerArray in base_link: of boxes (N, 7) as of boxes.boxes_m; a marker's ns is the kind."""
    markers = []
    for (x, y, z, length, width, height, yaw), kind, number in zip(boxes_m.tolist(), kinds, ids, strict=True):
        sin, cos = yaw_quaternion(yaw)
        red, green, blue = COLOURS.get(kind, VEHICLE_COLOUR)
        markers.append(
            {
                "header": header(stamp_ns, BASE_FRAME),
                "ns": kind,
                "id": number,
                "type": CUBE,
                "pose": {"position": {"x": x, "y": y, "z": z}, "orientation": {"z": sin, "w": cos}},
                "scale": {"x": length, "y": width, "z": height},
                "color": {"r": red, "g": green, "b": blue, "a": 0.5},
                "lifetime": stamp(lifetime_ns),
            }
        )
    return message_bytes("visualization_msgs/msg/MarkerArray", markers=markers)


def boxes_2d_bytes(boxes: Sequence[Box], actors: Sequence[Actor], ids: Sequence[int], *, stamp_ns: int) -> MessageBytes:
    """What a camera sees of each road user: bounds_px [left, top, right, bottom], which share of it is not hidden, how fast
    it is, and the lights that it shows; actors: whose boxes they are."""
    found = [
        {
            "id": number,
            "kind": box.kind,
            "bounds_px": np.round(box.bounds_px, 1).tolist(),
            "visible": round(box.visible, 3),
            "speed_mps": actor.speed_mps,
            "brake": actor.brake,
            "indicator": actor.indicator,
        }
        for box, actor, number in zip(boxes, actors, ids, strict=True)
    ]
    return json_bytes(stamp_ns, {"boxes": found})


def path_bytes(poses: NDArray[np.float64], *, stamp_ns: int) -> MessageBytes:
    """Poses (N, 3) [x_m, y_m, yaw_rad] of the vehicle frame as a Path."""
    stamped = []
    for x, y, yaw in poses.tolist():
        z, w = yaw_quaternion(yaw)
        stamped.append({"header": header(stamp_ns, BASE_FRAME), "pose": {"position": {"x": x, "y": y}, "orientation": {"z": z, "w": w}}})
    return message_bytes("nav_msgs/msg/Path", header=header(stamp_ns, BASE_FRAME), poses=stamped)


def route_bytes(points_m: NDArray[np.float64], *, stamp_ns: int) -> MessageBytes:
    """Road-level points (N, 2) of the odometry's frame as a Path."""
    stamped = [{"header": header(stamp_ns, ODOMETRY_FRAME), "pose": {"position": {"x": x, "y": y}, "orientation": {"w": 1.0}}} for x, y in points_m.tolist()]
    return message_bytes("nav_msgs/msg/Path", header=header(stamp_ns, ODOMETRY_FRAME), poses=stamped)


def _optical(camera: CameraSpec, stamp_ns: int) -> dict[str, Any]:
    return header(stamp_ns, f"{camera.name}_optical_frame")


def _compressed(image_format: str, data: Any, camera: CameraSpec, stamp_ns: int) -> MessageBytes:
    return message_bytes("sensor_msgs/msg/CompressedImage", header=_optical(camera, stamp_ns), format=image_format, data=np.frombuffer(data, np.uint8))
