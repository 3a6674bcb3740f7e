"""Where the time goes between a camera's picture and the actuation, from the traces of a drive.

    mimic up drive vehicle:=MY_CAR.yaml policy:=RUN trace:=out/trace
    mimic trace out/trace                     a table: milliseconds of each stage of each node, and of the whole way
    mimic trace out/trace --json out.json     one file for ui.perfetto.dev or chrome://tracing, where every frame can be looked at

The whole way is from the publication of a picture to the publication of the actuation that its plan led to at once.
`travelled` is what comes before a node's own work: the middleware and waiting for the node; between machines their clocks count, too.
"""

import argparse
import json
import sys
from pathlib import Path

from mimic_contracts.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="what `trace:=` named: a file NODE.json of each node")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all of it into one file")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from mimic.trace_table import percentiles, rows_of
    from mimic_contracts.stage_trace import chrome_events, read_trace

    paths = sorted(path for path in args.directory.glob("*.json") if path != args.json)
    if not paths:
        raise UsageError(f"{args.directory}: holds no traces (NODE.json): give the directory that `trace:=` named")
    if args.json and args.json.exists() and not args.overwrite:
        raise UsageError(f"{args.json} exists: give --overwrite, or another --json")
    slices = [one for path in paths for one in read_trace(path)]
    print(f"{'node':24}{'stage':14}{'frames':>8}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}  ms")
    for node, stage, times_ms in rows_of(slices):
        figures = "".join(f"{value:9.2f}" for value in percentiles(times_ms))
        print(f"{node:24}{stage:14}{len(times_ms):8}{figures}")
    if args.json:
        args.json.write_text(json.dumps(chrome_events(slices)), encoding="utf-8")
        print(f"{args.json}: open it in ui.perfetto.dev", file=sys.stderr)
    return 0
