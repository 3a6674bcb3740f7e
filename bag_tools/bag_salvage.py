"""Reading bag files from front to back without their index: what is left of truncated and unindexed recordings.

Each scanner yields (channel, log time in ns, serialized message) for as long as the file makes sense, and writes into
`damage` where it stopped or what it skipped. Formats: mcap.dev/spec, wiki.ros.org/Bags/Format/2.0, rosbag2_storage_sqlite3.
"""

import bz2
import os
import shutil
import sqlite3
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import lz4.frame
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys.msg import normalize_msgtype

from mimic_contracts.errors import MimicError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MCAP_MAGIC = b"\x89MCAP0\r\n"
ROS1_MAGIC = b"#ROSBAG V2.0\n"
SQLITE_MAGIC = b"SQLite format 3\x00"
NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, "")
_DEFINITION_FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL, "omgidl": MessageDefinitionFormat.IDL}


@dataclass(frozen=True)
class Channel:
    """A topic as one file knows it; encoding: 'cdr' (ROS 2), 'ros1', or something that cannot be read."""

    topic: str
    type_name: str
    definition: MessageDefinition
    encoding: str


Scan = Iterator[tuple[Channel, int, bytes]]


class _EndOfFileError(Exception):
    """Fewer bytes than a record announces. args: reason, what there was of them."""

    def __str__(self) -> str:
        return str(self.args[0])


def scan_file(path: Path, damage: list[str]) -> Scan:
    """Scan a bag file of any of the three formats; raises MimicError when nothing in it can be recognised."""
    scanner = {".mcap": scan_mcap, ".db3": scan_sqlite3, ".bag": scan_ros1}[path.suffix]
    return scanner(path, damage)


def scan_mcap(path: Path, damage: list[str]) -> Scan:
    """All messages of the complete chunks of an MCAP file, and those at the beginning of a broken one."""
    with path.open("rb") as file:
        if file.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
            raise MimicError(f"{path}: is not an MCAP file (it does not begin with the format's magic bytes)")
        yield from _mcap_records(file, {}, {}, str(path.name), damage)


def _mcap_records(file: BinaryIO, definitions: dict[int, tuple[str, MessageDefinition]], channels: dict[int, Channel], where: str, damage: list[str]) -> Scan:
    while True:
        offset = file.tell()
        opcode = file.read(1)
        if opcode in (b"", b"\x0f", b"\x02"):  # the end of a chunk, of the data section or of the file
            if opcode == b"" and isinstance(file, BytesIO) is False:
                damage.append(f"{where}: ends at byte {offset} without footer (recording was cut off)")
            return
        try:
            body = _exactly(file, struct.unpack("<Q", _exactly(file, 8))[0])
            if opcode == b"\x03":
                schema_id, name, encoding, text = _mcap_schema(body)
                definitions[schema_id] = (name, MessageDefinition(_DEFINITION_FORMATS[encoding], text) if encoding in _DEFINITION_FORMATS else NO_DEFINITION)
            elif opcode == b"\x04":
                channel_id, schema_id, topic, encoding = _mcap_channel(body)
                channels[channel_id] = Channel(topic, *definitions.get(schema_id, ("", NO_DEFINITION)), encoding)
            elif opcode == b"\x05":
                channel_id, _, log_ns, _ = struct.unpack_from("<HIQQ", body)
                if channel_id in channels:
                    yield channels[channel_id], log_ns, body[22:]
            elif opcode == b"\x06":
                yield from _mcap_records(BytesIO(_mcap_chunk(body, where, offset, damage)), definitions, channels, f"{where} chunk at byte {offset}", damage)
        except (_EndOfFileError, struct.error, UnicodeDecodeError) as error:
            damage.append(f"{where}: record at byte {offset} is broken ({error}); what follows is lost")
            if opcode == b"\x06" and isinstance(error, _EndOfFileError):
                rest = _mcap_chunk(error.args[1], where, offset, damage)
                yield from _mcap_records(BytesIO(rest), definitions, channels, f"{where} chunk at byte {offset}", damage)
            return


def _mcap_schema(body: bytes) -> tuple[int, str, str, str]:
    name, at = _text(body, 2)
    encoding, at = _text(body, at)
    text, _ = _text(body, at)
    return struct.unpack_from("<H", body)[0], name, encoding, text


def _mcap_channel(body: bytes) -> tuple[int, int, str, str]:
    topic, at = _text(body, 4)
    encoding, _ = _text(body, at)
    return *struct.unpack_from("<HH", body), topic, encoding  # type: ignore[return-value]


def _mcap_chunk(body: bytes, where: str, offset: int, damage: list[str]) -> bytes:
    """Decompressed records of a chunk: none when its checksum is wrong, as far as they go when it is cut off."""
    if len(body) < 40:
        return b""
    _, _, size, checksum = struct.unpack_from("<QQQI", body)
    compression, at = _text(body, 28)
    data = _decompressed(compression, body[at + 8 :], where, offset, damage)
    if len(data) == size and checksum and zlib.crc32(data) != checksum:
        damage.append(f"{where}: chunk at byte {offset} has a wrong checksum; skipped")
        return b""
    return data


def scan_ros1(path: Path, damage: list[str]) -> Scan:
    """All messages of a ROS 1 bag in file order, whether it was closed (and so indexed) or not."""
    with path.open("rb") as file:
        if file.read(len(ROS1_MAGIC)) != ROS1_MAGIC:
            raise MimicError(f"{path}: is not a ROS 1 bag of version 2.0 (it does not begin with '#ROSBAG V2.0')")
        yield from _ros1_records(file, {}, str(path.name), damage)


def _ros1_records(file: BinaryIO, channels: dict[int, Channel], where: str, damage: list[str]) -> Scan:
    while True:
        offset = file.tell()
        length = file.read(4)
        if not length:
            return
        try:
            header = _ros1_header(_exactly(file, struct.unpack("<I", length)[0]))
            data = _exactly(file, struct.unpack("<I", _exactly(file, 4))[0])
            operation = header.get("op", b"")
            if operation == b"\x07":
                fields = _ros1_header(data)
                definition = MessageDefinition(MessageDefinitionFormat.MSG, fields["message_definition"].decode())
                topic = "/" * header["topic"].startswith(b"/") + "/".join(part for part in header["topic"].decode().split("/") if part)
                channels[_uint(header["conn"])] = Channel(topic, normalize_msgtype(fields["type"].decode()), definition, "ros1")
            elif operation == b"\x02" and _uint(header["conn"]) in channels:
                seconds, nanoseconds = struct.unpack("<II", header["time"])
                yield channels[_uint(header["conn"])], seconds * 1_000_000_000 + nanoseconds, data
            elif operation == b"\x05":
                records = _decompressed(header["compression"].decode(), data, where, offset, damage)
                yield from _ros1_records(BytesIO(records), channels, f"{where} chunk at byte {offset}", damage)
        except (_EndOfFileError, struct.error, UnicodeDecodeError, KeyError) as error:
            damage.append(f"{where}: record at byte {offset} is broken ({error}); what follows is lost")
            return


def scan_sqlite3(path: Path, damage: list[str]) -> Scan:
    """All messages of a sqlite3 bag in order of writing, up to the first page that cannot be read."""
    with tempfile.TemporaryDirectory(prefix="mimic_bag_") as scratch:
        readable = _sqlite3_of_full_size(path, Path(scratch), damage)
        with closing(sqlite3.connect(f"{readable.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            try:
                topics = connection.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
                definitions = _sqlite3_definitions(connection)
            except sqlite3.Error as error:
                raise MimicError(f"{path}: is not a readable sqlite3 bag ({error})") from error
            channels = {row[0]: Channel(row[1], row[2], definitions.get(row[2], NO_DEFINITION), row[3]) for row in topics}
            try:
                for topic_id, log_ns, data in connection.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id"):
                    if topic_id in channels:
                        yield channels[topic_id], log_ns, bytes(data)
            except sqlite3.Error as error:
                damage.append(f"{path.name}: {error}; what follows is lost")


def _sqlite3_of_full_size(path: Path, scratch: Path, damage: list[str]) -> Path:
    """The file, or where it was cut off a copy filled up with zeros: sqlite3 reads nothing of a file that is too short."""
    with path.open("rb") as file:
        head = file.read(32)
    if len(head) < 32 or not head.startswith(SQLITE_MAGIC):
        return path
    page_bytes, page_count = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    full_bytes, actual_bytes = (65536 if page_bytes == 1 else page_bytes) * page_count, path.stat().st_size
    if actual_bytes >= full_bytes:
        return path
    damage.append(f"{path.name}: {actual_bytes} of {full_bytes} bytes are there")
    copy = scratch / path.name
    shutil.copyfile(path, copy)
    os.truncate(copy, full_bytes)
    return copy


def _sqlite3_definitions(connection: sqlite3.Connection) -> dict[str, MessageDefinition]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'message_definitions'").fetchone():
        return {}
    rows = connection.execute("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions").fetchall()
    return {name: MessageDefinition(_DEFINITION_FORMATS[encoding], text) for name, encoding, text in rows if encoding in _DEFINITION_FORMATS}


def _exactly(file: BinaryIO, size: int) -> bytes:
    """The next `size` bytes; raises _EndOfFileError(reason, what there was of them)."""
    data = file.read(min(size, 1 << 40))
    if len(data) != size:
        raise _EndOfFileError(f"{len(data)} of {size} bytes are there", data)
    return data


def _text(body: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", body, at)
    return body[at + 4 : at + 4 + length].decode(), at + 4 + length


def _ros1_header(body: bytes) -> dict[str, bytes]:
    fields, at = {}, 0
    while at < len(body):
        (length,) = struct.unpack_from("<I", body, at)
        name, _, value = body[at + 4 : at + 4 + length].partition(b"=")
        fields[name.decode()] = value
        at += 4 + length
    return fields


def _uint(value: bytes) -> int:
    return int.from_bytes(value, "little")


def _decompressed(compression: str, data: bytes, where: str, offset: int, damage: list[str]) -> bytes:
    """Decompressed as far as it goes; b'' with a line in `damage` when it is broken from its beginning on."""
    try:
        if compression in ("", "none"):
            return data
        if compression == "zstd":
            return zstd.ZstdDecompressor().decompress(data)
        if compression == "lz4":
            return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data))
        if compression == "bz2":
            return bz2.BZ2Decompressor().decompress(data)
        damage.append(f"{where}: chunk at byte {offset} is compressed as '{compression}', which is unknown; skipped")
    except (zstd.ZstdError, RuntimeError, OSError, EOFError) as error:
        damage.append(f"{where}: chunk at byte {offset} cannot be decompressed ({error}); skipped")
    return b""
