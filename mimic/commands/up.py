"""Start the nodes of a bring-up without `launch`: the same processes with the same parameters.

    mimic up sim policy:=out/demo/run
    mimic up drive vehicle:=config/vehicles/my_car.yaml policy:=RUN
    mimic up drive --show-args

Ctrl-C ends them. Bring-ups: the tables in config/bringup, or a path to one.
"""

import argparse
import sys

from mimic_contracts.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("name", help="name of a table in config/bringup, or a path to one")
    parser.add_argument("arguments", nargs="*", metavar="key:=value", help="arguments of the table")
    parser.add_argument("--show-args", action="store_true", help="list the table's arguments and end")


def run(args: argparse.Namespace) -> int:
    """Run until a process that ends all does so, one fails, or Ctrl-C."""
    from mimic.bringup import start
    from mimic.process_table import Table

    table = Table.load(args.name)
    if args.show_args:
        for name, argument in table.arguments.items():
            allowed = f" (one of {', '.join(argument.choices)})" if argument.choices else ""
            print(f"{name}:={argument.default or ('REQUIRED' if argument.required else chr(39) * 2)}  {argument.description}{allowed}")
        return 0
    with start(args.name, key_values(args.arguments), is_quiet=False) as bringup:
        domain = f" To look at it: export ROS_DOMAIN_ID={bringup.environment['ROS_DOMAIN_ID']}." if table.loopback else ""
        print(f"{table.name}: {table.description}{domain} Ctrl-C ends it.", file=sys.stderr)
        return bringup.wait()


def key_values(texts: list[str]) -> dict[str, str]:
    """{'policy': 'RUN'} of ['policy:=RUN']; raises UsageError naming what is not of this form."""
    values = {}
    for text in texts:
        key, separator, value = text.partition(":=")
        if not separator or not key:
            raise UsageError(f"'{text}' must be key:=value")
        values[key] = value
    return values
