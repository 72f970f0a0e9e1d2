"""JSON Lines: a JSON value per line, each parsed when it is asked for.

Guarantees
- Opening finds line ends only, about 1 GB a second, and keeps eight bytes per line.
- Blank lines do not count. A line that is not JSON is a `DataError` of its own; the others can be read.
- May be shared by processes and threads: it holds no open file.

    lines = JsonLines(Path("train.jsonl"))
    lines[17]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from tracker_logging.data.sample import DataError, shown
from tracker_logging.data.text_files import UTF8_MARK, wrong_encoding

_CHUNK = 16 << 20
_NEWLINE = 10


class JsonLines(Sequence[object]):
    """Item i is the value of line i, blank ones not counted. Raises `DataError` where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._starts, self._ends = _lines(path)
        except OSError as error:
            raise DataError(f"{shown(path)}: cannot be read ({error.strerror}).") from error

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[object]: ...
    def __getitem__(self, index: int | slice) -> object:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        start, end = int(self._starts[index]), int(self._ends[index])
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                line = file.read(end - start)
        except OSError as error:
            raise DataError(f"{shown(self.path)}[{index}]: cannot be read ({error.strerror}).") from error
        return self._parse(line.removeprefix(UTF8_MARK), index)

    def _parse(self, line: bytes, index: int) -> object:
        try:
            return json.loads(line.decode())
        except UnicodeDecodeError as error:
            raise wrong_encoding(f"{shown(self.path)}[{index}]", error) from error
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deeply" if isinstance(error, RecursionError) else str(error))
            raise DataError(
                f"{shown(self.path)}[{index}] is not valid JSON ({reason}): cut off, or not one object per line. "
                "Write the line again."
            ) from error


def _lines(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where each line that is not blank starts and ends, in bytes."""
    found: list[npt.NDArray[np.int64]] = []
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.append(np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == _NEWLINE) + size)
            size += len(chunk)
    ends = np.concatenate([*found, np.array([size])]).astype(np.int64)
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1] + 1])
    filled = ends - starts > 1  # one byte is the "\r" of a blank line
    return starts[filled], ends[filled]
