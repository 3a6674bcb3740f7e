"""What a run of `mimic drive` keeps: the drives made so far, and the expert's, which later runs need again.

While OUT is made it is the directory .OUT.partial beside it, which survives an interruption:

    run.json               what is driven, by whom, and how
    DRIVER/ROUTE.parquet   one file for each finished drive, with its trace beside it

The expert's drives are kept beside OUT, too, as expert_drives/KEY.parquet. A key is made of everything that decides such
a drive: the route, its town's file, the vehicle, and the source code of the simulator. It can be deleted at any time.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from e2e_planner.policies import is_perceived, perceived_run
from mimic.drive_jobs import EXPERT
from mimic_contracts.config import config_dir
from mimic_contracts.errors import MimicError, UsageError, require_package
from mimic_sim.drive_result import TRACE_SUFFIX
from mimic_sim.route_spec import RouteSpec
from mimic_sim.sumo_network import town_path

CARD = "run.json"
EXPERT_DRIVES = "expert_drives"
SIMULATOR = ("mimic_contracts", "mimic_sim", "vehicle_interface")  # packages beside this one


@dataclass(frozen=True)
class DriveFolder:
    """The directory that becomes `out`."""

    out: Path

    @property
    def partial(self) -> Path:
        """Where everything is until all is there."""
        return self.out.with_name(f".{self.out.name}.partial")

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Raise UsageError where something would be lost."""
        if self.out.exists() and not overwrite:
            raise UsageError(f"--out: '{self.out}' exists: choose another or add --overwrite")
        if self.partial.exists() and not (resume or overwrite):
            raise UsageError(f"--out: an interrupted run left '{self.partial}': go on with it by --resume, or begin anew by --overwrite")

    def begin(self, card: Mapping[str, Any], *, resume: bool) -> None:
        """Make the directory, or go on in it; raises UsageError naming what differs from the interrupted run's card."""
        path = self.partial / CARD
        if resume and path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            differing = [f"{key} was {before.get(key)!r} and is {card.get(key)!r}" for key in sorted({*card, *before}) if card.get(key) != before.get(key)]
            if differing:
                raise UsageError(f"--resume: not the run that '{self.partial}' holds: {'; '.join(differing)}")
            return
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    def path(self, driver: str, route: RouteSpec) -> Path:
        """The file of a drive; it is there when the drive is finished."""
        return self.partial / driver / f"{route.route_id}.parquet"

    def fetch_expert(self, path: Path, route: RouteSpec) -> bool:
        """Put the expert's drive of a route at a path, when an earlier run has made it."""
        kept = self._kept(route)
        if kept.is_file():
            link_drive(kept, path)
        return path.is_file()

    def keep_expert(self, path: Path, route: RouteSpec) -> None:
        """Keep the expert's drive at a path for later runs."""
        kept = self._kept(route)
        kept.parent.mkdir(exist_ok=True)
        link_drive(path, kept)

    def finish(self) -> None:
        """All is there: it appears under its own name."""
        if self.out.exists():
            shutil.rmtree(self.out)
        self.partial.replace(self.out)

    def _kept(self, route: RouteSpec) -> Path:
        return self.out.parent / EXPERT_DRIVES / f"{route_key(route)}.parquet"


def route_key(route: RouteSpec) -> str:
    """Hash over everything that decides how the expert drives a route."""
    digest = hashlib.sha256(json.dumps([asdict(route), simulator_hash()]).encode())
    if route.start_lane:
        with suppress(MimicError):  # without its town no drive comes about, and none is kept
            digest.update(town_path(route.course).read_bytes())
    return digest.hexdigest()[:24]


@lru_cache(maxsize=1)
def simulator_hash() -> str:
    """Hash over the source code, the vehicles and rigs, and the version of SUMO that decide how a drive goes on."""
    require_package("libsumo", extra="sim", purpose="driving in the simulator")
    digest = hashlib.sha256(version("libsumo").encode())
    sources = [path for package in SIMULATOR for path in (Path(__file__).parents[1] / package).rglob("*.py")]
    files = sources + [path for kind in ("rigs", "vehicles") for path in (config_dir() / kind).glob("*.yaml")]
    for path in sorted(files):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def policy_hash(policy: str) -> str:
    """Hash over the files that a policy is: its model, the module of its class, or the source code of the built-in ones and
    the perception that they see with; EXPERT is part of the simulator."""
    if policy == EXPERT:
        return simulator_hash()
    path, (module, colon, _) = Path(policy), policy.partition(":")
    root = Path(__file__).parents[1]
    if is_perceived(policy):
        seeing = perceived_run(policy) / "perception"
        files = [*sorted((root / "e2e_planner").rglob("*.py")), root / "perception" / "agent_boxes.py", seeing / "perception.onnx", seeing / "card.json"]
    elif path.is_dir():
        files = sorted([*path.glob("*.onnx"), *path.glob("*.json")])
    elif path.is_file():
        files = [path]
    elif colon:
        spec = find_spec(module)
        files = [] if spec is None or spec.origin is None else [Path(spec.origin)]
    else:
        files = sorted((root / "e2e_planner").rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def policy_card(policy: str) -> dict[str, Any]:
    """What tells a policy from others: policy, policy_hash; perception_hash where it sees with a run's perception; and of a
    trained planner recipe (its name), recipe_hash (over everything in it but the seed), training_seed, model_hash and
    training_data (the hash of each store that it has learned from). Raises MimicError where a card is damaged."""
    card: dict[str, Any] = {"policy": policy, "policy_hash": policy_hash(policy)}
    path = Path(policy)
    is_trained = path.is_dir() or path.suffix == ".onnx"
    run = perceived_run(policy) if is_perceived(policy) else path if path.is_dir() else path.parent
    seeing = run / "perception" / "card.json"
    if (is_trained or is_perceived(policy)) and seeing.is_file():
        card["perception_hash"] = _read(seeing)["weights_hash"]
    if is_trained:
        trained = _read(run / "card.json")
        recipe = {key: value for key, value in trained["recipe"].items() if key != "seed"}
        card |= {
            "recipe": recipe["name"],
            "recipe_hash": hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16],
            "training_seed": trained["recipe"]["seed"],
            "model_hash": trained["model_hash"],
            "training_data": [store["data_hash"] for store in trained.get("data", {}).get("stores", [])],
        }
    return card


def _read(card: Path) -> dict[str, Any]:
    from e2e_planner.onnx_model import read_card  # a user's own planner needs no ONNX Runtime

    return read_card(card)


def link_drive(source: Path, target: Path) -> None:
    """A saved drive under another name, too, the rows last; where there is one already, it stays."""
    target.parent.mkdir(exist_ok=True)
    for suffix in (TRACE_SUFFIX, source.suffix):
        with suppress(FileExistsError):
            os.link(source.with_suffix(suffix), target.with_suffix(suffix))
