"""What an observer is: it turns what was measured into events, and knows no loop, no hook and no backend.

    class LossObserver(Observer):
        name = "loss"
        needs = frozenset({"tokens"})

        def observe(self, snapshot):
            yield Scalars(step=snapshot.step, values={tags.NLL_MEAN(): snapshot.tokens.mean(snapshot.tokens.nll)})

Guarantees
- An observer is made for one training and sees one model.
- Methods run on the training thread unless their docstring names another one. What they raise is contained by the
  session; only `begin` may refuse a training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from torch import nn

from tracker_logging.data.codec import AudioCodec
from tracker_logging.events import Event
from tracker_logging.families import BatchView, ModelAdapter, adapter_for
from tracker_logging.families.processors import ProcessorParts
from tracker_logging.guard import ErrorGuard
from tracker_logging.probes.snapshot import EvaluationSnapshot, StepSnapshot
from tracker_logging.tags import Tag


@dataclass(frozen=True)
class StepContext:
    """The state after `step` optimizer steps. `model` is not wrapped by DDP."""

    step: int
    model: nn.Module
    conditioning_due: bool
    voices_due: bool


@dataclass(frozen=True)
class Later:
    """Events that take long to make, such as decoded clips.

    `make` runs on the session's worker thread: it may only read values that no longer change.
    """

    make: Callable[[], Iterable[Event]]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What observers know of the training that they observe.

    `model` is not wrapped by DDP. `parts`: tokenizer, codec and prompts of the processor that the user passed. `emit`
    takes an event on any thread and drops it on every rank but 0. `wake` asks for a call of `step_ended` after the
    running step, from any thread. `planned_steps`: as of `Loop`.
    """

    model: nn.Module
    parts: ProcessorParts
    rank: int
    world_size: int
    guard: ErrorGuard
    emit: Callable[[Event], None]
    wake: Callable[[], None]
    given_adapter: ModelAdapter | None = None
    planned_steps: int | None = None

    @cached_property
    def adapter(self) -> ModelAdapter:
        """The adapter of the model's family. Raises `UnknownModelError`, and `ValueError` for an incomplete one."""
        return adapter_for(self.model, given=self.given_adapter, parts=self.parts)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the processor, or None."""
        return self.parts.tokenizer

    @property
    def codec(self) -> AudioCodec | None:
        """The codec of the processor, or None."""
        return self.parts.codec

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of the tokens that are structure and not text; empty without a tokenizer.

        `all_special_ids` holds begin, end and padding only; those of a chat template are among the added tokens.
        """
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        named = getattr(self.tokenizer, "all_special_ids", ())
        return frozenset(named) | {token_id for token_id, token in added.items() if token.special}


class Observer:
    """Base of all observers: it observes nothing. Override what is needed."""

    name: ClassVar[str]
    """Names the observer in messages and in the cost of logging."""
    needs: frozenset[str] = frozenset()
    """What has to be captured at logged steps, of `probes.probe_set.NEEDS`."""
    stop_reason: str | None = None
    """Set by an observer, on all ranks at the same step, to stop the training."""

    training: Training

    def begin(self, training: Training) -> None:
        """Once before the first step, on all ranks. What it raises refuses the training."""
        self.training = training

    def observe_batch(self, step: int, view: BatchView) -> Iterable[Event]:
        """Events of the first batch of a logged step, and of a batch that the model may refuse, before the forward.

        `view` is on the model's device. Rank 0 only.
        """
        return ()

    def observe(self, snapshot: StepSnapshot) -> Iterable[Event | Later]:
        """Events of a logged step. Rank 0 only."""
        return ()

    def observe_evaluation(self, snapshot: EvaluationSnapshot) -> Iterable[Event | Later]:
        """Events of a whole evaluation. Rank 0 only."""
        return ()

    def after_step(self, context: StepContext) -> Iterable[Event]:
        """Extra forwards where the conditioning gap or the voices are due, inside `isolated(model)`.

        All ranks; the events of rank 0 count.
        """
        return ()

    def promises(self, context: StepContext) -> Iterable[Tag]:
        """The families of tags that `after_step` will emit for this step, also later and from another thread."""
        return ()

    def unfinished_steps(self) -> Iterable[int]:
        """The steps whose promised events still come from another thread. Rank 0 only."""
        return ()

    def evaluation_numbers(self, context: StepContext) -> Mapping[str, float]:
        """For the loop's own metrics of an evaluation, by name, after the `after_step` of the same step.

        All ranks call it, and what rank 0 returns counts. It may wait a bounded time.
        """
        return {}

    def hear(self, event: Event) -> None:
        """Every event that is emitted, on the thread that emits it. Rank 0 only."""

    def step_ended(self, step: int, *, logged: bool, last: bool) -> None:
        """After everything of a step was emitted: at steps that were due, and after `wake`. All ranks.

        `last`: the training stops here, and `finish` follows.
        """

    def state(self) -> Mapping[str, Any]:
        """Plain JSON for a checkpoint: what the next process needs in order to continue. Rank 0 only."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """In a resumed training, after `begin`: continue from the `state` of the checkpoint. Rank 0 only."""

    def finish(self) -> None:
        """Once after the last step, on all ranks: finish background work within a bounded time."""

    @property
    def looks_inside(self) -> bool:
        """Whether it needs the model's adapter: it captures steps, or runs extra forwards."""
        return bool(self.needs) or type(self).after_step is not Observer.after_step
