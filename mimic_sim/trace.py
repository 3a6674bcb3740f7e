"""Who was near the car at each tick of a drive, and what the signals showed: enough to render or judge it again.

In a file (Parquet) it takes about 10 MB an hour: whole millimetres, tenths of a milliradian and centimetres a second,
one road user after the other, as differences. `Traffic` rounds to the same steps, so that nothing is lost.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError, require_package
from mimic_contracts.scene import INDICATORS
from mimic_sim.actors import Actor, moved
from mimic_sim.ego import EgoMotion
from mimic_sim.moment import Moment

METADATA_KEY = b"mimic_drive_trace"
NEAR_M = 200.0
STEPS = {"x_m": 1e3, "y_m": 1e3, "yaw_rad": 1e4, "speed_mps": 1e2}  # units per metre, radian, metre per second
COLUMNS = ("who", "tick", *STEPS, "lights")


def is_near(actor: Actor, ego: EgoMotion) -> bool:
    """Whether a road user is near enough to be kept, and so to be seen at all."""
    return abs(actor.x_m - ego.x_m) < NEAR_M and abs(actor.y_m - ego.y_m) < NEAR_M


@dataclass(frozen=True, eq=False)
class Trace:
    """looks: every road user once; columns: (M,) int32 by COLUMNS, `who` being the index in looks and `lights` twice the
    index in INDICATORS plus one for braking; signals: tick → the states that hold from then on."""

    looks: tuple[Actor, ...]
    columns: Mapping[str, NDArray[np.int32]]
    signals: Mapping[int, Mapping[str, str]]

    @classmethod
    def of(cls, moments: Sequence[Moment]) -> "Trace":
        """The trace of a drive, one moment a tick: actors nearer than NEAR_M."""
        looks: dict[str, tuple[int, Actor]] = {}
        rows: list[tuple[float, ...]] = []
        signals: dict[int, Mapping[str, str]] = {}
        shown: Mapping[str, str] = {}
        for tick, moment in enumerate(moments):
            if moment.signals != shown:
                signals[tick] = shown = moment.signals
            for actor in moment.actors:
                if is_near(actor, moment.ego):
                    who, _ = looks.setdefault(actor.actor_id, (len(looks), actor))
                    lights = 2 * INDICATORS.index(actor.indicator) + actor.brake
                    rows.append((who, tick, actor.x_m, actor.y_m, actor.yaw_rad, actor.speed_mps, lights))
        table = np.array(rows, np.float64).reshape(-1, len(COLUMNS))
        table = np.rint(table * [STEPS.get(name, 1.0) for name in COLUMNS]).astype(np.int32)
        table = table[np.lexsort((table[:, 1], table[:, 0]))]  # by who, then tick
        return cls(tuple(actor for _, actor in looks.values()), dict(zip(COLUMNS, table.T, strict=True)), signals)

    def actors_at(self, tick: int) -> tuple[Actor, ...]:
        """The road users near the car at a tick."""
        found = []
        for i in np.flatnonzero(self.columns["tick"] == tick).tolist():
            motion = {name: float(self.columns[name][i] / per) for name, per in STEPS.items()}
            indicator, brake = divmod(int(self.columns["lights"][i]), 2)
            found.append(moved(self.looks[self.columns["who"][i]], **motion, indicator=INDICATORS[indicator], brake=bool(brake)))
        return tuple(found)

    def signals_at(self, tick: int) -> Mapping[str, str]:
        """SUMO's tlLogic id → its state string at a tick."""
        since = max((t for t in self.signals if t <= tick), default=None)
        return {} if since is None else self.signals[since]

    def save(self, path: Path) -> None:
        """Write a Parquet file; it appears under its name only when it is whole."""
        arrow, parquet = _pyarrow()
        card = {"looks": [asdict(actor) for actor in self.looks], "signals": {str(tick): dict(states) for tick, states in self.signals.items()}}
        table = arrow.table({name: arrow.array(column) for name, column in self.columns.items()}).replace_schema_metadata({METADATA_KEY: json.dumps(card)})
        partial = path.with_name(f".{path.name}.partial")
        parquet.write_table(table, partial, compression="zstd", use_dictionary=False, column_encoding=dict.fromkeys(COLUMNS, "DELTA_BINARY_PACKED"))
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Trace":
        """Read what `save` wrote; raises MimicError when it is absent or something else."""
        arrow, parquet = _pyarrow()
        if not path.is_file():
            raise MimicError(f"{path}: no such file: the trace of a drive lies beside its rows")
        try:
            table = parquet.read_table(path)
        except arrow.ArrowInvalid as error:
            raise MimicError(f"{path}: is not a Parquet file: {error}") from error
        if METADATA_KEY not in (table.schema.metadata or {}):
            raise MimicError(f"{path}: is Parquet, but no trace of a drive")
        card = json.loads(table.schema.metadata[METADATA_KEY])
        looks = tuple(Actor(**{**actor, "colour": tuple(actor["colour"])}) for actor in card["looks"])
        columns = {name: table[name].to_numpy() for name in COLUMNS}
        return cls(looks, columns, {int(tick): states for tick, states in card["signals"].items()})


def _pyarrow() -> tuple[Any, Any]:
    require_package("pyarrow", extra="train", purpose="keeping the trace of a drive")
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet
