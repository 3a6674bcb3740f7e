"""A trained planner at run time: ONNX Runtime, numpy, and nothing of torch."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from e2e_planner.onnx_model import Inputs, open_session, read_card, read_file
from e2e_planner.selection import select
from mimic_contracts.action_spec import CAR, CONTRACT_VERSION, action_spec
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig, rig_cameras

CARD_KEYS = ("contract_version", "action_spec", "rig", "rig_cameras", "has_eyes", "recipe", "ego_scales", "model_hash")


class OnnxPolicy:
    """Policy of a run directory or a model.onnx with its card beside it."""

    def __init__(self, path: Path, *, provider: str = "CPUExecutionProvider", threads: int = 1) -> None:
        model_path = path / "model.onnx" if path.is_dir() else path
        card = read_card(model_path.parent / "card.json")
        content = read_file(model_path)
        _check_card(card, model_path, content)
        self.card = card
        self.spec = action_spec(card["action_spec"])
        self.model_id = f"{card['recipe']['name']}-{card['model_hash'][:12]}"
        self._has_eyes = bool(card["has_eyes"])
        self._paths = int(card["recipe"]["network"]["path_modes"])
        self._rig = load_rig(card["rig"])
        if json.loads(json.dumps(rig_cameras(self._rig))) != card["rig_cameras"]:
            raise MimicError(f"{model_path}: was trained for another geometry of rig '{card['rig']}' than its file has now: restore that file, or train again")
        self.rig_name: str | None = self._rig.name if self._has_eyes else None
        cameras = [camera.name for camera in self._rig.cameras] if self._has_eyes else []
        self._inputs = Inputs(cameras, recipe=card["recipe"], ego_scales=card["ego_scales"])
        self._session = open_session(content, provider=provider, threads=threads)
        self._names = [i.name for i in self._session.get_inputs()]
        self.reset()

    def reset(self) -> None:
        """Forget what was seen before, and the plan before, which is held."""
        self._inputs.reset()
        self._previous: Plan | None = None

    def plan(self, observation: Observation) -> Plan:
        """The plan from this observation on; raises ContractError when its pictures are not the rig's."""
        if self._has_eyes:
            observation.check_rig(self._rig)
        feeds = self._inputs.of(observation)
        plans, probabilities, *found = self._session.run(None, {name: feeds[name] for name in self._names})
        for road_users in found:
            self._inputs.note(road_users[0])
        alternatives, shares = plans[0].astype(np.float64), probabilities[0].astype(np.float64)
        shares = shares / shares.sum()
        stamp_ns = observation.stamp_ns
        chosen = select(alternatives, shares, paths=self._paths, stamp_ns=stamp_ns, previous=self._previous) if self.spec is CAR else int(shares.argmax())
        plan = Plan(stamp_ns=stamp_ns, spec=self.spec, values=alternatives[chosen], alternatives=alternatives, probabilities=shares, model_id=self.model_id)
        self._previous = plan
        return plan


def _check_card(card: dict[str, Any], path: Path, content: bytes) -> None:
    """Raise MimicError when the model was made for other contracts, or is not the one that the card describes."""
    missing = [key for key in CARD_KEYS if key not in card]
    if missing:
        raise MimicError(f"{path}: its card lacks {', '.join(missing)}: is it the card of a planner that `mimic train` made?")
    version = card["contract_version"]
    if version != CONTRACT_VERSION:
        raise MimicError(f"{path}: was trained for contract version {version}, this is {CONTRACT_VERSION}: train it again")
    got = hashlib.sha256(content).hexdigest()
    if card["model_hash"] != got:
        raise MimicError(f"{path}: has SHA-256 {got[:12]}…, its card says {str(card['model_hash'])[:12]}…: card and model don't belong together")
