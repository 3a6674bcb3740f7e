"""Small bags for tests, made with rosbags."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from bag_tools.clip_store import ClipStore
from bag_tools.extract import extract
from bag_tools.topic_map import TopicMap, load_topic_map
from mimic_contracts.errors import MimicError
from mimic_contracts.image_geometry import Crop
from mimic_contracts.images import CameraInfo, CompressedImage, RawImage
from mimic_contracts.rig import Mounting, Rig

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
STORE = get_typestore(Stores.ROS2_JAZZY)
CAMERA, WHEEL, ODOMETRY, ROUTE = "/camera/front/image_raw/compressed", "/vehicle/steering_wheel", "/odom", "/planning/route_command"
START_NS = 1_700_000_000 * 10**9
PERIOD_NS = 50_000_000
DAY_NS = 86_400 * 10**9
JPEG = simplejpeg.encode_jpeg(np.full((120, 160, 3), 90, np.uint8), 90)

MAP = """
rig: mono
frame_rate_hz: 20.0
drive_id: "{bag}"
vehicle_id: test_car
driver_id: tester
region: desk
cameras:
  front: {topic: /camera/front/image_raw/compressed, crop: {left_px: 0, top_px: 40, width_px: 160, height_px: 80}}
signals:
  steering_wheel_rad: {topic: /vehicle/steering_wheel, field: "position[0]"}
splits:
  val: [{start: 0.6, end: 0.8}]
  test: [{start: 0.8, end: 1.0}]
  train: ["*"]
split_margin_s: 0.5
min_clip_s: 0.4
"""
ALL_TRAIN = MAP.replace("  val: [{start: 0.6, end: 0.8}]\n  test: [{start: 0.8, end: 1.0}]\n", "")
Messages = list[tuple[int, tuple[str, str, Any]]]


class StandIn:
    """Decodes and resizes to the rig's camera: a CameraCore for tests of this room."""

    def __init__(self, rig: Rig, *, mountings: dict[str, Mounting], crops: dict[str, Crop], sync_tolerance_ns: int) -> None:
        self.rig, self.infos = rig, {}

    def set_camera_info(self, camera: str, info: CameraInfo) -> None:
        self.infos[camera] = info

    def ingest(self, camera: str, image: RawImage | CompressedImage) -> NDArray[np.uint8]:
        height_px, width_px, _ = self.rig.camera(camera).shape
        if isinstance(image, RawImage):
            if len(image.data) != image.height_px * image.step_bytes:
                raise MimicError(f"{len(image.data)} bytes, must be {image.height_px * image.step_bytes}")
            picture = image.data.reshape(image.height_px, image.width_px, 3)
        else:
            decoded = cv2.imdecode(image.data, cv2.IMREAD_COLOR_RGB)
            if decoded is None or not bytes(image.data[-2:]) == b"\xff\xd9":
                raise MimicError("is not a whole JPEG file")
            picture = decoded
        return np.asarray(cv2.resize(picture, (width_px, height_px)), np.uint8)


def no_progress(frames: Iterable[Any], total: int) -> Iterable[Any]:
    return frames


def topic_map(tmp_path: Path, text: str = MAP) -> TopicMap:
    path = tmp_path / "map.yaml"
    path.write_text(text)
    return load_topic_map(path)


def stamp(stamp_ns: int) -> Any:
    return STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def header(stamp_ns: int) -> Any:
    return STORE.types["std_msgs/msg/Header"](stamp=stamp(stamp_ns), frame_id="camera")


def picture(stamp_ns: int, jpeg: bytes = JPEG) -> tuple[str, str, Any]:
    message = STORE.types["sensor_msgs/msg/CompressedImage"](header=header(stamp_ns), format="jpeg", data=np.frombuffer(jpeg, np.uint8))
    return CAMERA, "sensor_msgs/msg/CompressedImage", message


def wheel(stamp_ns: int, angle_rad: float) -> tuple[str, str, Any]:
    none = np.zeros(0)
    message = STORE.types["sensor_msgs/msg/JointState"](header=header(stamp_ns), name=["wheel"], position=np.array([angle_rad]), velocity=none, effort=none)
    return WHEEL, "sensor_msgs/msg/JointState", message


def text(value: str, topic: str = ROUTE) -> tuple[str, str, Any]:
    return topic, "std_msgs/msg/String", STORE.types["std_msgs/msg/String"](data=value)


def odometry(stamp_ns: int, *, x_m: float, y_m: float = 0.0, yaw_rad: float, speed_mps: float = 0.0, yaw_rate_radps: float = 0.0) -> tuple[str, str, Any]:
    t = STORE.types
    vector, point = t["geometry_msgs/msg/Vector3"], t["geometry_msgs/msg/Point"]
    rotation = t["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=float(np.sin(yaw_rad / 2)), w=float(np.cos(yaw_rad / 2)))
    pose = t["geometry_msgs/msg/Pose"](position=point(x=x_m, y=y_m, z=0.0), orientation=rotation)
    twist = t["geometry_msgs/msg/Twist"](linear=vector(x=speed_mps, y=0.0, z=0.0), angular=vector(x=0.0, y=0.0, z=yaw_rate_radps))
    message = t["nav_msgs/msg/Odometry"](
        header=header(stamp_ns),
        child_frame_id="base_link",
        pose=t["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36)),
        twist=t["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=np.zeros(36)),
    )
    return ODOMETRY, "nav_msgs/msg/Odometry", message


def route(stamp_ns: int, points: list[tuple[float, float]], frame_id: str) -> tuple[str, str, Any]:
    t = STORE.types
    rotation, point = t["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0), t["geometry_msgs/msg/Point"]
    poses = [t["geometry_msgs/msg/Pose"](position=point(x=x, y=y, z=0.0), orientation=rotation) for x, y in points]
    where = replace(header(stamp_ns), frame_id=frame_id)
    stamped = [t["geometry_msgs/msg/PoseStamped"](header=where, pose=pose) for pose in poses]
    return "/planning/route", "nav_msgs/msg/Path", t["nav_msgs/msg/Path"](header=where, poses=stamped)


def write_bag(path: Path, messages: Sequence[tuple[int, tuple[str, str, Any]]], plugin: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """A rosbag2 of (log time, (topic, type, message)) in this order."""
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for log_ns, (topic, type_name, message) in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, type_name, typestore=STORE)
            writer.write(connections[topic], log_ns, STORE.serialize_cdr(message, type_name))
    return path


def drive(count: int = 100, *, first_ns: int = START_NS) -> list[tuple[int, tuple[str, str, Any]]]:
    """Pictures and wheel angles (0.01 rad a frame) at 20 Hz, log times 5 ms after the stamps."""
    messages = []
    for k in range(count):
        stamp_ns = first_ns + k * PERIOD_NS
        messages += [(stamp_ns + 5_000_000, picture(stamp_ns)), (stamp_ns + 5_000_000, wheel(stamp_ns, 0.01 * k))]
    return messages


def run(tmp_path: Path, messages: Messages, text_: str = ALL_TRAIN, *, name: str = "drive") -> tuple[ClipStore, dict[str, Any]]:
    """The store of one bag, and the report."""
    bag = write_bag(tmp_path / name, messages)
    report = extract([bag], topic_map(tmp_path, text_), tmp_path / "store", ingest_factory=StandIn, progress=no_progress)
    return ClipStore.open(tmp_path / "store"), report
