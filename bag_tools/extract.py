"""Bags → clip store: pictures and signals on one clock, cut into clips, with a report of everything that was left out."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from bag_tools.bag_pictures import picture_payload
from bag_tools.bag_reader import Bag, BagMessage
from bag_tools.clip_store import ClipFrames
from bag_tools.extract_report import bag_report, count_clip, left_out_text, split_figures
from bag_tools.frame_plan import FramePlan, assign_splits, is_contiguous, plan_frames, signals_at
from bag_tools.recording import read_recording, reason_of
from bag_tools.store_writer import StoreSpec, StoreWriter, check_target
from bag_tools.topic_map import TopicMap
from mimic_contracts.clip import Clip
from mimic_contracts.errors import MimicError
from mimic_contracts.image_geometry import Crop
from mimic_contracts.images import CameraInfo, CompressedImage, RawImage
from mimic_contracts.rig import Mounting, Rig

JPEG_QUALITY = 95
THREADS = 2  # decoding, warping and encoding release the interpreter; reading the bag is the third
IN_FLIGHT = 64


class Ingest(Protocol):
    """Real pictures in, the rig's out. It raises MimicError on a picture that it cannot use; called from several threads."""

    def set_camera_info(self, camera: str, info: CameraInfo) -> None:
        """Note a camera's intrinsics."""
        ...

    def ingest(self, camera: str, image: RawImage | CompressedImage) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB as the rig's camera would have seen it."""
        ...


class IngestFactory(Protocol):
    """Makes an Ingest for one recording."""

    def __call__(self, rig: Rig, *, mountings: Mapping[str, Mounting], crops: Mapping[str, Crop], sync_tolerance_ns: int) -> Ingest:
        """An Ingest for the cameras of this rig."""
        ...


Progress = Callable[[Iterable[Any], int], Iterable[Any]]
Pictures = dict[str, bytes]  # camera → JPEG file at the rig's size


def extract(
    bags: Sequence[Path], topic_map: TopicMap, out: Path, *, ingest_factory: IngestFactory, progress: Progress, append: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Write the clips of these bags into the store `out` and return the report, which is also stored there.

    progress(iterable, total) wraps the frames. A bag that cannot be used is refused in the report, the others are kept.
    Raises UsageError when `out` exists, MimicError when no bag gave a clip.
    """
    check_target(out, append=append, overwrite=overwrite)
    spec = StoreSpec(
        rig=topic_map.rig.name,
        cameras=tuple(camera.name for camera in topic_map.rig.cameras),
        frame_rate_hz=float(topic_map.frame_rate_hz),
        crop=topic_map.crop_text,
    )
    with ExitStack() as open_bags:
        plans, refused = _plan_all(bags, topic_map, open_bags)
        assign_splits(plans, topic_map)
        if not any(len(plan.stamp_ns) for plan in plans):
            reasons = [f"{bag}: {reason}" for bag, reason in refused.items()] + [f"{plan.bag}: {left_out_text(plan.counts)}" for plan in plans]
            raise MimicError("no frame of these bags can be used:\n  " + "\n  ".join(reasons))
        bag_reports = [bag_report(plan) for plan in plans]
        with StoreWriter(out, spec, append=append, overwrite=overwrite) as writer:
            frames = progress(_all_frames(plans, topic_map, ingest_factory), sum(len(plan.stamp_ns) for plan in plans))
            for number, group in groupby(frames, key=lambda frame: frame.plan_number):
                _write_clips(plans[number], group, topic_map, writer, bag_reports[number])
            writer.report = {"refused": refused, "splits": split_figures(bag_reports), "bags": bag_reports}
    return dict(writer.report)


@dataclass(frozen=True, eq=False)
class _FrameResult:
    """A planned frame with its pictures, or why there are none."""

    plan_number: int
    index: int
    pictures: Pictures
    problem: str


def _plan_all(bags: Sequence[Path], topic_map: TopicMap, open_bags: ExitStack) -> tuple[list[FramePlan], dict[str, str]]:
    plans, refused = [], {}
    for path in bags:
        try:
            bag = open_bags.enter_context(Bag(path))
            plans.append(plan_frames(path, read_recording(bag, topic_map), topic_map))
        except MimicError as error:
            refused[str(path)] = str(error)
    return plans, refused


def _all_frames(plans: Sequence[FramePlan], topic_map: TopicMap, ingest_factory: IngestFactory) -> Iterator[_FrameResult]:
    with ThreadPoolExecutor(THREADS) as pool:
        for number, plan in enumerate(plans):
            yield from _frames(number, plan, topic_map, ingest_factory, pool)


def _frames(number: int, plan: FramePlan, topic_map: TopicMap, ingest_factory: IngestFactory, pool: ThreadPoolExecutor) -> Iterator[_FrameResult]:
    """Second pass over a bag: the planned frames in their order, whatever the order of their pictures in the bag."""
    crops = {name: source.crop for name, source in topic_map.cameras.items() if source.crop}
    ingest = ingest_factory(topic_map.rig, mountings=plan.recording.mountings, crops=crops, sync_tolerance_ns=round(topic_map.sync_tolerance_s * 1e9))
    for camera, info in plan.recording.camera_infos.items():
        ingest.set_camera_info(camera, info)
    users: dict[tuple[str, int], list[int]] = {}
    for camera, ordinals in plan.ordinals.items():
        for index, ordinal in enumerate(ordinals.tolist()):
            users.setdefault((camera, ordinal), []).append(index)
    waiting: list[dict[str, tuple[bytes, str]]] = [{} for _ in plan.stamp_ns]
    done = 0
    for camera, ordinal, picture in _pictures(plan, topic_map, ingest, pool):
        for index in users[camera, ordinal]:
            waiting[index][camera] = picture
        while done < len(waiting) and len(waiting[done]) == len(plan.ordinals):
            pictures, waiting[done] = waiting[done], {}
            problem = next((text for _, text in pictures.values() if text), "")
            yield _FrameResult(number, done, {camera: pictures[camera][0] for camera in plan.ordinals}, problem)
            done += 1


def _pictures(plan: FramePlan, topic_map: TopicMap, ingest: Ingest, pool: ThreadPoolExecutor) -> Iterator[tuple[str, int, tuple[bytes, str]]]:
    """(camera, ordinal, (JPEG file, problem)) of all pictures that the plan needs, in the order of recording."""
    bag = plan.recording.bag
    camera_of = {source.topic: name for name, source in topic_map.cameras.items()}
    needed = {camera: set(ordinals.tolist()) for camera, ordinals in plan.ordinals.items()}
    ordinals: Counter[str] = Counter()
    running: deque[tuple[str, int, Future[tuple[bytes, str]]]] = deque()
    for message in bag.messages(camera_of):
        camera = camera_of[message.channel.topic]
        ordinal, ordinals[camera] = ordinals[camera], ordinals[camera] + 1
        if ordinal in needed[camera]:
            running.append((camera, ordinal, pool.submit(_ingest, bag, ingest, camera, message)))
        if len(running) > IN_FLIGHT:
            camera, ordinal, future = running.popleft()
            yield camera, ordinal, future.result()
    for camera, ordinal, future in running:
        yield camera, ordinal, future.result()


def _ingest(bag: Bag, ingest: Ingest, camera: str, message: BagMessage) -> tuple[bytes, str]:
    """The rig's picture as a JPEG file and '', or nothing and the reason."""
    try:
        picture = ingest.ingest(camera, picture_payload(bag, message))
    except MimicError as error:
        return b"", reason_of(error)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(picture), JPEG_QUALITY), ""


def _write_clips(plan: FramePlan, frames: Iterable[_FrameResult], topic_map: TopicMap, writer: StoreWriter, report: dict[str, Any]) -> None:
    """Cut what could be decoded into clips; the pictures of one clip at a time are in memory."""
    signals = signals_at(plan, topic_map)
    skipped: Counter[str] = Counter()
    index: list[int] = []
    pictures: list[Pictures] = []
    clip_count = 0

    def flush() -> None:
        nonlocal clip_count
        rows = np.array(index, np.int64)
        if len(rows) and plan.stamp_ns[rows[-1]] - plan.stamp_ns[rows[0]] >= topic_map.min_clip_s * 1e9:
            clip = Clip(
                clip_id=f"{plan.identity['drive_id']}/{report['name']}/{clip_count}",
                drive_id=plan.identity["drive_id"],
                vehicle_id=plan.identity["vehicle_id"],
                driver_id=plan.identity["driver_id"],
                region=plan.identity["region"],
                split=str(plan.split[rows[0]]),
                start_ns=int(plan.stamp_ns[rows[0]]),
                end_ns=int(plan.stamp_ns[rows[-1]]),
            )
            clip_frames = ClipFrames.of(plan.stamp_ns[rows], {name: values[rows] for name, values in signals.items()})
            writer.add_clip(clip, clip_frames, {camera: [picture[camera] for picture in pictures] for camera in writer.spec.cameras})
            clip_count += 1
            count_clip(report, clip, clip_frames)
        elif len(rows):
            skipped["in pieces shorter than min_clip_s"] += len(rows)
        index.clear()
        pictures.clear()

    for frame in frames:
        if frame.problem:
            skipped[frame.problem] += 1
            continue
        if index and not is_contiguous(plan, topic_map, index[-1], frame.index):
            flush()
        index.append(frame.index)
        pictures.append(frame.pictures)
    flush()
    for reason, count in skipped.items():
        report["left_out"][reason] = report["left_out"].get(reason, 0) + count
