"""Training of one network on one task, from where it was left.

Every step's batch depends on the seed and the step's number alone, so a run that is interrupted and resumed gives the
same weights as one that was not.
"""

import ctypes
import json
import math
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import lightning_fabric
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from e2e_planner.checkpoint import STATE_FILE, load_tensors, optimizer_tensors, pack, restore_optimizer, save_tensors, unpack
from e2e_planner.network import PlannerNetwork
from e2e_planner.recipe import Recipe
from e2e_planner.team import Team, gathered
from mimic_contracts.errors import MimicError

WARMUP_SHARE = 0.05
MAX_GRADIENT_NORM = 1.0
BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of x86-64 and ARM64 processors
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h

Report = Callable[[int, int, Mapping[str, float]], None]  # step, of how many, figures
Data = TypeVar("Data")
Move = Callable[[Any], Any]  # to the device that trains


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast: see Recipe."""

    steps: int
    learning_rate: float
    weight_decay: float
    ema_decay: float
    seed: int
    threads: int
    processes: int
    precision: str
    val_every: int
    checkpoint_every: int

    @classmethod
    def of(cls, recipe: Recipe) -> "Schedule":
        """That of imitation."""
        return cls(**{name: getattr(recipe, name) for name in cls.__dataclass_fields__})


class Task(Protocol[Data]):
    """What is learned. network: whose parameters that need gradients are trained; data_hash: of what it is learned from."""

    network: PlannerNetwork
    data_hash: str

    def batch(self, step: int, team: Team) -> Data:
        """This process's part of the samples of a step, which its number decides."""
        ...

    def loss(self, module: Any, batch: Data, move: Move) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of the network, wrapped for its device as `module`, and its terms by name."""
        ...

    def validate(self) -> float:
        """How far the network is from right on val, the lower the better."""
        ...


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training: the averaged weights of the best moment on val, how good that was, and in which precision they were computed."""

    network: PlannerNetwork
    val_score: float
    val_step: int
    precision: str


class Steps(Dataset[Data]):
    """The batches of a task, by the number of the step."""

    def __init__(self, task: Task[Data], team: Team) -> None:
        self._task, self._team = task, team

    def __getitem__(self, step: int) -> Data:
        return self._task.batch(step, self._team)


def prepare_torch(*, threads: int, seed: int) -> None:
    """The same numbers every time, from as many threads as are asked for, and without asking the kernel for each step's memory anew."""
    _keep_freed_memory()
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without, a GPU's sums come in any order
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs 7 % of the time here
    torch.manual_seed(seed)


def _keep_freed_memory() -> None:
    """For this process: large tensors would else be mapped, page by page, at each step: a sixth to a third of the time on a CPU."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)  # never


def training_device() -> torch.device:
    """The GPU, where there is one."""
    return lightning_fabric.Fabric(accelerator="auto", devices=1).device


def suited_precision(precision: str, device: torch.device) -> str:
    """What `auto` means on a device: `bf16-mixed` where it has instructions for bfloat16, else `32-true`. Others mean themselves."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        knows = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        can = torch.cpu.get_capabilities() if device.type == "cpu" else {}
        knows = any(can.get(name) for name in BFLOAT16_INSTRUCTIONS)
    return "bf16-mixed" if knows else "32-true"


class Trainer:
    """Trains a task's network in a directory. recipe: all that it depends on, which a resume is compared with.

    Not channels_last, though it is a sixth faster: torch 2.13's oneDNN writes beyond its buffers there with few channels
    (8 crash, AVX-512).
    """

    def __init__(self, task: Task[Any], schedule: Schedule, directory: Path, *, recipe: Mapping[str, Any]) -> None:
        self.task, self.schedule, self.directory, self.network = task, schedule, directory, task.network
        self._recipe = json.loads(json.dumps(recipe))
        prepare_torch(threads=schedule.threads, seed=schedule.seed)
        wanted = [p for p in self.network.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(wanted, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
        self._precision = suited_precision(schedule.precision, training_device())
        self._fabric = lightning_fabric.Fabric(accelerator="auto", devices=1, precision=self._precision)  # type: ignore[arg-type]
        self._module, self._fitted_optimizer = self._fabric.setup(self.network, self._optimizer)
        self._average = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self._best = {name: tensor.clone() for name, tensor in self._average.items()}
        self._best_score, self._best_step, self.step = math.inf, 0, 0
        if (directory / STATE_FILE).exists():
            self._load()

    def run(self, report: Report) -> Trained:
        """Train to the last step; report is told of each. Raises MimicError when the loss is not finite."""
        schedule = self.schedule
        with gathered(schedule.processes if self._fabric.device.type == "cpu" else 1, self._help) as team:
            for figures in self._steps(team):
                is_validated = self.step % schedule.val_every == 0 or self.step == schedule.steps
                report(self.step, schedule.steps, figures | self._validate() if is_validated else figures)
                if self.step % schedule.checkpoint_every == 0 or self.step == schedule.steps:
                    self._save()
        self.network.load_state_dict(self._best)
        self.network.eval()
        return Trained(self.network, self._best_score, self._best_step, self._precision)

    def _help(self, team: Team) -> None:
        """What the other processes of a team do: the same steps, with their parts of the batches."""
        for _ in self._steps(team):
            pass

    def _steps(self, team: Team) -> Iterator[dict[str, float]]:
        """Learn step after step, and tell the figures of each."""
        for batch in self._batches(team):
            figures = self._learn(batch, team)
            self.step += 1
            yield figures

    def _batches(self, team: Team) -> Iterator[Any]:
        """Those of the steps to come: another thread prepares the next one; for a GPU, which is faster than any thread, all processors do."""
        steps = range(self.step, self.schedule.steps)
        if self._fabric.device.type != "cpu":
            torch.multiprocessing.set_sharing_strategy("file_system")  # a batch has more tensors than a process may have files
            loader = DataLoader(Steps(self.task, team), batch_size=None, sampler=steps, num_workers=os.cpu_count() or 1, multiprocessing_context="fork")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Lance, which no copy uses, does not like to be copied
                batches = iter(loader)
            yield from batches
            return
        with ThreadPoolExecutor(1) as pool:
            upcoming = pool.submit(self.task.batch, self.step, team)
            for step in steps:
                batch = upcoming.result()
                upcoming = pool.submit(self.task.batch, min(step + 1, steps[-1]), team)
                yield batch

    def _learn(self, batch: Any, team: Team) -> dict[str, float]:
        schedule = self.schedule
        torch.manual_seed((team.rank << 56) + (schedule.seed << 24) + self.step)  # dropout, too, depends on the step alone
        for group in self._optimizer.param_groups:
            group["lr"] = schedule.learning_rate * share_of_rate(self.step, schedule.steps)
        self.network.train()
        with self._fabric.autocast():  # of `perceive` and `decide`, too, which are not the module's forward
            loss, terms = self.task.loss(self._module, batch, self._move)
        values = torch.stack((loss, *terms.values())).tolist()  # at once: a GPU is waited for
        figures = dict(zip(("loss", *(f"loss_{name}" for name in terms)), values, strict=True))
        if not math.isfinite(figures["loss"]):
            raise MimicError(f"training: the loss is {figures['loss']} at step {self.step}; lower learning_rate in the recipe")
        self._fitted_optimizer.zero_grad()
        self._fabric.backward(loss)
        team.average_gradients(self.network.parameters())
        self._fabric.clip_gradients(self._module, self._fitted_optimizer, max_norm=MAX_GRADIENT_NORM, error_if_nonfinite=False)
        self._fitted_optimizer.step()
        decay = min(schedule.ema_decay, (1.0 + self.step) / (10.0 + self.step))
        for name, tensor in self.network.state_dict().items():
            average = self._average[name]
            if average.is_floating_point():
                average.lerp_(tensor, 1.0 - decay)
            else:
                average.copy_(tensor)
        return figures

    def _move(self, what: Any) -> Any:
        """Tensors, or what knows how to move, to the device."""
        return self._fabric.to_device(what) if isinstance(what, Tensor) else what.to(self._fabric.device)

    def _validate(self) -> dict[str, float]:
        """The score on val of the averaged weights; they are kept when it is the best so far."""
        learning = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.network.load_state_dict(self._average)
        self.network.eval()
        with torch.no_grad():
            score = self.task.validate()
        self.network.load_state_dict(learning)
        if score < self._best_score:
            self._best = {name: tensor.clone() for name, tensor in self._average.items()}
            self._best_score, self._best_step = score, self.step
        return {"val_score": score}

    def _save(self) -> None:
        tensors = pack(
            {
                "network": self.network.state_dict(),
                "average": self._average,
                "best": self._best,
                "optimizer": optimizer_tensors(self._optimizer),
            }
        )
        state = {"step": self.step, "best_score": self._best_score, "best_step": self._best_step, "recipe": self._recipe}
        state["data_hash"] = self.task.data_hash
        save_tensors(self.directory / STATE_FILE, tensors, {"state": json.dumps(state)})

    def _load(self) -> None:
        from safetensors import safe_open

        path = self.directory / STATE_FILE
        tensors = load_tensors(path)
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["state"])
        if state["recipe"] != self._recipe:
            changed = [key for key, value in self._recipe.items() if state["recipe"].get(key) != value]
            raise MimicError(f"{path}: was trained with another recipe ({', '.join(changed)} differ); go on with that one, or start anew with --overwrite")
        if state["data_hash"] != self.task.data_hash:
            raise MimicError(f"{path}: was trained on other data ({state['data_hash'][:12]}…); give the same stores, or start anew with --overwrite")
        self.network.load_state_dict(unpack(tensors, "network"))
        self._average, self._best = ({name: t.to(self._fabric.device) for name, t in unpack(tensors, part).items()} for part in ("average", "best"))
        restore_optimizer(self._optimizer, unpack(tensors, "optimizer"))
        self.step, self._best_score, self._best_step = state["step"], state["best_score"], state["best_step"]


def share_of_rate(step: int, steps: int) -> float:
    """Share of the learning rate: a short linear warm-up, then half a cosine down to 1 %."""
    warmup = max(1.0, WARMUP_SHARE * steps)
    if step < warmup:
        return (step + 1) / warmup
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1.0, steps - warmup)))
