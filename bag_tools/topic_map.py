"""The topic map (config/topics/NAME.yaml): which topic and field of a recording is which signal, and what it is for."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bag_tools.clip_store import EGO_SIGNALS, SIGNALS
from mimic_contracts.clip import SPLITS
from mimic_contracts.config import build, load_yaml, resolve_config
from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.image_geometry import Crop
from mimic_contracts.rig import Mounting, Rig, load_rig, mounting_from_dict
from mimic_contracts.validation import check_number, check_text
from mimic_contracts.vehicle import load_vehicle

DEFAULT_FIELDS = {"pose": "pose.pose", "route_command": "data", "route_points": "", "expert_plan": ""}
BAG_PATTERN = r"(?P<bag>[^/]+?)(\.(mcap|db3|bag)(\.zstd?)?)?/*$"
CARD_FILE = "drive.json"
# Of a vehicle's pedals (shares of their travel, 0 to 1) and what it was told, for `mimic vehicle identify`; clips don't have them.
VEHICLE_SIGNALS = ("throttle", "brake", "command_speed_mps", "command_yaw_rate_radps", "command_steering_wheel_rad")
HELD_OUT_FIRST = ("test", "val", "train")  # a bag that several globs match goes to the first of these


@dataclass(frozen=True, kw_only=True)
class CameraSource:
    """Where a rig's camera comes from: camera_info (topic) with a mounting, or a crop of the picture that stands for it.

    mounting: given here or by the map's vehicle file; None: from /tf_static between base_frame and the picture's frame_id.
    """

    topic: str
    camera_info: str = ""
    crop: Crop | None = None
    mounting: Mounting | None = None

    def __post_init__(self) -> None:
        check_text("topic", self.topic)
        if bool(self.camera_info) == (self.crop is not None):
            raise ContractError("camera_info, crop: exactly one of them must be given: the topic with the lens, or what to cut out without it")


@dataclass(frozen=True, kw_only=True)
class SignalSource:
    """A field of a topic; value = factor · field + offset, which brings it to the signal's SI unit and sign."""

    topic: str
    field: str = ""
    factor: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        check_text("topic", self.topic)
        check_number("factor", self.factor)
        check_number("offset", self.offset)
        field_path(self.field)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a drive, as fractions of its duration."""

    start: float
    end: float

    def __post_init__(self) -> None:
        check_number("start", self.start, low=0.0, high=1.0)
        check_number("end", self.end, low=self.start, high=1.0)


def _card(path: Path) -> dict[str, str]:
    """Texts and whole numbers of the file that `mimic sim record` puts into a bag; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MimicError(f"{path}: is not valid JSON: {error}") from error
    plain = content.items() if isinstance(content, dict) else ()
    return {key: str(value) for key, value in plain if isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""}


@dataclass(frozen=True, kw_only=True)
class TopicMap:
    """How a set of recordings becomes clips. drive_id, vehicle_id, driver_id, region and split_by may use the named groups of
    bag_pattern, which is searched in the bag's path ({bag}: its name), and texts and whole numbers of a drive.json in the bag.

    split_by: what the globs of `splits` are compared with.

    split_margin_s: training frames this close to val or test driving of the same drive are left out; 2 s plus the
    longest history and horizon of the models to be trained (METRICS, 'Splits').
    """

    rig: Rig
    frame_rate_hz: float
    cameras: Mapping[str, CameraSource]
    splits: Mapping[str, tuple[str | Block, ...]]
    drive_id: str
    vehicle_id: str
    driver_id: str
    region: str
    signals: Mapping[str, SignalSource] = field(default_factory=dict)
    bag_pattern: str = BAG_PATTERN
    split_by: str = "{bag}"
    base_frame: str = "base_link"
    split_margin_s: float = 2.0
    max_gap_s: float = 0.25
    min_clip_s: float = 1.0
    max_signal_gap_s: float = 0.25
    sync_tolerance_s: float = 0.05

    def __post_init__(self) -> None:
        check_number("frame_rate_hz", self.frame_rate_hz, low=0.5, high=200.0)
        for name in ("drive_id", "vehicle_id", "driver_id", "region", "split_by", "base_frame"):
            check_text(name, getattr(self, name))
        for name, high in {"split_margin_s": 60.0, "max_gap_s": 10.0, "min_clip_s": 600.0, "max_signal_gap_s": 10.0, "sync_tolerance_s": 1.0}.items():
            check_number(name, getattr(self, name), low=0.0, high=high)
        wanted = [camera.name for camera in self.rig.cameras]
        if sorted(self.cameras) != sorted(wanted):
            raise ContractError(f"cameras: are {', '.join(self.cameras)}, rig '{self.rig.name}' has {', '.join(wanted)}")
        if self.max_gap_s * self.frame_rate_hz < 1.0:
            raise ContractError(f"max_gap_s: is {self.max_gap_s}, must be at least a frame period ({1.0 / self.frame_rate_hz:.3f} s)")
        try:
            re.compile(self.bag_pattern)
        except re.error as error:
            raise ContractError(f"bag_pattern: '{self.bag_pattern}' is no regular expression: {error}") from error

    @property
    def crop_text(self) -> str:
        """The declared crops in words, for the model's card; '' when every camera has camera_info."""
        crops = {name: source.crop for name, source in self.cameras.items() if source.crop}
        return "; ".join(f"{name}: {c.width_px}x{c.height_px} at left {c.left_px}, top {c.top_px}" for name, c in sorted(crops.items()))

    def identity(self, bag: Path) -> dict[str, str]:
        """drive_id, vehicle_id, driver_id and region of a bag; raises MimicError when the pattern does not fit its path."""
        return {name: self._filled(name, bag) for name in ("drive_id", "vehicle_id", "driver_id", "region")}

    def _filled(self, name: str, bag: Path) -> str:
        """One of the texts that may use placeholders."""
        found = re.search(self.bag_pattern, bag.as_posix())
        if not found:
            raise MimicError(f"{bag}: bag_pattern '{self.bag_pattern}' is not found in its path")
        groups = {**_card(bag / CARD_FILE), "bag": bag_name(bag), **{k: v for k, v in found.groupdict().items() if v}}
        try:
            return str(getattr(self, name).format(**groups))
        except (KeyError, IndexError, ValueError) as error:
            raise MimicError(f"{bag}: {name} may use {', '.join(groups)}; bad placeholder: {error}") from error

    def split_of_bag(self, bag: Path) -> str:
        """The split whose glob matches what split_by makes of the bag; raises MimicError when none does."""
        matched = self._filled("split_by", bag)
        for split in HELD_OUT_FIRST:
            if any(isinstance(entry, str) and fnmatchcase(matched, entry) for entry in self.splits.get(split, ())):
                return split
        globs = [entry for entries in self.splits.values() for entry in entries if isinstance(entry, str)]
        raise MimicError(f"{bag}: no glob of splits matches '{matched}'; they are {', '.join(globs) or 'none'}")

    def blocks(self) -> list[tuple[str, Block]]:
        """The time blocks of drives that go to another split than the bag's own, held-out ones first."""
        return [(split, entry) for split in HELD_OUT_FIRST for entry in self.splits.get(split, ()) if isinstance(entry, Block)]

    def with_val_glob(self, glob: str) -> "TopicMap":
        """The same with other bags as the val split: leave one block out in turn."""
        return replace(self, splits={**self.splits, "val": (glob,)})


def bag_name(bag: Path) -> str:
    """Name of a bag without directory and suffixes."""
    return re.sub(r"\.(mcap|db3|bag)(\.zstd?)?$", "", bag.name)


def field_path(text: str) -> Callable[[Any], Any]:
    """A getter for 'twist.twist.linear.x' or 'position[0]'; '' is the message itself. Raises ContractError on anything else."""
    if text and not re.fullmatch(r"[A-Za-z_]\w*(\[\d+\])*(\.[A-Za-z_]\w*(\[\d+\])*)*", text):
        raise ContractError(f"field: is '{text}', must look like 'twist.twist.linear.x' or 'position[0]'")
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"\w+", text)]

    def get(message: Any) -> Any:
        for step in steps:
            message = message[step] if isinstance(step, int) else getattr(message, step)
        return message

    return get


def load_topic_map(name_or_path: str | Path) -> TopicMap:
    """Read config/topics/NAME.yaml or a path to such a file; raises MimicError or ContractError naming the key."""
    path = resolve_config("topics", name_or_path)
    content = load_yaml(path)
    vehicle = load_vehicle(content.pop("vehicle")) if "vehicle" in content else None
    mountings = vehicle.cameras if vehicle else {}
    for key in ("rig", "cameras", "splits"):
        if key not in content:
            raise ContractError(f"{path}: missing key {key}")
    parts = {
        "rig": load_rig(content["rig"]),
        "cameras": {name: _camera(values, f"{path}: cameras.{name}", mountings.get(name)) for name, values in _mapping(content, "cameras", path).items()},
        "signals": {name: _signal(name, values, f"{path}: signals.{name}") for name, values in _mapping(content, "signals", path).items()},
        "splits": {name: _split(name, values, f"{path}: splits.{name}") for name, values in _mapping(content, "splits", path).items()},
    }
    return build(TopicMap, {**content, **parts}, str(path))


def _mapping(content: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    values = content.get(key) or {}
    if not isinstance(values, Mapping):
        raise ContractError(f"{path}: {key}: is {values!r}, must be a mapping")
    return values


def _camera(values: Any, where: str, vehicle_mounting: Mounting | None) -> CameraSource:
    parts = dict(_mapping({"": values}, "", Path(where)))
    if parts.get("crop") is not None:
        parts["crop"] = build(Crop, parts["crop"], f"{where}.crop")
    if parts.get("mounting") is not None:
        parts["mounting"] = mounting_from_dict(parts["mounting"], f"{where}.mounting")
    elif vehicle_mounting:
        parts["mounting"] = vehicle_mounting
    return build(CameraSource, parts, where)


def _signal(name: str, values: Any, where: str) -> SignalSource:
    if name not in (*SIGNALS, *VEHICLE_SIGNALS):
        raise ContractError(f"{where}: unknown signal; allowed: {', '.join((*SIGNALS, *VEHICLE_SIGNALS))}")
    source = build(SignalSource, values, where)
    if name in (*EGO_SIGNALS, *VEHICLE_SIGNALS) and not source.field:
        raise ContractError(f"{where}: missing key field: which number of {source.topic} is it?")
    return replace(source, field=source.field or DEFAULT_FIELDS.get(name, ""))


def _split(name: str, entries: Any, where: str) -> tuple[str | Block, ...]:
    if name not in SPLITS:
        raise ContractError(f"{where}: unknown split; allowed: {', '.join(SPLITS)}")
    if not isinstance(entries, list):
        raise ContractError(f"{where}: is {entries!r}, must be a list of bag name globs and of blocks {{start: 0.8, end: 0.9}}")
    return tuple(entry if isinstance(entry, str) else build(Block, entry, f"{where}[{i}]") for i, entry in enumerate(entries))
