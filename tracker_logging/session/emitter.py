"""The way of an event from an observer to the tracker, and the accounts that are kept of it.

    emitter = Emitter(tracker, rank=0, guard=guard, cost=cost)
    emitter.collect(1, lambda observer: observer.observe(snapshot))  # now, and `Later` events on the worker thread
    emitter.emit(Scalars(step=1, values={"outputs/nll/mean": 4.3}))  # any thread
    emitter.finish(step=500)

Guarantees
- Only rank 0 emits. Every event is entered in the ledger and in the summary, and every observer hears it.
- An observer that fails does not keep the others from emitting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tracker_logging.events import Event
from tracker_logging.families.base import ModelAdapter
from tracker_logging.guard import ErrorGuard
from tracker_logging.probes.snapshot import StepSnapshot
from tracker_logging.session.cost import CostMeter
from tracker_logging.session.last_word import LastWord
from tracker_logging.session.latest import Latest
from tracker_logging.session.ledger import Ledger, explain_layout, explain_non_finite, promised
from tracker_logging.session.observer import Later, Observer
from tracker_logging.summary import SummaryKeeper
from tracker_logging.trackers.base import Tracker
from tracker_logging.worker import WorkerThread

logger = logging.getLogger("tracker_logging")

WORKER_QUEUE = 32
WORKER_TIMEOUT_S = 30.0


class Emitter:
    """Serves one training. `observers` is filled by the session."""

    def __init__(self, tracker: Tracker, *, rank: int, guard: ErrorGuard, cost: CostMeter) -> None:
        self.observers: list[Observer] = []
        self.ledger = Ledger()
        self._tracker = tracker
        self._rank = rank
        self._guard = guard
        self._cost = cost
        self._worker = WorkerThread(depth=WORKER_QUEUE)
        self._summary = SummaryKeeper()
        self.last_word = LastWord()
        self.latest = Latest()
        self._not_shown: set[str] = set()

    @property
    def owners(self) -> frozenset[str]:
        """Owners of tags, as `tags` names them, that take part in logged steps."""
        return frozenset(observer.name for observer in self.observers) | {"tracker"}

    def emit(self, event: Event) -> None:
        """Send an event from rank 0; ignored on other ranks. Any thread."""
        if self._rank != 0:
            return
        self.ledger.arrived(event)
        self._summary.hear(event)
        self.last_word.hear(event)
        self.latest.hear(event)
        self._tracker.emit(event)
        for observer in self.observers:
            with self._guard.contain(observer.name):
                observer.hear(event)

    def collect(self, step: int, events_of: Callable[[Observer], Iterable[Event | Later]]) -> None:
        """Emit what `events_of` gives for `step`, for each observer that is on. Training thread; rank 0 only."""
        if self._rank != 0:
            return
        for observer in self.observers:
            if self._guard.is_on(observer.name):
                with self._cost.part(observer.name, component="capture"), self._guard.contain(observer.name):
                    for event in events_of(observer):
                        if isinstance(event, Later):
                            self._defer(event, step=step, owner=observer.name)
                        else:
                            self.emit(event)
        self._report_worker_errors()

    def miss_step(self, step: int, reason: str) -> None:
        """Nothing of a logged step can be shown."""
        observers = self.owners - {"tracker", "doctor", "zero_shot"}
        self.ledger.miss(step, promised(owners=observers, facts=()), reason)

    def explain(self, snapshot: StepSnapshot, adapter: ModelAdapter) -> None:
        """Note what a logged step cannot show and why, before it is promised."""
        explain_non_finite(self.ledger, snapshot)
        with self._guard.contain("layout of codes"):
            explain_layout(self.ledger, snapshot, adapter)

    def report_not_shown(self, reasons: Iterable[str]) -> None:
        """Log once what the model or the training does not allow to measure."""
        for reason in reasons:
            if reason not in self._not_shown:
                self._not_shown.add(reason)
                logger.warning("Not shown: %s. Everything else is logged.", reason)
                self.ledger.explain_not_shown(reason)

    def settle(self, step: int, *, before: int | None, rounds_before: int | None = None) -> None:
        """Report what was promised for steps `before` and did not arrive. See `Ledger.report`."""
        if self._rank != 0:
            return
        table = self.ledger.report(step, before=before, rounds_before=rounds_before, failures=self._guard.reasons)
        if table is not None:
            self.emit(table)

    def state(self, step: int) -> dict[str, Any]:
        """For the checkpoint of `step`: what the end of the training tells of the steps up to there. Plain JSON."""
        with self._guard.contain("checkpoint"):
            return {"last_word": self.last_word.state(step), "summary": {"points": self._summary.state(step)}}
        return {}

    def restore(self, states: Mapping[str, Any], *, checkpoints: Path | None = None) -> None:
        """Go on from the `state` of a checkpoint in the directory `checkpoints`, before anything is emitted."""
        with self._guard.contain("checkpoint"):
            self.last_word.restore(states.get("last_word", {}), checkpoints)
            self._summary.restore(states.get("summary", {}).get("points", {}))

    def finish(self, step: int) -> None:
        """After the last event of a training: wait for the worker, settle all promises, emit summary and last word."""
        self._worker.close(timeout_s=WORKER_TIMEOUT_S)
        self._report_worker_errors()
        self.settle(step, before=None)
        self.emit(self._summary.summary(step=step))
        for event in self.last_word.events(step=step, missing=self.ledger.missing):
            self.emit(event)

    def _defer(self, later: Later, *, step: int, owner: str) -> None:
        def job() -> None:
            try:
                for event in later.make():
                    self.emit(event)
            except Exception as error:
                self.ledger.explain(owner, f"it failed ({type(error).__name__}: {error})", step=step)
                raise
            finally:
                self.ledger.made(step, owner)

        self.ledger.making(step, owner)
        if not self._worker.submit(job):
            self.ledger.made(step, owner)
            raise RuntimeError("the worker thread is too far behind, so this clip is not logged. Log less often")

    def _report_worker_errors(self) -> None:
        for error in self._worker.take_errors():
            self._guard.failed("worker", error)
