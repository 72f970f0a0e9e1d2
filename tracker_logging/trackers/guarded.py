"""Keeps the failures of one backend away from training, and reports what they cost.

    GuardedTracker(lambda: TensorBoardTracker(directory), name="tensorboard")

Guarantees
- No call raises, unless the guard is strict (see `ErrorGuard`).
- The backend is opened at the first event, on the thread that emits it, and again at a later one if that fails.
- After three failures in a row (an exception, or a call that takes longer than `SLOW_S`) the backend is left alone for
  a while, then one event is tried; each failed trial doubles the wait.
- `errors` counts every failure; `close` reports how many events are missing and how to add them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from tracker_logging.events import Event
from tracker_logging.guard import ErrorGuard, Retry
from tracker_logging.trackers.base import Tracker

logger = logging.getLogger(__name__)

SLOW_S = 30.0


class GuardedTracker:
    """A backend whose errors are contained. Used on one thread (its `BackgroundTracker`'s), safe on any."""

    def __init__(
        self,
        open_backend: Callable[[], Tracker],
        *,
        name: str,
        strict: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_backend = open_backend
        self._name = name
        self._clock = clock
        self._guard = ErrorGuard(strict=strict, retry=Retry(), clock=clock)
        self._lock = threading.RLock()
        self.inner: Tracker | None = None
        self._closed = False
        self._lost: Counter[str] = Counter()
        self._lost_steps: tuple[int, int] | None = None

    @property
    def errors(self) -> int:
        """Failures counted so far."""
        return self._guard.errors

    @property
    def is_failing(self) -> bool:
        """Whether the backend is left alone because of repeated failures."""
        return self._guard.is_failing(self._name)

    @property
    def lost(self) -> dict[str, int]:
        """Events that did not reach the backend, by kind."""
        return dict(self._lost)

    def emit(self, event: Event) -> None:
        """Pass the event on, or count it as lost."""
        with self._lock:
            if self._closed:
                return
            is_written = False
            if self._guard.is_on(self._name):
                with self._guard.contain(self._name):
                    if self.inner is None:
                        self.inner = self._open_backend()
                    began = self._clock()
                    self.inner.emit(event)
                    is_written = True
                    _check_time("emit", self._clock() - began)
            if not is_written:
                self._lost[type(event).__name__] += 1
                first, last = self._lost_steps or (event.step, event.step)
                self._lost_steps = (min(first, event.step), max(last, event.step))

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Flush the backend unless it was never opened or is failing."""
        part = f"{self._name} flush"
        with self._lock:
            if self._closed or self.inner is None or self.is_failing or not self._guard.is_on(part):
                return
            with self._guard.contain(part):
                began = self._clock()
                self.inner.flush(timeout_s=timeout_s)
                _check_time("flush", self._clock() - began)

    def close(self) -> None:
        """Close the backend and report what is missing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._lost:
                logger.warning("%s", self._summary())
            if self.inner is not None:
                with self._guard.contain(f"{self._name} close"):
                    self.inner.close()

    def _summary(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._lost.items()))
        first, last = self._lost_steps or (0, 0)
        return (
            f"{self._name}: {self._lost.total()} events of steps {first} to {last} are missing ({kinds}) after "
            f"{self.errors} errors. If the run has JSON lines too, add them with: tracker-logging replay RUN"
        )


def _check_time(call: str, seconds: float) -> None:
    if seconds > SLOW_S:
        raise TimeoutError(f"{call} took {seconds:.0f} s")
