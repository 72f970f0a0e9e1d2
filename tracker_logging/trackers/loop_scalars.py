"""For a backend to which the training loop itself writes the same run: its numbers are not written twice.

WithoutLoopScalars(WandbTracker(directory))      # the Trainer's own reporter writes to the same W&B run
"""

from __future__ import annotations

from tracker_logging.events import Event, Scalars
from tracker_logging.trackers.base import Tracker


class WithoutLoopScalars:
    """Passes every event on except `Scalars` with `source="loop"`. Raises what the tracker raises."""

    def __init__(self, tracker: Tracker) -> None:
        self.inner = tracker

    @property
    def errors(self) -> int:
        """Exceptions that the tracker counted."""
        return int(getattr(self.inner, "errors", 0))

    def emit(self, event: Event) -> None:
        """Pass the event on, or drop it."""
        if not (isinstance(event, Scalars) and event.source == "loop"):
            self.inner.emit(event)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Flush the tracker."""
        self.inner.flush(timeout_s=timeout_s)

    def close(self) -> None:
        """Close the tracker."""
        self.inner.close()
