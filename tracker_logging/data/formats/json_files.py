"""JSON Lines and JSON lists: each value is read and parsed when it is asked for.

Guarantees
- Opening JSON Lines finds line ends only, about 1 GB a second. Opening a list parses all items once, about 80 MB a
  second. Both keep sixteen bytes per value, so a file need not fit in memory.
- A line that is not JSON is a `DataError` of its own; the other lines can be read. A list that is cut off, malformed or
  not UTF-8 is a `DataError` that names the item.
- The values may be shared by processes and threads: no file is held open.

    JsonLines(Path("train.jsonl"))[17]
    JsonList(Path("train.json"))[17]
    for item in iterate_json_list(Path("train.json")): ...
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from tracker_logging.data.formats.slices import MAX_RECORD_BYTES, FileSlices, bounds, check_count, check_record_size
from tracker_logging.data.sample import DataError, cannot_read, shown
from tracker_logging.data.text_files import UTF8_MARK, mark_bytes, open_utf8, wrong_encoding

_CHUNK_BYTES = 16 << 20
_CHUNK = 1 << 20  # characters
_NEWLINE = 10
_SPACE = re.compile(r"[ \t\n\r]*")


class _JsonValues(FileSlices):
    """`broken`: the likely cause and the fix, for the message about a value that is not JSON."""

    broken: str

    def _parse(self, content: bytes, index: int) -> object:
        try:
            return json.loads(content.removeprefix(UTF8_MARK).decode())
        except UnicodeDecodeError as error:
            raise wrong_encoding(f"{shown(self.path)}[{index}]", error) from error
        except (ValueError, RecursionError) as error:
            where = f"{shown(self.path)}[{index}]"
            raise DataError(f"{where} is not valid JSON ({_reason(error)}): {self.broken}") from error


class JsonLines(_JsonValues):
    """Item i is the value of line i, blank lines not counted. Raises `DataError` where it cannot be read."""

    broken = "cut off, or not one object per line. Write the line again."

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path, *_lines(path))
        except OSError as error:
            raise cannot_read(path, error) from error


def _lines(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where each line that is not blank starts and ends, in bytes."""
    starts: list[npt.NDArray[np.int64]] = []
    ends: list[npt.NDArray[np.int64]] = []
    size = line_start = count = 0

    def add(line_ends: npt.NDArray[np.int64]) -> None:
        nonlocal line_start, count
        line_starts = np.concatenate([[line_start], line_ends[:-1] + 1]).astype(np.int64)
        filled = line_ends - line_starts > 1  # one byte is the "\r" of a blank line
        starts.append(line_starts[filled])
        ends.append(line_ends[filled])
        line_start = int(line_ends[-1]) + 1
        count += int(filled.sum())
        check_count(path, count)

    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            newlines = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == _NEWLINE) + size
            size += len(chunk)
            if len(newlines):
                add(newlines)
    add(np.array([size]))
    return np.concatenate(starts), np.concatenate(ends)


class JsonList(_JsonValues):
    """Item i is item i of the list in `path`. Raises `DataError` for a file that is not a whole list."""

    broken = "the file has changed since it was opened. Start again."

    def __init__(self, path: Path) -> None:
        places = array("q")
        for _, start, end in _items(path):
            places.extend((start, end))
            check_count(path, len(places) // 2)
        super().__init__(path, *bounds(places))


def iterate_json_list(path: Path, *, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[object]:
    """The items of the list in `path`, each of at most `max_bytes`. Raises `DataError`, also after some items."""
    return (item for item, _, _ in _items(path, max_bytes))


def _items(path: Path, max_bytes: int = MAX_RECORD_BYTES) -> Iterator[tuple[object, int, int]]:
    """Each item, and the byte offsets of its start and end."""
    with open_utf8(path) as file:
        window = _Window(path, file, start=mark_bytes(path), max_bytes=max_bytes)
        if window.next_mark() != "[":
            raise DataError(f"{shown(path)}: not a JSON list of samples. Write the samples in [ ].")
        index = 0
        if window.next_mark(take=False) == "]":
            window.next_mark()
        else:
            while True:
                try:
                    yield window.next_item()
                except (UnicodeDecodeError, DataError):
                    raise  # `open_utf8` turns the first into a DataError
                except (ValueError, RecursionError) as error:
                    raise _broken(path, index, error, cut_off=_is_cut_off(error)) from error
                index += 1
                mark = window.next_mark()
                if mark == "]":
                    break
                if mark != ",":
                    raise _broken(path, index, ValueError("',' or ']' is missing"), cut_off=mark == "")
        if window.next_mark():
            raise DataError(f"{shown(path)}: not valid JSON (text after the list). Repair the file.")


def _broken(path: Path, index: int, error: Exception, *, cut_off: bool) -> DataError:
    if cut_off:
        return DataError(f"{shown(path)}: not valid JSON (the file ends within sample {index}). Write it again.")
    return DataError(
        f"{shown(path)}: not valid JSON in sample {index} ({_reason(error)}). Repair the file or write it again."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if "int_max_str_digits" in str(error):  # Python's own limit, of 4,300 digits
        return "a number has thousands of digits"
    return getattr(error, "msg", str(error))


def _is_cut_off(error: Exception) -> bool:
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")


class _Window:
    """The part of the file that is being parsed; it moves forward as items are taken."""

    def __init__(self, path: Path, file: TextIO, *, start: int, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file = file
        self._text = ""
        self._at = 0
        self._byte = start  # the file offset of `_text[_at]`
        self._decoder = json.JSONDecoder()

    def next_mark(self, *, take: bool = True) -> str:
        """The next character that is not white space, "" at the end of the file."""
        while True:
            self._skip_space()
            if self._at < len(self._text):
                mark = self._text[self._at]
                self._move(take)
                return mark
            if not self._read_more():
                return ""

    def next_item(self) -> tuple[object, int, int]:
        """The next JSON value, and the byte offsets of its start and end. Raises `ValueError` if there is none."""
        while True:
            self._skip_space()  # also of a piece that begins with it
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read_more():
                    raise
            else:
                # A number may continue in the next piece: a value is complete only if something follows it.
                if _SPACE.match(self._text, end).end() < len(self._text) or not self._read_more():  # type: ignore[union-attr]
                    start, text = self._byte, self._text[self._at : end]
                    self._at = end
                    self._byte += len(text) if text.isascii() else len(text.encode())
                    return value, start, self._byte

    def _skip_space(self) -> None:
        self._move(_SPACE.match(self._text, self._at).end() - self._at)  # type: ignore[union-attr]

    def _move(self, characters: int) -> None:
        """Skip `characters` that take one byte each."""
        self._at += characters
        self._byte += characters

    def _read_more(self) -> bool:
        """Read as much again as is held, so that a long item is parsed only a few times. Raises `DataError` for an item
        that is too large."""
        check_record_size(len(self._text) - self._at, f"{shown(self._path)}: one sample", limit=self._max_bytes)
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        if chunk:
            self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)
