"""Any recording as one thing: rosbag2 (MCAP, sqlite3, split, compressed, with or without metadata.yaml) and ROS 1.

A bag is read through once when it is opened, so that its damage is known before anything of it is used. A file that its
own index cannot serve is scanned from front to back instead (bag_salvage).
"""

import re
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import yaml
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag1 import ReaderError as Ros1ReaderError
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.rosbag2 import ReaderError as Ros2ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from bag_tools.bag_salvage import Channel, Scan, scan_file
from mimic_contracts.errors import MimicError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SUFFIXES = (".mcap", ".db3", ".bag")
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # a CDR message begins with 0x00, so a compressed one cannot be mistaken
LATEST_NS = 2**63
_STAMP_LE, _STAMP_BE = struct.Struct("<II"), struct.Struct(">II")
_READ_ERRORS = (
    *(Ros1ReaderError, Ros2ReaderError, apsw.Error, zstd.ZstdError, OSError, EOFError, RuntimeError),
    *(ValueError, LookupError, TypeError, AssertionError, struct.error, OverflowError, MemoryError),
)
_DECODE_ERRORS = (SerdeError, TypesysError, ValueError, LookupError, TypeError, AssertionError, struct.error, OverflowError, MemoryError)


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic of a bag; problem: why its messages cannot be decoded, '' when they can."""

    name: str
    type_name: str
    message_count: int
    problem: str


@dataclass(frozen=True)
class BagMessage:
    """A serialized message and the time at which the recorder wrote it."""

    channel: Channel
    log_ns: int
    data: bytes


class Bag:
    """An open bag. topics: name → Topic, in alphabetical order; damage: what is wrong with it, in words."""

    def __init__(self, path: str | Path) -> None:
        """Open and read through; raises MimicError when it is no bag or no message of it can be read."""
        self.path = Path(path)
        self.damage: list[str] = []
        self._scratch: tempfile.TemporaryDirectory[str] | None = None  # file-compressed parts, unpacked
        self._is_scanned: dict[Path, bool] = {}
        self._decoders: dict[Channel, _Decoder] = {}
        self._counts: Counter[Channel] = Counter()
        self._metadata = self._read_metadata()
        try:
            for file in self._files():
                self._survey(file)
            promised = self._metadata.get("message_count")
            if isinstance(promised, int) and promised != self.message_count:
                self.damage.append(f"metadata.yaml: promises {promised} messages, {self.message_count} are there")
            if self.damage and not self.message_count:
                raise MimicError(f"{self.path}: nothing in it can be read: {'; '.join(self.damage)}")
        except BaseException:
            self.close()
            raise
        self.topics = self._topics()

    def close(self) -> None:
        """Remove temporary files."""
        if self._scratch:
            self._scratch.cleanup()

    def __enter__(self) -> "Bag":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The bag's name without directory and suffix."""
        return self.path.stem if self.path.suffix in SUFFIXES else self.path.name

    @property
    def message_count(self) -> int:
        """Number of messages that can be read, decodable or not."""
        return sum(self._counts.values())

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """The messages of these topics (default: all), file by file; within a healthy file in order of log time."""
        for file in self._is_scanned:
            for channel, log_ns, data in self._read(file, topics, []):
                yield BagMessage(channel, log_ns, zstd.decompress(data) if data[:4] == ZSTD_MAGIC else data)

    def decode(self, message: BagMessage) -> Any:
        """The message as an object with the fields of its definition.

        Raises MimicError when its type is unknown or its bytes do not match it.
        """
        decoder = self._decoder(message.channel)
        if decoder.problem:
            raise MimicError(f"{message.channel.topic}: {decoder.problem}")
        try:
            return decoder.decode(message.data)
        except _DECODE_ERRORS as error:
            raise MimicError(f"{message.channel.topic}: {len(message.data)} bytes are no {message.channel.type_name} ({error})") from error

    def header_stamp_ns(self, message: BagMessage) -> int | None:
        """Stamp of a message whose first field is a std_msgs/Header, without decoding the rest; None when it has none."""
        return self._decoder(message.channel).header_stamp_ns(message.data)

    def _decoder(self, channel: Channel) -> "_Decoder":
        if channel not in self._decoders:
            self._decoders[channel] = _Decoder(channel)
        return self._decoders[channel]

    def _files(self) -> list[Path]:
        if not self.path.exists():
            raise MimicError(f"{self.path}: does not exist")
        if self.path.is_file():
            return [self._unpacked(self.path)]
        found = sorted((p for p in self.path.iterdir() if set(p.suffixes) & {".mcap", ".db3"}), key=_natural_order)
        unmerged = [p.name for p in self.path.glob("*.db3-wal") if p.stat().st_size]
        self.damage += [f"{name}: the recording was not closed, what is in this file is not read; `sqlite3 {name[:-4]} .schema` merges it" for name in unmerged]
        listed = [self.path / Path(name).name for name in self._metadata.get("relative_file_paths", [])]
        self.damage += [f"{p.name}: is listed in metadata.yaml and missing" for p in listed if p not in found]
        ordered = [p for p in listed if p in found] + [p for p in found if p not in listed]
        if not ordered:
            raise MimicError(f"{self.path}: is not a bag: no .mcap or .db3 file is in it")
        return [self._unpacked(p) for p in ordered]

    def _read_metadata(self) -> dict[str, Any]:
        path = self.path / "metadata.yaml"
        if not path.is_file():
            return {}
        try:
            information = yaml.safe_load(path.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
            return information if isinstance(information, dict) else {}
        except (OSError, yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError) as error:
            self.damage.append(f"metadata.yaml: is not readable ({' '.join(str(error).split())}); its files are read without it")
            return {}

    def _unpacked(self, path: Path) -> Path:
        if path.suffix in SUFFIXES:
            return path
        if path.suffix not in (".zstd", ".zst") or Path(path.stem).suffix not in SUFFIXES:
            raise MimicError(f"{path}: is not a bag: its name must end in {', '.join(SUFFIXES)} (or that and .zstd), or be a rosbag2 directory")
        self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="mimic_bag_")
        target = Path(self._scratch.name) / path.stem
        with path.open("rb") as source, target.open("wb") as sink:
            decompressor = zstd.ZstdDecompressor()
            try:
                while block := source.read(1 << 20):
                    sink.write(decompressor.decompress(block))
            except (zstd.ZstdError, EOFError) as error:
                self.damage.append(f"{path.name}: cannot be decompressed to its end ({error})")
        return target

    def _survey(self, file: Path) -> None:
        """Count what a file holds; decide whether its index serves or it must be scanned."""
        for is_scanned in (False, True):
            self._is_scanned[file] = is_scanned
            damage: list[str] = []
            counts: Counter[Channel] = Counter()
            try:
                for channel, _, _ in self._read(file, None, damage):
                    counts[channel] += 1
            except MimicError as error:
                self.damage.append(str(error))
                del self._is_scanned[file]
                return
            except _READ_ERRORS as error:
                self.damage.append(f"{file.name}: {' '.join(str(error).split()) or type(error).__name__}; read without its index")
                continue
            self.damage += damage
            self._counts.update(counts)  # not +=, which would drop topics without messages
            return

    def _read(self, file: Path, topics: Collection[str] | None, damage: list[str]) -> Scan:
        impossible = 0
        for channel, log_ns, data in scan_file(file, damage) if self._is_scanned[file] else self._read_indexed(file, topics):
            if not 0 <= log_ns < LATEST_NS:
                impossible += 1
            elif topics is None or channel.topic in topics:
                yield channel, log_ns, data
        if impossible:
            damage.append(f"{file.name}: {impossible} messages with impossible log times; skipped")

    def _read_indexed(self, file: Path, topics: Collection[str] | None) -> Scan:
        with Ros1Reader(file) if file.suffix == ".bag" else Ros2Reader(file) as reader:
            channels = {c.id: Channel(c.topic, c.msgtype, c.msgdef, getattr(c.ext, "serialization_format", "ros1")) for c in reader.connections}
            for channel in channels.values():
                self._counts.setdefault(channel, 0)
            wanted = [c for c in reader.connections if topics is None or c.topic in topics]
            if wanted:
                yield from ((channels[c.id], log_ns, data) for c, log_ns, data in reader.messages(wanted))

    def _topics(self) -> dict[str, Topic]:
        channels: dict[str, list[Channel]] = {}
        for channel in self._counts:
            channels.setdefault(channel.topic, []).append(channel)
        topics = {}
        for name, group in sorted(channels.items()):
            types = sorted({channel.type_name for channel in group})
            problems = sorted({self._decoder(channel).problem for channel in group} - {""})
            topics[name] = Topic(
                name=name, type_name=", ".join(types), message_count=sum(self._counts[channel] for channel in group), problem="; ".join(problems)
            )
        return topics


class _Decoder:
    """Decodes the messages of one channel by the definition embedded in the bag, else by the standard one."""

    def __init__(self, channel: Channel) -> None:
        self.type_name, self.is_ros1 = channel.type_name, channel.encoding == "ros1"
        self.problem, self._has_header = "", False
        self._store: Typestore = get_typestore(Stores.EMPTY)
        if channel.encoding not in ("cdr", "ros1"):
            self.problem = f"serialization format '{channel.encoding}' is not supported (cdr and ros1 are)"
            return
        try:
            if channel.definition.format == MessageDefinitionFormat.NONE:
                self._store = get_typestore(Stores.LATEST)
            else:
                self._store.register(_types_of(channel))
            fields = self._store.get_msgdef(self.type_name).fields
            self._has_header = bool(fields) and str(fields[0][1][1]) == "std_msgs/msg/Header"
        except KeyError:
            self.problem = f"type {self.type_name} is unknown: its definition is not embedded in the bag and it is no standard type"
        except (*_DECODE_ERRORS, SyntaxError) as error:
            self.problem = f"definition of {self.type_name} cannot be understood ({' '.join(str(error).split())})"

    def decode(self, data: bytes) -> Any:
        return self._store.deserialize_ros1(data, self.type_name) if self.is_ros1 else self._store.deserialize_cdr(data, self.type_name)

    def header_stamp_ns(self, data: bytes) -> int | None:
        if not self._has_header or len(data) < 12:  # after 4 bytes of encapsulation (CDR) or the header's seq (ROS 1)
            return None
        layout = _STAMP_LE if self.is_ros1 or data[1] & 1 else _STAMP_BE
        seconds, nanoseconds = layout.unpack_from(data, 4)
        return int(seconds) * 1_000_000_000 + int(nanoseconds)


def _types_of(channel: Channel) -> dict[str, Any]:
    if channel.definition.format == MessageDefinitionFormat.MSG:
        return dict(get_types_from_msg(channel.definition.data, channel.type_name))
    types: dict[str, Any] = {}
    for part in re.split(r"^={80}\nIDL: .*\n", channel.definition.data, flags=re.MULTILINE):
        if part.strip():
            types.update(get_types_from_idl(part))
    return types


def _natural_order(path: Path) -> list[Any]:
    """bag_2 before bag_10."""
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", path.name)]
