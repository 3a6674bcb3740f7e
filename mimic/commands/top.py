"""A live view of what drives: rates, ages, latencies, mode, and which limits bite.

    mimic top                                    the built-in simulator's topics; Ctrl-C ends it
    mimic top --vehicle MY_CAR.yaml              those of a vehicle file
    mimic top --namespace car_7                  those of a member of a fleet
    mimic top --once                             one table, after listening for a while
    mimic top --once --json --seconds 10         the same for programs; without --once a line every half second

It only listens: it publishes nothing, offers nothing, and no node needs it. ROS_DOMAIN_ID says where; `mimic up` prints it.

Times are those of publication, as DDS tells them: gaps and latencies are the publishers', not this view's. The command of a picture is
the first that was published after the picture's plan. "stamp -> picture" is only known where stamps are of this machine's clock, which a
simulator's are not. "limits that bite" decided acceleration or curvature otherwise than the planner asked, in that share of the steps.
"""

import argparse
import json
import sys
import time
from importlib.util import find_spec

from mimic.process_table import NAMESPACE
from mimic.top_core import PipelineTopics, TopCore
from mimic.top_text import top_text
from mimic_contracts.errors import MimicError, UsageError
from mimic_contracts.rig import load_rig
from mimic_contracts.vehicle import load_vehicle

PERIOD_S = 0.5
LISTEN_S = 4.0
CLEAR, HOME, END_OF_LINE, BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mimic top`."""
    parser.add_argument("--vehicle", metavar="FILE", default="simulator", help="vehicle file that names the topics, or a name in config/vehicles")
    parser.add_argument("--namespace", metavar="NAME", default="", help="namespace of the nodes, as for `mimic up` (default: none)")
    parser.add_argument("--once", action="store_true", help="one table, then end")
    parser.add_argument("--json", action="store_true", help="JSON objects, one a line, instead of tables")
    parser.add_argument("--seconds", metavar="S", type=float, default=LISTEN_S, help=f"with --once: how long to listen before (default: {LISTEN_S:.0f})")


def run(args: argparse.Namespace) -> int:
    """Show until Ctrl-C, or once; 1 (by MimicError) when nobody is there to be heard."""
    if not NAMESPACE.fullmatch(args.namespace):
        raise UsageError(f"--namespace is '{args.namespace}', must be names of letters, digits and _, as car_7 or fleet/car_7")
    vehicle = load_vehicle(args.vehicle)
    topics = PipelineTopics.of(vehicle, load_rig(vehicle.rig))
    if find_spec("rclpy") is None:
        raise MimicError("mimic top needs rclpy: source a ROS 2 installation, or use the environment that ./demo.sh makes")
    from mimic.ros_top import watch

    core = TopCore(topics)
    is_live = not (args.once or args.json) and sys.stdout.isatty()
    if is_live:
        print(CLEAR, end="")

    def show() -> bool:
        figures = core.figures(steady_ns=time.monotonic_ns())
        print(json.dumps(figures) if args.json else _drawn(top_text(figures), is_live=is_live), flush=True)
        return not args.once

    has_heard = watch(core, topics, show, namespace=args.namespace, period_s=args.seconds if args.once else PERIOD_S)
    if not has_heard:
        raise MimicError("nobody publishes any of the topics here: are ROS_DOMAIN_ID and --namespace those of the nodes? `mimic up` prints the domain")
    return 0


def _drawn(text: str, *, is_live: bool) -> str:
    """In a terminal over the last table; elsewhere below it."""
    return HOME + text.replace("\n", END_OF_LINE + "\n") + END_OF_LINE + BELOW if is_live else text
