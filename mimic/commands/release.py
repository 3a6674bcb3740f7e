"""Name by hash what a bring-up runs with, so that vehicles start that and nothing else.

    mimic release drive vehicle:=CAR_7.yaml policy:=RUN > car_7.json
    mimic up fleet vehicle:=CAR_7.yaml policy:=RUN namespace:=car_7 domain_id:=7 release:=car_7.json

On stdout: SHA-256 of the code, the table's processes, the vehicle file, its rig, the policy's files and the nodes' parameter files, as JSON.
"""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: those of `mimic up`."""
    parser.add_argument("name", help="name of a table in config/bringup, or a path to one")
    parser.add_argument("arguments", nargs="*", metavar="key:=value", help="arguments of the table: at least those that name files")


def run(args: argparse.Namespace) -> int:
    """Print the release."""
    from mimic.commands.up import key_values
    from mimic.process_table import Table

    print(json.dumps(Table.load(args.name).release(key_values(args.arguments)), indent=2))
    return 0
