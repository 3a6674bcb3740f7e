"""Fixtures that several test files share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("any machine")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real car's bags and others' bags; not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA.name} is not beside this checkout")
    return SHARED_DATA


@pytest.fixture
def ros() -> Iterator["object"]:
    """Real nodes over DDS; see ros_harness.Harness."""
    from ros_harness import Harness

    with Harness() as harness:
        yield harness
