"""How fast extraction is: times real time and input MB/s, beside a bare reader of the same bags that decodes the same JPEGs.

    python benchmarks/extract_speed.py ../shared/data/udacity_hmb3/* --topics udacity_hmb3

Prints one JSON object. `extract` is the whole of it: opening, reading twice, warping, encoding, writing the store.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import simplejpeg
from rosbags.highlevel import AnyReader

from bag_tools.extract import extract
from bag_tools.topic_map import TopicMap, load_topic_map
from perception.camera_core import CameraCore


def bare_reader(bags: list[Path], topic_map: TopicMap) -> tuple[float, float]:
    """Seconds to read and decode every JPEG, and seconds of driving in the bags."""
    topics = {source.topic for source in topic_map.cameras.values()}
    driven_s, start = 0.0, time.perf_counter()
    for bag in bags:
        with AnyReader([bag]) as reader:
            driven_s += reader.duration / 1e9
            for connection, _, data in reader.messages([c for c in reader.connections if c.topic in topics]):
                message: Any = reader.deserialize(data, connection.msgtype)
                simplejpeg.decode_jpeg(memoryview(message.data), "RGB")
    return time.perf_counter() - start, driven_s


def extraction(bags: list[Path], topic_map: TopicMap) -> tuple[float, int, int]:
    """Seconds to extract, frames, and bytes of the store."""
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        report = extract(bags, topic_map, Path(scratch) / "store", ingest_factory=CameraCore, progress=lambda frames, _: frames)
        seconds = time.perf_counter() - start
        store_bytes = sum(p.stat().st_size for p in (Path(scratch) / "store").rglob("*") if p.is_file())
    return seconds, sum(figures["frames"] for figures in report["splits"].values()), store_bytes


def main() -> None:
    """Run both, warm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bags", nargs="+", type=Path)
    parser.add_argument("--topics", required=True)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest run counts")
    args = parser.parse_args()
    topic_map = load_topic_map(args.topics)
    input_bytes = sum(p.stat().st_size for bag in args.bags for p in ([bag] if bag.is_file() else bag.iterdir()))
    bare_s, driven_s = min(bare_reader(args.bags, topic_map) for _ in range(args.repeats))
    extract_s, frames, store_bytes = min(extraction(args.bags, topic_map) for _ in range(args.repeats))
    figures = {
        "driven_s": driven_s,
        "input_MB": input_bytes / 1e6,
        "extract_s": extract_s,
        "extract_times_real_time": driven_s / extract_s,
        "extract_MB_per_s": input_bytes / 1e6 / extract_s,
        "bare_reader_s": bare_s,
        "bare_reader_times_real_time": driven_s / bare_s,
        "extract_over_bare_reader": extract_s / bare_s,
        "frames": frames,
        "store_MB": store_bytes / 1e6,
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
