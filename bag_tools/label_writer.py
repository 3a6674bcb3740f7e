"""Labels → new columns of a clip store, beside what is there: nothing of it is rewritten, and `store.json` names them last."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import simplejpeg

from bag_tools.clip_store import FRAMES_TABLE, META_FILE, ClipStore, LabelsMeta
from bag_tools.label_columns import PREFIX, LabelRow, add_to_hash, label_batch, label_row, label_schema
from bag_tools.store_writer import back_to, write_json
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.labels import CLASS_INDEX, LABEL_STRIDE, NOT_LABELLED, FrameLabels

BATCH = 256  # rows of the table at a time
GATHERED_FILE = ".labels.partial"


def write_labels(path: str | Path, labels: Iterable[FrameLabels | None], *, overwrite: bool) -> LabelsMeta:
    """Add label columns to the store at `path`; labels: one a row of its table `frames`, in their order, None: has none.

    They are gathered in a file beside the table first (Lance would draw them in a thread of its own, which survives no
    interrupt), so the table is touched only when all are there. Raises UsageError when the store has labels and `overwrite`
    is not given; MimicError when labels do not fit the store, or none of its frames gets any, and what the iterator raises;
    the store is then as it was.
    """
    store = ClipStore.open(path)
    check_unlabelled(store, overwrite=overwrite)
    gathered = store.path / GATHERED_FILE
    try:
        meta = _gather(store, labels, gathered)
        version = _add_columns(store, gathered)
    finally:
        gathered.unlink(missing_ok=True)
    write_json(store.path / META_FILE, asdict(replace(store.meta, frames_version=version, labels=meta)))
    return meta


def _gather(store: ClipStore, labels: Iterable[FrameLabels | None], gathered: Path) -> LabelsMeta:
    columns = _Columns(store, labels)
    with pa.OSFile(str(gathered), "wb") as file, pa.ipc.new_stream(file, columns.schema) as sink:
        for batch in columns.batches():
            sink.write_batch(batch)
    return columns.meta()


def _add_columns(store: ClipStore, gathered: Path) -> int:
    """The version of the table `frames` that has them, in place of those that were there."""
    table = str(store.path / FRAMES_TABLE)
    back_to(store.path / FRAMES_TABLE, store.meta.frames_version)
    try:
        dataset = lance.dataset(table)
        old = [name for name in dataset.schema.names if name.startswith(PREFIX)]
        if old:
            dataset.drop_columns(old)
        with pa.OSFile(str(gathered)) as file:
            lance.dataset(table).add_columns(pa.ipc.open_stream(file))
    except (OSError, ValueError) as error:
        raise MimicError(f"{store.path}: labels cannot be added ({str(error).splitlines()[0]})") from error
    return int(lance.dataset(table).version)


def check_unlabelled(store: ClipStore, *, overwrite: bool) -> None:
    """Raise UsageError when a store has labels that must not be replaced."""
    if store.meta.labels is not None and not overwrite:
        raise UsageError(f"{store.path}: has labels already (source: {store.meta.labels.source}); give --overwrite to replace them")


def picture_shapes(store: ClipStore) -> dict[str, tuple[int, int]]:
    """Camera → (H, W) of its pictures in a store."""
    first = {camera: store.jpegs(np.zeros(1, np.int64), camera)[0] for camera in store.meta.cameras}
    return {camera: tuple(simplejpeg.decode_jpeg_header(jpeg)[:2]) for camera, jpeg in first.items()}


class _Columns:
    """The label columns of a store, drawn from an iterator and counted on their way."""

    def __init__(self, store: ClipStore, labels: Iterable[FrameLabels | None]) -> None:
        self._store, self._labels = store, labels
        self._shapes = {camera: (h // LABEL_STRIDE, w // LABEL_STRIDE) for camera, (h, w) in picture_shapes(store).items()}
        self.schema = label_schema(store.meta.cameras)
        self._digest = hashlib.sha256()
        self._sources: Counter[str] = Counter()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows."""
        pending: list[LabelRow] = []
        count = 0
        for labels in self._labels:
            count += 1
            pending.append(self._row(labels))
            if len(pending) == BATCH:
                yield label_batch(pending, self.schema)
                pending = []
        if pending:
            yield label_batch(pending, self.schema)
        if count != self._store.meta.frame_count:
            raise MimicError(f"{self._store.path}: labels are for {count} frames, the store has {self._store.meta.frame_count}")
        if not self._sources:
            raise MimicError(f"{self._store.path}: no frame of it would get labels, so none were added")

    def meta(self) -> LabelsMeta:
        """Of all that was drawn."""
        count, labelled = self._store.meta.frame_count, sum(self._sources.values())
        source, digest = ", ".join(sorted(self._sources)), self._digest.hexdigest()
        return LabelsMeta(source=source, hash=digest, label_stride_px=LABEL_STRIDE, frame_count=count, labelled_count=labelled)

    def _row(self, labels: FrameLabels | None) -> LabelRow:
        if labels is not None:
            self._check(labels)
            self._sources[labels.source] += 1
        row = label_row(labels, self._store.meta.cameras)
        add_to_hash(self._digest, row, self.schema)
        return row

    def _check(self, labels: FrameLabels) -> None:
        images: list[tuple[str, Any]] = [*labels.semantic.items(), *labels.depth_mm.items()]
        for camera in {*labels.semantic, *labels.depth_mm, *labels.agents} - set(self._shapes):
            raise MimicError(f"{self._store.path}: labels are of camera '{camera}', the store has {', '.join(self._shapes)}")
        for camera, image in images:
            if image.shape != self._shapes[camera]:
                raise MimicError(
                    f"labels of camera '{camera}': shape is {image.shape}, must be {self._shapes[camera]}, 1/{LABEL_STRIDE} of the store's pictures"
                )
        for camera, classes in labels.semantic.items():
            wrong = classes[(classes >= len(CLASS_INDEX)) & (classes != NOT_LABELLED)]
            if wrong.size:
                raise MimicError(f"labels of camera '{camera}': class {int(wrong[0])} must be below {len(CLASS_INDEX)}, or {NOT_LABELLED}")
