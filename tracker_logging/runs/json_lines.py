"""Reads the JSON-lines record of a run: as entries, or as the very events that were logged.

    for entry in entries(Path("outputs/runs/a/record/events.jsonl")): ...
    for event in recorded_events(Path("outputs/runs/a")): ...

Guarantees
- `entries` skips what cannot be read and names it in a `Problem`; `recorded_events` raises, so that nothing is replayed
  in part without notice. Both leave out a line without its end: it was being written when the run stopped.
- A media path that leads out of the record is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracker_logging import events, tags
from tracker_logging.events import Heatmap, VoiceComparison
from tracker_logging.rendering.heatmap import draw_heatmap
from tracker_logging.rendering.mel_strip import draw_mel_strip
from tracker_logging.rendering.pcm import encode_wav
from tracker_logging.runs.entries import Entry, Logged, Problem, Settings
from tracker_logging.runs.model import AlertMessage, Clip, Histogram, Picture, Table
from tracker_logging.trackers.event_json import Json, from_json
from tracker_logging.trackers.jsonl import FOLDER, LINES
from tracker_logging.trackers.parts import clip_tag, parts

_EMPTY_WAV = encode_wav(events.Clip(samples=np.zeros(0, np.float32), sample_rate=1))


def record_file(place: Path) -> Path | None:
    """The lines of the record in `place` (a run's directory, its `record` folder, or the file itself), or None."""
    if place.is_file():
        return place if place.suffix == ".jsonl" and _is_record(place) else None
    return next((path for path in (place / LINES, place / FOLDER / LINES) if path.is_file()), None)


def recorded_events(directory: Path) -> Iterator[events.Event]:
    """The events of the record in `directory`, in order.

    Raises FileNotFoundError without a record, ValueError for a line that cannot be read, with its number.
    """
    path = _file(directory)
    for number, _, line, _ in _lines(path):
        if isinstance(line, Problem):
            raise ValueError(line.text)
        if line["kind"] != "run":
            try:
                yield from_json(line, _loader(path.parent))
            except KeyError as missing:
                raise ValueError(f"{path.name} line {number}: no field {missing}") from missing


def recorded_run(directory: Path) -> Json:
    """`name`, `project` and `config` of the run whose record is in `directory`. Raises as `recorded_events` does."""
    for _, _, line, _ in _lines(_file(directory)):
        if isinstance(line, Problem):
            raise ValueError(line.text)
        if line["kind"] == "run":
            return line
    raise ValueError(f"{LINES} has no line about the run")


def entries(path: Path) -> Iterator[Entry]:
    """The entries of the record at `path`. Raises `OSError`."""
    reader = RecordReader(path)
    yield from reader.read()
    if reader.offset < path.stat().st_size:
        yield Problem(f"{path.name}: the last line is incomplete and is left out.")


class RecordReader:
    """Reads a record, and what is appended to it later. `offset`: the end of the last complete line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self._number = 0

    def read(self) -> Iterator[Entry]:
        """The entries of the complete lines since the last call."""
        for number, offset, line, end in _lines(self.path, start=self.offset, number=self._number):
            self.offset, self._number = end, number
            if isinstance(line, Problem):
                yield Problem(f"{line.text}; the line is skipped.")
                continue
            try:
                yield from list(_line_entries(line, self.path, offset))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                yield Problem(f"{self.path.name} line {number} is skipped: {type(error).__name__}: {error}")


def _line_entries(line: Json, path: Path, offset: int) -> Iterator[Entry]:
    if line["kind"] == "run":
        yield Settings(dict(line["config"]))
        return
    folder = path.parent
    # Sound is not read here: an empty clip stands for it in the event, and the entry names the file.
    event = from_json(line, lambda path: _EMPTY_WAV) if "clips" in line else None
    match event or line["kind"]:
        case VoiceComparison() as comparison:
            yield from _comparison_entries(comparison, line, path, offset)
        case events.Audio() as audio:
            for name, clip in audio.clips.items():
                yield Logged(audio.step, clip_tag(audio.tag, name), _clip(line, name, clip.caption or name, folder))
        case "Image":
            pixels = _pixels(path, offset)
            yield Logged(int(line["step"]), line["tag"], Picture(caption=line["caption"], pixels=pixels))
        case _:
            event = from_json(line, _loader(folder))
            yield from _event_entries(event)


def _event_entries(event: events.Event) -> Iterator[Entry]:
    """The entries of an event without media."""
    match event:
        case events.Findings():
            yield event
        case events.Alert():
            yield AlertMessage(step=event.step, title=event.title, text=event.text, level=event.level)
    for part in parts(event):
        match part:
            case events.Scalars():
                yield from (Logged(part.step, tag, value) for tag, value in part.values.items())
            case events.Text():
                yield Logged(part.step, part.tag, part.text)
            case events.Table():
                yield Logged(part.step, part.tag, Table(columns=part.columns, rows=part.rows))
            case events.Histogram():
                yield Logged(part.step, part.tag, Histogram(counts=part.counts, edges=part.edges))


def _comparison_entries(event: VoiceComparison, line: Json, path: Path, offset: int) -> Iterator[Entry]:
    """What `parts` makes of a comparison, without reading its sound or drawing its mels now."""
    for part in parts(event, draw=False):
        match part:
            case events.Audio():
                for name, clip in part.clips.items():
                    yield Logged(part.step, clip_tag(part.tag, name), _clip(line, name, clip.caption, path.parent))
            case events.Table():
                yield Logged(part.step, part.tag, Table(columns=part.columns, rows=part.rows))
                if event.clips:
                    voice = part.tag.split("/")[1]
                    yield Logged(part.step, tags.VOICE_MEL(voice=voice), Picture(pixels=_pixels(path, offset)))


def _clip(line: Json, name: str, caption: str, folder: Path) -> Clip:
    return Clip.of_file(_inside(folder, line["clips"][name]["file"]), caption=caption)


def _pixels(path: Path, offset: int) -> Callable[[], npt.NDArray[np.uint8]]:
    """Draws the picture of the line at `offset` when it is asked for."""

    def draw() -> npt.NDArray[np.uint8]:
        with path.open("rb") as file:
            file.seek(offset)
            event = from_json(json.loads(file.readline()), _loader(path.parent))
        if isinstance(event, VoiceComparison):
            return draw_mel_strip(event)
        assert isinstance(event, events.Image)
        return draw_heatmap(event.picture) if isinstance(event.picture, Heatmap) else event.picture

    return draw


def _file(directory: Path) -> Path:
    path = record_file(directory)
    if path is None:
        raise FileNotFoundError(f"no record ({FOLDER}/{LINES}) in {directory}")
    return path


def _is_record(path: Path) -> bool:
    """Whether the first line is one of a record, and not of a data file."""
    for _, _, line, _ in _lines(path):
        return isinstance(line, dict) and "kind" in line
    return False


def _loader(folder: Path) -> Callable[[str], bytes]:
    return lambda path: _inside(folder, path).read_bytes()


def _inside(folder: Path, path: str) -> Path:
    """A media path of a line, which must not lead out of the record."""
    resolved = (folder / path).resolve()
    if not resolved.is_relative_to(folder.resolve()):
        raise ValueError(f"{path!r} leads out of the record")
    return resolved


def _lines(path: Path, *, start: int = 0, number: int = 0) -> Iterator[tuple[int, int, Json | Problem, int]]:
    """Number, offset, content and end of every complete line from offset `start`, which is behind line `number`."""
    with path.open("rb") as file:
        file.seek(start)
        offset = start
        for at, data in enumerate(file, start=number + 1):
            if not data.endswith(b"\n"):
                return
            line: Json | Problem
            try:
                content = json.loads(data)
                line = content if isinstance(content, dict) else Problem(f"{path.name} line {at} is no object")
            except ValueError as error:
                line = Problem(f"{path.name} line {at} is not JSON: {error}")
            yield at, offset, line, offset + len(data)
            offset += len(data)
