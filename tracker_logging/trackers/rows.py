"""Backends that take rows of values under keys, such as W&B and Trackio: what they have in common.

    class MyTracker(RowTracker):
        def _log(self, row, *, step): self._run.log(row, step=step)
        ...                                        # and how each kind of value is encoded

Guarantees
- One row for each simple event; an alert is a row and a notification.
- On a resumed run a value whose step the run already holds is not sent again: no duplicates.
- After `close` nothing is sent. Safe on any thread.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tracker_logging.events import (
    Alert,
    Audio,
    Cell,
    Clip,
    Event,
    Heatmap,
    Histogram,
    Image,
    Scalars,
    Summary,
    Table,
    Text,
)
from tracker_logging.rendering.heatmap import draw_heatmap
from tracker_logging.trackers.parts import clip_tag, parts
from tracker_logging.trackers.plain_text import clean

LONGEST_CAPTION = 1_000
LONGEST_TITLE = 200


class RowTracker(ABC):
    """Turns events into rows. Encodes on the caller's thread; subclasses say how.

    `written`: for each key that the run already holds, its last step.
    """

    def __init__(self, *, written: Mapping[str, int]) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._written = dict(written)

    def emit(self, event: Event) -> None:
        """Log one row for each simple event; send an alert as a notification too, and a summary to its place."""
        is_new = False
        if isinstance(event, Summary):
            with self._lock:
                if not self._closed:
                    self._summarise(event)
        for part in parts(event):
            with self._lock:
                row = {key: value for key, value in self._row(part) if part.step > self._written.get(key, -1)}
                is_new = bool(row) and not self._closed
                if is_new:
                    self._log(row, step=part.step)
        if isinstance(event, Alert) and is_new:
            self._notify(event, title=clean(event.title, longest=LONGEST_TITLE), text=clean(event.text))

    @abstractmethod
    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return when everything logged can be read back."""

    def close(self) -> None:
        """Finish the run. A second call does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._finish()

    @abstractmethod
    def _log(self, row: Mapping[str, Any], *, step: int) -> None:
        """Send one row."""

    def _summarise(self, summary: Summary) -> None:  # noqa: B027 - not every backend has a place for it
        """Keep best and last values."""

    @abstractmethod
    def _notify(self, alert: Alert, *, title: str, text: str) -> None:
        """Send a notification; `title` and `text` are safe to show."""

    @abstractmethod
    def _finish(self) -> None:
        """End the run; called once."""

    @abstractmethod
    def _histogram(self, counts: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> Any:
        """`counts` [bins] between `edges` [bins + 1]."""

    @abstractmethod
    def _text(self, text: str) -> Any:
        """Plain text, to be escaped."""

    @abstractmethod
    def _table(self, tag: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
        """A table whose cells are to be escaped."""

    @abstractmethod
    def _image(self, pixels: npt.NDArray[np.uint8], *, caption: str | None) -> Any:
        """Pixels [height, width, 3] uint8."""

    @abstractmethod
    def _clip(self, name: str, clip: Clip) -> Any:
        """One clip of an event, with its caption, or `name` for one without."""

    def _audio(self, tag: str, clips: Mapping[str, Clip]) -> Iterator[tuple[str, Any]]:
        """The keys and values of the clips of one event: a key for each clip."""
        for name, clip in clips.items():
            yield clip_tag(tag, name), self._clip(name, clip)

    def _row(self, event: Event) -> Iterator[tuple[str, Any]]:
        match event:  # another kind, of a later version, is ignored
            case Scalars():
                yield from ((key, float(value)) for key, value in event.values.items())
            case Histogram():
                yield event.tag, self._histogram(event.counts, event.edges)
            case Text():
                yield event.tag, self._text(event.text)
            case Table():
                yield event.tag, self._table(event.tag, event.columns, event.rows)
            case Image():
                pixels = draw_heatmap(event.picture) if isinstance(event.picture, Heatmap) else event.picture
                yield event.tag, self._image(np.asarray(pixels), caption=short_caption(event.caption) or None)
            case Audio():
                yield from self._audio(event.tag, event.clips)


def short_caption(caption: str) -> str:
    """A caption without control characters, at most `LONGEST_CAPTION` characters."""
    return clean(caption, longest=LONGEST_CAPTION)
