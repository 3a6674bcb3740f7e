"""Node parameters as frozen dataclasses: one declaration of default, unit, bounds and description serves the node,
its ROS descriptors and the check of config/nodes/*.yaml."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

from mimic_contracts.config import build, load_yaml
from mimic_contracts.errors import ContractError
from mimic_contracts.validation import check_choice, check_integer, check_number

T = TypeVar("T")


def parameter(default: Any, description: str, *, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field that is a ROS parameter: bool, int, float, str or tuple of str (list on the ROS side)."""
    return field(default=default, metadata={"description": description, "low": low, "high": high, "choices": choices})


def parameters_from(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make the dataclass from parameter values, all checked before any is used; raises ContractError naming the key."""
    instance = build(cls, {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}, where)
    for declared in fields(cls):  # type: ignore[arg-type]
        _check(declared, getattr(instance, declared.name), f"{where}: {declared.name}")
    return instance


def parameters_from_file(cls: type[T], path: str, node_name: str) -> T:
    """Read a ROS parameter file's section for one node (or '/**'); raises MimicError or ContractError naming the key."""
    content = load_yaml(path)
    section = content.get(node_name, content.get("/**"))
    if not isinstance(section, dict) or not isinstance(section.get("ros__parameters"), dict):
        raise ContractError(f"{path}: has no section '{node_name}' or '/**' with ros__parameters")
    return parameters_from(cls, section["ros__parameters"], f"{path}: {node_name}")


def _check(declared: "Field[Any]", value: Any, where: str) -> None:
    if declared.default is MISSING or "description" not in declared.metadata:
        raise ContractError(f"{where}: is not declared with parameter(default, description)")
    low, high = declared.metadata["low"], declared.metadata["high"]
    kind = type(declared.default)
    if kind is float:
        check_number(where, value, low=-1e308 if low is None else low, high=1e308 if high is None else high)
    elif kind is int:
        check_integer(where, value, low=None if low is None else int(low), high=None if high is None else int(high))
    elif not isinstance(value, kind):
        raise ContractError(f"{where}: is {value!r}, must be a {kind.__name__}")
    elif kind is tuple and not all(isinstance(item, str) for item in value):
        raise ContractError(f"{where}: is {value!r}, must be a list of texts")
    if declared.metadata["choices"]:
        check_choice(where, value, declared.metadata["choices"])
