"""Nothing of ours reaches training: exceptions end here, are said once, counted, and switch their part off.

with fence.guard("outputs"):
    ...                         # an exception here is swallowed
fence.open("outputs")           # False after three failures in a row
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("tracker_logging")

FAILURES_UNTIL_OFF = 3


class Fence:
    """Counts failures by part. Used on the training thread only."""

    def __init__(self) -> None:
        self.errors = 0
        self._in_a_row: Counter[str] = Counter()
        self._said: set[tuple[str, str]] = set()

    def open(self, part: str) -> bool:
        """Whether the part may still run."""
        return self._in_a_row[part] < FAILURES_UNTIL_OFF

    @contextmanager
    def guard(self, part: str) -> Iterator[None]:
        """Swallow, count and report what the body raises; KeyboardInterrupt and SystemExit pass."""
        try:
            yield
        except Exception as error:
            self.failed(part, error)
        else:
            self._in_a_row[part] = 0

    def failed(self, part: str, error: Exception) -> None:
        """Count a failure; say it once per part and cause, with what happens now."""
        self.errors += 1
        self._in_a_row[part] += 1
        now = (
            f"It failed {FAILURES_UNTIL_OFF} times in a row and is off until the end of the run."
            if not self.open(part)
            else "It is left out at this step and tried again at the next; training goes on."
        )
        cause = (part, f"{type(error).__name__}: {error}")
        if cause not in self._said or not self.open(part):
            logger.warning("Logging part '%s' failed (%s). %s", part, cause[1], now)
            logger.debug("Traceback of '%s':", part, exc_info=error)
        self._said.add(cause)
