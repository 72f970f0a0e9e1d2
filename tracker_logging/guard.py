"""The one contract for errors: nothing of ours reaches training, and nothing fails silently.

    guard = ErrorGuard()
    with guard.contain("outputs"):
        ...                          # an exception here ends the body, is logged once per cause and counted
    guard.is_on("outputs")           # False after three failures in a row: the part is switched off

Guarantees
- `contain` swallows every `Exception`; `KeyboardInterrupt` and `SystemExit` pass.
- A cause (part, exception type, message) is logged once with what happens next; every failure is counted.
- With `strict=True` the exception is raised after it was counted: for authors of adapters, observers, scorers and
  backends, who want the traceback.
- Safe on any thread.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("tracker_logging")

FAILURES_UNTIL_OFF = 3


class ErrorGuard:
    """Contains the errors of the parts of one training. `errors` counts all failures; read it on any thread."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.errors = 0
        self._lock = threading.Lock()
        self._failures_in_a_row: Counter[str] = Counter()
        self._logged: set[tuple[str, str]] = set()

    def is_on(self, part: str) -> bool:
        """Whether the part may still run."""
        return self._failures_in_a_row[part] < FAILURES_UNTIL_OFF

    @contextmanager
    def contain(self, part: str) -> Iterator[None]:
        """Run the body; count and log what it raises."""
        try:
            yield
        except Exception as error:
            self.failed(part, error)
            if self.strict:
                raise
        else:
            with self._lock:
                self._failures_in_a_row[part] = 0

    def failed(self, part: str, error: Exception) -> None:
        """Count a failure of `part` that was caught elsewhere, and log it if its cause is new."""
        cause = (part, f"{type(error).__name__}: {error}")
        with self._lock:
            self.errors += 1
            self._failures_in_a_row[part] += 1
            is_on = self._failures_in_a_row[part] < FAILURES_UNTIL_OFF
            is_new = cause not in self._logged
            self._logged.add(cause)
        if is_new or not is_on:
            logger.warning("Logging of '%s' failed (%s). %s", part, cause[1], _NEXT[is_on])
            logger.debug("Traceback of '%s':", part, exc_info=error)


_NEXT = {
    True: "It is skipped at this step and tried again at the next one; training continues.",
    False: f"It failed {FAILURES_UNTIL_OFF} times in a row and is switched off for the rest of this training.",
}
