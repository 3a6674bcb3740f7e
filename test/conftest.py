"""Fixtures that several test files share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

# How long an example takes says how busy the machine is; the same examples each time, others with --hypothesis-profile=search.
settings.register_profile("search", deadline=None)
settings.register_profile("examples", phases=[Phase.explicit])  # those that are written down, alone
settings.register_profile("any machine", deadline=None, derandomize=True)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many cases the envelope is tried with."""
    parser.addoption("--envelope-cases", type=int, default=20_000, help="sequences that are drawn for the safety envelope (default: %(default)s)")


@pytest.fixture
def envelope_cases(request: pytest.FixtureRequest) -> int:
    """Of the option."""
    return request.config.getoption("--envelope-cases")


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
