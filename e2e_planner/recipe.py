"""What a training run is made of: one YAML file, validated before anything is computed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.action_spec import ActionSpec, action_spec
from mimic_contracts.config import build, load_yaml, resolve_config
from mimic_contracts.errors import ContractError
from mimic_contracts.observation import ROUTE_COMMANDS, ROUTE_POINTS
from mimic_contracts.rig import Rig, load_rig
from mimic_contracts.validation import check_choice, check_integer, check_number

ROUTE_SCALE_M = 50.0
# What the network may be told of the vehicle, over its typical size.
EGO_SCALES = {"speed_mps": 10.0, "yaw_rate_radps": 0.3, "acceleration_mps2": 2.0, "standing_s": 3.0, "since_stop_m": 10.0}


@dataclass(frozen=True, kw_only=True)
class Network:
    """Sizes. widths: channels of the encoder's stages; correlation_cells: how far motion between the two pictures is
    looked for, in pixels of its second stage, 0: they are only stacked; motion_alone: it sees nothing else; tokens: channels of the places that a planner with
    perception heads looks at, 0: without such heads. Modes apply to the action spec `car`; residuals false: a plan is one of the
    typical paths with one of the typical speeds as they are, so that all is decided by classes."""

    widths: tuple[int, ...] = (16, 24, 48, 96, 128)
    blocks: int = 1
    correlation_cells: int = 0
    motion_alone: bool = False
    tokens: int = 0
    width: int = 128
    layers: int = 2
    path_modes: int = 6
    speed_modes: int = 8
    residuals: bool = True
    dropout: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        for i, width in enumerate(self.widths):
            check_integer(f"widths[{i}]", width, low=4, high=1024)
        for name, high in (("blocks", 8), ("width", 1024), ("layers", 8), ("path_modes", 64), ("speed_modes", 64)):
            check_integer(name, getattr(self, name), low=1, high=high)
        check_integer("correlation_cells", self.correlation_cells, low=0, high=32)
        if self.correlation_cells and len(self.widths) < 2:
            raise ContractError(f"correlation_cells: is {self.correlation_cells}, but widths has one stage and it compares after the second; give two or set 0")
        if self.motion_alone and not self.correlation_cells:
            raise ContractError("motion_alone: is true, but correlation_cells is 0, so that no motion is looked for; set false, or give cells")
        check_integer("tokens", self.tokens, low=0, high=1024)
        if self.tokens and len(self.widths) != 5:
            raise ContractError(f"tokens: are {self.tokens}, perception heads need five stages, widths has {len(self.widths)}; give five or set 0")
        if self.width % 4:
            raise ContractError(f"width: is {self.width}, must be a multiple of 4")
        check_number("dropout", self.dropout, low=0.0, high=0.9)
        for name in ("residuals", "motion_alone"):
            if not isinstance(getattr(self, name), bool):
                raise ContractError(f"{name}: is {getattr(self, name)!r}, must be true or false")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Applied in training only. yaw_rad, lateral_m: largest turn and shift of the camera, or, for a network that decides by what
    is remembered of pictures, of the ground seen from above, in `perturbed_share` of the samples, with the target relabelled to
    return over return_s (at least return_m; without a speed, as in `steering_only`, over return_m). speed_mps: standard deviation
    of a slow car's speed, in `speed_share` of the samples of such a network, with the target relabelled to come back to the
    driver's speed."""

    brightness: float = 0.25
    contrast: float = 0.25
    colour: float = 0.1
    blur_px: float = 1.0
    noise: float = 4.0
    mirror: bool = False
    perturbed_share: float = 0.5
    yaw_rad: float = 0.0
    lateral_m: float = 0.0
    return_s: float = 2.0
    return_m: float = 10.0
    speed_share: float = 0.0
    speed_mps: float = 0.5

    def __post_init__(self) -> None:
        limits = {"brightness": 1.0, "contrast": 1.0, "colour": 1.0, "blur_px": 5.0, "noise": 64.0, "perturbed_share": 1.0, "speed_share": 1.0}
        limits |= {"yaw_rad": 0.3, "lateral_m": 2.0, "return_s": 10.0, "return_m": 100.0, "speed_mps": 5.0}
        for name, high in limits.items():
            check_number(name, getattr(self, name), low=0.0, high=high)
        if not isinstance(self.mirror, bool):
            raise ContractError(f"mirror: is {self.mirror!r}, must be true or false")


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Terms of the score that training minimises (LEARNING, 'five terms first'); situation: the questions that a network
    with perception heads answers beside planning."""

    trajectory: float = 1.0
    mode: float = 0.2
    speed: float = 0.3
    control: float = 0.2
    situation: float = 0.3

    def __post_init__(self) -> None:
        for f in fields(self):
            check_number(f.name, getattr(self, f.name), low=0.0, high=100.0)


@dataclass(frozen=True, kw_only=True)
class Perception:
    """The stage before imitation, in which the encoder learns from labels; without `steps` there is none.

    driving: how much planning as the driver did counts beside the labels, so that what planning needs is seen, too;
    gate: imitation begins only when at least this share of the lights, and of the stop lines to 10 % or 1.5 m, within GATE_M
    are right on val; 0: in any case.
    """

    steps: int = 0
    batch_size: int = 32
    learning_rate: float = 2e-3
    driving: float = 0.5
    gate: float = 0.0

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, low=0, high=10**7)
        check_integer("batch_size", self.batch_size, low=1, high=4096)
        check_number("learning_rate", self.learning_rate, low=1e-7, high=1.0)
        check_number("driving", self.driving, low=0.0, high=100.0)
        check_number("gate", self.gate, low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class Dagger:
    """Rounds after imitation (Ross et al. 2011): what was learned drives a suite's routes, in blocks of which a share
    expert_share the expert drives instead; the expert's plans from wherever that leads are learned from, too, for `steps`.
    Round k takes the routes of seed `seed + k`."""

    rounds: int = 0
    suite: str = "dagger"
    seed: int = 100
    expert_share: float = 0.3
    steps: int = 2000

    def __post_init__(self) -> None:
        check_integer("rounds", self.rounds, low=0, high=100)
        check_integer("seed", self.seed, low=0, high=2**30)
        check_number("expert_share", self.expert_share, low=0.0, high=1.0)
        check_integer("steps", self.steps, low=1, high=10**7)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run. steps decide how long it takes; the same recipe, seed, data and thread count give the same weights.

    ego_inputs: which of the vehicle's own signals the network is told (nothing that gives the label away), each left
    out in a share `ego_dropout` of the samples; has_route_points: it is told the road-level points ahead, too, but in a share
    `route_dropout` of the samples; label_shift_s: the target is taken this much after the picture;
    recall_s: how long ago the road users were seen that a network with perception heads remembers, 0: it remembers none;
    focus: how much more often frames are drawn in which the action changes; threads: of the mathematics (another one
    prepares the batches); processes: that share each batch, on a processor of several cores; precision: `auto` is `bf16-mixed`
    where what trains has instructions for it, which halves the time, else `32-true`, which is several times as fast as bfloat16
    without them; twin: also train the network without eyes; begun_stays: what the network has from the run that imitation begins with stays as it
    is, and only what that run did not know is learned.
    """

    name: str
    action_spec: str
    rig: str
    steps: int
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    ema_decay: float = 0.995
    seed: int = 0
    threads: int = 1
    processes: int = 1
    precision: str = "32-true"
    history_s: float = 0.2
    recall_s: float = 0.0
    ego_inputs: tuple[str, ...] = ()
    ego_dropout: float = 0.5
    has_route_points: bool = False
    route_dropout: float = 0.1
    label_shift_s: float = 0.0
    focus: float = 2.0
    val_every: int = 250
    checkpoint_every: int = 250
    twin: bool = True
    begun_stays: bool = False
    network: Network = field(default_factory=Network)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: LossWeights = field(default_factory=LossWeights)
    perception: Perception = field(default_factory=Perception)
    dagger: Dagger = field(default_factory=Dagger)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ego_inputs", tuple(self.ego_inputs))
        self.spec()
        for name, high in (("steps", 10**7), ("batch_size", 4096), ("threads", 256), ("processes", 64), ("val_every", 10**7), ("checkpoint_every", 10**7)):
            check_integer(name, getattr(self, name), low=1, high=high)
        smallest = min(self.batch_size, self.perception.batch_size if self.perception.steps else self.batch_size)
        if self.processes > smallest:
            raise ContractError(f"processes: are {self.processes}, but a batch has {smallest} samples to share; give fewer, or a larger batch_size")
        check_integer("seed", self.seed, low=0, high=2**31)
        check_number("learning_rate", self.learning_rate, low=1e-7, high=1.0)
        check_number("weight_decay", self.weight_decay, low=0.0, high=1.0)
        check_number("ema_decay", self.ema_decay, low=0.0, high=0.99999)
        check_choice("precision", self.precision, ("auto", "32-true", "bf16-mixed"))
        check_number("history_s", self.history_s, low=0.0, high=2.0)
        check_number("recall_s", self.recall_s, low=0.0, high=5.0)
        if self.recall_s and not self.network.tokens:
            raise ContractError(f"recall_s: is {self.recall_s}, but without network.tokens it sees no road users to remember; set 0, or give tokens")
        check_number("ego_dropout", self.ego_dropout, low=0.0, high=1.0)
        check_number("route_dropout", self.route_dropout, low=0.0, high=1.0)
        if bool(self.perception.steps) != bool(self.network.tokens):
            raise ContractError(f"perception.steps, network.tokens: are {self.perception.steps} and {self.network.tokens}; give both, or none")
        check_number("label_shift_s", self.label_shift_s, low=-2.0, high=2.0)
        check_number("focus", self.focus, low=0.0, high=10.0)
        for name in self.ego_inputs:
            check_choice("ego_inputs", name, tuple(EGO_SCALES))

    def spec(self) -> ActionSpec:
        """The action spec that this recipe trains."""
        return action_spec(self.action_spec)

    def load_rig(self) -> Rig:
        """The rig that this recipe trains on."""
        rig = load_rig(self.rig)
        if self.augmentation.mirror and len(rig.cameras) > 1:
            raise ContractError(f"augmentation.mirror: rig '{rig.name}' has {len(rig.cameras)} cameras; only one that looks ahead can be mirrored: set false")
        return rig

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in the YAML file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "Recipe":
        """From plain values; raises ContractError naming the key."""
        sections: dict[str, type] = {"network": Network, "augmentation": Augmentation, "loss": LossWeights, "perception": Perception, "dagger": Dagger}
        built: dict[str, Any] = {name: build(section, values[name], f"{where}: {name}") for name, section in sections.items() if name in values}
        return build(cls, {**values, **built}, where)

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Recipe":
        """Read config/recipes/NAME.yaml or a path to such a file; raises MimicError or ContractError naming the key.

        A file with `base` names another recipe, of which it changes the keys that it has.
        """
        path = resolve_config("recipes", name_or_path)
        content = load_yaml(path)
        if "base" in content:
            base = cls.load(str(content.pop("base"))).as_dict()
            content = {key: {**base[key], **value} if isinstance(value, Mapping) and key in base else value for key, value in content.items()}
            content = {**base, **content}
        return cls.from_dict(content, str(path))


def route_inputs(has_points: bool) -> int:
    """How many numbers tell the route: one for each command, and of each point x, y and whether it is known."""
    return len(ROUTE_COMMANDS) + (3 * ROUTE_POINTS if has_points else 0)


def route_values(command: str, points_m: NDArray[np.float64], *, has_points: bool) -> NDArray[np.float64]:
    """(route_inputs,) what the network is told of the route: points_m (N, 2), the nearest first, NaN or absent: unknown."""
    values = [float(command == name) for name in ROUTE_COMMANDS]
    if not has_points:
        return np.array(values)
    points = np.full((ROUTE_POINTS, 2), np.nan)
    points[: len(points_m)] = points_m[:ROUTE_POINTS] / ROUTE_SCALE_M
    known = np.isfinite(points).all(axis=1)
    return np.concatenate([values, np.where(known[:, None], points, 0.0).ravel(), known])
