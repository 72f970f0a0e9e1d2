"""The scheduling priority of scoring, chosen for each voice by what training leaves of the processor.

The measure is the share of one core that the last voice got (CPU time / wall time). A low share means that the machine
is busy and scoring starves: the next voice gets a higher priority, at most that of `LEVELS[-1]`. A high share means
that a core is idle, so a lower priority costs nothing and protects training. When training has ended and waits for the
scores (`hurry`), voices have the priority of training itself.

On Linux the nice value belongs to a thread, and a thread that only ever raises it needs no privilege: each voice runs
on a thread of its own. On other systems the priority stays as it is.

    priority = ScoringPriority()
    priority.run(score_one_voice)
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

LEVELS = (19, 10, 5)
"""Nice values above that of training: about 1.5, 11 and 33 % of the weight of one training thread (Linux scheduler)."""
STARVING, IDLE = 0.2, 0.9  # shares of one core


class ScoringPriority:
    """Runs work at the chosen priority. `run` is called by one thread at a time, `hurry` by any."""

    def __init__(self) -> None:
        self._level = 1
        self._hurried = False

    @property
    def nice(self) -> int:
        """Nice value above that of training for the next work."""
        return 0 if self._hurried else LEVELS[self._level]

    def hurry(self) -> None:
        """Use the priority of training from the next work on."""
        self._hurried = True

    def observe(self, share: float) -> None:
        """Choose the next level by the share of one core, 0 to 1, that the last work got."""
        if share < STARVING:
            self._level = min(self._level + 1, len(LEVELS) - 1)
        elif share > IDLE:
            self._level = max(self._level - 1, 0)

    def run(self, work: Callable[[], None]) -> None:
        """Run `work` on a thread of its own and wait for it; what it raises is raised here."""
        errors: list[Exception] = []
        shares: list[float] = []

        def job() -> None:
            _raise_nice(self.nice)
            start, cpu_start = time.perf_counter(), time.thread_time()
            try:
                work()
            except Exception as error:
                errors.append(error)
            shares.append((time.thread_time() - cpu_start) / max(time.perf_counter() - start, 1e-9))

        thread = threading.Thread(target=job, name="tracker_logging scoring")
        thread.start()
        thread.join()
        self.observe(shares[0])
        if errors:
            raise errors[0]


def _raise_nice(by: int) -> None:
    """Raise the nice value of this thread, which starts with that of the thread that created it."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + by))
