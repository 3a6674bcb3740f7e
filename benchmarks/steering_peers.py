"""The real car's steering wheel from pictures: our recipe beside donkeycar and NVIDIA's PilotNet, on the same frames and at equal
processor time, scored by the same code.

    python benchmarks/steering_peers.py ../shared/data/udacity_hmb3/* --out out/peers --donkeycar DONKEY/bin/python     on test
    python benchmarks/steering_peers.py … --out out/peers_060 --left-out 'train_060*' --seeds 0                          to choose by

Processor time of the process, all its threads together, counts, not the clock: a machine is busy with other things now and then. Each
seed begins with `mimic train steering_hmb3`, and what that process took, from its start to its exported network, is everybody's budget:

    ours            the recipe as it is
    donkeycar       its default pilot (KerasLinear) on the whole picture in 160x120, trained by its own code and defaults, left out
                    without --donkeycar; it needs Python 3.11 and an environment of its own: python3.11 -m venv DONKEY && DONKEY/bin/pip
                    install donkeycar==5.3.0 'tensorflow-cpu==2.15.*' 'opencv-python-headless==4.9.*' 'numpy<2' albumentations matplotlib
    pilotnet        Bojarski et al. 2016: YUV in 200x66 of what our crop shows, squared error, Adam 1e-3, batches of 32, all train frames alike
    pilotnet_ours   the same network in our recipe: its pictures, variations, draws, loss, schedule, averaging, mirrored picture asked, too

A finished run in --out is taken as it is. A line of JSON for each goes to stdout, then a table.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import huber_loss, mse_loss

from bag_tools.clip_store import ClipStore
from bag_tools.score import score
from e2e_planner.dataset import FrameSet, open_stores
from e2e_planner.export import export_module
from e2e_planner.onnx_model import open_session
from e2e_planner.onnx_policy import OnnxPolicy
from e2e_planner.recipe import Recipe
from e2e_planner.train import MAX_GRADIENT_NORM, prepare_torch, share_of_rate, suited_precision
from mimic_contracts.action_spec import STEERING_ONLY
from mimic_contracts.config import load_yaml, resolve_config
from mimic_contracts.errors import MimicError
from mimic_contracts.observation import Observation
from mimic_contracts.plan import Plan
from mimic_contracts.policy import Policy

RECIPE, TOPICS = "steering_hmb3", "udacity_hmb3"
WHOLE_WIDTH, WHOLE_HEIGHT = 320, 240  # of the recording's pictures, of which our rig shows a crop
BATCH, RATE = 32, 1e-3
TIMED, AGREEMENT = 300, 1e-4
CPU = "CPUExecutionProvider"

Picture = NDArray[np.uint8]
Prepare = Callable[[Picture], Picture]


class SteeringNet(nn.Module):
    """Convolutions (channels, kernel, stride) without padding and linear layers, with ReLU between: pictures (N, 3, H, W) uint8 →
    angle (N,) rad, the first output times scale_rad. black: what 0 becomes; 255 becomes 1."""

    def __init__(
        self, size: tuple[int, int], convolutions: Sequence[tuple[int, int, int]], linear: Sequence[int], *, black: float, scale_rad: float = 1.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, (height, width) = 3, size
        for wider, kernel, stride in convolutions:
            layers += [nn.Conv2d(channels, wider, kernel, stride), nn.ReLU()]
            channels, height, width = wider, (height - kernel) // stride + 1, (width - kernel) // stride + 1
        layers.append(nn.Flatten())
        sizes = (channels * height * width, *linear)
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.last_map, self._black, self._scale_rad = (channels, height, width), black, scale_rad

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        return self._scale_rad * self.layers(self._black + pictures.float() * ((1.0 - self._black) / 255.0))[:, 0]


def donkeycar_linear(scale_rad: float = 1.0) -> SteeringNet:
    """donkeycar 5.3's default pilot as it drives, so without its dropout of 0.2: outputs steering, and throttle."""
    convolutions = ((24, 5, 2), (32, 5, 2), (64, 5, 2), (64, 3, 1), (64, 3, 1))
    return SteeringNet((120, 160), convolutions, (100, 50, 2), black=0.0, scale_rad=scale_rad)


def pilotnet() -> SteeringNet:
    """Bojarski et al., End to End Learning for Self-Driving Cars, 2016, figure 4."""
    return SteeringNet((66, 200), ((24, 5, 2), (36, 5, 2), (48, 5, 2), (64, 3, 1), (64, 3, 1)), (100, 50, 10, 1), black=-1.0)


class BothWays(nn.Module):
    """A network asked for the mirrored picture, too, as ours is (`PlannerNetwork.both_ways`)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        """Half the difference."""
        return (self.network(pictures) - self.network(pictures.flip(-1))) / 2.0


def for_donkeycar(whole: Picture) -> Picture:
    """(240, 320, 3) → (120, 160, 3): as its camera sees it."""
    return cv2.resize(whole, (160, 120), interpolation=cv2.INTER_AREA)


def for_pilotnet(whole: Picture) -> Picture:
    """(240, 320, 3) RGB → (66, 200, 3) YUV of the part that our rig shows."""
    crop = load_yaml(resolve_config("topics", TOPICS))["cameras"]["front"]["crop"]
    return yuv(whole[crop["top_px"] : crop["top_px"] + crop["height_px"]])


def yuv(picture: Picture) -> Picture:
    """Any RGB → (66, 200, 3) YUV."""
    return cv2.cvtColor(cv2.resize(picture, (200, 66), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2YUV)


class PeerPolicy:
    """A peer's exported network as a planner of this project."""

    spec = STEERING_ONLY

    def __init__(self, path: Path, prepare: Prepare, *, rig: str) -> None:
        self.rig_name: str | None = rig
        self._prepare, self._session, self._model_id = prepare, open_session(path.read_bytes(), provider=CPU), path.parent.name

    def reset(self) -> None:
        """Nothing is kept."""

    def plan(self, observation: Observation) -> Plan:
        """One angle from one picture."""
        picture = self._prepare(observation.frames["front"].image)
        angle = self._session.run(None, {"picture": to_network(picture[None])})[0]
        return Plan.single(stamp_ns=observation.stamp_ns, spec=STEERING_ONLY, values=angle.astype(np.float64)[:, None], model_id=self._model_id)


def to_network(pictures: Picture) -> Picture:
    """(N, H, W, 3) → (N, 3, H, W)."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))


def spending(budget_s: float, *, clock: Callable[[], float] = time.process_time, since_s: float | None = None) -> Iterator[float]:
    """The share of the budget that is spent, again and again until all is; since_s: from when on it counts, else from now on."""
    begin_s = clock() if since_s is None else since_s
    while (share := (clock() - begin_s) / budget_s) < 1.0:
        yield share


def train_frames(store: ClipStore, prepare: Prepare) -> tuple[Picture, NDArray[np.float32]]:
    """Prepared pictures (N, H, W, 3) and angles (N,) rad of the split `train`."""
    pictures, angles = [], []
    for clip in store.clips("train"):
        frames = store.frames(clip.clip_id)
        pictures += [prepare(picture) for picture in store.images(frames.row, "front")]
        angles.append(frames.steering_wheel_rad.astype(np.float32))
    return np.stack(pictures), np.concatenate(angles)


def learn_plainly(network: nn.Module, pictures: Picture, angles: NDArray[np.float32], *, seed: int, shares: Iterator[float]) -> int:
    """As tutorials do: epochs in another order each, squared error, Adam; returns the steps."""
    rng, optimizer, order, steps = np.random.default_rng(seed), torch.optim.Adam(network.parameters(), lr=RATE), np.arange(0), 0
    inputs, targets = torch.from_numpy(to_network(pictures)), torch.from_numpy(angles)
    for _ in shares:
        if len(order) < BATCH:
            order = rng.permutation(len(angles))
        batch, order = torch.from_numpy(order[:BATCH]), order[BATCH:]
        optimizer.zero_grad()
        mse_loss(network(inputs[batch]), targets[batch]).backward()
        optimizer.step()
        steps += 1
    return steps


def learn_as_ours(network: nn.Module, frames: FrameSet, recipe: Recipe, *, shares: Iterator[float]) -> int:
    """What e2e_planner.train does with a recipe, but for as long as the budget lasts; the averaged weights are kept."""
    weights, scale_rad = frames.draw_weights(recipe.focus), float(frames.targets.std())
    precision = suited_precision(recipe.precision, torch.device("cpu"))
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    steps = 0
    for share in shares:
        rng = np.random.default_rng((recipe.seed, steps))
        batch = frames.batch(rng.choice(len(weights), recipe.batch_size, p=weights), rng)
        now = batch.pictures[0][:, :3].permute(0, 2, 3, 1).numpy()
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * share_of_rate(int(1000 * share), 1000)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            angles = network(torch.from_numpy(to_network(np.stack([yuv(picture) for picture in now]))))
        loss = huber_loss(angles.float() / scale_rad, batch.targets[:, 0, 0] / scale_rad)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        for name, tensor in network.state_dict().items():
            average[name].lerp_(tensor, 1.0 - min(recipe.ema_decay, (1.0 + steps) / (10.0 + steps)))
        steps += 1
    network.load_state_dict(average)
    return steps


def from_keras(network: SteeringNet, content: dict[str, NDArray[np.float32]]) -> None:
    """Take over what Keras has learned, whose maps have the channels last; raises MimicError when it then computes something else."""
    kernels = [content[f"conv2d_{n}.0"].transpose(3, 2, 0, 1) for n in range(1, 6)]
    channels, height, width = network.last_map
    first = content["dense_1.0"].reshape(height, width, channels, -1).transpose(3, 2, 0, 1)
    kernels += [first.reshape(len(first), -1), content["dense_2.0"].T, np.hstack([content[f"n_outputs{n}.0"] for n in (0, 1)]).T]
    biases = [content[f"{name}.1"] for name in (*(f"conv2d_{n}" for n in range(1, 6)), "dense_1", "dense_2")]
    biases.append(np.hstack([content[f"n_outputs{n}.1"] for n in (0, 1)]))
    layers = [layer for layer in network.layers if isinstance(layer, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
            layer.bias.copy_(torch.from_numpy(bias))
        angles = network.layers(torch.from_numpy(to_network(content["pictures"])) / 255.0)[:, 0].numpy()
    worst = float(np.abs(angles - content["angles"]).max())
    if not worst <= AGREEMENT:
        raise MimicError(f"donkeycar: its network in torch differs from Keras by {worst:.2e}, must be at most {AGREEMENT}: is this donkeycar 5.3?")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to. rmse_rad with its 95 % interval, of the clips scored; ms: processor time of one answer, ONNX Runtime in
    one thread."""

    system: str
    seed: int
    split: str
    rmse_rad: float
    ci95_rad: tuple[float, float]
    frames: int
    parameters: int
    ms: float
    cpu_s: float
    how: str


class Comparison:
    """All runs of one seed. out: where they are kept; ours, whole: the same frames as our rig shows them, and as recorded."""

    def __init__(self, out: Path, *, seed: int, split: str, donkeycar: Path | None) -> None:
        self.out, self.seed, self.split, self._donkeycar = out, seed, split, donkeycar
        self.ours, self.whole = ClipStore.open(out / "ours"), ClipStore.open(out / "whole")

    def run(self) -> Iterator[Result]:
        """Ours first, whose processor time is the others' budget."""
        ours = self._kept("ours", self._train_ours)
        yield ours
        systems: dict[str, Callable[..., Result]] = {"pilotnet": self._train_pilotnet, "pilotnet_ours": self._train_pilotnet_as_ours}
        if self._donkeycar is not None:
            systems = {"donkeycar": self._train_donkeycar, **systems}
        for name, train in systems.items():
            yield self._kept(name, partial(train, budget_s=ours.cpu_s))

    def _kept(self, name: str, train: Callable[[Path], Result]) -> Result:
        folder = self.out / f"{name}_{self.seed}"
        path = folder / "result.json"
        if not path.exists():
            print(f"{name}, seed {self.seed}", file=sys.stderr)
            result = train(folder)
            path.write_text(json.dumps(asdict(result)), encoding="utf-8")
        return Result(**json.loads(path.read_text(encoding="utf-8")))

    def _train_ours(self, folder: Path) -> Result:
        before_s = children_s()
        mimic("train", RECIPE, "--data", self.ours.path, "--out", folder, "--seed", self.seed, "--overwrite")
        spent_s = children_s() - before_s
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        return self._result(folder, OnnxPolicy(folder), self.ours, parameters=card["parameters"], cpu_s=spent_s, how=f"{card['recipe']['steps']} steps")

    def _train_donkeycar(self, folder: Path, budget_s: float) -> Result:
        folder.mkdir(exist_ok=True)
        pictures, angles = train_frames(self.whole, for_donkeycar)
        scale_rad = float(np.abs(angles).max())
        np.savez(folder / "frames.npz", pictures=pictures, angle=angles / scale_rad)
        script = [str(self._donkeycar), str(Path(__file__).with_name("donkeycar_train.py"))]
        if not (folder / "tub").exists():
            subprocess.run([*script, "tub", folder / "frames.npz", folder / "tub"], check=True, stdout=sys.stderr)
        training = [*script, "train", folder / "tub", folder, str(self.seed), str(round(budget_s))]
        said = subprocess.run(training, check=True, stdout=subprocess.PIPE, text=True).stdout
        content = dict(np.load(folder / "pilot.npz"))
        network = donkeycar_linear(scale_rad)
        from_keras(network, content)
        how = f"epoch {said.count('Epoch ')}, ended by {content['ended_by']}"
        return self._peer(folder, network, for_donkeycar, self.whole, cpu_s=float(content["cpu_s"]), how=how)

    def _train_pilotnet(self, folder: Path, budget_s: float) -> Result:
        since_s = time.process_time()
        prepare_torch(threads=1, seed=self.seed)
        network = pilotnet()
        pictures, angles = train_frames(self.whole, for_pilotnet)
        steps = learn_plainly(network, pictures, angles, seed=self.seed, shares=spending(budget_s, since_s=since_s))
        how = f"{steps} steps, {steps * BATCH / len(angles):.1f} epochs"
        return self._peer(folder, network, for_pilotnet, self.whole, cpu_s=time.process_time() - since_s, how=how)

    def _train_pilotnet_as_ours(self, folder: Path, budget_s: float) -> Result:
        since_s = time.process_time()
        recipe = Recipe.from_dict({**Recipe.load(RECIPE).as_dict(), "seed": self.seed}, RECIPE)
        prepare_torch(threads=recipe.threads, seed=self.seed)
        network = pilotnet()
        frames = FrameSet(open_stores([self.ours.path], recipe), "train", recipe)
        steps = learn_as_ours(network, frames, recipe, shares=spending(budget_s, since_s=since_s))
        return self._peer(folder, BothWays(network), yuv, self.ours, cpu_s=time.process_time() - since_s, how=f"{steps} steps")

    def _peer(self, folder: Path, network: nn.Module, prepare: Prepare, store: ClipStore, *, cpu_s: float, how: str) -> Result:
        folder.mkdir(exist_ok=True)
        clip = store.clips("train")[0]
        examples = [prepare(picture) for picture in store.images(store.frames(clip.clip_id).row[:16], "front")]
        export_module(network, {"picture": torch.from_numpy(to_network(np.stack(examples)))}, ["angle"], folder / "model.onnx")
        policy = PeerPolicy(folder / "model.onnx", prepare, rig=store.meta.rig)
        return self._result(folder, policy, store, parameters=sum(p.numel() for p in network.parameters()), cpu_s=cpu_s, how=how)

    def _result(self, folder: Path, policy: Policy, store: ClipStore, *, parameters: int, cpu_s: float, how: str) -> Result:
        summary = score(policy, store, self.split, policy_name=folder.name, baselines={}).summary
        return Result(
            system=folder.name.removesuffix(f"_{self.seed}"),
            seed=self.seed,
            split=self.split,
            rmse_rad=summary["steering_wheel_rmse_rad"],
            ci95_rad=summary["steering_wheel_rmse_rad_ci95"],
            frames=summary["frames"],
            parameters=parameters,
            ms=answer_ms(folder / "model.onnx"),
            cpu_s=cpu_s,
            how=how,
        )


def answer_ms(path: Path) -> float:
    """Median of the processor time of one answer of a network, in one thread."""
    session = open_session(path.read_bytes(), provider=CPU)
    feeds = {i.name: np.zeros(i.shape, np.uint8 if i.type == "tensor(uint8)" else np.float32) for i in session.get_inputs()}
    times_ms = []
    for _ in range(TIMED):
        started_s = time.thread_time()
        session.run(None, feeds)
        times_ms.append(1e3 * (time.thread_time() - started_s))
    return float(np.median(times_ms))


def children_s() -> float:
    """Processor time of all processes that were started from here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def mimic(*arguments: object) -> None:
    """`mimic …` with what it says on stderr."""
    subprocess.run([sys.executable, "-m", "mimic.cli", *map(str, arguments)], check=True, stdout=sys.stderr, env=os.environ)


def extract(bags: Sequence[Path], out: Path, *, left_out: str | None) -> None:
    """The same frames twice: `ours` for our rig, `whole` as they were recorded."""
    topics = load_yaml(resolve_config("topics", TOPICS))
    camera = {"height_px": WHOLE_HEIGHT, "width_px": WHOLE_WIDTH, "horizontal_fov_deg": 60.0, "x_m": 1.6, "y_m": 0.0, "z_m": 1.4}
    camera |= {"roll_deg": 0.0, "pitch_deg": 0.0, "yaw_deg": 0.0}  # nobody asks for the mounting
    rig, whole = out / "whole_rig.yaml", out / "whole_topics.yaml"
    out.mkdir(parents=True, exist_ok=True)
    rig.write_text(yaml.safe_dump({"name": "whole", "cameras": {"front": camera}}), encoding="utf-8")
    topics["rig"] = str(rig)
    topics["cameras"]["front"]["crop"] = {"left_px": 0, "top_px": 0, "width_px": WHOLE_WIDTH, "height_px": WHOLE_HEIGHT}
    whole.write_text(yaml.safe_dump(topics), encoding="utf-8")
    for name, topic_map in (("ours", TOPICS), ("whole", whole)):
        if not (out / name).exists():
            mimic("extract", *bags, "--topics", topic_map, "--out", out / name, *(["--val-glob", left_out] if left_out else []))


def table(results: Sequence[Result]) -> str:
    """A row a system: mean over the seeds, each seed's figure with its interval."""
    lines = ["| | RMSE, rad | each seed (95 %) | parameters | ms | processor time, s | how |", "|---|---|---|---|---|---|---|"]
    for system in dict.fromkeys(result.system for result in results):
        runs = [result for result in results if result.system == system]
        each = ", ".join(f"{r.rmse_rad:.4f} ({r.ci95_rad[0]:.3f} to {r.ci95_rad[1]:.3f})" for r in runs)
        mean, ms, cpu_s = (float(np.mean([getattr(r, name) for r in runs])) for name in ("rmse_rad", "ms", "cpu_s"))
        lines.append(f"| {system} | {mean:.4f} | {each} | {runs[0].parameters:,} | {ms:.2f} | {cpu_s:.0f} | {'; '.join(r.how for r in runs)} |")
    return "\n".join(lines)


def main() -> int:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="of udacity_hmb3")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for stores and runs")
    parser.add_argument("--donkeycar", type=Path, metavar="PYTHON", help="interpreter of an environment with donkeycar")
    parser.add_argument("--left-out", metavar="GLOB", help="score on these bags instead of the test blocks, and don't train on them")
    parser.add_argument("--seeds", default="0,1,2", help="default: %(default)s")
    args = parser.parse_args()
    extract(args.bags, args.out, left_out=args.left_out)
    results = []
    for seed in map(int, args.seeds.split(",")):
        comparison = Comparison(args.out, seed=seed, split="val" if args.left_out else "test", donkeycar=args.donkeycar)
        for result in comparison.run():
            results.append(result)
            print(json.dumps(asdict(result)), flush=True)
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
