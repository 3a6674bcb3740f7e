"""What is remembered of a moment ago, and where the vehicle has moved since."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from e2e_planner.onnx_model import Inputs
from e2e_planner.recall import LONGEST_STEP_S, TOLERANCE_S, Recall
from mimic_contracts.observation import EgoState, Observation
from perception.road_users import PLACE, ROAD_USER_VALUES, ROAD_USERS, SCORE, TYPICAL_PLACE_M

Recalled = tuple[int, NDArray[np.float64]] | None


def told(recall: Recall[int], step_s: float, count: int, *, speed_mps: float = 5.0, yaw_rate_radps: float = 0.0, first_ns: int = 0) -> list[Recalled]:
    """What it recalls at each of some moments, of which each is noted by its number."""
    found: list[Recalled] = []
    for n in range(count):
        found.append(recall.at(first_ns + round(n * step_s * 1e9), speed_mps, yaw_rate_radps))
        recall.note(n)
    return found


@given(st.sampled_from([0.05, 0.1, 0.2, 0.5]), st.floats(0.0, 20.0), st.floats(-0.5, 0.5))
def test_it_recalls_the_moment_and_the_way_since(step_s: float, speed_mps: float, yaw_rate_radps: float) -> None:
    yaw_rate = yaw_rate_radps if speed_mps > 0.1 else 0.0
    steps = round(1.0 / step_s)
    found = told(Recall(1.0), step_s, 3 * steps, speed_mps=speed_mps, yaw_rate_radps=yaw_rate)
    assert found[: steps - 1] == [None] * (steps - 1) or step_s <= TOLERANCE_S  # then one not quite as old will do
    for n, recalled in enumerate(found[steps:]):
        assert recalled is not None
        noted, driven = recalled
        assert noted == n
        radius = speed_mps / yaw_rate if abs(yaw_rate) > 1e-6 else np.inf
        way = (speed_mps, 0.0) if not np.isfinite(radius) else (radius * np.sin(yaw_rate), radius * (1.0 - np.cos(yaw_rate)))
        np.testing.assert_allclose(driven, (*way, yaw_rate), atol=1e-3)


@pytest.mark.parametrize("pause_s", [-3.0, LONGEST_STEP_S + 0.3])
def test_after_a_pause_or_when_the_clock_is_set_back_nothing_is_recalled(pause_s: float) -> None:
    recall: Recall[int] = Recall(1.0)
    told(recall, 0.1, 20)
    after = told(recall, 0.1, 20, first_ns=round((1.9 + pause_s) * 1e9))
    assert after[:10] == [None] * 10 and after[10] is not None


def test_with_an_unknown_speed_it_forgets() -> None:
    recall: Recall[int] = Recall(1.0)
    told(recall, 0.1, 20)
    assert recall.at(2_000_000_000, None, 0.0) is None
    recall.note(20)  # of which nothing can be made
    assert told(recall, 0.1, 10, first_ns=2_100_000_000) == [None] * 10


def test_a_moment_that_was_not_seen_is_not_made_up() -> None:
    recall: Recall[int] = Recall(1.0)
    found = told(recall, 0.3, 12)  # 0.9 and 1.2 s ago, but nothing about a second ago
    assert found == [None] * 12


def test_at_run_time_it_is_told_what_it_found_before_from_where_it_is_now() -> None:
    recipe = {"history_s": 0.2, "recall_s": 0.4, "has_route_points": False, "ego_inputs": []}
    inputs = Inputs([], recipe=recipe, ego_scales={})
    users = np.zeros((ROAD_USERS, ROAD_USER_VALUES), np.float32)
    users[3, SCORE], users[3, PLACE] = 0.8, np.array([12.0, -1.0]) / TYPICAL_PLACE_M
    for tick in range(9):
        ego = EgoState(speed_mps=5.0, yaw_rate_radps=0.0)
        recalled = inputs.of(Observation(stamp_ns=tick * 100_000_000, frames={}, ego=ego))["recalled"]
        assert recalled.shape == (1, ROAD_USERS, ROAD_USER_VALUES) and recalled.dtype == np.float32
        if tick == 4:
            assert recalled[0, 3, SCORE] == np.float32(0.8)
            assert (TYPICAL_PLACE_M * recalled[0, 3, PLACE]).tolist() == pytest.approx([10.0, -1.0], abs=1e-4)
        else:
            assert not recalled[..., SCORE].any()
        inputs.note(users if tick == 0 else np.zeros_like(users))
    inputs.reset()
    assert not inputs.of(Observation(stamp_ns=0, frames={}, ego=EgoState(speed_mps=5.0)))["recalled"].any()
