"""The one interface of every backend and of every decorator around one.

    class Tracker:
        emit(event)    take one event
        flush(...)     make what was emitted readable
        close()        flush and let go; a closed tracker ignores what comes

A decorator (background, fan-out, guarded) is a tracker that holds a tracker, so that composition is nesting.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tracker_logging.events import Event


@runtime_checkable
class Tracker(Protocol):
    """Where events go."""

    def emit(self, event: Event) -> None:
        """Take one event. Called from any thread; a backend may block, `BackgroundTracker` never does."""

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return when all that was emitted before can be read back, or after `timeout_s` seconds."""

    def close(self) -> None:
        """Flush and release files, threads and connections. Calling it again does nothing."""
