"""What stands out in a rig's pictures is passed on."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mimic_contracts.labels import AGENT_COLUMNS, CLASS_INDEX, LABEL_STRIDE, SEMANTIC_CLASSES
from mimic_contracts.rig import load_rig
from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import BOX_VALUES, SPEED, decode
from perception.heads import FINE_CHANNELS
from perception.points import (
    ALONG_VALUES,
    GLIMPSE_VALUES,
    GROUPS,
    LEAST_SCORE,
    TYPICAL_MPS,
    TYPICAL_OFFSET_M,
    TYPICAL_STATION_M,
    Points,
    along_lane,
    point_values,
    road_users,
)
from perception.road_users import AHEAD, BOX, PLACE, ROAD_USER_VALUES, ROAD_USERS, SCORE, TYPICAL_PLACE_M, carried

RIG = load_rig("quad")
FIRST_FINE = BOX.stop
FIRST_LIGHT = GROUPS.index(1)


def nothing(frames: int = 1) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Fine features and what the heads say where they see nobody, a camera each."""
    fine, said = [], []
    for camera in RIG.cameras:
        size = (camera.height_px // LABEL_STRIDE, camera.width_px // LABEL_STRIDE)
        fine.append(torch.randn(frames, FINE_CHANNELS, *size))
        semantic = torch.zeros(frames, len(SEMANTIC_CLASSES), *size)
        semantic[:, CLASS_INDEX["road"]] = 12.0
        heat = torch.full((frames, len(AGENT_KINDS), *size), -12.0)
        said.append({"heat": heat, "semantic": semantic, "boxes": torch.zeros(frames, BOX_VALUES, *size)})
    return fine, said


@pytest.mark.parametrize("camera", range(4))
def test_a_road_user_is_where_its_box_says(camera: int) -> None:
    torch.manual_seed(0)
    fine, said = nothing()
    said[camera]["heat"][0, 3, 9, 20] = 4.0
    said[camera]["boxes"][0, :, 9, 20] = 0.3 * torch.randn(BOX_VALUES)
    pictures = [torch.randint(0, 255, (1, 6, c.height_px, c.width_px), dtype=torch.uint8) for c in RIG.cameras]
    points = Points(RIG)(pictures, fine, said)
    assert points.shape == (1, len(GROUPS), point_values(4))
    point = points[0, 0]
    assert point[SCORE] == pytest.approx(torch.tensor(4.0).sigmoid().item() - LEAST_SCORE, abs=1e-5)
    assert points[0, 1:, SCORE].max() == 0.0
    found = decode(said[camera]["heat"][0].sigmoid().numpy(), said[camera]["boxes"][0].numpy(), RIG.cameras[camera], min_score=0.5)
    place = [found.rows[0, AGENT_COLUMNS.index(name)] for name in ("x_m", "y_m")]
    np.testing.assert_allclose(TYPICAL_PLACE_M * point[PLACE].numpy(), place, atol=1e-4)
    yaw = found.rows[0, AGENT_COLUMNS.index("yaw_rad")]
    np.testing.assert_allclose(point[AHEAD].numpy(), (np.cos(yaw), np.sin(yaw)), atol=1e-4)
    torch.testing.assert_close(point[FIRST_FINE : FIRST_FINE + FINE_CHANNELS], fine[camera][0, :, 9, 20])
    glimpse = point[FIRST_FINE + FINE_CHANNELS :][:GLIMPSE_VALUES].reshape(3, 3, 4, 4).transpose(0, 1).reshape(3, 12, 4)
    torch.testing.assert_close(64.0 * glimpse + 128.0, pictures[camera][0, :3, 32:44, 80:84].float())
    assert point[-4:].tolist() == [float(i == camera) for i in range(4)]


def test_a_lamp_passes_on_its_fine_features() -> None:
    fine, said = nothing()
    said[1]["semantic"][0, CLASS_INDEX["red_lamp"], 3, 7] = 14.0
    fine[1].requires_grad_(True)
    pictures = [torch.zeros(1, 6, c.height_px, c.width_px) for c in RIG.cameras]
    light = Points(RIG)(pictures, fine, said)[0, FIRST_LIGHT]
    assert light[SCORE].item() == pytest.approx(torch.tensor(2.0).sigmoid().item() - LEAST_SCORE, abs=1e-3)
    light.sum().backward()
    assert fine[1].grad is not None and fine[1].grad[0, :, 3, 7].tolist() == [1.0] * FINE_CHANNELS


def _bend(radius_m: float, turn_rad: float) -> Tensor:
    """(1, S, 2) of a lane that bends to the left."""
    turn = torch.linspace(0.0, turn_rad, 40)[1:]
    return (radius_m * torch.stack([turn.sin(), 1.0 - turn.cos()], 1))[None]


@pytest.mark.parametrize(
    ("at_m", "station_m", "offset_m", "along", "aside"),
    [
        ((12.0, 0.0), 12.0, 0.0, 1.0, 0.0),  # at the beginning of the bend it is nearly straight
        ((40.0, 42.0), 20.0 * np.pi + 2.0, 0.0, 0.0, -1.0),  # beyond its end, where the lane leads to the left
        ((40.0 - 3.0, 42.0), 20.0 * np.pi + 2.0, 3.0, 0.0, -1.0),
        ((-5.0, -2.0), -5.0, -2.0, 1.0, 0.0),  # behind the vehicle
    ],
)
def test_where_road_users_are_along_a_lane(at_m: tuple[float, float], station_m: float, offset_m: float, along: float, aside: float) -> None:
    seen = torch.zeros(1, 3, ROAD_USER_VALUES)
    seen[0, 0, SCORE] = 0.7
    seen[0, 0, PLACE] = torch.tensor(at_m) / TYPICAL_PLACE_M
    seen[0, 0, AHEAD] = torch.tensor((1.0, 0.0))  # to where the ego faces, too
    seen[0, 0, BOX][SPEED] = 0.5  # of 10 m/s
    users = along_lane(seen, _bend(40.0, np.pi / 2.0) if at_m != (12.0, 0.0) else _bend(1000.0, 0.08))
    assert users.shape == (1, 3, ROAD_USER_VALUES + ALONG_VALUES)
    user = users[0, 0]
    assert user[: BOX.stop].tolist() == seen[0, 0].tolist()
    station, offset, near = user[BOX.stop : BOX.stop + 3].tolist()
    assert TYPICAL_STATION_M * station == pytest.approx(station_m, abs=0.1)
    assert TYPICAL_OFFSET_M * offset == pytest.approx(offset_m, abs=0.1)
    assert near == pytest.approx(np.exp(-((offset_m / 2.0) ** 2)), abs=0.1)
    assert user[BOX.stop + 3 : BOX.stop + 5].tolist() == pytest.approx((along, aside), abs=0.05)
    assert (TYPICAL_MPS * user[BOX.stop + 5 :]).tolist() == pytest.approx((5.0 * along, 5.0 * aside), abs=0.2)


def test_road_users_are_the_first_points() -> None:
    seen = torch.arange(7.0 + len(GROUPS) * point_values(4))[None].expand(2, -1)
    users = road_users(seen, 4)
    assert users.shape == (2, ROAD_USERS, ROAD_USER_VALUES)
    assert users[0, 0, 0] == 7.0 and users[1, 1, 0] == 7.0 + point_values(4)


def test_who_stands_stays_in_place_while_the_vehicle_drives_on() -> None:
    then = np.zeros((2, ROAD_USER_VALUES), np.float16)
    then[0, PLACE], then[0, AHEAD] = np.array([10.0, 4.0]) / TYPICAL_PLACE_M, (0.0, 1.0)
    now = carried(then, np.array([10.0, 2.0, np.pi / 2.0]))  # it drives past and turns left
    assert (TYPICAL_PLACE_M * now[0, PLACE]).tolist() == pytest.approx([2.0, 0.0], abs=0.02)
    assert now[0, AHEAD].tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert now.dtype == np.float32 and now[1, BOX].tolist() == [0.0] * BOX_VALUES


def test_whoever_is_nearest_to_a_bend_is_told_the_same_from_either_side() -> None:
    lane_m = torch.tensor([[[10.0, 0.0], [20.0, 0.0], [20.0, 10.0], [20.0, 30.0]]])  # turns left at once
    seen = torch.zeros(1, 2, ROAD_USER_VALUES)
    seen[0, :, PLACE] = (torch.tensor([25.0, -5.0]) + torch.tensor([[1e-4, 0.0], [0.0, 1e-4]])) / TYPICAL_PLACE_M
    seen[0, :, AHEAD] = torch.tensor((1.0, 0.0))
    one, other = along_lane(seen, lane_m)[0, :, BOX.stop :]
    torch.testing.assert_close(one, other, rtol=0.0, atol=1e-3)
    assert one[3:5].tolist() == pytest.approx((np.cos(np.pi / 4.0), -np.sin(np.pi / 4.0)), abs=1e-3)
