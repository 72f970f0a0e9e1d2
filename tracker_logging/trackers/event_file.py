"""Appends records to one TensorBoard event file, so that an appended record can be read even after `kill -9`.

Guarantees
- A record is one unbuffered write: when `append` returns, the kernel has it.
- A write that fails half-way (disk full) is cut off again: the file stays readable, later records too.
- If the file was removed meanwhile, a new one is begun in its place, with a warning: earlier records are lost.
- Nothing is ever written to another file, even if our descriptor was closed and its number is in use again.
- The name holds no host name, and sorts after every event file already in the directory.

TensorBoard's own `EventFileWriter` names the host, buffers through a second thread and leaves torn records behind.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import struct
import time
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tracker_logging.trackers.tensorboard_names import logged_name
from tracker_logging.whole_file import AppendFile, whole_file

logger = logging.getLogger(__name__)
_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\.")


class EventFile:
    """An event file in `directory` (created if missing). Not thread-safe. Raises `OSError` where it cannot write.

    `on_begin` is called after a file was begun, to write what every file must start with.
    """

    def __init__(self, directory: Path, *, on_begin: Callable[[EventFile], None] = lambda file: None) -> None:
        self._directory = directory
        self._on_begin = on_begin
        self._file: AppendFile | None = None
        self._begin()

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return self._path

    def append(self, event: Any) -> None:
        """Write one `event_pb2.Event` as a record."""
        if self._file is None or self._file.is_gone():
            logger.warning(
                "TensorBoard: %s was removed during the run. Its records are lost; a new file is begun. If the run has "
                "JSON lines too, add them with: tracker-logging replay RUN",
                self._path.name,
            )
            self.close()
            self._begin()
        self._append(event)

    def sync(self) -> None:
        """Ask the kernel to write everything to the disk."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        from tensorboard.compat.proto import event_pb2

        self._directory.mkdir(parents=True, exist_ok=True)
        present = [int(match[1]) for path in self._directory.iterdir() if (match := _NAME.match(path.name))]
        stamp = max([int(time.time()), *(earlier + 1 for earlier in present)])
        self._path = self._directory / f"events.out.tfevents.{stamp:010d}.tracker_logging.{os.getpid()}"
        self._file = AppendFile(self._path, is_new=True)
        self._append(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._on_begin(self)

    def _append(self, event: Any) -> None:
        assert self._file is not None
        self._file.append(_framed(event.SerializeToString()))


def _framed(data: bytes) -> bytes:
    """The record of `data`: length, its checksum, data, its checksum (the TFRecord format)."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    header = struct.pack("<Q", len(data))
    return b"".join((header, struct.pack("<I", masked_crc32c(header)), data, struct.pack("<I", masked_crc32c(data))))


def remove_from(directory: Path, *, step: int, again: Collection[str] = ()) -> int:
    """Remove the records of `step` and later from our event files in `directory`; returns how many.

    Also those of the earlier "GROUP/STEP" of `again` (the first part of their tags and their step).

    For a resumed run, which computes them again. Readers differ in what they purge by themselves (the fast loader
    goes by the order of steps within a tag, the slow one by session starts, `EventAccumulator` keeps tensors), so the
    records are removed. Each file is replaced at once; a torn record at its end is removed too.
    """
    from tensorboard.compat.proto import event_pb2

    removed = 0
    for path in sorted(directory.glob("events.out.tfevents.*.tracker_logging.*")):
        kept = bytearray()
        before = removed
        for data in records(path):
            event = event_pb2.Event.FromString(data)
            groups = {f"{logged_name(value.tag).partition('/')[0]}/{event.step}" for value in event.summary.value}
            if (event.step >= step and not event.file_version) or not groups.isdisjoint(again):
                removed += 1
            else:
                kept += _framed(data)
        if removed > before:
            with whole_file(path) as part:
                part.write_bytes(kept)
    return removed


def records(path: Path) -> Iterator[bytes]:
    """The records of an event file up to the first torn one, each an `event_pb2.Event` in bytes."""
    with path.open("rb") as file:
        while len(header := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", header[:8])
            data, checksum = file.read(length), file.read(4)
            if len(checksum) < 4:
                return
            yield data


@cache
def use_native_crc32c() -> bool:
    """Replace TensorBoard's CRC-32C by that of the package `crc32c`; False, with a warning, where it is missing.

    TensorBoard's own is pure Python and holds the interpreter for 67 ms per 3-second clip. It has no setting for it, so
    the function is replaced in its module. It computes the same values; other writers and readers in the process (the
    Trainer's reporter, `EventAccumulator`) become faster too.
    """
    stub: Any = importlib.import_module("tensorboard.compat.tensorflow_stub.pywrap_tensorflow")
    try:
        stub.crc32c = importlib.import_module("crc32c").crc32c
    except ImportError:
        logger.warning(
            "The package crc32c is missing: event files are written with TensorBoard's own checksum, about a thousand "
            "times slower, and training may stutter while audio is written. Fix: pip install crc32c"
        )
        return False
    return True
