"""A trained network becomes an ONNX file that agrees with it."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from e2e_planner.dataset import Batch
from e2e_planner.network import DeployedNetwork, PlannerNetwork
from mimic_contracts.errors import MimicError

OPSET = 18
TOLERANCE = 1e-4  # of positions in m, speeds in m/s and angles in rad; see the test


def export_onnx(network: PlannerNetwork, example: Batch, path: Path) -> float:
    """Write an ONNX file: inputs picture_CAMERA (1, 6, H, W) uint8, ego, command; outputs plans (1, K, T, C), probabilities (1, K).

    Returns the largest disagreement with the network on the example's frames; raises MimicError above TOLERANCE.
    """
    deployed = DeployedNetwork(network).cpu().eval()
    names = [f"picture_{camera}" for camera in network.cameras]
    rows = [tuple(t[i : i + 1].contiguous() for t in (*example.pictures, example.ego, example.command)) for i in range(len(example.ego))]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(name).setLevel(logging.ERROR)
        torch.onnx.export(
            deployed, rows[0], path, input_names=[*names, "ego", "command"], output_names=["plans", "probabilities"], opset_version=OPSET, dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for row in rows:
        with torch.no_grad():
            expected = deployed(*row)
        feeds = dict(zip([*names, "ego", "command"], (t.numpy() for t in row), strict=True))
        got = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})
        worst = max(worst, *(float(np.abs(e.numpy() - g).max()) for e, g in zip(expected, got, strict=True)))
    if not worst <= TOLERANCE:
        raise MimicError(f"{path}: ONNX Runtime differs from torch by {worst:.2e}, must be at most {TOLERANCE}")
    return worst
