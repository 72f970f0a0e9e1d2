"""What several commands share: their error, arguments, tables, JSON and the progress bar."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker_logging.runs import NotARunError, Run, open_run
from tracker_logging.runs.remote import local_place
from tracker_logging.trackers.plain_text import clean

_BAR = 30  # characters
_BETWEEN = "  "
_NARROW = 8


class CommandError(Exception):
    """An error that the user can fix. The message names the problem and the fix; it is printed without a traceback."""


def add_run_argument(parser: argparse.ArgumentParser) -> None:
    """RUN, as `open_run` takes it."""
    what = "a run's directory, its record/events.jsonl, or the directory of an offline W&B run"
    parser.add_argument("run", type=run_place, metavar="RUN", help=f"{what}; also of a remote place such as s3://…")


def run_place(text: str) -> Path:
    """A path, or the local copy of a remote place."""
    try:
        return local_place(text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def open_run_or_fail(path: Path) -> Run:
    """The run at `path`. Raises `CommandError`."""
    try:
        return open_run(path)
    except NotARunError as error:
        raise CommandError(str(error)) from error


def print_json(document: Mapping[str, Any]) -> None:
    """Strict JSON, indented."""
    print(json.dumps(document, indent=1, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = 0) -> None:
    """Columns of text, separated by two spaces. `width`: most characters per line, 0 for the terminal's, None for any.

    What does not fit is cut and marked with "…": the widest columns first, so that no other one is lost.
    """
    lines = [[" ".join(clean(cell).split()) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if width is not None:
        _narrow(widths, most=(width or shutil.get_terminal_size().columns) - len(_BETWEEN) * (len(widths) - 1))
    for line in lines:
        text = _BETWEEN.join(_cut(cell, size).ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip()
        print(text if width is None else short(text, width=width))


def print_paragraph(text: str, *, indent: str = "") -> None:
    """One paragraph, broken at spaces where it is shown on a terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else len(indent + text)
    lines = textwrap.wrap(text, width - len(indent), break_long_words=False, break_on_hyphens=False)
    print(textwrap.indent("\n".join(lines), indent))


def _narrow(widths: list[int], *, most: int) -> None:
    """Take from the widest columns until all have at most `most` characters, or none is wider than `_NARROW`."""
    while sum(widths) > most and max(widths) > _NARROW:
        widths[widths.index(max(widths))] -= 1


def _cut(cell: str, width: int) -> str:
    """A text without its end; a path or tag without its middle, because its last part tells it from others."""
    if len(cell) <= width:
        return cell
    end = 0 if " " in cell else min(len(cell) - cell.rfind("/"), (width - 1) // 2)
    return f"{cell[: width - 1 - end]}…{cell[len(cell) - end :]}"


def short(text: str, *, width: int = 0) -> str:
    """`text` as one line of at most `width` characters, 0 for the width of the terminal."""
    line = clean(text).replace("\n", " ")
    most = width or shutil.get_terminal_size().columns
    return line if len(line) <= most else f"{line[: most - 1]}…"


def progress_bar(what: str, *, every: int = 1) -> Callable[[int, int], None]:
    """A function (done, total) that draws a bar on stderr, where that is a terminal, and removes it at the end.

    `what`: the plural of what is counted. `every`: updates between two drawings.
    """

    def show(done: int, total: int) -> None:
        if total and sys.stderr.isatty() and (done % every == 0 or done == total):
            filled = _BAR * done // total
            bar = f"[{'#' * filled}{' ' * (_BAR - filled)}] {done:,} of {total:,} {what}"
            print(f"\r{bar}" if done < total else f"\r{' ' * len(bar)}\r", end="", file=sys.stderr, flush=True)

    return show
