"""Keeps events in a list, for tests and notebooks.

tracker = MemoryTracker()
tracker.emit(Scalars(step=1, values={"a": 1.0}))
tracker.events == [Scalars(step=1, values={"a": 1.0})]
"""

from __future__ import annotations

import threading

from tracker_logging.events import Event


class MemoryTracker:
    """Every event in the order in which it was emitted. Safe on any thread. A closed one ignores events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._closed = False

    @property
    def events(self) -> list[Event]:
        """A copy of the events so far."""
        with self._lock:
            return list(self._events)

    def emit(self, event: Event) -> None:
        """Append the event."""
        with self._lock:
            if not self._closed:
                self._events.append(event)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once: everything can be read already."""

    def close(self) -> None:
        """Ignore later events; `events` stays readable."""
        with self._lock:
            self._closed = True
