"""Reads a run back as values by (tag, step), alike for every backend: a thin layer over `tracker_logging.runs`.

Unlike `open_run` it keeps what was written twice (`doubles`), and it gives pixels and samples as bytes to compare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event as Record

from tracker_logging.events import Cell
from tracker_logging.rendering.pcm import decode_wav
from tracker_logging.runs import json_lines, tensorboard, wandb
from tracker_logging.runs.entries import Entry, Logged, Problem
from tracker_logging.runs.model import Clip, Histogram, Picture, Table
from tracker_logging.trackers.plain_text import shown
from tracker_logging.trackers.wandb_record import run_directories


@dataclass
class Run:
    """What was read, by (tag, step). `doubles` lists every (tag, step) that was there twice."""

    scalars: dict[tuple[str, int], float] = field(default_factory=dict)
    sounds: dict[tuple[str, int], bytes] = field(default_factory=dict)
    pictures: dict[tuple[str, int], bytes] = field(default_factory=dict)
    texts: dict[tuple[str, int], str] = field(default_factory=dict)
    histograms: dict[tuple[str, int], tuple[list[float], list[float]]] = field(default_factory=dict)
    doubles: list[tuple[str, int]] = field(default_factory=list)

    @property
    def tags(self) -> set[str]:
        """Every name under which something was written."""
        return {tag for tag, _ in (*self.scalars, *self.pictures, *self.texts, *self.sounds)}

    def put(self, kind: str, tag: str, step: int, value: Any) -> None:
        values = getattr(self, kind)
        if (tag, step) in values:
            self.doubles.append((tag, step))
        values[tag, step] = value


def plain(text: str) -> str:
    """The words of a text: all whitespace as one space."""
    return re.sub(r"\s+", " ", text.replace("\xa0", " ")).strip()


def tensorboard_values(directory: Path) -> list[tuple[int, Any]]:
    """(step, summary value) of all event files of a directory, oldest file first, as TensorBoard's own loader reads."""
    values = []
    for path in sorted(directory.glob("events.out.tfevents.*")):
        for data in RawEventFileLoader(str(path)).Load():
            record = Record.FromString(data)
            values += [(record.step, value) for value in record.summary.value]
    return values


def read_tensorboard(directory: Path) -> Run:
    return _read(tensorboard.entries(directory))


def read_wandb(directory: Path) -> Run:
    return _read(wandb.entries(run_directories(directory)), cell=lambda c: c if isinstance(c, str) else shown(c))


def read_jsonl(directory: Path) -> Run:
    path = json_lines.record_file(directory)
    if path is None:
        raise FileNotFoundError(f"no record in {directory}")
    return _read(json_lines.entries(path), cell=shown)


def _displayed(cell: Cell) -> str:
    """A cell that was read from what a backend displays: it is a text already."""
    return "" if cell is None else str(cell)


def _read(entries: Iterable[Entry], *, cell: Callable[[Cell], str] = _displayed) -> Run:
    run = Run()
    for entry in entries:
        if isinstance(entry, Problem) and "incomplete" not in entry.text and "still being written" not in entry.text:
            raise ValueError(entry.text)
        if isinstance(entry, Logged):
            match entry.value:
                case float() as number:
                    run.put("scalars", entry.tag, entry.step, number)
                case str() as text:
                    run.put("texts", entry.tag, entry.step, plain(text))
                case Table() as table:
                    cells = (cell(value) for row in (table.columns, *table.rows) for value in row)
                    run.put("texts", entry.tag, entry.step, plain(" ".join(cells)))
                case Clip() as clip:
                    run.put("sounds", entry.tag, entry.step, decode_wav(clip.encoded())[0].tobytes())
                case Picture() as picture:
                    run.put("pictures", entry.tag, entry.step, picture.pixels().tobytes())
                case Histogram() as histogram:
                    counts, edges = histogram.counts.tolist(), histogram.edges.tolist()
                    run.put("histograms", entry.tag, entry.step, (counts, edges))
    return run


def same_scalars(a: Run, b: Run) -> bool:
    """Equal at every tag and step, in the 32 bits that TensorBoard keeps; NaN equals NaN."""
    if a.scalars.keys() != b.scalars.keys():
        return False
    pairs = ((np.float32(a.scalars[key]), np.float32(b.scalars[key])) for key in a.scalars)
    return all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in pairs)
