"""What the head starts from, found in the training data: typical paths and speed profiles, or mean and spread."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from e2e_planner.plan_heads import SPEED_SCALE_MPS, STATIONS_M, bicycle, sideways
from e2e_planner.recipe import Network
from mimic_contracts.action_spec import CAR, ActionSpec

KMEANS_ROUNDS = 50
FINE_M = torch.arange(0.0, 31.0)  # along paths
COMPARED = [5, 10, 15, 20, 30]  # of FINE_M: where paths are told apart by what they lead to


def find_anchors(spec: ActionSpec, targets: NDArray[np.float64], sizes: Network, *, seed: int) -> dict[str, Tensor]:
    """targets: (N, T, C) of the training split, all known. Returns the head's float32 constants."""
    if spec is not CAR:
        angles = targets[:, 0, 0]
        return {"mean_rad": torch.tensor(angles.mean(), dtype=torch.float32), "scale_rad": torch.tensor(max(angles.std(), 1e-3), dtype=torch.float32)}
    speed = targets[:, :, CAR.index("speed_mps")]
    change = speed - speed[:, :1]
    return {
        "path_anchors": torch.tensor(path_anchors(path_curvatures(targets), sizes.path_modes, seed=seed), dtype=torch.float32),
        "speed_anchors": torch.tensor(kmeans(change / SPEED_SCALE_MPS, sizes.speed_modes, seed=seed) * SPEED_SCALE_MPS, dtype=torch.float32),
    }


def path_curvatures(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, J): curvature at STATIONS_M along each target path, held beyond where the driver came within the horizon."""
    steps = np.hypot(*np.diff(targets[:, :, [CAR.index("x_m"), CAR.index("y_m")]], axis=1).transpose(2, 0, 1))
    arcs = np.concatenate([np.zeros((len(targets), 1)), np.cumsum(steps, axis=1)], axis=1)
    kappa = targets[:, :, CAR.index("curvature_1pm")]
    return np.array([np.interp(STATIONS_M, arc, row) for arc, row in zip(arcs, kappa, strict=True)])


def path_anchors(curvatures: NDArray[np.float64], count: int, *, seed: int) -> NDArray[np.float64]:
    """(count, J): the means of groups of paths (N, J) that lead to the same place at the side."""
    paths = torch.tensor(curvatures, dtype=torch.float32)
    _, side, _, _ = bicycle(paths, FINE_M.expand(len(paths), -1))
    compared = sideways(side[:, COMPARED]).numpy().astype(np.float64)
    distance = _squared_distances(compared, kmeans(compared, count, seed=seed))
    nearest = distance.argmin(axis=1)
    return np.array([curvatures[nearest == i].mean(axis=0) if (nearest == i).any() else curvatures[distance[:, i].argmin()] for i in range(count)])


def kmeans(points: NDArray[np.float64], count: int, *, seed: int) -> NDArray[np.float64]:
    """(count, D) centres of (N, D) points by Lloyd's rounds from k-means++ starts; sorted, so that order means something."""
    rng = np.random.default_rng(seed)
    centres = points[rng.integers(len(points))][None]
    while len(centres) < count:
        distance = _squared_distances(points, centres).min(axis=1)
        total = distance.sum()
        index = rng.choice(len(points), p=distance / total) if total > 0 else rng.integers(len(points))
        centres = np.concatenate([centres, points[index][None]])
    for _ in range(KMEANS_ROUNDS):
        nearest = _squared_distances(points, centres).argmin(axis=1)
        centres = np.array([points[nearest == i].mean(axis=0) if (nearest == i).any() else centres[i] for i in range(count)])
    return centres[np.argsort(centres.mean(axis=1), kind="stable")]


def _squared_distances(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
