"""The callbacks of the original project by their own names and arguments, for scripts that were written for it.

    from tracker_logging.strategic_logging import InputLoggerCallback, OutputLoggerCallback

    trainer.add_callback(InputLoggerCallback(tokenizer=tokenizer, log_every_n_steps=100))
    trainer.add_callback(OutputLoggerCallback(tokenizer=tokenizer, log_every_n_steps=100))

Guarantees
- The callbacks of one Trainer share one capture and one run, however they are given: `Trainer(callbacks=[…])` or
  `trainer.add_callback`. The smallest `log_every_n_steps` counts for all.
- The run is written for TensorBoard, below `runs` in the Trainer's `output_dir`. The doctor judges it.
- Without a tokenizer the Trainer's `processing_class` decodes.

Voices, other backends and further options: `tracker_logging.strategic_callbacks`.
"""

from __future__ import annotations

import logging
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from tracker_logging.config import LoggingConfig
from tracker_logging.families.processors import ProcessorError, processor_parts
from tracker_logging.integrations.hf_session import RunSession
from tracker_logging.integrations.hf_trainer import StrategicCallback
from tracker_logging.observers.attention import AttentionObserver
from tracker_logging.observers.doctor import DoctorObserver
from tracker_logging.observers.inputs import InputObserver
from tracker_logging.observers.outputs import OutputObserver
from tracker_logging.observers.zero_shot import ZeroShotObserver
from tracker_logging.session.observer import Observer
from tracker_logging.session.session import Session

logger = logging.getLogger("tracker_logging")

# The one object that all callbacks of a Trainer see, and no other Trainer's. Only its fields are saved.
_SHARED = "_tracker_logging_session"


class JoinedSession(RunSession):
    """The session of callbacks that do not know each other. It begins at the first step, when all are known."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[JoinedCallback] = []
        self._callbacks_of: TrainerState | None = None
        self._processing_class: Any = None

    def enlist(self, callback: JoinedCallback, state: TrainerState, *, processing_class: Any) -> None:
        """`callback` takes part in the training that `state` describes."""
        if self._callbacks_of is not state:
            self._callbacks_of, self._callbacks = state, []
        if callback not in self._callbacks:
            self._callbacks.append(callback)
        self._processing_class = processing_class

    def start(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Begin the training for all callbacks. Raises what refuses it."""
        for callback in self._callbacks:
            StrategicCallback.on_train_begin(callback, args, state, control, **kwargs)
        if self.current is not None and not any(isinstance(each, DoctorObserver) for each in self.current.observers):
            self.current.add(DoctorObserver())

    def _begin(self, args: TrainingArguments, state: TrainerState, model: Any) -> Session:
        steps = sorted({callback.log_every_n_steps for callback in self._callbacks})
        if len(steps) > 1:
            logger.warning(
                "log_every_n_steps differs (%s). The callbacks share one capture: all of them log every %d steps.",
                ", ".join(map(str, steps)), steps[0],
            )  # fmt: skip
        self.config = LoggingConfig(every=steps[0])
        tokenizers = [callback.tokenizer for callback in self._callbacks if callback.tokenizer is not None]
        self.processor = tokenizers[0] if tokenizers else usable(self._processing_class)
        return super()._begin(args, state, model)


class JoinedCallback(StrategicCallback):
    """Base of the four. `log_every_n_steps`: step 1 is logged too. Raises `ValueError` if it is below 1."""

    def __init__(self, *, tokenizer: Any = None, log_every_n_steps: int = 100) -> None:
        if log_every_n_steps < 1:
            raise ValueError(f"log_every_n_steps is {log_every_n_steps}: it must be 1 or more.")
        self.session: JoinedSession
        super().__init__(JoinedSession())
        self.tokenizer = tokenizer
        self.log_every_n_steps = log_every_n_steps

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        self._join(state, **kwargs)
        super().on_init_end(args, state, control, model=model, **kwargs)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        self._session = None
        self._join(state, **kwargs)
        if args.eval_on_start:
            self.session.await_evaluation(args, model)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._session is None or not self._session.is_training:
            self.session.start(args, state, control, **kwargs)
        super().on_step_begin(args, state, control, **kwargs)

    def _joined(self, args: TrainingArguments, state: TrainerState, model: Any) -> Session | None:
        self._join(state)
        return super()._joined(args, state, model)

    def _join(self, state: TrainerState, *, processing_class: Any = None, **kwargs: Any) -> None:
        shared = getattr(state, _SHARED, None)
        if shared is None:
            setattr(state, _SHARED, self.session)
        else:
            self.session = shared
        self.session.enlist(self, state, processing_class=processing_class or self.session.processor)


class InputLoggerCallback(JoinedCallback):
    """What the model is given. See `tracker_logging.InputLoggerCallback`."""

    def __init__(self, tokenizer: Any = None, log_every_n_steps: int = 100) -> None:
        super().__init__(tokenizer=tokenizer, log_every_n_steps=log_every_n_steps)

    def make_observer(self) -> Observer:
        return InputObserver()


class OutputLoggerCallback(JoinedCallback):
    """What the model predicts. See `tracker_logging.OutputLoggerCallback`."""

    def __init__(self, tokenizer: Any = None, log_every_n_steps: int = 100) -> None:
        super().__init__(tokenizer=tokenizer, log_every_n_steps=log_every_n_steps)

    def make_observer(self) -> Observer:
        return OutputObserver()


class SharedAttentionLoggerCallback(JoinedCallback):
    """Attention, FFN paths, gradients and updates. See `tracker_logging.SharedAttentionLoggerCallback`."""

    def __init__(self, log_every_n_steps: int = 100) -> None:
        super().__init__(log_every_n_steps=log_every_n_steps)

    def make_observer(self) -> Observer:
        return AttentionObserver()


class ZeroShotVerificationLoggerCallback(JoinedCallback):
    """Whether cloning works. The original has no samples to generate voices from: see `strategic_callbacks`."""

    def __init__(self, log_every_n_steps: int = 100) -> None:
        super().__init__(log_every_n_steps=log_every_n_steps)

    def make_observer(self) -> Observer:
        return ZeroShotObserver(samples=())


def usable(processing_class: Any) -> Any:
    """The Trainer's `processing_class` if it has a part that decodes, else None."""
    try:
        processor_parts(processing_class)
    except ProcessorError:
        return None
    return processing_class
