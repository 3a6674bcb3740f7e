"""A trained network becomes ONNX files that agree with it, and from which it can be taken again."""

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from google.protobuf.message import DecodeError
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, LiftConstantsToInitializersPass
from onnxscript.optimizer import fold_constants, inline, remove_unused_nodes
from torch import Tensor, nn

from e2e_planner.dataset import Batch
from e2e_planner.network import DeployedNetwork, DeployedPerception, PlannerNetwork, perception_outputs
from mimic_contracts.errors import MimicError

OPSET = 18
WEIGHT, PACKED = "network.", ".packed"  # before a weight's name in the network, and behind that of a constant that is kept smaller
MIN_PACKED = 1000  # numbers of a constant that is kept in
SMALLER = {np.float32: np.float16, np.int64: np.uint16}  # types, where they hold the same
LARGER = {smaller: larger for larger, smaller in SMALLER.items()}
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
        program = torch.onnx.export(deployed, rows[0], input_names=names, output_names=outputs, opset_version=OPSET, dynamo=True, verbose=False, optimize=False)
        assert program is not None
        _simplify(program.model)
        program.save(path, external_data=False)
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


def exported_weights(path: Path) -> dict[str, Tensor]:
    """The weights of the network that was exported, by name, as far as its outputs depend on them; raises MimicError when there are none."""
    try:
        constants = onnx.load(path).graph.initializer
    except (OSError, DecodeError) as error:
        raise MimicError(f"{path}: cannot be read: {error}") from error
    named = {constant.name.removesuffix(PACKED): constant for constant in constants}
    weights = {name.removeprefix(WEIGHT): onnx.numpy_helper.to_array(constant) for name, constant in named.items() if name.startswith(WEIGHT)}
    if not weights:
        raise MimicError(f"{path}: holds no weights of a planner: give a run, or a model that `mimic train` has exported")
    return {name: torch.from_numpy(values.astype(LARGER.get(values.dtype.type, values.dtype))) for name, values in weights.items()}


def round_weights(network: nn.Module) -> None:
    """Round the weights of convolutions and linear layers to what half precision holds, in place: so that files can keep them as
    such and mean the same."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())


def _simplify(model: onnx_ir.Model) -> None:
    """Compute what does not depend on the inputs, as torch's exporter would, but leave all weights as they are and two that are the same
    apart, so that `exported_weights` finds them."""
    weights = set(model.graph.initializers)
    inline(model)
    fold_constants(model, onnx_shape_inference=True, should_fold=lambda node: False if any(i is not None and i.name in weights for i in node.inputs) else None)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    CommonSubexpressionEliminationPass()(model)
    remove_unused_nodes(model)


def _pack(path: Path) -> None:
    """Leave out of an ONNX file what its nodes are called, which line of code each came from and what shapes they have, and keep its
    large constants in half precision, or as short integers, where that is the same to the last bit (`round_weights`): a third of the
    size. They become what they were when the file is opened."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.name = ""
        del node.metadata_props[:]
    del model.graph.value_info[:]
    for constant in list(model.graph.initializer):
        values = onnx.numpy_helper.to_array(constant)
        smaller = SMALLER.get(values.dtype.type)
        if smaller is None or values.size < MIN_PACKED:
            continue
        with np.errstate(over="ignore"):
            packed = values.astype(smaller)
        if bool((packed == values).all()):
            name = constant.name + PACKED
            model.graph.node.insert(0, onnx.helper.make_node("Cast", [name], [constant.name], to=constant.data_type))
            constant.CopyFrom(onnx.numpy_helper.from_array(packed, name))
    onnx.save(model, path)
