"""The network's geometry, its loss and its anchors."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_helpers import CALM, TINY, car_recipe, drive, wheel_recipe

from bag_tools.clip_store import ClipFrames
from bag_tools.targets import frame_targets
from e2e_planner.loss import planner_loss, shares
from e2e_planner.modes import find_anchors, kmeans, path_curvatures
from e2e_planner.network import DeployedNetwork, make_network
from e2e_planner.plan_heads import STATIONS_M, PathSpeedHead, SteeringHead, bicycle, curvature_at, make_head
from e2e_planner.recipe import LossWeights, Network
from mimic_contracts.action_spec import CAR, STEERING_ONLY

COLUMN = {name: CAR.index(name) for name in CAR.channels}


def weaving_targets() -> np.ndarray:
    motion = drive(120, phase=0.3)
    frames = ClipFrames.of(np.arange(120) * 100_000_000, {k: motion[k] for k in ("pose", "speed_mps", "yaw_rate_radps", "curvature_1pm")})
    values, known = frame_targets(frames, CAR)
    return values[known.all(axis=1)]


def head_with(curvature: float, speed: float) -> PathSpeedHead:
    return PathSpeedHead(4, path_anchors=torch.full((1, len(STATIONS_M)), curvature), speed_anchors=torch.full((1, len(CAR.times_s)), speed))


@settings(deadline=None, max_examples=25)
@given(curvature=st.floats(-0.05, 0.05), speed=st.floats(0.0, 15.0))
def test_a_constant_curvature_and_speed_drive_an_arc(curvature: float, speed: float) -> None:
    head = head_with(curvature, speed)
    zero = {"curvature": head.path_anchors[None], "path_logits": torch.zeros(1, 1), "speed": head.speed_anchors[None], "speed_logits": torch.zeros(1, 1)}
    plans, logits = head.plans(zero)
    plan = plans[0, 0].numpy()
    turned = curvature * speed * CAR.times_s
    chord = np.where(np.abs(turned) > 1e-6, np.sin(turned) / curvature if abs(curvature) > 1e-9 else 0.0, speed * CAR.times_s)
    assert plan.shape == (21, 6) and logits.shape == (1, 1)
    np.testing.assert_allclose(plan[:, COLUMN["x_m"]], chord, atol=0.05)
    np.testing.assert_allclose(plan[:, COLUMN["yaw_rad"]], turned, atol=1e-4)
    np.testing.assert_allclose(plan[:, COLUMN["curvature_1pm"]], curvature, atol=1e-6)
    np.testing.assert_allclose(plan[:, COLUMN["acceleration_mps2"]], 0.0, atol=1e-4)


def test_plans_begin_at_the_vehicle_and_are_consistent() -> None:
    recipe = car_recipe()
    torch.manual_seed(0)
    network = make_network(recipe, make_head(CAR, TINY, find_anchors(CAR, weaving_targets(), TINY, seed=0))).eval()
    pictures = torch.randint(0, 255, (2, 6, 128, 256), dtype=torch.uint8)
    with torch.no_grad():
        plans, probabilities = DeployedNetwork(network)(pictures, torch.tensor([[0.8, 1.0], [0.0, 0.0]]), torch.zeros(2, 6))
    assert plans.shape == (2, 6, 21, 6)
    assert torch.allclose(probabilities.sum(-1), torch.ones(2))
    assert plans[:, :, 0, :3].abs().max() == 0.0  # x, y, yaw at t = 0
    way = np.hypot(*np.diff(plans[..., :2].numpy(), axis=2).transpose(3, 0, 1, 2))
    speed = plans[..., COLUMN["speed_mps"]].numpy()
    np.testing.assert_allclose(way, (speed[..., 1:] + speed[..., :-1]) / 2 * 0.2, atol=1e-4)


def test_curvature_is_interpolated_between_stations_and_held_beyond() -> None:
    curvature = torch.linspace(-1.0, 1.0, len(STATIONS_M))
    arcs = torch.tensor([-1.0, 0.0, 1.0, 5.5, 30.0, 76.0, 200.0])
    expected = np.interp(arcs.numpy(), STATIONS_M, curvature.numpy())
    np.testing.assert_allclose(curvature_at(curvature, arcs).numpy()[1:], expected[1:], atol=1e-5)


def test_the_loss_of_the_driver_himself_is_almost_zero() -> None:
    targets = weaving_targets()[:1]
    speed = torch.tensor(targets[0, :, COLUMN["speed_mps"]], dtype=torch.float32)[None]
    path = torch.tensor(path_curvatures(targets), dtype=torch.float32)
    head = PathSpeedHead(4, path_anchors=path, speed_anchors=speed - speed[:, :1])
    outputs = {"curvature": path[None], "path_logits": torch.zeros(1, 1), "speed": speed[None], "speed_logits": torch.zeros(1, 1)}
    _, terms = planner_loss(head, outputs, torch.tensor(targets, dtype=torch.float32), LossWeights())
    assert terms["trajectory"] < 0.1 and terms["speed"] == 0.0 and terms["mode"] == 0.0


def test_to_be_beside_the_path_costs_the_more_the_fewer_metres_it_took() -> None:
    """Half a metre in a slow turn is half a lane's margin; by the time that it takes it would be as little as in 30 m."""
    cost = {}
    for speed_mps in (2.0, 8.0):
        targets = torch.zeros(1, len(CAR.times_s), len(CAR.channels))
        targets[0, :, COLUMN["x_m"]] = speed_mps * torch.tensor(CAR.times_s)
        targets[0, :, COLUMN["speed_mps"]] = speed_mps
        bend = torch.full((1, 1, len(STATIONS_M)), 2.0 * 0.5 / (4.0 * speed_mps) ** 2)  # half a metre beside after 4 s
        head = PathSpeedHead(4, path_anchors=bend[0], speed_anchors=torch.zeros(1, len(CAR.times_s)))
        speed = targets[:, None, :, COLUMN["speed_mps"]]
        outputs = {"curvature": bend, "path_logits": torch.zeros(1, 1), "speed": speed, "speed_logits": torch.zeros(1, 1)}
        cost[speed_mps] = float(planner_loss(head, outputs, targets, LossWeights())[1]["trajectory"])
    assert cost[2.0] > 2.0 * cost[8.0] > 0.0


@pytest.mark.parametrize(
    ("squared_distance", "expected"),
    [
        ([5.0], [1.0]),
        ([0.0, 1.0], [1.0, 0.0]),
        ([2.0, 2.0], [0.5, 0.5]),
        ([1.0, 2.0], [0.8, 0.2]),
        ([100.0, 200.0], [0.8, 0.2]),  # no scale
        ([0.01, 0.01, 90.0], [0.5, 0.5, 0.0]),
        ([0.0, 0.0], [0.5, 0.5]),  # the same anchor twice, hit by both
    ],
)
def test_near_anchors_share_what_is_learned(squared_distance: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(shares(torch.tensor([squared_distance]))[0], expected, atol=1e-6)


def test_far_modes_do_not_learn_from_the_residual() -> None:
    targets = torch.tensor(weaving_targets()[:4], dtype=torch.float32)
    anchors = find_anchors(CAR, weaving_targets(), TINY, seed=0)
    anchors["path_anchors"] = torch.stack([anchors["path_anchors"][0], anchors["path_anchors"][0] + 0.3, anchors["path_anchors"][-1]])
    head = make_head(CAR, Network(width=8), anchors)
    outputs = head(torch.randn(4, 8), torch.randn(4, 8), torch.full((4, 1), 8.0), torch.ones(4, 1))
    for value in outputs.values():
        value.retain_grad()
    loss, _ = planner_loss(head, outputs, targets, LossWeights(mode=0.0))
    loss.backward()
    pull = outputs["curvature"].grad.abs().sum(-1)
    assert (pull[:, 1] < 1e-3 * pull.sum(-1)).all()


def test_steering_loss_is_zero_at_the_angle() -> None:
    head = SteeringHead(4, mean_rad=0.1, scale_rad=0.5)
    targets = torch.tensor([[[0.3]], [[-0.2]]])
    loss, _ = planner_loss(head, {"angle": targets[:, 0]}, targets, LossWeights())
    assert loss == 0.0
    made = make_head(STEERING_ONLY, Network(width=4), {"mean_rad": torch.tensor(0.1), "scale_rad": torch.tensor(0.5)})
    assert made.plans({"angle": targets[:, 0]})[0].shape == (2, 1, 1, 1)


@pytest.mark.parametrize("told", [{}, {"ego_inputs": ("speed_mps",)}, {"augmentation": dataclasses.replace(CALM, mirror=False)}])
def test_a_mirrored_picture_asks_for_the_opposite_angle(told: dict) -> None:
    """Unless the network was told something that would have to be mirrored, too, or has not learned from mirrored pictures."""
    torch.manual_seed(0)
    recipe = wheel_recipe(**{"augmentation": dataclasses.replace(CALM, mirror=True), **told})
    network = make_network(recipe, make_head(STEERING_ONLY, recipe.network, {"mean_rad": torch.tensor(0.1), "scale_rad": torch.tensor(0.5)})).eval()
    pictures = torch.randint(0, 255, (2, 6, 128, 256), dtype=torch.uint8)
    ego, route = torch.ones(2, 2 * len(recipe.ego_inputs)), torch.zeros(2, 6)
    with torch.no_grad():
        angle, mirrored = (DeployedNetwork(network)(p, ego, route)[0] for p in (pictures, pictures.flip(-1)))
    assert torch.allclose(angle, -mirrored, atol=1e-6) == (not told) and angle.abs().min() > 1e-4


def test_without_residuals_every_plan_is_a_typical_one() -> None:
    anchors = find_anchors(CAR, weaving_targets(), TINY, seed=0)
    head = make_head(CAR, dataclasses.replace(TINY, width=8, residuals=False), anchors)
    outputs = head(torch.randn(3, 8), torch.randn(3, 8), torch.full((3, 1), 8.0), torch.ones(3, 1))
    assert torch.equal(outputs["curvature"], anchors["path_anchors"].expand(3, -1, -1))
    torch.testing.assert_close(outputs["speed"], torch.relu(8.0 + anchors["speed_anchors"]).expand(3, -1, -1))
    assert len({tuple(row) for row in outputs["path_logits"].tolist()}) == 3  # what is seen decides between them


def test_passing_on_the_left_and_on_the_right_are_two_modes_beside_turns() -> None:
    """The mean of both leads into whoever is passed: neither may learn from the other."""
    arc = torch.linspace(0.0, 28.0, len(CAR.times_s))
    rng, paths, stations = np.random.default_rng(0), [], np.array(STATIONS_M)
    kinds = ["straight"] * 60 + ["left", "right"] * 10 + ["turn left", "turn right"] * 40
    for kind in kinds:
        away = {"left": 1.0, "right": -1.0}.get(kind, 0.0) * rng.uniform(1.5, 2.5)
        gone = (stations - rng.uniform(0.0, 12.0)) / 16.0  # of half a cosine, 16 m long, which begins sooner or later
        swerve = away * (np.pi / 16.0) ** 2 / 2.0 * np.cos(np.pi * gone) * ((gone > 0.0) & (gone < 1.0))
        turn = {"turn left": 1.0, "turn right": -1.0}.get(kind, 0.0) * rng.uniform(0.02, 0.15)
        paths.append(swerve + turn + 0.001 * rng.normal())
    curvature = torch.tensor(np.array(paths), dtype=torch.float32)
    x, y, yaw, kappa = bicycle(curvature, arc.expand(len(paths), -1))
    speed = torch.full_like(x, 7.0)
    targets = torch.stack([x, y, yaw, speed, 0.0 * x, kappa], -1)
    anchors = find_anchors(CAR, targets.numpy().astype(np.float64), Network(path_modes=6, speed_modes=1), seed=0)
    made = make_head(CAR, Network(width=4, path_modes=6, speed_modes=1), anchors)
    assert isinstance(made, PathSpeedHead)
    outputs = made(torch.zeros(len(kinds), 4), torch.zeros(len(kinds), 4), torch.full((len(kinds), 1), 7.0), torch.ones(len(kinds), 1))
    outputs["curvature"].retain_grad()
    planner_loss(made, outputs, targets, LossWeights(mode=0.0))[0].backward()
    pull = outputs["curvature"].grad
    assert pull is not None
    learns = {kind: pull[[k == kind for k in kinds]].abs().sum((0, 2)) for kind in ("left", "right")}
    left, right = int(learns["left"].argmax()), int(learns["right"].argmax())
    assert left != right and learns["left"][right] < 0.05 * learns["left"][left] and learns["right"][left] < 0.05 * learns["right"][right]


def test_kmeans_finds_clear_groups_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(centre, 0.01, (30, 3)) for centre in (-2.0, 0.0, 3.0)])
    centres = kmeans(points, 3, seed=1)
    np.testing.assert_allclose(centres.mean(axis=1), [-2.0, 0.0, 3.0], atol=0.02)
    assert kmeans(points, 3, seed=1).tobytes() == centres.tobytes()


def test_kmeans_survives_more_centres_than_different_points() -> None:
    assert np.isfinite(kmeans(np.zeros((5, 2)), 3, seed=0)).all()


@pytest.mark.parametrize("count", [1, 7])
def test_a_network_without_eyes_takes_no_pictures(count: int) -> None:
    recipe = car_recipe()
    network = make_network(recipe, make_head(CAR, TINY, find_anchors(CAR, weaving_targets(), TINY, seed=0)), has_eyes=False)
    assert network((), torch.zeros(count, 2), torch.zeros(count, 6))["speed"].shape == (count, 3, 21)


def test_a_plan_begins_at_the_ego_speed_where_it_is_known() -> None:
    head = make_head(CAR, Network(width=8), find_anchors(CAR, weaving_targets(), TINY, seed=0))
    torch.manual_seed(0)
    speed = head(torch.randn(2, 8), torch.randn(2, 8), torch.tensor([[7.5], [7.5]]), torch.tensor([[1.0], [0.0]]))["speed"][:, :, 0]
    assert torch.allclose(speed[0], torch.tensor(7.5))
    assert (speed[1] != 7.5).all() and (speed[1] >= 0.0).all()
