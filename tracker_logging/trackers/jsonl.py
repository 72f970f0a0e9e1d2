"""Writes every event as one line of JSON, with audio and images as files beside it: a record that needs no tool.

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
import re
import shutil
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import get_args

from tracker_logging import tags
from tracker_logging.events import Event, Findings, VoiceComparison
from tracker_logging.trackers.base import DEFAULT_PROJECT, RunInfo
from tracker_logging.trackers.event_json import Json, to_json
from tracker_logging.whole_file import AppendFile, whole_file, write_whole_text

FOLDER = "record"
LINES = "events.jsonl"
MEDIA = "media"
VERSION = 1
_KINDS = get_args(Event)  # another kind, of a later version, is ignored
logger = logging.getLogger(__name__)


class JsonLinesTracker:
    """The record of one run in `directory/record`. Safe on any thread. Raises `OSError` where it cannot write."""

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
        self._run = {"kind": "run", "version": VERSION, "name": name, "project": project, "config": dict(config or {})}
        self._closed = False
        (self._folder / MEDIA).mkdir(parents=True, exist_ok=True)
        lines = self._folder / LINES
        if lines.exists():
            _repair(lines, run=self._run, purge_step=purge_step, again=again)
        self._file: AppendFile | None = None
        self._open()

    def emit(self, event: Event) -> None:
        """Write the event's files, then its line."""
        with self._lock:
            if not self._closed and isinstance(event, _KINDS):
                self._write(to_json(event, self._save))

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: emitted events are in the files already."""

    def close(self) -> None:
        """Write the lines to the disk and close the file."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.sync()
                self._file.close()
                self._file = None

    def _open(self) -> AppendFile:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = AppendFile(self._folder / LINES)
        self._end = self._file.size
        if self._end == 0:
            self._append(self._file, self._run)
        return self._file

    def _write(self, line: Json) -> None:
        if self._file is not None and self._file.is_gone():
            logger.warning(
                "%s was removed during the run: its events are lost, and a new file is begun. Do not move or delete a "
                "run that is being written.",
                self._folder / LINES,
            )
            self._file.close()
            self._file = None
        file = self._file or self._open()
        if file.size != self._end:
            logger.warning(
                "%s was changed by another program: events before step %s may be missing. Let only one training write "
                "into a run's directory.",
                self._folder / LINES,
                line["step"],
            )
            file.cut(_end_of_lines(self._folder / LINES))
            if file.size == 0:
                self._append(file, self._run)
        self._append(file, line)

    def _append(self, file: AppendFile, line: Json) -> None:
        file.append(json.dumps(line, allow_nan=False, default=str).encode("ascii") + b"\n")
        self._end = file.size

    def _save(self, data: bytes, stem: str, suffix: str) -> str:
        """Write a media file unless it exists; returns its path relative to the folder."""
        shown = re.sub(r"[^\w-]+", "_", stem).strip("_")[:80]
        path = self._folder / MEDIA / f"{shown}_{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as part:
                part.write_bytes(data)
        return f"{MEDIA}/{path.name}"


def open_backend(directory: Path, run: RunInfo) -> JsonLinesTracker:
    """The record of the run in `directory`, continued where `run` is resumed."""
    return JsonLinesTracker(
        directory,
        name=run.name or directory.name,
        project=run.project or DEFAULT_PROJECT,
        config=run.config,
        purge_step=run.purge_step,
        again=run.again,
    )


def _lines(path: Path) -> Iterator[tuple[int, Json]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path.name} line {number} is no JSON: {error}") from error


def _end_of_lines(path: Path) -> int:
    """The size of the file in bytes without a torn last line."""
    return path.read_bytes().rfind(b"\n") + 1


def _repair(path: Path, *, run: Json, purge_step: int | None, again: Collection[str]) -> None:
    """Remove damaged lines, and those of `purge_step` and later or of `again`, by replacing the file once."""
    with path.open("rb") as file:
        lines = [_parsed(line) for line in file if line.endswith(b"\n")]
    if damaged := sum(line is None for line in lines):
        copy = path.with_name(f"{path.name}.damaged")
        shutil.copyfile(path, copy)
        logger.warning(
            "%s: %d lines are damaged. They are left out; the file as it was is %s.", path, damaged, copy.name
        )
    kept = [line for line in lines if line is not None and _is_kept(line, purge_step=purge_step, again=again)]
    if not any(line["kind"] == "run" for line in kept):
        kept.insert(0, run)
    write_whole_text(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in kept))


def _parsed(line: bytes) -> Json | None:
    """The run's or an event's line; None for anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_line = isinstance(value, dict) and (value.get("kind") == "run" or isinstance(value.get("step"), int))
    return value if is_line and isinstance(value.get("kind"), str) else None


def _is_kept(line: Json, *, purge_step: int | None, again: Collection[str]) -> bool:
    if line["kind"] == "run":
        return True
    return (purge_step is None or line["step"] < purge_step) and f"{_group(line)}/{line['step']}" not in again


def _group(line: Json) -> str:
    """The first part of the tags of an event's line."""
    if line["kind"] == VoiceComparison.__name__:
        return tags.VOICE.template.partition("/")[0]
    if line["kind"] == Findings.__name__:
        return tags.FINDINGS.template.partition("/")[0]
    tag: str = line.get("tag") or next(iter(line.get("values", ())), "")
    return tag.partition("/")[0]
