"""Every bag is opened as far as it goes, with its damage said, or refused with the reason."""

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest
from bag_helpers import CAMERA, SHARED, WHEEL, drive, text, write_bag
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from bag_tools.bag_info import bag_info, info_table
from bag_tools.bag_reader import Bag
from mimic.cli import main
from mimic_contracts.errors import MimicError

# name → messages, messages that can be decoded
SHARED_BAGS = {
    "db3_ackermann_gps_114s": (5348, 4314),  # ackermann_msgs is not embedded
    "db3_split": (6074, 6074),
    "db3_split_no_metadata": (3177, 3177),
    "mcap_split": (6074, 6074),
    "mcap_split_no_metadata": (3177, 3177),
    "mcap_wrong_serialization": (7, 0),
    "ros1_husky_395s.bag": (16806, 16806),
    "ros1_no_messages.bag": (0, 0),
    "ros1_turtlesim.bag": (8647, 8647),
    "ros1_turtlesim_bz2.bag": (8647, 8647),
    "ros1_turtlesim_lz4.bag": (8647, 8647),
    "ros1_unsorted_chunks.bag": (3, 3),
}


@pytest.mark.skipif(not (SHARED / "bags").is_dir(), reason="../shared/data/bags is absent")
def test_no_shared_bag_is_forgotten() -> None:
    assert sorted(p.name for p in (SHARED / "bags").iterdir()) == sorted(SHARED_BAGS)


@pytest.mark.skipif(not (SHARED / "bags").is_dir(), reason="../shared/data/bags is absent")
@pytest.mark.parametrize(("name", "messages", "decodable"), [(name, *counts) for name, counts in SHARED_BAGS.items()])
def test_every_shared_bag_is_opened(name: str, messages: int, decodable: int) -> None:
    with Bag(SHARED / "bags" / name) as bag:
        assert bag.damage == []
        assert bag.message_count == messages
        assert sum(topic.message_count for topic in bag.topics.values() if not topic.problem) == decodable
        for message in bag.messages([topic.name for topic in bag.topics.values() if not topic.problem][:2]):
            decoded = bag.decode(message)
            stamp_ns = bag.header_stamp_ns(message)
            assert stamp_ns is None or stamp_ns == decoded.header.stamp.sec * 10**9 + decoded.header.stamp.nanosec


@pytest.mark.skipif(not (SHARED / "bags").is_dir(), reason="../shared/data/bags is absent")
def test_unknown_types_and_formats_are_listed() -> None:
    with Bag(SHARED / "bags" / "db3_ackermann_gps_114s") as bag:
        assert "definition is not embedded" in bag.topics["/vehicle_command_ackermann"].problem
        message = next(bag.messages(["/vehicle_command_ackermann"]))
        with pytest.raises(MimicError, match="ackermann_msgs/msg/AckermannDriveStamped is unknown"):
            bag.decode(message)
    with Bag(SHARED / "bags" / "mcap_wrong_serialization") as bag:
        assert "'wrong_format' is not supported" in bag.topics["/test_topic"].problem


@pytest.mark.parametrize(("plugin", "keep"), [(plugin, keep) for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3) for keep in (0.6, 0.9)])
def test_a_truncated_rosbag2_gives_what_is_left(tmp_path: Path, plugin: StoragePlugin, keep: float) -> None:
    path = write_bag(tmp_path / "bag", drive(3000), plugin)
    (path / "metadata.yaml").unlink()
    (file,) = path.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])
    with Bag(path) as bag:
        assert bag.damage
        assert keep - 0.25 < bag.message_count / 6000 < keep + 0.05
        assert [bag.decode(m).position[0] for m in bag.messages([WHEEL])][:3] == [0.0, 0.01, 0.02]


@pytest.mark.parametrize("size", [0, 3, 8, 100])
@pytest.mark.parametrize("suffix", [".mcap", ".db3", ".bag"])
def test_a_file_with_nothing_in_it_is_refused_with_the_reason(tmp_path: Path, suffix: str, size: int) -> None:
    file = tmp_path / f"broken{suffix}"
    file.write_bytes(b"\x00" * size)
    with pytest.raises(MimicError, match=r"nothing in it can be read: .*(not an MCAP file|not a readable sqlite3 bag|not a ROS 1 bag)"):
        Bag(file)


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    for path, reason in [(tmp_path / "absent", "does not exist"), (tmp_path, "no .mcap or .db3"), (tmp_path / "notes.txt", "must end in")]:
        with pytest.raises(MimicError, match=reason):
            Bag(path)


def test_a_broken_chunk_is_skipped_and_the_rest_kept(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "long", drive(3000))
    file = path / "long.mcap"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = b"\xff" * 2000
    file.write_bytes(content)
    with Bag(path) as bag:
        assert bag.damage
        assert 2000 < bag.message_count < 6000


def test_an_unindexed_file_out_of_order_is_read_without_its_index(tmp_path: Path) -> None:
    messages = drive(40)
    shuffled = [messages[(i * 37) % len(messages)] for i in range(len(messages))]
    path = write_bag(tmp_path / "bag", shuffled)
    file = path / "bag.mcap"
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"\x0f" + (4).to_bytes(8, "little"))])  # without summary and footer
    with Bag(path) as bag:
        assert bag.message_count == 80
        assert any("footer" in text for text in bag.damage)
        stamps = [m.log_ns for m in bag.messages()]
        assert sorted(stamps) != stamps
        assert bag_info(bag)["topics"][0]["backward"] > 0


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("has_metadata", [True, False])
def test_compressed_sqlite3_is_read_with_and_without_metadata(tmp_path: Path, mode: CompressionMode, has_metadata: bool) -> None:
    writer = Writer(tmp_path / "bag", version=9)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    store = get_typestore(Stores.ROS2_JAZZY)
    with writer:
        connection = writer.add_connection("/text", "std_msgs/msg/String", typestore=store)
        for k in range(5):
            writer.write(connection, k, store.serialize_cdr(text(f"text {k}")[2], "std_msgs/msg/String"))
    if not has_metadata:
        (tmp_path / "bag" / "metadata.yaml").unlink()
    with Bag(tmp_path / "bag") as bag:
        assert [bag.decode(m).data for m in bag.messages()] == [f"text {k}" for k in range(5)]


def test_storage_compression_and_parts_are_read_in_order(tmp_path: Path) -> None:
    for part in (2, 10):
        writer = Writer(tmp_path / f"part{part}", version=9, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        store = get_typestore(Stores.ROS2_JAZZY)
        with writer:
            connection = writer.add_connection("/text", "std_msgs/msg/String", typestore=store)
            writer.write(connection, part, store.serialize_cdr(text(str(part))[2], "std_msgs/msg/String"))
    split = tmp_path / "split"
    split.mkdir()
    for part in (10, 2):
        (tmp_path / f"part{part}" / f"part{part}.mcap").rename(split / f"bag_{part}.mcap")
    with Bag(split) as bag:
        assert [bag.decode(m).data for m in bag.messages()] == ["2", "10"]


def test_metadata_that_disagrees_is_said(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "bag", drive(10))
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("message_count: 20", "message_count: 99").replace("- bag.mcap", "- bag.mcap\n  - gone.mcap"))
    with Bag(path) as bag:
        assert bag.message_count == 20
        assert any("promises 99" in text for text in bag.damage)
        assert any("gone.mcap" in text for text in bag.damage)
    metadata.write_text("{ not yaml")
    with Bag(path) as bag:
        assert bag.message_count == 20
        assert len([text for text in bag.damage if text.startswith("metadata.yaml")]) == 1


def ros1_bag(path: Path) -> Path:
    store = get_typestore(Stores.ROS1_NOETIC)
    string = store.types["std_msgs/msg/String"]
    with Ros1Writer(path) as writer:
        writer.chunk_threshold = 2000
        connection = writer.add_connection("/text", "std_msgs/msg/String", typestore=store)
        for k in range(500):
            writer.write(connection, k * 10**6, store.serialize_ros1(string(data=f"text {k}"), "std_msgs/msg/String"))
    return path


def test_an_unindexed_or_truncated_ros1_bag_is_read_from_front_to_back(tmp_path: Path) -> None:
    path = ros1_bag(tmp_path / "drive.bag")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with Bag(path) as bag:
        assert len(bag.damage) == 2
        texts = [bag.decode(m).data for m in bag.messages()]
    assert 100 < len(texts) < 500
    assert texts == [f"text {k}" for k in range(len(texts))]
    at = content.index(b"index_pos=") + len(b"index_pos=")
    path.write_bytes(content[:at] + bytes(8) + content[at + 8 :])
    with Bag(path) as bag:
        assert bag.message_count == 500
        assert any("not indexed" in text for text in bag.damage)


def test_a_sqlite3_bag_without_its_tables_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "bag.db3")
    connection.execute("CREATE TABLE other (id INTEGER)")
    connection.commit()
    connection.close()
    with pytest.raises(MimicError, match="not a readable sqlite3 bag"):
        Bag(tmp_path / "bag.db3")


def test_bytes_that_do_not_match_their_type_are_an_error_of_one_message(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(CAMERA, "sensor_msgs/msg/CompressedImage", typestore=store)
        for data in (b"", b"\x00\x01\x00\x00", b"\x00\x01\x00\x00" + b"\xff" * 40):
            writer.write(connection, 1, data)
    with Bag(tmp_path / "bag") as bag:
        for message in bag.messages():
            with pytest.raises(MimicError, match="no sensor_msgs/msg/CompressedImage"):
                bag.decode(message)


def test_info_prints_a_table_or_json_and_goes_on_after_a_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = write_bag(tmp_path / "bag", drive(20)), tmp_path / "bad.mcap"
    bad.write_bytes(b"")
    assert main(["bag", "info", str(bad), str(good)]) == 1
    out, err = capsys.readouterr()
    assert "bad.mcap: nothing in it can be read" in err
    assert CAMERA in out and "20.00" in out and "(+0.005 s)" in out
    with Bag(good) as bag:
        info = bag_info(bag)
    assert info["duration_s"] == pytest.approx(0.95)
    assert CAMERA in info_table(info)
    assert main(["bag", "info", str(good), "--json"]) == 0
    assert '"messages": 40' in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["mcap", "db3", "bag"])
def test_no_damage_leads_to_anything_but_a_clear_error(tmp_path: Path, kind: str, seed: int) -> None:
    if kind == "bag":
        file = ros1_bag(tmp_path / "drive.bag")
    else:
        path = write_bag(tmp_path / "drive", drive(60), StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3)
        file = path / f"drive.{kind}"
    whole, chance = file.read_bytes(), random.Random(seed)
    for _ in range(8):
        content = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.choice([1, 3, 20])):
            at = chance.randrange(len(content) if chance.random() < 0.5 else min(len(content), 400) or 1)
            content[at : at + 8] = chance.randbytes(len(content[at : at + 8]))
        file.write_bytes(content)
        try:
            with Bag(file) as bag:
                bag_info(bag)
                for message in bag.messages():
                    with contextlib.suppress(MimicError):
                        bag.decode(message)
        except MimicError as error:
            assert str(file) in str(error)
