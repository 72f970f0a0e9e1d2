"""Writes the last word of a training as two files in the run's directory: one to read, one for programs.

runs/a/summary.md       base model against best and last checkpoint, which one to use and why
runs/a/summary.json     {"format": 1, "step": 500, "numbers": [{"number": …, "model": "base", …}, …], "text": …}

With `purge_step` files of that step or later are removed first.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from tracker_logging import tags
from tracker_logging.events import Cell, Event, Table, Text
from tracker_logging.trackers.purge import remove_report
from tracker_logging.whole_file import write_whole_text

FORMAT = 1
JSON_NAME = "summary.json"
PAGE_NAME = "summary.md"


class SummaryFileTracker:
    """Writes the table and the text of the last word into `directory`, and ignores other events. Raises `OSError`."""

    def __init__(self, directory: Path, *, purge_step: int | None = None) -> None:
        self.directory = directory
        if purge_step is not None:
            remove_report(directory, (JSON_NAME, PAGE_NAME), step=purge_step)
        self._numbers: list[dict[str, Cell]] = []

    def emit(self, event: Event) -> None:
        """Keep the table; with the text that follows it, replace both files."""
        if isinstance(event, Table) and event.tag == tags.LAST_WORD_TABLE():
            self._numbers = [
                {name: _plain(cell) for name, cell in zip(event.columns, row, strict=True)} for row in event.rows
            ]
        elif isinstance(event, Text) and event.tag == tags.LAST_WORD():
            content = {"format": FORMAT, "step": event.step, "numbers": self._numbers, "text": event.text}
            self.directory.mkdir(parents=True, exist_ok=True)
            write_whole_text(self.directory / JSON_NAME, json.dumps(content, indent=1, ensure_ascii=False))
            write_whole_text(self.directory / PAGE_NAME, f"# Base, best and last\n\n```text\n{event.text}\n```\n")

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: nothing is buffered."""

    def close(self) -> None:
        """Return at once: no file stays open."""


def _plain(cell: Cell) -> Cell:
    """Strict JSON has no NaN."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
