"""Writing a clip store: into a hidden sibling that becomes the store by one rename, or behind the back of an old one."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import lance
import pyarrow as pa

from bag_tools.clip_store import (
    CLIP_SCHEMA,
    CLIPS_TABLE,
    FRAMES_TABLE,
    META_FILE,
    REPORT_FILE,
    SIGNALS,
    ClipFrames,
    ClipStore,
    StoreMeta,
    content_hash,
    frames_schema,
    frames_table,
)
from mimic_contracts.action_spec import CONTRACT_VERSION
from mimic_contracts.clip import Clip
from mimic_contracts.errors import MimicError, UsageError

FLUSH_BYTES = 64_000_000  # a fragment of the table each; small ones would slow random access down


@dataclass(frozen=True, kw_only=True)
class StoreSpec:
    """What all clips of a store have in common; see StoreMeta."""

    rig: str
    cameras: tuple[str, ...]
    frame_rate_hz: float
    crop: str = ""


class StoreWriter:
    """`with StoreWriter(path, spec) as writer: writer.add_clip(…)`: whole when the block ends, absent when it fails.

    append adds to an existing store; overwrite replaces one. Raises UsageError when the store exists and neither is
    asked for, MimicError when what is there cannot be appended to or is no store.
    """

    def __init__(self, path: str | Path, spec: StoreSpec, *, append: bool = False, overwrite: bool = False) -> None:
        self.path, self.spec = Path(path), spec
        self.report: Mapping[str, Any] = {}
        check_target(self.path, append=append, overwrite=overwrite)
        self._old = ClipStore.open(self.path) if append and self.path.exists() else None
        self._home = self.path if self._old else self.path.parent / f".{self.path.name}.partial"
        self._signals: set[str] = set(self._old.meta.signals) if self._old else set()
        self._hashes = list(self._old.content_hashes) if self._old else []
        self._clip_ids = {clip.clip_id for clip in self._old.clips()} if self._old else set()
        self._frame_count = self._old.meta.frame_count if self._old else 0
        self._pending: list[pa.Table] = []
        self._pending_bytes = 0
        self._clip_rows: list[dict[str, Any]] = []
        if self._old:
            self._check_same_kind(self._old.meta)

    def __enter__(self) -> "StoreWriter":
        if self._old:
            for table, version in ((FRAMES_TABLE, self._old.meta.frames_version), (CLIPS_TABLE, self._old.meta.clips_version)):
                back_to(self._home / table, version)
        else:
            shutil.rmtree(self._home, ignore_errors=True)  # what an interrupted run left
            self._home.mkdir(parents=True)
            lance.write_dataset(pa.table([[]] * len(CLIP_SCHEMA), schema=CLIP_SCHEMA), str(self._home / CLIPS_TABLE))
            schema = frames_schema(self.spec.cameras)
            lance.write_dataset(pa.table([[]] * len(schema), schema=schema), str(self._home / FRAMES_TABLE))
        return self

    def add_clip(self, clip: Clip, frames: ClipFrames, jpegs: Mapping[str, Sequence[bytes]]) -> None:
        """Append a clip: its frames (their `row` is ignored) and for every camera of the spec one JPEG file a frame.

        Raises MimicError when the store has a clip of this id already or a camera lacks pictures.
        """
        if clip.clip_id in self._clip_ids:
            raise MimicError(f"{self.path}: has clip '{clip.clip_id}' already; was the same bag extracted twice?")
        if tuple(jpegs) != self.spec.cameras or any(len(pictures) != len(frames) for pictures in jpegs.values()):
            counts = {camera: len(pictures) for camera, pictures in jpegs.items()}
            raise MimicError(f"clip '{clip.clip_id}': pictures are {counts}, must be {len(frames)} of each of {', '.join(self.spec.cameras)}")
        digest = content_hash(clip, frames, jpegs)
        row = {**asdict(clip), "tags": list(clip.tags), "first_row": self._frame_count, "frame_count": len(frames), "content_hash": digest}
        table = frames_table(frames, jpegs)
        self._pending.append(table)
        self._pending_bytes += table.nbytes
        self._clip_rows.append(row)
        self._clip_ids.add(clip.clip_id)
        self._hashes.append(digest)
        self._signals.update(frames.signals)
        self._frame_count += len(frames)
        if self._pending_bytes > FLUSH_BYTES:
            self._flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._commit()
        elif not self._old:
            shutil.rmtree(self._home, ignore_errors=True)

    def _commit(self) -> None:
        if not self._hashes:
            shutil.rmtree(self._home, ignore_errors=True)
            raise MimicError(f"{self.path}: not written, because no clip came out; the report says why")
        self._flush()
        clips = lance.write_dataset(pa.Table.from_pylist(self._clip_rows, CLIP_SCHEMA), str(self._home / CLIPS_TABLE), mode="append")
        meta = StoreMeta(
            contract_version=CONTRACT_VERSION,
            **asdict(self.spec),
            signals=tuple(name for name in SIGNALS if name in self._signals),
            data_hash=hashlib.sha256(json.dumps([asdict(self.spec), self._hashes]).encode()).hexdigest(),
            clip_count=len(self._hashes),
            frame_count=self._frame_count,
            frames_version=lance.dataset(str(self._home / FRAMES_TABLE)).version,
            clips_version=clips.version,
            labels=self._old.meta.labels if self._old else None,  # new rows have none until they are labelled, too
        )
        write_json(self._home / REPORT_FILE, self.report)
        write_json(self._home / META_FILE, asdict(meta))
        if not self._old:
            _swap_in(self._home, self.path)

    def _flush(self) -> None:
        if self._pending:
            lance.write_dataset(pa.concat_tables(self._pending), str(self._home / FRAMES_TABLE), mode="append")
        self._pending, self._pending_bytes = [], 0

    def _check_same_kind(self, meta: StoreMeta) -> None:
        for name, value in asdict(self.spec).items():
            if getattr(meta, name) != value:
                raise MimicError(f"{self.path}: has {name} {getattr(meta, name)!r}, the new clips have {value!r}: extract into a store of their own")


def check_target(path: Path, *, append: bool, overwrite: bool) -> None:
    """Raise UsageError or MimicError when a store must not be written to `path`."""
    if append and overwrite:
        raise UsageError("--append and --overwrite contradict each other: give one of them")
    if not path.exists():
        return
    if overwrite and not ((path / META_FILE).is_file() or (path.is_dir() and not any(path.iterdir()))):
        raise MimicError(f"{path}: is not a clip store, so --overwrite does not delete it; remove it yourself or choose another --out")
    if not append and not overwrite:
        raise UsageError(f"{path}: exists already; give --append to add to it or --overwrite to replace it")


def back_to(table: Path, version: int) -> None:
    """Undo what an interrupted append or labelling left after `version`."""
    dataset = lance.dataset(str(table))
    if dataset.version != version:
        dataset.checkout_version(version).restore()


def _swap_in(new: Path, target: Path) -> None:
    retired = target.parent / f".{target.name}.old"
    shutil.rmtree(retired, ignore_errors=True)
    if target.exists():
        target.rename(retired)
    new.rename(target)
    shutil.rmtree(retired, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file by JSON, in one step."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
