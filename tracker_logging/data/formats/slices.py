"""Records that are byte ranges of a file, each read and parsed on access.

Guarantees
- Sixteen bytes of memory per record. No file is held open: processes and threads may share the records.
- A record above `MAX_RECORD_BYTES` is refused, not read; a file of more than `MAX_RECORDS` is refused.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tracker_logging.data.formats.lazy import LazySequence
from tracker_logging.data.sample import DataError, shown

MAX_RECORD_BYTES = 100_000_000
MAX_RECORDS = 20_000_000
_BUFFER_BYTES = 1 << 18


class FileSlices(LazySequence[object]):
    """Item i is parsed from the bytes `starts[i]` to `ends[i]` of `path`. Raises `DataError` if it cannot be read."""

    def __init__(self, path: Path, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        self.path = path
        self._starts, self._ends = starts, ends
        check_count(path, len(starts))

    @abstractmethod
    def _parse(self, content: bytes, index: int) -> object:
        """The record in `content`. Raises `DataError`."""

    def __len__(self) -> int:
        return len(self._starts)

    def item(self, index: int) -> object:
        """Record `index`. Raises `DataError`."""
        try:
            with self.path.open("rb") as file:
                content = self._content(file, index)
        except OSError as error:
            raise _unreadable(self.path, index, error) from error
        return self._parse(content, index)

    def outcomes(self) -> Iterator[object | DataError]:
        """As in `LazySequence`; the file is opened once."""
        try:
            file = self.path.open("rb", buffering=_BUFFER_BYTES)
        except OSError as error:
            yield from [_unreadable(self.path, index, error) for index in range(len(self))]
            return
        with file:
            for index in range(len(self)):
                try:
                    yield self._parse(self._content(file, index), index)
                except DataError as error:
                    yield error
                except OSError as error:
                    yield _unreadable(self.path, index, error)

    def _content(self, file: BinaryIO, index: int) -> bytes:
        """The bytes of record `index`. Raises `DataError` for too many."""
        start, end = int(self._starts[index]), int(self._ends[index])
        if end - start > MAX_RECORD_BYTES:  # `shown` is slow
            check_record_size(end - start, f"{shown(self.path)}[{index}]")
        file.seek(start)
        return file.read(end - start)


def bounds(places: array[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(starts, ends) of `places`, which holds start and end in turn."""
    pairs = np.frombuffer(places, dtype=np.int64).reshape(-1, 2) if len(places) else np.zeros((0, 2), dtype=np.int64)
    return pairs[:, 0], pairs[:, 1]


def check_record_size(size: int, where: str, *, limit: int = MAX_RECORD_BYTES) -> None:
    """Raises `DataError` for a record of more than `limit` bytes."""
    if size > limit:
        raise DataError(f"{where} is larger than {limit / 1e6:g} MB; name audio by its path, and check the line ends.")


def check_count(path: Path, count: int) -> None:
    """Raises `DataError` for more than `MAX_RECORDS` records."""
    if count > MAX_RECORDS:
        raise DataError(f"{shown(path)}: more than {MAX_RECORDS / 1e6:g} million samples. Split it into several files.")


def _unreadable(path: Path, index: int, error: OSError) -> DataError:
    return DataError(f"{shown(path)}[{index}]: cannot be read ({error.strerror}). Check the disk and its permissions.")
