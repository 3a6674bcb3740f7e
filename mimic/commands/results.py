"""One page of evidence from result files: who drives how well, what that is worth, and every failure.

    mimic results --drives out/drive_0 out/drive_1 out/drive_2 --scores out/score_0 out/score_1 out/score_2 --out docs/results.md
    mimic results --drives out/drive --scaling out/scaling --out out/results.md --overwrite

--drives are directories that `mimic drive` made, all of one suite: with their baselines, and the baselines black and
grey_lights for a planner's own blind drives. Planners trained by one recipe with different seeds are one driver; the first
one given is the learned planner that is compared and whose failures are listed, the others stand beside it. --scores are
directories of `mimic score`, matched to drives by the hash of the model; --scaling one of `mimic scaling`. The page says
what was not measured. The same files give the same page, byte for byte.
"""

import argparse
import shlex
import sys
from pathlib import Path

from mimic_contracts.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--drives", required=True, nargs="+", type=Path, metavar="DIR", help="directories that `mimic drive` made")
    parser.add_argument("--scores", nargs="+", default=[], type=Path, metavar="DIR", help="directories that `mimic score` made")
    parser.add_argument("--scaling", type=Path, metavar="DIR", help="directory that `mimic scaling` made")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.md", help="the page; films are linked from where it lies")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier page")


def run(args: argparse.Namespace) -> int:
    """Write the page; raises UsageError, and writes nothing, where the files do not belong into one table."""
    if args.out.exists() and not args.overwrite:
        raise UsageError(f"--out: '{args.out}' exists: choose another or add --overwrite")
    from mimic.results_input import read_drives, read_reports, read_scaling
    from mimic.results_page import results_page

    drives, reports = read_drives(args.drives), read_reports(args.scores)
    scaling = read_scaling(args.scaling) if args.scaling else None
    page = results_page(drives, reports, scaling, command=_command(args), out=args.out)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_name(f".{args.out.name}.partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(args.out)
    print(f"results: {args.out}", file=sys.stderr)
    return 0


def _command(args: argparse.Namespace) -> str:
    given = ["--drives", *map(str, args.drives)]
    given += ["--scores", *map(str, args.scores)] if args.scores else []
    given += ["--scaling", str(args.scaling)] if args.scaling else []
    return shlex.join(["mimic", "results", *given, "--out", str(args.out), "--overwrite"])
