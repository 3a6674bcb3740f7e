"""Labels from the ground truth that `mimic sim record` writes into its bags, for the frames of a clip store.

A frame belongs to the bag whose name its clip's id has (drive/bag/number) and gets the truth of exactly its own stamp.
"""

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bag_tools.bag_reader import Bag, BagMessage
from bag_tools.clip_store import ClipStore
from bag_tools.label_blocks import block_classes, block_depth_mm
from bag_tools.label_writer import picture_shapes
from bag_tools.topic_map import TopicMap, bag_name
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.labels import AGENT_COLUMNS, LANE_STATIONS_M, SIMULATOR, FrameLabels
from mimic_contracts.motion import quaternion_yaw
from mimic_contracts.scene import AGENT_KINDS, INDICATORS

TRUTH = "/sim/ground_truth"
BOXES_3D, LANE, SITUATION, ODOMETRY = f"{TRUTH}/boxes_3d", f"{TRUTH}/lane", f"{TRUTH}/situation", "/localization/kinematic_state"
OF_CAMERA = {kind: f"{TRUTH}/{{camera}}/{kind}" for kind in ("semantic/compressed", "depth/compressed", "boxes_2d")}
SAME_PLACE_M = 0.5  # odometry may pass through interpolation on its way into a store; another drive is elsewhere
THREADS = 2  # decoding pictures releases the interpreter; reading the bag is the third
IN_FLIGHT = 32


@dataclass(eq=False)
class TruthReport:
    """What became of the frames. without_bag: bag's name → frames whose bag was not given; without_truth: bag's name →
    frames at whose stamp it has none; unused: bags that no frame belongs to."""

    without_bag: Counter[str] = field(default_factory=Counter)
    without_truth: Counter[str] = field(default_factory=Counter)
    unused: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people; empty when every frame got its truth."""
        found = [f"{name}: {count} frames without labels: this bag was not given" for name, count in self.without_bag.items()]
        found += [f"{name}: {count} frames without labels: no ground truth has their stamps" for name, count in self.without_truth.items()]
        return found + [f"{path}: no frame of the store is from it" for path in self.unused]


def truth_labels(store: ClipStore, bags: Sequence[Path], report: TruthReport, topic_map: TopicMap | None = None) -> Iterator[FrameLabels | None]:
    """Labels of every row of a store in their order, None where there is no truth; the report is filled on the way.

    topic_map: the one that the store was extracted with; it tells bags of the same name apart, by their drives. Raises
    UsageError when names are the same and it is not given; MimicError when a bag is of another recording than the frames.
    """
    found = _bags_by_key(bags, topic_map)
    pictures = picture_shapes(store)
    keys = {clip.clip_id: _key(clip.clip_id, topic_map) for clip in store.clips()}
    report.unused += [str(path) for key, path in found.items() if key not in keys.values()]
    with ThreadPoolExecutor(THREADS) as pool:
        for key, clips in groupby(store.clips(), key=lambda clip: keys[clip.clip_id]):
            name = "/".join(filter(None, key))
            frames = [store.frames(clip.clip_id) for clip in clips]
            stamps, poses = np.concatenate([f.stamp_ns for f in frames]), np.concatenate([f.pose for f in frames])
            if key not in found:
                report.without_bag[name] += len(stamps)
                yield from (None for _ in stamps)
                continue
            with Bag(found[key]) as bag:
                for labels in _bag_labels(bag, stamps, poses, pictures, pool):
                    if labels is None:
                        report.without_truth[name] += 1
                    yield labels


def _key(clip_id: str, topic_map: TopicMap | None) -> tuple[str, str]:
    """(drive, bag) of a clip; the drive is '' where it is not needed to find the bag."""
    parts = clip_id.rsplit("/", 2)
    if len(parts) != 3:
        raise MimicError(f"clip '{clip_id}': its id is not drive/bag/number, so that its bag cannot be found; extract it with `mimic extract`")
    return (parts[0] if topic_map else "", parts[1])


def _bags_by_key(bags: Sequence[Path], topic_map: TopicMap | None) -> dict[tuple[str, str], Path]:
    found: dict[tuple[str, str], Path] = {}
    for path in bags:
        key = (topic_map.identity(path)["drive_id"] if topic_map else "", bag_name(path))
        if key in found:
            mend = "their drives are the same, too: label from one of them" if topic_map else "give --topics with the map of the extraction to tell them apart"
            raise UsageError(f"{found[key]} and {path} have the same name: {mend}")
        found[key] = path
    return found


def _bag_labels(
    bag: Bag, stamps: NDArray[np.int64], poses: NDArray[np.float64], pictures: Mapping[str, tuple[int, int]], pool: ThreadPoolExecutor
) -> Iterator[FrameLabels | None]:
    """Labels of the frames (N) of one bag at these stamps and poses (N, 3), in their order."""
    topics = {BOXES_3D, LANE, SITUATION, *(pattern.format(camera=camera) for pattern in OF_CAMERA.values() for camera in pictures)}
    running: deque[tuple[int, Future[FrameLabels]]] = deque()
    ready: dict[int, FrameLabels] = {}
    next_row = 0
    order = {int(stamp): row for row, stamp in enumerate(stamps.tolist())}
    for stamp_ns, messages in _moments(bag, topics, set(order)):
        row = order[stamp_ns]
        _check_same_drive(bag, messages, poses[row])
        running.append((row, pool.submit(_labels, bag, messages, pictures)))
        while len(running) > IN_FLIGHT:
            done, future = running.popleft()
            ready[done] = future.result()
        # Truth comes in the order of the frames: whatever is before the oldest that is awaited has none.
        while running and next_row < running[0][0]:
            yield ready.pop(next_row, None)
            next_row += 1
    ready |= {row: future.result() for row, future in running}
    yield from (ready.pop(row, None) for row in range(next_row, len(stamps)))


def _moments(bag: Bag, topics: set[str], wanted: set[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stamps for which all of the topics are there, with their messages (decoded, but not their pictures), as soon as they are complete."""
    open_moments: dict[int, dict[str, Any]] = {}
    for message in bag.messages(topics | {ODOMETRY}):
        topic = message.channel.topic
        stamp_ns, content = _stamped(bag, message, wanted)
        if stamp_ns not in wanted or content is None:
            continue
        moment = open_moments.setdefault(stamp_ns, {})
        moment[topic] = content
        if topics <= moment.keys():
            yield stamp_ns, open_moments.pop(stamp_ns)


def _stamped(bag: Bag, message: BagMessage, wanted: set[int]) -> tuple[int, Any]:
    """A message's own stamp, and its content when that is wanted: JSON is parsed, a picture is what is compressed in it."""
    stamp_ns = bag.header_stamp_ns(message)
    if stamp_ns is not None and stamp_ns not in wanted:
        return stamp_ns, None
    content = bag.decode(message)
    topic = message.channel.topic
    try:
        if topic == BOXES_3D:
            stamp = content.markers[0].header.stamp if content.markers else None
            return (stamp.sec * 10**9 + stamp.nanosec if stamp else message.log_ns), content.markers
        if stamp_ns is None:
            parsed = json.loads(content.data)
            return int(parsed["stamp_ns"]), parsed
        return stamp_ns, content.data if message.channel.type_name.endswith("/CompressedImage") else content
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MimicError(f"{bag.path}: {topic} is not what `mimic sim record` writes ({error!r})") from error


def _check_same_drive(bag: Bag, messages: Mapping[str, Any], pose: NDArray[np.float64]) -> None:
    """Simulations all begin at the same stamp: a bag of the same name may be of another drive."""
    if ODOMETRY not in messages or not np.isfinite(pose).all():
        return
    position = messages[ODOMETRY].pose.pose.position
    distance_m = float(np.hypot(position.x - pose[0], position.y - pose[1]))
    if distance_m > SAME_PLACE_M:
        raise MimicError(f"{bag.path}: the vehicle is {distance_m:.1f} m from where the store has it at the same stamp: this is another recording of that name")


def _labels(bag: Bag, messages: Mapping[str, Any], pictures: Mapping[str, tuple[int, int]]) -> FrameLabels:
    try:
        solid = {marker.id: _box_3d(marker) for marker in messages[BOXES_3D]}
        situation, lane = messages[SITUATION], messages[LANE]
        stop_line, light, junction, zebra, lead = (situation[name] or {} for name in ("stop_line", "light", "junction", "zebra", "lead"))
        of = {camera: {kind: messages[topic.format(camera=camera)] for kind, topic in OF_CAMERA.items()} for camera in pictures}
        return FrameLabels(
            source=SIMULATOR,
            confidence=1.0,
            semantic={camera: block_classes(_image(own["semantic/compressed"], pictures[camera])) for camera, own in of.items()},
            depth_mm={camera: block_depth_mm(_image(own["depth/compressed"], pictures[camera])) for camera, own in of.items()},
            agents={camera: _agents(own["boxes_2d"]["boxes"], solid) for camera, own in of.items()},
            light=light.get("state"),
            light_visible=bool(light.get("is_visible", False)),
            stop_line_m=stop_line.get("distance_m", np.nan),
            stop_rule=stop_line.get("rule"),
            junction_start_m=junction.get("start_m", np.nan),
            junction_end_m=junction.get("end_m", np.nan),
            zebra_m=zebra.get("distance_m", np.nan),
            lead_gap_m=lead.get("gap_m", np.nan),
            lead_speed_mps=lead.get("speed_mps", np.nan),
            speed_limit_mps=situation["speed_limit_mps"],
            lane_m=lane_at_stations(np.array([(p.pose.position.x, p.pose.position.y) for p in lane.poses], np.float64).reshape(-1, 2)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MimicError(
            f"{bag.path}: ground truth is not what this version's `mimic sim record` writes ({error!r}); `mimic sim render` makes it again"
        ) from error


def lane_at_stations(points_m: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, 2) points along a lane from beside the vehicle on → (len(LANE_STATIONS_M), 2) at those lengths of arc, NaN beyond its end."""
    stations = np.array(LANE_STATIONS_M)
    if len(points_m) < 2:
        return np.full((len(stations), 2), np.nan, np.float32)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points_m, axis=0).T))])
    return np.stack([np.interp(stations, arc, column, right=np.nan) for column in points_m.T], axis=1).astype(np.float32)


def _image(data: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[Any]:
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None or image.shape != shape:
        found = "no PNG picture" if image is None else f"of {image.shape} pixels"
        raise MimicError(f"ground truth is {found}, the store's pictures are of {shape}: label with bags that were recorded for the rig of the store")
    return np.asarray(image)


def _box_3d(marker: Any) -> tuple[float, ...]:
    """x_m … height_m of AGENT_COLUMNS."""
    p, q, size = marker.pose.position, marker.pose.orientation, marker.scale
    return (p.x, p.y, quaternion_yaw(x=q.x, y=q.y, z=q.z, w=q.w), size.x, size.y, size.z)


def _agents(boxes: Iterable[Mapping[str, Any]], solid: Mapping[int, tuple[float, ...]]) -> NDArray[np.float32]:
    """(N, len(AGENT_COLUMNS)); who is too far for a 3D box has NaN in place of it."""
    unknown = (np.nan,) * 6
    rows = [
        (
            *(AGENT_KINDS.index(box["kind"]), *box["bounds_px"], box["visible"]),
            *solid.get(box["id"], unknown),
            *(box["speed_mps"], float(box["brake"]), INDICATORS.index(box["indicator"]), box["id"]),
        )
        for box in boxes
    ]
    return np.array(rows, np.float32).reshape(-1, len(AGENT_COLUMNS))
