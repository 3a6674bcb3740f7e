"""A policy drives a vehicle. All of it is in config/bringup/drive.yaml."""

from mimic.launch_table import describe


def generate_launch_description():
    return describe("drive")
