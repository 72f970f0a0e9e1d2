"""CSV, TSV and parquet: rows as mappings from column to value.

Guarantees
- The delimiter of a text table is the tab, comma, semicolon or pipe that divides the header.
- A parquet file is read one row group at a time; a text table is held in memory.
- `pyarrow` is needed for parquet only.

    rows = list(iterate_table(Path("pairs.tsv")))
    rows = ParquetRows(Path("train.parquet"))
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from tracker_logging.data.sample import DataError, shown
from tracker_logging.data.text_files import open_utf8

DELIMITERS = "\t,;|"
INSTALL = "Install it: pip install 'tracker-logging[parquet]'."
PARQUET_MARK = b"PAR1"


def is_table(first_line: str) -> bool:
    """Whether this line can be the header of a text table: two columns or more."""
    return _delimiter(first_line) is not None


def iterate_table(path: Path) -> Iterator[Mapping[str, object]]:
    """The rows in order. Empty cells are "". Raises `DataError`, also after some rows."""
    with open_utf8(path) as file:
        header = file.readline()
        delimiter = _delimiter(header) or ","
        try:
            names = _cells(header, delimiter)
            if len(set(names)) != len(names):
                raise DataError(f"{shown(path)}: the header names a column twice. Rename one.")
            for index, cells in enumerate(row for row in csv.reader(file, delimiter=delimiter) if row):
                if len(cells) != len(names):
                    raise DataError(
                        f"{shown(path)}[{index}]: {len(cells)} cells under {len(names)} column names. "
                        "Put text that holds the delimiter in quotes."
                    )
                yield dict(zip(names, cells, strict=True))
        except csv.Error as error:
            raise DataError(f"{shown(path)}: not a valid table ({error}). Write it again.") from error


def _delimiter(header: str) -> str | None:
    try:
        return next((mark for mark in DELIMITERS if len(_cells(header, mark)) > 1), None)
    except csv.Error:
        return None


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


class ParquetRows(Sequence[Mapping[str, object]]):
    """Item i is row i. Reading in order is fast; in random order each row costs its row group. Raises `DataError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._group: tuple[int, Any] | None = None
        metadata = self._file().metadata
        sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        self._firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @overload
    def __getitem__(self, index: int) -> Mapping[str, object]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, object]]: ...
    def __getitem__(self, index: int | slice) -> object:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        group = int(np.searchsorted(self._firsts, index, side="right")) - 1
        held = self._group
        if held is None or held[0] != group:
            try:
                held = (group, self._file().read_row_group(group))
            except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
                raise DataError(
                    f"{shown(self.path)}[{index}] cannot be read ({error}). Write the file again."
                ) from error
            self._group = held
        return held[1].slice(index - int(self._firsts[group]), 1).to_pylist()[0]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_group": None}

    def _file(self) -> Any:
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise DataError(f"{shown(self.path)}: parquet needs pyarrow. {INSTALL}") from error
        try:
            return ParquetFile(self.path)
        except (OSError, ValueError) as error:
            raise DataError(f"{shown(self.path)}: not a readable parquet file ({error}). Write it again.") from error
