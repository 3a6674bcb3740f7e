"""Topic maps are checked to the last key; mountings come from /tf_static where the map gives none."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from bag_helpers import MAP, topic_map

from bag_tools.topic_map import Block, bag_name, field_path, load_topic_map
from mimic_contracts.config import config_dir
from mimic_contracts.errors import MimicError


@pytest.mark.parametrize("path", sorted((config_dir() / "topics").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_map_that_is_shipped_is_valid(path: Path) -> None:
    load_topic_map(path.stem)


def test_a_map_reads_as_written(tmp_path: Path) -> None:
    loaded = topic_map(tmp_path)
    assert loaded.blocks() == [("test", Block(start=0.8, end=1.0)), ("val", Block(start=0.6, end=0.8))]
    assert loaded.identity(Path("somewhere/monday.mcap.zstd"))["drive_id"] == "monday"
    assert loaded.split_of_bag(Path("x")) == "train"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rig: mono", "rig: monoo", "rigs: 'monoo'"),
        ("rig: mono\n", "", "missing key rig"),
        ("rig: mono\n", "rig: mono\nspeed: 3\n", "unknown key speed"),
        ("frame_rate_hz: 20.0", "frame_rate_hz: fast", "frame_rate_hz: is 'fast', must be a number"),
        ("frame_rate_hz: 20.0", "frame_rate_hz: 2.0", "max_gap_s: is 0.25, must be at least a frame period"),
        ("  front: {", "  rear: {", "rig 'mono' has front"),
        ("crop: {left_px: 0, top_px: 40, width_px: 160, height_px: 80}", "", "exactly one of them must be given"),
        ("crop: {left_px: 0,", "crop: {left_px: -1,", "cameras.front.crop: crop.left_px: is -1"),
        ("height_px: 80}", "height_px: 80}, mounting: {x_m: far}", "cameras.front.mounting"),
        ("steering_wheel_rad:", "steering_angle:", "signals.steering_angle: unknown signal"),
        (', field: "position[0]"', "", "signals.steering_wheel_rad: missing key field"),
        ("signals:\n", "signals:\n  throttle: {topic: /pedals}\n", "signals.throttle: missing key field"),
        ('"position[0]"', '"position[0"', r"field: is 'position\[0'"),
        ('"position[0]"}', '"position[0]", factor: left}', "factor: is 'left', must be a number"),
        ('  train: ["*"]', '  training: ["*"]', "splits.training: unknown split"),
        ('  train: ["*"]', "  train: all", "splits.train: is 'all', must be a list"),
        ("{start: 0.6, end: 0.8}", "{start: 0.8, end: 0.6}", r"splits.val\[0\]: end: is 0.6"),
        ("region: desk", 'region: desk\nbag_pattern: "("', "is no regular expression"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in MAP
    with pytest.raises(MimicError, match=words):
        topic_map(tmp_path, MAP.replace(old, new, 1))


def test_ids_come_from_the_path(tmp_path: Path) -> None:
    text = MAP.replace('drive_id: "{bag}"', 'drive_id: "{town}_{bag}"\nbag_pattern: "(?P<town>town[0-9]+)/(?P<driver>[a-z]+)/"')
    identity = topic_map(tmp_path, text.replace("driver_id: tester", 'driver_id: "{driver}"')).identity(Path("drives/town03/calm/bag_7"))
    assert identity == {"drive_id": "town03_bag_7", "vehicle_id": "test_car", "driver_id": "calm", "region": "desk"}
    with pytest.raises(MimicError, match="is not found in its path"):
        topic_map(tmp_path, text).identity(Path("drives/bag_7"))
    with pytest.raises(MimicError, match="bad placeholder: 'who'"):
        topic_map(tmp_path, MAP.replace("{bag}", "{who}")).identity(Path("bag_7"))


def test_ids_come_from_the_drive(tmp_path: Path) -> None:
    found = topic_map(tmp_path, MAP.replace("driver_id: tester", 'driver_id: "{driver_id}"'))
    (tmp_path / "bag").mkdir()
    with pytest.raises(MimicError, match="bad placeholder: 'driver_id'"):
        found.identity(tmp_path / "bag")
    (tmp_path / "bag" / "drive.json").write_text('{"driver_id": "driver_7", "seed": 3, "bag": "other"}', encoding="utf-8")
    assert found.identity(tmp_path / "bag")["driver_id"] == "driver_7" and found.identity(tmp_path / "bag")["drive_id"] == "bag"
    (tmp_path / "bag" / "drive.json").write_text("{", encoding="utf-8")
    with pytest.raises(MimicError, match=r"drive\.json: is not valid JSON"):
        found.identity(tmp_path / "bag")


def test_drives_are_split_by_the_town_that_they_were_driven_in(tmp_path: Path) -> None:
    towns = load_topic_map("towns")
    for course, split in (("train_3", "train"), ("val_1", "val"), ("test_2", "test")):
        bag = tmp_path / course / "drive_0004"
        bag.mkdir(parents=True)
        (bag / "drive.json").write_text(json.dumps({"course": course, "seed": 7, "driver_id": "d", "vehicle_id": "v", "is_disturbed": True}))
        assert towns.split_of_bag(bag) == split and towns.identity(bag)["drive_id"] == f"{course}_7_drive_0004"


def test_a_bag_of_no_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MimicError, match=r"no glob of splits matches 'field_1'; they are town\*"):
        topic_map(tmp_path, MAP.replace('train: ["*"]', 'train: ["town*"]')).split_of_bag(Path("field_1"))


@pytest.mark.parametrize(("path", "name"), [("a/b.mcap", "b"), ("b.db3.zstd", "b"), ("x/c.bag", "c"), ("drive.1", "drive.1")])
def test_names_of_bags(path: str, name: str) -> None:
    assert bag_name(Path(path)) == name


def test_field_paths() -> None:
    message = SimpleNamespace(twist=SimpleNamespace(linear=SimpleNamespace(x=3.0)), position=[1.0, 2.0])
    assert field_path("twist.linear.x")(message) == 3.0
    assert field_path("position[1]")(message) == 2.0
    assert field_path("")(message) is message
