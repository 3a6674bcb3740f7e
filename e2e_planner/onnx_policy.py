"""A trained planner at run time: ONNX Runtime, numpy, and nothing of torch."""

import hashlib
import json
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from e2e_planner.selection import select
from mimic_contracts.action_spec import CAR, CONTRACT_VERSION, action_spec
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import ROUTE_COMMANDS, Observation
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig, rig_cameras

CARD_KEYS = ("contract_version", "action_spec", "rig", "rig_cameras", "has_eyes", "recipe", "ego_scales", "model_hash")
HISTORY_TOLERANCE_S = 0.06  # as in training (e2e_planner.dataset)


class OnnxPolicy:
    """Policy of a run directory or a model.onnx with its card beside it."""

    def __init__(self, path: Path, *, provider: str = "CPUExecutionProvider") -> None:
        model_path = path / "model.onnx" if path.is_dir() else path
        card = _read_card(model_path.parent / "card.json")
        content = _read(model_path)
        _check_card(card, model_path, content)
        self.card = card
        self.spec = action_spec(card["action_spec"])
        self.model_id = f"{card['recipe']['name']}-{card['model_hash'][:12]}"
        self._has_eyes = bool(card["has_eyes"])
        self._rig = load_rig(card["rig"])
        if json.loads(json.dumps(rig_cameras(self._rig))) != card["rig_cameras"]:
            raise MimicError(f"{model_path}: was trained for another geometry of rig '{card['rig']}' than its file has now: restore that file, or train again")
        self.rig_name: str | None = self._rig.name if self._has_eyes else None
        self._history_ns = round(card["recipe"]["history_s"] * 1e9)
        self._ego_scales = {name: float(card["ego_scales"][name]) for name in card["recipe"]["ego_inputs"]}
        if provider not in onnxruntime.get_available_providers():
            raise MimicError(f"execution provider '{provider}' is not available, this ONNX Runtime has {', '.join(onnxruntime.get_available_providers())}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=[provider])
        self._inputs = [i.name for i in self._session.get_inputs()]
        self.reset()

    def reset(self) -> None:
        """Forget earlier pictures and the plan before, which is held."""
        self._seen: deque[Observation] = deque()
        self._previous: Plan | None = None

    def plan(self, observation: Observation) -> Plan:
        """The plan from this observation on; raises ContractError when its pictures are not the rig's."""
        if self._has_eyes:
            observation.check_rig(self._rig)
        feeds = self._feeds(observation)
        plans, probabilities = self._session.run(None, {name: feeds[name] for name in self._inputs})
        alternatives, shares = plans[0].astype(np.float64), probabilities[0].astype(np.float64)
        shares = shares / shares.sum()
        stamp_ns = observation.stamp_ns
        chosen = select(alternatives, shares, stamp_ns=stamp_ns, previous=self._previous) if self.spec is CAR else int(shares.argmax())
        plan = Plan(stamp_ns=stamp_ns, spec=self.spec, values=alternatives[chosen], alternatives=alternatives, probabilities=shares, model_id=self.model_id)
        self._previous = plan
        return plan

    def _feeds(self, observation: Observation) -> dict[str, NDArray[Any]]:
        earlier = self._earlier(observation)
        feeds: dict[str, NDArray[Any]] = {}
        if self._has_eyes:
            for camera in self._rig.cameras:
                pair = [o.frames[camera.name].image for o in (observation, earlier)]
                feeds[f"picture_{camera.name}"] = np.ascontiguousarray(np.concatenate(pair, axis=2).transpose(2, 0, 1))[None]
        values = [getattr(observation.ego, name) for name in self._ego_scales]
        scaled = [0.0 if v is None else v / scale for v, scale in zip(values, self._ego_scales.values(), strict=True)]
        feeds["ego"] = np.array([scaled + [float(v is not None) for v in values]], np.float32)
        feeds["command"] = np.array([[float(observation.route.command == name) for name in ROUTE_COMMANDS]], np.float32)
        return feeds

    def _earlier(self, observation: Observation) -> Observation:
        """The observation nearest to history_s ago, within the tolerance; else this one again, as in training."""
        if self._seen and observation.stamp_ns <= self._seen[-1].stamp_ns:
            self._seen.clear()  # the clock was set back: what was seen before has no place on the new time line
        self._seen.append(observation)
        wanted_ns = observation.stamp_ns - self._history_ns
        while len(self._seen) > 1 and abs(self._seen[1].stamp_ns - wanted_ns) <= abs(self._seen[0].stamp_ns - wanted_ns):
            self._seen.popleft()
        nearest = self._seen[0]
        return nearest if abs(nearest.stamp_ns - wanted_ns) <= HISTORY_TOLERANCE_S * 1e9 else observation


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        mend = ": is the training finished? `mimic train … --resume` finishes it" if path.name == "card.json" else ""
        raise MimicError(f"{path}: cannot be read ({error.strerror}){mend}") from error


def _read_card(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_read(path)))
    except ValueError as error:
        raise MimicError(f"{path}: is damaged: {error}") from error


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
