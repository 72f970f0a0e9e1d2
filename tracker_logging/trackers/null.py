"""The tracker that does nothing, for a run or a rank that logs nowhere: no caller needs `if tracker is not None`."""

from __future__ import annotations

from tracker_logging.events import Event


class NullTracker:
    """Ignores every event."""

    def emit(self, event: Event) -> None:
        """Ignore the event."""

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return at once."""

    def close(self) -> None:
        """Return at once."""
