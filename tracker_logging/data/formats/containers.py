"""A file of records, whatever it is written in: a JSON list, JSON Lines, CSV, TSV or parquet, told by its content.

Guarantees
- JSON Lines, JSON lists and parquet are read where they lie, a record when it is asked for; the rows of a text table
  are held in memory. Tables and lists are read through once to be opened, and may have `MAX_READ_BYTES`; more can be
  streamed, to be converted.
- `peek` costs the same for any size.

    records = open_records(Path("train.jsonl"))
    len(records), records[17]
"""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracker_logging.data.formats.json_lines import JsonLines
from tracker_logging.data.formats.json_list import JsonList, iterate_json_list
from tracker_logging.data.formats.tables import PARQUET_MARK, ParquetRows, is_table, iterate_table
from tracker_logging.data.sample import DataError, shown
from tracker_logging.data.text_files import UTF8_MARK, check_encoding, read_utf8

MAX_READ_BYTES = 1_000_000_000
_TEXT_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_LINES_ENDINGS = (".jsonl", ".ndjson")
_LOOK = 4096  # bytes
_LONGEST_LINE = 16 << 20


class Container(enum.Enum):
    JSON_LIST = enum.auto()
    JSON_LINES = enum.auto()
    JSON_OBJECT = enum.auto()
    TABLE = enum.auto()
    PARQUET = enum.auto()


def container_of(path: Path) -> Container | None:
    """What `path` is written in; None for anything else. Raises `DataError` for UTF-16 and if it cannot be opened."""
    check_encoding(path)
    with path.open("rb") as file:
        line = file.readline(_LOOK)
        if line.startswith(PARQUET_MARK):
            return Container.PARQUET
        while line and not line.removeprefix(UTF8_MARK).strip():
            line = file.readline(_LOOK)
        line = line.removeprefix(UTF8_MARK).lstrip()
        if line.startswith(b"{"):
            line += b"" if line.endswith(b"\n") else file.readline(_LONGEST_LINE)
            lines = path.suffix.lower() in _LINES_ENDINGS or (bool(file.read(1)) and _parsed(line) is not None)
            return Container.JSON_LINES if lines else Container.JSON_OBJECT
        if line.startswith(b"["):
            return Container.JSON_LINES if path.suffix.lower() in _LINES_ENDINGS else Container.JSON_LIST
        return Container.TABLE if is_table(line.decode(errors="replace")) else None


def may_be_data(path: Path, *, read: int) -> bool:
    """Whether a file of which `read` records could be read, all unknown, is to be refused as data, not as something
    else: JSON, a table that breaks before its first row, or by its ending."""
    try:
        found = container_of(path)
    except DataError:
        found = None
    if found in (Container.TABLE, Container.PARQUET):
        return read == 0
    return found is not None or path.suffix.lower() in _TEXT_ENDINGS


def _parsed(line: bytes) -> object:
    """The JSON value in `line`, None if there is none; bytes that are not UTF-8 are looked over."""
    try:
        value: object = json.loads(line.removeprefix(UTF8_MARK).decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return value


def open_records(path: Path) -> Sequence[object]:
    """The records of `path`. Raises `DataError`, here for a file that cannot be read, later for a single record."""
    container = container_of(path)
    if container is Container.JSON_LINES:
        return JsonLines(path)
    if container is Container.PARQUET:
        return ParquetRows(path)
    if container is Container.JSON_OBJECT:
        kind = type(load_json(path)).__name__
        raise DataError(f"{shown(path)}: holds a JSON {kind}, not a list of samples. Wrap it in [ ].")
    _check_size(path)
    return JsonList(path) if container is Container.JSON_LIST else list(stream_records(path))


def stream_records(path: Path) -> Iterator[object]:
    """The records of `path` in order, at constant memory; a `DataError` in the place of each that cannot be read.
    Raises `DataError`, also after some records, where those that follow cannot be found."""
    container = container_of(path)
    if container is Container.JSON_LIST:
        return iterate_json_list(path)
    if container is Container.TABLE:
        return iterate_table(path)
    if container is None:
        raise DataError(f"{shown(path)}: not valid JSON and no table. Write the file again.")
    return _one_by_one(open_records(path))


def _one_by_one(records: Sequence[object]) -> Iterator[object]:
    for index in range(len(records)):
        try:
            yield records[index]
        except DataError as error:
            yield error


def peek(path: Path, count: int) -> list[object]:
    """Up to `count` records from the start, without complaint: those that can be read, in other files than JSON Lines
    up to the first that cannot."""
    found: list[object] = []
    try:
        container = container_of(path)
        if container is Container.JSON_LINES:
            with path.open("rb") as file:
                values = map(_parsed, itertools.islice(file, count))
                found.extend(value for value in values if value is not None)
        elif container not in (None, Container.JSON_OBJECT):
            found.extend(itertools.islice(stream_records(path), count))
    except (DataError, ValueError, RecursionError):
        pass
    return found


def load_json(path: Path) -> object:
    """The one JSON value of `path`. Raises `DataError`."""
    _check_size(path)
    check_encoding(path)
    try:
        return json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{shown(path)}: not valid JSON ({error}). Repair the file or write it again.") from error


def _check_size(path: Path) -> None:
    if path.stat().st_size > MAX_READ_BYTES:
        raise DataError(
            f"{shown(path)}: larger than {MAX_READ_BYTES / 1e9:g} GB, too large to be read through at every start. "
            f"Convert it to JSON Lines: tracker-logging convert {shown(path)} {path.stem}.jsonl --to chatml."
        )
