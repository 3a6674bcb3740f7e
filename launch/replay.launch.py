"""A recorded drive runs through the real nodes. All of it is in config/bringup/replay.yaml."""

from mimic.launch_table import describe


def generate_launch_description():
    return describe("replay")
