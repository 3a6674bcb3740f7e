"""Figures and tables as Markdown; what is missing says so."""

from collections.abc import Mapping, Sequence
from typing import Any

NOT_MEASURED = "not measured"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, is_wordy: bool = False) -> list[str]:
    """Lines of a table; the first column is of words, the others of figures, or, is_wordy, of words too."""
    lines = [header, ["---", *["---" if is_wordy else "---:"] * (len(header) - 1)], *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def figure(values: Mapping[str, Any], key: str, *, factor: float = 1.0, digits: int = 1) -> str:
    """A figure, with its interval where there is one."""
    value, interval = values.get(key), values.get(f"{key}_ci95")
    if value is None:
        return NOT_MEASURED
    between = "" if interval is None else f" ({factor * interval[0]:.{digits}f} to {factor * interval[1]:.{digits}f})"
    return f"{factor * value:.{digits}f}{between}"


def excludes_zero(interval: Sequence[float] | None) -> str:
    """Whether an interval lies on one side of zero, in words."""
    if interval is None:
        return NOT_MEASURED
    return "yes" if interval[0] > 0.0 or interval[1] < 0.0 else "no"


def joined(values: Sequence[object]) -> str:
    """'0, 1, 2'; a dash for none."""
    return ", ".join(str(value) for value in values if value is not None) or "–"
