"""Extraction: what is counted out of damaged bags, what a crash leaves, and what is kept all the same."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_helpers import (
    ALL_TRAIN,
    CAMERA,
    DAY_NS,
    JPEG,
    PERIOD_NS,
    SHARED,
    START_NS,
    STORE,
    Messages,
    StandIn,
    drive,
    header,
    no_progress,
    picture,
    run,
    topic_map,
    wheel,
    write_bag,
)

from bag_tools.clip_store import ClipStore
from bag_tools.extract import extract
from bag_tools.topic_map import load_topic_map
from mimic_contracts.errors import MimicError


def damaged(kind: str) -> tuple[Messages, int, str]:
    """A drive of 100 frames with one kind of damage, the frames that are left, and what the report counts."""
    messages = drive(100)
    at = 2 * 50
    stamp_ns = START_NS + 50 * PERIOD_NS
    if kind == "zero-length":
        messages[at] = (messages[at][0], picture(stamp_ns, b""))
        return messages, 99, "picture has no data"
    if kind == "truncated":
        messages[at] = (messages[at][0], picture(stamp_ns, JPEG[: len(JPEG) // 2]))
        return messages, 99, "not a whole JPEG"
    if kind == "noise":
        messages[at] = (messages[at][0], picture(stamp_ns, bytes(range(256)) * 4))
        return messages, 99, "not a whole JPEG"
    if kind == "jump":
        messages[at] = (messages[at][0], picture(stamp_ns + 3 * DAY_NS))
        return messages, 99, "clock jumps"
    if kind == "duplicate":
        messages.insert(at, messages[at])
        return messages, 100, "same stamp again"
    if kind == "zero stamp":
        messages[at] = (messages[at][0], picture(0))
        return messages, 99, "header stamp is zero"
    messages[at], messages[at + 4] = messages[at + 4], messages[at]
    return messages, 100, ""


@pytest.mark.parametrize("kind", ["zero-length", "truncated", "noise", "jump", "duplicate", "zero stamp", "out of order"])
def test_damaged_pictures_are_counted_and_the_rest_is_kept(tmp_path: Path, kind: str) -> None:
    messages, left, reason = damaged(kind)
    store, report = run(tmp_path, messages)
    stamps = np.concatenate([store.frames(clip.clip_id).stamp_ns for clip in store.clips()])
    assert len(stamps) == left
    assert set(stamps.tolist()) <= {START_NS + k * PERIOD_NS for k in range(100)}
    for clip in store.clips():
        frames = store.frames(clip.clip_id)
        np.testing.assert_allclose(frames.steering_wheel_rad, (frames.stamp_ns - START_NS) / PERIOD_NS * 0.01, atol=1e-9)
    assert reason in json.dumps(report["bags"][0])


def test_a_clock_that_starts_again_makes_a_clip_of_its_own(tmp_path: Path) -> None:
    later = [(log_ns + 100 * PERIOD_NS, message) for log_ns, message in drive(100)]
    store, report = run(tmp_path, drive(100) + later)
    assert [len(store.frames(clip.clip_id)) for clip in store.clips()] == [100, 100]
    assert report["bags"][0]["left_out"]["clock jumps"] == 1


def test_raw_pictures_whose_payload_does_not_match_their_header_are_skipped(tmp_path: Path) -> None:
    raw = STORE.types["sensor_msgs/msg/Image"]
    messages: Messages = []
    for k in range(60):
        stamp_ns = START_NS + k * PERIOD_NS
        data = np.full(120 * 160 * 3 - (k == 30) * 7, k, np.uint8)
        image = raw(header=header(stamp_ns), height=120, width=160, encoding="rgb8", is_bigendian=0, step=480, data=data)
        messages.append((stamp_ns, ("/raw", "sensor_msgs/msg/Image", image)))
    store, report = run(tmp_path, messages, ALL_TRAIN.replace(CAMERA, "/raw"))
    assert store.meta.frame_count == 59
    assert report["bags"][0]["left_out"] == {"N bytes, must be N": 1}
    assert "topic /vehicle/steering_wheel is not in the bag" in report["bags"][0]["missing_signals"]["steering_wheel_rad"]


def test_a_truncated_bag_keeps_its_good_frames(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "drive", drive(2000))
    file = bag / "drive.mcap"
    file.write_bytes(file.read_bytes()[:1_600_000])
    report = extract([bag], topic_map(tmp_path, ALL_TRAIN), tmp_path / "store", ingest_factory=StandIn, progress=no_progress)
    assert report["bags"][0]["damage"]
    assert 500 < ClipStore.open(tmp_path / "store").meta.frame_count < 2000


class Crashing(StandIn):
    """Fails half-way with something that nobody expects."""

    count = 0

    def ingest(self, camera: str, image: Any) -> Any:
        Crashing.count += 1
        if Crashing.count == 30:
            raise RuntimeError("power cut")
        return super().ingest(camera, image)


@pytest.mark.parametrize("existing", [False, True])
def test_a_crash_leaves_the_old_store_or_none(tmp_path: Path, existing: bool) -> None:
    old = write_bag(tmp_path / "old", drive(40))
    new = write_bag(tmp_path / "new", drive(60))
    once = topic_map(tmp_path, ALL_TRAIN)
    if existing:
        extract([old], once, tmp_path / "store", ingest_factory=StandIn, progress=no_progress)
    Crashing.count = 0
    with pytest.raises(RuntimeError):
        extract([new], once, tmp_path / "store", ingest_factory=Crashing, progress=no_progress, append=existing)
    if existing:
        assert [clip.clip_id for clip in ClipStore.open(tmp_path / "store").clips()] == ["old/old/0"]
    else:
        assert not (tmp_path / "store").exists()


def test_a_killed_extraction_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "drive", drive(3000))
    path = tmp_path / "map.yaml"
    path.write_text(ALL_TRAIN)
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from bag_helpers import StandIn, no_progress
from bag_tools.extract import extract
from bag_tools.topic_map import load_topic_map
class Killed(StandIn):
    count = 0
    def ingest(self, camera, image):
        Killed.count += 1
        if Killed.count == 2000:
            os.kill(os.getpid(), {int(signal.SIGKILL)})
        return super().ingest(camera, image)
extract([Path({str(bag)!r})], load_topic_map({str(path)!r}), Path({str(tmp_path / "store")!r}), ingest_factory=Killed, progress=no_progress)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "store").exists()
    with pytest.raises(MimicError, match="not a clip store"):
        ClipStore.open(tmp_path / ".store.partial")
    extract([bag], load_topic_map(path), tmp_path / "store", ingest_factory=StandIn, progress=no_progress)
    assert ClipStore.open(tmp_path / "store").meta.frame_count == 3000
    assert not (tmp_path / ".store.partial").exists()


def test_one_broken_part_of_a_split_bag_costs_only_itself(tmp_path: Path) -> None:
    split = tmp_path / "split"
    split.mkdir()
    for part in range(3):
        made = write_bag(tmp_path / f"part{part}", drive(60, first_ns=START_NS + part * 60 * PERIOD_NS))
        (made / f"part{part}.mcap").rename(split / f"split_{part}.mcap")
    (split / "split_1.mcap").write_bytes(b"no longer a bag")
    report = extract([split], topic_map(tmp_path, ALL_TRAIN), tmp_path / "store", ingest_factory=StandIn, progress=no_progress)
    assert [len(ClipStore.open(tmp_path / "store").frames(f"split/split/{n}")) for n in (0, 1)] == [60, 60]
    assert any("split_1.mcap" in text for text in report["bags"][0]["damage"])


def tub_frames(count: int) -> Messages:
    images = SHARED / "donkeycar_tub" / "images"
    catalogue = [json.loads(line) for line in (SHARED / "donkeycar_tub" / "catalog_0.catalog").read_text().splitlines()[:count]]
    messages: Messages = []
    for k, row in enumerate(catalogue):
        stamp_ns = START_NS + k * PERIOD_NS  # the tub's own stamps are 3 ms apart, which is not its rate
        jpeg = (images / row["cam/image_array"]).read_bytes()
        messages += [(stamp_ns, picture(stamp_ns, jpeg)), (stamp_ns, wheel(stamp_ns, row["user/angle"]))]
    return messages


@pytest.mark.skipif(not (SHARED / "donkeycar_tub").is_dir(), reason="../shared/data/donkeycar_tub is absent")
def test_the_donkeycar_tub_with_every_damage_at_once(tmp_path: Path) -> None:
    from perception.camera_core import CameraCore

    messages = tub_frames(300)
    good = messages[0][1][2].data.tobytes()
    for index, jpeg in {20: b"", 60: good[: len(good) // 3], 100: b"\x00" * 500}.items():
        messages[2 * index] = (messages[2 * index][0], picture(START_NS + index * PERIOD_NS, jpeg))
    messages[2 * 150] = (messages[2 * 150][0], picture(START_NS + 150 * PERIOD_NS - 30 * DAY_NS))
    messages.insert(2 * 200, messages[2 * 200])
    messages[2 * 250], messages[2 * 251] = messages[2 * 251], messages[2 * 250]
    bag = write_bag(tmp_path / "tub", messages)
    report = extract(
        [bag],
        topic_map(tmp_path, ALL_TRAIN.replace("top_px: 40", "top_px: 40")),
        tmp_path / "store",
        ingest_factory=CameraCore,
        progress=no_progress,
    )
    store = ClipStore.open(tmp_path / "store")
    assert store.meta.frame_count == 300 - 4
    left_out = report["bags"][0]["left_out"]
    assert left_out["picture has no data"] == 1 and left_out["same stamp again"] == 1 and left_out["clock jumps"] == 1
    assert sum(left_out.values()) == 1 + 2 + 1 + 1 + 1  # empty, undecodable, duplicate, jump and its frame
    steering = np.concatenate([store.frames(clip.clip_id).steering_wheel_rad for clip in store.clips()])
    assert np.isfinite(steering).all() and np.abs(steering).max() <= 1.0
