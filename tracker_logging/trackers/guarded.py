"""Keeps a backend's failures away from training, and says in one place what they cost.

    GuardedTracker(lambda: TensorBoardTracker(directory), name="TensorBoard")

Guarantees
- No call raises. The backend is opened at the first event, on the thread that emits it, and again later if that fails.
- After `FAILURES` failures in a row (an exception, or a call longer than `SLOW_S`) the breaker opens: the backend is
  left alone for a while, then one event is tried; each failed trial doubles the wait up to `LONGEST_WAIT_S`.
- A cause is said once; `errors` counts every failure; `close` says what is missing and how to fill it in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from tracker_logging.events import Event
from tracker_logging.trackers.base import Tracker

logger = logging.getLogger(__name__)

FAILURES = 3
SLOW_S = 30.0
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 300.0


class GuardedTracker:
    """A backend behind a breaker. Used from one thread (its `BackgroundTracker`'s), safe from any."""

    def __init__(
        self, open_backend: Callable[[], Tracker], *, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_backend = open_backend
        self._name = name
        self._clock = clock
        self._lock = threading.RLock()
        self.inner: Tracker | None = None
        self._closed = False
        self._in_a_row = 0
        self._wait_s = FIRST_WAIT_S
        self._silent_until: float | None = None
        self._said: set[str] = set()
        self._lost: Counter[str] = Counter()
        self._lost_steps: list[int] = []
        self.errors = 0

    @property
    def is_open(self) -> bool:
        """True while the breaker keeps calls away from the backend."""
        return self._silent_until is not None

    @property
    def lost(self) -> dict[str, int]:
        """Events that did not reach the backend, by kind."""
        return dict(self._lost)

    def emit(self, event: Event) -> None:
        """Hand the event on, or count it as lost."""
        with self._lock:
            if self._closed:
                return
            if not self._may_try() or not self._attempt("emit", lambda backend: backend.emit(event)):
                self._lost[type(event).__name__] += 1
                self._lost_steps = [min([*self._lost_steps, event.step]), max([*self._lost_steps, event.step])]

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Flush the backend unless it was never opened or its breaker is open."""
        with self._lock:
            if not self._closed and self.inner is not None and not self.is_open:
                self._attempt("flush", lambda backend: backend.flush(timeout_s=timeout_s))

    def close(self) -> None:
        """Close the backend and sum up what is missing."""
        with self._lock:
            if self._closed:
                return
            if self.inner is not None:
                self._attempt("close", lambda backend: backend.close())
            self._closed = True
            if self._lost:
                logger.warning("%s", self._summary())

    def _may_try(self) -> bool:
        return self._silent_until is None or self._clock() >= self._silent_until

    def _attempt(self, what: str, call: Callable[[Tracker], None]) -> bool:
        """Make one call; True where the backend took it (a slow call did its work, and counts as a failure too)."""
        try:
            if self.inner is None:
                self.inner = self._open_backend()
            began = self._clock()
            call(self.inner)
        except Exception as error:
            self._failed(f"{what} failed: {type(error).__name__}: {error}", cause=f"{what} {type(error).__name__}")
            return False
        took = self._clock() - began
        if took > SLOW_S:
            self._failed(f"{what} took {took:.0f} s", cause=f"{what} slow")
            return True
        if what != "emit":
            return True  # a flush that had nothing to do says nothing about the backend
        if self.is_open:
            logger.warning("%s: works again. %d events did not reach it.", self._name, sum(self._lost.values()))
        self._in_a_row, self._wait_s, self._silent_until = 0, FIRST_WAIT_S, None
        return True

    def _failed(self, what: str, *, cause: str) -> None:
        self.errors += 1
        self._in_a_row += 1
        if cause not in self._said:
            self._said.add(cause)
            logger.warning("%s: %s. Training goes on; what is lost is counted (said once).", self._name, what)
        if self._in_a_row >= FAILURES or self.is_open:
            if not self.is_open:
                logger.warning(
                    "%s: %d failures in a row. It is left alone for %.0f s, then tried again.",
                    self._name,
                    self._in_a_row,
                    self._wait_s,
                )
            self._silent_until = self._clock() + self._wait_s
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _summary(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._lost.items()))
        first, last = self._lost_steps
        return (
            f"{self._name}: {sum(self._lost.values())} events of steps {first} to {last} are missing ({kinds}) after "
            f"{self.errors} errors. If this run also wrote JSON lines, fill them in with: tracker-logging replay RUN"
        )
