"""What a bring-up runs with, by hashes: a release names them, and nothing else is started."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimic_contracts.config import resolve_config
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.vehicle import load_vehicle

ROOMS = ("mimic_contracts", "perception", "vehicle_interface", "bag_tools", "e2e_planner", "mimic_sim", "mimic")


def release_of(processes: Sequence[Mapping[str, Any]], parameter_files: Sequence[str], values: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 by what it is of: `code`, `processes` (a table's), `vehicle`, `rig`, `policy/FILE` (or `policy`: a built-in
    name), `nodes/FILE`.

    values: the table's arguments. Raises UsageError for a policy that is somebody's class: its code is not ours to hash.
    """
    files = {f"nodes/{Path(path).name}": Path(path) for path in parameter_files}
    if values.get("vehicle"):
        files["vehicle"] = resolve_config("vehicles", values["vehicle"])
        files["rig"] = resolve_config("rigs", load_vehicle(files["vehicle"]).rig)
    policy = values.get("policy", "")
    policy_files = _policy_files(policy)
    files |= {f"policy/{path.name}": path for path in policy_files}
    own = Path(__file__).resolve().parents[1]
    code = {str(path.relative_to(own)): _hash(path.read_bytes()) for room in ROOMS for path in sorted((own / room).rglob("*.py"))}
    hashes = {"code": _hash(_text(code)), "processes": _hash(_text(processes))}
    if policy and not policy_files:
        hashes["policy"] = _hash(policy.encode())
    try:
        return hashes | {name: _hash(path.read_bytes()) for name, path in sorted(files.items())}
    except OSError as error:
        raise MimicError(f"{error.filename}: cannot be read: {error.strerror}") from error


def check_release(path: Path, found: Mapping[str, str]) -> None:
    """Raise MimicError naming all that is not as the release says, or that it does not name."""
    try:
        released = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MimicError(f"release: {path} cannot be read: {error}") from error
    if not isinstance(released, dict):
        raise MimicError(f"release: {path} holds a {type(released).__name__}, must be what `mimic release` printed")
    wrong = [f"{name} {'differs' if name in released else 'is not in it'}" for name, value in found.items() if released.get(name) != value]
    if wrong:
        raise MimicError(f"release: not what {path} names: {', '.join(wrong)}; restore it, or make a new release with `mimic release`")


def _policy_files(text: str) -> list[Path]:
    from e2e_planner.policies import BUILT_IN, is_perceived, perceived_run  # only a release needs to know the planners

    if is_perceived(text):
        return sorted((perceived_run(text) / "perception").iterdir())
    if not text or text in BUILT_IN:
        return []
    path = Path(text)
    if not (path.is_dir() or path.suffix == ".onnx"):
        raise UsageError(f"policy: '{text}' is a class of its own code, a release takes a run directory, an .onnx file or one of {', '.join(BUILT_IN)}")
    model = path / "model.onnx" if path.is_dir() else path
    return [model, model.parent / "card.json"]


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
