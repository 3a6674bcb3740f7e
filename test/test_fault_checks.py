"""What the benchmarks of faults, mutations and memory judge by, without a drive."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import mutations
from fault_checks import envelope_findings
from fault_companions import companions
from fault_drive import ROUTE
from fault_table import faults
from nav_msgs.msg import Odometry
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from soak import growth
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from mimic.process_table import EXECUTABLES
from mimic_contracts.vehicle import load_vehicle
from mimic_sim.world import build_world
from vehicle_interface.envelope import Envelope

VEHICLE = load_vehicle("simulator")


def test_every_fault_is_in_the_documentation() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "safety.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", page, re.M))
    assert {fault.name: fault.answer for fault in faults()}.items() <= rows.items()


def commands(*, seconds: float = 20.0, is_emergency: bool = False) -> np.ndarray:
    """(N, 5) as fault_checks takes them, of an envelope that is asked for anything."""
    rng, envelope = np.random.default_rng(5), Envelope(VEHICLE.limits, wheelbase_m=VEHICLE.wheelbase_m)
    envelope.reset(speed_mps=8.0, curvature_1pm=0.01)
    rows, now_s, speed = [], 0.0, 8.0
    while now_s < seconds:
        dt = float(rng.uniform(0.018, 0.03))
        gap_s = 0.5 if rng.random() < 0.01 else dt  # which the vehicle interface takes as 0.2 s
        wish = {"acceleration_mps2": rng.normal(0.2, 9.0), "curvature_1pm": rng.normal(0.0, 0.2)}
        out = envelope.step(**wish, measured_speed_mps=speed, dt_s=min(gap_s, 0.2), is_emergency=is_emergency and rng.random() < 0.5)
        now_s, speed = now_s + gap_s, out.target_speed_mps
        rows.append((len(rows), now_s, now_s + rng.uniform(4e-4, 6e-4), speed, speed * out.curvature_1pm))
    return np.array(rows)


def test_what_an_envelope_gives_is_inside_of_the_limits_also_where_one_had_to_wait_or_got_lost() -> None:
    rows = commands()
    assert envelope_findings(rows, VEHICLE) == []
    assert envelope_findings(commands(is_emergency=True), VEHICLE, is_emergency=True) == []
    late = np.random.default_rng(1).random(len(rows)) < 0.1
    rows[late, 1] += 0.004  # the stamp was taken late
    rows[late, 2] += 0.0047
    assert envelope_findings(rows, VEHICLE) == []
    lost = np.random.default_rng(2).random(len(rows)) < 0.1
    assert envelope_findings(rows[~lost], VEHICLE) == []
    assert envelope_findings(rows[:0], VEHICLE) == []


@pytest.mark.parametrize(
    ("column", "change", "what"),
    [
        (3, lambda v: v * np.where(np.arange(len(v)) == 400, np.nan, 1.0), "the command"),
        (3, lambda v: v + 25.0, "the speed"),
        (3, lambda v: v - 12.0, "the speed"),
        (3, lambda v: np.cumsum(np.diff(v, prepend=0.0) * 1.5), "the acceleration"),
        (3, lambda v: v + 0.012 * (np.arange(len(v)) == 400), "the jerk"),
        (4, lambda w: w * 3.0, "the lateral acceleration"),
        (4, lambda w: w + 0.02 * (np.arange(len(w)) == 400), "the curvature's rate"),
    ],
)
def test_what_is_outside_of_the_limits_is_found(column, change, what) -> None:
    rows = commands()
    rows[:, column] = change(rows[:, column])
    assert any(finding.startswith(f"{what} is ") for finding in envelope_findings(rows, VEHICLE))


def test_memory_that_grows_is_told_from_memory_that_varies() -> None:
    times_s = np.arange(0.0, 1440.0)
    varying = 80.0 + np.random.default_rng(3).normal(0.0, 0.3, len(times_s))
    _, low, high = growth(times_s, varying)
    assert low < 0.0 < high
    slope, low, high = growth(times_s, varying + 5.0 * times_s / 3600.0)
    assert slope == pytest.approx(5.0, abs=0.5) and 4.0 < low < high < 6.0


def test_mutations_are_wild_many_and_the_same_for_a_seed() -> None:
    plan = JointTrajectory(joint_names=["x_m"], points=[JointTrajectoryPoint(positions=[1.0, 2.0])])
    for message in (plan, Odometry(), Image(data=b"123", encoding="rgb8")):
        mutated, again = ([mutations.mutated(message, random.Random(seed)) for seed in range(200)] for _ in range(2))
        assert len({serialize_message(changed) for changed in mutated}) > 60, "each is well-formed, and they differ"
        assert [str(changed) for changed in mutated] == [str(changed) for changed in again]
    data = serialize_message(plan)
    damaged = [mutations.damaged(data, random.Random(seed)) for seed in range(200)]
    assert len(set(damaged)) > 190 and {len(changed) < len(data) for changed in damaged} == {True, False}


def test_every_node_with_subscriptions_is_attacked(tmp_path: Path) -> None:
    without = {"lifecycle_manager_node", "replay_node"}  # it has none; and hears what the vehicle interface hears, for which it needs a bag
    assert set(EXECUTABLES) - without == {*mutations.NODES, *companions(tmp_path, build_world(ROUTE))}
