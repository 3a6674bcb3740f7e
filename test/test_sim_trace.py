"""Traces: what comes back is what was true, to the steps that traffic is rounded to."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic_contracts.errors import MimicError
from mimic_sim.actors import Actor
from mimic_sim.ego import EgoMotion
from mimic_sim.moment import Moment
from mimic_sim.trace import NEAR_M, Trace

EGO = EgoMotion(x_m=0.0, y_m=0.0, yaw_rad=0.0)


def actor(name: str, x_m: float = 10.0, **changes: object) -> Actor:
    values = {"kind": "car", "y_m": -3.25, "yaw_rad": 1.5708, "speed_mps": 7.31, "length_m": 4.5, "width_m": 1.8, "height_m": 1.5}
    lights = {"brake": False, "indicator": "none", "colour": (0.1, 0.2, 0.3)}
    return Actor(actor_id=name, x_m=x_m, **{**values, **lights, **changes})  # type: ignore[arg-type]


def moment(tick: int, *actors: Actor, **signals: str) -> Moment:
    return Moment(stamp_ns=tick, ego=EGO, actors=actors, signals=signals)


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 5), st.integers(-199_000, 199_000), st.integers(0, 3000), st.booleans(), st.sampled_from(["none", "left", "right", "both"])
            ),
            max_size=5,
            unique_by=lambda row: row[0],
        ),
        max_size=6,
    )
)
def test_actors_and_signals_come_back(ticks: list[list[tuple[int, int, int, bool, str]]]) -> None:
    def actors(rows: list[tuple[int, int, int, bool, str]]) -> tuple[Actor, ...]:
        return tuple(actor(str(k), x / 1e3, speed_mps=v / 1e2, brake=brake, indicator=indicator) for k, x, v, brake, indicator in rows)

    moments = [moment(k, *actors(rows), a="rG"[k % 2]) for k, rows in enumerate(ticks)]
    trace = Trace.of(moments)
    for k, true in enumerate(moments):
        assert sorted(trace.actors_at(k), key=lambda a: a.actor_id) == sorted(true.actors, key=lambda a: a.actor_id)
        assert trace.signals_at(k) == true.signals


def test_a_file_is_the_trace(tmp_path: Path) -> None:
    trace = Trace.of([moment(0, actor("a"), actor("b", kind="bus", length_m=12.0)), moment(1, actor("a", 10.5), tl="rGy")])
    trace.save(tmp_path / "t.parquet")
    back = Trace.load(tmp_path / "t.parquet")
    assert back.looks == trace.looks and back.signals == trace.signals
    assert all(np.array_equal(back.columns[name], trace.columns[name]) for name in trace.columns)
    assert back.actors_at(1) == (actor("a", 10.5),) and back.signals_at(0) == {} and back.signals_at(5) == {"tl": "rGy"}


def test_who_is_far_leaves_no_trace() -> None:
    assert Trace.of([moment(0, actor("a", NEAR_M + 1.0))]).looks == ()


def test_an_hour_takes_about_ten_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    moments = []
    x, speed = rng.uniform(-150.0, 150.0, 30), rng.uniform(0.0, 12.0, 30)
    for k in range(600):  # a minute at 10 Hz
        speed = np.clip(speed + rng.normal(0.0, 0.1, 30), 0.0, 15.0)
        x = (x + 0.1 * speed + 150.0) % 300.0 - 150.0
        moments.append(moment(k, *(actor(str(i), round(float(x[i]), 3), speed_mps=round(float(speed[i]), 2)) for i in range(30))))
    Trace.of(moments).save(tmp_path / "t.parquet")
    assert 60 * (tmp_path / "t.parquet").stat().st_size < 10e6


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MimicError, match="no such file"):
        Trace.load(tmp_path / "absent.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"nonsense, and long enough to look like something")
    with pytest.raises(MimicError, match="not a Parquet file"):
        Trace.load(tmp_path / "bad.parquet")
