"""Reads TensorBoard event files: ours, and those that other writers left in the same directory.

    for entry in entries(Path("outputs/runs/a")): ...

Guarantees
- A torn or corrupt file is read up to the damage, which becomes a `Problem`.
- Pictures and sound are decoded when asked for: an entry holds the place in the file.
"""

from __future__ import annotations

import html
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tracker_logging.rendering.png import decode_png
from tracker_logging.runs.entries import Entry, Logged, Problem, Resumed, Settings, Value
from tracker_logging.runs.model import AlertMessage, Clip, Histogram, Picture, Table
from tracker_logging.trackers import tensorboard_names
from tracker_logging.trackers.plain_text import KEYS
from tracker_logging.trackers.tensorboard_names import logged_name

EVENT_FILES = "*.tfevents.*"
ALERTS = "alerts/"
_HEADER = 12  # length and its checksum
_FOOTER = 4  # checksum of the data


def entries(directory: Path) -> Iterator[Entry]:
    """The entries of all event files of a directory, oldest file first. Raises `OSError`."""
    for path in sorted(directory.glob(EVENT_FILES)):
        reader = EventFileReader(path)
        yield from reader.read()
        size = path.stat().st_size
        if reader.offset < size:
            where = f"byte {reader.offset} of {size}"
            yield Problem(f"{path.name}: damaged or still being written at {where}; read up to there.")


def shown_tags(directory: Path) -> frozenset[str]:
    """The names under which TensorBoard shows what the event files of a directory hold. Raises `OSError`."""
    paths = sorted(directory.glob(EVENT_FILES))
    values = (event.summary.value for path in paths for event in EventFileReader(path).events())
    names = tensorboard_names.DETAIL_PLUGIN
    return frozenset(v.tag for of_event in values for v in of_event if v.metadata.plugin_data.plugin_name != names)


class EventFileReader:
    """Reads one event file, and what is appended to it later. `offset`: the end of the last complete record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def read(self) -> Iterator[Entry]:
        """The entries of the complete records since the last call."""
        for event in self.events():
            yield from _event_entries(event, self.path, self.offset)

    def events(self) -> Iterator[Any]:
        """The complete records since the last call, each an `event_pb2.Event`; `offset` is that of the record."""
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto import event_pb2

        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while self.offset + _HEADER <= size:
                (length,) = struct.unpack("<Q", file.read(_HEADER)[:8])
                if self.offset + _HEADER + length + _FOOTER > size:
                    return
                try:
                    event = event_pb2.Event.FromString(file.read(length))
                except DecodeError:
                    return
                file.seek(_FOOTER, 1)
                yield event
                self.offset += _HEADER + length + _FOOTER


def _event_entries(event: Any, path: Path, offset: int) -> Iterator[Entry]:
    from tensorboard.compat.proto import event_pb2

    if event.session_log.status == event_pb2.SessionLog.START and event.step > 0:
        yield Resumed(event.step)
    last = {value.tag: index for index, value in enumerate(event.summary.value)}  # the first one may be a description
    for index, value in enumerate(event.summary.value):
        if last[value.tag] != index:
            continue
        try:
            yield from list(_value_entries(event.step, value, _Place(path, offset, index)))
        except (IndexError, TypeError, ValueError) as error:
            yield Problem(f"{value.tag} at step {event.step} cannot be read ({type(error).__name__}).")


class _Place:
    """Where a summary value lies."""

    def __init__(self, path: Path, offset: int, index: int) -> None:
        self.path, self.offset, self.index = path, offset, index

    def strings(self) -> list[bytes]:
        """Read the value again; its strings. Raises `OSError`."""
        value = self._value()
        kind = value.WhichOneof("value")
        if kind == "image":
            return [b"", b"", value.image.encoded_image_string]
        return [value.audio.encoded_audio_string] if kind == "audio" else list(value.tensor.string_val)

    def _value(self) -> Any:
        from tensorboard.compat.proto import event_pb2

        with self.path.open("rb") as file:
            file.seek(self.offset)
            (length,) = struct.unpack("<Q", file.read(_HEADER)[:8])
            return event_pb2.Event.FromString(file.read(length)).summary.value[self.index]


def _value_entries(step: int, value: Any, place: _Place) -> Iterator[Entry]:
    plugin, tag = value.metadata.plugin_data, logged_name(value.tag)
    match value.WhichOneof("value"), plugin.plugin_name:
        case "simple_value", _:
            yield Logged(step, tag, value.simple_value)
        case _, "scalars" | tensorboard_names.DETAIL_PLUGIN:
            yield Logged(step, tag, float(_array(value.tensor)))
        case _, "hparams" if value.tag == "_hparams_/session_start_info":
            yield Settings(_settings(plugin.content))
        case _, "text" if value.tensor.string_val:
            text = value.tensor.string_val[0].decode("utf-8", "replace")
            shown = table_of_markdown(text) or text_of_markdown(text)
            yield Logged(step, tag, shown)
            if tag.startswith(ALERTS) and isinstance(shown, str):
                title, _, rest = shown.partition("\n")
                yield AlertMessage(step=step, title=title, text=rest)
        case ("audio", _) | (_, "audio"):
            yield Logged(step, tag, _clip(value, place))
        case ("image", _) | (_, "images"):
            yield Logged(step, tag, Picture(pixels=lambda: decode_png(place.strings()[2])))
        case _, "histograms":
            yield from _histogram(step, tag, value)


def _clip(value: Any, place: _Place) -> Clip:
    strings = value.tensor.string_val
    caption = strings[1].decode("utf-8", "replace") if len(strings) > 1 else ""
    return Clip(caption=caption, encoded=_first(place.strings))


def _first(strings: Callable[[], list[bytes]]) -> Callable[[], bytes]:
    return lambda: strings()[0]


def _histogram(step: int, tag: str, value: Any) -> Iterator[Logged]:
    bins = _array(value.tensor)
    if len(bins):
        edges = np.append(bins[:, 0], bins[-1, 1])
        histogram: Value = Histogram(counts=bins[:, 2].astype(np.float64), edges=edges.astype(np.float64))
        yield Logged(step, tag, histogram)


def _array(tensor: Any) -> Any:
    from tensorboard.util.tensor_util import make_ndarray

    return make_ndarray(tensor)


def _settings(content: bytes) -> dict[str, Any]:
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    start = parse_session_start_info_plugin_data(content)
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}


def text_of_markdown(text: str) -> str:
    """The plain text that `trackers/plain_text.markdown_text` escaped.

    >>> text_of_markdown("a &#42;star&#42;  \\nnext line")
    'a *star*\\nnext line'
    """
    return html.unescape(text.replace("  \n", "\n")).replace("\xa0", " ")


def table_of_markdown(text: str) -> Table | None:
    """The table that `trackers/plain_text.markdown_table` wrote, or None for other text. Empty cells are None.

    A wide table was written as several, each of which begins with the same `KEYS` columns.

    >>> table_of_markdown("| voice | score |\\n| --- | --- |\\n| a&#124;b |  |")
    Table(columns=('voice', 'score'), rows=(('a|b', None),))
    """
    blocks = [table for block in text.split("\n\n") if (table := _block_of_markdown(block)) is not None]
    if not blocks or len({(block.columns[:KEYS], len(block.rows)) for block in blocks}) > 1:
        return None
    first, *others = blocks
    rows = zip(*(block.rows for block in blocks), strict=True)
    return Table(
        columns=sum((block.columns[KEYS:] for block in others), first.columns),
        rows=tuple(sum((row[KEYS:] for row in more), row) for row, *more in rows),
    )


def _block_of_markdown(text: str) -> Table | None:
    lines = [line[2:-2].split(" | ") for line in text.split("\n") if line.startswith("| ") and line.endswith(" |")]
    if len(lines) < 2 or set("".join(lines[1])) - {"-"}:
        return None
    columns, _, *rows = (tuple(text_of_markdown(cell.replace(" ⏎ ", "\n")) or None for cell in line) for line in lines)
    return Table(columns=tuple(column or "" for column in columns), rows=tuple(rows))
