"""What several commands share: their error and the progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable

_BAR = 30  # characters


class CommandError(Exception):
    """An error that the user can fix. The message names the problem and the fix; it is printed without a traceback."""


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
