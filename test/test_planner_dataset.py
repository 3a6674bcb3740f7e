"""From clip stores to batches: targets, earlier pictures, augmentation, refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_helpers import CALM, CAR_SIGNALS, PERIOD_NS, RIG, WHEEL_SIGNALS, car_recipe, make_store, picture, wheel_recipe

from e2e_planner.augment import Perturbation, perturb_pictures, perturb_target
from e2e_planner.dataset import BRAKE_FOCUS, FrameSet, check_splits, earlier_index, shifted_targets
from e2e_planner.recipe import Augmentation
from mimic_contracts.action_spec import CAR, STEERING_ONLY
from mimic_contracts.errors import MimicError

COLUMN = {name: CAR.index(name) for name in CAR.channels}


@pytest.fixture(scope="module")
def car_store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("car") / "store", signals=CAR_SIGNALS)


@pytest.fixture(scope="module")
def wheel_store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("wheel") / "store", signals=WHEEL_SIGNALS)


def test_frames_without_a_whole_future_are_masked(car_store) -> None:
    frames = FrameSet([car_store], "train", car_recipe())
    assert frames.masked == 2 * 40 and len(frames.usable) == 2 * 40  # 4 s of 8 s a clip


def test_a_batch_has_the_shapes_that_the_network_wants(car_store) -> None:
    batch = FrameSet([car_store], "train", car_recipe()).batch(np.arange(5), None)
    assert [tuple(p.shape) for p in batch.pictures] == [(5, 6, 128, 256)] and batch.pictures[0].dtype == torch.uint8
    assert batch.ego.shape == (5, 2) and batch.route.shape == (5, 6) and batch.targets.shape == (5, 21, 6)
    assert batch.ego[:, 1].tolist() == [1.0] * 5 and batch.route[:, 0].tolist() == [1.0] * 5


def test_the_earlier_picture_lies_behind_the_current_one(car_store) -> None:
    frames = FrameSet([car_store], "train", car_recipe())
    pictures = frames.batch(np.arange(6), None).pictures[0]
    assert torch.equal(pictures[0, :3], pictures[0, 3:])  # a drive's first picture has no earlier one
    assert torch.equal(pictures[5, 3:], pictures[3, :3])  # 0.2 s before


@settings(deadline=None)
@given(st.lists(st.integers(20_000_000, 400_000_000), min_size=1, max_size=40), st.floats(0.0, 0.5))
def test_the_earlier_frame_is_never_a_later_one(steps: list[int], history_s: float) -> None:
    stamps = np.cumsum(steps)
    index = earlier_index(stamps, history_s)
    age_s = (stamps - stamps[index]) / 1e9
    assert (age_s >= 0.0).all()
    assert (np.abs(age_s - history_s) <= 0.06 + 1e-9)[index != np.arange(len(stamps))].all()


def test_the_ego_speed_is_left_out_as_often_as_the_recipe_says(car_store) -> None:
    frames = FrameSet([car_store], "train", car_recipe(ego_dropout=0.5))
    valid = frames.batch(np.arange(80), np.random.default_rng(0), looking="nothing").ego[:, 1]
    assert 20 < int(valid.sum()) < 60


def test_the_label_can_be_shifted_in_time(wheel_store) -> None:
    frames = wheel_store.frames("clip0")
    plain, _ = shifted_targets(frames, STEERING_ONLY, 0.0)
    later, known = shifted_targets(frames, STEERING_ONLY, 0.25)
    np.testing.assert_allclose(later[:-3, 0, 0], (plain[2:-1, 0, 0] + plain[3:, 0, 0]) / 2, atol=1e-9)
    assert known[:-3].all() and not known[-3:].any()


def test_frames_of_change_are_drawn_more_often(wheel_store) -> None:
    frames = FrameSet([wheel_store], "train", wheel_recipe())
    weights = frames.draw_weights(4.0)
    angles = np.abs(frames.targets[:, 0, 0] - frames.targets.mean())
    assert weights.sum() == pytest.approx(1.0)
    assert 3.0 < weights[angles.argmax()] / weights[angles.argmin()] <= 5.0


def test_braking_for_something_is_drawn_most(car_store) -> None:
    frames = FrameSet([car_store], "train", car_recipe())
    speed, index = COLUMN["speed_mps"], int(frames.usable[3])
    frames._targets[:, :, speed], frames._targets[:, :, COLUMN["acceleration_mps2"]] = 8.0, 0.0
    frames._targets[:, :, COLUMN["curvature_1pm"]] = 0.0
    frames._targets[index, :, speed] = 8.0 - 1.5 * CAR.times_s  # 3 m/s less after 2 s
    weights = frames.draw_weights(2.0)
    assert weights[3] / weights[0] == pytest.approx(1.0 + 2.0 * BRAKE_FOCUS)


def test_the_same_seed_makes_the_same_batch(car_store) -> None:
    frames = FrameSet([car_store], "train", car_recipe(augmentation=Augmentation(yaw_rad=0.05, lateral_m=0.3)))
    one, two = (frames.batch(np.arange(8), np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.pictures[0], two.pictures[0]) and torch.equal(one.targets, two.targets) and torch.equal(one.ego, two.ego)


def test_a_mirrored_sample_has_a_mirrored_label(car_store) -> None:
    recipe = car_recipe(ego_inputs=("speed_mps", "yaw_rate_radps"), ego_dropout=0.0, augmentation=replace(CALM, mirror=True))
    frames = FrameSet([car_store], "train", recipe)
    plain, varied = frames.batch(np.arange(30), None), frames.batch(np.arange(30), np.random.default_rng(0))
    is_mirrored = (varied.targets[:, 5, COLUMN["y_m"]] - plain.targets[:, 5, COLUMN["y_m"]]).abs() > 1e-6
    assert 5 < int(is_mirrored.sum()) < 25
    n = int(is_mirrored.nonzero()[0])
    assert torch.equal(varied.pictures[0][n], plain.pictures[0][n].flip(-1))
    sign = torch.tensor([1.0, -1.0, -1.0, 1.0, 1.0, -1.0])
    assert torch.allclose(varied.targets[n], plain.targets[n] * sign)
    assert torch.allclose(varied.ego[n], plain.ego[n] * torch.tensor([1.0, -1.0, 1.0, 1.0]))


@settings(deadline=None, max_examples=40)
@given(yaw=st.floats(-0.08, 0.08), lateral=st.floats(-0.5, 0.5), kappa=st.floats(-0.03, 0.03), speed=st.floats(5.0, 14.0))
def test_a_perturbed_target_begins_at_the_vehicle_and_returns_to_the_line(yaw: float, lateral: float, kappa: float, speed: float) -> None:
    arc = speed * CAR.times_s
    straight = np.zeros((21, 6))
    straight[:, COLUMN["yaw_rad"]] = kappa * arc
    straight[:, COLUMN["x_m"]] = np.where(abs(kappa) > 1e-9, np.sin(kappa * arc) / (kappa or 1.0), arc)
    straight[:, COLUMN["y_m"]] = np.where(abs(kappa) > 1e-9, (1 - np.cos(kappa * arc)) / (kappa or 1.0), 0.0)
    straight[:, COLUMN["speed_mps"]] = speed
    straight[:, COLUMN["curvature_1pm"]] = kappa
    returned = perturb_target(straight, Perturbation(yaw_rad=yaw, lateral_m=lateral, is_mirrored=False), Augmentation(), CAR)
    np.testing.assert_allclose(returned[0, :3], 0.0, atol=1e-9)
    # Seen from the perturbed pose the driver's line lies to the right of a vehicle that was shifted to the left.
    c, s = np.cos(np.arctan(yaw)), np.sin(np.arctan(yaw))
    end = straight[-1, :2] - np.array([0.0, lateral])
    np.testing.assert_allclose(returned[-1, :2], [c * end[0] + s * end[1], -s * end[0] + c * end[1]], atol=1e-6)


def test_a_perturbed_wheel_steers_back() -> None:
    values = np.zeros((1, 1))
    left = perturb_target(values, Perturbation(yaw_rad=0.0, lateral_m=0.3, is_mirrored=False), Augmentation(), STEERING_ONLY)
    turned = perturb_target(values, Perturbation(yaw_rad=0.03, lateral_m=0.0, is_mirrored=False), Augmentation(), STEERING_ONLY)
    assert left[0, 0] < 0.0 and turned[0, 0] < 0.0


def test_a_turn_to_the_left_moves_the_picture_to_the_right() -> None:
    before = picture(0.0)
    after = perturb_pictures([before], RIG.cameras[0], Perturbation(yaw_rad=0.05, lateral_m=0.0, is_mirrored=False), CALM, np.random.default_rng(0))[0]
    columns = [np.flatnonzero(p[60].max(axis=1) > 150).mean() for p in (before, after)]
    assert columns[1] - columns[0] == pytest.approx(0.05 * 221.7, abs=4.0)  # focal length of mono in pixels; the camera swings, too


def test_light_and_noise_change_the_picture_but_not_its_shape() -> None:
    varied = perturb_pictures(
        [picture(0.2)] * 2, RIG.cameras[0], Perturbation(yaw_rad=0.0, lateral_m=0.0, is_mirrored=False), Augmentation(), np.random.default_rng(1)
    )
    assert all(p.shape == (128, 256, 3) and p.dtype == np.uint8 for p in varied)
    assert not np.array_equal(varied[0], picture(0.2))


def test_signals_that_the_action_spec_needs_are_named(car_store, wheel_store) -> None:
    with pytest.raises(MimicError, match=r"'car' needs pose.*topic map"):
        FrameSet([wheel_store], "train", car_recipe())
    with pytest.raises(MimicError, match=r"needs steering_wheel_rad"):
        FrameSet([car_store], "train", wheel_recipe())


def test_another_rig_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", signals=WHEEL_SIGNALS, count=20, drives=1, rig="other")
    with pytest.raises(MimicError, match=r"rig 'other'.*'mono'"):
        FrameSet([store], "train", wheel_recipe())


def test_an_empty_split_is_named(wheel_store) -> None:
    with pytest.raises(MimicError, match="split 'test'"):
        FrameSet([wheel_store], "test", wheel_recipe())


@pytest.mark.parametrize(("gap_s", "is_refused"), [(1.0, True), (2.1, True), (2.3, False)])
def test_training_data_near_held_out_data_is_refused(tmp_path: Path, gap_s: float, is_refused: bool) -> None:
    store = make_store(tmp_path / "store", signals=WHEEL_SIGNALS, count=20, drives=1, gap_s=gap_s)
    if is_refused:
        with pytest.raises(MimicError, match=r"clip0 and clip1"):
            check_splits([store], wheel_recipe())  # 2 s and 0.2 s of history
    else:
        check_splits([store], wheel_recipe())


def test_the_horizon_counts_for_a_plan(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", signals=CAR_SIGNALS, count=20, drives=1, gap_s=6.1)
    with pytest.raises(MimicError, match=r"6\.20 s"):
        check_splits([store], car_recipe())


def test_frames_half_a_period_apart_keep_their_history() -> None:
    stamps = np.arange(10) * PERIOD_NS
    assert earlier_index(stamps, 0.2).tolist() == [0, 1, 0, 1, 2, 3, 4, 5, 6, 7]
