"""What lies along a path, unrolled, and the path corrected by it."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from e2e_planner.along_path import AlongPath
from e2e_planner.plan_heads import LOOKED_ALONG, STATIONS_M, PathSpeedHead, bicycle
from mimic_contracts.action_spec import CAR
from perception.ground_view import CELLS, ON_GROUND, cell_middles_m

WIDTH = 8
ROAD = list(ON_GROUND).index("road")
MIDDLES_M = torch.tensor(cell_middles_m(), dtype=torch.float32)


def left_of(curvature: float) -> Tensor:
    """(CELLS) how far to the left of an arc that begins at the vehicle, with its heading, each cell lies, m."""
    x, y = MIDDLES_M.unbind(-1)
    return y if abs(curvature) < 1e-6 else (1.0 / curvature - np.sign(curvature) * torch.hypot(x, y - 1.0 / curvature))


def lane(curvature: float, *, beside_m: float = 0.0) -> Tensor:
    """(1, groups, CELLS): a road of 3 m along an arc, whose middle is so far to the left of the vehicle, with soft edges."""
    ground = torch.zeros(1, len(ON_GROUND), *CELLS)
    ground[0, ROAD] = (2.0 - (left_of(curvature) - beside_m).abs()).clamp(0.0, 1.0)
    return ground


def places_along(looks: AlongPath, curvature: float) -> Tensor:
    """(1, 1, arc, 3) along an arc."""
    return torch.stack(bicycle(torch.full((1, 1, len(STATIONS_M)), curvature), looks.arc_m)[:3], -1)


def head_of(anchors: int, *, sees_ground: bool = True) -> PathSpeedHead:
    torch.manual_seed(0)
    paths = torch.linspace(-0.02, 0.02, anchors)[:, None].expand(-1, len(STATIONS_M)).contiguous()
    return PathSpeedHead(WIDTH, path_anchors=paths, speed_anchors=torch.zeros(1, len(CAR.times_s)), sees_ground=sees_ground).eval()


def asked(count: int) -> tuple[Tensor, ...]:
    """What a head is asked with: features twice, and a known speed."""
    features = torch.randn(count, WIDTH)
    return features, features, torch.full((count, 1), 8.0), torch.ones(count, 1)


@settings(deadline=None, max_examples=30)
@given(curvature=st.floats(-0.05, 0.05), beside_m=st.floats(-2.0, 2.0))
def test_a_lane_that_bends_is_unrolled_to_a_straight_one(curvature: float, beside_m: float) -> None:
    looks = AlongPath(WIDTH, stations=len(STATIONS_M))
    rows = slice(4, 20)  # where all of it lies on the ground that is seen
    bent, straight = (looks._unrolled(lane(c, beside_m=beside_m), places_along(looks, c))[0, 0, ROAD, rows] for c in (curvature, 0.0))
    assert bent.shape == (16, len(looks.beside_m))
    assert (bent - straight).abs().max() < 0.15  # cells are as large as 0.5 m


def test_nothing_is_known_where_a_path_leaves_the_ground() -> None:
    looks = AlongPath(WIDTH, stations=len(STATIONS_M))
    seen = looks._unrolled(torch.ones(1, len(ON_GROUND), *CELLS), places_along(looks, 0.0) + torch.tensor([10.0, 0.0, 0.0]))[0, 0]
    assert (seen[:, :26] == 1.0).all() and (seen[:, 28:] == 0.0).all()  # 37 m ahead it ends, and the path is seen from 10 m ahead on


def test_before_anything_is_learned_it_corrects_nothing() -> None:
    head, features = head_of(6), asked(3)
    plain, corrected = head(*features), head(*features, torch.rand(3, len(ON_GROUND), *CELLS))
    assert all(torch.equal(plain[name], corrected[name]) for name in plain)
    assert head_of(6, sees_ground=False).along is None


def test_the_likeliest_paths_are_corrected_and_no_others() -> None:
    head, features = head_of(6), asked(3)
    assert head.along is not None
    torch.nn.init.normal_(head.along.correct.weight, std=0.1)
    plain, corrected = head(*features), head(*features, torch.rand(3, len(ON_GROUND), *CELLS))
    order = plain["path_logits"].argsort(1, descending=True)
    for n, of_frame in enumerate(order):
        likely, unlikely = of_frame[:LOOKED_ALONG], of_frame[LOOKED_ALONG:]
        for name in ("curvature", "path_logits"):
            changed = (plain[name][n] != corrected[name][n]).reshape(6, -1)
            assert changed[likely].all() and not changed[unlikely].any()
    assert torch.equal(plain["speed"], corrected["speed"])


def test_one_path_alone_is_corrected_too() -> None:
    assert head_of(1)(*asked(2), torch.rand(2, len(ON_GROUND), *CELLS))["curvature"].shape == (2, 1, len(STATIONS_M))


def test_what_is_learned_on_straight_streets_holds_in_bends() -> None:
    torch.manual_seed(1)
    looks = AlongPath(WIDTH, stations=1)
    optimizer = torch.optim.Adam(looks.parameters(), lr=3e-3)
    beside_m = torch.linspace(-1.5, 1.5, 13)
    ground = torch.cat([lane(0.0, beside_m=float(aside)) for aside in beside_m])
    straight, told = places_along(looks, 0.0).expand(13, -1, -1, -1), torch.zeros(13, 1, 1)
    for _ in range(60):
        loss = (looks(ground, straight, told, torch.zeros(13, WIDTH))[0][:, 0, 0] - beside_m).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    looks.eval()
    with torch.no_grad():
        for curvature in (-0.04, 0.03):
            found = [looks(lane(curvature, beside_m=m), places_along(looks, curvature), told[:1], torch.zeros(1, WIDTH))[0].item() for m in (-1.0, 0.0, 1.0)]
            np.testing.assert_allclose(found, (-1.0, 0.0, 1.0), atol=0.3)
