"""The supervisor's verdict as a diagnostic_msgs/DiagnosticStatus, and back."""

import math
from contextlib import suppress

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from mimic_contracts.ros_lifecycle import ERROR, OK, WARN
from vehicle_interface import supervision
from vehicle_interface.supervision import Verdict

LEVELS = {supervision.OK: OK, supervision.DEGRADED: WARN, supervision.STOP: ERROR}
SUSPECT_KEY = "suspect_s"
NAMES = {level: name for name, level in LEVELS.items()}


def verdict_of_status(status: DiagnosticStatus) -> Verdict:
    """What a status means; one that is stale, or unknown, stops."""
    suspect_s = 0.0
    for pair in status.values:
        with suppress(ValueError):
            suspect_s = float(pair.value) if pair.key == SUSPECT_KEY else suspect_s
    return Verdict(NAMES.get(status.level, supervision.STOP), status.message, suspect_s if math.isfinite(suspect_s) else 0.0)


def status_of_verdict(verdict: Verdict, *, name: str) -> DiagnosticStatus:
    """The status of a node of this name."""
    values = [KeyValue(key=SUSPECT_KEY, value=str(verdict.suspect_s))]
    return DiagnosticStatus(level=LEVELS[verdict.level], name=name, hardware_id="mimic_drive", message=verdict.reason, values=values)
