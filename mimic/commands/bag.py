"""Look into bags, record them, make routes of them.

    mimic bag info drives/monday                     topics, types, rates, gaps, jitter, damage
    mimic bag info drives/*.bag --json               the same for programs
    mimic bag record /camera/front/image_raw/compressed /localization/kinematic_state --out drives/tuesday
    mimic bag route drives/monday --topics MY_MAP.yaml --out monday.yaml      the way that was driven, for route_node

`record` writes serialized messages straight into MCAP until Ctrl-C, and then finishes the bag. What an interrupted
recording leaves (.NAME.partial beside --out) can still be read by `mimic bag info` and `mimic extract`.
"""

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path

from bag_tools.bag_info import bag_info, info_table
from bag_tools.bag_reader import Bag
from bag_tools.bag_writer import check_bag_target
from mimic_contracts.errors import MimicError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mimic bag info`, `mimic bag record` and `mimic bag route`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    info = verbs.add_parser("info", help="what is in bags: topics, rates, gaps, damage")
    info.add_argument("bags", metavar="BAG", nargs="+", type=Path, help="rosbag2 directory or file, or ROS 1 bag")
    info.add_argument("--json", action="store_true", help="one JSON object a bag and line instead of tables")
    record = verbs.add_parser("record", help="record topics until Ctrl-C")
    record.add_argument("topics", metavar="TOPIC", nargs="+", help="topic to record, as soon as somebody publishes it")
    record.add_argument("--out", metavar="BAG", required=True, type=Path, help="directory of the bag")
    record.add_argument("--overwrite", action="store_true", help="replace an existing bag")
    route = verbs.add_parser("route", help="the way that was driven, as a route to follow")
    route.add_argument("bag", metavar="BAG", type=Path, help="rosbag2 directory or file, or ROS 1 bag")
    route.add_argument("--topics", metavar="MAP", required=True, help="topic map with the signal pose, or a name in config/topics")
    route.add_argument("--out", metavar="ROUTE.yaml", required=True, type=Path, help="route file")
    route.add_argument("--overwrite", action="store_true", help="replace an existing route file")


def run(args: argparse.Namespace) -> int:
    """Run one verb; `info` returns 1 when a bag could not be opened, after the others were shown."""
    return {"info": _info, "record": _record, "route": _route}[args.verb](args)


def _info(args: argparse.Namespace) -> int:
    refused = 0
    for path in args.bags:
        try:
            with Bag(path) as bag:
                info = bag_info(bag)
        except MimicError as error:
            refused += 1
            print(f"mimic bag: {error}", file=sys.stderr)
            continue
        print(json.dumps(info) if args.json else info_table(info))
    return 1 if refused else 0


def _record(args: argparse.Namespace) -> int:
    if len(set(args.topics)) != len(args.topics):
        raise UsageError("a topic is given twice")
    check_bag_target(args.out, overwrite=args.overwrite)
    if find_spec("rclpy") is None:
        raise MimicError("mimic bag record needs rclpy: source a ROS 2 installation, or use the environment that ./demo.sh makes")
    from bag_tools.ros_record import record_until_interrupted

    print(f"recording {', '.join(args.topics)} until Ctrl-C", file=sys.stderr)
    counts = record_until_interrupted(args.topics, args.out, overwrite=args.overwrite)
    print(json.dumps({"bag": str(args.out), "messages": counts}))
    return 0


def _route(args: argparse.Namespace) -> int:
    if args.out.suffix != ".yaml":
        raise UsageError(f"--out: is '{args.out}', must end with .yaml")
    if args.out.exists() and not args.overwrite:
        raise UsageError(f"--out: '{args.out}' exists: choose another or add --overwrite")
    from bag_tools.driven_route import driven_route
    from bag_tools.topic_map import load_topic_map
    from mimic_contracts.navigation import route_text

    with Bag(args.bag) as bag:
        route = driven_route(bag, load_topic_map(args.topics), name=args.out.stem)
    args.out.write_text(route_text(route), encoding="utf-8")
    turns = [f"{manoeuvre.command} at {manoeuvre.start_m:.0f} m" for manoeuvre in route.manoeuvres]
    print(json.dumps({"route": str(args.out), "length_m": round(route.length_m, 1), "closed": route.closed, "turns": turns}))
    return 0
