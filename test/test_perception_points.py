"""What stands out in a rig's pictures is passed on."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mimic_contracts.labels import AGENT_COLUMNS, CLASS_INDEX, LABEL_STRIDE, SEMANTIC_CLASSES
from mimic_contracts.rig import load_rig
from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import BOX_VALUES, decode
from perception.heads import FINE_CHANNELS
from perception.points import GLIMPSE_VALUES, GROUPS, LEAST_SCORE, SCORE, TYPICAL_PLACE_M, Points, point_values

RIG = load_rig("quad")
FIRST_FINE = 3 + len(AGENT_KINDS) + BOX_VALUES
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
    np.testing.assert_allclose(TYPICAL_PLACE_M * point[1:3].numpy(), place, atol=1e-4)
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
