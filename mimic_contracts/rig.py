"""Canonical cameras: the pictures that a model was trained for, whatever camera a vehicle has."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.config import build, load_yaml, resolve_config
from mimic_contracts.errors import ContractError
from mimic_contracts.validation import check_array, check_integer, check_number, check_text


@dataclass(frozen=True, kw_only=True)
class Mounting:
    """Pose of a camera's optical centre in the vehicle frame (REP-103: x forward, y left, z up; origin: middle of
    the rear axle, on the ground). Angles turn the viewing direction, applied yaw, then pitch, then roll;
    positive pitch looks down, positive yaw to the left."""

    x_m: float
    y_m: float
    z_m: float
    roll_rad: float = 0.0
    pitch_rad: float = 0.0
    yaw_rad: float = 0.0

    def __post_init__(self) -> None:
        for name in ("x_m", "y_m", "z_m"):
            check_number(name, getattr(self, name), low=-20.0, high=20.0)
        for name in ("roll_rad", "pitch_rad", "yaw_rad"):
            check_number(name, getattr(self, name), low=-np.pi, high=np.pi)

    def rotation(self) -> NDArray[np.float64]:
        """(3, 3): columns are the body axes (x forward, y left, z up) of the camera in the vehicle frame."""
        cr, sr = np.cos(self.roll_rad), np.sin(self.roll_rad)
        cp, sp = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        cy, sy = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        yaw = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
        pitch = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
        roll = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
        return yaw @ pitch @ roll


@dataclass(frozen=True, kw_only=True)
class CameraSpec:
    """One canonical pinhole camera without distortion; principal point in the middle of the picture."""

    name: str
    height_px: int
    width_px: int
    horizontal_fov_rad: float
    mounting: Mounting

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_integer("height_px", self.height_px, low=8, high=4096)
        check_integer("width_px", self.width_px, low=8, high=4096)
        check_number("horizontal_fov_rad", self.horizontal_fov_rad, low=0.05, high=np.radians(170.0))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of the picture."""
        return (self.height_px, self.width_px, 3)

    def intrinsics(self) -> NDArray[np.float64]:
        """(3, 3) K: square pixels; pixel (u, v) has its centre at integer coordinates."""
        focal_px = self.width_px / 2.0 / np.tan(self.horizontal_fov_rad / 2.0)
        return np.array([[focal_px, 0.0, (self.width_px - 1) / 2.0], [0.0, focal_px, (self.height_px - 1) / 2.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Rig:
    """The cameras of a model, in the order in which their pictures are packed and fed to it."""

    name: str
    cameras: tuple[CameraSpec, ...]

    def __post_init__(self) -> None:
        check_text("rig.name", self.name)
        names = [camera.name for camera in self.cameras]
        if not names or len(set(names)) != len(names):
            raise ContractError(f"rig.cameras: names are {names}, must be at least one and all different")

    def camera(self, name: str) -> CameraSpec:
        """The camera of this name; raises ContractError that lists the known ones."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise ContractError(f"camera: '{name}' is not in rig '{self.name}', which has {', '.join(c.name for c in self.cameras)}")

    @property
    def packed_shape(self) -> tuple[int, int, int]:
        """Shape of all pictures in one: stacked from top to bottom, padded with black on the right."""
        return (sum(c.height_px for c in self.cameras), max(c.width_px for c in self.cameras), 3)

    def pack(self, images: Mapping[str, NDArray[np.uint8]], *, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """One (packed_shape) uint8 RGB picture from camera name → (H, W, 3) uint8 RGB; out: where to put it, black beside the
        pictures.

        Raises ContractError on a missing camera or a wrong shape.
        """
        packed = np.zeros(self.packed_shape, np.uint8) if out is None else out
        top = 0
        for camera in self.cameras:
            if camera.name not in images:
                raise ContractError(f"frames: camera '{camera.name}' of rig '{self.name}' is missing")
            image = check_array(f"frames[{camera.name}]", images[camera.name], shape=camera.shape, dtype=np.uint8)
            packed[top : top + camera.height_px, : camera.width_px] = image
            top += camera.height_px
        return packed

    def unpack(self, packed: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Camera name → (H, W, 3) views into a packed picture; raises ContractError on a wrong shape."""
        check_array("packed frame", packed, shape=self.packed_shape, dtype=np.uint8)
        images, top = {}, 0
        for camera in self.cameras:
            images[camera.name] = packed[top : top + camera.height_px, : camera.width_px]
            top += camera.height_px
        return images


def rig_cameras(rig: Rig) -> list[dict[str, Any]]:
    """The geometry of a rig in plain values, so that the card of a model can say which one was meant."""
    return [asdict(camera) for camera in rig.cameras]


_ANGLES = {"roll_deg": "roll_rad", "pitch_deg": "pitch_rad", "yaw_deg": "yaw_rad", "horizontal_fov_deg": "horizontal_fov_rad"}
_MOUNTING_KEYS = ("x_m", "y_m", "z_m", "roll_rad", "pitch_rad", "yaw_rad")


def mounting_from_dict(values: Mapping[str, Any], where: str) -> Mounting:
    """A Mounting from YAML keys, where angles are degrees (people measure them so; SI inside)."""
    return build(Mounting, _to_radians(values, where), where)


def load_rig(name_or_path: str | Path) -> Rig:
    """Read config/rigs/NAME.yaml or a path to such a file; raises MimicError or ContractError naming the key."""
    path = resolve_config("rigs", name_or_path)
    content = load_yaml(path)
    if set(content) != {"name", "cameras"} or not isinstance(content["cameras"], dict):
        raise ContractError(f"{path}: keys are {sorted(content)}, must be name and cameras (a mapping)")
    cameras = []
    for name, values in content["cameras"].items():
        where = f"{path}: cameras.{name}"
        radians = _to_radians(values, where)
        mounting = build(Mounting, {k: radians.pop(k) for k in _MOUNTING_KEYS if k in radians}, where)
        cameras.append(build(CameraSpec, {"name": name, "mounting": mounting, **radians}, where))
    return Rig(content["name"], tuple(cameras))


def _to_radians(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ContractError(f"{where}: is {values!r}, must be a mapping")
    converted = {}
    for key, value in values.items():
        degrees = check_number(f"{where}.{key}", value) if key in _ANGLES else value
        converted[_ANGLES.get(key, key)] = float(np.radians(degrees)) if key in _ANGLES else value
    return converted
