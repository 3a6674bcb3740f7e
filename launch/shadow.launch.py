"""A policy plans beside a human driver; nothing reaches the vehicle. All of it is in config/bringup/shadow.yaml."""

from mimic.launch_table import describe


def generate_launch_description():
    return describe("shadow")
