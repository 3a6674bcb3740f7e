"""First pass over a bag: the stamps of its pictures and the values of its signals, everything but the pictures."""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bag_tools.bag_reader import Bag, BagMessage
from bag_tools.synchronise import Stamps, Timing
from bag_tools.topic_map import VEHICLE_SIGNALS, CameraSource, TopicMap, field_path
from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.images import CameraInfo
from mimic_contracts.motion import quaternion_yaw
from mimic_contracts.observation import ROUTE_COMMANDS, ROUTE_POINTS
from mimic_contracts.rig import Mounting
from mimic_contracts.static_transforms import StaticTransforms

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
SIMULATION_END_NS = 10**9 * 86_400 * 365  # stamps below a year count from the start of a simulation, where 0 is a moment
HEADER_BYTES = 12  # encapsulation and stamp; the rest of a repeated picture is the same


@dataclass(eq=False)
class Track:
    """The messages of one topic in the order of recording. stamp_ns: of the header, or the log time (clock says which);
    ordinal: of the message among all of its topic; values: one a message, empty for pictures."""

    topic: str
    clock: str
    log_ns: Stamps
    stamp_ns: Stamps
    ordinal: NDArray[np.int64]
    values: list[Any]
    problems: Counter[str]
    repeated: int = 0

    def report(self) -> dict[str, Any]:
        """Rates, gaps, clock offset and what was left out."""
        offset_s = (self.log_ns - self.stamp_ns) / 1e9
        clocks = {"median_s": float(np.median(offset_s)), "min_s": float(offset_s.min()), "max_s": float(offset_s.max())} if len(offset_s) else {}
        return {
            "topic": self.topic,
            "clock": self.clock,
            **Timing.of(self.stamp_ns).as_dict(),
            "log_minus_header": {name: round(value, 6) for name, value in clocks.items()},
            "repeated_payloads": self.repeated,
            "skipped": dict(self.problems),
        }


@dataclass(frozen=True, eq=False)
class RoutePath:
    """A value of the signal route_points: points_m (ROUTE_POINTS, 2) float64 [x_m, y_m] in the frame frame_id, NaN for absent ones."""

    frame_id: str
    points_m: NDArray[np.float64]


@dataclass(eq=False)
class Recording:
    """What a bag holds for a topic map. missing: signal → why there is none of it, so that it is masked."""

    bag: Bag
    cameras: dict[str, Track]
    signals: dict[str, Track]
    missing: dict[str, str]
    camera_infos: dict[str, CameraInfo] = field(default_factory=dict)
    mountings: dict[str, Mounting] = field(default_factory=dict)


def read_recording(bag: Bag, topic_map: TopicMap) -> Recording:
    """Read everything that clips are made of, but the pictures.

    Raises MimicError when a camera of the map is not in the bag, has an unusable type, or cannot be placed on the car.
    """
    for name, source in topic_map.cameras.items():
        _check_camera(bag, name, source)
    return _read(
        bag, replace(topic_map, signals={name: source for name, source in topic_map.signals.items() if name not in VEHICLE_SIGNALS}), topic_map.cameras
    )


def read_numbers(bag: Bag, topic_map: TopicMap, names: Collection[str]) -> Recording:
    """Read these signals alone, whatever cameras there are."""
    return _read(bag, replace(topic_map, signals={name: source for name, source in topic_map.signals.items() if name in names}), {})


def _read(bag: Bag, topic_map: TopicMap, cameras: Mapping[str, CameraSource]) -> Recording:
    gathering = _Gathering(bag, topic_map, cameras)
    wanted = {topic for topic in gathering.handlers if topic in bag.topics}
    for message in bag.messages(wanted):
        for handler in gathering.handlers[message.channel.topic]:
            handler(message)
    return gathering.recording()


class _Gathering:
    """Handlers of messages by topic, and what they have gathered."""

    def __init__(self, bag: Bag, topic_map: TopicMap, cameras: Mapping[str, CameraSource]) -> None:
        self.bag, self.topic_map, self.cameras = bag, topic_map, cameras
        self.handlers: dict[str, list[Callable[[BagMessage], None]]] = {}
        self.rows: dict[str, list[tuple[int, int, int, Any]]] = {}  # log time, header stamp or -1, ordinal, value
        self.problems: dict[str, Counter[str]] = {}
        self.ordinals: Counter[str] = Counter()
        self.checksums: dict[str, list[int]] = {}
        self.frame_ids: dict[str, str] = {}
        self.infos: dict[str, CameraInfo] = {}
        self.transforms = StaticTransforms()
        for name, source in cameras.items():
            self._listen(source.topic, partial(self._picture, name))
            if source.camera_info:
                self._listen(source.camera_info, partial(self._camera_info, name))
        for name, signal in topic_map.signals.items():
            convert = _converter(name, signal.field, factor=signal.factor, offset=signal.offset)
            self._listen(signal.topic, partial(self._signal, name, convert))
        if any(source.camera_info and source.mounting is None for source in cameras.values()):
            self._listen("/tf_static", self._static_transforms)

    def _listen(self, topic: str, handler: Callable[[BagMessage], None]) -> None:
        self.handlers.setdefault(topic, []).append(handler)

    def _note(self, key: str, message: BagMessage, value: Any) -> None:
        stamp_ns = self.bag.header_stamp_ns(message)
        self.rows.setdefault(key, []).append((message.log_ns, -1 if stamp_ns is None else stamp_ns, self.ordinals[key] - 1, value))

    def _picture(self, camera: str, message: BagMessage) -> None:
        key = f"camera {camera}"
        self.ordinals[key] += 1
        if key not in self.frame_ids:
            self.frame_ids[key] = _frame_id(self.bag, message)
        self.checksums.setdefault(key, []).append(zlib.crc32(message.data[HEADER_BYTES:]))
        self._note(key, message, None)

    def _signal(self, name: str, convert: Callable[[Any], Any], message: BagMessage) -> None:
        key = f"signal {name}"
        self.ordinals[key] += 1
        if name == "pose" and key not in self.frame_ids:
            self.frame_ids[key] = _frame_id(self.bag, message)
        try:
            self._note(key, message, convert(self.bag.decode(message)))
        except AttributeError as error:
            raise MimicError(f"signals.{name}: field does not fit {message.channel.type_name} of {message.channel.topic}: {error}") from error
        except IndexError:
            self.problems.setdefault(key, Counter())["field is an empty list"] += 1
        except (MimicError, TypeError, ValueError) as error:
            self.problems.setdefault(key, Counter())[reason_of(error)] += 1

    def _camera_info(self, camera: str, message: BagMessage) -> None:
        if camera not in self.infos:
            try:
                self.infos[camera] = _camera_info(self.bag.decode(message))
            except (MimicError, AttributeError, TypeError, ValueError) as error:
                self.problems.setdefault(f"camera {camera}", Counter())[f"camera_info: {reason_of(error)}"] += 1

    def _static_transforms(self, message: BagMessage) -> None:
        for item in getattr(self.bag.decode(message), "transforms", []):
            t, q = item.transform.translation, item.transform.rotation
            self.transforms.set(
                item.child_frame_id.lstrip("/"),
                parent=item.header.frame_id.lstrip("/"),
                translation_m=np.array([t.x, t.y, t.z]),
                quaternion=np.array([q.x, q.y, q.z, q.w]),
            )

    def recording(self) -> Recording:
        """What was gathered, with one clock for each topic."""
        self._check_route_frames()
        reference = self.topic_map.rig.cameras[0].name
        on_log_time = _unstamped(self.rows.get(f"camera {reference}", []))
        cameras = {name: self._track(f"camera {name}", source.topic, on_log_time) for name, source in self.cameras.items()}
        signals = {name: self._track(f"signal {name}", source.topic, on_log_time) for name, source in self.topic_map.signals.items()}
        missing = {name: self._why_missing(source.topic, signals[name]) for name, source in self.topic_map.signals.items() if not len(signals[name].stamp_ns)}
        recording = Recording(self.bag, cameras, {name: track for name, track in signals.items() if name not in missing}, missing, self.infos)
        for name, source in self.cameras.items():
            if source.camera_info:
                recording.mountings[name] = self._mounting(name, source)
        return recording

    def _check_route_frames(self) -> None:
        """Leave out routes in frames that the pose does not lead to."""
        base, fixed = self.topic_map.base_frame, self.frame_ids.get("signal pose", "").lstrip("/")
        key, kept = "signal route_points", []
        for row in self.rows.get(key, []):
            if row[3].frame_id == base or row[3].frame_id == fixed or not fixed:
                kept.append(row)
            else:
                self.problems.setdefault(key, Counter())[f"route is in frame '{row[3].frame_id}', must be in {base} or in the pose's, '{fixed}'"] += 1
        if key in self.rows:
            self.rows[key] = kept

    def _track(self, key: str, topic: str, on_log_time: bool) -> Track:
        rows, problems = self.rows.get(key, []), self.problems.get(key, Counter())
        numbers = np.array([row[:3] for row in rows], np.int64).reshape(-1, 3)
        log_ns, stamp_ns = numbers[:, 0], numbers[:, 1]
        use_log = on_log_time or _unstamped(rows)
        is_simulated = bool((stamp_ns > 0).any()) and int(stamp_ns[stamp_ns > 0].min()) < SIMULATION_END_NS
        keep = np.ones(len(rows), bool) if use_log else (stamp_ns > 0) | ((stamp_ns == 0) & is_simulated)
        if not keep.all():
            problems["header stamp is zero"] += int((~keep).sum())
        checksums = np.array(self.checksums.get(key, []))
        return Track(
            topic=topic,
            clock="log" if use_log else "header",
            log_ns=log_ns[keep],
            stamp_ns=(log_ns if use_log else stamp_ns)[keep],
            ordinal=numbers[keep, 2],
            values=[row[3] for row, kept in zip(rows, keep.tolist(), strict=True) if kept],
            problems=problems,
            repeated=int((np.diff(checksums) == 0).sum()),
        )

    def _why_missing(self, topic: str, track: Track) -> str:
        if topic not in self.bag.topics:
            return f"topic {topic} is not in the bag"
        return "; ".join(filter(None, [self.bag.topics[topic].problem, *track.problems])) or f"topic {topic} has no messages"

    def _mounting(self, name: str, source: CameraSource) -> Mounting:
        if name not in self.infos:
            raise MimicError(f"camera '{name}': no usable camera_info on {source.camera_info}; declare a crop in the topic map instead")
        if source.mounting is not None:
            return source.mounting
        optical_frame = self.frame_ids[f"camera {name}"].lstrip("/")
        return self.transforms.mounting(optical_frame, base_frame=self.topic_map.base_frame)


def reason_of(error: Exception) -> str:
    """An error's text without its numbers, so that equal reasons are counted together."""
    return re.sub(r"\d+", "N", str(error))


def _check_camera(bag: Bag, name: str, source: CameraSource) -> None:
    topic = bag.topics.get(source.topic)
    if topic is None or not topic.message_count:
        images = [t.name for t in bag.topics.values() if t.type_name in IMAGE_TYPES]
        raise MimicError(f"camera '{name}': topic {source.topic} has no messages; topics with pictures: {', '.join(images) or 'none'}")
    if topic.type_name not in IMAGE_TYPES or topic.problem:
        raise MimicError(f"camera '{name}': topic {source.topic} is {topic.type_name}, must be {' or '.join(IMAGE_TYPES)}. {topic.problem}")


def _unstamped(rows: list[tuple[int, int, int, Any]]) -> bool:
    """Whether most header stamps are absent or all the same: then they say nothing, and the log time must serve."""
    stamps = np.array([row[1] for row in rows])
    return bool(len(stamps)) and bool((stamps < 0).mean() > 0.5 or (len(stamps) > 2 and len(np.unique(stamps)) == 1) or (stamps == 0).mean() > 0.5)


def _frame_id(bag: Bag, message: BagMessage) -> str:
    try:
        return str(bag.decode(message).header.frame_id)
    except (MimicError, AttributeError):
        return ""


def _camera_info(message: Any) -> CameraInfo:
    k, d = (message.k, message.d) if hasattr(message, "k") else (message.K, message.D)  # ROS 2, ROS 1
    return CameraInfo(
        height_px=int(message.height),
        width_px=int(message.width),
        distortion_model=str(message.distortion_model),
        k=np.asarray(k, np.float64).reshape(3, 3),
        d=np.asarray(d, np.float64),
    )


def _converter(name: str, field_text: str, *, factor: float, offset: float) -> Callable[[Any], Any]:
    """From a message to the signal's value; raises MimicError on a value that is none, AttributeError on a wrong field."""
    get = field_path(field_text)
    special: Mapping[str, Callable[[Any], Any]] = {"pose": _pose, "route_command": _route_command, "route_points": _route_points, "expert_plan": _expert_plan}
    if name in special:
        return lambda message: special[name](get(message))

    def scalar(message: Any) -> float:
        try:
            value = float(get(message)) * factor + offset
        except (TypeError, ValueError) as error:
            raise MimicError(f"field '{field_text}' is no number") from error
        if not np.isfinite(value):
            raise MimicError("value is not finite")
        return value

    return scalar


def _pose(pose: Any) -> tuple[float, float, float]:
    q, p = pose.orientation, pose.position
    if not np.isfinite([p.x, p.y, q.x, q.y, q.z, q.w]).all() or abs(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w - 1.0) > 0.1:
        raise MimicError("pose is not finite or its quaternion has not length 1")
    return float(p.x), float(p.y), quaternion_yaw(x=q.x, y=q.y, z=q.z, w=q.w)


def _route_command(value: Any) -> str:
    if value not in ROUTE_COMMANDS:
        raise MimicError(f"route command is none of {', '.join(ROUTE_COMMANDS)}")
    return str(value)


def _route_points(message: Any) -> RoutePath:
    positions = [pose.pose.position for pose in message.poses[:ROUTE_POINTS]]
    points = np.full((ROUTE_POINTS, 2), np.nan)
    if positions:
        points[: len(positions)] = [(p.x, p.y) for p in positions]
    if not np.isfinite(points[: len(positions)]).all():
        raise MimicError("route has a point that is not finite")
    return RoutePath(str(message.header.frame_id).lstrip("/"), points)


def _expert_plan(message: Any) -> NDArray[np.float64]:
    values = np.array([point.positions for point in message.points], np.float64) if message.points else np.zeros((0, 0))
    if tuple(message.joint_names) != CAR.channels or values.shape != (len(CAR.times_s), len(CAR.channels)):
        raise ContractError(f"expert plan is {values.shape} of {list(message.joint_names)}, action spec 'car' has {list(CAR.channels)}")
    return values
