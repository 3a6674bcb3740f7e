"""Some of the faults of benchmarks/faults.py, then some of the messages of mutations.py, in one drive, with timeouts for a busy machine."""

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

import mutations
from fault_drive import FaultDrive
from fault_table import Timeouts, faults

pytestmark = pytest.mark.ros
PATIENT = Timeouts.times(4.0)
CHOSEN = (
    "planner_node killed",
    "plan's curvatures contradict its points",
    "driver overrides in mode minimal_risk_stop",
)


@pytest.fixture(scope="module")
def drive() -> Iterator[FaultDrive]:
    with FaultDrive(timeouts=PATIENT) as running:
        yield running


def test_faults_one_after_the_other(drive: FaultDrive) -> None:
    table = {fault.name: fault for fault in faults(PATIENT)}
    outcomes = [drive.suffer(table[name], speed_mps=4.0) for name in CHOSEN]
    assert {outcome.fault: outcome.findings for outcome in outcomes if outcome.findings} == {}
    assert all(outcome.commands > 50 for outcome in outcomes)


def test_no_mutated_message_ends_a_node_or_leads_a_command_out_of_the_envelope(drive: FaultDrive) -> None:
    from_here = len(drive.commands)
    figures = mutations.run(drive, count=8, seed=1, only=[""])
    assert figures["findings"] == []
    assert len(drive.commands) - from_here > 100
    assert {"/planning/trajectory", "/localization/kinematic_state", "/diagnostics", "/joy", "/vehicle/command"} <= set(figures["sent"])
    assert min(figures["sent"].values()) > 4
