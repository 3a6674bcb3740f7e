"""Bags → clip store: pictures and signals put on one clock, cut into clips, sorted into train, val and test.

    mimic extract drives --topics config/topics/simulator.yaml --out STORE
    mimic extract ../shared/data/udacity_hmb3/* --topics udacity_hmb3 --out STORE
    mimic extract drives/monday --topics MAP.yaml --out STORE --append
    mimic extract ../shared/data/udacity_hmb3/* --topics udacity_hmb3 --out STORE --val-glob 'train_060*'

The report goes to stderr and into STORE/extract_report.json: rates, gaps, jitter, clock offsets, what was left out, and
what is missing and therefore masked. Data on stdout: path, clips and frames of the store, its hash.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bag_tools.bag_reader import SUFFIXES
from mimic_contracts.errors import UsageError, require_package


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mimic extract`."""
    parser.add_argument("bags", metavar="BAG", nargs="+", type=Path, help="rosbag2 directory or file, ROS 1 bag, or a directory of these")
    parser.add_argument("--topics", metavar="MAP", required=True, help="topic map: a YAML file or the name of one in config/topics")
    parser.add_argument("--out", metavar="STORE", required=True, type=Path, help="directory of the clip store")
    parser.add_argument("--append", action="store_true", help="add to an existing store")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing store")
    parser.add_argument("--val-glob", metavar="GLOB", help="bags of the val split, in place of those that the map names")


def bags_of(paths: Sequence[Path]) -> list[Path]:
    """The bags that the arguments mean; raises UsageError when one is absent or given twice."""
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise UsageError(f"no such bag: {', '.join(absent)}")
    bags = [bag for path in paths for bag in ([path] if is_bag(path) else sorted(child for child in path.iterdir() if is_bag(child)) or [path])]
    if len({bag.resolve() for bag in bags}) != len(bags):
        raise UsageError("a bag is given twice")
    return bags


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag, and not like a directory of bags."""
    if path.is_dir():
        return any(set(child.suffixes) & {".mcap", ".db3"} for child in path.iterdir())
    return bool(set(path.suffixes) & set(SUFFIXES))


def run(args: argparse.Namespace) -> int:
    """Extract; returns 0, or 1 when every bag was refused (by MimicError)."""
    bags = bags_of(args.bags)
    for module in ("lance", "simplejpeg"):
        require_package(module, extra="train", purpose="mimic extract")
    from bag_tools.clip_store import ClipStore
    from bag_tools.extract import extract
    from bag_tools.extract_report import report_text
    from bag_tools.topic_map import load_topic_map
    from perception.camera_core import CameraCore

    topic_map = load_topic_map(args.topics)
    if args.val_glob:
        topic_map = topic_map.with_val_glob(args.val_glob)
    report = extract(bags, topic_map, args.out, ingest_factory=CameraCore, progress=_progress, append=args.append, overwrite=args.overwrite)
    print(report_text(report), file=sys.stderr)
    meta = ClipStore.open(args.out).meta
    print(json.dumps({"store": str(args.out), "clips": meta.clip_count, "frames": meta.frame_count, "splits": report["splits"], "data_hash": meta.data_hash}))
    return 0


def _progress(frames: Iterable[Any], total: int) -> Iterable[Any]:
    return tqdm(frames, total=total, desc="extract", unit="frame", file=sys.stderr, mininterval=0.5)
