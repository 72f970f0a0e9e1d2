"""Makes text from a user's data safe for a terminal, a file, a Markdown page and an HTML page.

Guarantees
- `clean` gives valid UTF-8 text without ANSI codes, control characters (tab and newline stay), marks that change the
  writing direction, or lone surrogates. ANSI codes are removed, the others replaced by "�".
- A text is at most `LONGEST` characters, with a note of how many were cut.
- `markdown_table` and `html_table` escape every cell: nothing in it can end the cell, open a tag or run a script.

    >>> clean("red \\x1b[31mtext\\x1b[0m, bell \\x07")
    'red text, bell �'
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from typing import TypeVar

from tracker_logging.events import Cell

T = TypeVar("T")
LONGEST = 20_000
LONGEST_CELL = 400
MOST_ROWS = 500
MOST_COLUMNS = 8  # of a Markdown table
KEYS = 2  # columns that every part of a wide table begins with

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MARKDOWN = re.compile(r"[\\`*_{}\[\]#|~<>&$]|(?m:^[-+=:])|(?m:^\d+[.)](?=\s))|(?m:^[ \t]+)")


def clean(text: str, *, longest: int = LONGEST) -> str:
    """`text` without anything that could break a terminal, a file or a reader, at most `longest` characters."""
    cut = len(text) - longest
    kept = text[:longest].replace("\r\n", "\n").replace("\r", "\n")
    kept = _SURROGATE.sub("�", _CONTROL.sub("�", _ANSI.sub("", kept)))
    return f"{kept}… ({cut} more characters)" if cut > 0 else kept


def shown(cell: Cell, *, longest: int = LONGEST_CELL) -> str:
    """A cell as text: numbers with at most six digits, None as empty text, strings cleaned and cut."""
    match cell:
        case None:
            return ""
        case bool():
            return "yes" if cell else "no"
        case float():
            return f"{cell:.6g}"
        case _:
            return clean(str(cell), longest=longest)


def plain(cell: T) -> T | str:
    """A cell of a native table: a string cleaned and cut, any other value as it is."""
    return clean(cell, longest=LONGEST_CELL) if isinstance(cell, str) else cell


def markdown_text(text: str) -> str:
    """`text` as Markdown that shows exactly it, lines kept."""
    return _escaped(clean(text)).replace("\n", "  \n")


def number(value: float) -> float | str:
    """A number that strict JSON can hold.

    >>> number(0.5), number(float("nan")), number(float("-inf"))
    (0.5, 'NaN', '-Infinity')
    """
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table of at most `MOST_ROWS` rows. A newline within a cell is shown as "⏎".

    TensorBoard breaks the words of a wide table into single letters. One of more than `MOST_COLUMNS` columns becomes
    several below each other, each of which begins with the first `KEYS` columns.
    """
    tables = [_markdown_block(columns, rows[:MOST_ROWS], block) for block in _blocks(len(columns))]
    left_out = len(rows) - MOST_ROWS
    return "\n\n".join([*tables, f"{left_out} more rows"] if left_out > 0 else tables)


def html_text(text: str) -> str:
    """A small HTML page that shows exactly `text`."""
    return f'{_STYLE}<pre style="white-space:pre-wrap">{html.escape(clean(text))}</pre>'


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A small HTML page with the table; no script and no external resource."""
    head = "".join(f"<th>{html.escape(shown(column))}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(shown(cell))}</td>" for cell in row) + "</tr>" for row in rows[:MOST_ROWS]
    )
    left_out = len(rows) - MOST_ROWS
    note = f"<p>{left_out} more rows</p>" if left_out > 0 else ""
    return f"{_STYLE}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _blocks(columns: int) -> list[list[int]]:
    """The indices of the columns of each table.

    >>> [len(block) for block in _blocks(8)], [block[:3] for block in _blocks(15)]
    ([8], [[0, 1, 2], [0, 1, 8], [0, 1, 14]])
    """
    if columns <= MOST_COLUMNS:
        return [list(range(columns))]
    others = range(KEYS, columns)
    width = MOST_COLUMNS - KEYS
    return [[*range(KEYS), *others[start : start + width]] for start in range(0, len(others), width)]


def _markdown_block(columns: Sequence[str], rows: Sequence[Sequence[Cell]], indices: Sequence[int]) -> str:
    lines = [[_cell(line[index]) for index in indices] for line in (columns, *rows)]
    lines.insert(1, ["---"] * len(indices))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(cell: Cell) -> str:
    return _escaped(shown(cell).replace("\n", " ⏎ ").replace("\t", " "))


def _escaped(text: str) -> str:
    """Markdown and HTML syntax as character references; a backslash is not enough inside tables."""
    return _MARKDOWN.sub(
        lambda match: "".join(f"&#{ord(char)};" for char in match[0].replace("\t", " " * 4).replace(" ", "\xa0")), text
    )


_STYLE = (
    "<style>body{font:13px sans-serif;margin:8px}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:2px 6px;text-align:left;vertical-align:top;white-space:pre-wrap}"
    "th{background:#f2f2f2;position:sticky;top:0}</style>"
)
