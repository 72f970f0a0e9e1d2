"""Writes every event as one line of JSON, with sound and pictures as files beside it: a record that needs no tool.

    runs/a/record/events.jsonl      one event per line, first line: the run
    runs/a/record/media/…           WAV, PNG and NPY files, named by what they show and a hash of their content

Guarantees
- A line is one unbuffered write after its media are complete: what a line names exists, also after `kill -9`.
- Paths in lines are relative, so that the record can be moved. The same sound or picture is stored once.
- With `purge_step` lines of that step and later are taken out first, as are those of the earlier "GROUP/STEP" of
  `again` (the first part of their tags and their step) and a torn last line: a resumed run has no doubles.
- `runs.json_lines` reads the record; `tracker-logging replay` writes it to another backend.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tracker_logging import tags
from tracker_logging.events import Event, Findings, VoiceComparison
from tracker_logging.trackers.event_json import Json, to_json
from tracker_logging.trackers.whole_file import write_whole_text

FOLDER = "record"
LINES = "events.jsonl"
MEDIA = "media"
VERSION = 1
logger = logging.getLogger(__name__)


class JsonLinesTracker:
    """The record of one run in `directory/record`. Safe from any thread. Raises OSError where it cannot write."""

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "",
        project: str = "",
        config: Mapping[str, object] | None = None,
        purge_step: int | None = None,
        again: Collection[str] = (),
    ) -> None:
        self._lock = threading.Lock()
        self._folder = directory / FOLDER
        (self._folder / MEDIA).mkdir(parents=True, exist_ok=True)
        lines = self._folder / LINES
        if lines.exists():
            _repair(lines, purge_step=purge_step, again=again)
        is_new = not lines.exists()
        self._descriptor = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if is_new:
            run = {"kind": "run", "version": VERSION, "name": name, "project": project, "config": dict(config or {})}
            self._write(run)

    def emit(self, event: Event) -> None:
        """Write the event's files, then its line."""
        with self._lock:
            if self._descriptor >= 0:
                self._write(to_json(event, self._save))

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: what was emitted is in the files already."""

    def close(self) -> None:
        """Put the lines on the disk and let go of the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.fsync(self._descriptor)
                os.close(self._descriptor)
                self._descriptor = -1

    def _write(self, line: Json) -> None:
        data = (json.dumps(line, allow_nan=False, default=str) + "\n").encode("ascii")
        end = os.fstat(self._descriptor).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            os.ftruncate(self._descriptor, end)
            raise

    def _save(self, data: bytes, stem: str, suffix: str) -> str:
        """Write a media file unless it is there; its path relative to the folder."""
        shown = re.sub(r"[^\w-]+", "_", stem).strip("_")[:80]
        path = self._folder / MEDIA / f"{shown}_{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.part{os.getpid()}")
            try:
                part.write_bytes(data)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        return f"{MEDIA}/{path.name}"


def _lines(path: Path) -> Iterator[tuple[int, Json]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path.name} line {number} is no JSON: {error}") from error


def _repair(path: Path, *, purge_step: int | None, again: Collection[str]) -> None:
    """Take out a torn last line, and lines of `purge_step` and later or of `again`, in one move of the whole file."""
    kept = [
        line
        for _, line in _lines(path)
        if line["kind"] == "run"
        or ((purge_step is None or int(line["step"]) < purge_step) and f"{_group(line)}/{line['step']}" not in again)
    ]
    write_whole_text(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in kept))


def _group(line: Json) -> str:
    """The first part of the tags of an event's line."""
    if line["kind"] == VoiceComparison.__name__:
        return tags.VOICE.template.partition("/")[0]
    if line["kind"] == Findings.__name__:
        return tags.FINDINGS.template.partition("/")[0]
    tag: str = line.get("tag") or next(iter(line.get("values", ())), "")
    return tag.partition("/")[0]
