"""Clip stores become batches: which frames may be learned from, how often, and what the network is told about each."""

import hashlib
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor

from bag_tools.clip_store import ClipFrames, ClipStore
from bag_tools.splits import refuse_overlap, split_margin_s
from bag_tools.targets import frame_targets
from e2e_planner.augment import Perturbation, perturb_pictures, perturb_speed, perturb_target
from e2e_planner.label_batches import LabelSet
from e2e_planner.recall import Recall
from e2e_planner.recipe import EGO_SCALES, ROUTE_SCALE_M, Recipe, route_values
from e2e_planner.standing import LastStop, last_stops
from mimic_contracts.action_spec import CAR, ActionSpec
from mimic_contracts.errors import MimicError
from mimic_contracts.motion import points_to_frame
from mimic_contracts.observation import ROUTE_COMMANDS
from mimic_contracts.rig import Rig
from perception.ground_view import CELLS, GROUND_VALUES, moved_ground
from perception.points import GROUPS, point_values, road_users
from perception.road_users import ROAD_USER_VALUES, ROAD_USERS, carried

FORGOTTEN_SHARE = 0.1  # of the samples, in which nothing is recalled: as at the beginning of a drive
HISTORY_TOLERANCE_S = 0.06  # how far the earlier picture may be from t - history_s; further away: the current one again
WAITING_MPS, WAITING_SHARE = 0.3, 0.25
START_SPEED_MPS, START_GAIN_MPS = 3.0, 1.0  # slower than this and soon faster by that: the vehicle starts
BRAKE_LOSS_MPS, BRAKE_WITHIN_S, BRAKE_FOCUS = 2.0, 2.0, 4.0  # slower by this within that: it brakes for something
MIRRORED_SIGNALS = ("yaw_rate_radps",)


Looking = Literal["pictures", "memory", "nothing"]  # at the pictures, at what the encoder found in them, or with no eyes


@dataclass(frozen=True, eq=False)
class Batch:
    """pictures: one (N, 6, H, W) uint8 a camera, or none; seen: (N, values) float32 of `PlannerNetwork.encode`, or
    None; recalled: (N, ROAD_USERS, ROAD_USER_VALUES) float32 of a moment ago, zero where nothing is remembered, or None: nothing
    is of any; ego: (N, 2·E) float32; route: (N, route_inputs) float32; targets: (N, T, C) float32; poses: (N, 3) float32
    [x_m, y_m, yaw_rad] of the vehicle in the frame of where the driver was: zero where it was not moved."""

    pictures: tuple[Tensor, ...]
    seen: Tensor | None
    recalled: Tensor | None
    ego: Tensor
    route: Tensor
    targets: Tensor
    poses: Tensor


class FrameSet:
    """The frames of one split that have a target: JPEGs in memory, signals and targets as arrays.

    labels: of all frames, for a recipe with perception, else None; parts: of each store with such frames, its hash and where its
    usable frames end; memory: of each part (usable, values) float16, what an encoder found in them, once somebody
    has kept it here; data_hash: of the stores. Raises MimicError when the split has no frame that can be used, or labels are
    missing.
    """

    def __init__(self, stores: Sequence[ClipStore], split: str, recipe: Recipe) -> None:
        self.recipe, self.spec, self.rig = recipe, recipe.spec(), recipe.load_rig()
        self._jpegs: dict[str, list[bytes]] = {camera.name: [] for camera in self.rig.cameras}
        self.data_hash = hashlib.sha256("".join(store.meta.data_hash for store in stores).encode()).hexdigest()
        self.labels = LabelSet(self.rig) if recipe.perception.steps else None
        self.memory: list[NDArray[np.float16]] = []
        earlier, recalled, targets, known, ego, routes, clip_weights = [], [], [], [], [], [], []
        drives: list[str] = []
        count, ends = 0, {}
        for store in stores:
            check_store(store, self.rig, self.spec)
            for clip in store.clips(split):
                frames = store.frames(clip.clip_id)
                for name, pictures in self._jpegs.items():
                    pictures.extend(store.jpegs(frames.row, name))
                values, is_known = shifted_targets(frames, self.spec, recipe.label_shift_s)
                targets.append(values)
                known.append(is_known)
                earlier.append(count + earlier_index(frames.stamp_ns, recipe.history_s))
                if recipe.recall_s:
                    recalled += [None if found is None else (count + found[0], found[1]) for found in recalled_index(frames, recipe.recall_s)]
                ego.append(np.stack([ego_signal(frames, name) for name in recipe.ego_inputs], axis=1) if recipe.ego_inputs else np.zeros((len(frames), 0)))
                told = zip(frames.route_command.tolist(), frames.route_points, strict=True)
                routes += [route_values(command, points, has_points=recipe.has_route_points) for command, points in told]
                if self.labels is not None:
                    self.labels.add(store.labels(frames.row, list(self._jpegs)))
                clip_weights.append(np.full(len(frames), clip.weight))
                drives += [clip.drive_id] * len(frames)
                count += len(frames)
            ends[store.meta.data_hash] = count
        if count == 0:
            raise MimicError(f"the data has no frames in split '{split}'; look at the splits in the topic map, extract again")
        self._earlier, self._recalled = np.concatenate(earlier), recalled
        self._targets, self._ego = np.concatenate(targets), np.concatenate(ego)
        self._routes, self._clip_weights, self._drives = np.array(routes), np.concatenate(clip_weights), np.array(drives)
        self.usable = np.flatnonzero(np.concatenate(known))
        self._kept = np.arange(len(self.usable))  # where in `memory` each usable frame is
        self._kept_of = {frame: kept for kept, frame in enumerate(self.usable.tolist())}
        self.masked = count - len(self.usable)
        until = {name: int(np.searchsorted(self.usable, end)) for name, end in ends.items()}
        self.parts = [(name, end) for (name, end), begin in zip(until.items(), (0, *until.values()), strict=False) if end > begin]
        if len(self.usable) == 0:
            raise MimicError(f"no frame of split '{split}' has a target for '{self.spec.name}': its signals are missing; see the extract report")

    @property
    def targets(self) -> NDArray[np.float64]:
        """(N, T, C) of the usable frames."""
        return self._targets[self.usable]

    @property
    def drives(self) -> NDArray[np.str_]:
        """(N,) the drive that each usable frame is of."""
        return self._drives[self.usable]

    def of_drives(self, drives: Collection[str]) -> "FrameSet":
        """What it has of these drives; pictures and memory are shared with it, nothing else is known of the other drives."""
        part, is_theirs = copy(self), np.isin(self._drives, sorted(drives))
        part.usable, part._kept = self.usable[is_theirs[self.usable]], self._kept[is_theirs[self.usable]]
        part.masked = int(is_theirs.sum()) - len(part.usable)
        part.data_hash = hashlib.sha256("\n".join([self.data_hash, *sorted(drives)]).encode()).hexdigest()
        return part

    def draw_weights(self, focus: float) -> NDArray[np.float64]:
        """(N,) how likely each usable frame is drawn: its clip's weight, times up to 1 + focus where the action is
        not the usual one, or is about to change, 1 + focus where the vehicle starts and 1 + BRAKE_FOCUS·focus where it brakes for
        something; those in which it stands and stays are at most WAITING_SHARE of all. Raises MimicError when every weight
        is zero."""
        targets = self.targets
        if self.spec is CAR:
            soon = int(np.searchsorted(CAR.times_s, 1.0))
            speed, kappa, acc = (targets[:, :, CAR.index(n)] for n in ("speed_mps", "curvature_1pm", "acceleration_mps2"))
            activity = np.abs(kappa[:, soon] - kappa[:, 0]) * np.maximum(speed[:, 0], 3.0) ** 2 + np.abs(acc[:, soon] - acc[:, 0])
        else:
            spread = max(float(targets.std()), 1e-3)
            activity = np.abs(targets[:, 0, 0] - targets.mean()) / spread
        weights = 1.0 + focus * np.minimum(activity, 1.0)
        if self.spec is CAR:  # a drive starts once and drives long: too seldom to be learned otherwise
            weights[(speed[:, 0] < START_SPEED_MPS) & (speed[:, -1] > speed[:, 0] + START_GAIN_MPS)] = 1.0 + focus
            then = int(np.searchsorted(CAR.times_s, BRAKE_WITHIN_S))
            weights[speed[:, then] < speed[:, 0] - BRAKE_LOSS_MPS] = 1.0 + BRAKE_FOCUS * focus
        weights *= self._clip_weights[self.usable]
        if self.spec is CAR:
            waits = speed.max(axis=1) < WAITING_MPS
            waiting, driving = weights[waits].sum(), weights[~waits].sum()
            if driving > 0.0 and waiting > WAITING_SHARE * (waiting + driving):
                weights[waits] *= WAITING_SHARE / (1.0 - WAITING_SHARE) * driving / waiting
        if weights.sum() <= 0.0:
            raise MimicError("every clip of the split has weight 0: there is nothing to learn from; raise the weights of some")
        return weights / weights.sum()

    def batch(self, indices: NDArray[np.int64], rng: np.random.Generator | None, *, looking: Looking = "pictures", moves: bool = True) -> Batch:
        """The usable frames `indices`; rng: vary them as the recipe says, None: as they are; moves: the vehicle's place, too,
        which labels of pictures do not allow, nor what is kept in `memory` without the ground from above."""
        frames = self.usable[indices]
        settings = self.recipe.augmentation
        targets = self._targets[frames].copy()
        ego = self._ego[frames] / np.array([EGO_SCALES[name] for name in self.recipe.ego_inputs])
        valid = np.isfinite(ego)
        route, poses = self._routes[frames], np.zeros((len(frames), 3))
        moves = moves and (looking != "memory" or self.recipe.network.tokens > 0)
        pictures: dict[str, list[NDArray[np.uint8]]] = {camera.name: [] for camera in self.rig.cameras}
        for n, frame in enumerate(frames):
            perturbation = Perturbation(yaw_rad=0.0, lateral_m=0.0, is_mirrored=False)
            if rng is not None:
                drawn = Perturbation.draw(settings, rng)
                perturbation = drawn if moves else perturbation
                poses[n] = perturbation.pose
                targets[n] = perturb_target(targets[n], perturbation, settings, self.spec)
                route[n] = moved_route(route[n], poses[n])
                if settings.speed_share and looking == "memory" and self.spec is CAR:
                    targets[n], faster_mps = perturb_speed(targets[n], settings, rng)
                    if "speed_mps" in self.recipe.ego_inputs:
                        ego[n, self.recipe.ego_inputs.index("speed_mps")] += faster_mps / EGO_SCALES["speed_mps"]
                valid[n] &= rng.uniform(size=valid.shape[1]) >= self.recipe.ego_dropout
                if perturbation.is_mirrored:
                    ego[n] *= [-1.0 if name in MIRRORED_SIGNALS else 1.0 for name in self.recipe.ego_inputs]
                    route[n] = mirrored_route(route[n])
                if rng.uniform() < self.recipe.route_dropout:
                    route[n, len(ROUTE_COMMANDS) :] = 0.0
            if looking == "pictures":
                for camera in self.rig.cameras:
                    pair = [simplejpeg.decode_jpeg(self._jpegs[camera.name][i], "RGB") for i in (frame, self._earlier[frame])]
                    if rng is not None:
                        pair = perturb_pictures(pair, camera, perturbation, settings, rng)
                    pictures[camera.name].append(np.concatenate(pair, axis=2))
        seen = recalled = None
        if looking == "memory":
            seen = np.stack([self._remembered(kept) for kept in self._kept[indices].tolist()]).astype(np.float32)
            for moved in np.flatnonzero(poses.any(axis=1)):
                seen[moved] = moved_sight(seen[moved], poses[moved], len(self.rig.cameras))
        if self.recipe.recall_s and len(self.memory) == len(self.parts):
            recalled = torch.from_numpy(self._road_users(frames, poses, rng))
        return Batch(
            pictures=tuple(torch.from_numpy(np.stack(p)).permute(0, 3, 1, 2) for p in pictures.values()) if looking == "pictures" else (),
            seen=None if seen is None else torch.from_numpy(seen),
            recalled=recalled,
            ego=torch.tensor(np.concatenate([np.where(valid, ego, 0.0), valid], axis=1), dtype=torch.float32),
            route=torch.tensor(route, dtype=torch.float32),
            targets=torch.tensor(targets, dtype=torch.float32),
            poses=torch.tensor(poses, dtype=torch.float32),
        )

    def _remembered(self, kept: int) -> NDArray[np.float16]:
        """(values,) of what is kept of a usable frame."""
        part = int(np.searchsorted([end for _, end in self.parts], kept, side="right"))
        return self.memory[part][kept - (self.parts[part - 1][1] if part else 0)]

    def _road_users(self, frames: NDArray[np.int64], poses: NDArray[np.float64], rng: np.random.Generator | None) -> NDArray[np.float32]:
        """(N, ROAD_USERS, ROAD_USER_VALUES) of a moment before these frames, as far as it is known, from these poses."""
        found = np.zeros((len(frames), ROAD_USERS, ROAD_USER_VALUES), np.float32)
        for n, frame in enumerate(frames.tolist()):
            is_forgotten = rng is not None and rng.uniform() < FORGOTTEN_SHARE
            before = self._recalled[frame]
            if before is not None and before[0] in self._kept_of and not is_forgotten:
                users = carried(road_users(self._remembered(self._kept_of[before[0]])[None], len(self.rig.cameras))[0], before[1])
                found[n] = carried(users, poses[n])
        return found


def ego_signal(frames: ClipFrames, name: str) -> NDArray[np.float64]:
    """(N,) what the network is told of the vehicle at each frame of a clip, NaN: unknown."""
    if name in LastStop._fields:
        return last_stops(frames.stamp_ns, frames.speed_mps)[:, LastStop._fields.index(name)]
    return np.asarray(getattr(frames, name))


def moved_route(route: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the network is told of a route, from a pose (3,) [x_m, y_m, yaw_rad] in the vehicle frame."""
    told = route[len(ROUTE_COMMANDS) :]
    count = len(told) // 3
    if not pose.any() or not count:
        return route
    points, known = told[: 2 * count].reshape(count, 2), told[2 * count :]
    moved = points_to_frame(ROUTE_SCALE_M * points, pose) / ROUTE_SCALE_M * known[:, None]
    return np.concatenate([route[: len(ROUTE_COMMANDS)], moved.ravel(), known])


def moved_sight(seen: NDArray[np.float32], pose: NDArray[np.float64], cameras: int) -> NDArray[np.float32]:
    """What was seen (values,), from a pose (3,) [x_m, y_m, yaw_rad] in the vehicle frame: the ground and road users as they would be, the
    places of the pictures, which cannot be moved, not at all."""
    points_at = len(seen) - len(GROUPS) * point_values(cameras)
    ground_at = points_at - GROUND_VALUES
    moved = seen.copy()
    moved[:ground_at] = 0.0
    moved[ground_at:points_at] = moved_ground(seen[ground_at:points_at].reshape(-1, *CELLS), pose).ravel()
    road_users(moved[None], cameras)[0] = carried(road_users(seen[None], cameras)[0], pose)
    return moved


def mirrored_route(route: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the network is told of a route that is its mirror image: left is right."""
    route = route.copy()
    left, right = ROUTE_COMMANDS.index("left"), ROUTE_COMMANDS.index("right")
    route[[left, right]] = route[[right, left]]
    points = len(route) - len(ROUTE_COMMANDS)
    route[len(ROUTE_COMMANDS) + 1 : len(ROUTE_COMMANDS) + 2 * points // 3 : 2] *= -1.0  # y of x, y, x, y …, known bits follow
    return route


def check_store(store: ClipStore, rig: Rig, spec: ActionSpec) -> None:
    """Raise MimicError with the mend when a store's rig or signals don't serve the recipe."""
    if store.meta.rig != rig.name:
        raise MimicError(f"{store.path}: was extracted for rig '{store.meta.rig}', the recipe needs '{rig.name}'; extract with a topic map for that rig")
    signals = set(store.meta.signals)
    if spec is CAR and "expert_plan" not in signals and not ({"pose"} <= signals or {"speed_mps", "yaw_rate_radps"} <= signals):
        raise MimicError(f"{store.path}: has {', '.join(sorted(signals))}; 'car' needs pose, or speed and yaw rate: map odometry in the topic map")
    if spec is not CAR and "steering_wheel_rad" not in signals:
        raise MimicError(f"{store.path}: has {', '.join(sorted(signals)) or 'no signals'}; '{spec.name}' needs steering_wheel_rad: map it in the topic map")


def check_splits(stores: Sequence[ClipStore], recipe: Recipe) -> None:
    """Refuse training data that comes too close to held-out data; raises MimicError naming the clips (METRICS, 'Splits')."""
    horizon_s = float(recipe.spec().times_s[-1]) + abs(recipe.label_shift_s)
    clips = [clip for store in stores for clip in store.clips()]
    refuse_overlap(clips, split_margin_s(history_s=max(recipe.history_s, recipe.recall_s), horizon_s=horizon_s))


def earlier_index(stamp_ns: NDArray[np.int64], history_s: float) -> NDArray[np.int64]:
    """(N,) for each frame of a clip the one history_s before it; itself where there is none within the tolerance."""
    seconds = (stamp_ns - stamp_ns[0]) / 1e9
    wanted = seconds - history_s
    right = np.clip(np.searchsorted(seconds, wanted), 1, max(len(seconds) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(seconds) - 1)
    nearest = np.where(np.abs(seconds[right] - wanted) < np.abs(seconds[left] - wanted), right, left)
    return np.where(np.abs(seconds[nearest] - wanted) <= HISTORY_TOLERANCE_S, nearest, np.arange(len(seconds)))


def recalled_index(frames: ClipFrames, recall_s: float) -> list[tuple[int, NDArray[np.float64]] | None]:
    """For each frame of a clip the one recall_s before it and how the vehicle has moved since (`Recall`); None: there is none."""
    recall: Recall[int] = Recall(recall_s)
    found = []
    for index, moment in enumerate(zip(frames.stamp_ns.tolist(), frames.speed_mps.tolist(), frames.yaw_rate_radps.tolist(), strict=True)):
        stamp_ns, speed, yaw_rate = moment
        found.append(recall.at(stamp_ns, None if np.isnan(speed) else speed, None if np.isnan(yaw_rate) else yaw_rate))
        recall.note(index)
    return found


def shifted_targets(frames: ClipFrames, spec: ActionSpec, shift_s: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N, T, C) targets and (N,) which are known throughout; with a shift, those of the moment shift_s after the frame."""
    values, known = frame_targets(frames, spec)
    is_known: NDArray[np.bool_] = np.all(known, axis=1)
    if shift_s == 0.0:
        return values, is_known
    seconds = (frames.stamp_ns - frames.stamp_ns[0]) / 1e9
    moments = seconds + shift_s
    is_inside = (moments >= seconds[0]) & (moments <= seconds[-1])
    flat = values.reshape(len(values), -1)
    moved = np.stack([np.interp(moments, seconds, column) for column in flat.T], axis=1).reshape(values.shape)
    was_known = np.interp(moments, seconds, is_known.astype(np.float64)) == 1.0
    return moved, np.logical_and(is_inside, was_known)


def open_stores(paths: Sequence[Path], recipe: Recipe) -> list[ClipStore]:
    """Open all stores and refuse overlapping splits; raises MimicError."""
    stores = [ClipStore.open(path) for path in paths]
    check_splits(stores, recipe)
    return stores


def describe_data(stores: Sequence[ClipStore], train: FrameSet, val: FrameSet) -> dict[str, Any]:
    """What the card says about the data."""
    return {
        "stores": [
            {"labels_hash": s.labels_hash, "signals": list(s.meta.signals)} | {name: getattr(s.meta, name) for name in ("data_hash", "crop", "frame_rate_hz")}
            for s in stores
        ],
        "train_drives": sorted({clip.drive_id for s in stores for clip in s.clips("train")}),
        "train_frames": len(train.usable),
        "train_frames_masked": train.masked,
        "val_frames": len(val.usable),
    }
