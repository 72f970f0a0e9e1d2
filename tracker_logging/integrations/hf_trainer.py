"""The Hugging Face Trainer: its callbacks' events become the verbs of a session.

    session = LoggingSession(tracker=TensorBoardTracker(Path("runs/a")), processor=processor, every=100)
    trainer = Trainer(..., callbacks=[OutputLoggerCallback(session), InputLoggerCallback(session)])

Guarantees
- Callbacks that share a `LoggingSession` share one capture and one tracker. Each of them also works alone.
- Every training is a session of its own: a second `train()`, a trial of `hyperparameter_search`, a retry of
  `auto_find_batch_size`, and the same callbacks in another Trainer.
- An evaluation is observed wherever the Trainer evaluates: by steps, by epochs, at the start, in `evaluate()` and
  `predict()` before and after training; each set of a dictionary under its own name.
- The Trainer's own numbers (loss, learning rate, evaluation) are written to the same run.
- Between due steps a callback costs one integer comparison per event.
"""

from __future__ import annotations

import logging
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tracker_logging.config import FailOn, LoggingConfig
from tracker_logging.data.sample import VoiceSample
from tracker_logging.doctor.finding import Finding
from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import RULES
from tracker_logging.families import ModelAdapter
from tracker_logging.integrations.checkpoint_state import read_state, write_state
from tracker_logging.observers.attention import AttentionObserver
from tracker_logging.observers.doctor import DoctorObserver
from tracker_logging.observers.inputs import InputObserver
from tracker_logging.observers.outputs import OutputObserver
from tracker_logging.observers.zero_shot import ZeroShotObserver
from tracker_logging.session.gate import EvaluationGate
from tracker_logging.session.observer import Observer
from tracker_logging.session.session import Loop, Session
from tracker_logging.trackers.base import Tracker
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")

OpenTracker = Callable[[TrainingArguments, TrainerState], Tracker]


class LoggingSession:
    """What the callbacks of one Trainer share: how to log, and the `Session` of the training that runs.

    `tracker`: a tracker, or a function that opens one for each training (rank 0 only). `processor` gives `.tokenizer`
    and `.codec`; without it nothing is decoded. Further keyword arguments are those of `LoggingConfig`.
    Raises `ValueError` for a wrong option.
    """

    def __init__(
        self,
        *,
        tracker: Tracker | OpenTracker | None,
        processor: Any = None,
        adapter: ModelAdapter | None = None,
        **options: Any,
    ) -> None:
        self.config = LoggingConfig.of(options)
        self.processor = processor
        self.adapter = adapter
        self.directory: Path | None = None  # of the run, on rank 0, where `open_tracker` chooses one
        self.current: Session | None = None
        self.last_member: StrategicCallback | None = None
        self._tracker = tracker
        self._trainer_state: TrainerState | None = None
        self._members: dict[int, Observer | None] = {}
        self._done: dict[str, object] = {}
        self._gate: EvaluationGate | None = None

    @property
    def tracker(self) -> Tracker:
        """The tracker of the training that runs, or of the last one. Raises `RuntimeError` before the first."""
        return self._session().tracker

    @property
    def errors(self) -> int:
        """Errors of logging in the training that runs, or in the last one."""
        return self._session().guard.errors

    def flush(self) -> None:
        """Make what was emitted readable, within a deadline."""
        self._session().flush()

    def open_tracker(self, args: TrainingArguments, state: TrainerState) -> Tracker | None:
        """The tracker of a training that begins (rank 0). Raises `ValueError`, which refuses the training."""
        return (
            self._tracker if self._tracker is None or isinstance(self._tracker, Tracker) else self._tracker(args, state)
        )

    def join(self, callback: StrategicCallback, args: TrainingArguments, state: TrainerState, model: Any) -> Session:
        """The session of the training or evaluation that `state` describes, with the observer of `callback`.

        The callback that calls first makes it. Raises what refuses the training.
        """
        session = self.current
        if session is None or not self._is_of(session, state, model):
            session = self._begin(args, state, model)
        if id(callback) not in self._members:
            observer = callback.make_observer()
            self._members[id(callback)] = observer
            self.last_member = callback
            if observer is not None:
                session.add(observer)
                if state.global_step > 0 and session.loop.rank == 0:
                    session.restore(observer, read_state(args, state).observers)
        return session

    def observer_of(self, callback: StrategicCallback) -> Observer | None:
        """The observer of `callback` in the training that runs, or in the last one."""
        return self._members.get(id(callback))

    def is_first(self, event: str, key: object) -> bool:
        """Whether this is the first call for an event, of which every callback is told."""
        if self._done.get(event) == key:
            return False
        self._done[event] = key
        return True

    def await_evaluation(self, model: Any) -> None:
        """Observe the next evaluation outside training, for which the Trainer has no event before its first batch."""
        if self._gate is None and isinstance(model, nn.Module):
            self._gate = EvaluationGate(model, adapter=self.adapter)

    def take_evaluation(self) -> EvaluationGate | None:
        """The gate of `await_evaluation`, which is closed by this."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.close()
        return gate

    def _begin(self, args: TrainingArguments, state: TrainerState, model: Any) -> Session:
        if self.current is not None:
            # A tracker that the user made serves the next training too.
            self.current.ends() if isinstance(self._tracker, Tracker) else self.current.close()
        self.current, self._trainer_state = None, state
        self._members.clear()
        self._done.clear()
        self.current = Session(
            model,
            tracker=self.open_tracker(args, state) if args.process_index == 0 else None,
            config=self.config,
            loop=Loop(
                rank=args.process_index,
                world_size=args.world_size,
                step=state.global_step,
                compiled=bool(args.torch_compile),
                counts_labels_of_all_ranks=args.average_tokens_across_devices,
            ),
            processor=self.processor,
            adapter=self.adapter,
        )
        return self.current

    def _is_of(self, session: Session, state: TrainerState, model: Any) -> bool:
        """The Trainer makes a new state for each training. One that follows an evaluation continues its session."""
        if state is not self._trainer_state and not session.is_training and session.model is model:
            self._trainer_state = state
        return state is self._trainer_state

    def _session(self) -> Session:
        if self.current is None:
            raise RuntimeError("No training has begun with these callbacks.")
        return self.current


class StrategicCallback(TrainerCallback):  # type: ignore[misc]  # untyped where transformers is
    """Base of the public callbacks, and the whole of the Trainer's integration.

    Alone it logs the Trainer's own numbers; `make_observer` adds what a subclass observes. Every callback translates
    every event, and the session does the work for the one that calls first.
    """

    def __init__(self, session: LoggingSession) -> None:
        self.session = session
        self._session: Session | None = None
        self._step = -1
        self._written: dict[str, float] = {}

    def make_observer(self) -> Observer | None:
        """A new observer, for a training that begins."""
        return None

    @property
    def observer(self) -> Observer | None:
        """The observer of the training that runs, or of the last one."""
        return self.session.observer_of(self)

    # --- the training ------------------------------------------------------------------------------------------------

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        self.session.await_evaluation(model)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        self.session.take_evaluation()
        self._step, self._written = -1, {}
        self._session = session = self.session.join(self, args, state, model)
        session.is_training = True
        if args.eval_on_start:
            session.evaluation_begins()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        session = self._session
        if session is None:
            return
        if self.session.last_member is self:
            session.pace.step_begins()
        if state.global_step + 1 >= session.idle_until:
            session.step_begins(state.global_step + 1)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        session = self._session
        if session is not None and session.is_attached:
            session.before_optimizer(kwargs.get("optimizer"))

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        session = self._session
        if session is not None and session.is_observing:
            session.after_optimizer(kwargs.get("optimizer"))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        session = self._session
        if session is None:
            return
        if state.global_step >= session.idle_until or control.should_training_stop:
            session.step_ends(state.global_step, last=control.should_training_stop)
            self._stop_if_asked(session, control)
        if control.should_evaluate:
            session.evaluation_begins()
        if control.should_save and not control.should_log:
            self._flush_before_saving(session, state)
        if self.session.last_member is self:
            session.pace.step_ended()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        session = self._session
        if session is None:
            return
        if control.should_training_stop:  # early stopping; the best weights are not loaded yet
            session.step_ends(state.global_step, last=True)
        if control.should_evaluate:
            session.evaluation_begins()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        session = self._session
        if session is None:
            return
        if args.load_best_model_at_end and state.best_model_checkpoint and state.best_global_step:
            session.weights_loaded(step=state.best_global_step)
        else:
            session.step_ends(state.global_step, last=True)
        session.ends()
        self._stop_if_asked(session, control)
        self.session.await_evaluation(model)

    def _stop_if_asked(self, session: Session, control: TrainerControl) -> None:
        if session.stop_reason is not None:
            control.should_training_stop = True

    # --- evaluation, logs, checkpoints -------------------------------------------------------------------------------

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        session = self._joined(args, state, model)
        if session is None:
            return
        # The same dictionary goes to every callback; its run time tells it from that of another evaluation.
        if self.session.is_first("evaluate", [value for key, value in (metrics or {}).items() if "runtime" in key]):
            gate = self.session.take_evaluation()
            if gate is not None and gate.capture is not None:
                session.evaluation_begins(gate.capture)
            session.evaluation_ends(state.global_step, name=evaluation_name(metrics or {}))
            if session.is_training and not session.has_ended:
                session.evaluation_begins()  # another set of a dictionary may follow
            else:
                self.session.await_evaluation(model)
        if self.session.last_member is self:
            session.pace.step_ended()

    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.on_evaluate(args, state, control, metrics=metrics, **kwargs)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        from transformers.integrations import rewrite_logs

        session = self._joined(args, state, model)
        if session is None:
            return
        if self.session.is_first("log", len(state.log_history)):
            values = {key: number for key, value in (logs or {}).items() if (number := as_number(value)) is not None}
            session.log(state.global_step, self._new(state.global_step, rewrite_logs(values)))
            if control.should_save:
                self._flush_before_saving(session, state)
        if self.session.last_member is self:
            session.pace.step_ended()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        session = self._session
        if session is None:
            return
        if self.session.is_first("save", state.global_step):
            observers = session.state()  # before the flush: what is finished by then is flushed
            session.flush()
            if session.loop.rank == 0:
                with session.guard.contain("checkpoint"):
                    write_state(args, state, run=self.session.directory, tracker=session.tracker, observers=observers)
        if self.session.last_member is self:
            session.pace.step_ended()

    def _joined(self, args: TrainingArguments, state: TrainerState, model: Any) -> Session | None:
        """The session of the training, or of an evaluation before it; None where logging cannot begin."""
        if isinstance(model, nn.Module):
            try:
                self._session = self.session.join(self, args, state, model)
            except Exception as error:  # only a training may be refused
                logger.warning("An evaluation before training is not logged (%s: %s).", type(error).__name__, error)
        return self._session

    def _flush_before_saving(self, session: Session, state: TrainerState) -> None:
        """Write what was logged up to a checkpoint before the checkpoint: a kill in between loses no step."""
        if self.session.is_first("flush", state.global_step):
            session.flush()

    def _new(self, step: int, values: Mapping[str, float]) -> dict[str, float]:
        """The Trainer logs `epoch` with everything: a value is written once per step, another value again."""
        if step != self._step:
            self._step, self._written = step, {}
        new = {tag: value for tag, value in values.items() if self._written.get(tag) != value}
        self._written |= new
        return new


class InputLoggerCallback(StrategicCallback):
    """What the model is given: decoded samples, tensors, segments, labels, clips, violations. See `InputObserver`."""

    def make_observer(self) -> Observer:
        return InputObserver()


class OutputLoggerCallback(StrategicCallback):
    """What the model predicts, teacher-forced. See `OutputObserver`."""

    def make_observer(self) -> Observer:
        return OutputObserver()


class SharedAttentionLoggerCallback(StrategicCallback):
    """Attention, FFN paths, gradients and updates. See `AttentionObserver`.

    `gradient_conflict` adds the cosine between the gradients of the text and the audio loss in the last shared layers,
    which costs an extra forward and backward of one sample per logged step.
    """

    def __init__(self, session: LoggingSession, *, gradient_conflict: bool = False) -> None:
        super().__init__(session)
        self._gradient_conflict = gradient_conflict

    def make_observer(self) -> Observer:
        return AttentionObserver(gradient_conflict=self._gradient_conflict)


class ZeroShotVerificationLoggerCallback(StrategicCallback):
    """Fixed prompts, generated and compared with the real voice. See `ZeroShotObserver`.

    The prompts are chosen from `samples`; without samples or a processor no voice is generated.
    """

    def __init__(
        self, session: LoggingSession, *, samples: Sequence[VoiceSample], settings: VoiceSettings | None = None
    ) -> None:
        super().__init__(session)
        self._samples = samples
        self._settings = settings

    def make_observer(self) -> Observer:
        return ZeroShotObserver(samples=self._samples, settings=self._settings)


class DoctorCallback(StrategicCallback):
    """Findings in plain words while training runs. It must come after the callbacks whose numbers it judges.

    `fail_on`: "error" or "warning" stops the training when a finding of that level opens. See `DoctorObserver`.
    """

    def __init__(self, session: LoggingSession, *, fail_on: FailOn = "never", rules: Sequence[Rule] = RULES) -> None:
        super().__init__(session)
        self._fail_on = fail_on
        self._rules = rules
        DoctorObserver(fail_on=fail_on, rules=rules)  # refuse wrong arguments now

    def make_observer(self) -> Observer:
        return DoctorObserver(fail_on=self._fail_on, rules=self._rules)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings of the training that runs, or of the last one (rank 0; empty on other ranks)."""
        return self.observer.findings if isinstance(self.observer, DoctorObserver) else ()


def failed_by(callbacks: Iterable[object]) -> str | None:
    """The finding for which a doctor among `callbacks` stopped training or failed it; None without one."""
    observers = (callback.observer for callback in callbacks if isinstance(callback, StrategicCallback))
    return next((observer.stop_reason for observer in observers if observer and observer.stop_reason), None)


def run_directory(callbacks: Iterable[object]) -> Path | None:
    """Where the callbacks' last training was logged (rank 0); None where nothing was written."""
    sessions = (callback.session for callback in callbacks if isinstance(callback, StrategicCallback))
    return next((session.directory for session in sessions), None)


def evaluation_name(metrics: Mapping[str, Any]) -> str:
    """Which set was evaluated, from the names of its metrics.

    >>> evaluation_name({"eval_loss": 1.0, "eval_runtime": 2.0}), evaluation_name({"eval_unseen_runtime": 2.0})
    ('eval', 'unseen')
    >>> evaluation_name({"test_loss": 1.0, "test_runtime": 2.0})
    'test'
    """
    prefix = next((key.removesuffix("_runtime") for key in metrics if key.endswith("_runtime")), "eval")
    return prefix.removeprefix("eval_") if prefix != "eval" else prefix


def as_number(value: Any) -> float | None:
    """A logged value as a float, also of a NumPy scalar or a tensor with one element; None for anything else."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value)
    return float(value) if isinstance(value, numbers.Real) else None
