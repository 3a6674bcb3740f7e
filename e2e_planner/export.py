"""A trained network becomes ONNX files that agree with it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from e2e_planner.dataset import Batch
from e2e_planner.network import DeployedNetwork, DeployedPerception, PlannerNetwork, perception_outputs
from mimic_contracts.errors import MimicError

OPSET = 18
MIN_HALVED = 1000  # numbers of a weight that is kept in half precision
TOLERANCE = 1e-4  # of positions in m, speeds in m/s and angles in rad; of more than one of them, of the whole; see the test


def export_onnx(network: PlannerNetwork, example: Batch, path: Path) -> float:
    """Write the planner: inputs picture_CAMERA (1, 6, H, W) uint8, ego, route; outputs plans (1, K, T, C), probabilities (1, K). One that
    remembers takes recalled, too, and gives road_users, both (1, ROAD_USERS, ROAD_USER_VALUES).

    Returns the largest disagreement with the network on the example's frames; raises MimicError above TOLERANCE.
    """
    inputs, outputs = _inputs(network, example), ["plans", "probabilities"]
    if example.recalled is not None:
        inputs, outputs = {**inputs, "recalled": example.recalled}, [*outputs, "road_users"]
    return export_module(DeployedNetwork(network), inputs, outputs, path)


def export_perception(network: PlannerNetwork, example: Batch, path: Path) -> float:
    """Write what the perception heads say, with nothing remembered: inputs as of export_onnx; outputs: see DeployedPerception."""
    return export_module(DeployedPerception(network), _inputs(network, example), list(perception_outputs(network.cameras)), path)


def _inputs(network: PlannerNetwork, example: Batch) -> dict[str, Tensor]:
    pictures = {f"picture_{camera}": picture for camera, picture in zip(network.cameras, example.pictures, strict=True)}
    return {**pictures, "ego": example.ego, "route": example.route}


def export_module(deployed: nn.Module, inputs: Mapping[str, Tensor], outputs: list[str], path: Path) -> float:
    """Write a module as ONNX; inputs: some rows of each, in the order of the module's. Returns the largest disagreement with torch on
    them; raises MimicError above TOLERANCE."""
    deployed = deployed.cpu().eval()
    names = list(inputs)
    rows = [tuple(t[None].contiguous() for t in row) for row in zip(*inputs.values(), strict=True)]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(name).setLevel(logging.ERROR)
        torch.onnx.export(
            deployed, rows[0], path, input_names=names, output_names=outputs, opset_version=OPSET, dynamo=True, external_data=False, verbose=False
        )  # fmt: skip
    _pack(path)
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


def round_weights(network: nn.Module) -> None:
    """Round the weights of convolutions and linear layers to what half precision holds, in place: so that files can keep them as
    such and mean the same."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())


def _pack(path: Path) -> None:
    """Leave out of an ONNX file which line of code each node came from, and keep its large weights in half precision where that
    is the same to the last bit (`round_weights`): a third of the size. They become single precision when the file is opened."""
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
    for weight in list(model.graph.initializer):
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < MIN_HALVED:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if bool((half == values).all()):
            name = f"{weight.name}.half"
            model.graph.node.insert(0, onnx.helper.make_node("Cast", [name], [weight.name], name=f"{weight.name}.single", to=onnx.TensorProto.FLOAT))
            weight.CopyFrom(onnx.numpy_helper.from_array(half, name))
    onnx.save(model, path)
