"""How good perception is on pictures that it never learned from, in the terms that others publish.

semantic_miou: mean over the classes that occur of intersection over union, all cameras' places together. depth_abs_rel: mean of
abs(d − d*)/d* nearer than DEPTH_M (Eigen et al. 2014). ap_GROUP: average precision with matches by the distance of middles on
the ground, mean over MATCH_M (nuScenes, Caesar et al. 2020), of road users within AGENTS_M, all cameras together. What a tracker
has to know of them: score_GROUP: from which on findings count, for the best F1 with matches by BEST_WITHIN_M;
agent_range_error_share, agent_speed_error_mps: root mean square of the vehicles', those that move for the speed, of the most
certain one that is found at about the place.
light_accuracy_A_B_m, line_accuracy_A_B_m: share of frames with the right light, and with a stop line of the right rule at the
right distance, to LINE_SHARE or LINE_M, of those with a line A to B metres before the bumper; junction_accuracy_A_B_m,
zebra_accuracy_A_B_m: share with the junction's end, or the zebra, there and at the right distance, of those A to B metres away.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.labels import NOT_LABELLED, SEMANTIC_CLASSES
from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import COLUMN, MIN_HEIGHT_PX, MIN_VISIBLE, Found

DEPTH_M, AGENTS_M = 80.0, 60.0
MATCH_M = (0.5, 1.0, 2.0, 4.0)
BANDS_M = ((0.0, 20.0), (20.0, 40.0), (40.0, 80.0))
GATE_M = 40.0
BEST_WITHIN_M = 4.0
PLACE_SHARE, ASIDE_SHARE = 0.35, 0.05  # of its distance, within which one is found along the ray and across it; at least:
PLACE_M, ASIDE_M = 3.0, 1.0
MOVING_MPS = 1.0
LINE_SHARE, LINE_M = 0.1, 1.5
GROUPS = {"vehicle": ("car", "van", "truck", "bus"), "bicycle": ("bicycle",), "pedestrian": ("pedestrian",)}

Array = NDArray[np.float64]


class Quality:
    """Adds up frames; `figures` is what they come to."""

    def __init__(self) -> None:
        self._confusion = np.zeros((len(SEMANTIC_CLASSES),) * 2, np.int64)
        self._depth_error, self._depth_count = 0.0, 0
        self._agents: list[tuple[NDArray[np.float64], Found]] = []
        self._right: dict[str, list[tuple[float, bool]]] = {name: [] for name in ("light", "line", "junction", "zebra")}
        self._leads: list[float] = []

    def add_places(self, semantic: NDArray[np.int64], truth: NDArray[np.int64], depth_m: Array, truth_m: Array) -> None:
        """Classes and depths of any number of places, of one shape each; truth_m NaN where there is none."""
        is_known = truth != NOT_LABELLED
        pairs = truth[is_known] * len(SEMANTIC_CLASSES) + semantic[is_known]
        self._confusion += np.bincount(pairs, minlength=self._confusion.size).reshape(self._confusion.shape)
        is_near = np.isfinite(truth_m) & (truth_m < DEPTH_M)
        self._depth_error += float((np.abs(depth_m[is_near] - truth_m[is_near]) / truth_m[is_near]).sum())
        self._depth_count += int(is_near.sum())

    def add_agents(self, truth: Sequence[NDArray[np.float32]], found: Found) -> None:
        """One frame: labels (K, len(AGENT_COLUMNS)) of each camera, and what was found with all of them."""
        rows = np.concatenate([np.zeros((0, len(COLUMN))), *truth]).astype(np.float64)
        is_due = (rows[:, COLUMN["visible"]] >= MIN_VISIBLE) & (rows[:, COLUMN["bottom_px"]] - rows[:, COLUMN["top_px"]] >= MIN_HEIGHT_PX)
        order = np.argsort(~is_due, kind="stable")  # who is due for one camera is due
        _, first = np.unique(rows[order, COLUMN["track"]], return_index=True)
        rows, is_due = rows[order][first], is_due[order][first]
        rows[:, COLUMN["visible"]] = is_due
        self._agents.append((rows, found))

    def add_lights(self, is_right: NDArray[np.bool_], line_m: Array) -> None:
        """(N,) of frames whose light is known, with the stop line's distance, NaN without one."""
        self._add("light", line_m, is_right)

    def add_lines(self, line_m: Array, rule: NDArray[np.int64], said_m: Array, said_rule: NDArray[np.int64]) -> None:
        """(N,) of frames; line_m NaN: without a line."""
        self._add("line", line_m, _is_near(said_m, line_m) & (said_rule == rule))

    def add_stretch(self, name: str, at_m: Array, said_m: Array, is_said: NDArray[np.bool_]) -> None:
        """(N,) of frames: 'junction' or 'zebra'; at_m NaN: without one."""
        self._add(name, at_m, _is_near(said_m, at_m) & is_said)

    def _add(self, name: str, at_m: Array, is_right: NDArray[np.bool_]) -> None:
        self._right[name] += [(float(d), bool(r)) for d, r in zip(at_m, is_right, strict=True) if np.isfinite(d)]

    def add_leads(self, gap_m: Array, said_m: Array) -> None:
        """(N,) gaps, NaN: no lead within reach."""
        error = np.abs(said_m - gap_m)
        self._leads += error[np.isfinite(error) & (gap_m < GATE_M)].tolist()

    def figures(self) -> dict[str, float]:
        """By name; what did not occur is left out."""
        figures: dict[str, float] = {}
        occurs = self._confusion.sum(axis=1) > 0
        union = self._confusion.sum(axis=0) + self._confusion.sum(axis=1) - np.diag(self._confusion)
        iou = np.diag(self._confusion) / np.maximum(union, 1)
        if occurs.any():
            figures["semantic_miou"] = float(iou[occurs].mean())
            figures |= {f"iou_{name}": float(iou[i]) for i, name in enumerate(SEMANTIC_CLASSES) if occurs[i]}
        if self._depth_count:
            figures["depth_abs_rel"] = self._depth_error / self._depth_count
        for group, kinds in GROUPS.items():
            precision = self._average_precision([AGENT_KINDS.index(kind) for kind in kinds])
            if precision is not None:
                figures[f"ap_{group}"], figures[f"score_{group}"] = precision
        errors = np.concatenate([np.zeros((0, 2)), *(_vehicle_errors(truth, found) for truth, found in self._agents)])
        for name, values in zip(("agent_range_error_share", "agent_speed_error_mps"), errors.T, strict=True):
            if np.isfinite(values).any():
                figures[name] = float(np.sqrt(np.nanmean(values**2)))
        for name, pairs in self._right.items():
            for low, high in (*BANDS_M, (0.0, GATE_M)):
                right = [is_right for d, is_right in pairs if low <= d < high]
                if right:
                    figures[f"{name}_accuracy_{low:g}_{high:g}_m"] = float(np.mean(right))
        if self._leads:
            figures["lead_gap_error_m"] = float(np.mean(self._leads))
        return figures

    def _average_precision(self, kinds: Sequence[int]) -> tuple[float, float] | None:
        """Mean over MATCH_M, and the score of the best F1; None when there is nobody of these kinds."""
        total, chunks = 0, []
        for truth, found in self._agents:
            of_kind = truth[np.isin(truth[:, COLUMN["kind"]], kinds) & (_away_m(truth) < AGENTS_M)]
            is_said = np.isin(found.rows[:, COLUMN["kind"]], kinds) & (_away_m(found.rows) < AGENTS_M)
            total += int(of_kind[:, COLUMN["visible"]].sum())
            chunks.append((of_kind, found.rows[is_said], found.scores[is_said]))
        if not total:
            return None
        precision = float(np.mean([_average_precision(_ranked(chunks, within_m=within_m)[1], total) for within_m in MATCH_M]))
        scores, right = _ranked(chunks, within_m=BEST_WITHIN_M)
        f1 = 2.0 * right / (np.arange(1, len(right) + 1) + total)
        return precision, float(scores[int(f1.argmax())]) if len(scores) else 1.0


def _ranked(frames: Sequence[tuple[Array, Array, Array]], *, within_m: float) -> tuple[Array, Array]:
    """Scores (N,) of what was found, falling, and how many of those so far are right. Who need not be found is neither right
    nor wrong."""
    scores, hits = [], []
    for truth, said, confidence in frames:
        taken = np.zeros(len(truth), bool)
        for i in np.argsort(-confidence, kind="stable"):
            away_m = np.hypot(truth[:, COLUMN["x_m"]] - said[i, COLUMN["x_m"]], truth[:, COLUMN["y_m"]] - said[i, COLUMN["y_m"]])
            away_m[taken] = np.inf
            nearest = int(away_m.argmin()) if len(away_m) else -1
            is_hit = nearest >= 0 and away_m[nearest] <= within_m
            if is_hit:
                taken[nearest] = True
                if not truth[nearest, COLUMN["visible"]]:
                    continue
            scores.append(confidence[i])
            hits.append(is_hit)
    order = np.argsort(-np.array(scores), kind="stable")
    return np.array(scores, np.float64)[order], np.cumsum(np.array(hits, np.float64)[order])


def _average_precision(right: Array, total: int) -> float:
    """Area under the interpolated precision over recall."""
    if not len(right):
        return 0.0
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    return float(np.sum(np.diff(right / total, prepend=0.0) * precision))


def _vehicle_errors(truth: Array, found: Found) -> Array:
    """(M, 2) of the vehicles that are found: the error of the distance, over the distance, and of the speed, m/s, NaN where it
    stands or nothing is known."""
    vehicles = [AGENT_KINDS.index(kind) for kind in GROUPS["vehicle"]]
    due = truth[np.isin(truth[:, COLUMN["kind"]], vehicles) & (_away_m(truth) < AGENTS_M) & (truth[:, COLUMN["visible"]] > 0.0)]
    said = found.rows[np.isin(found.rows[:, COLUMN["kind"]], vehicles)]
    if not len(due) or not len(said):
        return np.zeros((0, 2))
    places, range_m = [rows[:, [COLUMN["x_m"], COLUMN["y_m"]]] for rows in (due, said)], _away_m(due).clip(1.0)
    away = places[1] - places[0][:, None]
    ray = places[0] / range_m[:, None]
    along_m, aside_m = np.einsum("dfk,dk->df", away, ray), np.abs(np.einsum("dfk,dk->df", away, np.stack([-ray[:, 1], ray[:, 0]], axis=1)))
    is_there = (np.abs(along_m) < np.maximum(PLACE_M, PLACE_SHARE * range_m)[:, None]) & (aside_m < (ASIDE_M + ASIDE_SHARE * range_m)[:, None])
    first = is_there.argmax(axis=1)[is_there.any(axis=1)]  # what is found is in order of its score
    rows = np.flatnonzero(is_there.any(axis=1))
    true_mps = due[rows, COLUMN["speed_mps"]]
    speed = np.where(true_mps > MOVING_MPS, said[first, COLUMN["speed_mps"]] - true_mps, np.nan)
    return np.stack([along_m[rows, first] / range_m[rows], speed], axis=1)


def _is_near(said_m: Array, at_m: Array) -> NDArray[np.bool_]:
    return np.asarray(np.abs(said_m - at_m) <= np.maximum(LINE_M, LINE_SHARE * np.abs(at_m)))


def _away_m(rows: Array) -> Array:
    return np.hypot(rows[:, COLUMN["x_m"]], rows[:, COLUMN["y_m"]])


def gate_share(figures: Mapping[str, float]) -> float:
    """The lower of the shares of lights and of stop lines that are right within GATE_M; 0 when there was none."""
    return min(figures.get(f"{name}_accuracy_0_{GATE_M:g}_m", 0.0) for name in ("light", "line"))
