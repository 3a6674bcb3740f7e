"""What the supervisor says, and what the vehicle interface does about it.

| level | what the vehicle interface does |
|---|---|
| ok | follows the plan |
| degraded | becomes no faster, asks for a driver, and is not engaged anew |
| stop, or silence | stops along the last good plan |
"""

from collections.abc import Iterable
from dataclasses import dataclass

OK, DEGRADED, STOP = "ok", "degraded", "stop"
LEVELS = (OK, DEGRADED, STOP)  # from good to bad


@dataclass(frozen=True)
class Verdict:
    """level: one of LEVELS; reason: why, empty when ok; suspect_s: for how long what is planned may have been wrong before this was said."""

    level: str = OK
    reason: str = ""
    suspect_s: float = 0.0


def worst(findings: Iterable[Verdict]) -> Verdict:
    """The worst level of all, with the reasons of that level, and the longest time."""
    findings = list(findings)
    level = max((finding.level for finding in findings), key=LEVELS.index, default=OK)
    if level == OK:
        return Verdict()
    those = [finding for finding in findings if finding.level == level]
    return Verdict(level, "; ".join(finding.reason for finding in those if finding.reason), max(finding.suspect_s for finding in those))
