"""The faults that the nodes must survive, each brought about for real at 50 km/h in the simulator, in real time.

    python benchmarks/faults.py                        all of them, about 25 min; JSON on stdout
    python benchmarks/faults.py --only camera plan     those whose names contain one of these
    python benchmarks/faults.py --seeds 1 2 3          each at three other moments
    python benchmarks/faults.py --busy 2               with two processes beside that starve the others
    python benchmarks/faults.py --markdown             the table of docs/safety.md
    python benchmarks/faults.py --list                 what there is

Of each: every command is inside of the vehicle file's limits, reckoned anew from the messages; the answer comes within its time; the car's whole
outline stays in its lane until it stands, so that it can run into nothing on a free road; no node's log holds an exception; and it can be
engaged again afterwards. Exit code 1 when one of these does not hold. What is documented: docs/safety.md; fault_table.py.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict

import numpy as np
from fault_drive import FaultDrive, Outcome
from fault_injections import Starve
from fault_table import Fault, Timeouts, faults


def run(table: list[Fault], seeds: list[int], timeouts: Timeouts) -> list[Outcome]:
    """All faults at all moments; one bring-up for those that need the same one, and a new one when it is lost."""
    left = sorted(((seed, fault) for seed in seeds for fault in table), key=lambda one: one[1].bringup)
    outcomes: list[Outcome] = []
    while left:
        seed, fault = left[0]
        on_clock, beside = bringup = fault.bringup
        try:
            with FaultDrive(on_clock=on_clock, beside=beside, timeouts=timeouts) as drive:
                while left and left[0][1].bringup == bringup:
                    seed, fault = left.pop(0)
                    outcomes.append(drive.suffer(fault, wait_s=float(np.random.default_rng([seed, len(outcomes)]).uniform(0.5, 4.0))))
                    print(told(outcomes[-1]), file=sys.stderr, flush=True)
        except RuntimeError as error:
            left = [one for one in left if one != (seed, fault)]  # where the bring-up itself failed
            outcomes.append(Outcome.lost(fault, str(error)))
            print(told(outcomes[-1]), file=sys.stderr, flush=True)
    return outcomes


def told(outcome: Outcome) -> str:
    """A line for people."""
    answer = "" if outcome.answer_ms is None else f" {outcome.answer_ms:.0f} of {outcome.within_ms:.0f} ms"
    braking = "" if outcome.braking_ms is None else f", slower after {outcome.braking_ms:.0f} ms"
    before = f", {outcome.false_stops} stops before" if outcome.false_stops else ""
    found = "".join(f"\n    FOUND {finding}" for finding in outcome.findings)
    return f"{outcome.fault}:{answer}{braking}, {outcome.margin_m:.2f} m to the lane's edge{before}{found}"


def markdown(table: list[Fault], outcomes: list[Outcome]) -> str:
    """The table of docs/safety.md, of the worst of all moments."""
    lines = ["| fault | answer | within, ms | answered after, ms | slower after, ms | to the lane's edge, m |", "|---|---|---|---|---|---|"]

    def worst(values: list[float | None]) -> str:
        known = [value for value in values if value is not None]
        return f"{max(known):.0f}" if known else "–"

    for fault in table:
        own = [outcome for outcome in outcomes if outcome.fault == fault.name]
        if own:
            within = f"{1e3 * fault.within_s:.0f}" if fault.within_s else "–"
            times = worst([o.answer_ms for o in own]), worst([o.braking_ms for o in own])
            lines.append(f"| {fault.name} | {fault.answer} | {within} | {times[0]} | {times[1]} | {min(o.margin_m for o in own):.2f} |")
    return "\n".join(lines)


def main() -> int:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="faults whose names contain one of these")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="of the moments at which they begin")
    parser.add_argument("--busy", type=int, default=0, help="processes beside that do nothing but compute")
    parser.add_argument("--patience", type=float, default=1.0, help="times the timeouts, on a machine that is busy with other things")
    parser.add_argument("--markdown", action="store_true", help="a table instead of JSON")
    parser.add_argument("--list", action="store_true", help="only say which there are")
    args = parser.parse_args()
    timeouts = Timeouts.times(args.patience)
    table = [fault for fault in faults(timeouts) if any(part in fault.name for part in args.only)]
    if args.list:
        print("\n".join(fault.name for fault in table))
        return 0
    beside = Starve(args.busy)
    beside.begin(None)  # type: ignore[arg-type]
    try:
        outcomes = run(table, args.seeds, timeouts)
    finally:
        beside.end(None)  # type: ignore[arg-type]
    if args.markdown:
        print(markdown(table, outcomes))
    else:
        print(json.dumps({"busy": args.busy, "load_average": round(os.getloadavg()[0], 1), "outcomes": [asdict(outcome) for outcome in outcomes]}, indent=2))
    return int(any(outcome.findings for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
