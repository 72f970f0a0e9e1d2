"""JSON values that stand somewhere in a file, each read and parsed when it is asked for.

Guarantees
- Holds sixteen bytes per value, whatever its length.
- May be shared by processes and threads: it holds no open file.

    class JsonLines(JsonItems): ...
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


class JsonItems(Sequence[object]):
    """Item i is the value in the bytes from `starts[i]` to `ends[i]` of `path`. Raises `DataError` where it cannot be
    read; `broken` says what that may come from, and the cure."""

    broken: str

    def __init__(self, path: Path, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        self.path = path
        self._starts, self._ends = starts, ends

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
                text = file.read(end - start)
        except OSError as error:
            raise DataError(f"{shown(self.path)}[{index}]: cannot be read ({error.strerror}).") from error
        return self._parse(text.removeprefix(UTF8_MARK), index)

    def _parse(self, text: bytes, index: int) -> object:
        try:
            return json.loads(text.decode())
        except UnicodeDecodeError as error:
            raise wrong_encoding(f"{shown(self.path)}[{index}]", error) from error
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deeply" if isinstance(error, RecursionError) else str(error))
            raise DataError(f"{shown(self.path)}[{index}] is not valid JSON ({reason}): {self.broken}") from error
