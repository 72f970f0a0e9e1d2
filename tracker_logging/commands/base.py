"""What several commands share: their error, arguments, tables, JSON and the progress bar."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker_logging.runs import NotARunError, Run, open_run
from tracker_logging.runs.remote import local_place
from tracker_logging.trackers.plain_text import clean

_BAR = 30  # characters


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

    What does not fit is cut off and ends with "…".
    """
    lines = [[" ".join(clean(cell).split()) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        text = "  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip()
        print(text if width is None else short(text, width=width))


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
