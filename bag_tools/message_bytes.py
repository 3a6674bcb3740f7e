"""Messages written down as mappings of their fields, without ROS: what is not given is zero or empty, as in a new message."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

from mimic_contracts.errors import ContractError

TYPES = get_typestore(Stores.ROS2_KILTED)


@dataclass(frozen=True)
class MessageBytes:
    """A serialized message (CDR) and the name of its type."""

    type_name: str
    data: bytes


def message_bytes(type_name: str, **fields: Any) -> MessageBytes:
    """A message of a type that ROS 2 brings along ("std_msgs/msg/String"); fields: numbers, texts, arrays, mappings for
    nested messages, and sequences of these. Raises ContractError for a type or a field that does not exist."""
    if type_name not in TYPES.fielddefs:
        raise ContractError(f"message: type '{type_name}' is unknown, must be one that ROS 2 brings along")
    return MessageBytes(type_name, bytes(TYPES.serialize_cdr(_message(type_name, fields), type_name)))


def stamp(stamp_ns: int) -> dict[str, int]:
    """The fields of a builtin_interfaces/Time (or Duration)."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return {"sec": sec, "nanosec": nanosec}


def header(stamp_ns: int, frame_id: str = "") -> dict[str, Any]:
    """The fields of a std_msgs/Header."""
    return {"stamp": stamp(stamp_ns), "frame_id": frame_id}


def _message(type_name: str, fields: Mapping[str, Any]) -> Any:
    described = _described(type_name)
    unknown = fields.keys() - described.keys()
    if unknown:
        raise ContractError(f"message: {type_name} has no field {', '.join(sorted(unknown))}; it has {', '.join(described)}")
    values = [_value(kind, fields[name]) if name in fields else _nothing(kind) for name, kind in described.items()]
    return TYPES.types[type_name](*values)


@cache
def _described(type_name: str) -> dict[str, Any]:
    """Field → kind, in the message's order."""
    return dict(TYPES.fielddefs[type_name][1])


def _value(kind: Any, given: Any) -> Any:
    node, inner = kind
    if node == Nodetype.BASE:
        return given
    if node == Nodetype.NAME:
        return _message(inner, given)
    (item_node, item), _ = inner
    if item_node == Nodetype.NAME:
        return [_message(item, one) for one in given]
    return list(given) if item[0] == "string" else np.asarray(given, item[0])


@cache
def _nothing(kind: Any) -> Any:
    """The value of a field that is not given: never changed, so one for all."""
    node, inner = kind
    if node == Nodetype.BASE:
        return {"string": "", "bool": False}.get(inner[0], 0)
    if node == Nodetype.NAME:
        return _message(inner, {})
    (item_node, item), count = inner
    if item_node == Nodetype.BASE and item[0] != "string":
        return np.zeros(count, item[0])
    return [_nothing((item_node, item))] * count if node == Nodetype.ARRAY else []
