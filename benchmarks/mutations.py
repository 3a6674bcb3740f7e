"""Mutated messages at every subscription of every node, while they drive: well-formed ones with wild values, and damaged bytes.

    python benchmarks/mutations.py                     10,000 at each subscription, hours; JSON on stdout
    python benchmarks/mutations.py --count 100 --seed 7 --only planning diagnostics

The subscriptions are those that the nodes have in the ROS graph. No node may die or let an exception through, each command must be inside of the
vehicle file's limits (those of an emergency: a message may say that it is one), and afterwards it must be possible to engage and drive. Exit
code 1 when one of these does not hold.
"""

import argparse
import copy
import json
import math
import random
import re
import sys
import time
from collections import Counter
from contextlib import suppress
from importlib import import_module
from typing import Any

from fault_companions import companions
from fault_drive import STOP_S, FaultDrive
from fault_table import Timeouts
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.subscription import RCLError

from mimic_contracts.ros_lifecycle import LATCHED_QOS

FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, -1e308, 5e-324, 1e39, -1.0, 1.0, 1e6)
TEXTS = (
    "",
    " ",
    "\n",
    "base_link",
    "map",
    "x" * 20_000,
    "ü€😀",
    "base_link;car;m;emergency",
    "follow",
    "rgb8",
    "mono16",
    "jpeg",
    "engaged",
    "camera 'front': ",
)
LENGTHS = (0, 1, 2, 3, 7, 500)
MANY_BYTES = (0, 1, 5, 98_303, 400_000)
NODES = ("camera_node", "planner_node", "supervisor_node", "vehicle_interface_node", "sim_node")
COMMAND_TOPIC = "/vehicle/command"
SAMPLES_S = 2.5  # in which a good message of each topic comes by: camera_info comes once a second
LOOK_S = 15.0  # between two looks at whether all is well, after each of which it drives on
MOVES_MPS, MOVES_S = 3.0, 5.0
GAP_S = 0.005  # between two mutated messages: the nodes shall take them, not drop them


def mutated(message: Any, rng: random.Random) -> Any:
    """A copy of which one to three fields, however deep, have become something wild."""
    wild = copy.deepcopy(message)
    for _ in range(rng.randint(1, 3)):
        _change_somewhere(wild, rng)
    return wild


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Serialized bytes of which some are flipped, or the end is missing, or more has come; the header of four bytes may be hit, too."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    kind = rng.random()
    if kind < 0.2:
        del changed[rng.randrange(4, len(changed) + 1) :]
    if len(changed) < 8:
        changed[3] &= 0xFC  # more padding than there are bytes ends the process in Fast CDR, before any code of ours: docs/safety.md
    return bytes(changed) + (rng.randbytes(rng.randint(1, 40)) if kind > 0.9 else b"")


def _change_somewhere(message: Any, rng: random.Random) -> None:
    types = message.get_fields_and_field_types()
    if not types:
        return
    name, kind = rng.choice(sorted(types.items()))
    value = getattr(message, name)
    if hasattr(value, "get_fields_and_field_types"):
        _change_somewhere(value, rng)
    elif len(inner := _elements(value)) and rng.random() < 0.7:
        _change_somewhere(rng.choice(inner), rng)
    else:
        setattr(message, name, _wild(kind, value, rng))


def _elements(value: Any) -> list[Any]:
    """The messages in a list."""
    return [item for item in value if hasattr(item, "get_fields_and_field_types")] if isinstance(value, list) else []


def _wild(kind: str, value: Any, rng: random.Random) -> Any:
    """Of this type, as ROS names it."""
    sequence = re.fullmatch(r"sequence<(.+?)(?:, (\d+))?>", kind)
    array = re.fullmatch(r"(.+)\[(\d+)\]", kind)
    if sequence and sequence[1] in ("uint8", "octet"):
        return rng.randbytes(rng.choice(MANY_BYTES))
    if sequence:
        return [_one(sequence[1], rng) for _ in range(rng.choice(LENGTHS))]
    if array:
        changed = list(value)
        changed[rng.randrange(len(changed))] = _one(array[1], rng)
        return changed
    return _one(kind, rng)


def _one(kind: str, rng: random.Random) -> Any:
    if kind in ("double", "float"):
        number = rng.choice((*FLOATS, rng.gauss(0.0, 10.0)))
        return number if kind == "double" or not math.isfinite(number) else max(min(number, 3e38), -3e38)
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "octet":
        return rng.randbytes(1)
    if kind.startswith(("string", "wstring")):
        return rng.choice(TEXTS)
    if match := re.fullmatch(r"(u?)int(\d+)", kind):
        bits = int(match[2])
        low, high = (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return rng.choice((low, high, 0, 1, rng.randint(low, high), rng.randint(0, min(high, 300))))
    package, _, name = kind.partition("/")
    message = getattr(import_module(f"{package}.msg"), name.rpartition("/")[2])()
    _change_somewhere(message, rng)
    return message


class Mutator:
    """Finds the subscriptions, keeps a good message of each where there is one, and publishes mutated ones."""

    def __init__(self, drive: FaultDrive, nodes: tuple[str, ...]) -> None:
        self._drive, self._node = drive, drive.node
        self.types = self._subscriptions(nodes)
        self._good: dict[str, bytes] = {}
        samplers = [
            self._node.create_subscription(kind, topic, lambda data, topic=topic: self._good.setdefault(topic, data), self._qos(topic), raw=True)
            for topic, kind in self.types.items()
        ]
        drive.spin_until(lambda: False, SAMPLES_S)
        for sampler in samplers:  # before anything mutated comes by
            self._node.destroy_subscription(sampler)
        self.sent: Counter[str] = Counter()

    def _subscriptions(self, nodes: tuple[str, ...]) -> dict[str, Any]:
        """Topics and message classes, once all nodes are in the graph."""
        in_graph = self._node.get_node_names
        self._drive.wait_until(lambda: set(nodes) <= set(in_graph()), f"{', '.join(nodes)} in the graph")
        found = {}
        for node in nodes:
            for topic, (kind, *_) in self._node.get_subscriber_names_and_types_by_node(node, "/"):
                package, _, name = kind.partition("/msg/")
                found[topic] = getattr(import_module(f"{package}.msg"), name)
        return dict(sorted(found.items()))

    def _qos(self, topic: str) -> QoSProfile:
        """As the topic's publishers offer, best effort and volatile where there are none: what every one of them matches."""
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        is_latched = bool(offered) and all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in offered)
        durability = DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE
        return QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT, durability=durability)

    def attack(self, topic: str, count: int, rng: random.Random) -> None:
        """Publish mutated messages, while the nodes go on as they can; they are engaged anew now and then."""
        message_type, drive = self.types[topic], self._drive
        publisher = self._node.create_publisher(message_type, topic, LATCHED_QOS)  # which every subscription matches
        readers = len(self._node.get_subscriptions_info_by_topic(topic))
        drive.wait_until(lambda: publisher.get_subscription_count() >= readers, f"{readers} subscriptions of {topic}")
        drive.try_to_engage()
        look_s = time.monotonic() + LOOK_S
        while self.sent[topic] < count:
            if time.monotonic() > look_s:
                drive.raise_for_dead()
                drive.spin_until(drive.reset_emergency_stop, STOP_S)  # somebody may have pressed the joystick's button
                drive.engage()
                drive.spin_until(lambda: drive.speed_mps > MOVES_MPS, MOVES_S)
                look_s = time.monotonic() + LOOK_S
            data = self._good.get(topic) or serialize_message(message_type())
            changed = damaged(data, rng) if rng.random() < 0.4 else mutated(deserialize_message(data, message_type), rng)
            with suppress(RCLError):  # what DDS itself does not take
                publisher.publish(changed)
                self.sent[topic] += 1
            drive.spin_until(lambda: False, GAP_S)
        self._node.destroy_publisher(publisher)


def run(drive: FaultDrive, *, count: int, seed: int, only: list[str]) -> dict[str, Any]:
    """Attack one subscription after the other; then engage and drive. What was sent, and what must not be."""
    others = companions(drive.scratch, drive.world)
    others["route_node"]["odometry_topic"] = "/other/odometry"  # or what it says of a wild pose would stop every drive
    drive.start_beside(others)
    drive.engage()
    mutator = Mutator(drive, (*NODES, *others))
    topics = [topic for topic in mutator.types if any(part in topic for part in only)]
    findings = []
    for topic in sorted(topics, key=lambda topic: topic == COMMAND_TOPIC):  # last: what we send there is not what the vehicle interface sends
        from_here = len(drive.commands), len(drive.modes)
        mutator.attack(topic, count, random.Random(f"{seed} {topic}"))
        print(f"{topic}: {mutator.sent[topic]}, {len(drive.commands) - from_here[0]} commands", file=sys.stderr, flush=True)
        if topic != COMMAND_TOPIC:
            findings += [f"{topic}: {finding}" for finding in drive.judge_commands(*from_here, is_emergency=True)]
        findings += [f"{topic}: {finding}" for finding in drive.judge_logs()]
    drive.spin_until(drive.reset_emergency_stop, STOP_S)
    drive.engage()
    drive.wait_until(lambda: drive.speed_mps > MOVES_MPS, f"{MOVES_MPS} m/s after all of it", 60.0)
    drive.raise_for_dead()
    return {"sent": dict(mutator.sent), "commands": len(drive.commands), "findings": findings}


def main() -> int:
    """Run everything and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="mutated messages at each subscription")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TOPIC", help="topics whose names contain one of these")
    parser.add_argument("--patience", type=float, default=1.0, help="times the timeouts, on a machine that is busy with other things")
    args = parser.parse_args()
    with FaultDrive(timeouts=Timeouts.times(args.patience)) as drive:
        figures = run(drive, count=args.count, seed=args.seed, only=args.only)
    print(json.dumps(figures, indent=2))
    return int(bool(figures["findings"]))


if __name__ == "__main__":
    sys.exit(main())
