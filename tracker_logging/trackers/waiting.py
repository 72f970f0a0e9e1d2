"""How long training may wait for its backends: a limit per hour, shared by all trackers of a run.

    budget = WaitingBudget(limit_s=90.0)
    with budget.waiting():
        done.wait(min(timeout_s, budget.remaining_s))

Guarantees
- In any hour at most `limit_s` seconds are granted, however often training asks.
- Trackers that are waited for at the same time count once. Safe on any thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LIMIT_S = 90.0
HOUR_S = 3600.0


class WaitingBudget:
    """`limit_s`: seconds of waiting in any `HOUR_S` seconds."""

    def __init__(self, *, limit_s: float = LIMIT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_s = limit_s
        self._clock = clock
        self._lock = threading.Lock()
        self._waits: deque[tuple[float, float]] = deque()  # (begin, end), oldest first
        self._active = 0
        self._active_since = 0.0

    @property
    def remaining_s(self) -> float:
        """Seconds that may be waited now."""
        with self._lock:
            now = self._clock()
            hour_ago = now - HOUR_S
            while self._waits and self._waits[0][1] <= hour_ago:
                self._waits.popleft()
            spent = sum(end - max(begin, hour_ago) for begin, end in self._waits)
            spent += now - self._active_since if self._active else 0.0
            return max(0.0, self.limit_s - spent)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time in which the body runs."""
        with self._lock:
            if self._active == 0:
                self._active_since = self._clock()
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                if self._active == 0:
                    self._waits.append((self._active_since, self._clock()))
