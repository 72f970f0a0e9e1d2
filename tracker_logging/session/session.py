"""One training being watched: when to measure, what to emit, and what happens when a part of it fails.

A loop's integration makes a `Session` when a training begins and calls its verbs. Verbs are idempotent per step:
whoever calls first does the work.

    session = Session(model, tracker=tracker, config=LoggingConfig(every=100), loop=Loop(), processor=processor)
    session.add(OutputObserver())
    session.step_begins(1)                  # the number of the step that begins
    session.before_optimizer(optimizer)     # after backward
    session.after_optimizer(optimizer)
    session.step_ends(1)
    session.ends()

Guarantees
- All state belongs to one training: model, adapter, capture, worker, cadence and observers.
- Every rank measures at the same steps and takes part in the same collectives; only rank 0 emits.
- Between logged steps nothing is attached to the model. A caller may skip verbs while `step < idle_until`.
- No exception reaches the training, except from `Session()` and `add`, which refuse it (or with `strict`).
"""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tracker_logging import tags
from tracker_logging.config import LoggingConfig
from tracker_logging.events import Scalars
from tracker_logging.families import BatchView, ModelAdapter
from tracker_logging.families.processors import processor_parts
from tracker_logging.guard import ErrorGuard
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.evaluation import EvaluationCapture
from tracker_logging.probes.hooks import detach_all
from tracker_logging.probes.parallelism import DATA_PARALLEL
from tracker_logging.session.cadence import COMPONENTS, Cadence
from tracker_logging.session.console import on_console
from tracker_logging.session.cost import CostMeter
from tracker_logging.session.emitter import Emitter
from tracker_logging.session.extra_forwards import ExtraForwards
from tracker_logging.session.ledger import (
    NO_ATTENTION,
    evaluation_families,
    explain_non_finite,
    promise_step,
    promised,
)
from tracker_logging.session.observer import Observer, Training
from tracker_logging.session.pace import Pace
from tracker_logging.trackers.base import Tracker
from tracker_logging.trackers.null import NullTracker

logger = logging.getLogger("tracker_logging")

FLUSH_TIMEOUT_S = 30.0
ALWAYS = 0  # as `idle_until`: no step may be skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What a session must know of the loop: this process' rank, and how many optimizer steps are done.

    `compiled`: the forward runs through `torch.compile`. `counts_labels_of_all_ranks`: the loss is divided by the
    number of labels of all ranks (`average_tokens_across_devices` of the Trainer). `replicas`: copies of the model in
    this process (`nn.DataParallel`). `planned_steps`: at which the training ends; None where the loop does not say.
    """

    rank: int = 0
    world_size: int = 1
    step: int = 0
    planned_steps: int | None = None
    compiled: bool = False
    replicas: int = 1
    counts_labels_of_all_ranks: bool = True


class Session:
    """See the module. `tracker` is used on rank 0 only; None logs nothing.

    All methods are for the training thread; `emitter.emit` is for any.

    `processor`: see `families.processors`. `where`: lines for the end of training, which say where the run is. Raises
    `TypeError` for a processor without any part that can be used.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        tracker: Tracker | None,
        config: LoggingConfig,
        loop: Loop,
        processor: Any = None,
        adapter: ModelAdapter | None = None,
        where: Mapping[str, str] | None = None,
    ) -> None:
        detach_all()  # hooks that an earlier training left behind when it died
        self.model = model
        self.loop = loop
        self._where = dict(where or {})
        self.tracker: Tracker = NullTracker() if tracker is None or loop.rank != 0 else tracker
        self.cadence = Cadence(every=config.every, voice_steps=config.voice_steps, budget_pct=config.budget_pct)
        self.guard = ErrorGuard(strict=config.strict)
        self.cost = CostMeter()
        self.pace = Pace()
        self.emitter = Emitter(self.tracker, rank=loop.rank, guard=self.guard, cost=self.cost)
        self.observers = self.emitter.observers
        self.idle_until = self.cadence.due_after(loop.step)
        self.is_training = False  # a session may begin with an evaluation
        self._training = Training(
            model=model,
            parts=processor_parts(processor),
            rank=loop.rank,
            world_size=loop.world_size,
            planned_steps=loop.planned_steps,
            guard=self.guard,
            emit=self.emitter.emit,
            wake=self._wake,
            given_adapter=adapter,
        )
        self._capture: StepCapture | None = None
        self._evaluation: EvaluationCapture | None = None
        self._step = loop.step  # the step that is running, or the last one that ended
        self.is_observing = self.is_attached = self._update_pending = self.has_ended = False
        self._step_began = self._batch_s = 0.0
        self._extra = ExtraForwards(self._training, emitter=self.emitter, cost=self.cost)
        self._starts = config.voice_at_start and loop.step == 0  # until the base model is measured
        if loop.rank == 0:
            atexit.register(self._close)

    def add(self, observer: Observer) -> None:
        """Before the first step: let `observer` take part. Raises what refuses the training."""
        if observer.looks_inside:
            _ = self._training.adapter
        observer.begin(self._training)
        self.observers.append(observer)

    @property
    def stop_reason(self) -> str | None:
        """Why an observer wants the training to stop; the same on all ranks."""
        return next((observer.stop_reason for observer in self.observers if observer.stop_reason), None)

    # --- one optimizer step ------------------------------------------------------------------------------------------

    def step_begins(self, step: int) -> None:
        """Before the first forward of the step that will be number `step`: attach the probes if it is to be logged.

        Before the first update of a training that is not resumed, the base model is measured: its voices are step 0.
        """
        self.evaluation_is_over()
        if self._starts:
            self._starts = False
            self._measure_base()
        if step == self._step or not self.cadence.logged(step):
            return
        self._step, self.is_observing = step, True
        self._step_began, self._batch_s = time.perf_counter(), 0.0
        with self.cost.part("attach", component="capture"), self.guard.contain("capture"):
            self._capture = self._capture or self._new_capture()
            # Several ranks meet in the snapshot's collective, so none of them may be missing.
            if self._capture is not None and (self.guard.is_on("capture") or self.loop.world_size > 1):
                self._capture.attach(self.model)
                self.is_attached = True

    def before_optimizer(self, optimizer: Any, *, scaler: Any = None) -> None:
        """After the backward pass: read the gradients and take all hooks off.

        `scaler`: the gradient scaler of an fp16 loop; not needed with an optimizer that accelerate prepared.
        """
        if self._capture is None or not self.is_attached:
            return
        self.is_attached = False
        self._update_pending = True
        with self.cost.part("gradients", component="capture"), self.guard.contain("capture"):
            self._capture.before_update(optimizer, scaler=scaler)

    def after_optimizer(self, optimizer: Any) -> None:
        """After the update: measure its size."""
        if self._capture is None or not self._update_pending:
            return
        self._update_pending = False
        with self.cost.part("updates", component="capture"), self.guard.contain("capture"):
            self._capture.after_update(optimizer)

    def step_ends(self, step: int, *, last: bool = False) -> None:
        """After `step` optimizer steps: emit what was captured, generate the voices if they are due.

        A call with an earlier step than the one that is running is ignored: some Trainer subclasses report the end of
        a step before its update. `last`: the training stops here, so the voices are due.
        """
        if step < self._step:
            return
        self._step = step
        observed, self.is_observing, self.is_attached = self.is_observing, False, False
        voices_due = last or self.cadence.voices(step)
        self.idle_until = self.cadence.due_after(step)
        if observed:
            self._observe(step)
        conditioning_due = observed and self.cadence.conditioned(step)
        voices_generated = self._extra.run(step, conditioning_due=conditioning_due, voices_due=voices_due)
        if observed:
            self._report_cost(step)
        if voices_generated and self.cadence.cycle_ends(step):
            device = next(self.model.parameters()).device
            self.cadence.thin(
                self.cost.since_last_cycle(),
                step=step, rank=self.loop.rank, world_size=self.loop.world_size, device=device,
            )  # fmt: skip
            self.idle_until = self.cadence.due_after(step)
        for observer in self.observers:
            with self.cost.part(observer.name, component="capture"), self.guard.contain(observer.name):
                observer.step_ended(step, logged=observed, last=last)

    def step_fails(self) -> None:
        """The step that is running raised an exception: take all hooks off. The loop may begin it again."""
        self._detach()
        if self.is_observing:
            self._step -= 1
        self.is_observing = self.is_attached = self._update_pending = False

    def weights_loaded(self, *, step: int) -> None:
        """The loop has loaded the weights of an earlier `step` (the best checkpoint): generate their voices."""
        self.emitter.last_word.loaded(step)
        self._extra.run(step, conditioning_due=False, voices_due=True)

    # --- evaluation, saving, the loop's own numbers ------------------------------------------------------------------

    def evaluation_begins(self, capture: EvaluationCapture | None = None) -> None:
        """Observe the forwards in evaluation mode from here on. Nothing happens if they are observed already.

        `capture`: one that has observed them since the evaluation began.
        """
        wanted = any("tokens" in observer.needs for observer in self.observers)
        if self._evaluation is None and wanted:
            with self.guard.contain("evaluation"):
                if capture is None:
                    capture = EvaluationCapture(adapter=self._training.adapter, compiled=self.loop.compiled)
                    capture.attach(self.model)
                self._evaluation = capture
        self.idle_until = ALWAYS  # so that `step_begins` takes the hooks off

    def evaluation_ends(self, step: int, *, name: str = "eval") -> bool:
        """The evaluation set `name` has been seen: emit its statistics. Every rank calls it.

        False if it was to be observed and no forward with labels was seen.
        """
        evaluation, self._evaluation = self._evaluation, None
        snapshot = None
        if evaluation is not None:
            with self.cost.part("evaluation", component="evaluation"), self.guard.contain("evaluation"):
                snapshot = evaluation.snapshot(step, name=name)
            for part, error in evaluation.errors:
                self.guard.failed(part, error)
        if snapshot is not None:
            self.emitter.report_not_shown(snapshot.missing)
            explain_non_finite(self.emitter.ledger, snapshot)
            self.emitter.ledger.promise(step, evaluation_families(snapshot, owners=self.emitter.owners))
            self.emitter.collect(step, lambda observer: observer.observe_evaluation(snapshot))
        elif "outputs" in self.emitter.owners:
            families = promised(owners={"outputs"}, facts={"evaluation"}, prefix="eval_outputs/")
            self.emitter.ledger.miss(
                step, families,
                "the evaluation was started inside a step by other code than the loop's schedule, without an event "
                "before its first batch; evaluate by eval_strategy, or outside training",
            )  # fmt: skip
        self.flush()
        return evaluation is None or snapshot is None or snapshot.tokens is not None or snapshot.text is not None

    def evaluation_numbers(self, step: int, *, with_voices: bool) -> dict[str, float]:
        """What an evaluation after `step` steps adds to the metrics of the loop, by name; the same on every rank.

        Every rank calls it after the forwards of the evaluation. Training waits at most `--voice_timeout_s`. After the
        end of training nothing is measured: the numbers are those of its last step.
        """
        if self.has_ended:
            return self._extra.measured_numbers(step)
        was_observed = self._evaluation is not None  # the extra forwards are not part of the evaluation
        self.evaluation_is_over()
        numbers = self._extra.evaluation_numbers(step, voices_due=with_voices)
        if was_observed:
            self.evaluation_begins()
        return numbers

    def evaluation_is_over(self) -> None:
        """Take the hooks of an evaluation off that did not come."""
        if self._evaluation is not None:
            self._evaluation.detach()
            self._evaluation = None
            self.idle_until = self.cadence.due_after(self._step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of the loop itself, such as its loss, by tag."""
        with self.guard.contain("loop"):
            self.emitter.emit(Scalars(step=step, values=values, source="loop"))

    def flush(self) -> None:
        """Make what was emitted readable, within a deadline."""
        if self.loop.rank == 0:
            with self.cost.part("flush", component="flush"), self.guard.contain("flush"):
                self.tracker.flush(timeout_s=FLUSH_TIMEOUT_S)

    def state(self, step: int, *, place: Path | None = None) -> dict[str, Any]:
        """For the checkpoint of `step` (in the directory `place`), on rank 0: by name, what each observer and the
        emitter need to continue. Plain JSON."""
        self.emitter.last_word.saved(step, place)
        states = self.emitter.state(step)
        for observer in self.observers:
            with self.guard.contain(observer.name):
                if state := observer.state():
                    states[observer.name] = dict(state)
        return states

    def restore(self, observer: Observer, states: Mapping[str, Any]) -> None:
        """Let `observer` continue from the `state` of a checkpoint. Rank 0 only."""
        with self.guard.contain(observer.name):
            observer.restore(states.get(observer.name, {}))

    def ends(self) -> None:
        """After the last step, once: finish background work and make everything readable.

        The tracker stays open for an evaluation after training, until `close` or the end of the process.
        """
        if self.has_ended:
            return
        self.has_ended = True
        self._detach()
        for observer in self.observers:
            with self.guard.contain(observer.name):
                observer.finish()
        self.emitter.finish(self._step)
        if self.emitter.last_word.text:
            on_console(self.emitter.last_word.on_console(self._where))
        if self.loop.rank == 0 and self.guard.errors:
            logger.warning("Logging had %d errors in this training; see the messages above.", self.guard.errors)
        self.flush()
        self._last_at_exit()

    def close(self) -> None:
        """Another training begins, or the process ends: end this one and close the tracker."""
        atexit.unregister(self._close)
        self._close()

    def _new_capture(self) -> StepCapture | None:
        if not any(observer.looks_inside for observer in self.observers):
            return None
        needs = frozenset().union(*(observer.needs for observer in self.observers))
        if self.loop.replicas > 1:
            self.emitter.report_not_shown([DATA_PARALLEL])
            return None
        return StepCapture(
            adapter=self._training.adapter,
            needs=needs,
            special_ids=self._training.special_ids,
            compiled=self.loop.compiled,
            before_forward=self._observe_batch,
            shared_count=self.loop.counts_labels_of_all_ranks,
        )

    def _observe(self, step: int) -> None:
        if self._capture is None:
            self.emitter.miss_step(step, "no probe is attached")
            return
        seconds = time.perf_counter() - self._step_began
        snapshot = None
        with self.cost.part("snapshot", component="capture"), self.guard.contain("capture"):
            snapshot = self._capture.snapshot(step)
        for part, error in self._capture.errors:
            self.guard.failed(part, error)
        self.emitter.report_not_shown(self._capture.missing if snapshot is None else snapshot.missing)
        self.cost.add("hooks", component="capture", seconds=max(0.0, self._capture.hook_seconds - self._batch_s))
        if snapshot is None:
            self.emitter.miss_step(step, "no forward of the model was observed in this step, or it failed")
            return
        if snapshot.attention is None or np.isnan(snapshot.attention.mass).all():
            self.emitter.ledger.explain("attention/", NO_ATTENTION)
        self.emitter.explain(snapshot, self._training.adapter)
        codec, owners = self._training.codec, self.emitter.owners
        promise_step(self.emitter.ledger, snapshot, self._training.adapter, owners=owners, has_codec=codec is not None)
        frame_rate = None if codec is None else codec.frame_rate
        self.emitter.emit(
            Scalars(step=step, values=self.pace.scalars(snapshot, seconds=seconds, frame_rate=frame_rate))
        )
        self.emitter.collect(snapshot.step, lambda observer: observer.observe(snapshot))

    def _observe_batch(self, view: BatchView) -> None:
        """Emit what is known of a batch before the model sees it: it may refuse the batch."""
        start = time.perf_counter()
        self.emitter.collect(self._step, lambda observer: observer.observe_batch(self._step, view))
        self._batch_s += time.perf_counter() - start  # it is inside of a hook, and charged already
        if view.mismatched:
            # Higgs Audio v2 fills the placeholders of a whole batch in a row: with too few frames a GPU stops without
            # naming the sample, and with a wrong distribution one sample is trained on the codes of another.
            logger.error(
                "Batch of step %d on rank %d: in samples %s the number of audio placeholder tokens differs from the "
                "number of audio frames. The model stops here, or assigns frames to the wrong clip. Expand each clip "
                "to one placeholder per frame of its delay pattern (frames + codebooks + 1), and do not cut samples "
                "at a maximum length.",
                self._step, self.loop.rank, ", ".join(map(str, view.mismatched)),
            )  # fmt: skip
            self.flush()

    def _measure_base(self) -> None:
        self._extra.run(self.loop.step, conditioning_due=True, voices_due=True, part="voices_at_start")
        self.cost.since_last_cycle()  # it does not come again, so that thinning would not save it

    def _report_cost(self, step: int) -> None:
        values = self.cost.report(budget_pct=self.cadence.budget_pct)
        values |= {tags.STRIDE(component=name): float(self.cadence.strides[name]) for name in COMPONENTS}
        unfinished = [waiting for observer in self.observers for waiting in observer.unfinished_steps()]
        rounds_before = min(step - 2 * self.cadence.voice_steps, *unfinished, step)
        self.emitter.settle(step, before=step, rounds_before=rounds_before)
        values[tags.MISSING()] = float(len(self.emitter.ledger.missing))
        values[tags.ERRORS()] = float(self.guard.errors + getattr(self.tracker, "errors", 0))
        self.emitter.emit(Scalars(step=step, values=values))
        self._last_at_exit()

    def _wake(self) -> None:
        self.idle_until = ALWAYS

    def _detach(self) -> None:
        self.evaluation_is_over()
        if self._capture is not None:
            with self.guard.contain("capture"):
                self._capture.detach()

    def _last_at_exit(self) -> None:
        """Run before W&B's exit handler, which ends its service: handlers run in the reverse order of registration."""
        if self.loop.rank == 0:
            atexit.unregister(self._close)
            atexit.register(self._close)

    def _close(self) -> None:
        self._detach()
        if self.is_training and not self.has_ended:
            logger.warning(
                "Training ended before its last step (see the error above); the last step that was begun is %d. What "
                "was logged is kept. A training that resumes from a checkpoint continues this run.",
                self._step,
            )
        self.tracker.close()
