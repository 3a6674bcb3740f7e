"""Tiny clip stores, recipes and runs for the planner's tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from bag_tools.clip_store import ClipFrames, ClipStore
from bag_tools.store_writer import StoreSpec, StoreWriter
from e2e_planner.recipe import Augmentation, Network, Recipe
from mimic_contracts.action_spec import CAR, STEERING_ONLY
from mimic_contracts.clip import Clip
from mimic_contracts.rig import load_rig

RIG = load_rig("mono")
START_NS = 1_000_000_000
PERIOD_NS = 100_000_000
TINY = Network(widths=(4, 4, 8, 8, 8), width=16, layers=1, path_modes=2, speed_modes=3)
CALM = Augmentation(brightness=0.0, contrast=0.0, colour=0.0, blur_px=0.0, noise=0.0)


def picture(value: float) -> np.ndarray:
    """(128, 256, 3): a bright bar whose place tells a value within -1 and 1 (left is positive)."""
    image = np.full((128, 256, 3), 60, np.uint8)
    middle = round(128 - 100 * value)
    image[40:, max(middle - 12, 0) : middle + 12] = 230
    return image


def drive(count: int, phase: float) -> dict[str, np.ndarray]:
    """A weaving drive: pose, speed, yaw rate and wheel angle of `count` frames."""
    t = np.arange(count) * PERIOD_NS / 1e9
    speed = 8.0 + 2.0 * np.sin(0.5 * t + phase)
    kappa = 0.03 * np.sin(0.8 * t + phase)
    step = PERIOD_NS / 1e9
    yaw = np.concatenate([[0.0], np.cumsum((kappa * speed)[:-1] * step)])
    x = np.concatenate([[0.0], np.cumsum((speed * np.cos(yaw))[:-1] * step)])
    y = np.concatenate([[0.0], np.cumsum((speed * np.sin(yaw))[:-1] * step)])
    return {
        "pose": np.stack([x, y, yaw], axis=1),
        "speed_mps": speed,
        "yaw_rate_radps": kappa * speed,
        "curvature_1pm": kappa,
        "steering_wheel_rad": 40.0 * kappa,
    }


def make_store(
    path: Path, *, signals: tuple[str, ...], count: int = 80, drives: int = 2, val_drives: int = 1, rig: str = "mono", gap_s: float | None = None
) -> ClipStore:
    """A clip of each of `drives` train drives and of `val_drives`; with gap_s, val follows the first train clip in the same drive after that gap."""
    spec = StoreSpec(rig=rig, cameras=("front",), frame_rate_hz=10.0)
    with StoreWriter(path, spec) as writer:
        for index in range(drives + val_drives):
            split = "val" if index >= drives else "train"
            is_same = split == "val" and gap_s is not None
            start = START_NS + (count - 1) * PERIOD_NS + round(gap_s * 1e9) if is_same else START_NS
            stamps = start + np.arange(count) * PERIOD_NS
            motion = drive(count, phase=1.7 * index)
            jpegs = [simplejpeg.encode_jpeg(picture(kappa / 0.03), 95) for kappa in motion["curvature_1pm"]]
            clip = Clip(
                clip_id=f"clip{index}",
                drive_id="drive0" if is_same else f"drive{index}",
                vehicle_id="car",
                driver_id="driver",
                region="desk",
                split=split,
                start_ns=int(stamps[0]),
                end_ns=int(stamps[-1]),
            )
            writer.add_clip(clip, ClipFrames.of(stamps, {name: motion[name] for name in signals}), {"front": jpegs})
    return ClipStore.open(path)


CAR_SIGNALS = ("pose", "speed_mps", "yaw_rate_radps")
WHEEL_SIGNALS = ("steering_wheel_rad",)


def car_recipe(**changes: Any) -> Recipe:
    """A small one for `car`."""
    base = Recipe(name="tiny", action_spec=CAR.name, rig="mono", steps=6, batch_size=8, threads=1, ego_inputs=("speed_mps",), val_every=3, checkpoint_every=2,
                  twin=False, network=TINY, augmentation=CALM)  # fmt: skip
    return replace(base, **changes)


def wheel_recipe(**changes: Any) -> Recipe:
    """A small one for `steering_only`, which compares the two pictures."""
    return car_recipe(**{"action_spec": STEERING_ONLY.name, "ego_inputs": (), "network": replace(TINY, correlation_cells=2), **changes})


def quiet(*_: object) -> None:
    """A report to nobody."""
