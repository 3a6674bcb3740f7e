"""A drive of a vehicle is recorded. All of it is in config/bringup/record.yaml."""

from mimic.launch_table import describe


def generate_launch_description():
    return describe("record")
