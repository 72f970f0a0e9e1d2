"""Reads the log of a W&B run on this machine, offline or online, also one that was killed.

    for entry in entries([Path("outputs/runs/a/wandb/offline-run-…-abc")]): ...

Needs the package wandb: its `wandb leet inspect` is the only reader of its log format (about a second per run).
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from tracker_logging import tags
from tracker_logging.events import AlertLevel
from tracker_logging.rendering.png import decode_png
from tracker_logging.runs.entries import Entry, Logged, Problem, Settings
from tracker_logging.runs.model import AlertMessage, Clip, Histogram, Picture, Table
from tracker_logging.trackers.parts import clip_tag
from tracker_logging.trackers.voice_table import MEDIA_COLUMNS
from tracker_logging.trackers.wandb_record import STEP, keys, records

_LEVELS: dict[str, AlertLevel] = {"INFO": "info", "WARN": "warning", "ERROR": "error"}
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def run_folder(path: Path) -> Path | None:
    """The W&B run in `path` (the run's own directory, its `.wandb` file, or a directory with a `wandb` folder: the
    newest run there), or None.
    """
    if path.is_file() and path.suffix == ".wandb":
        return path.parent
    if path.is_dir() and any(path.glob("*.wandb")):
        return path
    return max(run_folders(path / "wandb"), key=_start, default=None)


def run_folders(folder: Path) -> list[Path]:
    """The directories of W&B runs in a `wandb` folder, oldest first. Links such as `latest-run` are left out."""
    runs = [path for path in folder.glob("*run-*") if not path.is_symlink() and any(path.glob("*.wandb"))]
    return sorted(runs, key=_start)


def is_written_by_wandb(folder: Path) -> bool:
    """Whether a folder named `wandb` is W&B's, also where the logs of its runs are gone, and not a run of ours."""
    return any(folder.glob("*run-????????_??????-*"))


def same_run(folder: Path) -> list[Path]:
    """`folder` and earlier directories beside it of the same W&B run id, oldest first: a resumed run has several."""
    name = _log(folder).name
    return [
        path for path in run_folders(folder.parent) if _log(path).name == name and _start(path) <= _start(folder)
    ] or [folder]


def entries(folders: Iterable[Path]) -> Iterator[Entry]:
    """The entries of a run's directories, one after the other. Raises `OSError` where wandb cannot be started."""
    for folder in folders:
        step = 0
        is_empty = True
        try:
            for record in records(folder):
                is_empty = False
                match record["type"]:
                    case "config":
                        settings = record["config"].get("update", {})
                        yield Settings({name: value for name, value in settings.items() if name != "_wandb"})
                    case "history":
                        row = record["history"]["item"]
                        step = int(row.get(STEP, step))
                        yield from _row_entries(row, step, folder / "files")
                    case "alert":
                        alert = record["alert"]
                        level = _LEVELS.get(alert.get("level", ""))
                        yield AlertMessage(step=step, title=alert["title"], text=alert["text"], level=level)
        except subprocess.SubprocessError as error:
            yield Problem(f"{folder.name}: the W&B log cannot be read ({type(error).__name__}).")
            continue
        if is_empty:
            yield Problem(f"{folder.name}: the W&B log holds nothing that `wandb leet inspect` can read.")


def _row_entries(row: dict[str, Any], step: int, files: Path) -> Iterator[Entry]:
    for key in sorted(keys(row)):
        if f"{key}._type" in row:
            try:
                yield from list(_media_entries(row, key, step, files))
            except (OSError, KeyError, TypeError, ValueError) as error:
                yield Problem(f"{key} at step {step} cannot be read ({type(error).__name__}).")
        elif isinstance(row[key], int | float) or row[key] in _NOT_FINITE:
            yield Logged(step, key, float(row[key]))


def _media_entries(row: dict[str, Any], key: str, step: int, files: Path) -> Iterator[Logged]:
    match row[f"{key}._type"]:
        case "audio":
            lengths = zip(row[f"{key}.durations"], row[f"{key}.sampleRates"], strict=True)
            for sound, caption, length in zip(row[f"{key}.audio"], row[f"{key}.captions"], lengths, strict=True):
                name = re.split(r"\W", caption)[0]  # captions begin with the clip's name
                clip = Clip.of_file(files / sound["path"], caption=caption, known_length=length)
                yield Logged(step, clip_tag(key, name), clip)
        case "histogram":
            counts, edges = (np.array(row[f"{key}.{name}"], dtype=np.float64) for name in ("values", "bins"))
            yield Logged(step, key, Histogram(counts=counts, edges=edges))
        case "image-file":
            path = files / row[f"{key}.path"]
            caption = row.get(f"{key}.caption") or ""
            yield Logged(step, key, Picture(caption=caption, pixels=lambda: decode_png(path.read_bytes())))
        case "html-file":
            yield Logged(step, key, read_page((files / row[f"{key}.path"]).read_text("utf-8")))
        case "table-file":
            content = json.loads((files / row[f"{key}.path"]).read_text("utf-8"))
            yield Logged(step, key, _table(key, content["columns"], content["data"]))


def _table(tag: str, columns: list[Any], rows: list[list[Any]]) -> Table:
    """The columns of plain cells. Clips and pictures of a voice are entries of their own."""
    left_out = MEDIA_COLUMNS if tag == tags.VOICE_TABLE() else ()
    plain = [at for at, name in enumerate(columns) if name not in left_out]
    cells = tuple(tuple(row[at] if _is_cell(row[at]) else str(row[at]) for at in plain) for row in rows)
    return Table(columns=tuple(str(columns[at]) for at in plain), rows=cells)


def read_page(page: str) -> str | Table:
    """The text or the table of an HTML page that `trackers/plain_text` wrote. Empty cells are None."""
    reader = _PageReader()
    reader.feed(page)
    if not reader.rows:
        return "".join(reader.text)
    columns, *rows = reader.rows
    return Table(columns=tuple(columns), rows=tuple(tuple(cell or None for cell in row) for row in rows))


class _PageReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self.text: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("td", "th"):
            self.rows[-1][-1] += data
        elif self._in == "pre":
            self.text.append(data)


def _is_cell(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _log(folder: Path) -> Path:
    return next(folder.glob("*.wandb"))


def _start(folder: Path) -> str:
    """When the run began, as W&B writes it into the name."""
    return folder.name.partition("run-")[2]
