"""Payloads of camera messages become (H, W, 3) uint8 RGB pictures, without ROS."""

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_contracts.images import CompressedImage, RawImage

try:
    import simplejpeg
except ImportError:  # a ROS machine without the extra: OpenCV decodes as well, more slowly
    simplejpeg = None

Picture = NDArray[np.uint8]

MAX_SIDE_PX = 16384
MAX_COMPRESSED_PX = 2**26  # eight times an 8-megapixel camera
# encoding → (bytes a pixel, OpenCV conversion to RGB; None: it is RGB already)
_COLOUR_8 = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
    # OpenCV names a pattern by its second row and column, sensor_msgs by its first pixels.
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUY2),
}
_COLOUR_16 = {
    "rgb16": (6, None),
    "bgr16": (6, cv2.COLOR_BGR2RGB),
    "rgba16": (8, cv2.COLOR_RGBA2RGB),
    "bgra16": (8, cv2.COLOR_BGRA2RGB),
    "mono16": (2, cv2.COLOR_GRAY2RGB),
    "16UC1": (2, cv2.COLOR_GRAY2RGB),
    "bayer_rggb16": (2, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": (2, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": (2, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": (2, cv2.COLOR_BayerGB2RGB),
}
YUV_ENCODINGS = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")
ENCODINGS = tuple(_COLOUR_8) + tuple(_COLOUR_16)


def check_raw(image: RawImage) -> None:
    """Raise MimicError when encoding, size, step and payload of a raw image don't fit each other."""
    if image.encoding not in ENCODINGS:
        raise MimicError(f"image.encoding: is '{image.encoding}', must be one of {', '.join(ENCODINGS)}")
    height, width, step = image.height_px, image.width_px, image.step_bytes
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise MimicError(f"image: is {width}x{height} pixels, must be 1 to {MAX_SIDE_PX} along each side")
    if width % 2 and image.encoding in YUV_ENCODINGS:
        raise MimicError(f"image.width: is {width}, {image.encoding} needs an even number")
    if min(height, width) < 2 and image.encoding.startswith("bayer_"):
        raise MimicError(f"image: is {width}x{height} pixels, {image.encoding} needs at least 2x2")
    row_bytes = width * _layout(image.encoding)[0]
    if step < row_bytes:
        raise MimicError(f"image.step: is {step} bytes, {width} pixels of {image.encoding} need at least {row_bytes}")
    # The last row's padding is left out by some drivers.
    if image.data.ndim != 1 or image.data.dtype != np.uint8 or not (step * (height - 1) + row_bytes <= image.data.size <= step * height):
        raise MimicError(f"image.data: holds {image.data.size} bytes, {height} rows of {step} bytes need {step * height}")


def decode_raw(image: RawImage) -> Picture:
    """(H, W, 3) uint8 RGB of a raw image; 16-bit values keep their upper byte.

    It may be a view of the payload. Raises MimicError when encoding, size, step and payload don't fit each other.
    """
    check_raw(image)
    pixel_bytes, conversion = _layout(image.encoding)
    row_bytes = image.width_px * pixel_bytes
    payload = np.ascontiguousarray(image.data)
    rows = np.lib.stride_tricks.as_strided(payload, (image.height_px, row_bytes), (image.step_bytes, 1), writeable=False)
    rows = np.ascontiguousarray(rows)
    if image.encoding in _COLOUR_16:
        rows = (rows.view(">u2" if image.is_bigendian else "<u2") >> 8).astype(np.uint8)
        pixel_bytes //= 2
    pixels = rows.reshape(image.height_px, image.width_px, pixel_bytes) if pixel_bytes > 1 else rows
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion)


def decode_compressed(image: CompressedImage) -> Picture:
    """(H, W, 3) uint8 RGB of a JPEG or PNG; raises MimicError when it is empty, damaged, cut off or too large."""
    payload = image.data.tobytes()
    what = f"compressed image: {len(payload)} bytes of format '{image.format}'"
    if not payload:
        raise MimicError("compressed image: holds no bytes")
    is_jpeg, is_png = payload.startswith(b"\xff\xd8"), payload.startswith(b"\x89PNG\r\n\x1a\n")
    if not (is_jpeg or is_png):
        raise MimicError(f"{what} are neither a JPEG nor a PNG, but begin with {payload[:8].hex()}")
    # Some versions of OpenCV fill up what is missing of a picture without a word. Drivers may pad with zeros.
    end = payload.rstrip(b"\0")[-64:]
    if (is_jpeg and b"\xff\xd9" not in end) or (is_png and b"IEND" not in end):
        raise MimicError(f"{what} are cut off: the end marker is missing")
    try:
        if is_jpeg and simplejpeg is not None:
            height, width, *_ = simplejpeg.decode_jpeg_header(payload)
            _check_size(what, width=width, height=height)
            return simplejpeg.decode_jpeg(payload, colorspace="RGB")
        if is_png:
            width, height = struct.unpack(">II", payload[16:24])
            _check_size(what, width=width, height=height)
        decoded = cv2.imdecode(image.data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except (ValueError, cv2.error, struct.error) as error:
        raise MimicError(f"{what} are damaged: {' '.join(str(error).split())}") from error
    if decoded is None:
        raise MimicError(f"{what} are damaged: they cannot be decoded")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _layout(encoding: str) -> tuple[int, int | None]:
    return _COLOUR_16[encoding] if encoding in _COLOUR_16 else _COLOUR_8[encoding]


def _check_size(what: str, *, width: int, height: int) -> None:
    """A damaged header must not make us reserve all memory."""
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX and width * height <= MAX_COMPRESSED_PX):
        raise MimicError(f"{what} say that they are {width}x{height} pixels, must be 1 to {MAX_COMPRESSED_PX} in all")
