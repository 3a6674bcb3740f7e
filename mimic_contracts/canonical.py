"""Canonical bytes: two runs are the same when these are (the serialized messages hold uninitialised padding)."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.plan import Command, Plan


def canonical_bytes(item: Plan | Command) -> bytes:
    """The numbers of a contract as little-endian arrays in declared order."""
    if isinstance(item, Plan):
        return b"".join([_integer(item.stamp_ns), _floats(item.values), _floats(item.alternatives), _floats(item.probabilities), bytes([item.is_emergency])])
    return _integer(item.stamp_ns) + _floats(np.array([item.acceleration_mps2, item.curvature_1pm, item.target_speed_mps]))


def canonical_hash(items: Iterable[Plan | Command]) -> str:
    """SHA-256 in hex over the canonical bytes of a sequence, in its order."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(canonical_bytes(item))
    return digest.hexdigest()


def _integer(value: int) -> bytes:
    return np.int64(value).astype("<i8").tobytes()


def _floats(array: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(array).astype("<f8").tobytes()
