"""Checks that every contract uses; each failure names the field, the value got and what is allowed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError


def check_array(field: str, value: Any, *, shape: Sequence[int | None], dtype: Any, finite: bool = True) -> NDArray[Any]:
    """Return `value` as a read-only array of exactly this dtype and shape (None matches any size).

    Raises ContractError when dtype or shape differ, or a floating value is not finite.
    """
    array = np.asarray(value)
    if array.dtype != np.dtype(dtype):
        raise ContractError(f"{field}: dtype is {array.dtype}, must be {np.dtype(dtype)}")
    expected = tuple("any" if size is None else size for size in shape)
    if array.ndim != len(shape) or any(size is not None and size != got for size, got in zip(shape, array.shape, strict=True)):
        raise ContractError(f"{field}: shape is {array.shape}, must be {expected}")
    if finite and np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ContractError(f"{field}{list(index)}: is {array[index]}, must be finite")
    view = array.view()
    view.flags.writeable = False
    return view


def check_number(field: str, value: Any, *, low: float = -np.inf, high: float = np.inf) -> float:
    """Return `value` as a finite float within [low, high]; raises ContractError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ContractError(f"{field}: is {value!r}, must be a number")
    number = float(value)
    if not np.isfinite(number) or not low <= number <= high:
        raise ContractError(f"{field}: is {number}, must be finite and within [{low}, {high}]")
    return number


def check_integer(field: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int within [low, high] (None: unbounded); raises ContractError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ContractError(f"{field}: is {value!r}, must be an integer")
    number = int(value)
    if (low is not None and number < low) or (high is not None and number > high):
        raise ContractError(f"{field}: is {number}, must be within [{low}, {high}]")
    return number


def check_stamp_ns(field: str, value: Any) -> int:
    """Return a stamp in nanoseconds since the epoch (or since simulation start); never negative, fits int64."""
    return check_integer(field, value, low=0, high=2**63 - 1)


def check_text(field: str, value: Any) -> str:
    """Return a non-empty string; raises ContractError otherwise."""
    if not isinstance(value, str) or not value.strip():
        raise ContractError(f"{field}: is {value!r}, must be a non-empty text")
    return value


def check_choice(field: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value` when it is one of `choices`; raises ContractError otherwise."""
    if value not in choices:
        raise ContractError(f"{field}: is {value!r}, must be one of {', '.join(choices)}")
    return str(value)


def check_increasing(field: str, value: NDArray[Any]) -> None:
    """Raise ContractError naming the first place where a one-dimensional array does not increase."""
    steps = np.diff(value)
    if (steps <= 0).any():
        index = int(np.argmax(steps <= 0)) + 1
        raise ContractError(f"{field}[{index}]: is {value[index]} after {value[index - 1]}, must increase strictly")
