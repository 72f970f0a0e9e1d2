"""One thread per backend: encoding, drawing and writing happen there, and training does not wait for them.

    BackgroundTracker(GuardedTracker(open_backend, name="TensorBoard"), name="TensorBoard", queue_mb=256)

Guarantees
- Events arrive in the order in which they were emitted, each once. Arrays are copied unless they are immutable.
- The queue holds at most `queue_mb` of droppable events. When it is full, media are dropped before tables, tables
  before text (of the least important kind the latest event). Scalars and alerts have `kept_mb` more; one is lost only
  if the backend hangs for so long that nothing but them is queued and there is no room left: reported and counted.
- `dropped` and `queue_bytes` can be read at any time, and are written as `tracker/dropped_events` and
  `tracker/queue_mb` (the largest backlog since the last flush) at every flush.
- The thread leaves the interpreter to training: before each image or sound it waits `REST` times the processor time of
  the last one, unless a flush is waited for or the queue is half full.
- `flush` and `close` give up at a deadline; all flushes together wait no longer than `budget` allows in an hour. The
  thread starts with the first event and ends with `close`.
- A forked child (a data loader's worker) inherits a tracker that ignores everything.
- What the thread has written is flushed every `FLUSH_INTERVAL_S`: a killed process loses at most that much.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from functools import partial

from tracker_logging import tags
from tracker_logging.events import Event, Scalars
from tracker_logging.guard import ErrorGuard, Retry
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.freeze import Importance, freeze, importance, size_of
from tracker_logging.trackers.waiting import WaitingBudget

logger = logging.getLogger(__name__)

QUEUE_MB = 256.0
KEPT_MB = 64.0
DEADLINE_S = 60.0
STUCK_DEADLINE_S = 1.0
FLUSH_INTERVAL_S = 10.0
REST = 60.0
QUIET_S = 0.05


class _Flush:
    """A mark in the queue: when everything before it is readable, `done` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()


class _Stop:
    """Given to the thread instead of an event when the tracker closes and the queue is empty."""


class BackgroundTracker:
    """Takes events on any thread and passes them to `tracker` on its own thread.

    `queue_mb`, `kept_mb`: limits in MB, see above. `budget`: shared by the trackers of a run.
    """

    def __init__(
        self,
        tracker: Tracker,
        *,
        name: str,
        queue_mb: float = QUEUE_MB,
        kept_mb: float = KEPT_MB,
        budget: WaitingBudget | None = None,
    ) -> None:
        self.inner = tracker
        self._name = name
        self._limit = int(queue_mb * 1e6)
        self._total_limit = self._limit + int(kept_mb * 1e6)
        self._budget = budget or WaitingBudget()
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._queue: OrderedDict[int, tuple[Event | _Flush, int]] = OrderedDict()
        self._by_importance: dict[Importance, deque[int]] = {rank: deque() for rank in Importance}
        self._bytes = self._droppable_bytes = self._peak = 0
        self._next = 0
        self._dropped: Counter[str] = Counter()
        self._guard = ErrorGuard(retry=Retry())
        self._last_step = self._reported_step = -1
        self._taken = self._flushes_waiting = 0
        self._stuck_at: int | None = None
        self._closing = self._is_over_budget = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> dict[str, int]:
        """Events dropped so far, by kind."""
        with self._changed:
            return dict(self._dropped)

    @property
    def queue_bytes(self) -> int:
        """Bytes waiting now."""
        return self._bytes

    @property
    def errors(self) -> int:
        """Exceptions contained by this tracker and the one inside."""
        return self._guard.errors + int(getattr(self.inner, "errors", 0))

    def emit(self, event: Event) -> None:
        """Queue the event: a copy of its arrays and a lock, no I/O."""
        if os.getpid() != self._process:
            return
        event = freeze(event)
        size, rank = size_of(event), importance(event)
        with self._changed:
            if self._closing:
                return
            self._last_step = max(self._last_step, event.step)
            if not self._make_room(size, rank):
                self._drop(event)
                return
            self._append(event, size, rank)

    def flush(self, *, timeout_s: float | None = None) -> None:
        """Return when everything emitted before can be read back, or after `timeout_s` (default `DEADLINE_S`)."""
        if os.getpid() != self._process:
            return
        mark = _Flush()
        with self._changed:
            if self._closing or self._is_stuck or (self._thread is None and not self._queue):
                return
            self._flushes_waiting += 1
            self._append(mark, 0, Importance.KEPT)
        deadline = DEADLINE_S if timeout_s is None else timeout_s
        remaining_s = self._budget.remaining_s
        with self._budget.waiting():
            is_flushed = mark.done.wait(min(deadline, remaining_s))
        if is_flushed or self._is_stuck:
            return
        if remaining_s >= deadline:
            self._stuck_at = self._taken
            logger.warning("%s: not flushed within %.0f s. Writing continues in the background.", self._name, deadline)
        elif not self._is_over_budget:
            self._is_over_budget = True
            logger.warning(
                "%s: training has waited %.0f s for its backends within an hour and does not wait longer. Writing "
                "continues in the background; if the process is killed, the last events may be missing. Fix: log or "
                "save less often, or leave the slow backend out of --report_to.",
                self._name,
                self._budget.limit_s,
            )

    def close(self) -> None:
        """Write what is queued, close the tracker on its thread and end the thread, within `DEADLINE_S`."""
        if os.getpid() != self._process:
            return
        with self._changed:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
            self._changed.notify_all()
        if thread is None:
            self._contain(f"{self._name} close", self.inner.close)
        else:
            # A backend that is still opening is slow, not stuck: W&B may take half a minute on a busy machine.
            is_opening = self._taken <= 1
            thread.join(STUCK_DEADLINE_S if self._is_stuck and not is_opening else DEADLINE_S)
            if thread.is_alive():
                with self._changed:
                    left = len(self._queue)
                logger.warning("%s: does not respond; %d events are not written.", self._name, left)
        if self._dropped:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._dropped.items()))
            logger.warning("%s: dropped because the queue was full: %s. Raise --logging_queue_mb.", self._name, kinds)

    @property
    def _is_stuck(self) -> bool:
        """Whether the thread has taken nothing since a flush timed out, so that waiting again would not help."""
        return self._stuck_at == self._taken

    def _make_room(self, size: int, rank: Importance) -> bool:
        """Drop less important events until the new one fits; False where the new one itself must be dropped."""
        is_kept = rank is Importance.KEPT
        limit = self._total_limit if is_kept else self._limit
        if size > limit:
            return False
        while (self._bytes if is_kept else self._droppable_bytes) + size > limit:
            lowest = next((other for other in Importance if other < rank and self._by_importance[other]), None)
            if lowest is None:
                return False
            victim, victim_size = self._queue.pop(self._by_importance[lowest].pop())
            self._bytes -= victim_size
            self._droppable_bytes -= victim_size
            self._drop(victim)
        return True

    def _drop(self, event: Event | _Flush) -> None:
        kind = type(event).__name__
        self._dropped[kind] += 1
        if isinstance(event, Scalars) and self._dropped[kind] == 1:
            logger.warning(
                "%s: the backend takes nothing and its queue of %.0f MB is full: scalars are lost from step %d on. If "
                "the run has JSON lines too, add them later with: tracker-logging replay RUN",
                self._name,
                self._total_limit / 1e6,
                event.step,
            )

    def _append(self, item: Event | _Flush, size: int, rank: Importance) -> None:
        self._queue[self._next] = (item, size)
        self._by_importance[rank].append(self._next)
        self._next += 1
        self._bytes += size
        self._droppable_bytes += size if rank is not Importance.KEPT else 0
        self._peak = max(self._peak, self._bytes)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"tracker-{self._name}", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _take(self, wait_s: float) -> Event | _Flush | _Stop | None:
        """The oldest item; None when there is none within `wait_s`."""
        with self._changed:
            if not self._queue and not self._closing:
                self._changed.wait(wait_s)
            if not self._queue:
                return _Stop() if self._closing else None
            _, (item, size) = self._queue.popitem(last=False)
            self._taken += 1
            rank = Importance.KEPT if isinstance(item, _Flush) else importance(item)
            self._by_importance[rank].popleft()
            self._bytes -= size
            self._droppable_bytes -= size if rank is not Importance.KEPT else 0
            return item

    def _work(self) -> None:
        flush_at, dirty, pause_s = time.monotonic() + FLUSH_INTERVAL_S, False, QUIET_S
        while True:
            item = self._take(max(0.0, flush_at - time.monotonic()) if dirty else FLUSH_INTERVAL_S)
            match item:
                case None:
                    pass
                case _Stop():
                    self._report()
                    self._contain(f"{self._name} close", self.inner.close)
                    return
                case _Flush():
                    self._report()
                    self._contain(f"{self._name} flush", self.inner.flush)
                    with self._changed:
                        self._flushes_waiting -= 1
                    item.done.set()
                    dirty = False
                case event:
                    is_media = importance(event) is Importance.MEDIA
                    if is_media:
                        self._pause(pause_s)
                    began = time.thread_time()
                    self._contain(self._name, partial(self.inner.emit, event))
                    pause_s = max(QUIET_S, REST * (time.thread_time() - began)) if is_media else pause_s
                    dirty = True
            if dirty and time.monotonic() >= flush_at:
                self._contain(f"{self._name} flush", self.inner.flush)
                dirty = False
            if not dirty:
                flush_at = time.monotonic() + FLUSH_INTERVAL_S

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(self._is_urgent, timeout=seconds)

    def _is_urgent(self) -> bool:
        return self._closing or self._flushes_waiting > 0 or 2 * self._droppable_bytes > self._limit

    def _report(self) -> None:
        """Write the queue's own numbers, once per step."""
        with self._changed:
            step, peak, dropped = self._last_step, self._peak, self._dropped.total()
            if step == self._reported_step or step < 0:
                return
            self._reported_step, self._peak = step, self._bytes
        values = {tags.DROPPED(): float(dropped), tags.QUEUE(): peak / 1e6}
        self._contain(self._name, partial(self.inner.emit, Scalars(step=step, values=values)))

    def _contain(self, part: str, call: Callable[[], None]) -> None:
        """The thread must outlive every error; a `GuardedTracker` inside has already contained the backend's own."""
        if self._guard.is_on(part):
            with self._guard.contain(part):
                call()
