"""Labels of a clip store become what perception heads learn from."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bag_tools.label_columns import LabelRows, label_image
from mimic_contracts.labels import BEYOND_MM, LABEL_STRIDE, NOT_LABELLED, SKY_MM
from mimic_contracts.rig import CameraSpec, Rig
from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import BOX_VALUES, AgentTargets, encode
from perception.loss import PictureLabels
from perception.situation import UNKNOWN, SituationLabels

NOBODY: dict[str, NDArray[Any]] = {
    "place": np.zeros(0, np.int64),
    "kind": np.zeros(0, np.int64),
    "values": np.zeros((0, BOX_VALUES), np.float32),
    "is_solid": np.zeros(0, bool),
}


class LabelSet:
    """The labels of frames in the order in which they were added; dense ones stay PNG files until they are needed."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._chunks: list[LabelRows] = []
        self._chunk: list[int] = []
        self._row: list[int] = []

    def add(self, rows: LabelRows) -> None:
        """Append the labels of a clip's frames."""
        self._chunk += [len(self._chunks)] * len(rows)
        self._row += range(len(rows))
        self._chunks.append(rows)

    def pictures(self, frames: NDArray[np.int64]) -> list[PictureLabels]:
        """Of each camera of the rig, of these frames."""
        return [self._of_camera(camera, frames) for camera in self._rig.cameras]

    def situation(self, frames: NDArray[np.int64]) -> SituationLabels:
        """Of these frames. A light that no camera sees is not asked for."""
        return SituationLabels(**{name: values[frames] for name, values in self._situations.items()})

    @cached_property
    def _situations(self) -> dict[str, Tensor]:
        """SituationLabels of all frames, once the last is added."""
        parts = [_situations(rows) for rows in self._chunks]
        return {name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in parts[0]}

    def agents(self, frame: int, camera: str) -> NDArray[np.float32] | None:
        """(K, len(AGENT_COLUMNS)) road users that a camera sees, None where that is not known."""
        return self._chunks[self._chunk[frame]].agents[camera][self._row[frame]]

    def _of_camera(self, camera: CameraSpec, frames: NDArray[np.int64]) -> PictureLabels:
        h, w = camera.height_px // LABEL_STRIDE, camera.width_px // LABEL_STRIDE
        semantic = np.full((len(frames), h, w), NOT_LABELLED, np.int64)
        log_depth = np.full((len(frames), 1, h, w), np.nan, np.float32)
        targets: list[AgentTargets | None] = []
        for n, frame in enumerate(frames):
            rows, i = self._chunks[self._chunk[frame]], self._row[frame]
            classes, depth, agents = rows.semantic[camera.name][i], rows.depth[camera.name][i], rows.agents[camera.name][i]
            if classes is not None:
                semantic[n] = label_image(classes)
            if depth is not None:
                mm = label_image(depth)
                is_known = (mm != SKY_MM) & (mm != BEYOND_MM)
                log_depth[n, 0, is_known] = np.log(mm[is_known] / 1e3)
            targets.append(None if agents is None else encode(agents, camera))
        heat, counts = np.zeros((len(frames), len(AGENT_KINDS), h, w), np.float32), np.zeros((len(frames), 1, h, w), bool)
        parts: dict[str, list[NDArray[Any]]] = {"picture": [np.zeros(0, np.int64)], **{name: [empty] for name, empty in NOBODY.items()}}
        for n, target in enumerate(targets):
            if target is not None:
                heat[n], counts[n, 0] = target.heat, target.counts
                parts["picture"].append(np.full(len(target.place), n))
                for name in NOBODY:
                    parts[name].append(getattr(target, name))
        dense = {"semantic": semantic, "log_depth": log_depth, "heat": heat, "counts": counts}
        joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        return PictureLabels(**{name: torch.from_numpy(array) for name, array in (dense | joined).items()})


def _situations(rows: LabelRows) -> dict[str, NDArray[Any]]:
    """SituationLabels of a clip's frames."""
    is_hidden = (rows.light >= 0) & ~rows.light_visible

    def is_there(name: str) -> NDArray[np.float32]:
        return np.where(rows.known[name], np.isfinite(rows.numbers[name]), np.nan).astype(np.float32)

    return {
        "light": np.where(rows.known["light"] & ~is_hidden, 1 + rows.light.astype(np.int64), UNKNOWN),
        "rule": np.where(rows.known["stop_line_m"], 1 + rows.stop_rule.astype(np.int64), UNKNOWN),
        "line_m": rows.numbers["stop_line_m"],
        "has_junction": is_there("junction_end_m"),
        "junction_start_m": rows.numbers["junction_start_m"],
        "junction_end_m": rows.numbers["junction_end_m"],
        "has_zebra": is_there("zebra_m"),
        "zebra_m": rows.numbers["zebra_m"],
        "has_lead": is_there("lead_gap_m"),
        "lead_gap_m": rows.numbers["lead_gap_m"],
        "lead_mps": rows.numbers["lead_speed_mps"],
        "limit_mps": rows.numbers["speed_limit_mps"],
        "lane_m": rows.lane_m,
    }
