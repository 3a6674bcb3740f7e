"""The camera node without ROS: real pictures in, the rig's pictures out, grouped by exposure time."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_contracts.image_geometry import Crop, crop_table, remap_table
from mimic_contracts.images import CameraInfo, CompressedImage, Frame, RawImage
from mimic_contracts.rig import Mounting, Rig
from perception.image_decoding import decode_compressed, decode_raw

Picture = NDArray[np.uint8]
WAITING_FRAMES = 4  # pictures a camera that wait for the other cameras': what they may be late by, in frames


class CameraCore:
    """Decodes, rectifies and warps pictures to the rig's cameras, and groups what was exposed together.

    A camera is described either by camera_info with its mounting, or by a declared crop.
    """

    def __init__(self, rig: Rig, *, mountings: Mapping[str, Mounting], crops: Mapping[str, Crop], sync_tolerance_ns: int) -> None:
        for name in (*mountings, *crops):
            rig.camera(name)
        self._rig = rig
        self._mountings = dict(mountings)
        self._crops = dict(crops)
        self._sync_tolerance_ns = sync_tolerance_ns
        self._infos: dict[str, CameraInfo] = {}
        self._warps: dict[str, Warp] = {}
        self._waiting: dict[str, list[Frame]] = {camera.name: [] for camera in rig.cameras}
        self.dropped_frames = 0  # pictures that found no group
        self.offsets_ns: dict[str, int] = {}  # of the last group: exposure after the reference camera's

    def set_camera_info(self, camera: str, info: CameraInfo) -> None:
        """Note a camera's intrinsics; its warp is made again when they change."""
        self._rig.camera(camera)
        known = self._infos.get(camera)
        if known is not None and _same_info(known, info):
            return
        self._infos[camera] = info
        self._warps.pop(camera, None)

    def set_mounting(self, camera: str, mounting: Mounting) -> None:
        """Note where a camera is mounted; its warp is made again when that changes."""
        self._rig.camera(camera)
        if self._mountings.get(camera) == mounting:
            return
        self._mountings[camera] = mounting
        self._warps.pop(camera, None)

    def ingest(self, camera: str, image: RawImage | CompressedImage | Picture) -> Picture:
        """One picture (payload, or already decoded (H, W, 3) uint8 RGB) as the rig's camera sees it: (H, W, 3) uint8 RGB.

        It may be the picture itself. May be called from several threads. Raises MimicError when the payload is damaged,
        or nothing says how this camera looks at the world.
        """
        if isinstance(image, RawImage):
            image = decode_raw(image)
        elif isinstance(image, CompressedImage):
            image = decode_compressed(image)
        warp = self._warps.get(camera)
        if warp is None or warp.source_shape != image.shape:
            warp = self._warps[camera] = self._make_warp(camera, image.shape)
        return warp(image)

    def add(self, camera: str, image: RawImage | CompressedImage | Picture, *, stamp_ns: int) -> dict[str, Frame] | None:
        """Ingest a picture; returns a group, one of each camera, once all have one that was exposed together.

        The newest picture of the reference camera (the rig's first) for which every other camera has one within the
        tolerance makes the group, of the nearest ones. What arrived before those is dropped and counted.
        Errors as of `ingest`.
        """
        newcomer = Frame(image=self.ingest(camera, image), stamp_ns=stamp_ns)
        waiting = self._waiting[camera]
        waiting.append(newcomer)
        if len(waiting) > WAITING_FRAMES:
            waiting.pop(0)
            self.dropped_frames += 1
        reference = self._rig.cameras[0].name
        for frame in reversed(self._waiting[reference]):
            group = self._group_of(frame)
            if group is not None:
                self._release(group)
                self.offsets_ns = {name: member.stamp_ns - frame.stamp_ns for name, member in group.items()}
                return group
        return None

    def _group_of(self, reference: Frame) -> dict[str, Frame] | None:
        """In the rig's order, what each camera exposed nearest to a picture of the reference camera; None: too far off."""
        group = {}
        for number, (name, waiting) in enumerate(self._waiting.items()):
            nearest = reference if number == 0 else min(waiting, key=lambda frame: abs(frame.stamp_ns - reference.stamp_ns), default=None)
            if nearest is None or abs(nearest.stamp_ns - reference.stamp_ns) > self._sync_tolerance_ns:
                return None
            group[name] = nearest
        return group

    def _release(self, group: Mapping[str, Frame]) -> None:
        for name, frame in group.items():
            position = next(i for i, other in enumerate(self._waiting[name]) if other is frame)
            del self._waiting[name][: position + 1]
            self.dropped_frames += position

    def _make_warp(self, camera: str, source_shape: tuple[int, ...]) -> "Warp":
        spec = self._rig.camera(camera)
        height_px, width_px = source_shape[:2]
        if camera in self._crops:
            crop = self._crops[camera]
            if crop.left_px + crop.width_px > width_px or crop.top_px + crop.height_px > height_px:
                raise MimicError(f"crop of camera '{camera}': {crop} reaches outside the picture of {width_px}x{height_px} pixels")
            return Warp(crop_table(spec, crop), source_shape)
        info, mounting = self._infos.get(camera), self._mountings.get(camera)
        if info is None or mounting is None:
            missing = "camera_info" if info is None else "mounting"
            raise MimicError(f"camera '{camera}': no {missing} yet; give its topic, or declare a crop in the topic map or the node's parameters")
        if (info.height_px, info.width_px) != (height_px, width_px):
            raise MimicError(f"camera '{camera}': the picture is {width_px}x{height_px}, camera_info says {info.width_px}x{info.height_px}")
        return Warp(remap_table(spec, info, mounting), source_shape)


class Warp:
    """A remap table (H, W, 2) made ready for pictures of one size; the identity passes pictures through untouched."""

    def __init__(self, table: NDArray[np.float64], source_shape: tuple[int, ...]) -> None:
        self.source_shape = source_shape
        height_px, width_px = table.shape[:2]
        v, u = np.mgrid[0:height_px, 0:width_px]
        self._is_identity = source_shape[:2] == (height_px, width_px) and bool(np.abs(table - np.stack([u, v], axis=-1)).max() < 1e-3)
        self._coarse, self._fine = cv2.convertMaps(table.astype(np.float32), None, cv2.CV_16SC2)
        self._box_px = (_box_px(np.diff(table[height_px // 2, :, 0])), _box_px(np.diff(table[:, width_px // 2, 1])))

    def __call__(self, image: Picture) -> Picture:
        """(H, W, 3) uint8 RGB as the canonical camera sees it; black where the source sees nothing."""
        if self._is_identity:
            return image
        if self._box_px != (1, 1):
            image = cv2.blur(image, self._box_px)
        return cv2.remap(image, self._coarse, self._fine, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _box_px(steps_px: NDArray[np.float64]) -> int:
    """Over how many source pixels to average before sampling in steps of so many, or a large camera would alias.

    Odd, because an even box would move the picture by half a pixel.
    """
    seen = np.abs(steps_px[steps_px != 0.0])
    return 2 * int(np.median(seen) / 2.0 + 1e-6) + 1 if seen.size else 1


def _same_info(a: CameraInfo, b: CameraInfo) -> bool:
    same_lens = a.distortion_model == b.distortion_model and np.array_equal(a.k, b.k) and np.array_equal(a.d, b.d)
    return same_lens and (a.height_px, a.width_px) == (b.height_px, b.width_px)
