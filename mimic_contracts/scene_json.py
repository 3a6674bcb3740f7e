"""Scenes as text, for the topic that carries one (std_msgs/String): every number comes back to the last bit."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from mimic_contracts.config import build
from mimic_contracts.errors import ContractError
from mimic_contracts.scene import Agent, Scene, SceneLane, StopLine, TrafficLight

PARTS = {"lanes": SceneLane, "agents": Agent, "lights": TrafficLight, "stop_lines": StopLine}
OUTLINES = ("drivable_area", "crossings")
POINTS = ("centre_m", "position_m", "ends_m")
NAMES = ("successors", "yields_to")


def scene_text(scene: Scene, *, stamp_ns: int) -> str:
    """A JSON object with stamp_ns and the fields of a Scene; arrays are lists of rows."""
    return json.dumps({"stamp_ns": stamp_ns, **vars(scene)}, default=_plain)


def scene_from_text(text: str) -> tuple[int, Scene]:
    """stamp_ns and the Scene of what scene_text wrote; raises ContractError naming the field that is wrong."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ContractError(f"scene: is not valid JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("stamp_ns"), int):
        raise ContractError("scene: must be a JSON object with an integer stamp_ns")
    stamp_ns = content.pop("stamp_ns")
    fields = {key: _field(key, value) for key, value in content.items()}
    return stamp_ns, build(Scene, fields, "scene")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else vars(value)


def _field(name: str, given: Any) -> Any:
    if name not in PARTS and name not in OUTLINES:
        return given
    if not isinstance(given, list):
        raise ContractError(f"scene.{name}: is a {type(given).__name__}, must be a list")
    if name in OUTLINES:
        return tuple(_points(f"scene.{name}[{i}]", one) for i, one in enumerate(given))
    return tuple(_part(PARTS[name], one, f"scene.{name}[{i}]") for i, one in enumerate(given))


def _part(contract: Any, given: Any, where: str) -> Any:
    if not isinstance(given, Mapping):
        raise ContractError(f"{where}: is a {type(given).__name__}, must be an object")
    values = {key: _points(f"{where}.{key}", value) if key in POINTS else tuple(value) if key in NAMES else value for key, value in given.items()}
    return build(contract, values, where)


def _points(where: str, given: Any) -> Any:
    try:
        return np.array(given, np.float64)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{where}: holds something that is no number, or rows of unequal length") from error
