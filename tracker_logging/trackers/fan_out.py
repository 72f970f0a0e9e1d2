"""Sends every event to several trackers.

    FanOutTracker([TensorBoardTracker(directory), WandbTracker(directory, ...)])

Guarantees
- Each tracker gets each event, in order; arrays are copied once, not once per tracker.
- One that raises does not keep the event from the others; the first exception is raised after all were served.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Thread

from tracker_logging.events import Event
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.freeze import freeze


class FanOutTracker:
    """A tracker made of trackers."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = tuple(trackers)

    @property
    def errors(self) -> int:
        """Exceptions that the trackers counted."""
        return sum(getattr(tracker, "errors", 0) for tracker in self.trackers)

    def emit(self, event: Event) -> None:
        """Send the event to each, one after the other."""
        event = freeze(event)
        errors = [error for tracker in self.trackers if (error := _caught(partial(tracker.emit, event)))]
        _raise_first(errors)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Flush all at the same time, so that one that hangs does not use up the others' time."""
        _all_at_once([partial(tracker.flush, timeout_s=timeout_s) for tracker in self.trackers])

    def close(self) -> None:
        """Close all at the same time."""
        _all_at_once([tracker.close for tracker in self.trackers])


def _all_at_once(calls: Sequence[Callable[[], None]]) -> None:
    """Make the calls side by side and wait for all. Not with a thread pool: none starts while the interpreter ends."""
    errors: list[Exception | None] = []
    threads = [Thread(target=lambda call=call: errors.append(_caught(call)), daemon=True) for call in calls[1:]]
    for thread in threads:
        thread.start()
    errors += [_caught(call) for call in calls[:1]]
    for thread in threads:
        thread.join()
    _raise_first([error for error in errors if error])


def _caught(call: Callable[[], None]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def _raise_first(errors: Sequence[Exception]) -> None:
    if errors:
        raise errors[0]
