"""Sends every event to several trackers.

    FanOutTracker([TensorBoardTracker(directory), WandbTracker(directory, ...)])

Guarantees
- Each tracker gets each event, in order; arrays are copied once, not once per tracker.
- One that raises does not keep the event from the others; the first exception is raised after all were served.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tracker_logging.events import Event
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.freeze import freeze


class FanOutTracker:
    """A tracker made of trackers. Calls run on the caller's thread, one tracker after the other."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = tuple(trackers)

    @property
    def errors(self) -> int:
        """Exceptions that the trackers counted."""
        return sum(getattr(tracker, "errors", 0) for tracker in self.trackers)

    def emit(self, event: Event) -> None:
        """Send the event to each."""
        event = freeze(event)
        self._each(lambda tracker: tracker.emit(event))

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Flush each; `timeout_s` is for all of them together."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        self._each(lambda tracker: tracker.flush(timeout_s=None if end is None else max(0.0, end - time.monotonic())))

    def close(self) -> None:
        """Close each."""
        self._each(lambda tracker: tracker.close())

    def _each(self, call: Callable[[Tracker], None]) -> None:
        first: Exception | None = None
        for tracker in self.trackers:
            try:
                call(tracker)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first
