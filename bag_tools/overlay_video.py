"""Recorded pictures with the plan and the human's own way drawn in, as a small H.264 video."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bag_tools.metrics import POSITION
from mimic_contracts.image_geometry import project_points
from mimic_contracts.rig import CameraSpec

PLAN_RGB, HUMAN_RGB = (255, 140, 26), (64, 196, 255)  # orange and sky blue: told apart with any colour vision
INK_RGB, SOFT_RGB, PAPER_RGB, FAINT_RGB = (245, 245, 245), (165, 172, 182), (22, 26, 32), (70, 78, 90)
WIDTH_PX, STRIP_PX, CURVE_TOP_PX = 640, 108, 48
NEXT_DOT_STEPS = 5  # a dot each second

Image = NDArray[np.uint8]
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """Curves over the whole video, drawn below the picture with a mark at the present: times_s (N,), and what the plan
    and, where it is comparable, the human had (N,), NaN: nothing; label names them with their unit."""

    label: str
    times_s: Array
    plan: Array
    human: Array | None = None


def enlarge(image: Image) -> Image:
    """The picture, WIDTH_PX wide."""
    height = round(image.shape[0] * WIDTH_PX / image.shape[1] / 2) * 2
    return np.asarray(cv2.resize(image, (WIDTH_PX, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def draw_paths(image: Image, camera: CameraSpec, *, plan: Array, human: Array) -> Image:
    """An enlarged picture with both paths on the ground. plan, human: (T, C) of `car`, NaN rows are left out."""
    canvas = enlarge(image)
    for path, colour, width_px in ((human, HUMAN_RGB, 5), (plan, PLAN_RGB, 3)):
        pixels, is_seen = _path_pixels(camera, path, canvas.shape[1] / camera.width_px)
        for i in np.flatnonzero(is_seen[:-1] & is_seen[1:]).tolist():
            cv2.line(canvas, _at(pixels[i]), _at(pixels[i + 1]), colour, width_px, cv2.LINE_AA)
        for i in range(NEXT_DOT_STEPS, len(path), NEXT_DOT_STEPS):
            if is_seen[i]:
                cv2.circle(canvas, _at(pixels[i]), width_px + 2, colour, -1, cv2.LINE_AA)
    return canvas


def draw_wheels(image: Image, *, plan_rad: float, human_rad: float) -> Image:
    """An enlarged picture with two steering wheels: the planned angle and the human's; NaN: no wheel."""
    canvas = enlarge(image)
    for angle_rad, colour, x in ((human_rad, HUMAN_RGB, 60), (plan_rad, PLAN_RGB, WIDTH_PX - 60)):
        if np.isfinite(angle_rad):
            centre = np.array([x, canvas.shape[0] - 60])
            cv2.circle(canvas, _at(centre), 42, PAPER_RGB, 9, cv2.LINE_AA)
            cv2.circle(canvas, _at(centre), 42, colour, 5, cv2.LINE_AA)
            for spoke_rad in (0.0, np.pi, np.pi / 2.0):  # left turns are positive, and turn the wheel counter-clockwise
                turned = spoke_rad - angle_rad
                cv2.line(canvas, _at(centre), _at(centre + 42 * np.array([np.cos(turned), np.sin(turned)])), colour, 4, cv2.LINE_AA)
    return canvas


def with_strip(canvas: Image, strip: Strip, index: int, caption: str) -> Image:
    """The picture, and below it a caption and the curves, marked at frame `index`."""
    band: Image = np.full((STRIP_PX, WIDTH_PX, 3), PAPER_RGB, np.uint8)
    _text(band, caption, (10, 18), INK_RGB)
    _text(band, "human", (WIDTH_PX - 110, 18), HUMAN_RGB)
    _text(band, "plan", (WIDTH_PX - 50, 18), PLAN_RGB)
    curves = [(strip.plan, PLAN_RGB)] if strip.human is None else [(strip.human, HUMAN_RGB), (strip.plan, PLAN_RGB)]
    finite = np.concatenate([[0.0], *(values[np.isfinite(values)] for values, _ in curves)])
    low, high = float(finite.min()), max(float(finite.max()), float(finite.min()) + 1e-3)
    _text(band, f"{strip.label}: {low:.2f} to {high:.2f}", (10, 38), SOFT_RGB)
    x = 8.0 + (WIDTH_PX - 16.0) * (strip.times_s - strip.times_s[0]) / max(strip.times_s[-1] - strip.times_s[0], 1e-9)
    cv2.line(band, _at((x[index], CURVE_TOP_PX)), _at((x[index], STRIP_PX - 6)), INK_RGB, 1)
    for values, colour in [(np.zeros(len(x)), FAINT_RGB), *curves]:
        y = STRIP_PX - 8 - (STRIP_PX - 8 - CURVE_TOP_PX) * (values - low) / (high - low)
        points, is_drawn = np.stack([x, y], axis=1), np.isfinite(y)
        for i in np.flatnonzero(is_drawn[:-1] & is_drawn[1:]).tolist():
            cv2.line(band, _at(points[i]), _at(points[i + 1]), colour, 1 if colour == FAINT_RGB else 2, cv2.LINE_AA)
    return np.concatenate([canvas, band])


def encode_mp4(frames: Iterable[Image], *, rate_hz: float) -> bytes:
    """An H.264 MP4 that browsers play, of (H, W, 3) uint8 RGB frames of one even size."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = None
        for image in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(rate_hz).limit_denominator(1000), options={"crf": "27", "preset": "veryfast"})
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    return buffer.getvalue()


def _path_pixels(camera: CameraSpec, path: Array, scale: float) -> tuple[Array, NDArray[np.bool_]]:
    ground = np.concatenate([path[:, POSITION], np.zeros((len(path), 1))], axis=1)
    is_known = np.isfinite(ground).all(axis=1)
    pixels, is_in_front = project_points(camera, np.where(is_known[:, None], ground, 0.0))
    pixels = (pixels + 0.5) * scale - 0.5
    near = np.abs(pixels).max(axis=1) < 10.0 * WIDTH_PX  # far outside the picture a line means nothing, and overflows
    return pixels, is_known & is_in_front & near


def _at(point: Iterable[float]) -> tuple[int, int]:
    x, y = point
    return round(float(x)), round(float(y))


def _text(canvas: Image, text: str, origin: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.46, colour, 1, cv2.LINE_AA)
