"""The one contract for errors: nothing of ours reaches training, and nothing fails silently.

    guard = ErrorGuard()
    with guard.contain("outputs"):
        ...                          # an exception here ends the body, is logged once per cause and counted
    guard.is_on("outputs")           # False after three failures in a row: the part is switched off

Guarantees
- `contain` swallows every `Exception`; `KeyboardInterrupt` and `SystemExit` pass.
- A cause (part, exception type, message without its numbers and quoted names) is logged once with what happens next;
  every failure is counted.
- A part that is off stays off, or with `retry` is tried again after a wait that each failed trial doubles.
- With `strict=True` the exception is raised after it was counted, also one of a hook or of the worker thread, at the
  end of that step: for authors of adapters, observers, scorers and backends, who want the traceback.
- Safe on any thread.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

logger = logging.getLogger("tracker_logging")

FAILURES_UNTIL_OFF = 3
_VARIABLE = re.compile(r"0x[0-9a-f]+|\d+|'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a part that is off is tried again: after `first_s` seconds, then twice as long, up to `longest_s`."""

    first_s: float = 5.0
    longest_s: float = 300.0


@dataclass(slots=True)
class _Part:
    failures_in_a_row: int = 0
    wait_s: float = 0.0
    retry_at: float = float("inf")


class ErrorGuard:
    """Contains the errors of the parts of one training. `errors` counts all failures; read it on any thread."""

    def __init__(
        self, *, strict: bool = False, retry: Retry | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.strict = strict
        self.errors = 0
        self.reasons: dict[str, str] = {}  # the last failure of each part
        self._retry = retry
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: defaultdict[str, _Part] = defaultdict(_Part)
        self._logged: set[tuple[str, str]] = set()

    def is_failing(self, part: str) -> bool:
        """Whether the part was switched off and has not succeeded since."""
        with self._lock:
            return self._parts[part].failures_in_a_row >= FAILURES_UNTIL_OFF

    def is_on(self, part: str) -> bool:
        """Whether the part may run now: it is not failing, or it is time to try it again."""
        with self._lock:
            state = self._parts[part]
            return state.failures_in_a_row < FAILURES_UNTIL_OFF or self._clock() >= state.retry_at

    @contextmanager
    def contain(self, part: str) -> Iterator[None]:
        """Run the body; count and log what it raises."""
        try:
            yield
        except Exception as error:
            self.failed(part, error)
        else:
            self._succeeded(part)

    def failed(self, part: str, error: Exception) -> None:
        """Count a failure of `part` and log it if its cause is new; with `strict` raise it.

        Call it for what was caught elsewhere, such as in a hook inside of the model's forward, or on a worker thread.
        """
        reason = f"{type(error).__name__}: {error}"
        cause = (part, _VARIABLE.sub("…", reason))
        with self._lock:
            self.errors += 1
            self.reasons[part] = reason
            state = self._parts[part]
            state.failures_in_a_row += 1
            if state.failures_in_a_row >= FAILURES_UNTIL_OFF and self._retry is not None:
                state.wait_s = min(2 * state.wait_s, self._retry.longest_s) or self._retry.first_s
                state.retry_at = self._clock() + state.wait_s
            is_logged = cause not in self._logged or state.failures_in_a_row == FAILURES_UNTIL_OFF
            consequence = _consequence(state)
            self._logged.add(cause)
        if is_logged:
            logger.warning("Logging of '%s' failed (%s). %s", part, reason, consequence)
            logger.debug("Traceback of '%s':", part, exc_info=error)
        if self.strict:
            raise error

    def _succeeded(self, part: str) -> None:
        with self._lock:
            was_failing = self._parts.pop(part, _Part()).failures_in_a_row >= FAILURES_UNTIL_OFF
        if was_failing:
            logger.warning("Logging of '%s' works again.", part)


def _consequence(state: _Part) -> str:
    if state.failures_in_a_row < FAILURES_UNTIL_OFF:
        return "It is skipped this time and tried again at the next one; training continues."
    times = f"It failed {FAILURES_UNTIL_OFF} times in a row and"
    if state.wait_s:
        return f"{times} is skipped for {state.wait_s:.0f} s, then tried again; training continues."
    return f"{times} is switched off for the rest of this training."
