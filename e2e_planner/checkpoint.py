"""Weights and training state on disk: safetensors and JSON, written whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mimic_contracts.errors import MimicError

CARD_FILE, WEIGHTS_FILE, RECIPE_FILE, STATE_FILE = "card.json", "weights.safetensors", "recipe.yaml", "training_state.safetensors"
ONNX_FILE, PERCEPTION_ONNX_FILE = "model.onnx", "perception.onnx"
PERCEPTION_DIRECTORY = "perception"  # of a run, with the stage before imitation


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file that appears under its name only when it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, metadata=dict(metadata or {}))
    partial.replace(path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; raises MimicError when it is damaged."""
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise MimicError(f"{path}: cannot be read: {error}") from error


def pack(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """{'ema': {'w': t}} → {'ema/w': t}."""
    return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def unpack(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The inverse of pack for one part."""
    return {name.removeprefix(f"{part}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer (AdamW: step, exp_avg, exp_avg_sq of each parameter) by 'index.name'."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of optimizer_tensors."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def file_hash(path: Path) -> str:
    """SHA-256 of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Write card.json: the last file of a run, without which it is none."""
    partial = directory / f".{CARD_FILE}.partial"
    partial.write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(directory / CARD_FILE)


def load_card(path: Path) -> dict[str, Any]:
    """Read a card; raises MimicError when there is none or it is damaged."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MimicError(f"{path}: cannot be read ({error.strerror}): is the training finished? `mimic train … --resume` finishes it") from error
    except ValueError as error:
        raise MimicError(f"{path}: is damaged: {error}") from error
    return dict(card)
