"""Is a camera still a camera: rate, age, stamps, and whether the picture shows anything."""

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

GRID_ROWS = 64  # pictures are judged on a grid of about this many rows of the green channel: it costs microseconds
RATE_WINDOW_NS = 2_000_000_000
MAX_STAMP_STEP_NS = 2_000_000_000  # a longer step between pictures is a jump of the clock, not a slow camera
NOT_NEGLIGIBLE = 1.0  # of 0–255; keeps the relative detail of a black picture finite


@dataclass(frozen=True, kw_only=True)
class HealthLimits:
    """Beyond these a picture, or the stream, is reported.

    blocked_detail_below: detail is the mean deviation from the neighbourhood, relative to the mean brightness, so that
    dusk doesn't count as dirt. Measured on a real car by day: at least 0.08; the same pictures out of focus as through
    a smear on the lens, with sensor noise: 0.005 to 0.02.
    """

    min_rate_hz: float = 5.0
    max_age_s: float = 0.5
    frozen_after: int = 10  # identical pictures in a row
    dark_below: float = 8.0  # mean of 0–255
    bright_above: float = 247.0
    blocked_detail_below: float = 0.02
    settle_after: int = 5  # pictures in a row that must agree before a verdict changes


@dataclass(frozen=True, kw_only=True)
class Health:
    """problems: names of what is wrong now, in a fixed order; values: the figures behind them."""

    problems: tuple[str, ...]
    values: dict[str, float]


NEEDS_MOTION = "frozen picture"  # whoever stands sees the same again and again: for those to judge who know how it moves
PICTURE_PROBLEMS = ("unusable picture", "stamp jump", "frozen picture", "dark picture", "blown-out picture", "blocked lens")


class CameraHealth:
    """Judges one camera, picture by picture. A verdict changes only when some pictures in a row agree (hysteresis)."""

    def __init__(self, limits: HealthLimits) -> None:
        self._limits = limits
        self._previous: NDArray[np.uint8] | None = None
        self._same = 0
        self._arrivals_ns: deque[int] = deque()
        self._last_stamp_ns: int | None = None
        self._streaks = dict.fromkeys(PICTURE_PROBLEMS, 0)
        self._active: set[str] = set()
        self._mean = self._detail = 0.0
        self._stamp_jumps = self._unusable_pictures = 0

    def add(self, picture: NDArray[np.uint8], *, stamp_ns: int, steady_ns: int) -> None:
        """Note a picture (H, W, 3) uint8 RGB with the stamp of its exposure and the steady time of its arrival."""
        limits = self._limits
        self._arrivals_ns.append(steady_ns)
        while steady_ns - self._arrivals_ns[0] > RATE_WINDOW_NS:
            self._arrivals_ns.popleft()
        jumped = self._last_stamp_ns is not None and not 0 < stamp_ns - self._last_stamp_ns < MAX_STAMP_STEP_NS
        self._last_stamp_ns = stamp_ns
        self._stamp_jumps += jumped

        stride = max(1, picture.shape[0] // GRID_ROWS)
        sample = np.ascontiguousarray(picture[::stride, ::stride, 1])
        self._same = self._same + 1 if self._previous is not None and np.array_equal(sample, self._previous) else 0
        self._previous = sample
        self._mean = float(sample.mean())
        denoised = cv2.blur(sample.astype(np.float32), (3, 3))
        self._detail = float(np.abs(denoised - cv2.blur(denoised, (15, 15))).mean()) / max(self._mean, NOT_NEGLIGIBLE)

        is_dark, is_bright = self._mean < limits.dark_below, self._mean > limits.bright_above
        self._settle("unusable picture", False)
        self._settle("stamp jump", jumped, at_once=jumped)
        self._settle("frozen picture", self._same >= limits.frozen_after, at_once=True)
        self._settle("dark picture", is_dark)
        self._settle("blown-out picture", is_bright)
        self._settle("blocked lens", self._detail < limits.blocked_detail_below and not is_dark and not is_bright)

    def add_unusable(self) -> None:
        """Note a message whose picture could not be used."""
        self._unusable_pictures += 1
        self._settle("unusable picture", True, at_once=True)

    @property
    def picture_problems(self) -> tuple[str, ...]:
        """What is wrong with the pictures themselves, whenever they arrived: the same in every run of a recording."""
        return tuple(name for name in PICTURE_PROBLEMS if name in self._active)

    def check(self, *, steady_ns: int) -> Health:
        """The verdict at a steady time, with the stream's age and rate over the last two seconds."""
        arrivals = [t for t in self._arrivals_ns if steady_ns - t <= RATE_WINDOW_NS]
        age_s = (steady_ns - self._arrivals_ns[-1]) / 1e9 if self._arrivals_ns else np.inf
        span_ns = arrivals[-1] - arrivals[0] if len(arrivals) > 1 else 0
        rate_hz = (len(arrivals) - 1) * 1e9 / span_ns if span_ns > 0 else 0.0
        stream = ("no picture",) if age_s > self._limits.max_age_s else ("low rate",) if rate_hz < self._limits.min_rate_hz else ()
        values = {
            "age_s": age_s,
            "rate_hz": rate_hz,
            "mean_brightness": self._mean,
            "detail": self._detail,
            "stamp_jumps": float(self._stamp_jumps),
            "unusable_pictures": float(self._unusable_pictures),
        }
        return Health(problems=stream + self.picture_problems, values=values)

    def _settle(self, name: str, is_wrong: bool, *, at_once: bool = False) -> None:
        if is_wrong == (name in self._active):
            self._streaks[name] = 0
            return
        self._streaks[name] += 1
        if at_once or self._streaks[name] >= self._limits.settle_after:
            self._streaks[name] = 0
            self._active ^= {name}
