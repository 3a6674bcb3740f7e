"""What was seen of a mounting in earlier drives: a small JSON file for each camera of a vehicle."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.rig import Mounting


def memory_path(directory: str, *, vehicle: str, camera: str) -> Path:
    """Of a vehicle by the name in its file: those who share a machine must not share a name."""
    return Path(directory).expanduser() / f"{re.sub(r'[^A-Za-z0-9_-]', '_', vehicle)}.{camera}.json"


def recall(path: Path) -> list[tuple[float, ...]]:
    """(yaw_rad, pitch_rad, height_m) of each block, none where there is no file yet; raises MimicError when it cannot be understood."""
    try:
        blocks = json.loads(path.read_text(encoding="utf-8"))["blocks"]
        for yaw_rad, pitch_rad, height_m in blocks:
            Mounting(x_m=0.0, y_m=0.0, z_m=height_m, yaw_rad=yaw_rad, pitch_rad=pitch_rad)
        return [tuple(block) for block in blocks]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, ContractError) as error:
        raise MimicError(f"{path}: cannot be understood ({error}): move it away, then the mounting is found anew") from error


def remember(path: Path, blocks: Sequence[Sequence[float]], *, vehicle: str, camera: str) -> None:
    """Write it whole or not at all; raises MimicError when it cannot be written."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            json.dump({"vehicle": vehicle, "camera": camera, "blocks": [list(block) for block in blocks]}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise MimicError(f"{path}: cannot be written: {error.strerror}") from error
