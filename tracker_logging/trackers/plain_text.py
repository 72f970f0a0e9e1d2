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
import re
from collections.abc import Sequence

from tracker_logging.events import Cell

LONGEST = 20_000
LONGEST_CELL = 400
MOST_ROWS = 500

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


def markdown_text(text: str) -> str:
    """`text` as Markdown that shows exactly it, lines kept."""
    return _escaped(clean(text)).replace("\n", "  \n")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table of at most `MOST_ROWS` rows. A newline within a cell is shown as "⏎"."""
    lines = [columns, ["---"] * len(columns), *rows[:MOST_ROWS]]
    cells = [[shown(cell) if i == 1 else _cell(cell) for cell in line] for i, line in enumerate(lines)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in cells)
    left_out = len(rows) - MOST_ROWS
    return f"{table}\n\n{left_out} more rows" if left_out > 0 else table


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
