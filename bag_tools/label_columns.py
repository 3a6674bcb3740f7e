"""Label columns of the table `frames`: FrameLabels as they stand there, and the way back.

A null says that nothing is known; NaN, or a null text beside a `label_light_visible` that is known, that there is none.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError
from mimic_contracts.labels import AGENT_COLUMNS, LABEL_NUMBERS, LANE_STATIONS_M, FrameLabels
from mimic_contracts.scene import LIGHT_STATES, STOP_RULES

PREFIX = "label_"
LANE_SIZE = 2 * len(LANE_STATIONS_M)
PNG_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
AGENTS_TYPE = pa.list_(pa.list_(pa.float32(), len(AGENT_COLUMNS)))
FRAME_SCHEMA = [
    pa.field("label_light", pa.string()),
    pa.field("label_light_visible", pa.bool_()),
    pa.field("label_stop_rule", pa.string()),
    *(pa.field(f"label_{name}", pa.float32()) for name in LABEL_NUMBERS),
    pa.field("label_lane_m", pa.list_(pa.float32(), LANE_SIZE)),
    pa.field("label_source", pa.string()),
    pa.field("label_confidence", pa.float32()),
]
LabelRow = dict[str, Any]  # column → value as Arrow takes it, None for null


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelRows:
    """Labels of N rows of a store. Nothing is known where source is '' (and where a camera's entry is None).

    semantic, depth: camera → N PNG files, undecoded (label_image decodes one); agents: camera → N arrays (K, A) float32 with
    the columns AGENT_COLUMNS; light: (N,) int8 index in LIGHT_STATES, -1: none; light_visible: (N,) bool; stop_rule: (N,)
    int8 index in STOP_RULES, -1: none; numbers: (N,) float32 by name of LABEL_NUMBERS, NaN: none; lane_m:
    (N, len(LANE_STATIONS_M), 2) float32 [x_m, y_m], NaN: none; source: N texts; confidence: (N,) float32, 0 without labels.
    known: (N,) bool by name of LABEL_NUMBERS, 'light' and 'lane_m': whether a 'none' means that there is none.
    """

    semantic: Mapping[str, list[bytes | None]]
    depth: Mapping[str, list[bytes | None]]
    agents: Mapping[str, list[NDArray[np.float32] | None]]
    light: NDArray[np.int8]
    light_visible: NDArray[np.bool_]
    stop_rule: NDArray[np.int8]
    numbers: Mapping[str, NDArray[np.float32]]
    lane_m: NDArray[np.float32]
    source: list[str]
    confidence: NDArray[np.float32]
    known: Mapping[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.source)


def label_schema(cameras: Sequence[str]) -> pa.Schema:
    """The label columns of a store with these cameras."""
    dense = [pa.field(f"label_{kind}_{camera}", pa.large_binary()) for camera in cameras for kind in ("semantic", "depth")]
    return pa.schema([*dense, *(pa.field(f"label_agents_{camera}", AGENTS_TYPE) for camera in cameras), *FRAME_SCHEMA])


def label_row(labels: FrameLabels | None, cameras: Sequence[str]) -> LabelRow:
    """One row of the label columns; nulls without labels."""
    row: LabelRow = dict.fromkeys(label_schema(cameras).names)
    if labels is None:
        return row
    for camera in cameras:
        for kind, images in (("semantic", labels.semantic), ("depth", labels.depth_mm)):
            if camera in images:
                row[f"label_{kind}_{camera}"] = _png(images[camera])
        if camera in labels.agents:
            row[f"label_agents_{camera}"] = np.ascontiguousarray(labels.agents[camera])
    row |= {f"label_{name}": getattr(labels, name) for name in ("light", "light_visible", "stop_rule", *LABEL_NUMBERS, "source", "confidence")}
    row["label_lane_m"] = None if labels.lane_m is None else np.ascontiguousarray(labels.lane_m).ravel()
    return row


def label_batch(rows: Sequence[LabelRow], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as Arrow has them."""
    return pa.record_batch([_column([row[field.name] for row in rows], field.type) for field in schema], schema=schema)


def add_to_hash(digest: "hashlib._Hash", row: LabelRow, schema: pa.Schema) -> None:
    """Add a row to the hash of the columns: by column in their order, little-endian."""
    for field in schema:
        value = row[field.name]
        if value is None:
            content = None
        elif isinstance(value, (bytes, str)):
            content = value.encode() if isinstance(value, str) else value
        else:
            numbers = np.asarray(value, "<f4")
            content = np.where(np.isnan(numbers), np.float32(np.nan), numbers).astype("<f4").tobytes()  # one bit pattern for every NaN
        digest.update(b"\0" if content is None else b"\1" + len(content).to_bytes(8, "little") + content)


def label_rows(table: pa.Table, cameras: Sequence[str]) -> LabelRows:
    """Label columns read back."""
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    count = len(table)
    lane = columns["label_lane_m"]
    lane_m = np.full((count, LANE_SIZE), np.nan, np.float32)
    lane_m[_known(lane)] = lane.flatten().to_numpy(zero_copy_only=False).reshape(-1, LANE_SIZE)
    numbers = {name: columns[f"label_{name}"].to_numpy(zero_copy_only=False).astype(np.float32) for name in LABEL_NUMBERS}
    return LabelRows(
        semantic={camera: columns[f"label_semantic_{camera}"].to_pylist() for camera in cameras},
        depth={camera: columns[f"label_depth_{camera}"].to_pylist() for camera in cameras},
        agents={camera: _agents(columns[f"label_agents_{camera}"]) for camera in cameras},
        light=_indices(columns["label_light"], LIGHT_STATES),
        light_visible=columns["label_light_visible"].fill_null(False).to_numpy(zero_copy_only=False),
        stop_rule=_indices(columns["label_stop_rule"], STOP_RULES),
        numbers=numbers,
        lane_m=lane_m.reshape(count, len(LANE_STATIONS_M), 2),
        source=columns["label_source"].fill_null("").to_pylist(),
        confidence=columns["label_confidence"].fill_null(0.0).to_numpy(zero_copy_only=False),
        known={
            **{name: _known(columns[f"label_{name}"]) for name in LABEL_NUMBERS},
            "light": _known(columns["label_light_visible"]),
            "lane_m": _known(lane),
        },
    )


def label_image(png: bytes) -> NDArray[Any]:
    """(h, w) uint8 classes or uint16 mm of a PNG file; raises MimicError when it is damaged."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise MimicError("label is no PNG file")
    return np.asarray(image)


def _png(image: NDArray[Any]) -> bytes:
    return bytes(cv2.imencode(".png", image, PNG_FAST)[1])


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """One column; agents are assembled from their numbers, because pyarrow is slow with lists of rows."""
    if kind != AGENTS_TYPE:
        return pa.array(values, kind)
    offsets = np.concatenate([[0], np.cumsum([0 if value is None else len(value) for value in values])]).astype(np.int32)
    given = [value for value in values if value is not None]
    flat = np.concatenate(given).ravel() if given else np.zeros(0, np.float32)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), len(AGENT_COLUMNS))
    return pa.ListArray.from_arrays(pa.array(offsets), rows, type=kind, mask=pa.array([value is None for value in values]))


def _agents(column: pa.ListArray) -> list[NDArray[np.float32] | None]:
    flat = column.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(AGENT_COLUMNS))
    counts = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    pieces = np.split(flat, np.cumsum(counts)[:-1]) if len(counts) else []
    return [piece if known else None for piece, known in zip(pieces, _known(column).tolist(), strict=True)]


def _indices(column: pa.StringArray, names: Sequence[str]) -> NDArray[np.int8]:
    order = {name: index for index, name in enumerate(names)}
    return np.array([-1 if text is None else order[text] for text in column.to_pylist()], np.int8)


def _known(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
