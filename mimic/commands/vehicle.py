"""Look into vehicle files.

    mimic vehicle check MY_CAR.yaml        mistakes, and what follows from its values: compare it with the vehicle

Data on stdout: name and value of what follows, in the unit that the name ends with.
"""

import argparse
import sys

from mimic_contracts.errors import MimicError
from mimic_contracts.rig import load_rig
from mimic_contracts.vehicle import load_vehicle
from mimic_contracts.vehicle_check import inferred, mistakes, notes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mimic vehicle check`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = verbs.add_parser("check", help="find mistakes in a vehicle file, and tell what follows from it")
    check.add_argument("file", help="vehicle file, or a name in config/vehicles")


def run(args: argparse.Namespace) -> int:
    """Check one file; raises MimicError with all its mistakes."""
    vehicle = load_vehicle(args.file)
    rig = load_rig(vehicle.rig)
    for note in notes(vehicle, rig):
        print(f"note: {note}", file=sys.stderr)
    found = mistakes(vehicle, rig)
    if found:
        raise MimicError(f"{args.file}: cannot be right:\n  " + "\n  ".join(found))
    for name, value in inferred(vehicle).items():
        print(f"{name} {value:.3g}")
    return 0
