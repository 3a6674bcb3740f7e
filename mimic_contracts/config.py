"""Where configuration files are found and how they become validated dataclasses."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mimic_contracts.errors import ContractError, MimicError

T = TypeVar("T")


def config_dir() -> Path:
    """The directory config/ of the source tree, or share/mimic_drive/config of the installation prefix."""
    for parent in Path(__file__).resolve().parents:
        for candidate in (parent / "share" / "mimic_drive" / "config", parent / "config"):
            if (candidate / "rigs").is_dir():
                return candidate
    raise MimicError(f"config/rigs was not found above {Path(__file__).parent}: reinstall mimic_drive")


def models_dir() -> Path:
    """The directory models/ beside config/, of trained models that come with the project; it need not be there."""
    return config_dir().parent / "models"


def resolve_config(kind: str, name_or_path: str | Path) -> Path:
    """Path of a configuration file given as a path or as the name of one in config/<kind>/.

    Raises MimicError that lists the known names.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    named = config_dir() / kind / f"{path.stem if path.suffix == '.yaml' else name_or_path}.yaml"
    if path.parent == Path(".") and named.is_file():
        return named
    known = ", ".join(sorted(p.stem for p in (config_dir() / kind).glob("*.yaml")))
    raise MimicError(f"{kind}: '{name_or_path}' is neither a YAML file nor one of: {known}")


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; raises MimicError naming the file and the line."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise MimicError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MimicError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise MimicError(f"{path}: holds a {type(content).__name__}, must be a mapping of keys to values")
    return content


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a dataclass from a mapping; unknown and missing keys are errors that name `where`.

    Raises ContractError; the dataclass's own __post_init__ checks the values.
    """
    declared = {f.name: f for f in fields(cls) if f.init}  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise ContractError(f"{where}: is {values!r}, must be a mapping with the keys {', '.join(declared)}")
    unknown = sorted(set(map(str, values)) - set(declared))
    if unknown:
        raise ContractError(f"{where}: unknown key {', '.join(unknown)}; allowed: {', '.join(declared)}")
    missing = [n for n, f in declared.items() if n not in values and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise ContractError(f"{where}: missing key {', '.join(missing)}")
    try:
        return cls(**values)
    except ContractError as error:
        raise ContractError(f"{where}: {error}") from error
