"""Is a camera still a camera: rate, age, stamps, and whether the picture shows anything."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHECK_STRIDE_PX = 8  # pictures are judged on a coarse grid: it costs microseconds
MAX_STAMP_STEP_NS = 2_000_000_000


@dataclass(frozen=True, kw_only=True)
class HealthLimits:
    """Beyond these a picture, or the stream, is reported."""

    min_rate_hz: float = 5.0
    max_age_s: float = 0.5
    frozen_after: int = 10  # identical pictures in a row
    dark_below: float = 8.0  # mean of 0–255
    bright_above: float = 247.0
    blocked_contrast_below: float = 2.0  # standard deviation of 0–255, where the picture is neither dark nor blown out
    settle_after: int = 5  # pictures in a row that must agree before a verdict changes


@dataclass(frozen=True, kw_only=True)
class Health:
    """problems: names of what is wrong now, in a fixed order; values: the figures behind them."""

    problems: tuple[str, ...]
    values: dict[str, float]


class CameraHealth:
    """Judges one camera, picture by picture."""

    def __init__(self, limits: HealthLimits) -> None:
        self._limits = limits
        self._previous: NDArray[np.uint8] | None = None
        self._same = 0
        self._arrivals_ns: list[int] = []
        self._last_stamp_ns: int | None = None
        self._streaks: dict[str, int] = {}
        self._active: set[str] = set()
        self._mean = self._contrast = 0.0
        self.stamp_jumps = 0
        self.bad_payloads = 0

    def add(self, picture: NDArray[np.uint8], *, stamp_ns: int, steady_ns: int) -> None:
        """Note a picture (H, W, 3) uint8 with the stamp of its exposure and the steady time of its arrival."""
        limits = self._limits
        if self._last_stamp_ns is not None and not 0 < stamp_ns - self._last_stamp_ns < MAX_STAMP_STEP_NS:
            self.stamp_jumps += 1
            self._settle("stamp jump", True, after=1)
        else:
            self._settle("stamp jump", False, after=limits.settle_after)
        self._last_stamp_ns = stamp_ns
        self._arrivals_ns = [t for t in self._arrivals_ns if steady_ns - t <= 2_000_000_000] + [steady_ns]
        sample = picture[::CHECK_STRIDE_PX, ::CHECK_STRIDE_PX]
        self._same = self._same + 1 if self._previous is not None and np.array_equal(sample, self._previous) else 0
        self._previous = sample.copy()
        self._mean, self._contrast = float(sample.mean()), float(sample.std())
        is_dark, is_bright = self._mean < limits.dark_below, self._mean > limits.bright_above
        self._settle("frozen picture", self._same >= limits.frozen_after, after=1)
        self._settle("dark picture", is_dark, after=limits.settle_after)
        self._settle("blown-out picture", is_bright, after=limits.settle_after)
        is_blocked = self._contrast < limits.blocked_contrast_below and not is_dark and not is_bright
        self._settle("blocked lens", is_blocked, after=limits.settle_after)

    def add_bad_payload(self) -> None:
        """Note a message that held no picture."""
        self.bad_payloads += 1

    def check(self, *, steady_ns: int) -> Health:
        """The verdict at a steady time."""
        limits = self._limits
        age_s = (steady_ns - self._arrivals_ns[-1]) / 1e9 if self._arrivals_ns else float("inf")
        recent = [t for t in self._arrivals_ns if steady_ns - t <= 2_000_000_000]
        rate_hz = (len(recent) - 1) * 1e9 / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0
        problems = [name for name, wrong in (("no picture", age_s > limits.max_age_s), ("low rate", rate_hz < limits.min_rate_hz)) if wrong]
        order = ("stamp jump", "frozen picture", "dark picture", "blown-out picture", "blocked lens")
        problems += [name for name in order if name in self._active]
        values = {
            "age_s": age_s,
            "rate_hz": rate_hz,
            "mean": self._mean,
            "contrast": self._contrast,
            "stamp_jumps": float(self.stamp_jumps),
            "bad_payloads": float(self.bad_payloads),
        }
        return Health(problems=tuple(problems), values=values)

    def _settle(self, name: str, is_wrong: bool, *, after: int) -> None:
        """Change a verdict only after some pictures in a row that say so, so that it is reported once."""
        if is_wrong == (name in self._active):
            self._streaks[name] = 0
            return
        self._streaks[name] = self._streaks.get(name, 0) + 1
        if self._streaks[name] >= after:
            self._streaks[name] = 0
            self._active ^= {name}
