"""A trained network becomes ONNX files that agree with it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from e2e_planner.dataset import Batch
from e2e_planner.network import DeployedNetwork, DeployedPerception, PlannerNetwork, perception_outputs
from mimic_contracts.errors import MimicError

OPSET = 18
TOLERANCE = 1e-4  # of positions in m, speeds in m/s and angles in rad; of more than one of them, of the whole; see the test


def export_onnx(network: PlannerNetwork, example: Batch, path: Path) -> float:
    """Write the planner: inputs picture_CAMERA (1, 6, H, W) uint8, ego, route; outputs plans (1, K, T, C), probabilities (1, K).

    Returns the largest disagreement with the network on the example's frames; raises MimicError above TOLERANCE.
    """
    return _export(DeployedNetwork(network), network.cameras, ["plans", "probabilities"], example, path)


def export_perception(network: PlannerNetwork, example: Batch, path: Path) -> float:
    """Write what the perception heads say: inputs as of export_onnx; outputs: see DeployedPerception."""
    return _export(DeployedPerception(network), network.cameras, list(perception_outputs(network.cameras)), example, path)


def _export(deployed: nn.Module, cameras: Sequence[str], outputs: list[str], example: Batch, path: Path) -> float:
    deployed = deployed.cpu().eval()
    names = [*(f"picture_{camera}" for camera in cameras), "ego", "route"]
    rows = [tuple(t[i : i + 1].contiguous() for t in (*example.pictures, example.ego, example.route)) for i in range(len(example.ego))]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(name).setLevel(logging.ERROR)
        torch.onnx.export(
            deployed, rows[0], path, input_names=names, output_names=outputs, opset_version=OPSET, dynamo=True, external_data=False, verbose=False
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for row in rows:
        with torch.no_grad():
            expected = deployed(*row)
        feeds = dict(zip(names, (t.numpy() for t in row), strict=True))
        got = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})
        worst = max(worst, *(float((np.abs(e.numpy() - g) / np.maximum(np.abs(g), 1.0)).max()) for e, g in zip(expected, got, strict=True)))
    if not worst <= TOLERANCE:
        raise MimicError(f"{path}: ONNX Runtime differs from torch by {worst:.2e}, must be at most {TOLERANCE}")
    return worst
