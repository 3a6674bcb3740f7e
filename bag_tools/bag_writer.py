"""Serialized messages → rosbag2 MCAP, which takes its name only when it is whole."""

import shutil
from itertools import count
from pathlib import Path

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from mimic_contracts.errors import MimicError, UsageError


class BagWriter:
    """Writes into a hidden sibling of `path`; close() makes it `path`.

    What is left of an interrupted recording stays in that sibling, and `mimic bag info` and `mimic extract` can read it. It steps
    aside for a new recording of the same name, unless that may overwrite.
    """

    def __init__(self, path: str | Path, *, overwrite: bool) -> None:
        """Open; raises UsageError when `path` exists and must not, MimicError when it is no bag or cannot be made."""
        self.path = Path(path)
        self._home = self.path.parent / f".{self.path.name}.partial"
        check_bag_target(self.path, overwrite=overwrite)
        if overwrite:
            shutil.rmtree(self._home, ignore_errors=True)
        elif self._home.exists():
            aside = (self.path.parent / f".{self.path.name}.{number}.partial" for number in count(1))
            self._home.rename(next(path for path in aside if not path.exists()))
        self._types = get_typestore(Stores.ROS2_KILTED)
        self._connections: dict[str, Connection] = {}
        self.counts: dict[str, int] = {}
        try:
            self._home.mkdir(parents=True)
            self._writer: Writer | None = Writer(self._home / self.path.name, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (OSError, WriterError) as error:
            raise MimicError(f"{self.path}: cannot be written: {error}") from error

    @property
    def is_open(self) -> bool:
        """Whether messages can be written."""
        return self._writer is not None

    def add_topic(self, topic: str, type_name: str, *, definition: str = "", type_hash: str = "", qos: tuple[Qos, ...] = ()) -> None:
        """Announce a topic. definition (with those of nested types) and hash are only needed for types that ROS 2 does
        not bring along; without them the topic is written, and readers will list its type as unknown."""
        if self._writer is None:
            raise MimicError(f"{self.path}: is closed, topic {topic} cannot be added")
        if definition and type_name not in self._types.fielddefs:
            try:
                self._types.register(get_types_from_msg(definition, type_name))
            except TypesysError as error:
                raise MimicError(f"{topic}: definition of {type_name} cannot be understood: {error}") from error
        try:
            if type_name in self._types.fielddefs:
                self._connections[topic] = self._writer.add_connection(topic, type_name, typestore=self._types, offered_qos_profiles=qos)
            else:
                self._connections[topic] = self._writer.add_connection(topic, type_name, msgdef="", rihs01=type_hash or "unknown", offered_qos_profiles=qos)
        except OSError as error:
            raise MimicError(f"{self.path}: cannot be written any more: {error.strerror}") from error
        self.counts[topic] = 0

    def write(self, topic: str, log_ns: int, data: bytes) -> None:
        """Append a serialized message (CDR)."""
        if self._writer is None:
            raise MimicError(f"{self.path}: is closed, nothing can be written")
        self._writer.write(self._connections[topic], log_ns, data)
        self.counts[topic] += 1

    def abort(self) -> None:
        """Leave nothing behind; after close() it does nothing."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None
            shutil.rmtree(self._home, ignore_errors=True)

    def close(self) -> None:
        """Finish the index and give the bag its name; a second call does nothing."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        if not self._connections:
            writer.abort()
            shutil.rmtree(self._home, ignore_errors=True)
            return
        try:
            writer.close()
            if self.path.is_dir():
                shutil.rmtree(self.path)
            elif self.path.exists():
                self.path.unlink()
            (self._home / self.path.name).rename(self.path)
            self._home.rmdir()
        except (OSError, WriterError) as error:
            raise MimicError(f"{self.path}: cannot be finished: {error}; what was recorded is in {self._home}") from error


def check_bag_target(path: Path, *, overwrite: bool) -> None:
    """Raise UsageError or MimicError when a bag must not be written to `path`."""
    if not path.exists():
        return
    if not overwrite:
        raise UsageError(f"{path}: exists already; give --overwrite (parameter overwrite) to replace it")
    is_bag = path.suffix in (".mcap", ".db3", ".bag") or (path.is_dir() and (any(path.glob("*.mcap")) or any(path.glob("*.db3")) or not any(path.iterdir())))
    if not is_bag:
        raise MimicError(f"{path}: is not a bag, so it is not overwritten; remove it yourself or choose another name")
