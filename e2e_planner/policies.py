"""From the POLICY of a command line to a planner."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from e2e_planner.baselines import ConstantVelocity, HoldLast
from e2e_planner.rule_based import ErraticPursuit, RoutePursuit, RuleBasedOracle
from mimic_contracts.config import models_dir
from mimic_contracts.errors import MimicError
from mimic_contracts.policy import Policy

PERCEIVED = "rule_based_perceived"
ITS_MODEL = "tiny"  # of models/, with whose perception it sees, unless it is told another run


def is_perceived(text: str) -> bool:
    """Whether a text names the rule-based planner that sees: PERCEIVED, or PERCEIVED:RUN."""
    return text.partition(":")[0] == PERCEIVED


def perceived_run(text: str) -> Path:
    """The run directory that such a text means."""
    return Path(text.partition(":")[2] or models_dir() / ITS_MODEL)


def _load_perceived(text: str = PERCEIVED, *, provider: str = "CPUExecutionProvider", threads: int = 1) -> Policy:
    run = perceived_run(text)
    if not (run / "perception").is_dir():
        raise MimicError(f"{PERCEIVED}: {run} has no perception/: train one with `mimic train town …`, or name it: {PERCEIVED}:RUN")
    from e2e_planner.rule_perceived import RuleBasedPerceived  # a user's own planner needs no ONNX Runtime

    return RuleBasedPerceived(run, provider=provider, threads=threads)


BUILT_IN: dict[str, Callable[[], Policy]] = {
    "constant_velocity": ConstantVelocity,
    "hold_last": HoldLast,
    "route_pursuit": RoutePursuit,
    "erratic_pursuit": ErraticPursuit,
    "rule_based_oracle": RuleBasedOracle,
    PERCEIVED: _load_perceived,
}
FORMS = f"a run directory, an .onnx file with its card, module:Class, {PERCEIVED}:RUN, or one of {', '.join(BUILT_IN)}"


def load_policy(text: str, *, provider: str = "CPUExecutionProvider", threads: int = 1) -> Policy:
    """The planner that `text` names: FORMS; provider and threads: of ONNX Runtime. Raises MimicError with what is allowed."""
    if is_perceived(text):
        return _load_perceived(text, provider=provider, threads=threads)
    if text in BUILT_IN:
        return BUILT_IN[text]()
    path = Path(text)
    if path.is_dir() or path.suffix == ".onnx":
        from e2e_planner.onnx_policy import OnnxPolicy

        return OnnxPolicy(path, provider=provider, threads=threads)
    if ":" in text:
        return _load_class(text)
    raise MimicError(f"policy: '{text}' is not {FORMS}")


def _load_class(text: str) -> Policy:
    module_name, _, class_name = text.partition(":")
    try:
        policy = getattr(import_module(module_name), class_name)()
    except ImportError as error:
        raise MimicError(f"policy: module '{module_name}' cannot be imported: {error}") from error
    except AttributeError as error:
        raise MimicError(f"policy: module '{module_name}' has no class '{class_name}'") from error
    except TypeError as error:
        raise MimicError(f"policy: '{text}' cannot be made without arguments: {error}") from error
    except Exception as error:  # a user's policy may raise anything
        raise MimicError(f"policy: '{text}' cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(policy, Policy):
        raise MimicError(f"policy: '{text}' lacks some of spec, rig_name, reset() and plan(observation)")
    return policy
