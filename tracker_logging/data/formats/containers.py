"""Files of records: a JSON list, JSON Lines, CSV, TSV or parquet, detected by content.

Guarantees
- Files stay on disk, a record is read on access. Opening a JSON list parses all of it, up to `MAX_READ_BYTES`; a larger
  list can be streamed.
- `peek` costs the same for any file size.

    records = open_records(Path("train.jsonl"))
    len(records), records[17]
"""

from __future__ import annotations

import enum
import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from tracker_logging.data.formats.json_files import JsonLines, JsonList, iterate_json_list
from tracker_logging.data.formats.parquet import PARQUET_MARK, ParquetRows
from tracker_logging.data.formats.slices import MAX_RECORD_BYTES, check_record_size
from tracker_logging.data.formats.text_table import TextTable, check_text, no_table, peek_table
from tracker_logging.data.sample import DataError, shown
from tracker_logging.data.text_files import UTF8_MARK, check_encoding, read_utf8

MAX_READ_BYTES = 1_000_000_000
_TEXT_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_TABLE_ENDINGS = (".csv", ".tsv")
_LINES_ENDINGS = (".jsonl", ".ndjson")
_LOOK = 4096  # bytes
_LONGEST_LINE = 16 << 20
_MAX_BLANK_LINES = 10_000


class Container(enum.Enum):
    JSON_LIST = enum.auto()
    JSON_LINES = enum.auto()
    JSON_OBJECT = enum.auto()
    TABLE = enum.auto()
    PARQUET = enum.auto()


def container_of(path: Path) -> Container | None:
    """The container of `path`; None if unknown. Raises `DataError` for UTF-16 and if it cannot be opened."""
    check_encoding(path)
    with path.open("rb") as file:
        line = file.readline(_LOOK)
        if line.startswith(PARQUET_MARK):
            return Container.PARQUET
        for _ in range(_MAX_BLANK_LINES):
            if not line or line.removeprefix(UTF8_MARK).strip():
                break
            line = file.readline(_LOOK)
        line = line.removeprefix(UTF8_MARK).lstrip()
        if line.startswith(b"{"):
            line += b"" if line.endswith(b"\n") else file.readline(_LONGEST_LINE)
            lines = path.suffix.lower() in _LINES_ENDINGS or (bool(file.read(1)) and _parsed(line) is not None)
            return Container.JSON_LINES if lines else Container.JSON_OBJECT
        if line.startswith(b"["):
            return Container.JSON_LINES if path.suffix.lower() in _LINES_ENDINGS else Container.JSON_LIST
    return Container.TABLE if peek_table(path, 1) else None


def may_be_data(path: Path, *, read: int) -> bool:
    """Whether a file of which `read` records could be read, none in a known format, should be reported as broken data
    rather than as an unknown file: JSON, a table without a readable row, or a file with a data ending."""
    try:
        container = container_of(path)
    except DataError:
        container = None
    if container in (Container.TABLE, Container.PARQUET):
        return read == 0
    return container is not None or path.suffix.lower() in _TEXT_ENDINGS


def _parsed(line: bytes) -> object:
    """The JSON value in `line`, None if there is none; bytes that are not UTF-8 are replaced."""
    try:
        value: object = json.loads(line.removeprefix(UTF8_MARK).decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return value


def open_records(path: Path, columns: Collection[str] = ()) -> Sequence[object]:
    """The records of `path`. `columns`: names that make the first line of a table a header. Raises `DataError`, on
    opening for the file, on access for a single record."""
    container = container_of(path)
    if container is Container.JSON_LINES:
        return JsonLines(path)
    if container is Container.TABLE:
        return TextTable(path, columns)
    if container is Container.PARQUET:
        return ParquetRows(path)
    if container is Container.JSON_OBJECT:
        raise DataError(f"{shown(path)}: {_why_no_list(load_json(path))}")
    if container is None:
        check_text(path)
        if path.suffix.lower() in _TABLE_ENDINGS:
            raise no_table(path)
        raise DataError(f"{shown(path)}: neither valid JSON nor a table. Write the file again.")
    if path.stat().st_size > MAX_READ_BYTES:
        raise DataError(
            f"{shown(path)}: larger than {MAX_READ_BYTES / 1e9:g} GB, too large to be read completely at every start. "
            f"Convert it to JSON Lines: tracker-logging convert {shown(path)} {path.stem}.jsonl --to chatml."
        )
    return JsonList(path)


def _why_no_list(value: object) -> str:
    """What a JSON value holds instead of being a list of samples, and the fix."""
    inside = value.items() if isinstance(value, dict) else ()
    lists = [name for name, inner in inside if isinstance(inner, list) and inner and isinstance(inner[0], dict)]
    if lists:
        return f"is a JSON dict with a list under {lists[0]!r}. Write that list alone, without what is around it."
    if isinstance(value, dict) and len(value) > 1 and all(isinstance(inner, dict) for inner in value.values()):
        return f"is a JSON dict of {len(value)} objects. Write them as a list [ ], each with its name as id."
    return f"is a JSON {type(value).__name__}, not a list of samples. Put the samples in [ ]."


def stream_records(path: Path) -> Iterator[object]:
    """The records of `path` in order, in constant memory; a `DataError` in place of each that cannot be read.
    Raises `DataError`, also after some records, if the records that follow cannot be located."""
    container = container_of(path)
    if container is Container.JSON_LIST:
        return iterate_json_list(path)
    return _one_by_one(open_records(path))


def _one_by_one(records: Sequence[object]) -> Iterator[object]:
    for index in range(len(records)):
        try:
            yield records[index]
        except DataError as error:
            yield error


def peek(path: Path, count: int) -> list[object]:
    """Up to `count` records from the start; does not raise. Records that cannot be read are left out in JSON Lines, and
    end the list in other files."""
    records: list[object] = []
    try:
        container = container_of(path)
        if container is Container.JSON_LINES:
            with path.open("rb") as file:
                lines = itertools.islice(iter(partial(file.readline, _LONGEST_LINE), b""), count)
                values = map(_parsed, lines)
                records.extend(value for value in values if value is not None)
        elif container is Container.TABLE:
            table = peek_table(path, count)
            records.extend(table[1] if table else [])
        elif container is Container.JSON_LIST:
            records.extend(itertools.islice(iterate_json_list(path, max_bytes=_LONGEST_LINE), count))
        elif container is Container.PARQUET:
            readable = itertools.takewhile(lambda record: not isinstance(record, DataError), stream_records(path))
            records.extend(itertools.islice(readable, count))
    except (DataError, ValueError, RecursionError):
        pass
    return records


def load_json(path: Path) -> object:
    """The JSON value of `path`. Raises `DataError`."""
    check_record_size(path.stat().st_size, f"{shown(path)}: its content")
    try:
        return json.loads(read_utf8(path, max_bytes=MAX_RECORD_BYTES))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{shown(path)}: not valid JSON ({error}). Repair the file or write it again.") from error
