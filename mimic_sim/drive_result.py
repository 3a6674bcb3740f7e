"""What a drive leaves behind: one row a tick, the plans, what the judge noted, and the trace of everybody around."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR
from mimic_contracts.errors import MimicError, require_package
from mimic_contracts.plan import Plan
from mimic_sim.ego import EgoMotion
from mimic_sim.events import Event
from mimic_sim.moment import Moment
from mimic_sim.route_spec import RouteSpec
from mimic_sim.trace import Trace

METADATA_KEY = b"mimic_drive"
TRACE_SUFFIX = ".trace.parquet"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One tick, before the car moves on. Offsets: of the rear axle's and the front axle's middle from the lane's
    centre, left positive; lane_margin_m: how much of that keeps the whole width inside the lane, infinite where it must be left.
    command_*: NaN where nothing was commanded. mode: of the vehicle interface. skipped: why the tick was not served, else empty."""

    stamp_ns: int
    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float
    acceleration_mps2: float
    yaw_rate_radps: float
    curvature_1pm: float
    rear_offset_m: float
    front_offset_m: float
    lane_margin_m: float
    progress_m: float
    command_speed_mps: float
    command_yaw_rate_radps: float
    mode: str
    skipped: str


@dataclass(frozen=True, eq=False)
class DriveResult:
    """A finished drive: route, columns named as in Row (each (N,)), plans (N, T, C) of CAR with NaN where there was
    none, the route's length, how it ended, what the judge noted, and who was around."""

    route: RouteSpec
    columns: dict[str, NDArray[Any]]
    plans: NDArray[np.float64]
    length_m: float
    ended: str
    events: tuple[Event, ...]
    trace: Trace

    def __len__(self) -> int:
        return len(self.columns["stamp_ns"])

    @classmethod
    def from_rows(
        cls,
        route: RouteSpec,
        rows: Sequence[Row],
        plans: Sequence[Plan | None],
        *,
        length_m: float,
        ended: str,
        events: Sequence[Event] = (),
        trace: Trace | None = None,
    ) -> "DriveResult":
        """Rows and plans of the same ticks become columns."""
        columns = {f.name: np.array([getattr(row, f.name) for row in rows], _kind(f.name)) for f in fields(Row)}
        empty = np.full((len(CAR.times_s), len(CAR.channels)), np.nan)
        stacked = np.array([empty if plan is None else plan.values for plan in plans]).reshape(-1, *empty.shape)
        return cls(route, columns, stacked, length_m, ended, tuple(events), trace or Trace.of([]))

    def ego(self, tick: int) -> EgoMotion:
        """The car at a tick."""
        return EgoMotion(**{f.name: float(self.columns[f.name][tick]) for f in fields(EgoMotion)})

    def moment(self, tick: int) -> Moment:
        """What was true at a tick."""
        stamp_ns = int(self.columns["stamp_ns"][tick])
        return Moment(stamp_ns=stamp_ns, ego=self.ego(tick), actors=self.trace.actors_at(tick), signals=self.trace.signals_at(tick))

    def canonical_hash(self) -> str:
        """SHA-256 in hex over stamps, commands and plans, as little-endian numbers, and over the events: two drives are the
        same when these are."""
        digest = hashlib.sha256(self.columns["stamp_ns"].astype("<i8").tobytes())
        for array in (self.columns["command_speed_mps"], self.columns["command_yaw_rate_radps"], self.plans):
            digest.update(np.ascontiguousarray(array).astype("<f8").tobytes())
        digest.update(json.dumps([asdict(event) for event in self.events]).encode())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write PATH.parquet: the columns of Row and `plan` (T·C numbers), everything else in the file's metadata; and
        PATH.trace.parquet. Each appears under its name only when it is whole, the rows last."""
        arrow, parquet = _pyarrow()
        self.trace.save(path.with_suffix(TRACE_SUFFIX))
        columns = {name: column.tolist() for name, column in self.columns.items()}
        size = self.plans[0].size if len(self) else 0
        plan = arrow.ListArray.from_arrays(np.arange(len(self) + 1, dtype=np.int32) * size, self.plans.ravel())
        card = {"route": asdict(self.route), "length_m": self.length_m, "ended": self.ended, "events": [asdict(e) for e in self.events]}
        table = arrow.table({**columns, "plan": plan}, schema=_schema(arrow)).replace_schema_metadata({METADATA_KEY: json.dumps(card)})
        partial = path.with_name(f".{path.name}.partial")
        parquet.write_table(table, partial, compression="zstd")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "DriveResult":
        """Read what `save` wrote; raises MimicError when it is absent or something else."""
        arrow, parquet = _pyarrow()
        if not path.is_file():
            raise MimicError(f"{path}: no such file: did the drive end?")
        try:
            table = parquet.read_table(path)
        except arrow.ArrowInvalid as error:
            raise MimicError(f"{path}: is not a Parquet file: {error}") from error
        if METADATA_KEY not in (table.schema.metadata or {}):
            raise MimicError(f"{path}: is Parquet, but not of a drive")
        columns = {f.name: np.array(table[f.name].to_pylist(), _kind(f.name)) for f in fields(Row)}
        plans = table["plan"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(CAR.times_s), len(CAR.channels))
        card = json.loads(table.schema.metadata[METADATA_KEY])
        if "events" not in card:
            raise MimicError(f"{path}: was written before drives had a judge: drive its route again")
        events = tuple(Event(**event) for event in card["events"])
        return cls(RouteSpec(**card["route"]), columns, plans, card["length_m"], card["ended"], events, Trace.load(path.with_suffix(TRACE_SUFFIX)))


def _kind(column: str) -> Any:
    return {"stamp_ns": np.int64, "mode": np.str_, "skipped": np.str_}.get(column, np.float64)


def _schema(arrow: Any) -> Any:
    kinds = {np.int64: arrow.int64(), np.str_: arrow.string(), np.float64: arrow.float64()}
    columns = [(f.name, kinds[_kind(f.name)]) for f in fields(Row)]
    return arrow.schema([*columns, ("plan", arrow.list_(arrow.float64()))])


def _pyarrow() -> tuple[Any, Any]:
    require_package("pyarrow", extra="train", purpose="writing the rows of a drive")
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet
