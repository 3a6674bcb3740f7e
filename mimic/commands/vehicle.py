"""Look into vehicle files, find out what belongs into them, and test a vehicle before it is driven for the first time.

    mimic vehicle check MY_CAR.yaml        mistakes, and what follows from its values: compare it with the vehicle
    mimic vehicle identify drives/monday drives/tuesday --topics MY_MAP.yaml --vehicle MY_CAR.yaml --out identified.yaml
    mimic vehicle test MY_CAR.yaml --out first_day.json          wheels off the ground; --on-ground on an empty place
    mimic vehicle test simulator --rehearse --out rehearsal.json
    mimic vehicle intrinsics drives/board --topic /camera/front/image_raw --board 9x6 --square-m 0.025 --out camera_info.yaml

`check`: data on stdout: name and value of what follows, in the unit that the name ends with.

`identify` needs steering wheel angle, speed and yaw rate for the steering; throttle, brake and speed for the pedals; commands
(command_speed_mps, command_yaw_rate_radps or command_steering_wheel_rad) for the delays. These are signals of the topic map; cameras are
not read. On stdout, and in --out, a piece of YAML for the vehicle file: each value with its 95 % interval and the seconds of driving
that it rests on, and what the recording does not tell as a comment that says why. Exit code 1 when it tells nothing.

`test` leads a person through docs/first_day.md: topics, silence, override, speed, steering, stops, the vehicle's own brakes. It starts the
vehicle interface itself, with tighter limits (1 m/s); nothing else of ours may run. Each step is measured, and confirmed on stdin; the
first that fails ends it. The report goes to --out, and for people to a .txt beside it and to stdout. Exit code 0 when every step has passed.

`intrinsics`: a camera's lens from a bag in which a checkerboard is moved before it: through the whole picture, near and far, tilted to
all sides, slowly. --board counts inner corners. On stdout, and in --out, the camera_info file that ROS's camera drivers read
(camera_info_url); on stderr how good it is. Exit code 1, with the reason, when the pictures do not tell it. How the camera is mounted is
found while driving: docs/calibration.md.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mimic.commands.extract import bags_of
from mimic_contracts.errors import MimicError, UsageError, require_package
from mimic_contracts.images import CompressedImage
from mimic_contracts.rig import load_rig
from mimic_contracts.vehicle import VehicleSpec, load_vehicle
from mimic_contracts.vehicle_check import inferred, mistakes, notes
from perception.checkerboard import Board, Corners, Lens, calibrate, camera_info_yaml, find_board
from perception.image_decoding import decode_compressed, decode_raw
from vehicle_interface.identification import Figure, identify
from vehicle_interface.regression import STEP_S

SECTION = "longitudinal."
SEARCH_EVERY_NS = 500_000_000  # pictures in between show the board where it was
LENS_TERMS = ("fx_px", "fy_px", "cx_px", "cy_px", "k1", "k2", "p1", "p2", "k3")
NOT_IN_THE_FILE = ("steering_delay_s", "speed_delay_s", "pedal_delay_s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mimic vehicle check`, `identify` and `intrinsics`."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    check = verbs.add_parser("check", help="find mistakes in a vehicle file, and tell what follows from it")
    check.add_argument("file", help="vehicle file, or a name in config/vehicles")
    identified = verbs.add_parser("identify", help="steering, delays and pedals from recorded driving, as a piece of a vehicle file")
    identified.add_argument("bags", metavar="BAG", nargs="+", type=Path, help="rosbag2 directory or file, ROS 1 bag, or a directory of these")
    identified.add_argument("--topics", metavar="MAP", required=True, help="topic map: a YAML file or the name of one in config/topics")
    identified.add_argument("--vehicle", metavar="FILE", required=True, help="vehicle file with the wheelbase, or a name in config/vehicles")
    identified.add_argument("--out", metavar="FILE.yaml", type=Path, help="write it here, too")
    test = verbs.add_parser("test", help="the first-day procedure: signs and scales, override, stops, each confirmed by a person")
    test.add_argument("file", help="vehicle file, or a name in config/vehicles")
    test.add_argument("--out", metavar="REPORT.json", required=True, type=Path, help="the report; for people it is in a .txt beside it")
    test.add_argument("--person", default="", help="who confirms, for the report; default: the name of the user")
    test.add_argument("--on-ground", action="store_true", help="the vehicle stands on the ground, on an empty place, not with its wheels up")
    test.add_argument("--rehearse", action="store_true", help="with the built-in simulator's car in the vehicle's place")
    test.add_argument("--namespace", default="", help="of a vehicle of a fleet, as car_7")
    test.add_argument("--domain-id", default="", help="ROS domain of the vehicle; default: that of the environment")
    lens = verbs.add_parser("intrinsics", help="a camera's lens from pictures of a checkerboard, as a camera_info file")
    lens.add_argument("bag", metavar="BAG", type=Path, help="rosbag2 directory or file, or ROS 1 bag")
    lens.add_argument("--topic", required=True, help="pictures: sensor_msgs/Image or CompressedImage")
    lens.add_argument("--board", required=True, metavar="COLUMNSxROWS", help="inner corners of the checkerboard, as 9x6")
    lens.add_argument("--square-m", required=True, type=float, help="side of one square, m")
    lens.add_argument("--out", metavar="FILE.yaml", type=Path, help="write it here, too")
    for verb in (identified, test, lens):
        verb.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run(args: argparse.Namespace) -> int:
    """Run one verb."""
    return {"check": _check, "identify": _identify, "test": _test, "intrinsics": _intrinsics}[args.verb](args)


def _check(args: argparse.Namespace) -> int:
    vehicle = _checked(args.file)
    for name, value in inferred(vehicle).items():
        print(f"{name} {value:.3g}")
    return 0


def _checked(file: str) -> VehicleSpec:
    """A vehicle without mistakes; raises MimicError with all of them."""
    vehicle = load_vehicle(file)
    rig = load_rig(vehicle.rig)
    for note in notes(vehicle, rig):
        print(f"note: {note}", file=sys.stderr)
    found = mistakes(vehicle, rig)
    if found:
        raise MimicError(f"{file}: cannot be right:\n  " + "\n  ".join(found))
    return vehicle


def _test(args: argparse.Namespace) -> int:
    _checked(args.file)
    from mimic.first_day import run_first_day

    if args.rehearse and (args.namespace or args.domain_id):
        raise UsageError("--rehearse: has a vehicle and a domain of its own: leave --namespace and --domain-id out")
    place = {"namespace": args.namespace, "domain_id": args.domain_id}
    options = {"person_name": args.person, "on_ground": args.on_ground, "rehearse": args.rehearse, "overwrite": args.overwrite}
    return run_first_day(args.file, out=args.out, place=place, **options)


def _identify(args: argparse.Namespace) -> int:
    bags = bags_of(args.bags)
    _check_out(args)
    require_package("lance", extra="train", purpose="mimic vehicle identify")
    from bag_tools.bag_reader import Bag
    from bag_tools.topic_map import load_topic_map
    from bag_tools.vehicle_signals import vehicle_signals

    topic_map, vehicle = load_topic_map(args.topics), load_vehicle(args.vehicle)
    drives = []
    for path in tqdm(bags, desc="read", unit="bag", file=sys.stderr, disable=len(bags) == 1):
        with Bag(path) as bag:
            signals, missing = vehicle_signals(bag, topic_map, step_s=STEP_S)
        for name, why in missing.items():
            print(f"{path}: no {name}: {why}", file=sys.stderr)
        for name in {"throttle", "brake"} & set(signals):
            low, high = np.nanmin(signals[name]), np.nanmax(signals[name])
            if low < -0.01 or high > 1.01:
                raise MimicError(
                    f"{path}: {name} is {low:.3g} to {high:.3g}, must be a share of the pedal's travel, 0 to 1: give factor and offset in the topic map"
                )
        drives.append(signals)
    figures = identify(drives, vehicle)
    text = fragment(figures, vehicle, bag_count=len(bags))
    print(text, end="")
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    if all(figure.value is None for figure in figures):
        print("mimic vehicle: the recording tells nothing of the vehicle", file=sys.stderr)
        return 1
    return 0


def _intrinsics(args: argparse.Namespace) -> int:
    """Calibrate one camera; raises MimicError with the reason when its pictures do not tell its lens."""
    board = Board.parse(args.board, args.square_m)
    _check_out(args)
    views, (width_px, height_px) = _views(args.bag, args.topic, board)
    lens = calibrate(views, board, width_px=width_px, height_px=height_px)
    print(_said_of(lens), file=sys.stderr)
    name = next((part for part in reversed(args.topic.split("/")) if part not in ("", "compressed", "image_raw", "image", "image_color")), "camera")
    text = camera_info_yaml(lens.info, camera_name=name)
    print(text, end="")
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    return 0


def _views(path: Path, topic: str, board: Board) -> tuple[list[Corners], tuple[int, int]]:
    """The corners where the board was found, and width and height of the pictures; damaged ones are left out, and said."""
    from bag_tools.bag_pictures import picture_payload
    from bag_tools.bag_reader import Bag

    views, sizes, searched, damaged, last_ns = [], set(), 0, 0, -SEARCH_EVERY_NS
    with Bag(path) as bag:
        if topic not in bag.topics:
            raise UsageError(f"topic: {path} has no '{topic}'; it has {', '.join(bag.topics)}")
        if not bag.topics[topic].type_name.endswith(("/Image", "/CompressedImage")):
            raise UsageError(f"topic: '{topic}' is of type {bag.topics[topic].type_name}, must be sensor_msgs/msg/Image or CompressedImage")
        for message in tqdm(bag.messages([topic]), total=bag.topics[topic].message_count, desc="search", unit="picture", file=sys.stderr):
            if message.log_ns - last_ns < SEARCH_EVERY_NS:
                continue
            last_ns = message.log_ns
            try:
                payload = picture_payload(bag, message)
                picture = decode_compressed(payload) if isinstance(payload, CompressedImage) else decode_raw(payload)
            except MimicError as error:
                damaged += 1
                why = str(error)
                continue
            sizes.add((picture.shape[1], picture.shape[0]))
            searched += 1
            corners = find_board(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), board)
            if corners is not None:
                views.append(corners)
    print(f"the board was found in {len(views)} of {searched} pictures", file=sys.stderr)
    if damaged:
        print(f"{damaged} pictures are damaged, the last one: {why}", file=sys.stderr)
    if len(sizes) != 1:
        raise MimicError(f"{path}: {topic} has pictures of {len(sizes)} sizes {sorted(sizes)}, must be of one")
    return views, sizes.pop()


def _said_of(lens: Lens) -> str:
    """How good the calibration is, and each of its values with its interval."""
    k = lens.info.k
    values = (k[0, 0], k[1, 1], k[0, 2], k[1, 2], *lens.info.d)
    terms = [
        f"{name} {value:.5g}" + (f" ± {half_width:.2g}" if half_width > 0.0 else " (too small to be told)")
        for name, value, half_width in zip(LENS_TERMS, values, lens.half_widths, strict=True)
    ]
    figures = f"{lens.used} views that differ, {lens.covered:.0%} of the picture, corners off by {lens.rms_px:.2f} px (rms)"
    return f"{figures}\n{', '.join(terms)} (± half the 95 % interval)"


def _check_out(args: argparse.Namespace) -> None:
    if args.out is not None and args.out.exists() and not args.overwrite:
        raise UsageError(f"{args.out}: exists; --overwrite replaces it")


def fragment(figures: Sequence[Figure], vehicle: VehicleSpec, *, bag_count: int) -> str:
    """A piece of YAML for the vehicle file, with the file's own values beside."""
    lines = [f"# {vehicle.name}, identified from {bag_count} bag{'s' * (bag_count > 1)}; ± is half the 95 % interval, by bootstrap over blocks of time"]
    pedals = [figure for figure in figures if figure.name.startswith(SECTION)]
    lines += [_line(figure, getattr(vehicle, figure.name, None)) for figure in figures if figure not in pedals]
    lines.append("longitudinal:" if any(figure.value is not None for figure in pedals) else "# longitudinal:")
    lines += ["  " + _line(figure, getattr(vehicle.longitudinal, figure.name.removeprefix(SECTION), None)) for figure in pedals]
    return "\n".join(lines) + "\n"


def _line(figure: Figure, old: float | None) -> str:
    name = figure.name.removeprefix(SECTION)
    if figure.value is None:
        return f"# {name}: not identifiable: {figure.why_not}"
    said = "" if old is None else f"; the file says {old:g}"
    comment = "# " if figure.name in NOT_IN_THE_FILE else ""
    digits = min(max(1 - math.floor(math.log10(max(figure.half_width, 1e-6))), 0), 6)  # one more than the interval has
    return f"{comment}{name}: {round(figure.value, digits) + 0.0:g}  # ± {figure.half_width:.2g}, {figure.seconds:.0f} s{said}"
