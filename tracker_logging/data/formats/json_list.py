"""A JSON list, one item at a time: in order at constant memory, or held as text and parsed when asked for.

Guarantees
- Held, it costs about the size of its file, a quarter of what its parsed items would.
- A file that is cut off, malformed or not UTF-8 is a `DataError` that names the item.

    for item in iterate_json_list(Path("train.json")): ...
    JsonList(Path("train.json"))[17]
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO, overload

from tracker_logging.data.sample import DataError, shown
from tracker_logging.data.text_files import open_utf8

_CHUNK = 1 << 20  # characters
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonList(Sequence[object]):
    """Item i is item i of the list in `path`. Raises `DataError` for a file that is not a whole list."""

    def __init__(self, path: Path) -> None:
        self._texts = [text for _, text in _items(path)]

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[object]: ...
    def __getitem__(self, index: int | slice) -> object:
        if isinstance(index, slice):
            return [json.loads(text) for text in self._texts[index]]
        return json.loads(self._texts[index])


def iterate_json_list(path: Path) -> Iterator[object]:
    """The items of the list in `path`. Raises `DataError`, also after some items."""
    return (item for item, _ in _items(path))


def _items(path: Path) -> Iterator[tuple[object, str]]:
    """Each item and its text."""
    with open_utf8(path) as file:
        window = _Window(file)
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

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def next_mark(self, *, take: bool = True) -> str:
        """The next character that is no space, "" at the end of the file."""
        while True:
            self._skip_space()
            if self._at < len(self._text):
                mark = self._text[self._at]
                self._at += take
                return mark
            if not self._read_more():
                return ""

    def next_item(self) -> tuple[object, str]:
        """The next JSON value and its text. Raises `ValueError` if the file holds none."""
        self._skip_space()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read_more():
                    raise
            else:
                # A number may go on in the next piece: only what something follows is known to be whole.
                if _SPACE.match(self._text, end).end() < len(self._text) or not self._read_more():  # type: ignore[union-attr]
                    start, self._at = self._at, end
                    return value, self._text[start:end]

    def _skip_space(self) -> None:
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]

    def _read_more(self) -> bool:
        """As much again as is held, so that a long item is not looked at too often."""
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        if chunk:
            self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)
