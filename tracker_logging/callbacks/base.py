"""What the four callbacks share: when to look, and what a subclass has to write.

A subclass says what it needs and turns what was seen into events. It sees no hook, no backend and no rank:

    class OutputLoggerCallback(StrategicCallback):
        name = "outputs"
        needs = frozenset({"tokens"})

        def observe(self, snapshot):
            yield Scalars(step=snapshot.step, values={NLL_MEAN(): snapshot.tokens.nll_mean})

Callbacks that share a `LoggingSession` share one capture, and one of them leads the session through the steps. Between
logged steps a handler costs that one a comparison, and the others less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tracker_logging.events import Event
from tracker_logging.families import BatchView

if TYPE_CHECKING:
    from tracker_logging.callbacks.session import LoggingSession
    from tracker_logging.probes.snapshot import EvaluationSnapshot, StepSnapshot


@dataclass(frozen=True)
class StepContext:
    """A finished optimizer step: `step` steps are done; `model` is what the Trainer gave (DDP already unwrapped)."""

    step: int
    model: nn.Module
    logged: bool
    voices_due: bool


@dataclass(frozen=True)
class Later:
    """Events that take time to make, such as decoded clips.

    `make` runs on the session's worker thread, so it may only touch values that no longer change.
    """

    make: Callable[[], Iterable[Event]]


class StrategicCallback(TrainerCallback):  # type: ignore[misc]  # untyped where transformers is
    """Base of the four callbacks. All methods to override run on the training thread and may raise: it is contained."""

    name: ClassVar[str]
    needs: frozenset[str] = frozenset()
    _leads = False

    def __init__(self, session: LoggingSession) -> None:
        self.session = session
        session.register(self)

    @property
    def looks_inside(self) -> bool:
        """Whether it needs to know the model's family: it watches steps, or runs extra forwards."""
        return bool(self.needs) or type(self).after_step is not StrategicCallback.after_step

    def prepare(self) -> None:
        """Once before the first step, on all ranks. What it raises stops the start of training."""

    def observe_batch(self, step: int, view: BatchView) -> Iterable[Event]:
        """Events of the first batch of a logged step, and of one that the model may refuse, before the model sees it.

        `view` is on the model's device. Rank 0 only.
        """
        return ()

    def observe(self, snapshot: StepSnapshot) -> Iterable[Event | Later]:
        """Events of a logged step. Rank 0 only."""
        return ()

    def observe_evaluation(self, snapshot: EvaluationSnapshot) -> Iterable[Event]:
        """Events of a whole evaluation. Rank 0 only."""
        return ()

    def after_step(self, context: StepContext) -> Iterable[Event]:
        """Extra forwards after a logged or voice step, inside `isolated(model)`. All ranks; events count on rank 0."""
        return ()

    def waiting(self) -> Mapping[str, Any]:
        """Work on earlier steps whose events are still to come, for a checkpoint: plain JSON by "GROUP/STEP".

        GROUP is the first part of the tags of those events. Rank 0 only.
        """
        return {}

    def take_up(self, waiting: Mapping[str, Any]) -> None:
        """In a resumed training after `prepare`: do the work that was `waiting` in its checkpoint. Rank 0 only."""

    def finish(self) -> None:
        """Once after the last step, on all ranks: wait for work of one's own."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        self._leads = self.session.begin(self, args, state, model)
        self.prepare()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if self._leads and state.global_step + 1 == self.session.next_due:
            self.session.attach(model)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._leads and self.session.attached:
            self.session.before_update(kwargs.get("optimizer"))

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._leads and self.session.observing:
            self.session.after_update(kwargs.get("optimizer"))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if not self._leads:
            return
        if state.global_step == self.session.next_due or self.session.observing or control.should_training_stop:
            self.session.step_done(model, state, last=control.should_training_stop)
        if control.should_evaluate:
            self.session.evaluation_begins(model)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.session.evaluation_done(state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.session.flush()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        self.session.step_done(model, state, last=True)
        self.session.end()
