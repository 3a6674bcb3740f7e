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
    """level: one of LEVELS; reason: why, empty when ok."""

    level: str = OK
    reason: str = ""


def worst(findings: Iterable[Verdict]) -> Verdict:
    """The worst level of all, with the reasons of that level."""
    findings = list(findings)
    level = max((finding.level for finding in findings), key=LEVELS.index, default=OK)
    if level == OK:
        return Verdict()
    return Verdict(level, "; ".join(finding.reason for finding in findings if finding.level == level and finding.reason))
