"""Message types of actuation: those that are there, and a clear word about those that are not."""

from importlib.util import find_spec

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from mimic_contracts.errors import MimicError
from mimic_contracts.vehicle import ADAPTERS
from vehicle_interface.ros_actuation import MESSAGES, actuation_type


def test_every_adapter_of_a_vehicle_file_has_its_message() -> None:
    assert set(MESSAGES) == set(ADAPTERS)


@pytest.mark.parametrize(("adapter", "message"), MESSAGES.items())
def test_the_type_is_found_or_its_package_is_named(adapter: str, message: tuple[str, str]) -> None:
    package, name = message
    if find_spec(package) is None:
        with pytest.raises(MimicError, match=f"adapter '{adapter}': needs the ROS package {package}.*apt install"):
            actuation_type(adapter)
    else:
        assert actuation_type(adapter).__name__ == name
