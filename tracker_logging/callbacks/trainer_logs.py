"""The Trainer's own numbers (loss, learning rate, gradient norm, evaluation) in the same run as ours.

The Trainer's TensorBoard reporter closes its file before `on_train_end` and opens a second one for a later
`evaluate()`; one writer for both keeps one file per run. Where the Trainer reports to one of our backends itself
(`TrainingArguments.report_to`), this callback is silent: each number is written once. The Trainer logs `epoch` with
everything, several times at one step; the first is kept.

It also measures how long the Trainer waits for its batches, at each step by two looks at the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from tracker_logging.callbacks.base import StrategicCallback
from tracker_logging.callbacks.session import LoggingSession
from tracker_logging.events import Scalars


class TrainerLogsCallback(StrategicCallback):
    """Forwards `on_log`. Keys are those of the Trainer's own reporters: `train/loss`, `eval/loss`, …

    It comes after the other callbacks, so that their work at the end of a step is not taken for waiting.
    """

    name = "trainer_logs"

    def __init__(self, session: LoggingSession, *, backends: frozenset[str]) -> None:
        super().__init__(session)
        self._backends = backends
        self._step = -1
        self._written: set[str] = set()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        self.session.pace.step_begins()
        if self._leads:
            super().on_step_begin(args, state, control, model=model)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if self._leads:
            super().on_step_end(args, state, control, model=model)
        self.session.pace.step_ended()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        super().on_evaluate(args, state, control)
        self.session.pace.step_ended()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        super().on_save(args, state, control)
        self.session.pace.step_ended()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        from transformers.integrations import rewrite_logs

        self.session.pace.step_ended()
        if self._backends & set(args.report_to):
            return
        with self.session.fence.guard(self.name):
            if state.global_step != self._step:
                self._step, self._written = state.global_step, set()
            numbers = {key: float(value) for key, value in (logs or {}).items() if isinstance(value, int | float)}
            new = {key: value for key, value in rewrite_logs(numbers).items() if key not in self._written}
            self._written |= new.keys()
            self.session.emit(Scalars(step=state.global_step, values=new))
