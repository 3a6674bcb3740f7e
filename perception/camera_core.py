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
        self._waiting: dict[str, Frame] = {}
        self.dropped_frames = 0

    def set_camera_info(self, camera: str, info: CameraInfo) -> None:
        """Note a camera's intrinsics; its warp is made again when they change."""
        self._rig.camera(camera)
        known = self._infos.get(camera)
        if known is not None and _same_info(known, info):
            return
        self._infos[camera] = info
        self._warps.pop(camera, None)

    def set_mounting(self, camera: str, mounting: Mounting) -> None:
        """Note where a camera is mounted; its warp is made again."""
        self._rig.camera(camera)
        self._mountings[camera] = mounting
        self._warps.pop(camera, None)

    def ingest(self, camera: str, image: RawImage | CompressedImage | Picture) -> Picture:
        """One picture (payload, or already decoded (H, W, 3) uint8 RGB) as the rig's camera sees it: (H, W, 3) uint8 RGB.

        Raises MimicError when the payload is damaged, or nothing says how this camera looks at the world.
        """
        if isinstance(image, RawImage):
            image = decode_raw(image)
        elif isinstance(image, CompressedImage):
            image = decode_compressed(image)
        if camera not in self._warps or self._warps[camera].source_shape != image.shape:
            self._warps[camera] = self._make_warp(camera, image.shape)
        return self._warps[camera](image)

    def add(self, camera: str, image: RawImage | CompressedImage | Picture, *, stamp_ns: int) -> dict[str, Frame] | None:
        """Ingest a picture; all of the rig's once each has one exposed within the tolerance of the reference camera's.

        The reference camera is the rig's first. Pictures that find no group are dropped and counted.
        """
        newcomer = Frame(image=self.ingest(camera, image), stamp_ns=stamp_ns)
        self.dropped_frames += camera in self._waiting
        self._waiting[camera] = newcomer
        if len(self._waiting) < len(self._rig.cameras):
            return None
        stamps = {name: frame.stamp_ns for name, frame in self._waiting.items()}
        newest = max(stamps.values())
        late = [name for name, stamp in stamps.items() if newest - stamp > self._sync_tolerance_ns]
        for name in late:
            del self._waiting[name]
            self.dropped_frames += 1
        if late:
            return None
        group, self._waiting = self._waiting, {}
        return group

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
        # Source pixels a canonical pixel, in the middle: a large camera is averaged before it is sampled, or it would alias.
        middle = table[height_px // 2]
        self._average_px = max(1, round(float(np.median(np.abs(np.diff(middle[:, 0]))))))

    def __call__(self, image: Picture) -> Picture:
        """(H, W, 3) uint8 RGB as the canonical camera sees it; black where the source sees nothing."""
        if self._is_identity:
            return image
        if self._average_px > 1:
            image = cv2.blur(image, (self._average_px, self._average_px))
        return cv2.remap(image, self._coarse, self._fine, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _same_info(a: CameraInfo, b: CameraInfo) -> bool:
    same_lens = a.distortion_model == b.distortion_model and np.array_equal(a.k, b.k) and np.array_equal(a.d, b.d)
    return same_lens and (a.height_px, a.width_px) == (b.height_px, b.width_px)
