"""Labels of clip stores: blocks of pixels, columns and back, whose frame is whose truth, and what the simulator says."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import lance
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from test_bag_store import SPEC, circle, clip_of, jpegs, store_with

from bag_tools.clip_store import FRAMES_TABLE, META_FILE, ClipFrames, ClipStore
from bag_tools.label_blocks import block_classes, block_depth_mm
from bag_tools.label_columns import LabelRows, label_image, label_schema
from bag_tools.label_driven_path import driven_path_labels, driven_paths
from bag_tools.label_truth import TruthReport, lane_at_stations, truth_labels
from bag_tools.label_writer import write_labels
from bag_tools.message_bytes import TYPES
from bag_tools.store_writer import StoreWriter
from mimic.cli import main
from mimic_contracts.errors import ContractError, MimicError, UsageError
from mimic_contracts.image_geometry import project_points
from mimic_contracts.labels import (
    AGENT_COLUMNS,
    BEYOND_MM,
    CLASS_INDEX,
    LABEL_STRIDE,
    LAMP_CLASSES,
    LANE_STATIONS_M,
    NOT_LABELLED,
    SEMANTIC_CLASSES,
    SKY_MM,
    FrameLabels,
)
from mimic_contracts.motion import from_frame
from mimic_contracts.rig import load_rig
from mimic_contracts.scene import AGENT_KINDS, INDICATORS, LIGHT_STATES, STOP_RULES
from mimic_sim.record_jobs import Job, make
from mimic_sim.route_spec import RouteSpec

ROAD, POLE = CLASS_INDEX["road"], CLASS_INDEX["pole"]
SHAPE = (32, 64)  # of labels of the rig mono
COLUMN = {name: i for i, name in enumerate(AGENT_COLUMNS)}


def frame_labels(k: int, **changes: Any) -> FrameLabels:
    """Different for every k; every field is given."""
    rng = np.random.default_rng(k)
    agents = rng.normal(size=(k % 3, len(AGENT_COLUMNS))).astype(np.float32)
    agents[: k % 2, COLUMN["x_m"]] = np.nan
    values: dict[str, Any] = {
        "source": "simulator",
        "confidence": 1.0,
        "semantic": {"front": rng.integers(0, len(SEMANTIC_CLASSES), SHAPE).astype(np.uint8)},
        "depth_mm": {"front": rng.integers(0, BEYOND_MM + 1, SHAPE).astype(np.uint16)},
        "agents": {"front": agents},
        "light": LIGHT_STATES[k % len(LIGHT_STATES)],
        "light_visible": k % 2 == 0,
        "stop_line_m": 0.5 * k,
        "junction_start_m": 0.5 * k + 1.0,
        "junction_end_m": 0.5 * k + 12.0,
        "zebra_m": np.nan,
        "stop_rule": STOP_RULES[k % len(STOP_RULES)],
        "lead_gap_m": np.nan,
        "lead_speed_mps": 2.0 * k,
        "speed_limit_mps": 13.9,
        "lane_m": rng.normal(size=(len(LANE_STATIONS_M), 2)).astype(np.float32),
    }
    return FrameLabels(**{**values, **changes})


def same(rows: LabelRows, i: int, labels: FrameLabels) -> bool:
    png, depth, agents = rows.semantic["front"][i], rows.depth["front"][i], rows.agents["front"][i]
    assert png is not None and depth is not None and agents is not None and labels.light and labels.stop_rule
    np.testing.assert_array_equal(label_image(png), labels.semantic["front"])
    np.testing.assert_array_equal(label_image(depth), labels.depth_mm["front"])
    np.testing.assert_array_equal(agents, labels.agents["front"])
    np.testing.assert_array_equal(rows.lane_m[i], labels.lane_m)
    for name, values in rows.numbers.items():
        np.testing.assert_equal(values[i], np.float32(getattr(labels, name)))
    texts = (LIGHT_STATES[rows.light[i]], STOP_RULES[rows.stop_rule[i]], bool(rows.light_visible[i]), rows.source[i], rows.confidence[i])
    return texts == (labels.light, labels.stop_rule, labels.light_visible, labels.source, np.float32(labels.confidence))


LAMPS = [CLASS_INDEX[name] for name in LAMP_CLASSES]


def by_hand(image: NDArray[Any]) -> Iterator[tuple[int, int, list[int]]]:
    for row in range(image.shape[0] // LABEL_STRIDE):
        for column in range(image.shape[1] // LABEL_STRIDE):
            block = image[LABEL_STRIDE * row : LABEL_STRIDE * (row + 1), LABEL_STRIDE * column : LABEL_STRIDE * (column + 1)]
            yield row, column, block.ravel().tolist()


def test_a_block_has_the_class_of_most_pixels() -> None:
    rng = np.random.default_rng(5)
    rest = len(SEMANTIC_CLASSES) - len(LAMP_CLASSES) - 2
    shares = [0.3, 0.3, *[0.29 / rest] * rest, *[0.01 / len(LAMP_CLASSES)] * len(LAMP_CLASSES), 0.1]
    image = rng.choice([*range(len(SEMANTIC_CLASSES)), NOT_LABELLED], (24, 40), p=shares).astype(np.uint8)
    reduced = block_classes(image)
    assert reduced.dtype == np.uint8 and reduced.shape == (6, 10)
    for row, column, pixels in by_hand(image):
        order = [NOT_LABELLED, *range(len(SEMANTIC_CLASSES))]  # the later of two wins
        most = max(order, key=lambda c: (c in LAMPS and pixels.count(c) > 0, pixels.count(c), order.index(c)))  # a lamp before all
        assert reduced[row, column] == most, (row, column)
    assert set(LAMPS) & set(reduced.ravel().tolist())
    half = np.full((4, 4), ROAD, np.uint8)
    half[:2] = POLE
    assert block_classes(half).tolist() == [[POLE]]  # of two, the rarer kind
    half[:2] = NOT_LABELLED
    assert block_classes(half).tolist() == [[ROAD]]
    half[2] = NOT_LABELLED
    assert block_classes(half).tolist() == [[NOT_LABELLED]]


def test_a_block_has_the_depth_in_the_middle_of_what_is_not_sky() -> None:
    rng = np.random.default_rng(6)
    image = rng.choice([SKY_MM, BEYOND_MM, 3], (24, 40), p=[0.6, 0.1, 0.3]).astype(np.uint16)
    image[image == 3] = rng.integers(1, BEYOND_MM, int((image == 3).sum()))
    image[:4, :4] = SKY_MM
    reduced = block_depth_mm(image)
    assert reduced.dtype == np.uint16 and reduced[0, 0] == SKY_MM
    for row, column, pixels in by_hand(image):
        things = sorted(p for p in pixels if p != SKY_MM)
        assert reduced[row, column] == (things[(len(things) - 1) // 2] if things else SKY_MM), (row, column)


def test_lane_points_are_at_lengths_of_arc() -> None:
    angle = np.arange(0.0, 64.1, 2.0) / 30.0
    lane = lane_at_stations(np.stack([30.0 * np.sin(angle), 30.0 - 30.0 * np.cos(angle)], axis=1))
    at = np.array(LANE_STATIONS_M) / 30.0
    np.testing.assert_allclose(lane[:-1], np.stack([30.0 * np.sin(at), 30.0 - 30.0 * np.cos(at)], axis=1)[:-1], atol=0.03)
    assert np.isnan(lane[-1]).all() and np.isnan(lane_at_stations(np.zeros((1, 2)))).all()


def test_labels_of_an_earlier_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_with(tmp_path / "store", a=circle(3))
    write_labels(tmp_path / "store", map(frame_labels, range(3)), overwrite=False)
    asked = label_schema(("front",)).append(pa.field("label_new_m", pa.float32()))
    monkeypatch.setattr("bag_tools.clip_store.label_schema", lambda _: asked)
    with pytest.raises(MimicError, match="labelled by an earlier version, without label_new_m; label again with --overwrite"):
        ClipStore.open(tmp_path / "store").labels(np.arange(3))


def test_labels_are_new_columns_and_come_back(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", a=circle(300), b=circle(20))
    files = {p: p.read_bytes() for p in (tmp_path / "store" / FRAMES_TABLE / "data").iterdir()}
    given = [frame_labels(k) if k % 7 else None for k in range(320)]
    meta = write_labels(tmp_path / "store", iter(given), overwrite=False)
    assert all(p.read_bytes() == content for p, content in files.items())
    labelled = ClipStore.open(tmp_path / "store")
    assert labelled.meta.data_hash == store.meta.data_hash and labelled.meta.labels == meta and labelled.labels_hash == meta.hash
    assert (meta.source, meta.label_stride_px, meta.frame_count, meta.labelled_count) == ("simulator", 4, 320, 320 - 46)
    rows = np.array([310, 5, 7, 5, 0, 299])
    found = labelled.labels(rows)
    assert len(found) == len(rows) and all(same(found, i, labels) for i, k in enumerate(rows.tolist()) if (labels := given[k]))
    for i in (2, 4):  # nothing is known of them
        assert found.semantic["front"][i] is None and found.depth["front"][i] is None and found.agents["front"][i] is None
        assert found.source[i] == "" and found.confidence[i] == 0.0 and np.isnan(found.lane_m[i]).all() and found.light[i] == -1
        assert not any(known[i] for known in found.known.values())
    assert all(known[[0, 1, 3, 5]].all() for known in found.known.values())
    assert len(labelled.labels(np.zeros(0, np.int64))) == 0
    np.testing.assert_array_equal(labelled.frames("b").pose, store.frames("b").pose)
    assert labelled.images(np.array([310]), "front").shape == (1, 128, 256, 3)
    with pytest.raises(MimicError, match="no camera 'tele'"):
        labelled.labels(rows, ["tele"])
    with pytest.raises(MimicError, match="has no labels; add them with `mimic label"):
        store.labels(rows)


def test_what_a_source_does_not_say_is_unknown_and_not_none(tmp_path: Path) -> None:
    store_with(tmp_path / "store", a=circle(3))
    nothing = FrameLabels(source="teacher:1", confidence=0.25)
    no_one = FrameLabels(
        source="teacher:2", confidence=0.5, agents={"front": np.zeros((0, len(AGENT_COLUMNS)), np.float32)}, light_visible=False, lead_gap_m=np.nan
    )
    meta = write_labels(tmp_path / "store", [nothing, no_one, None], overwrite=False)
    assert meta.source == "teacher:1, teacher:2" and meta.labelled_count == 2
    rows = ClipStore.open(tmp_path / "store").labels(np.arange(3))
    assert [agents is None for agents in rows.agents["front"]] == [True, False, True]
    assert {name: known.tolist() for name, known in rows.known.items() if known.any()} == {"light": [False, True, False], "lead_gap_m": [False, True, False]}
    assert rows.source == ["teacher:1", "teacher:2", ""] and rows.confidence.tolist() == [0.25, 0.5, 0.0]


def test_the_hash_sees_every_label_and_only_labels(tmp_path: Path) -> None:
    hashes = set()
    changes: list[dict[str, Any]] = [{}, {}, {"light": "off"}, {"lead_gap_m": None}, {"confidence": 0.5}, {"agents": {}}, {"source": "teacher:1"}]
    for k, change in enumerate(changes):
        store_with(tmp_path / f"store{k}", a=circle(2))
        hashes.add(write_labels(tmp_path / f"store{k}", [frame_labels(1, **change), None], overwrite=False).hash)
    assert len(hashes) == len(changes) - 1


def test_labels_are_replaced_only_when_asked(tmp_path: Path) -> None:
    store_with(tmp_path / "store", a=circle(5))
    first = write_labels(tmp_path / "store", map(frame_labels, range(5)), overwrite=False)
    with pytest.raises(UsageError, match=r"has labels already \(source: simulator\); give --overwrite"):
        write_labels(tmp_path / "store", map(frame_labels, range(5)), overwrite=False)
    reader = ClipStore.open(tmp_path / "store")
    second = write_labels(tmp_path / "store", [frame_labels(k + 10, source="teacher:x") for k in range(5)], overwrite=True)
    assert second.hash != first.hash
    assert same(ClipStore.open(tmp_path / "store").labels(np.arange(5)), 2, frame_labels(12, source="teacher:x"))
    assert same(reader.labels(np.arange(5)), 2, frame_labels(2)), "who opened it before still has its version"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([frame_labels(1)] * 4, "are for 4 frames, the store has 5"),
        ([None] * 5, "no frame of it would get labels"),
        ([frame_labels(1, semantic={"front": np.zeros((128, 256), np.uint8)})] * 5, r"shape is \(128, 256\), must be \(32, 64\)"),
        ([frame_labels(1, semantic={"front": np.full(SHAPE, 99, np.uint8)})] * 5, "class 99 must be below 19, or 255"),
        ([frame_labels(1, agents={"tele": np.zeros((0, len(AGENT_COLUMNS)), np.float32)})] * 5, "labels are of camera 'tele', the store has front"),
    ],
)
def test_labels_that_do_not_fit_leave_the_store_as_it_was(tmp_path: Path, labels: list[FrameLabels | None], words: str) -> None:
    store_with(tmp_path / "store", a=circle(5))
    before = (tmp_path / "store" / META_FILE).read_text()
    with pytest.raises(MimicError, match=words):
        write_labels(tmp_path / "store", labels, overwrite=False)
    assert (tmp_path / "store" / META_FILE).read_text() == before and not list((tmp_path / "store").glob(".*"))
    assert same(labelled(tmp_path / "store", 5).labels(np.arange(5)), 1, frame_labels(1))


def labelled(path: Path, count: int, *, overwrite: bool = False) -> ClipStore:
    write_labels(path, map(frame_labels, range(count)), overwrite=overwrite)
    return ClipStore.open(path)


def test_errors_of_the_source_come_through_and_labels_stay(tmp_path: Path) -> None:
    store_with(tmp_path / "store", a=circle(600))
    before = labelled(tmp_path / "store", 600).meta

    def broken() -> Iterator[FrameLabels]:
        yield from map(frame_labels, range(300))
        raise KeyError("teacher")

    with pytest.raises(KeyError, match="teacher"):
        write_labels(tmp_path / "store", broken(), overwrite=True)
    after = ClipStore.open(tmp_path / "store")
    assert after.meta == before and same(after.labels(np.arange(400, 402)), 1, frame_labels(401))
    assert same(labelled(tmp_path / "store", 600, overwrite=True).labels(np.arange(400, 402)), 1, frame_labels(401))


def test_clips_that_are_appended_have_no_labels_until_they_get_some(tmp_path: Path) -> None:
    store_with(tmp_path / "store", a=circle(5))
    first = labelled(tmp_path / "store", 5)
    with StoreWriter(tmp_path / "store", SPEC, append=True) as writer:
        writer.add_clip(clip_of("b", circle(4)), circle(4), jpegs(4))
    store = ClipStore.open(tmp_path / "store")
    assert store.meta.labels == first.meta.labels and store.meta.frame_count == 9 and store.meta.data_hash != first.meta.data_hash
    rows = store.labels(np.arange(9))
    assert rows.source == ["simulator"] * 5 + [""] * 4 and same(rows, 3, frame_labels(3)) and rows.agents["front"][7] is None
    assert same(labelled(tmp_path / "store", 9, overwrite=True).labels(np.arange(9)), 7, frame_labels(7))


def test_a_store_without_its_labels_columns_is_refused(tmp_path: Path) -> None:
    store_with(tmp_path / "store", a=circle(5))
    meta = tmp_path / "store" / META_FILE
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "labels": {"source": "simulator"}}))
    with pytest.raises(MimicError, match="label again with --overwrite"):
        ClipStore.open(tmp_path / "store")


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": ""},
        {"confidence": 1.5},
        {"light": "blue"},
        {"stop_rule": "maybe"},
        {"lane_m": np.zeros((3, 2), np.float32)},
        {"agents": {"front": np.zeros((1, 3))}},
    ],
)
def test_labels_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        frame_labels(1, **wrong)


def straight(count: int, speed_mps: float) -> ClipFrames:
    x = np.arange(count) * 0.1 * speed_mps
    poses = from_frame(np.stack([x, np.zeros(count), np.zeros(count)], axis=1), np.array([70.0, -5.0, 2.0]))
    return ClipFrames.of(10**18 + np.arange(count) * 100_000_000, {"pose": poses})


@pytest.mark.parametrize(("speed_mps", "length_m"), [(5.0, 20.0), (20.0, 40.0), (0.3, None), (-5.0, None)])
def test_the_driven_path_is_what_comes_next(speed_mps: float, length_m: float | None) -> None:
    path = next(driven_paths(straight(60, speed_mps)))
    if length_m is None:
        assert path is None
    else:
        assert path is not None
        np.testing.assert_allclose(path[-1], [length_m, 0.0, 0.0], atol=1e-6)
    assert list(driven_paths(straight(60, speed_mps)))[-1] is None


def test_the_driven_path_is_road_in_the_picture(tmp_path: Path) -> None:
    frames = circle(100, curvature_1pm=0.03)
    stores = [frames, ClipFrames.of(frames.stamp_ns, {"speed_mps": frames.speed_mps, "yaw_rate_radps": frames.yaw_rate_radps}), ClipFrames.of(frames.stamp_ns)]
    store = store_with(tmp_path / "store", a=stores[0], b=stores[1], c=stores[2])
    labels = list(driven_path_labels(store, load_rig("mono"), width_m=2.0))
    assert len(labels) == 300 and all(one is None for one in labels[200:]) and labels[99] is None
    one, other = labels[5], labels[105]
    assert one is not None and other is not None and (one.source, one.confidence) == ("driven_path", 0.5)
    classes = one.semantic["front"]
    assert set(np.unique(classes)) == {ROAD, NOT_LABELLED} and (classes != other.semantic["front"]).sum() <= 3
    angle = 0.03 * np.array([8.0, 12.0, 20.0, 28.0])
    for side_m, expected in [(0.0, ROAD), (0.8, ROAD), (-0.8, ROAD), (1.9, NOT_LABELLED), (-1.9, NOT_LABELLED)]:
        radius = 1.0 / 0.03 - side_m
        points = np.stack([radius * np.sin(angle), 1.0 / 0.03 - radius * np.cos(angle), np.zeros(4)], axis=1)
        pixels, _ = project_points(load_rig("mono").cameras[0], points)
        u, v = np.round(pixels[pixels[:, 1] < 127] / LABEL_STRIDE - 0.375).astype(int).T
        near = slice(0, 2)  # far away a pixel of the label is wider than the difference
        assert (classes[v[near], u[near]] == expected).all(), side_m
    write_labels(tmp_path / "store", labels, overwrite=False)
    assert ClipStore.open(tmp_path / "store").labels(np.array([5])).source == ["driven_path"]


ROUTE = RouteSpec(
    route_id="drive_0000",
    course=str(Path(__file__).parent / "street.net.xml.gz"),
    start_lane="s1-lights_1",
    end_lane="lights-n1_1",
    start_m=55.0,
    length_m=25.0,
    vehicles=25,
    pedestrians=15,
    seed=3,
    tick_s=0.1,
    driver="calm",
)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a very short drive, drives/drive_0000, and its store."""
    out = tmp_path_factory.mktemp("labels")
    (out / "drives").mkdir()
    assert make(Job(route=ROUTE, driver_id="x", image_rate_hz=5.0, with_ground_truth=True), out / "drives")["left_out"] == ""
    assert main(["extract", str(out / "drives"), "--topics", "simulator", "--out", str(out / "store")]) == 0
    return out


def truth_of(bag: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    with AnyReader([bag], default_typestore=TYPES) as reader:
        for connection, _, raw in reader.messages():
            if connection.topic.startswith("/sim/ground_truth/"):
                found.setdefault(connection.topic.removeprefix("/sim/ground_truth/"), []).append(reader.deserialize(raw, connection.msgtype))
    return found


def test_the_labels_are_what_the_simulator_says(drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(drive / "store", tmp_path / "store")
    arguments = ["label", str(tmp_path / "store"), "--truth", str(drive / "drives")]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    store = ClipStore.open(tmp_path / "store")
    count = store.meta.frame_count
    assert json.loads(out) == {"store": str(tmp_path / "store"), "frames": count, "labelled": count, "labels_hash": store.labels_hash}
    assert f"{count} of {count} frames have labels (source: simulator)" in err and count > 10
    assert main(arguments) == 2 and "give --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0 and ClipStore.open(tmp_path / "store").labels_hash == store.labels_hash
    rows, truth = store.labels(np.arange(count)), truth_of(drive / "drives" / "drive_0000")
    seen = 0
    for i in range(count):
        classes, mm = (cv2.imdecode(truth[f"front/{kind}/compressed"][i].data, cv2.IMREAD_UNCHANGED) for kind in ("semantic", "depth"))
        semantic, depth, agents = rows.semantic["front"][i], rows.depth["front"][i], rows.agents["front"][i]
        assert semantic is not None and depth is not None and agents is not None
        np.testing.assert_array_equal(label_image(semantic), block_classes(classes))
        np.testing.assert_array_equal(label_image(depth), block_depth_mm(mm))
        solid = {marker.id: marker for marker in truth["boxes_3d"][i].markers}
        boxes = json.loads(truth["front/boxes_2d"][i].data)["boxes"]
        assert len(agents) == len(boxes)
        for row, box in zip(agents, boxes, strict=True):
            seen += 1
            assert (AGENT_KINDS[int(row[COLUMN["kind"]])], INDICATORS[int(row[COLUMN["indicator"]])]) == (box["kind"], box["indicator"])
            assert (row[COLUMN["track"]], row[COLUMN["brake"]]) == (box["id"], box["brake"])
            np.testing.assert_allclose(row[1:6], [*box["bounds_px"], box["visible"]], rtol=1e-6)
            np.testing.assert_allclose(row[COLUMN["speed_mps"]], box["speed_mps"], rtol=1e-6)
            if box["id"] in solid:
                marker = solid[box["id"]]
                found = [row[COLUMN[name]] for name in ("x_m", "y_m", "length_m", "width_m", "height_m")]
                np.testing.assert_allclose(found, [marker.pose.position.x, marker.pose.position.y, marker.scale.x, marker.scale.y, marker.scale.z], rtol=1e-5)
                assert marker.ns == box["kind"]
            else:
                assert np.isnan(row[COLUMN["x_m"] : COLUMN["height_m"] + 1]).all()
        situation = json.loads(truth["situation"][i].data)
        assert rows.numbers["speed_limit_mps"][i] == np.float32(situation["speed_limit_mps"])
        stop_line, light, junction, zebra, lead = (situation[name] for name in ("stop_line", "light", "junction", "zebra", "lead"))
        np.testing.assert_equal(rows.numbers["stop_line_m"][i], np.float32(stop_line["distance_m"] if stop_line else np.nan))
        np.testing.assert_equal(rows.numbers["junction_end_m"][i], np.float32(junction["end_m"] if junction else np.nan))
        np.testing.assert_equal(rows.numbers["junction_start_m"][i], np.float32(junction["start_m"] if junction else np.nan))
        np.testing.assert_equal(rows.numbers["zebra_m"][i], np.float32(zebra["distance_m"] if zebra else np.nan))
        np.testing.assert_equal(rows.numbers["lead_gap_m"][i], np.float32(lead["gap_m"] if lead else np.nan))
        assert rows.stop_rule[i] == (STOP_RULES.index(stop_line["rule"]) if stop_line else -1)
        assert (rows.light[i], rows.light_visible[i]) == ((LIGHT_STATES.index(light["state"]), light["is_visible"]) if light else (-1, False))
        lane = truth["lane"][i].poses[5].pose.position  # 10 m ahead on a street that is nearly straight
        np.testing.assert_allclose(rows.lane_m[i, 1], [lane.x, lane.y], atol=0.05)
    assert seen > 10 and any(store.frames(store.clips()[0].clip_id).signals) and "route_points" in store.meta.signals


def test_frames_without_truth_are_counted(drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = ClipStore.open(drive / "store")
    frames = source.frames(source.clips()[0].clip_id)
    shifted = ClipFrames.of(frames.stamp_ns + (np.arange(len(frames)) == 3) * 1_000, {"pose": frames.pose})
    with StoreWriter(tmp_path / "store", SPEC) as writer:
        for name, one in (("d/drive_0000/0", shifted), ("d/drive_0001/0", frames), ("d/drive_0000/1", ClipFrames.of(frames.stamp_ns[:2]))):
            writer.add_clip(clip_of(name, one), one, jpegs(len(one)))
    report = TruthReport()
    shutil.copytree(drive / "drives" / "drive_0000", tmp_path / "drive_7")
    bags = [drive / "drives" / "drive_0000", tmp_path / "drive_7"]
    labels = list(truth_labels(ClipStore.open(tmp_path / "store"), bags, report))
    n = len(frames)
    assert [i for i, one in enumerate(labels) if one is None] == [3, *range(n, 2 * n)] and len(labels) == 2 * n + 2
    assert (report.without_truth, report.without_bag, report.unused) == ({"drive_0000": 1}, {"drive_0001": n}, [str(tmp_path / "drive_7")])
    assert main(["label", str(tmp_path / "store"), "--truth", *map(str, bags)]) == 0
    err = capsys.readouterr().err
    assert f"drive_0001: {n} frames without labels: this bag was not given" in err and "drive_7: no frame of the store is from it" in err
    assert "drive_0000: 1 frames without labels: no ground truth has their stamps" in err
    assert lance.dataset(str(tmp_path / "store" / FRAMES_TABLE)).count_rows("label_source is null") == n + 1


def test_another_recording_of_the_same_name_is_refused(drive: Path, tmp_path: Path) -> None:
    source = ClipStore.open(drive / "store")
    frames = source.frames(source.clips()[0].clip_id)
    moved = ClipFrames.of(frames.stamp_ns, {"pose": frames.pose + np.array([3.0, 0.0, 0.0])})
    with StoreWriter(tmp_path / "store", SPEC) as writer:
        writer.add_clip(clip_of("d/drive_0000/0", moved), moved, jpegs(len(moved)))
    bag = drive / "drives" / "drive_0000"
    with pytest.raises(MimicError, match=r"the vehicle is 3\.0 m from where the store has it .* another recording of that name"):
        write_labels(tmp_path / "store", truth_labels(ClipStore.open(tmp_path / "store"), [bag], TruthReport()), overwrite=False)
    shutil.copytree(bag, tmp_path / "other" / "drive_0000")
    with pytest.raises(UsageError, match="have the same name: give --topics"):
        list(truth_labels(ClipStore.open(tmp_path / "store"), [bag, tmp_path / "other" / "drive_0000"], TruthReport()))


@pytest.mark.parametrize("wrong", [["--truth", "absent"], ["--driven-path", "--topics", "simulator"], ["--truth", ".", "--vehicle", "simulator"], []])
def test_wrong_usage(tmp_path: Path, wrong: list[str]) -> None:
    try:
        assert main(["label", str(tmp_path / "store"), *wrong]) == 2
    except SystemExit as error:
        assert error.code == 2
