"""The `mimic` command.

    mimic bag info DRIVE                                   what is in a bag, and what is wrong with it
    mimic extract DRIVE --topics MAP.yaml --out STORE      bags → clip store
    mimic train RECIPE.yaml --data STORE --out RUN         learn to drive like the recorded driver
    mimic score --policy RUN --data STORE --split test --out REPORT

Exit codes: 0 done, 1 the work failed, 2 wrong usage. Data on stdout, messages on stderr.
"""

import argparse
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn

from mimic_contracts.errors import MimicError, UsageError

COMMANDS = {
    "bag": "look into bags, record them",
    "extract": "bags → clip store",
    "label": "labels for the frames of a clip store, as new columns",
    "train": "learn from clip stores",
    "scaling": "how much better more data makes it, and a forecast",
    "score": "how close a policy comes to the human, on clips it never saw",
    "replay": "run a recorded drive through the real nodes",
    "sim": "record drives in the built-in simulator, make towns for it",
    "drive": "drive closed loop in the built-in simulator",
    "results": "one page of evidence from the results of drive, score and scaling",
    "vehicle": "check vehicle files, identify vehicles from bags",
    "trace": "where the time goes between a picture and the actuation",
    "release": "name by hash what a bring-up runs with",
    "up": "start a launch file's nodes without `launch`",
    "top": "a live view of what drives: rates, latencies, mode, limits that bite",
}


class Interrupted(KeyboardInterrupt):
    """Told to end. Where a KeyboardInterrupt itself passes through an `exec`, as dataclasses make, Python later ends by
    the signal instead of with our exit code, although it was caught; it does not for a class of our own."""


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted


def main(argv: list[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="mimic", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((a for a in arguments if a in COMMANDS), None)
    for name, text in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == chosen:  # only the chosen command is imported, so that `mimic bag info` needs no torch
            module = import_module(f"mimic.commands.{name}")
            sub.description = module.__doc__
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # to be told to end ends our child processes too, in the background as well
        signal.signal(number, _interrupt)
    try:
        return int(args.run(args))
    except UsageError as error:
        print(f"mimic {args.command}: {error}", file=sys.stderr)
        return 2
    except MimicError as error:
        print(f"mimic {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"mimic {args.command}: interrupted", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
