"""Road users as points: what is labelled is what is found again, and how well is said fairly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic_contracts.image_geometry import project_points
from mimic_contracts.labels import AGENT_COLUMNS, CLASS_INDEX, LABEL_STRIDE, NOT_LABELLED
from mimic_contracts.rig import CameraSpec, load_rig
from mimic_contracts.scene import AGENT_KINDS
from perception.agent_boxes import BOX_VALUES, BRAKE, COLUMN, INDICATOR, Found, decode, encode, merge
from perception.loss import PictureLabels, box_loss, heat_loss
from perception.quality import Quality, gate_share

RIG = load_rig("quad")
FRONT = RIG.camera("front")


def agent(x_m: float, y_m: float, *, kind: str = "car", yaw_rad: float = 0.3, camera: CameraSpec = FRONT, **other: float) -> np.ndarray:
    """A labelled road user, whose box in the picture is about right."""
    width_m, height_m = (0.6, 1.8) if kind == "pedestrian" else (1.8, 1.5)
    corners = np.array([[x_m, y_m + s * width_m / 2.0, z] for s in (-1, 1) for z in (0.0, height_m)])
    pixels, _ = project_points(camera, corners)
    (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
    values = {"kind": AGENT_KINDS.index(kind), "left_px": left, "top_px": top, "right_px": right, "bottom_px": bottom, "visible": 1.0, "x_m": x_m, "y_m": y_m}
    values |= {"yaw_rad": yaw_rad, "length_m": 4.2, "width_m": width_m, "height_m": height_m, "speed_mps": 7.0, "brake": 1.0, "indicator": 2.0, "track": 5.0}
    return np.array([{**values, **other}[name] for name in AGENT_COLUMNS], np.float32)


def said_of(targets, camera: CameraSpec) -> tuple[np.ndarray, np.ndarray]:
    """Heads that say exactly what the targets are: heat and boxes."""
    boxes = np.zeros((BOX_VALUES, *targets.heat.shape[1:]), np.float32)
    boxes.reshape(BOX_VALUES, -1)[:, targets.place] = targets.values.T
    boxes[BRAKE] = 4.0 * boxes[BRAKE] - 2.0
    boxes[INDICATOR] *= 5.0
    return targets.heat, boxes


@settings(max_examples=60, deadline=None)
@given(x_m=st.floats(6.0, 55.0), bearing=st.floats(-0.42, 0.42), yaw=st.floats(-3.1, 3.1), name=st.sampled_from(["front", "left", "right", "tele"]))
def test_who_is_labelled_is_found_where_it_is(x_m: float, bearing: float, yaw: float, name: str) -> None:
    camera = RIG.camera(name)
    turn = camera.mounting.yaw_rad + bearing * camera.horizontal_fov_rad / 1.05
    at = np.array([camera.mounting.x_m, camera.mounting.y_m]) + x_m * np.array([np.cos(turn), np.sin(turn)])
    pixel, _ = project_points(camera, np.array([[*at, 0.8]]))
    half = np.array([max(200.0 / x_m, 6.0), max(160.0 / x_m, 6.0)]) / 2.0
    box = {"left_px": pixel[0, 0] - half[0], "right_px": pixel[0, 0] + half[0], "top_px": pixel[0, 1] - half[1], "bottom_px": pixel[0, 1] + half[1]}
    if not (0 <= pixel[0, 0] < camera.width_px - 1 and 0 <= pixel[0, 1] < camera.height_px - 1):
        return
    truth = agent(*at, yaw_rad=yaw, **box)
    found = decode(*said_of(encode(truth[None], camera), camera), camera, min_score=0.9)
    assert len(found.scores) == 1 and found.scores[0] == 1.0
    kept = [i for i, column in enumerate(AGENT_COLUMNS) if column not in ("yaw_rad", "track")]
    np.testing.assert_allclose(found.rows[0, kept], truth[kept], rtol=1e-3, atol=2e-2)
    turned = (found.rows[0, COLUMN["yaw_rad"]] - yaw + np.pi) % (2.0 * np.pi) - np.pi
    assert abs(turned) < 1e-3


def test_a_picture_holds_more_than_a_hundred() -> None:
    middles = [(8.0 + 16.0 * u, 8.0 + 16.0 * v) for u in range(16) for v in range(8)]
    crowd = np.stack([agent(30.0, 0.0, kind="pedestrian", left_px=u - 3.0, right_px=u + 3.0, top_px=v - 5.0, bottom_px=v + 5.0) for u, v in middles])
    found = decode(*said_of(encode(crowd, FRONT), FRONT), FRONT, min_score=0.99)
    assert len(found.scores) == len(middles) == 128


def test_who_can_hardly_be_seen_is_neither_wanted_nor_wrong() -> None:
    hidden, far = agent(12.0, 0.0, visible=0.1), agent(20.0, 4.0, kind="pedestrian", top_px=60.0, bottom_px=62.0)
    targets = encode(np.stack([hidden, far, agent(30.0, -5.0)]), FRONT)
    assert len(targets.place) == 1
    v, u = ((hidden[COLUMN[low]] + hidden[COLUMN[high]]) / 2.0 for low, high in (("top_px", "bottom_px"), ("left_px", "right_px")))
    assert not targets.counts[int(v) // LABEL_STRIDE, int(u) // LABEL_STRIDE] and targets.counts.mean() > 0.9


def test_two_cameras_see_one_car() -> None:
    rows = np.stack([agent(20.0, 1.0), agent(21.0, 1.4), agent(20.5, 6.0), agent(20.2, 5.0, kind="pedestrian")]).astype(np.float64)
    merged = merge([Found(rows=rows[:1], scores=np.array([0.6])), Found(rows=rows[1:], scores=np.array([0.9, 0.8, 0.7]))])
    assert merged.scores.tolist() == [0.9, 0.8, 0.7]


def labels_of(targets) -> PictureLabels:
    shape = targets.heat.shape[1:]
    return PictureLabels(
        semantic=torch.full((1, *shape), NOT_LABELLED),
        log_depth=torch.full((1, 1, *shape), np.nan),
        heat=torch.from_numpy(targets.heat)[None],
        counts=torch.from_numpy(targets.counts)[None, None],
        picture=torch.zeros(len(targets.place), dtype=torch.int64),
        place=torch.from_numpy(targets.place),
        kind=torch.from_numpy(targets.kind),
        values=torch.from_numpy(targets.values),
        is_solid=torch.from_numpy(targets.is_solid),
    )


def test_heads_that_say_the_truth_lose_almost_nothing() -> None:
    targets = encode(np.stack([agent(12.0, 0.0), agent(25.0, -5.0, kind="pedestrian")]), FRONT)
    labels = labels_of(targets)
    logits = torch.where(labels.heat == 1.0, 8.0, -8.0)
    _, boxes = said_of(targets, FRONT)
    assert heat_loss(logits, labels) < 0.01 < 1.0 < heat_loss(-logits, labels)
    assert box_loss(torch.from_numpy(boxes)[None], labels) < 0.3 < box_loss(torch.zeros(1, BOX_VALUES, *targets.heat.shape[1:]), labels)


def test_a_person_must_be_missed_less_than_a_car() -> None:
    targets = encode(np.stack([agent(12.0, 0.0), agent(12.0, -4.0, kind="pedestrian")]), FRONT)
    labels, lost = labels_of(targets), {}
    _, boxes = said_of(targets, FRONT)
    for kind, place in zip(targets.kind, targets.place, strict=True):
        logits, said = torch.where(labels.heat == 1.0, 8.0, -8.0), torch.from_numpy(boxes)[None].clone()
        logits.flatten(2)[0, kind, place] = -2.0
        said.flatten(2)[0, :, place] = 0.0
        lost[AGENT_KINDS[kind]] = heat_loss(logits, labels), box_loss(said, labels)
    assert all(2.0 * car < person for car, person in zip(lost["car"], lost["pedestrian"], strict=True))


def test_nobody_in_a_picture_is_no_error() -> None:
    labels = labels_of(encode(np.zeros((0, len(AGENT_COLUMNS)), np.float32), FRONT))
    loss = box_loss(torch.zeros(1, BOX_VALUES, 32, 64), labels) + heat_loss(torch.full((1, 6, 32, 64), -9.0), labels)
    assert torch.isfinite(loss) and loss < 0.1


def test_average_precision_counts_what_is_missed_and_what_is_made_up() -> None:
    quality = Quality()
    truth = [np.stack([agent(10.0, 0.0, track=1.0), agent(30.0, 3.0, track=2.0), agent(40.0, 0.0, track=3.0, visible=0.1)])]
    said = np.stack([agent(10.4, 0.0), agent(33.0, 3.0), agent(40.0, 0.5), agent(20.0, -8.0)]).astype(np.float64)
    quality.add_agents(truth, Found(rows=said, scores=np.array([0.9, 0.8, 0.7, 0.3])))
    # Within 0.5, 1 and 2 m one of two is found before anything wrong, within 4 m both; the hidden one counts for nothing.
    assert quality.figures()["ap_vehicle"] == pytest.approx((0.5 + 0.5 + 0.5 + 1.0) / 4.0)


def test_a_junction_counts_where_it_ends_and_only_when_it_is_said_to_be_there() -> None:
    quality = Quality()
    at_m, said_m = np.array([10.0, 10.0, 30.0, 30.0, np.nan]), np.array([11.0, 10.0, 32.0, 34.0, 5.0])
    quality.add_stretch("junction", at_m, said_m, np.array([True, False, True, True, True]))
    figures = quality.figures()
    assert (figures["junction_accuracy_0_20_m"], figures["junction_accuracy_20_40_m"], figures["junction_accuracy_0_40_m"]) == (0.5, 0.5, 0.5)
    assert not any(name.startswith("zebra") for name in figures)


def test_what_a_tracker_has_to_know_is_measured() -> None:
    quality = Quality()
    truth = [np.stack([agent(10.0, 0.0, track=1.0, speed_mps=5.0), agent(30.0, 3.0, track=2.0, speed_mps=0.0)])]
    said = np.stack([agent(11.0, 0.0, speed_mps=4.0), agent(33.0, 3.3, speed_mps=1.0), agent(60.0, 3.0), agent(20.0, -8.0)]).astype(np.float64)
    quality.add_agents(truth, Found(rows=said, scores=np.array([0.9, 0.8, 0.4, 0.3])))
    figures = quality.figures()
    assert figures["agent_range_error_share"] == pytest.approx(0.1, rel=0.02)
    assert figures["agent_speed_error_mps"] == pytest.approx(1.0)  # of the one that moves
    assert figures["score_vehicle"] == 0.8 and "score_pedestrian" not in figures


def test_the_gate_asks_for_lights_and_lines_near_by() -> None:
    quality = Quality()
    quality.add_lights(np.array([True, False, True, False]), np.array([5.0, 30.0, np.nan, 70.0]))
    quality.add_lines(np.array([5.0, 30.0, np.nan]), np.array([1, 1, 0]), np.array([6.4, 26.5, 3.0]), np.array([1, 1, 0]))
    figures = quality.figures()
    assert figures["light_accuracy_0_40_m"] == 0.5 and figures["line_accuracy_0_20_m"] == 1.0 and figures["line_accuracy_20_40_m"] == 0.0
    assert gate_share(figures) == 0.5 and gate_share({}) == 0.0


def test_classes_and_depths_are_counted_where_they_are_known() -> None:
    quality = Quality()
    road, sky = CLASS_INDEX["road"], CLASS_INDEX["sky"]
    truth = np.array([road, road, sky, NOT_LABELLED])
    quality.add_places(np.array([road, sky, sky, road]), truth, np.array([10.0, 22.0, 5.0, 1.0]), np.array([10.0, 20.0, np.nan, 100.0]))
    figures = quality.figures()
    assert figures["iou_road"] == 0.5 and figures["iou_sky"] == 0.5 and figures["semantic_miou"] == 0.5
    assert figures["depth_abs_rel"] == pytest.approx(0.05)
