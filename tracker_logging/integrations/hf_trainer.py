"""The Hugging Face Trainer: its callbacks' events become the verbs of a session.

    trainer = Trainer(..., callbacks=strategic_callbacks(processor=processor, report_to=["tensorboard"], every=100))

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tracker_logging.config import FailOn, LoggingConfig
from tracker_logging.data.sample import VoiceSample
from tracker_logging.doctor.finding import Finding
from tracker_logging.doctor.rule import Rule
from tracker_logging.doctor.rules import RULES
from tracker_logging.families import ModelAdapter
from tracker_logging.integrations.checkpoint_state import checkpoint_content, saved_checkpoint, write_state
from tracker_logging.integrations.evaluation_metrics import EvaluationMetrics, evaluated_set
from tracker_logging.integrations.factory import check_config, observer_arguments, with_options
from tracker_logging.integrations.hf_session import LoggingSession, RunSession, checkpoint_directory
from tracker_logging.integrations.logged_numbers import as_number
from tracker_logging.observers.attention import AttentionObserver
from tracker_logging.observers.doctor import DoctorObserver
from tracker_logging.observers.inputs import InputObserver
from tracker_logging.observers.outputs import OutputObserver
from tracker_logging.observers.zero_shot import ZeroShotObserver
from tracker_logging.session.observer import Observer
from tracker_logging.session.session import Session
from tracker_logging.voices.settings import VoiceSettings

logger = logging.getLogger("tracker_logging")


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
        self.session.await_evaluation(args, model)

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
        self.session.await_evaluation(args, model)

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
        self._evaluation_ends(session, state, metrics or {})
        if self.session.is_first("evaluate", self._identity(state, metrics or {})):
            if session.is_training and not session.has_ended:
                session.evaluation_begins()  # another set of a dictionary may follow
            else:
                self.session.await_evaluation(args, model)
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
        entry = self.session.log_number(state, logs)
        if evaluated_set(logs or {}) is not None and session.is_training and not session.has_ended:
            self._evaluation_ends(session, state, logs or {})
        if self.session.is_first("log", entry):
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
            directory = checkpoint_directory(args, state)
            # Before the flush: what is finished by then is flushed.
            observers = session.state(state.global_step, place=directory)
            session.flush()
            if session.loop.rank == 0:
                with session.guard.contain("checkpoint"):
                    content = checkpoint_content(
                        step=state.global_step, run=self.session.directory, tracker=session.tracker, observers=observers
                    )
                    write_state(directory, content)
                    if directory.is_dir():
                        session.emitter.emit(saved_checkpoint(directory, step=state.global_step))
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

    def _evaluation_ends(self, session: Session, state: TrainerState, metrics: Mapping[str, Any]) -> None:
        """The Trainer logs an evaluation, and then tells of it: the first of both calls ends it."""
        if self.session.is_first("evaluation", self._identity(state, metrics)):
            gate = self.session.take_evaluation()
            if gate is not None and gate.capture is not None:
                session.evaluation_begins(gate.capture)
            elif gate is not None and (error := gate.error) is not None:
                logger.warning("An evaluation outside training is not shown (%s: %s).", type(error).__name__, error)
            session.evaluation_ends(state.global_step, name=evaluation_name(metrics))

    def _identity(self, state: TrainerState, metrics: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """What tells one evaluation from the next, and is the same in every call about it and for every callback.

        The Trainer rounds run times to 0.1 ms, so that two quick evaluations can share one; it logs each evaluation,
        but no prediction; and callbacks between ours may add metrics.
        """
        return self.session.log_number(state), {
            key: value for key, value in metrics.items() if key.endswith(("_loss", "_runtime", "_samples_per_second"))
        }

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
        self._metrics = EvaluationMetrics(at_eval=session.config.voice_at_eval)

    def make_observer(self) -> Observer:
        return ZeroShotObserver(samples=self._samples, settings=self._settings)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *rest: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, *rest, **kwargs)
        if isinstance(self.observer, ZeroShotObserver):
            self._metrics.begin(args, state, self.observer)

    def on_log(self, args: TrainingArguments, state: TrainerState, *rest: Any, **kwargs: Any) -> None:
        super().on_log(args, state, *rest, **kwargs)
        if self._session is not None and self._session.is_training:  # before it, not all callbacks have joined yet
            self._metrics.add(kwargs.get("logs"), self._session, state)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, *rest: Any, **kwargs: Any) -> None:
        metrics = kwargs.get("metrics")
        super().on_evaluate(args, state, *rest, **kwargs)
        if self._session is not None:
            self._metrics.check_order(metrics, args)
            self._metrics.add(metrics, self._session, state)


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


CALLBACKS: Mapping[str, Callable[..., StrategicCallback]] = {
    "inputs": InputLoggerCallback,
    "outputs": OutputLoggerCallback,
    "attention": SharedAttentionLoggerCallback,
    "zero_shot": ZeroShotVerificationLoggerCallback,
    "doctor": DoctorCallback,
}


@with_options
def strategic_callbacks(
    *,
    processor: Any = None,
    voice_samples: Sequence[VoiceSample] = (),
    voice_settings: VoiceSettings | None = None,
    adapter: ModelAdapter | None = None,
    config: Mapping[str, object] | None = None,
    **options: Any,
) -> list[TrainerCallback]:
    """Callbacks for `Trainer(callbacks=…)` that share one capture and one tracker.

    `options` are those of `LoggingConfig`: `report_to`, `every`, `loggers`, `logging_dir`, `run_name`, …. With
    `loggers=()` only the Trainer's own numbers are written. `voice_samples`: the evaluation samples from which the
    voice prompts are chosen; without them no voice is generated. `voice_settings`: how voices are generated and
    scored. `config`: plain values to show beside the run. With `doctor_fail_on`, `failed_by(callbacks)` names the
    finding that stopped the training.
    Raises `TypeError` for an unknown option, `ValueError` for a wrong value and for a backend that is not installed.
    """
    settings = LoggingConfig.of(options)
    check_config(settings)
    session = RunSession(run_config=config, processor=processor, adapter=adapter, **options)
    chosen = observer_arguments(settings, voice_samples=voice_samples, voice_settings=voice_settings)
    return [CALLBACKS[name](session, **arguments) for name, arguments in chosen.items()] or [StrategicCallback(session)]


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

    >>> evaluation_name({"eval_runtime": 2.0, "eval_steps_per_second": 1.0})
    'eval'
    >>> evaluation_name({"eval_unseen_runtime": 2.0, "eval_unseen_steps_per_second": 1.0})
    'unseen'
    >>> evaluation_name({"test_loss": 1.0, "test_runtime": 2.0, "test_steps_per_second": 1.0})
    'test'
    """
    prefix = evaluated_set(metrics) or "eval"
    return prefix.removeprefix("eval_") if prefix != "eval" else prefix
