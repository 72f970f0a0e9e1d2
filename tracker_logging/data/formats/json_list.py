"""A JSON list, one item at a time: in order, or where it stands in the file, parsed when it is asked for.

Guarantees
- Opening parses all items once, about 80 MB a second, and keeps sixteen bytes of each: a file need not fit in memory.
- A file that is cut off, malformed or not UTF-8 is a `DataError` that names the item.

    for item in iterate_json_list(Path("train.json")): ...
    JsonList(Path("train.json"))[17]
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from tracker_logging.data.formats.json_items import JsonItems
from tracker_logging.data.sample import DataError, shown
from tracker_logging.data.text_files import mark_bytes, open_utf8

_CHUNK = 1 << 20  # characters
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonList(JsonItems):
    """Item i is item i of the list in `path`. Raises `DataError` for a file that is not a whole list."""

    broken = "the file has changed since it was opened. Start again."

    def __init__(self, path: Path) -> None:
        places = array("q")
        for _, start, end in _items(path):
            places.extend((start, end))
        bounds = np.array(places, dtype=np.int64).reshape(-1, 2)
        super().__init__(path, bounds[:, 0], bounds[:, 1])


def iterate_json_list(path: Path) -> Iterator[object]:
    """The items of the list in `path`. Raises `DataError`, also after some items."""
    return (item for item, _, _ in _items(path))


def _items(path: Path) -> Iterator[tuple[object, int, int]]:
    """Each item, and the bytes in which it starts and ends."""
    with open_utf8(path) as file:
        window = _Window(file, start=mark_bytes(path))
        if window.next_mark() != "[":
            raise DataError(f"{shown(path)}: not a JSON list of samples. Write the samples in [ ].")
        index = 0
        if window.next_mark(take=False) == "]":
            window.next_mark()
        else:
            while True:
                try:
                    yield window.next_item()
                except UnicodeDecodeError:
                    raise  # `open_utf8` says what it means
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
    reason = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
    return DataError(f"{shown(path)}: not valid JSON in sample {index} ({reason}). Repair the file or write it again.")


def _is_cut_off(error: Exception) -> bool:
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")


class _Window:
    """A piece of the file, moved forwards as items are taken from it."""

    def __init__(self, file: TextIO, *, start: int) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._byte = start  # of the file, at which `_text[_at]` stands
        self._decoder = json.JSONDecoder()

    def next_mark(self, *, take: bool = True) -> str:
        """The next character that is no space, "" at the end of the file."""
        while True:
            self._skip_space()
            if self._at < len(self._text):
                mark = self._text[self._at]
                self._move(take)
                return mark
            if not self._read_more():
                return ""

    def next_item(self) -> tuple[object, int, int]:
        """The next JSON value, and the bytes in which it starts and ends. Raises `ValueError` if there is none."""
        while True:
            self._skip_space()  # also of a piece that begins with it
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read_more():
                    raise
            else:
                # A number may go on in the next piece: only what something follows is known to be whole.
                if _SPACE.match(self._text, end).end() < len(self._text) or not self._read_more():  # type: ignore[union-attr]
                    start, text = self._byte, self._text[self._at : end]
                    self._at = end
                    self._byte += len(text) if text.isascii() else len(text.encode())
                    return value, start, self._byte

    def _skip_space(self) -> None:
        self._move(_SPACE.match(self._text, self._at).end() - self._at)  # type: ignore[union-attr]

    def _move(self, characters: int) -> None:
        """Past so many characters of one byte each."""
        self._at += characters
        self._byte += characters

    def _read_more(self) -> bool:
        """As much again as is held, so that a long item is not looked at too often."""
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        if chunk:
            self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)
