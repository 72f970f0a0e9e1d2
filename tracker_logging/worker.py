"""One thread for work that training must not wait for: decoding clips, drawing, scoring voices.

Guarantees
- Jobs run one after the other in the order given, at a lower scheduling priority than training where the system allows.
- `submit` never blocks: with `depth` jobs waiting it returns False.
- An exception ends its job only, and is kept for the training thread to report.
- `close` waits at most `timeout_s`.

    worker = WorkerThread(depth=2)
    worker.submit(lambda: tracker.emit(score(clip)))
    worker.close(timeout_s=60.0)
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable

Job = Callable[[], None]
_NICE = 10


class WorkerThread:
    """A daemon thread that starts with the first job. Call `submit` and `close` on one thread, the training thread."""

    def __init__(self, *, depth: int) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=depth)
        self._errors: queue.SimpleQueue[Exception] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> bool:
        """Queue a job; False if `depth` jobs are waiting already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tracker_logging worker", daemon=True)
            self._thread.start()
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def take_errors(self) -> list[Exception]:
        """The exceptions of jobs since the last call."""
        errors = []
        with contextlib.suppress(queue.Empty):
            while True:
                errors.append(self._errors.get_nowait())
        return errors

    def close(self, *, timeout_s: float) -> bool:
        """Run the waiting jobs and end the thread; False if that takes longer than `timeout_s` seconds."""
        if self._thread is None:
            return True
        deadline = time.monotonic() + timeout_s
        try:
            self._jobs.put(None, timeout=timeout_s)
        except queue.Full:
            return False
        self._thread.join(timeout=max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def _work(self) -> None:
        _lower_priority()
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                self._errors.put(error)


def _lower_priority() -> None:
    """On Linux a thread has its own priority. Elsewhere the call would change the whole process, so nothing is done."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
