"""Sends every event to several trackers.

    FanOutTracker([TensorBoardTracker(directory), WandbTracker(directory, ...)])

Guarantees
- Each tracker gets each event, in order; arrays are copied once, not once per tracker.
- A tracker that raises does not keep the event from the others: the error is contained (see `ErrorGuard`).
- All are flushed, and closed, at the same time: one that hangs does not use up the time of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread

from tracker_logging.events import Event
from tracker_logging.guard import ErrorGuard, Retry
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.freeze import freeze


class FanOutTracker:
    """A tracker made of trackers. Safe on any thread if they are."""

    def __init__(self, trackers: Sequence[Tracker], *, strict: bool = False) -> None:
        self.trackers = tuple(trackers)
        self._guard = ErrorGuard(strict=strict, retry=Retry())
        self._names = [f"tracker {number} ({type(tracker).__name__})" for number, tracker in enumerate(trackers, 1)]

    @property
    def errors(self) -> int:
        """Exceptions contained here and by the trackers."""
        return self._guard.errors + sum(getattr(tracker, "errors", 0) for tracker in self.trackers)

    def emit(self, event: Event) -> None:
        """Send the event to each tracker, one after the other."""
        event = freeze(event)
        for name, tracker in zip(self._names, self.trackers, strict=True):
            if self._guard.is_on(name):
                with self._guard.contain(name):
                    tracker.emit(event)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Flush all at the same time; returns when the last one has returned."""
        self._all_at_once("flush", [partial(tracker.flush, timeout_s=timeout_s) for tracker in self.trackers])

    def close(self) -> None:
        """Close all at the same time; returns when the last one has returned."""
        self._all_at_once("close", [tracker.close for tracker in self.trackers])

    def _all_at_once(self, verb: str, calls: Sequence[Callable[[], None]]) -> None:
        """Make the calls side by side. No thread pool: it cannot start a thread while the interpreter shuts down."""
        jobs = [partial(self._contained, f"{name} {verb}", call) for name, call in zip(self._names, calls, strict=True)]
        # An exception that a strict guard raises must reach the caller, so it may not happen on another thread.
        threads = [] if self._guard.strict else [Thread(target=job, daemon=True) for job in jobs[1:]]
        for thread in threads:
            thread.start()
        for job in jobs[: len(jobs) - len(threads)]:
            job()
        for thread in threads:
            thread.join()

    def _contained(self, part: str, call: Callable[[], None]) -> None:
        with self._guard.contain(part):
            call()
