"""Payloads of camera messages become (H, W, 3) uint8 RGB pictures, without ROS."""

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
ENCODINGS = tuple(_COLOUR_8) + tuple(_COLOUR_16)


def decode_raw(image: RawImage) -> Picture:
    """(H, W, 3) uint8 RGB of a raw image; 16-bit values keep their upper byte.

    Raises MimicError when encoding, size, step and payload don't fit each other.
    """
    if image.encoding not in ENCODINGS:
        raise MimicError(f"image.encoding: is '{image.encoding}', must be one of {', '.join(ENCODINGS)}")
    is_wide = image.encoding in _COLOUR_16
    pixel_bytes, conversion = (_COLOUR_16 if is_wide else _COLOUR_8)[image.encoding]
    height, width, step = image.height_px, image.width_px, image.step_bytes
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise MimicError(f"image: is {width}x{height} pixels, must be 1 to {MAX_SIDE_PX} along each side")
    row_bytes = width * pixel_bytes
    if step < row_bytes:
        raise MimicError(f"image.step: is {step} bytes, {width} pixels of {image.encoding} need at least {row_bytes}")
    # The last row's padding is left out by some drivers.
    if not (step * (height - 1) + row_bytes <= image.data.size <= step * height):
        raise MimicError(f"image.data: holds {image.data.size} bytes, {height} rows of {step} bytes need {step * height}")
    if image.encoding.startswith(("yuv", "uyvy", "yuyv")) and width % 2:
        raise MimicError(f"image.width: is {width}, {image.encoding} needs an even number")
    rows = np.lib.stride_tricks.as_strided(image.data, (height, row_bytes), (step, 1), writeable=False)
    rows = np.ascontiguousarray(rows)
    if is_wide:
        wide = rows.view(">u2" if image.is_bigendian else "<u2")
        rows = (wide >> 8).astype(np.uint8)
        pixel_bytes //= 2
    pixels = rows.reshape(height, width, pixel_bytes) if pixel_bytes > 1 else rows
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion)


def decode_compressed(image: CompressedImage) -> Picture:
    """(H, W, 3) uint8 RGB of a JPEG or PNG; raises MimicError when it is empty or damaged."""
    if image.data.size == 0:
        raise MimicError("compressed image: holds no bytes")
    payload = image.data.tobytes()
    if simplejpeg is not None and payload[:2] == b"\xff\xd8":
        try:
            return simplejpeg.decode_jpeg(payload, colorspace="RGB")
        except ValueError as error:
            raise MimicError(f"compressed image: {image.data.size} bytes are not a whole JPEG: {error}") from error
    try:
        decoded = cv2.imdecode(image.data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise MimicError(f"compressed image: {image.data.size} bytes of format '{image.format}' cannot be decoded: {error}") from error
    if decoded is None:
        raise MimicError(f"compressed image: {image.data.size} bytes of format '{image.format}' are no picture that can be decoded")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
