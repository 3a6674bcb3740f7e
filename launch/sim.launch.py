"""A policy drives a course of the built-in simulator. All of it is in config/bringup/sim.yaml."""

from mimic.launch_table import describe


def generate_launch_description():
    return describe("sim")
