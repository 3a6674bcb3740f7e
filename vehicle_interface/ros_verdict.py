"""The supervisor's verdict as a diagnostic_msgs/DiagnosticStatus, and back."""

from diagnostic_msgs.msg import DiagnosticStatus

from mimic_contracts.ros_lifecycle import ERROR, OK, WARN
from vehicle_interface import supervision
from vehicle_interface.supervision import Verdict

LEVELS = {supervision.OK: OK, supervision.DEGRADED: WARN, supervision.STOP: ERROR}
NAMES = {level: name for name, level in LEVELS.items()}


def verdict_of_status(status: DiagnosticStatus) -> Verdict:
    """What a status means; one that is stale, or unknown, stops."""
    return Verdict(NAMES.get(status.level, supervision.STOP), status.message)


def status_of_verdict(verdict: Verdict, *, name: str) -> DiagnosticStatus:
    """The status of a node of this name."""
    return DiagnosticStatus(level=LEVELS[verdict.level], name=name, hardware_id="mimic_drive", message=verdict.reason)
