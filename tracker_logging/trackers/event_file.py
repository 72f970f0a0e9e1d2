"""Appends records to one TensorBoard event file, so that what was appended is there even after `kill -9`.

Guarantees
- A record is one unbuffered write: when `append` returns, the kernel has it.
- A write that fails half-way (disk full) is cut off again: the file stays readable and later records are found.
- If the file was removed meanwhile, a new one is begun in its place; earlier records are gone, later ones are not.
- The name holds no host name, and sorts after every event file already in the directory.

TensorBoard's own `EventFileWriter` names the host, buffers through a second thread and leaves torn records behind.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\.")


class EventFile:
    """An event file in `directory` (created where missing). Not thread-safe. Raises OSError where it cannot write.

    `on_begin` is called after a file was begun: the place to repeat what every file must start with.
    """

    def __init__(self, directory: Path, *, on_begin: Callable[[EventFile], None] = lambda file: None) -> None:
        self._directory = directory
        self._on_begin = on_begin
        self._descriptor = -1
        self._end = 0
        self._begin()

    @property
    def path(self) -> Path:
        """The file written to now."""
        return self._path

    def append(self, event: Any) -> None:
        """Write one `event_pb2.Event` as a record."""
        if os.fstat(self._descriptor).st_nlink == 0:
            os.close(self._descriptor)
            self._begin()
        self._append(event)

    def sync(self) -> None:
        """Ask the kernel to put everything on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self) -> None:
        from tensorboard.compat.proto import event_pb2

        self._directory.mkdir(parents=True, exist_ok=True)
        present = [int(match[1]) for path in self._directory.iterdir() if (match := _NAME.match(path.name))]
        stamp = max([int(time.time()), *(earlier + 1 for earlier in present)])
        self._path = self._directory / f"events.out.tfevents.{stamp:010d}.tracker_logging.{os.getpid()}"
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._end = 0
        self._append(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._on_begin(self)

    def _append(self, event: Any) -> None:
        record = _framed(event.SerializeToString())
        try:
            written = 0
            while written < len(record):
                written += os.write(self._descriptor, record[written:])
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            raise
        self._end += len(record)


def _framed(data: bytes) -> memoryview:
    """The record of `data`: length, its checksum, data, its checksum (the TFRecord format)."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    header = struct.pack("<Q", len(data))
    parts = (header, struct.pack("<I", masked_crc32c(header)), data, struct.pack("<I", masked_crc32c(data)))
    return memoryview(b"".join(parts))


def forget_from(directory: Path, *, step: int, again: Collection[str] = ()) -> int:
    """Take the records of `step` and later out of our event files in `directory`; how many there were.

    Also those of the earlier "GROUP/STEP" of `again` (the first part of their tags and their step).

    For a resumed run, which computes them again. Readers differ in what they purge by themselves (the fast loader
    goes by the order of steps within a tag, the slow one by session starts, `EventAccumulator` keeps tensors), so the
    records are taken out. Each file is replaced in one move; a torn record at its end goes too.
    """
    from tensorboard.compat.proto import event_pb2

    forgotten = 0
    for path in sorted(directory.glob("events.out.tfevents.*.tracker_logging.*")):
        kept = bytearray()
        before = forgotten
        for data in records(path):
            event = event_pb2.Event.FromString(data)
            groups = {f"{value.tag.partition('/')[0]}/{event.step}" for value in event.summary.value}
            if (event.step >= step and not event.file_version) or not groups.isdisjoint(again):
                forgotten += 1
            else:
                kept += _framed(data)
        if forgotten > before:
            fresh = path.with_name(f"{path.name.replace('tfevents', 'rewriting')}")
            fresh.write_bytes(kept)
            fresh.replace(path)
    return forgotten


def records(path: Path) -> Iterator[bytes]:
    """The records of an event file up to the first torn one, each an `event_pb2.Event` in bytes."""
    with path.open("rb") as file:
        while len(header := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", header[:8])
            data, checksum = file.read(length), file.read(4)
            if len(checksum) < 4:
                return
            yield data
