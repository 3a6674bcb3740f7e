"""The clip store: one directory with two Lance tables, `frames` (one row a frame) and `clips` (one row a clip).

`store.json` is written last and names the versions of the tables that belong to it: a store without it is no store,
and an append that was interrupted leaves the old one as it was.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray

from bag_tools.label_columns import LabelRows, label_rows, label_schema
from mimic_contracts.action_spec import CAR, CONTRACT_VERSION
from mimic_contracts.clip import Clip
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.observation import ROUTE_COMMANDS, ROUTE_POINTS
from mimic_contracts.validation import check_array, check_increasing

EGO_SIGNALS = ("speed_mps", "acceleration_mps2", "yaw_rate_radps", "curvature_1pm", "steering_wheel_rad")
SIGNALS = ("pose", *EGO_SIGNALS, "route_command", "route_points", "expert_plan")
PLAN_SHAPE = (len(CAR.times_s), len(CAR.channels))
ROUTE_SHAPE = (ROUTE_POINTS, 2)

FRAMES_TABLE, CLIPS_TABLE, META_FILE, REPORT_FILE = "frames.lance", "clips.lance", "store.json", "extract_report.json"
FORMAT = "mimic_drive clip store 2"

SIGNAL_SCHEMA = [
    pa.field("stamp_ns", pa.int64()),
    pa.field("pose", pa.list_(pa.float64(), 3)),
    *(pa.field(name, pa.float64()) for name in EGO_SIGNALS),
    pa.field("route_command", pa.string()),
    pa.field("route_points", pa.list_(pa.float64(), ROUTE_SHAPE[0] * ROUTE_SHAPE[1])),  # NaN: no such point
    pa.field("expert_plan", pa.list_(pa.float64(), PLAN_SHAPE[0] * PLAN_SHAPE[1])),  # null: not recorded
]
CLIP_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("clip_id", "drive_id", "vehicle_id", "driver_id", "region", "split")),
        pa.field("start_ns", pa.int64()),
        pa.field("end_ns", pa.int64()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("weight", pa.float64()),
        pa.field("first_row", pa.int64()),
        pa.field("frame_count", pa.int64()),
        pa.field("content_hash", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class LabelsMeta:
    """What the label columns hold. source: of FrameLabels, several with commas; hash: SHA-256 of the columns of the first
    frame_count rows, which were there when they were labelled; labelled_count: how many of these have labels."""

    source: str
    hash: str
    label_stride_px: int
    frame_count: int
    labelled_count: int


@dataclass(frozen=True, kw_only=True)
class StoreMeta:
    """What is in a store. signals: those of SIGNALS that at least one clip has; crop: what was cut out of pictures
    without camera_info, for the model's card ('' when camera_info was there); data_hash: SHA-256 of the content; labels:
    what `mimic label` added to it."""

    contract_version: str
    rig: str
    cameras: tuple[str, ...]
    frame_rate_hz: float
    signals: tuple[str, ...]
    crop: str
    data_hash: str
    clip_count: int
    frame_count: int
    frames_version: int
    clips_version: int
    labels: LabelsMeta | None = None
    format: str = FORMAT


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFrames:
    """The frames of one clip without their pictures, N rows in time order; NaN: not recorded, and therefore masked.

    row: (N,) int64 into the frames table; stamp_ns: (N,) int64; pose: (N, 3) float64 [x_m, y_m, yaw_rad] of a fixed
    frame; the signals: (N,) float64; route_command: (N,) text; route_points: (N, ROUTE_POINTS, 2) float64 [x_m, y_m] in
    the vehicle frame at the frame, the nearest first; expert_plan: (N, T, C) float64 of the action spec `car`.
    """

    row: NDArray[np.int64]
    stamp_ns: NDArray[np.int64]
    pose: NDArray[np.float64]
    speed_mps: NDArray[np.float64]
    acceleration_mps2: NDArray[np.float64]
    yaw_rate_radps: NDArray[np.float64]
    curvature_1pm: NDArray[np.float64]
    steering_wheel_rad: NDArray[np.float64]
    route_command: NDArray[np.str_]
    route_points: NDArray[np.float64]
    expert_plan: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = len(self.stamp_ns)
        check_array("frames.row", self.row, shape=(count,), dtype=np.int64)
        check_array("frames.stamp_ns", self.stamp_ns, shape=(count,), dtype=np.int64)
        check_increasing("frames.stamp_ns", self.stamp_ns)
        check_array("frames.pose", self.pose, shape=(count, 3), dtype=np.float64, finite=False)
        for name in EGO_SIGNALS:
            check_array(f"frames.{name}", getattr(self, name), shape=(count,), dtype=np.float64, finite=False)
        check_array("frames.route_points", self.route_points, shape=(count, *ROUTE_SHAPE), dtype=np.float64, finite=False)
        check_array("frames.expert_plan", self.expert_plan, shape=(count, *PLAN_SHAPE), dtype=np.float64, finite=False)
        unknown = set(self.route_command.tolist()) - set(ROUTE_COMMANDS)
        if unknown or self.route_command.shape != (count,):
            raise ContractError(f"frames.route_command: {sorted(unknown) or self.route_command.shape}, must be {count} of {', '.join(ROUTE_COMMANDS)}")

    @classmethod
    def of(cls, stamp_ns: NDArray[np.int64], signals: Mapping[str, NDArray[Any]] | None = None) -> "ClipFrames":
        """Frames at these stamps with these signals; the others are missing, the route command is 'follow'."""
        count = len(stamp_ns)
        shapes = {"pose": (count, 3), "route_points": (count, *ROUTE_SHAPE), "expert_plan": (count, *PLAN_SHAPE)}
        columns: dict[str, Any] = {name: np.full(shapes.get(name, (count,)), np.nan) for name in SIGNALS if name != "route_command"}
        columns["route_command"] = np.full(count, "follow")
        return cls(row=np.arange(count), stamp_ns=np.asarray(stamp_ns, np.int64), **{**columns, **(signals or {})})

    def __len__(self) -> int:
        return len(self.stamp_ns)

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signals that any frame has; the route command counts when it is ever something but 'follow'."""
        numeric = [name for name in SIGNALS if name != "route_command" and not np.isnan(getattr(self, name)).all()]
        return tuple(numeric) + (("route_command",) if (self.route_command != "follow").any() else ())


def content_hash(clip: Clip, frames: ClipFrames, jpegs: Mapping[str, Sequence[bytes]]) -> str:
    """SHA-256 in hex of everything that a clip holds: little-endian numbers in declared order, then the pictures."""
    digest = hashlib.sha256(json.dumps(asdict(clip), sort_keys=True).encode())
    digest.update(frames.stamp_ns.astype("<i8").tobytes())
    for name in ("pose", *EGO_SIGNALS, "route_points", "expert_plan"):
        values = getattr(frames, name)
        digest.update(np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes())  # one bit pattern for every NaN
    digest.update("\n".join(frames.route_command.tolist()).encode())
    for camera in sorted(jpegs):
        for jpeg in jpegs[camera]:
            digest.update(len(jpeg).to_bytes(8, "little") + jpeg)
    return digest.hexdigest()


def frames_table(frames: ClipFrames, jpegs: Mapping[str, Sequence[bytes]]) -> pa.Table:
    """The rows of one clip as they stand in the table `frames`."""
    plans = frames.expert_plan.reshape(len(frames), -1)
    has_plan = np.any(~np.isnan(plans), axis=1).tolist()
    columns: dict[str, Any] = {
        "stamp_ns": frames.stamp_ns,
        "pose": pa.FixedSizeListArray.from_arrays(frames.pose.ravel(), 3),
        **{name: getattr(frames, name) for name in EGO_SIGNALS},
        "route_command": frames.route_command.tolist(),
        "route_points": pa.FixedSizeListArray.from_arrays(frames.route_points.ravel(), ROUTE_SHAPE[0] * ROUTE_SHAPE[1]),
        "expert_plan": pa.array([row if there else None for row, there in zip(plans, has_plan, strict=True)], SIGNAL_SCHEMA[-1].type),
        **{f"jpeg_{camera}": pa.array(pictures, pa.large_binary()) for camera, pictures in jpegs.items()},
    }
    return pa.table(columns, schema=frames_schema(tuple(jpegs)))


def frames_schema(cameras: tuple[str, ...]) -> pa.Schema:
    """Schema of the table `frames` of a store with these cameras."""
    return pa.schema([*SIGNAL_SCHEMA, *(pa.field(f"jpeg_{camera}", pa.large_binary()) for camera in cameras)])


def read_meta(path: Path) -> StoreMeta:
    """store.json of a store; raises MimicError when there is none or another version wrote it."""
    try:
        content = json.loads((path / META_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise MimicError(f"{path}: is not a clip store ({META_FILE} cannot be read: {error.strerror}); make one with `mimic extract`") from error
    except ValueError as error:
        raise MimicError(f"{path}: {META_FILE} is damaged ({error}); extract again with --overwrite") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or set(content) != {f.name for f in fields(StoreMeta)}:
        raise MimicError(f"{path}: {META_FILE} is not of format '{FORMAT}'; extract again with --overwrite")
    if content["contract_version"] != CONTRACT_VERSION:
        raise MimicError(f"{path}: has contract version {content['contract_version']}, this is {CONTRACT_VERSION}; extract again with --overwrite")
    labels = content["labels"]
    if labels is not None and (not isinstance(labels, dict) or set(labels) != {f.name for f in fields(LabelsMeta)}):
        raise MimicError(f"{path}: labels in {META_FILE} are {labels!r}, not of format '{FORMAT}'; label again with --overwrite")
    lists = {name: tuple(content[name]) for name in ("cameras", "signals")}
    return StoreMeta(**{**content, **lists, "labels": LabelsMeta(**labels) if labels else None})


class ClipStore:
    """Read access to a store, always at the versions that its store.json names."""

    def __init__(self, path: Path, meta: StoreMeta) -> None:
        self.path, self.meta = path, meta
        try:
            self._frames = lance.dataset(str(path / FRAMES_TABLE), version=meta.frames_version)
            rows = lance.dataset(str(path / CLIPS_TABLE), version=meta.clips_version).to_table().to_pylist()
        except (OSError, ValueError) as error:
            raise MimicError(f"{path}: tables are damaged ({str(error).splitlines()[0]}); extract again with --overwrite") from error
        self.content_hashes = [row["content_hash"] for row in rows]
        self._ranges = {row["clip_id"]: (row["first_row"], row["frame_count"]) for row in rows}
        names = [f.name for f in fields(Clip)]
        self._clips = [Clip(**{**{name: row[name] for name in names}, "tags": tuple(row["tags"])}) for row in rows]

    @classmethod
    def open(cls, path: str | Path) -> "ClipStore":
        """Open a store; raises MimicError when it is none, is damaged or has another contract version."""
        return cls(Path(path), read_meta(Path(path)))

    @property
    def labels_hash(self) -> str:
        """SHA-256 in hex of the labels, for the card of a model that was trained with them; '' when there are none."""
        return self.meta.labels.hash if self.meta.labels else ""

    def clips(self, split: str | None = None) -> list[Clip]:
        """The clips of one split, or all, in the order in which they were extracted."""
        return [clip for clip in self._clips if split is None or clip.split == split]

    def frames(self, clip_id: str) -> ClipFrames:
        """Stamps and signals of a clip; raises MimicError when there is no such clip."""
        if clip_id not in self._ranges:
            raise MimicError(f"{self.path}: has no clip '{clip_id}'; it has {', '.join(list(self._ranges)[:5])} …")
        first, count = self._ranges[clip_id]
        table = self._frames.to_table(columns=[f.name for f in SIGNAL_SCHEMA], offset=first, limit=count)
        plan_column = table["expert_plan"].combine_chunks()
        plans = np.full((count, PLAN_SHAPE[0] * PLAN_SHAPE[1]), np.nan)
        plans[plan_column.is_valid().to_numpy(zero_copy_only=False)] = plan_column.flatten().to_numpy().reshape(-1, plans.shape[1])
        return ClipFrames(
            row=np.arange(first, first + count),
            stamp_ns=table["stamp_ns"].to_numpy(),
            pose=table["pose"].combine_chunks().flatten().to_numpy().reshape(count, 3),
            **{name: table[name].to_numpy() for name in EGO_SIGNALS},
            route_command=np.array(table["route_command"].to_pylist(), np.str_),
            route_points=table["route_points"].combine_chunks().flatten().to_numpy().reshape(count, *ROUTE_SHAPE),
            expert_plan=plans.reshape(count, *PLAN_SHAPE),
        )

    def jpegs(self, rows: NDArray[np.int64], camera: str) -> list[bytes]:
        """The JPEG files of these rows, in their order; take many at a time, single rows are slow."""
        if camera not in self.meta.cameras:
            raise MimicError(f"{self.path}: has no camera '{camera}'; it has {', '.join(self.meta.cameras)}")
        unique, inverse = np.unique(rows, return_inverse=True)
        pictures = self._frames.take(unique.tolist(), columns=[f"jpeg_{camera}"])[0].to_pylist()
        return [pictures[i] for i in inverse]

    def images(self, rows: NDArray[np.int64], camera: str) -> NDArray[np.uint8]:
        """(N, H, W, 3) uint8 RGB pictures of these rows of the frames table, in their order."""
        pictures = [simplejpeg.decode_jpeg(jpeg, "RGB") for jpeg in self.jpegs(np.asarray(rows), camera)]
        return np.stack(pictures) if pictures else np.zeros((0, 0, 0, 3), np.uint8)

    def labels(self, rows: NDArray[np.int64], cameras: Sequence[str] | None = None) -> LabelRows:
        """Labels of these rows, in their order, of these cameras (default: all); take thousands of rows at a time.

        Raises MimicError when the store has no labels, or no such camera.
        """
        if self.meta.labels is None:
            raise MimicError(f"{self.path}: has no labels; add them with `mimic label {self.path} --truth BAG …`")
        wanted = self.meta.cameras if cameras is None else tuple(cameras)
        if unknown := [camera for camera in wanted if camera not in self.meta.cameras]:
            raise MimicError(f"{self.path}: has no camera '{unknown[0]}'; it has {', '.join(self.meta.cameras)}")
        unique, inverse = np.unique(np.asarray(rows, np.int64), return_inverse=True)
        columns = label_schema(wanted).names
        if missing := sorted(set(columns) - set(self._frames.schema.names)):
            raise MimicError(f"{self.path}: was labelled by an earlier version, without {', '.join(missing)}; label again with --overwrite")
        table = self._frames.take(unique.tolist(), columns=columns)
        return label_rows(table.take(inverse) if len(unique) else table, wanted)
