"""A disk that is full, by a limit for the size of files: what was written before can be read, and what went wrong is told shortly."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bag_tools.bag_reader import Bag
from bag_tools.bag_writer import BagWriter
from mimic_contracts.errors import MimicError

TOPIC, TYPE = "/a", "std_msgs/msg/String"
MESSAGE = b"\0\1\0\0" + (200_001).to_bytes(4, "little") + os.urandom(200_000) + b"\0"


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Lets no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_recorded_before_a_disk_was_full_can_be_read(tmp_path: Path, limit: Callable[[int], None]) -> None:
    writer = BagWriter(tmp_path / "bag", overwrite=False)
    writer.add_topic(TOPIC, TYPE)
    for number in range(20):
        writer.write(TOPIC, number, MESSAGE)
    (file,) = tmp_path.rglob("*.mcap")
    limit(file.stat().st_size + 300_000)
    with pytest.raises(OSError, match="too large"):
        for number in range(20, 40):
            writer.write(TOPIC, number, MESSAGE)
    with pytest.raises(MimicError, match=r"bag: cannot be finished: .*; what was recorded is in .*\.bag\.partial"):
        writer.close()
    limit(resource.RLIM_INFINITY)
    with Bag(file) as bag:
        assert 15 < bag.topics[TOPIC].message_count <= 20
        assert any("bytes are there); what follows is lost" in text for text in bag.damage)
        assert max(map(len, bag.damage)) < 200
    assert not (tmp_path / "bag").exists()
