"""One run being watched: what the callbacks share, and the one place that walks through a logged step.

- One capture, one tracker, one fence and one cost meter for all callbacks of the session.
- Every rank looks at the same steps and takes part in the same collectives; rank 0 alone emits.
- Whichever callback the Trainer calls first leads: it does the work of a step for all of them.

    session = LoggingSession(tracker=TensorBoardTracker(Path("runs/a")), processor=processor, every=100)
    trainer = Trainer(..., callbacks=[OutputLoggerCallback(session), InputLoggerCallback(session)])
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from transformers import TrainerState, TrainingArguments

from tracker_logging import tags
from tracker_logging.callbacks.at_exit import AtExit
from tracker_logging.callbacks.base import Later, StepContext, StrategicCallback
from tracker_logging.callbacks.cadence import STRANDS, Cadence
from tracker_logging.callbacks.cost import CostMeter
from tracker_logging.callbacks.fence import Fence
from tracker_logging.callbacks.mismatch import say_mismatch
from tracker_logging.callbacks.readable import special_token_ids
from tracker_logging.callbacks.thinning import thin
from tracker_logging.callbacks.throughput import Pace
from tracker_logging.events import Event, Scalars
from tracker_logging.families import AudioCodec, BatchView, ModelAdapter, adapter_for
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.evaluation import EvaluationCapture
from tracker_logging.probes.hooks import detach_all
from tracker_logging.probes.isolation import isolated
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.null import NullTracker
from tracker_logging.worker import WorkerThread

logger = logging.getLogger("tracker_logging")

FLUSH_TIMEOUT_S = 30.0
JOBS_WAITING = 32


class LoggingSession:
    """Shared by the callbacks of one Trainer.

    `tracker` is a tracker, or a function that opens one when training begins (rank 0 only). `processor` gives
    `.tokenizer` and `.codec`; without it nothing is decoded. Step 1 is logged, then every `every` steps; voices speak
    every `voice_steps` steps (default five times `every`) and at the end. `budget_pct` is the share of wall time above
    which looking is thinned (`cadence.py` says how). Raises `ValueError` for steps or a budget that cannot be.
    """

    def __init__(
        self,
        *,
        tracker: Tracker | Callable[[TrainingArguments, TrainerState], Tracker],
        processor: Any = None,
        every: int = 100,
        voice_steps: int | None = None,
        budget_pct: float = 2.0,
        adapter: ModelAdapter | None = None,
    ) -> None:
        self.cadence = Cadence(every=every, voice_steps=voice_steps, budget_pct=budget_pct)
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", None)
        self.codec: AudioCodec | None = getattr(processor, "codec", None)
        self.tracker: Tracker = NullTracker()
        self.fence = Fence()
        self.cost = CostMeter()
        self.pace = Pace()
        self.special_ids = special_token_ids(self.tokenizer)
        self.worker = WorkerThread(depth=JOBS_WAITING)
        self.listeners: list[Callable[[Event], None]] = []  # told of every event, on the thread that emits it
        self.rank = 0
        self.world_size = 1
        self.next_due = self.last_logged = -1
        self.attached = self.observing = False
        self._tracker_or_opener = tracker
        self._given_adapter = adapter
        self.callbacks: list[StrategicCallback] = []
        self._capture: StepCapture | None = None
        self._evaluation: EvaluationCapture | None = None
        self._leader: StrategicCallback | None = None
        self._at_exit: AtExit | None = None
        self._begun = self._ended = self._compiled = self._update_pending = False
        self._step_began = 0.0
        self._last_done = self._last_voices = -1
        self._said_missing: set[str] = set()

    def register(self, callback: StrategicCallback) -> None:
        """Called by each callback when it is made."""
        self.callbacks.append(callback)

    @property
    def adapter(self) -> ModelAdapter:
        """The model's adapter; known once training has begun."""
        if self._given_adapter is None:
            raise RuntimeError("The model is known once training has begun.")
        return self._given_adapter

    def begin(self, callback: StrategicCallback, args: TrainingArguments, state: TrainerState, model: Any) -> bool:
        """Before the first step: True for the callback that calls first, which leads. Raises clear errors."""
        if self._leader not in (None, callback):
            return False
        self._leader = callback
        detach_all()
        self.attached = self.observing = self._update_pending = self._ended = False
        self._last_done = self._last_voices = -1
        self._evaluation = None
        self.next_due = self.cadence.due_after(state.global_step)
        if self._begun:
            return True
        self._begun = True
        self.rank, self.world_size = args.process_index, args.world_size
        self._compiled = bool(args.torch_compile)
        if any(callback.looks_inside for callback in self.callbacks):
            self._given_adapter = adapter_for(model, given=self._given_adapter)
            self._capture = StepCapture(
                adapter=self._given_adapter,
                needs=frozenset().union(*(callback.needs for callback in self.callbacks)),
                special_ids=self.special_ids,
                compiled=self._compiled,
                before_forward=self._observe_batch,
                shared_count=args.average_tokens_across_devices,
            )
        if self.rank == 0:
            given = self._tracker_or_opener
            self.tracker = given if isinstance(given, Tracker) else given(args, state)
            self._at_exit = AtExit(self.tracker)
        self.cost.start()
        return True

    def attach(self, model: Any) -> None:
        """Put the probes on for the step that begins, if it is a logged one."""
        if self.attached or self.observing or self._capture is None or not self.cadence.logged(self.next_due):
            return
        self.observing = True
        self.pace.step_begins()
        self._step_began = time.perf_counter()
        with self.cost.part("attach", strand="capture"), self.fence.guard("capture"):
            # Several ranks meet in the snapshot's collective, so none of them may stay away on its own.
            if self.fence.open("capture") or self.world_size > 1:
                self._capture.attach(model)
                self.attached = True

    def before_update(self, optimizer: Any) -> None:
        """After backward, before the optimizer: take gradients, then take all hooks off."""
        if self._capture is None or not self.attached:
            return
        self.attached = False
        self._update_pending = True
        with self.cost.part("gradients", strand="capture"), self.fence.guard("capture"):
            self._capture.before_update(optimizer)

    def after_update(self, optimizer: Any) -> None:
        """After the optimizer: take the size of the update."""
        if self._capture is None or not self._update_pending:
            return
        self._update_pending = False
        with self.cost.part("updates", strand="capture"), self.fence.guard("capture"):
            self._capture.after_update(optimizer)

    def step_done(self, model: Any, state: TrainerState, *, last: bool) -> None:
        """Turn what was seen into events, let the voices speak if they are due, and set the next step to look at."""
        step = state.global_step
        voices_due = self._last_voices != step and (last or self.cadence.voices(step))
        if self._last_done == step and not voices_due:
            return
        logged, self.observing, self.attached = self.observing, False, False
        self._last_done = step
        if voices_due:
            self._last_voices = step
        if logged:
            self.last_logged = step
            self._observe(step)
        conditioned = logged and self.cadence.conditioned(step)
        if conditioned or voices_due:
            self._look_again(StepContext(step=step, model=model, logged=conditioned, voices_due=voices_due))
        if logged:
            self._report_cost(step)
        if self.cadence.cycle_ends(step):
            spent, device = self.cost.since_last_cycle(), next(model.parameters()).device
            thin(self.cadence, spent, step=step, rank=self.rank, world_size=self.world_size, device=device)
        self.next_due = self.cadence.due_after(step)

    def evaluation_begins(self, model: Any) -> None:
        """Watch the forwards of the evaluation that follows this step."""
        wanted = any("tokens" in callback.needs for callback in self.callbacks)
        if self._evaluation is None and wanted and not self._compiled:
            with self.fence.guard("evaluation"):
                self._evaluation = EvaluationCapture(adapter=self.adapter)
                self._evaluation.attach(model)

    def evaluation_done(self, state: TrainerState) -> None:
        """The evaluation set has been seen: emit its statistics."""
        evaluation, self._evaluation = self._evaluation, None
        snapshot = None
        if evaluation is not None:
            with self.cost.part("evaluation", strand="evaluation"), self.fence.guard("evaluation"):
                snapshot = evaluation.snapshot(state.global_step)
            for part, error in evaluation.errors:
                self.fence.failed(part, error)
        if snapshot is not None:
            self._emit_all(lambda callback: callback.observe_evaluation(snapshot))
        self.flush()

    def end(self) -> None:
        """After the last step, once: wait for background work, then make everything readable."""
        if self._ended:
            return
        self._ended, self._leader = True, None
        if self._capture is not None:
            with self.fence.guard("capture"):
                self._capture.detach()
        for callback in self.callbacks:
            with self.fence.guard(callback.name):
                callback.finish()
        self.worker.close(timeout_s=FLUSH_TIMEOUT_S)
        if self.rank == 0 and self.fence.errors:
            logger.warning("Logging met %d errors in this run; each was reported when it came.", self.fence.errors)
        self.flush()
        if self._at_exit is not None:
            self._at_exit.ended()

    def emit(self, event: Event) -> None:
        """Send an event from rank 0; ignored elsewhere. Any thread."""
        if self.rank == 0:
            self.tracker.emit(event)
            for hear in self.listeners:
                hear(event)

    def defer(self, later: Later) -> None:
        """Have events made on the worker thread. Raises `RuntimeError` when it is too far behind."""

        def job() -> None:
            for event in later.make():
                self.emit(event)

        if not self.worker.submit(job):
            raise RuntimeError("the worker thread is too far behind, so this clip is left out; log less often")

    def flush(self) -> None:
        """Make what was emitted readable, within a deadline."""
        if self.rank == 0:
            with self.cost.part("flush", strand="flush"), self.fence.guard("flush"):
                self.tracker.flush(timeout_s=FLUSH_TIMEOUT_S)

    def _observe(self, step: int) -> None:
        if self._capture is None:
            return
        seconds = time.perf_counter() - self._step_began
        snapshot = None
        with self.cost.part("snapshot", strand="capture"), self.fence.guard("capture"):
            snapshot = self._capture.snapshot(step)
        for part, error in self._capture.errors:
            self.fence.failed(part, error)
        if snapshot is not None:
            for part in set(snapshot.missing) - self._said_missing:
                logger.warning("Not shown: %s. All else is logged.", part)
            self._said_missing.update(snapshot.missing)
            frame_rate = None if self.codec is None else self.codec.frame_rate
            self.emit(Scalars(step=step, values=self.pace.scalars(snapshot, seconds=seconds, frame_rate=frame_rate)))
            self._emit_all(lambda callback: callback.observe(snapshot))

    def _observe_batch(self, view: BatchView) -> None:
        """Say what can be said of a batch before the model sees it, and may refuse it."""
        self._emit_all(lambda callback: callback.observe_batch(self.next_due, view))
        if view.mismatched:
            say_mismatch(view.mismatched, step=self.next_due, rank=self.rank)
            self.flush()

    def _look_again(self, context: StepContext) -> None:
        """Extra forwards of the callbacks, invisible to training; a part of its own, as rank 0 alone observes."""
        strand = "voices" if context.voices_due else "zero_shot"
        for callback, part in ((own, f"{own.name} forwards") for own in self.callbacks):
            if self.fence.open(part):
                with self.cost.part(strand, strand=strand), self.fence.guard(part), isolated(context.model):
                    for event in callback.after_step(context):
                        self.emit(event)

    def _emit_all(self, events_of: Callable[[StrategicCallback], Iterable[Event | Later]]) -> None:
        if self.rank != 0:
            return
        for callback in self.callbacks:
            if self.fence.open(callback.name):
                with self.cost.part(callback.name, strand="capture"), self.fence.guard(callback.name):
                    for event in events_of(callback):
                        self.defer(event) if isinstance(event, Later) else self.emit(event)
        for error in self.worker.take_errors():
            self.fence.failed("worker", error)

    def _report_cost(self, step: int) -> None:
        values = self.cost.report(budget_pct=self.cadence.budget_pct)
        values |= {tags.STRIDE(strand=strand): float(self.cadence.strides[strand]) for strand in STRANDS}
        values[tags.ERRORS()] = float(self.fence.errors + getattr(self.tracker, "errors", 0))
        self.emit(Scalars(step=step, values=values))
        if self._at_exit is not None:
            self._at_exit.renew(step=step)
