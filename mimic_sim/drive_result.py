"""What a drive leaves behind: one row a tick, and the plans."""

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
from mimic_sim.route_spec import RouteSpec

METADATA_KEY = b"mimic_drive"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One tick, before the car moves on. Offsets: of the rear axle's and the front axle's middle from the lane's
    centre, left positive; lane_margin_m: how much of that keeps the whole width inside the lane. command_*: NaN where
    nothing was commanded. mode: of the vehicle interface. skipped: why the tick was not served, else empty."""

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
    none, the route's length, and how it ended."""

    route: RouteSpec
    columns: dict[str, NDArray[Any]]
    plans: NDArray[np.float64]
    length_m: float
    ended: str

    def __len__(self) -> int:
        return len(self.columns["stamp_ns"])

    @classmethod
    def from_rows(cls, route: RouteSpec, rows: Sequence[Row], plans: Sequence[Plan | None], *, length_m: float, ended: str) -> "DriveResult":
        """Rows and plans of the same ticks become columns."""
        columns = {f.name: np.array([getattr(row, f.name) for row in rows], _kind(f.name)) for f in fields(Row)}
        empty = np.full((len(CAR.times_s), len(CAR.channels)), np.nan)
        stacked = np.array([empty if plan is None else plan.values for plan in plans]).reshape(-1, *empty.shape)
        return cls(route, columns, stacked, length_m, ended)

    def save(self, path: Path) -> None:
        """Write this drive as `save_drives` does."""
        save_drives([self], path)

    @classmethod
    def load(cls, path: Path) -> "DriveResult":
        """Read the only drive of a file; raises MimicError when there is not exactly one."""
        drives = load_drives(path)
        if len(drives) != 1:
            raise MimicError(f"{path}: holds {len(drives)} drives, must be one")
        return drives[0]


def save_drives(drives: Sequence[DriveResult], path: Path) -> None:
    """Write a Parquet file: the columns of Row with `route_id` before and `plan` (T·C numbers) after them.

    The routes, their lengths and ends are in the file's metadata. It appears under its name only when it is whole.
    """
    arrow, parquet = _pyarrow()
    tables = []
    for drive in drives:
        columns = {name: column.tolist() for name, column in drive.columns.items()}
        plan = arrow.array(drive.plans.reshape(len(drive), -1).tolist(), type=arrow.list_(arrow.float64()))
        tables.append(arrow.table({"route_id": [drive.route.route_id] * len(drive), **columns, "plan": plan}, schema=_schema(arrow)))
    cards = [{"route": asdict(drive.route), "length_m": drive.length_m, "ended": drive.ended} for drive in drives]
    table = arrow.concat_tables(tables).replace_schema_metadata({METADATA_KEY: json.dumps(cards)})
    partial = path.with_name(f".{path.name}.partial")
    parquet.write_table(table, partial, compression="zstd")
    partial.replace(path)


def load_drives(path: Path) -> list[DriveResult]:
    """Read what `save_drives` wrote; raises MimicError when it is absent or something else."""
    arrow, parquet = _pyarrow()
    if not path.is_file():
        raise MimicError(f"{path}: no such file: did the drive end?")
    try:
        table = parquet.read_table(path)
    except arrow.ArrowInvalid as error:
        raise MimicError(f"{path}: is not a Parquet file: {error}") from error
    if METADATA_KEY not in (table.schema.metadata or {}):
        raise MimicError(f"{path}: is Parquet, but not of a drive")
    all_columns = {f.name: np.array(table[f.name].to_pylist(), _kind(f.name)) for f in fields(Row)}
    plans = np.array(table["plan"].to_pylist(), np.float64).reshape(-1, len(CAR.times_s), len(CAR.channels))
    route_ids = np.array(table["route_id"].to_pylist(), np.str_)
    drives = []
    for card in json.loads(table.schema.metadata[METADATA_KEY]):
        mine = route_ids == card["route"]["route_id"]
        columns = {name: column[mine] for name, column in all_columns.items()}
        drives.append(DriveResult(RouteSpec(**card["route"]), columns, plans[mine], card["length_m"], card["ended"]))
    return drives


def _kind(column: str) -> Any:
    return {"stamp_ns": np.int64, "mode": np.str_, "skipped": np.str_}.get(column, np.float64)


def _schema(arrow: Any) -> Any:
    kinds = {np.int64: arrow.int64(), np.str_: arrow.string(), np.float64: arrow.float64()}
    columns = [(f.name, kinds[_kind(f.name)]) for f in fields(Row)]
    return arrow.schema([("route_id", arrow.string()), *columns, ("plan", arrow.list_(arrow.float64()))])


def _pyarrow() -> tuple[Any, Any]:
    require_package("pyarrow", extra="train", purpose="writing the rows of a drive")
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet
