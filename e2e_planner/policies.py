"""From the POLICY of a command line to a planner."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from e2e_planner.baselines import ConstantVelocity, HoldLast
from e2e_planner.rule_based import RoutePursuit, RuleBasedOracle, RuleBasedPerceived
from mimic_contracts.errors import MimicError
from mimic_contracts.policy import Policy

BUILT_IN: dict[str, Callable[[], Policy]] = {
    "constant_velocity": ConstantVelocity,
    "hold_last": HoldLast,
    "route_pursuit": RoutePursuit,
    "rule_based_oracle": RuleBasedOracle,
    "rule_based_perceived": RuleBasedPerceived,
}
FORMS = f"a run directory, an .onnx file with its card, module:Class, or one of {', '.join(BUILT_IN)}"


def load_policy(text: str, *, provider: str = "CPUExecutionProvider") -> Policy:
    """The planner that `text` names: FORMS. Raises MimicError with what is allowed."""
    if text in BUILT_IN:
        return BUILT_IN[text]()
    path = Path(text)
    if path.is_dir() or path.suffix == ".onnx":
        from e2e_planner.onnx_policy import OnnxPolicy  # a user's own planner needs no ONNX Runtime

        return OnnxPolicy(path, provider=provider)
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
