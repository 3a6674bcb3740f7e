"""A camera's mounting from many sightings of it, and whether the mounting in use is right."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.rig import Mounting
from perception.mounting_sight import Sighting

UNCALIBRATED, CALIBRATED, MOVED = "uncalibrated", "calibrated", "moved"
SIGHTINGS, HEIGHTS = 40, 10  # that make a block: some seconds of driving, so that blocks err apart from each other
MOST_SIGHTINGS = 10 * SIGHTINGS  # that wait for heights
NEEDED, KEPT = 5, 50  # blocks: a good half minute, and what evens out slopes and loads
MAX_SPREAD = (np.radians(0.5), np.radians(0.5), 0.15)  # of blocks: standard deviation of yaw, pitch and height
QUANTITIES = ("yaw_deg", "pitch_deg", "z_m")  # as the vehicle file calls them

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """status: UNCALIBRATED, CALIBRATED or MOVED; reason: why, in words; progress: 0 to 1; estimate, spread (3,): yaw, pitch (rad) and
    height (m), nan before the first block."""

    status: str
    reason: str
    progress: float
    estimate: Array
    spread: Array


class MountingEstimate:
    """Medians of blocks of sightings, over the last KEPT of them.

    When the last NEEDED blocks contradict those before, the camera was moved, and those before are forgotten.
    """

    def __init__(self, mounting: Mounting, *, angle_tolerance_rad: float, height_tolerance_m: float, blocks: Sequence[Sequence[float]] = ()) -> None:
        """mounting: in use; blocks: of earlier drives."""
        self._mounting = np.array([mounting.yaw_rad, mounting.pitch_rad, mounting.z_m])
        self._tolerance = np.array([angle_tolerance_rad, angle_tolerance_rad, height_tolerance_m])
        self._blocks = [tuple(block) for block in blocks][-KEPT:]
        self._sightings: deque[tuple[float, float, float]] = deque(maxlen=MOST_SIGHTINGS)

    @property
    def blocks(self) -> list[tuple[float, ...]]:
        """(yaw_rad, pitch_rad, height_m) of each, the latest last: to be remembered."""
        return list(self._blocks)

    def add(self, sighting: Sighting) -> bool:
        """Whether it made a block complete."""
        self._sightings.append((sighting.yaw_rad, sighting.pitch_rad, sighting.height_m))
        seen = np.array(self._sightings)
        if len(seen) < SIGHTINGS or np.isfinite(seen[:, 2]).sum() < HEIGHTS:
            return False
        self._sightings.clear()
        self._blocks.append(tuple(np.nanmedian(seen, axis=0).tolist()))
        if len(self._blocks) > NEEDED:
            before, now = np.median(self._blocks[:-NEEDED], axis=0), np.median(self._blocks[-NEEDED:], axis=0)
            first = len(self._blocks) - (NEEDED if (np.abs(now - before) > self._tolerance).any() else KEPT)
            self._blocks = self._blocks[max(first, 0) :]
        return True

    def judge(self) -> Judgement:
        """What is known now."""
        blocks = np.array(self._blocks).reshape(-1, 3)
        if len(blocks) < NEEDED:
            progress = (len(blocks) + self._share_of_block) / NEEDED
            heights = np.isfinite(np.array(self._sightings).reshape(-1, 3)[:, 2]).sum()
            reason = f"not known yet, {100.0 * progress:.0f} %: somebody must drive straight on"
            if len(self._sightings) > 2 * SIGHTINGS:
                reason += f" (only {heights} of {len(self._sightings)} pictures show the road move: is it seen, and not wet or dark?)"
            nothing = np.full(3, np.nan)
            return Judgement(status=UNCALIBRATED, reason=reason, progress=progress, estimate=nothing, spread=nothing)
        estimate, spread = np.median(blocks, axis=0), blocks.std(axis=0)
        return Judgement(**self._verdict(estimate, spread), progress=1.0, estimate=estimate, spread=spread)

    @property
    def _share_of_block(self) -> float:
        heights = sum(np.isfinite(height_m) for *_, height_m in self._sightings)
        return min(len(self._sightings) / SIGHTINGS, heights / HEIGHTS, 1.0)

    def _verdict(self, estimate: Array, spread: Array) -> dict[str, str]:
        described = describe(estimate, spread)
        scattered = [name for name, value, limit in zip(QUANTITIES, spread, MAX_SPREAD, strict=True) if value > limit]
        if scattered:
            return {"status": UNCALIBRATED, "reason": f"what is seen scatters too much in {', '.join(scattered)}: {described}"}
        off = np.abs(estimate - self._mounting) > self._tolerance
        if off.any():
            wrong = [
                f"{name} is {_shown(name, self._mounting[i])}, seen is {_shown(name, estimate[i])} (must be within {_shown(name, self._tolerance[i])})"
                for i, name in enumerate(QUANTITIES)
                if off[i]
            ]
            return {
                "status": MOVED,
                "reason": f"{', '.join(wrong)}: mount the camera as the vehicle file (or /tf_static) says, or write there what is seen: {described}",
            }
        return {"status": CALIBRATED, "reason": described}


def describe(estimate: Array, spread: Array) -> str:
    """In the words and units of the vehicle file."""
    return ", ".join(f"{name}: {_shown(name, value)} ± {_shown(name, wide)}" for name, value, wide in zip(QUANTITIES, estimate, spread, strict=True))


def _shown(name: str, value: float) -> str:
    return f"{np.degrees(value) + 0.0:.2f}" if name.endswith("_deg") else f"{value:.2f}"
