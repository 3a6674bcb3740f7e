"""An operator drives a vehicle by joystick. All of it is in config/bringup/teleop.yaml."""

from mimic.launch_table import describe


def generate_launch_description():
    return describe("teleop")
