"""Payloads of camera messages: every encoding against OpenCV or a formula, and no damage that ends in a traceback."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic_contracts.errors import MimicError
from mimic_contracts.images import CompressedImage, RawImage
from perception import image_decoding
from perception.image_decoding import ENCODINGS, decode_compressed, decode_raw

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
CHANNELS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "8UC3": [2, 1, 0], "rgba8": [0, 1, 2, 0], "bgra8": [2, 1, 0, 0]}
PATTERNS = {"rggb": [[0, 1], [1, 2]], "bggr": [[2, 1], [1, 0]], "gbrg": [[1, 2], [0, 1]], "grbg": [[1, 0], [2, 1]]}


def raw(pixels, encoding, *, padding=0, is_bigendian=False):
    """A RawImage of (H, W[, C]) pixels with `padding` bytes after each row."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return RawImage(
        stamp_ns=1,
        height_px=pixels.shape[0],
        width_px=pixels.shape[1],
        encoding=encoding,
        step_bytes=rows.shape[1],
        is_bigendian=is_bigendian,
        data=rows.ravel(),
    )


def mosaic(rgb, pattern):
    """What a sensor behind this colour filter measures of a picture."""
    colour = np.tile(np.array(PATTERNS[pattern]), (rgb.shape[0] // 2, rgb.shape[1] // 2))
    return np.take_along_axis(rgb, colour[..., None], axis=2)[..., 0]


@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize("encoding", CHANNELS)
def test_colour(encoding, padding):
    np.testing.assert_array_equal(decode_raw(raw(RGB[..., CHANNELS[encoding]], encoding, padding=padding)), RGB)


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize(("encoding", "order"), [("rgb16", [0, 1, 2]), ("bgr16", [2, 1, 0]), ("rgba16", [0, 1, 2, 0]), ("bgra16", [2, 1, 0, 0])])
def test_colour_of_16_bit_keeps_the_upper_byte(encoding, order, is_bigendian):
    wide = RGB.astype(np.uint16) * 256 + RNG.integers(0, 256, RGB.shape, dtype=np.uint16)
    pixels = wide[..., order].astype(">u2" if is_bigendian else "<u2")
    np.testing.assert_array_equal(decode_raw(raw(pixels, encoding, padding=3, is_bigendian=is_bigendian)), RGB)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey(encoding):
    np.testing.assert_array_equal(decode_raw(raw(RGB[..., 0], encoding, padding=3)), RGB[..., [0, 0, 0]])


@pytest.mark.parametrize("is_bigendian", [False, True])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
def test_grey_of_16_bit(encoding, is_bigendian):
    pixels = (RGB[..., 0].astype(np.uint16) * 256 + 255).astype(">u2" if is_bigendian else "<u2")
    np.testing.assert_array_equal(decode_raw(raw(pixels, encoding, padding=2, is_bigendian=is_bigendian)), RGB[..., [0, 0, 0]])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_bayer_gives_back_a_smooth_picture(pattern):
    """Not against OpenCV's constants, whose names mean other patterns than sensor_msgs': against the scene itself."""
    v, u = np.mgrid[0:40, 0:60]
    scene = np.stack([u * 2 + 60, v * 3 + 20, 200 - u - v], axis=-1).astype(np.uint8)
    for pixels, encoding in ((mosaic(scene, pattern), f"bayer_{pattern}8"), (mosaic(scene, pattern).astype("<u2") * 256, f"bayer_{pattern}16")):
        decoded = decode_raw(raw(pixels, encoding, padding=4))
        assert np.abs(decoded.astype(int) - scene)[2:-2, 2:-2].max() <= 3


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")])
def test_yuv_follows_bt601(encoding, order):
    y, u, v = (RNG.integers(low, high, (6, 8)) for low, high in ((16, 236), (100, 156), (100, 156)))
    u, v = (np.repeat(c[:, ::2], 2, axis=1) for c in (u, v))
    pixels = np.empty((6, 8, 2), np.uint8)
    luma, chroma = (1, 0) if order == "uyvy" else (0, 1)
    pixels[..., luma] = y
    pixels[:, 0::2, chroma], pixels[:, 1::2, chroma] = u[:, ::2], v[:, ::2]
    red = 1.164 * (y - 16) + 1.596 * (v - 128)
    green = 1.164 * (y - 16) - 0.813 * (v - 128) - 0.391 * (u - 128)
    blue = 1.164 * (y - 16) + 2.018 * (u - 128)
    expected = np.stack([red, green, blue], axis=-1).clip(0, 255)
    assert np.abs(decode_raw(raw(pixels, encoding, padding=6)) - expected).max() <= 1.6


@given(height=st.integers(2, 40), width=st.integers(1, 20), padding=st.integers(0, 9), encoding=st.sampled_from(ENCODINGS), seed=st.integers(0, 1000))
@settings(deadline=None)
def test_padding_changes_nothing(height, width, padding, encoding, seed):
    width *= 2
    sample = np.random.default_rng(seed).integers(0, 256, (height, width * image_decoding._layout(encoding)[0]), dtype=np.uint8)
    plain = RawImage(stamp_ns=1, height_px=height, width_px=width, encoding=encoding, step_bytes=sample.shape[1], is_bigendian=False, data=sample.reshape(-1))
    padded = np.pad(sample, ((0, 0), (0, padding)), constant_values=9).reshape(-1)
    step = sample.shape[1] + padding
    expected = decode_raw(plain)
    assert expected.shape == (height, width, 3) and expected.dtype == np.uint8
    np.testing.assert_array_equal(decode_raw(replace(plain, step_bytes=step, data=padded)), expected)
    np.testing.assert_array_equal(decode_raw(replace(plain, step_bytes=step, data=padded[: padded.size - padding])), expected)  # unpadded last row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "rgb9"}, "image.encoding: is 'rgb9', must be one of rgb8"),
        ({"encoding": ""}, "image.encoding"),
        ({"height_px": 0}, "8x0 pixels"),
        ({"width_px": 0}, "0x6 pixels"),
        ({"width_px": -8}, "-8x6 pixels"),
        ({"width_px": 2**32 - 1}, "pixels, must be 1 to"),
        ({"step_bytes": 23}, "image.step: is 23 bytes, 8 pixels of rgb8 need at least 24"),
        ({"step_bytes": 0}, "image.step"),
        ({"step_bytes": 25}, "image.data: holds 144 bytes, 6 rows of 25 bytes need 150"),
        ({"height_px": 7}, "image.data: holds 144 bytes, 7 rows of 24 bytes need 168"),
        ({"height_px": 5}, "image.data: holds 144 bytes, 5 rows of 24 bytes need 120"),
        ({"data": np.zeros(0, np.uint8)}, "image.data: holds 0 bytes"),
        ({"data": np.zeros(143, np.uint8)}, "image.data: holds 143 bytes"),
        ({"data": np.zeros((6, 24), np.uint8)}, "image.data"),
        ({"data": np.zeros(144, np.float32)}, "image.data"),
        ({"encoding": "yuv422", "width_px": 7}, "image.width: is 7, yuv422 needs an even number"),
        ({"encoding": "bayer_rggb8", "height_px": 1}, "8x1 pixels, bayer_rggb8 needs at least 2x2"),
    ],
)
def test_a_payload_that_does_not_fit_its_header_is_named(change, message):
    with pytest.raises(MimicError) as error:
        decode_raw(replace(raw(RGB, "rgb8"), **change))
    assert message in str(error.value)


def test_ten_thousand_mutated_headers_decode_or_say_why():
    rng = np.random.default_rng(7)
    sizes = np.array([0, 1, 2, 3, 5, 6, 7, 8, 12, 16, 24, 48, 144, 65535, 2**31, 2**32 - 1])
    encodings = [*ENCODINGS, "", "rgb", "RGB8", "32FC1", "bayer_xxxx8", "yuv420", "\x00"]
    decoded = 0
    for _ in range(10_000):
        valid = raw(RGB, "rgb8")
        mutations = {
            "height_px": int(rng.choice(sizes)),
            "width_px": int(rng.choice(sizes)),
            "encoding": str(rng.choice(encodings)),
            "step_bytes": int(rng.choice(sizes)),
            "is_bigendian": bool(rng.integers(2)),
            "data": rng.integers(0, 256, int(rng.choice(sizes[:13]) * rng.choice(sizes[:13])), dtype=np.uint8),
        }
        image = replace(valid, **{k: v for k, v in mutations.items() if rng.random() < 0.4})
        try:
            picture = decode_raw(image)
        except MimicError as error:
            assert "image" in str(error)
            continue
        assert picture.shape == (image.height_px, image.width_px, 3) and picture.dtype == np.uint8
        decoded += 1
    assert decoded > 100  # or the test would test nothing


def smooth(height=48, width=64):
    v, u = np.mgrid[0:height, 0:width]
    return np.stack([u * 3, v * 4, 255 - u - v], axis=-1).astype(np.uint8)


def compressed(payload):
    return CompressedImage(stamp_ns=1, format="jpeg", data=np.frombuffer(bytes(payload), np.uint8))


JPEG = simplejpeg.encode_jpeg(smooth(), quality=90, colorspace="RGB")
PNG = cv2.imencode(".png", smooth()[..., ::-1])[1].tobytes()


@pytest.fixture(params=["simplejpeg", "opencv"])
def decoder(request, monkeypatch):
    if request.param == "opencv":
        monkeypatch.setattr(image_decoding, "simplejpeg", None)
    return request.param


def test_jpeg(decoder):
    assert np.abs(decode_compressed(compressed(JPEG)).astype(int) - smooth()).max() < 12


def test_grey_jpeg(decoder):
    grey = simplejpeg.encode_jpeg(np.ascontiguousarray(smooth()[..., :1]), colorspace="GRAY")
    decoded = decode_compressed(compressed(grey))
    assert decoded.shape == (48, 64, 3) and np.abs(decoded.astype(int) - smooth()[..., :1]).max() < 12


def test_png(decoder):
    np.testing.assert_array_equal(decode_compressed(compressed(PNG)), smooth())


def test_jpeg_padded_with_zeros_by_its_driver(decoder):
    np.testing.assert_array_equal(decode_compressed(compressed(JPEG + b"\0" * 500)), decode_compressed(compressed(JPEG)))


@pytest.mark.parametrize("payload", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\nIEND", b"\0" * 100, b"BM" + b"\0" * 60])
def test_no_picture(payload, decoder):
    with pytest.raises(MimicError, match="compressed image"):
        decode_compressed(compressed(payload))


@pytest.mark.parametrize("picture", [JPEG, PNG])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.95])
def test_cut_off_pictures_are_refused(picture, share, decoder):
    with pytest.raises(MimicError, match="cut off"):
        decode_compressed(compressed(picture[: int(len(picture) * share)]))


def test_a_header_that_claims_gigapixels_reserves_no_memory():
    start = JPEG.index(b"\xff\xc0") + 5
    huge_jpeg = JPEG[:start] + b"\xff\xdc\xff\xdc" + JPEG[start + 4 :]
    huge_png = PNG[:16] + b"\x00\x00\xff\xff\x00\x00\xff\xff" + PNG[24:]
    for payload in (huge_jpeg, huge_png):
        with pytest.raises(MimicError, match=r"say that they are 655\d\dx655\d\d"):
            decode_compressed(compressed(payload))


@pytest.mark.parametrize("picture", [JPEG, PNG])
def test_mutated_files_decode_or_say_why(picture, decoder):
    rng = np.random.default_rng(3)
    for _ in range(500):
        payload = bytearray(picture)
        for position in rng.integers(0, len(payload), rng.integers(1, 6)):
            payload[position] = rng.integers(256)
        try:
            decoded = decode_compressed(compressed(payload))
        except MimicError:
            continue
        assert decoded.ndim == 3 and decoded.shape[2] == 3 and decoded.dtype == np.uint8


class TestCvBridge:
    """With rclpy's messages, in this process: conversions only, no node."""

    @pytest.fixture
    def ros_images(self):
        pytest.importorskip("sensor_msgs", reason="ROS messages are not installed")
        from perception import ros_images

        ros_images.cv_bridge.cache_clear()
        yield ros_images
        ros_images.cv_bridge.cache_clear()

    @staticmethod
    def message(pixels, encoding):
        from sensor_msgs.msg import Image

        rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
        message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1])
        message.data.frombytes(rows.tobytes())
        return message

    def test_is_asked_where_it_is_installed(self, ros_images, monkeypatch):
        asked = []

        class Bridge:
            def imgmsg_to_cv2(self, message, desired_encoding):
                asked.append((message.encoding, desired_encoding))
                return RGB

        monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=Bridge))
        np.testing.assert_array_equal(ros_images.picture_of(self.message(RGB[..., ::-1], "bgr8")), RGB)
        assert asked == [("bgr8", "rgb8")]
        ros_images.picture_of(self.message(RGB[..., :2], "mono16"))  # what it would scale stays ours
        assert len(asked) == 1

    def test_errors_are_the_same_with_it(self, ros_images, monkeypatch):
        class Bridge:
            def imgmsg_to_cv2(self, message, desired_encoding):
                raise TypeError("buffer is too small")

        monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=Bridge))
        broken = self.message(RGB, "rgb8")
        broken.height = 60
        with pytest.raises(MimicError, match=r"image\.data: holds 144 bytes"):
            ros_images.picture_of(broken)
        with pytest.raises(MimicError, match="CvBridge cannot convert rgb8, 8x6: buffer is too small"):
            ros_images.picture_of(self.message(RGB, "rgb8"))

    @pytest.mark.parametrize("error", [ImportError, AttributeError])
    def test_one_that_cannot_be_imported_is_not_used(self, ros_images, monkeypatch, error):
        def broken():
            raise error("numpy.core.multiarray failed to import")

        monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=broken))
        np.testing.assert_array_equal(ros_images.picture_of(self.message(RGB, "rgb8")), RGB)

    @pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "bayer_rggb8", "bayer_grbg8"])
    def test_the_real_one_agrees_with_ours(self, ros_images, encoding):
        if ros_images.cv_bridge() is None:
            pytest.skip("cv_bridge is not installed here")
        from mimic_contracts.ros_conversions import raw_image

        channels = image_decoding._layout(encoding)[0]
        message = self.message(RNG.integers(0, 256, (48, 64, channels), dtype=np.uint8), encoding)
        np.testing.assert_array_equal(ros_images.picture_of(message), decode_raw(raw_image(message)))
