"""Parquet files: rows as mappings from column to value, in bounded memory.

Guarantees
- A few rows are decoded at a time, so that a small file which expands to gigabytes is read like any other. A row group
  of more than `MAX_GROUP_BYTES` of encoded data is refused: one of its pages might not fit in memory.
- Audio whose samples are stored as 16-bit integers, which are on no other scale, is given on the scale ±1.
- Reading in order is fast. In random order a row costs the part of its row group that is before it.
- `pyarrow` is needed for parquet only.

    rows = ParquetRows(Path("train.parquet"))
    rows[17]["text"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tracker_logging.data.formats.lazy import LazySequence
from tracker_logging.data.formats.slices import check_count
from tracker_logging.data.sample import DataError, shown

INSTALL = "Install it: pip install 'tracker-logging[parquet]'."
PARQUET_MARK = b"PAR1"
MAX_GROUP_BYTES = 512_000_000

_BATCH_ROWS = 64


class ParquetRows(LazySequence[Mapping[str, object]]):
    """Item i is row i. May be pickled. Raises `DataError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reading: _Reading | None = None
        metadata = self._file().metadata
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        self._sizes = [group.total_byte_size for group in groups]
        self._firsts = np.concatenate([[0], np.cumsum([group.num_rows for group in groups])]).astype(np.int64)
        check_count(path, len(self))

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def item(self, index: int) -> Mapping[str, object]:
        """Row `index`. Raises `DataError`."""
        group = int(np.searchsorted(self._firsts, index, side="right")) - 1
        if self._sizes[group] > MAX_GROUP_BYTES:
            raise DataError(
                f"{shown(self.path)}[{index}] is in a row group of {self._sizes[group] / 1e6:,.0f} MB; the limit is "
                f"{MAX_GROUP_BYTES / 1e6:g} MB. Write the file again with a smaller row_group_size."
            )
        try:
            reading = self._reading
            if reading is None or not reading.can_reach(group, index):
                reading = self._reading = _Reading(self._file(), group, int(self._firsts[group]))
            row = reading.row(index)
        except DataError:
            raise
        except Exception as error:  # pyarrow raises many kinds for a broken or hostile page
            self._reading = None
            raise DataError(f"{shown(self.path)}[{index}] cannot be read ({error}). Write the file again.") from error
        return cell_values(row, f"{shown(self.path)}[{index}]")

    def outcomes(self) -> Iterator[Mapping[str, object] | DataError]:
        """As in `LazySequence`; rows are decoded together as long as all of them can be."""
        for group, first in enumerate(self._firsts[:-1].tolist()):
            index, last = first, int(self._firsts[group + 1])
            if self._sizes[group] <= MAX_GROUP_BYTES:
                try:
                    for batch in _batches(self._file(), group):
                        rows = batch.to_pylist()
                        names = _sixteen_bit_audio(batch.schema)
                        yield from (_with_full_scale(row, names) for row in rows)
                        index += len(rows)
                except Exception:
                    pass
            yield from map(self.outcome, range(index, last))

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_reading": None}

    def _file(self) -> Any:
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise DataError(f"{shown(self.path)}: parquet needs pyarrow. {INSTALL}") from error
        try:
            return ParquetFile(self.path, pre_buffer=False)
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            raise DataError(f"{shown(self.path)}: not a readable parquet file ({error}). Write it again.") from error


def cell_values(row: Any, where: str) -> dict[str, object]:
    """The cells of an Arrow batch of one row as Python values. Raises `DataError`."""
    values: dict[str, object] = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            values[name] = column[0].as_py()
        except Exception as error:  # a timestamp beyond the year 9999, text that is not UTF-8
            raise DataError(f"{where}.{name} is out of range or not valid ({error}); correct the cell.") from error
    return _with_full_scale(values, _sixteen_bit_audio(row.schema))


def _sixteen_bit_audio(schema: Any) -> list[str]:
    """The columns of objects with a `sampling_rate` and an `array` of 16-bit integers, in lists of any depth."""
    from pyarrow import types

    names = []
    for column in schema:
        if types.is_struct(column.type) and column.type.get_field_index("sampling_rate") >= 0:
            at = column.type.get_field_index("array")
            kind: Any = column.type.field(at).type if at >= 0 else None
            while hasattr(kind, "value_type"):
                kind = kind.value_type
            if kind is not None and types.is_int16(kind):
                names.append(column.name)
    return names


def _with_full_scale(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """`row` with the samples of the audio in the columns `names` on the scale ±1."""
    scaled = {name: {**row[name], "array": _scaled(row[name]["array"])} for name in names if row[name] is not None}
    return {**row, **scaled} if scaled else row


def _scaled(samples: Any) -> Any:
    if isinstance(samples, list):
        return [_scaled(sample) for sample in samples]
    return None if samples is None else samples / 32_768


def _batches(file: Any, group: int) -> Iterator[Any]:
    """The batches of one row group, in order."""
    return iter(file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], use_threads=False))


class _Reading:
    """The batches of one row group, in order; `first` is the number of its first row in the file."""

    def __init__(self, file: Any, group: int, first: int) -> None:
        self._group = group
        self._batches = _batches(file, group)
        self._batch: Any = None
        self._first = first  # the row at which `_batch` begins, or the next one if it is None

    def can_reach(self, group: int, index: int) -> bool:
        """Whether row `index` of `group` is in this batch or a later one."""
        return group == self._group and index >= self._first

    def row(self, index: int) -> Any:
        """Row `index` of the file as a batch of one row."""
        while self._batch is None or index >= self._first + self._batch.num_rows:
            if self._batch is not None:
                self._first += self._batch.num_rows
            self._batch = next(self._batches)
        return self._batch.slice(index - self._first, 1)
