"""A trained planner at run time: ONNX Runtime, numpy, and nothing of torch."""

import hashlib
import json
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mimic_contracts.action_spec import CAR, CONTRACT_VERSION, action_spec
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import ROUTE_COMMANDS, Observation
from mimic_contracts.plan import Plan
from mimic_contracts.rig import load_rig

Array = NDArray[np.float64]
SAME_GROUP_M = 0.7  # plans nearer to each other than this (mean over the horizon) are one decision
RIVAL_RATIO = 2.0  # a rival group takes over only with more than this times the probability of the held one
HISTORY_TOLERANCE_S = 0.06


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
        self.rig_name: str | None = card["rig"] if self._has_eyes else None
        self._rig = load_rig(card["rig"])
        self._history_ns = round(card["recipe"]["history_s"] * 1e9)
        self._ego_scales = {name: float(card["ego_scales"][name]) for name in card["recipe"]["ego_inputs"]}
        if provider not in onnxruntime.get_available_providers():
            raise MimicError(f"execution provider '{provider}' is not available, this ONNX Runtime has {', '.join(onnxruntime.get_available_providers())}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        self._session = onnxruntime.InferenceSession(content, options, providers=[provider])
        self._inputs = [i.name for i in self._session.get_inputs()]
        self.reset()

    def reset(self) -> None:
        """Forget earlier pictures and the plan that is held."""
        self._seen: deque[Observation] = deque()
        self._held: Array | None = None

    def plan(self, observation: Observation) -> Plan:
        """The plan from this observation on; raises ContractError when its pictures are not the rig's."""
        if self._has_eyes:
            observation.check_rig(self._rig)
        feeds = self._feeds(observation)
        plans, probabilities = self._session.run(None, {name: feeds[name] for name in self._inputs})
        alternatives, shares = plans[0].astype(np.float64), probabilities[0].astype(np.float64)
        shares = shares / shares.sum()
        chosen = self._choose(alternatives, shares)
        return Plan(
            stamp_ns=observation.stamp_ns, spec=self.spec, values=alternatives[chosen], alternatives=alternatives, probabilities=shares, model_id=self.model_id
        )

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

    def _choose(self, alternatives: Array, shares: Array) -> int:
        """Index of the plan that drives: the most probable of the group that is held, unless a rival group clearly wins.

        A group is what lies within SAME_GROUP_M of its most probable plan; the held group, of the plan driven before.
        """
        best = int(shares.argmax())
        if self.spec is not CAR:
            return best
        xy = alternatives[:, :, [CAR.index("x_m"), CAR.index("y_m")]]
        distance = np.hypot(*(xy[:, None] - xy[None]).transpose(3, 0, 1, 2)).mean(axis=2)
        rival_share = shares[distance[best] <= SAME_GROUP_M].sum()
        if self._held is not None:
            to_held = np.hypot(*(xy - self._held).transpose(2, 0, 1)).mean(axis=1)
            is_held = to_held <= SAME_GROUP_M
            if is_held.any() and not is_held[best] and rival_share <= RIVAL_RATIO * shares[is_held].sum():
                best = int(np.where(is_held, shares, -1.0).argmax())
        self._held = xy[best]
        return best


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MimicError(f"{path}: cannot be read: {error.strerror}") from error


def _read_card(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_read(path)))
    except ValueError as error:
        raise MimicError(f"{path}: is damaged: {error}") from error


def _check_card(card: dict[str, Any], path: Path, content: bytes) -> None:
    """Raise MimicError when the model was made for other contracts, or is not the one that the card describes."""
    version = card.get("contract_version")
    if version != CONTRACT_VERSION:
        raise MimicError(f"{path}: was trained for contract version {version}, this is {CONTRACT_VERSION}: train it again")
    got = hashlib.sha256(content).hexdigest()
    if card.get("model_hash") != got:
        raise MimicError(f"{path}: has SHA-256 {got[:12]}…, its card says {str(card.get('model_hash'))[:12]}…: card and model don't belong together")
