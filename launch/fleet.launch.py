"""A policy drives a vehicle of a fleet, in a namespace and a domain of its own. All of it is in config/bringup/fleet.yaml and drive.yaml."""

from mimic.launch_table import describe


def generate_launch_description():
    return describe("fleet")
