"""One thread for work that training must not wait for: decoding clips, drawing, scoring voices.

Guarantees
- Jobs run one after the other in the order given, at a lower scheduling priority than training where the system allows.
- `submit` never blocks: with `depth` jobs waiting it refuses.
- What a job raises ends that job only, and is kept for the training thread to report.
- `close` waits no longer than it is told to.

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
    """A daemon thread that starts with the first job. `submit` and `close` are for one thread, the training thread."""

    def __init__(self, *, depth: int) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=depth)
        self._errors: queue.SimpleQueue[Exception] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> bool:
        """Whether the job was taken."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tracker_logging worker", daemon=True)
            self._thread.start()
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def take_errors(self) -> list[Exception]:
        """What jobs have raised since the last call."""
        errors = []
        with contextlib.suppress(queue.Empty):
            while True:
                errors.append(self._errors.get_nowait())
        return errors

    def close(self, *, timeout_s: float) -> bool:
        """Let the waiting jobs finish. False if some were not done within `timeout_s` seconds."""
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
        _give_way()
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                self._errors.put(error)


def _give_way() -> None:
    """On Linux priority belongs to a thread; elsewhere it stays as it is, for it would be the whole process's."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
