"""Text tables: CSV, TSV and pipe tables, with or without a header, each row parsed on access.

Two kinds of table look alike. Programs write CSV: a cell with the delimiter, a quote or a line end is put in quotes.
People, and the corpora of speech synthesis, write plain cells in which a quote is part of the text. Reading one as the
other loses quotes or whole rows, so the kind is decided for each file:

- plain, if no cell begins with a quote (then the two do not differ);
- the kind in which every row has the same number of cells, if only one has this property;
- if both have it: CSV if a quoted cell has doubled quotes, if all cells but numbers are quoted, or if the delimiter is
  a comma or semicolon; else plain;
- if neither has it: the kind with fewer bad rows.

A quote that opens in one line and closes in another, where each line could be a row, is ambiguous: if the rest of the
file does not decide, these rows are bad.

Guarantees
- No two rows are ever merged silently. A row that does not fit, and one that can be read in both ways, is a `DataError`
  that names the line; the other rows can be read.
- Twenty-four bytes of memory per row; opening reads the file once, about half a million rows a second.

    rows = TextTable(Path("pairs.tsv"))
    rows[17]["text"]        # columns of a table without a header are named "1", "2", …
    rows.decision           # "tab table, header, plain cells"
"""

from __future__ import annotations

import logging
import re
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracker_logging.data.formats.columns import KNOWN
from tracker_logging.data.formats.slices import MAX_RECORD_BYTES, MAX_RECORDS, FileSlices, bounds, check_count
from tracker_logging.data.sample import DataError, cannot_read, printable, shown
from tracker_logging.data.text_files import UTF8_MARK, check_encoding, wrong_encoding

logger = logging.getLogger(__name__)

DELIMITERS = "\t|;,"

_NAMES = {"\t": "tab", "|": "pipe", ";": "semicolon", ",": "comma"}
_AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".m4a")
_LOOKED_AT = 200  # lines
_EXCEL = re.compile(r'"?sep=.?"?', re.IGNORECASE)
UNNAMED = "column "  # before the number of a column without a name, as after a delimiter at the end of a line
_MAX_ROW_LINES = 1_000  # a quoted cell over more lines is an unclosed quote
_MAX_HEAD_BYTES = 1_000_000  # of the lines by which delimiter and header are decided


@dataclass(frozen=True, slots=True)
class Layout:
    """`names`: the columns; `has_header`: whether they stand in the first line."""

    delimiter: str
    names: tuple[str, ...]
    has_header: bool
    first_line: str


class TextTable(FileSlices):
    """Item i is row i as a mapping from column to cell. Raises `DataError`.

    `columns`: names that make a first line a header beside those of `columns.py`.
    """

    def __init__(self, path: Path, columns: Collection[str] = ()) -> None:
        lines, _ = _head(path)
        layout = find_layout(lines, columns)
        if layout is None:
            raise no_table(path)
        if len(set(layout.names)) != len(layout.names):
            raise DataError(f"{shown(path)}: the header names a column twice. Rename one.")
        self.layout = layout
        try:
            plain, quoted, signs = _scan(path, layout)
        except OSError as error:
            raise cannot_read(path, error) from error
        self.is_quoted, rows = _decide(plain, quoted, signs, layout.delimiter)
        self._bad = rows.bad
        header = "header" if layout.has_header else f"no header, {len(layout.names)} columns"
        cells = "cells quoted as in CSV" if self.is_quoted else "plain cells"
        self.decision = f"{_NAMES[layout.delimiter]} table, {header}, {cells}"
        if signs.quotes and not (self.is_quoted and layout.delimiter in ",;"):  # what nobody would expect otherwise
            message = "%s: %d lines have a quote at the start of a cell; read as %s."
            logger.warning(message, shown(path), signs.quotes, self.decision)
        super().__init__(path, *bounds(rows.places))

    def _parse(self, content: bytes, index: int) -> Mapping[str, object]:
        if index in self._bad:
            line, problem = self._bad[index]
            raise DataError(f"{shown(self.path)}[{index}] (line {line}): {problem}.")
        try:
            text = content.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise wrong_encoding(f"{shown(self.path)}[{index}]", error) from error
        cells = _cells(text, self.layout.delimiter, quoted=self.is_quoted)
        pairs = zip(self.layout.names, cells, strict=True)
        return {name: cell for name, cell in pairs if cell or not name.startswith(UNNAMED)}


def peek_table(
    path: Path, count: int, columns: Collection[str] = ()
) -> tuple[Layout, list[Mapping[str, object]]] | None:
    """The layout and the first rows, by the start of the file, rows of another length filled up or cut; None if it is
    not a table. Does not raise."""
    try:
        lines, is_whole = _head(path)
    except (DataError, OSError):
        return None
    layout = find_layout(lines, columns)
    if layout is None:
        return None
    rows: list[Mapping[str, object]] = []
    for line in lines[layout.has_header : (None if is_whole else -1)]:
        cells = _cells(line, layout.delimiter, quoted=True)
        if len(cells) != len(layout.names):
            cells = _cells(line, layout.delimiter, quoted=False)
        if len(rows) < count:
            rows.append(dict(zip(layout.names, [*cells, *[""] * len(layout.names)], strict=False)))
    return layout, rows


def first_lines(path: Path) -> list[str]:
    """The first lines that are not blank. Raises `DataError` and `OSError`."""
    return _head(path)[0]


def no_table(path: Path) -> DataError:
    """The error to be raised for lines that have no two cells. Raises `DataError` and `OSError` for the file."""
    first = next(iter(first_lines(path)), "")
    if problem := odd_first_line(first):
        return DataError(f"{shown(path)}: {problem}")
    if not first:
        return DataError(f"{shown(path)}: the file is empty. Write the file again.")
    return DataError(
        f"{shown(path)}: the first line ({printable(first)[:120]!r}) has no delimiter between recording and text. "
        "Separate them by a tab or |, and name columns that have no header by --columns audio=1,text=2."
    )


def odd_first_line(first: str) -> str | None:
    """What is wrong with a first line that is neither a header nor a row, and the fix; None for another one.

    >>> odd_first_line("sep=;")
    "the first line ('sep=;') is a note for Excel. Remove it from the table."
    """
    what = "a comment" if first.startswith("#") else "a note for Excel" if _EXCEL.fullmatch(first) else None
    return what and f"the first line ({printable(first)[:120]!r}) is {what}. Remove it from the table."


def check_text(path: Path) -> None:
    """Raises `DataError` if the first line of `path` cannot be read as UTF-8 text."""
    try:
        check_encoding(path)
        _head(path)
    except OSError as error:
        raise cannot_read(path, error) from error


def find_layout(lines: Sequence[str], columns: Collection[str] = ()) -> Layout | None:
    """Delimiter and columns by the first lines of a file; None if they have no two columns."""
    if not lines:
        return None
    best: tuple[float, str, int] | None = None
    for delimiter in DELIMITERS:
        width = len(_cells(lines[0], delimiter, quoted=True))
        if width > 1:
            same = sum(len(_cells(line, delimiter, quoted=False)) == width for line in lines) / len(lines)
            if best is None or same > best[0]:
                best = (same, delimiter, width)
    if best is None:
        return None
    _, delimiter, width = best
    first = [cell.strip() for cell in _cells(lines[0], delimiter, quoted=True)]
    named = any(_known(cell) in KNOWN or cell in columns for cell in first)
    has_audio = any(cell.lower().endswith(_AUDIO_ENDINGS) for cell in first)
    if named and not has_audio:
        known = [cell if cell in columns or _known(cell) not in KNOWN else _known(cell) for cell in first]
        names = tuple(name or f"{UNNAMED}{number}" for number, name in enumerate(known, start=1))
        return Layout(delimiter, names, has_header=True, first_line=lines[0])
    return Layout(
        delimiter, tuple(str(number) for number in range(1, width + 1)), has_header=False, first_line=lines[0]
    )


def _known(cell: str) -> str:
    """A column's name as readers know it: `Audio File` is `audio_file`."""
    return cell.casefold().replace(" ", "_").replace("-", "_")


def _head(path: Path) -> tuple[list[str], bool]:
    """The first lines that are not blank, and whether they are the whole file. Raises `DataError`."""
    lines: list[str] = []
    with path.open("rb") as file:
        content = file.read(_MAX_HEAD_BYTES)
        is_whole = not file.read(1)
    content = content.removeprefix(UTF8_MARK)
    if b"\n" not in content and b"\r" in content:
        raise DataError(f"{shown(path)}: lines end in a carriage return only. Save the table with ordinary line ends.")
    raw = content.split(b"\n")
    if not is_whole and len(raw) == 1:
        raise DataError(f"{shown(path)}: the first line is longer than 1 MB. Check the line ends.")
    for number, line in enumerate(raw[: _LOOKED_AT + 1]):
        try:
            text = line.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            if number == 0:
                raise wrong_encoding(shown(path), error, evidence=content) from error
            continue
        if text.strip():
            lines.append(text)
    return lines, is_whole and len(raw) <= _LOOKED_AT + 1


def _cells(line: str, delimiter: str, *, quoted: bool) -> list[str]:
    """The cells of a row. A row that is not valid CSV is split as it is."""
    if quoted and '"' in line:
        state, cells = _split_quoted(line, delimiter)
        if state == "closed":
            return cells
    return line.split(delimiter)


def _split_quoted(text: str, delimiter: str) -> tuple[str, list[str]]:
    """One row of CSV (RFC 4180, any delimiter): whether it is "closed", "open" (ends within quotes) or "broken" (text
    follows a closing quote), and its cells."""
    cells: list[str] = []
    at = 0
    while True:
        if text.startswith('"', at):
            end = at + 1
            while (end := text.find('"', end)) >= 0 and text.startswith('""', end):
                end += 2
            if end < 0:
                return "open", cells
            cells.append(text[at + 1 : end].replace('""', '"'))
            at = end + 1
            if at < len(text) and text[at] != delimiter:
                return "broken", cells
        else:
            end = text.find(delimiter, at)
            cells.append(text[at : end if end >= 0 else len(text)])
            at = end if end >= 0 else len(text)
        if at >= len(text):
            return "closed", cells
        at += 1


@dataclass(slots=True)
class _Line:
    content: bytes
    start: int
    number: int

    @property
    def end(self) -> int:
        return self.start + len(self.content)

    @property
    def text(self) -> bytes:
        return self.content.rstrip(b"\r\n")


class _Rows:
    """Byte ranges of rows, and by the number of a bad row its line and what is wrong."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.places = array("q")
        self.bad: dict[int, tuple[int, str]] = {}
        self.ambiguous: list[int] = []  # the bad rows that are valid CSV, and several plain rows too

    @property
    def invalid(self) -> int:
        return len(self.bad) - len(self.ambiguous)

    def add(self, first: _Line, last: _Line, *, cells: int, problem: str | None = None) -> None:
        if cells != self.width:
            fix = "add the missing cells" if cells < self.width else "put text that holds the delimiter in quotes"
            problem = problem or f"{cells} cells under {self.width} column names; {fix}"
        if problem is not None:
            self.bad[len(self.places) // 2] = (first.number, problem)
        self.places.extend((first.start, last.end))


class _QuotedRows:
    """Lines put together to rows of CSV."""

    def __init__(self, layout: Layout) -> None:
        self.rows = _Rows(len(layout.names))
        self._delimiter = layout.delimiter
        self._opening = layout.delimiter.encode() + b'"'
        self._pending: list[_Line] = []  # of a row whose quotes are still open

    @property
    def is_open(self) -> bool:
        return bool(self._pending)

    def feed(self, line: _Line) -> None:
        waiting = deque([line])
        while waiting:
            line = waiting.popleft()
            if not self._pending and not self._has_quoted_cell(line):
                if line.text.strip():
                    self.rows.add(line, line, cells=line.text.count(self._delimiter.encode()) + 1)
                continue
            self._pending.append(line)
            if len(self._pending) > 1 and len(self._pending) < _MAX_ROW_LINES and b'"' not in line.content:
                continue
            waiting.extendleft(reversed(self._close()))

    def finish(self) -> None:
        """Call it at the end of the file."""
        while self._pending:
            for line in self._give_up():
                self.feed(line)

    def _has_quoted_cell(self, line: _Line) -> bool:
        return line.content.startswith(b'"') or self._opening in line.content

    def _close(self) -> list[_Line]:
        """Add the pending row if it is complete. Returns lines to be read again, where it is not valid."""
        pending = self._pending
        text = b"".join(line.content for line in pending).decode(errors="replace").rstrip("\r\n")
        state, cells = _split_quoted(text, self._delimiter)
        if state == "open" and len(pending) < _MAX_ROW_LINES and len(text) < _MAX_HEAD_BYTES:
            return []
        if state != "closed":
            return self._give_up()
        self._pending = []
        alone = {line.text.count(self._delimiter.encode()) + 1 for line in pending}
        problem = None
        if len(pending) > 1 and alone == {self.rows.width}:
            problem = (
                f"a quote is open over {len(pending)} lines, each of which could be a row; close the quote in its "
                "line, or double it"
            )
            self.rows.ambiguous.append(len(self.rows.places) // 2)
        self.rows.add(pending[0], pending[-1], cells=len(cells), problem=problem)
        return []

    def _give_up(self) -> list[_Line]:
        first, rest = self._pending[0], self._pending[1:]
        self._pending = []
        problem = "a quote at the start of a cell is not closed, or text follows it; double the quotes of the text"
        self.rows.add(first, first, cells=self.rows.width, problem=problem)
        return rest


@dataclass(slots=True)
class _Signs:
    """What indicates CSV: doubled quotes or a carriage return within quotes, and lines in which every cell but numbers
    is in quotes."""

    lines: int = 0
    quotes: int = 0
    doubled: int = 0
    all_quoted: int = 0

    def count(self, text: bytes, delimiter: bytes) -> None:
        self.lines += 1
        if b'"' in text:
            cells = text.split(delimiter)
            quoted = [len(cell) > 1 and cell[:1] == cell[-1:] == b'"' for cell in cells]
            self.quotes += any(cell[:1] == b'"' for cell in cells)
            self.doubled += any(
                is_quoted and (b'""' in cell[1:-1] or b"\r" in cell)
                for cell, is_quoted in zip(cells, quoted, strict=True)
            )
            self.all_quoted += any(quoted) and all(
                is_quoted or cell.replace(b".", b"").strip().isdigit() or not cell.strip()
                for cell, is_quoted in zip(cells, quoted, strict=True)
            )


def _decide(plain: _Rows, quoted: _Rows, signs: _Signs, delimiter: str) -> tuple[bool, _Rows]:
    """Whether the cells are quoted as in CSV, and the rows. Ambiguous rows are bad in both kinds if the rest of the
    file does not decide."""
    if plain.invalid != quoted.invalid:
        is_quoted = plain.invalid > quoted.invalid
    else:
        is_quoted = delimiter in ",;" or signs.doubled > 0 or 0 < signs.lines == signs.all_quoted
        starts = plain.places[::2]
        for row in quoted.ambiguous:
            first = bisect_left(starts, quoted.places[2 * row])
            last = bisect_left(starts, quoted.places[2 * row + 1])
            plain.bad |= dict.fromkeys(range(first, last), quoted.bad[row])
    return is_quoted, quoted if is_quoted else plain


def _scan(path: Path, layout: Layout) -> tuple[_Rows, _Rows, _Signs]:
    """The rows of `path` read as plain cells and as CSV, and the signs for CSV. Raises `OSError` and `DataError`."""
    delimiter = layout.delimiter.encode()
    plain, quoted, signs = _Rows(len(layout.names)), _QuotedRows(layout), _Signs()
    skip_header = layout.has_header
    with path.open("rb") as file:
        start, number = len(UTF8_MARK) if file.read(3) == UTF8_MARK else 0, 0
        file.seek(start)
        while content := file.readline(MAX_RECORD_BYTES + 1):
            if len(content) > MAX_RECORD_BYTES:
                raise DataError(
                    f"{shown(path)}: a line is longer than {MAX_RECORD_BYTES / 1e6:g} MB. Check the line ends."
                )
            number += 1
            line_start, start = start, start + len(content)
            if number > MAX_RECORDS:
                check_count(path, number)
            if skip_header:
                skip_header = not content.strip()
            elif b'"' not in content and not quoted.is_open:  # the same row in both kinds; most lines are such
                if content.strip():
                    cells = content.count(delimiter) + 1
                    signs.lines += 1
                    for rows in (plain, quoted.rows):
                        if cells == rows.width:
                            rows.places.extend((line_start, start))
                        else:
                            line = _Line(content, line_start, number)
                            rows.add(line, line, cells=cells)
            else:
                line = _Line(content, line_start, number)
                quoted.feed(line)
                if text := line.text.strip():
                    plain.add(line, line, cells=line.text.count(delimiter) + 1)
                    signs.count(text, delimiter)
    quoted.finish()
    return plain, quoted.rows, signs
