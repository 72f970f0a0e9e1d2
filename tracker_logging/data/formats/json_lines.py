"""JSON Lines: a JSON value per line, each parsed when it is asked for.

Guarantees
- Opening finds line ends only, about 1 GB a second, and keeps sixteen bytes per line.
- Blank lines do not count. A line that is not JSON is a `DataError` of its own; the others can be read.

    lines = JsonLines(Path("train.jsonl"))
    lines[17]
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker_logging.data.formats.json_items import JsonItems
from tracker_logging.data.sample import DataError, shown

_CHUNK = 16 << 20
_NEWLINE = 10


class JsonLines(JsonItems):
    """Item i is the value of line i, blank ones not counted. Raises `DataError` where it cannot be read."""

    broken = "cut off, or not one object per line. Write the line again."

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path, *_lines(path))
        except OSError as error:
            raise DataError(f"{shown(path)}: cannot be read ({error.strerror}).") from error


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
