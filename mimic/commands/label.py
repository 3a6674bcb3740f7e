"""Labels for the frames of a clip store, as new columns beside its pictures: what every pixel shows, road users, lights, lanes.

    mimic label STORE --truth drives                       the ground truth of `mimic sim record`, in the bags of the store
    mimic label STORE --truth a/drives b/drives --topics config/topics/MAP.yaml     bags of the same name in two places
    mimic label STORE --truth drives --overwrite           replace the labels that are there
    mimic label STORE --teacher RUN                        recordings without truth: what a perception network is sure of
    mimic label STORE --driven-path                        the same without a network: where the car drove next is road

Frames at whose stamp there is no truth get none, and are counted. The driven path (of the next 4 s, at most 40 m, as wide
as the vehicle) is road in the rig's first camera, all else stays unlabelled; its confidence is 0.5. A teacher leaves out
what it is less than 80 % sure of. After `mimic extract --append` the new frames have no
labels until the whole store is labelled again, with --overwrite. Data on stdout: store, frames, how many have labels, the
labels' hash.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from mimic.commands.extract import bags_of
from mimic_contracts.errors import UsageError, require_package
from mimic_contracts.labels import FrameLabels
from mimic_contracts.rig import load_rig
from mimic_contracts.vehicle import load_vehicle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mimic label`."""
    parser.add_argument("store", metavar="STORE", type=Path, help="clip store that gets the labels")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--truth", metavar="BAG", nargs="+", type=Path, help="bags of the store with ground truth, or directories of these")
    source.add_argument("--teacher", metavar="RUN", type=Path, help="what the perception of this run of `mimic train` is sure of")
    source.add_argument("--driven-path", action="store_true", help="where the recorded vehicle drove next, of its pose, or its speed and yaw rate")
    parser.add_argument("--vehicle", metavar="VEHICLE", help="with --driven-path: vehicle file or its name, for the width (default: 1.85 m)")
    parser.add_argument("--topics", metavar="MAP", help="with --truth: topic map of the extraction, to tell apart bags of the same name by their drives")
    parser.add_argument("--overwrite", action="store_true", help="replace the labels that the store has")


def run(args: argparse.Namespace) -> int:
    """Label; returns 0. Raises MimicError when no frame gets labels."""
    for option, needs in (("topics", "truth"), ("vehicle", "driven_path")):
        if getattr(args, option) and not getattr(args, needs):
            raise UsageError(f"--{option}: belongs to --{needs.replace('_', '-')}: leave it out")
    bags = bags_of(args.truth or [])
    for module in ("lance", "simplejpeg"):
        require_package(module, extra="train", purpose="mimic label")
    from bag_tools.clip_store import ClipStore
    from bag_tools.label_driven_path import WIDTH_M, driven_path_labels
    from bag_tools.label_truth import TruthReport, truth_labels
    from bag_tools.label_writer import check_unlabelled, write_labels
    from bag_tools.topic_map import load_topic_map

    store = ClipStore.open(args.store)
    check_unlabelled(store, overwrite=args.overwrite)
    report = TruthReport()
    if args.teacher:
        require_package("onnxruntime", extra="train", purpose="mimic label --teacher")
        from e2e_planner.teacher import teacher_labels

        labels: Iterator[FrameLabels | None] = teacher_labels(store, args.teacher)
    elif args.driven_path:
        labels = driven_path_labels(store, load_rig(store.meta.rig), width_m=load_vehicle(args.vehicle).width_m if args.vehicle else WIDTH_M)
    else:
        labels = truth_labels(store, bags, report, load_topic_map(args.topics) if args.topics else None)
    try:
        meta = write_labels(args.store, _progress(labels, store.meta.frame_count), overwrite=args.overwrite)
    finally:
        for line in report.lines():
            print(line, file=sys.stderr)
    print(f"{meta.labelled_count} of {meta.frame_count} frames have labels (source: {meta.source})", file=sys.stderr)
    print(json.dumps({"store": str(args.store), "frames": meta.frame_count, "labelled": meta.labelled_count, "labels_hash": meta.hash}))
    return 0


def _progress(labels: Iterator[FrameLabels | None], total: int) -> Iterator[FrameLabels | None]:
    return iter(tqdm(labels, total=total, desc="label", unit="frame", file=sys.stderr, mininterval=0.5))
