"""Statistics of predictions over a whole evaluation set.

    capture = EvaluationCapture(adapter=adapter)
    capture.attach(model)                           # before the first evaluation batch, on every rank
    snapshot = capture.snapshot(step, name="eval")  # after the last one, on every rank: one collective

Means are over all labelled positions that the model got; forwards without labels, as of generation, do not count. If
the number of samples is not divisible by the number of ranks, the Trainer repeats some samples to fill the last batch,
and those count twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from tracker_logging.families.base import BatchView, ModelAdapter
from tracker_logging.families.batches import named_arguments
from tracker_logging.probes.hooks import Hooks
from tracker_logging.probes.labels import NO_LABELS, generates, has_labels, has_own_labels, labelled_view
from tracker_logging.probes.parallelism import parallelism_of
from tracker_logging.probes.reduce import sum_over_ranks
from tracker_logging.probes.side_forward import run_quietly
from tracker_logging.probes.skipped_heads import SkippedHeads
from tracker_logging.probes.snapshot import EvaluationSnapshot
from tracker_logging.probes.statistics import token_statistics
from tracker_logging.probes.tokens import TokenProbe

PART = "evaluation"


class EvaluationCapture:
    """Captures one evaluation: the forwards in evaluation mode. Guarantees as `StepCapture`.

    `compiled`: the model runs through `torch.compile`, where hooks inside it do not fire reliably and cause
    recompilation. Each batch then runs through one more, eager forward, which about doubles the time of the evaluation
    (`hook_seconds`). With sharded parameters it is reported missing: a rank that fails would leave the others waiting.
    """

    def __init__(self, *, adapter: ModelAdapter, compiled: bool = False) -> None:
        self._adapter = adapter
        self._compiled = compiled
        self._hooks = Hooks(compiled=compiled, device=next(adapter.core.parameters()).device)
        self._inner_hooks = Hooks() if compiled else self._hooks
        self._probe = TokenProbe(adapter, keep_sample=False)
        self._skipped = SkippedHeads(adapter, self._probe)
        self._missing: set[str] = set()
        self._is_labelled = False  # whether a forward had labels
        self._no_view: Exception | None = None  # of a forward without labels
        self._view: BatchView | None = None
        self._in_extra_forward = False
        self._model: nn.Module | None = None

    @property
    def hook_seconds(self) -> float:
        """Time that hooks added to the forwards, see `StepCapture.hook_seconds`."""
        return self._hooks.seconds

    @property
    def errors(self) -> list[tuple[str, Exception]]:
        """(part, exception) of each failure."""
        return self._hooks.errors if not self._compiled else [*self._hooks.errors, *self._inner_hooks.errors]

    def attach(self, model: nn.Module) -> None:
        """Observe `model` until `snapshot` or `detach`."""
        self.detach()
        self._model = model
        parallelism = parallelism_of(model)
        if self._compiled and parallelism.gathers:
            self._missing.add(f"evaluation statistics: torch.compile with {parallelism.name}")
            return
        if "tokens" in parallelism.not_shown:
            self._missing.add(parallelism.not_shown["tokens"])
            return
        self._hooks.before(model, PART, self.forward_begins)
        if not self._compiled:
            self._hooks.run(PART, self._attach_heads)
            self._hooks.after(model, PART, self._forward_ends)

    def detach(self) -> None:
        """Remove everything from the model. Safe at any time."""
        self._inner_hooks.detach()
        self._hooks.detach()

    def snapshot(self, step: int, *, name: str = "eval") -> EvaluationSnapshot | None:
        """Statistics of the evaluation set `name` over all batches and ranks, after `step` optimizer steps.

        None if it was never attached. Every rank must call it.
        """
        self.detach()
        if self._model is None:
            return None
        if self._no_view is not None and not self._is_labelled:
            self._hooks.errors.append((PART, self._no_view))
        device = next(self._model.parameters()).device
        keep = not self.errors
        sums = {key: value if keep else value.new_zeros(value.shape) for key, value in self._probe.sums.items()}
        tokens, text = token_statistics(sum_over_ranks(sums, device=device), sizes=self._probe.sizes)
        missing = tuple(sorted(self._missing | self._skipped.missing))
        return EvaluationSnapshot(step=step, name=name, tokens=tokens, text=text, missing=missing)

    def _attach_heads(self) -> None:
        hooks = self._inner_hooks
        for head in self._adapter.audio_heads():
            hooks.after(head.module, PART, partial(self._probe.audio, head))
        text_head = self._adapter.text_head()
        if text_head is not None:
            hooks.after(text_head, PART, self._probe.text)
        self._skipped.attach(hooks, PART)

    def forward_begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Called before each forward of the model."""
        if self._in_extra_forward:
            return
        self._probe.end()
        self._skipped.end()
        self._view = None
        if self._model is None or self._model.training:
            return
        given = named_arguments(self._adapter.core, args, kwargs)
        if generates(given):
            return
        try:
            inputs, view = labelled_view(self._adapter, given)
        except Exception as error:  # what has no labels need not be a batch
            if has_own_labels(given):
                raise
            self._no_view = error
            return
        if has_labels(self._adapter, view):
            self._is_labelled = True
            self._missing.discard(NO_LABELS)
        else:
            if not self._is_labelled:
                self._missing.add(NO_LABELS)
            if view.text_labels is None:
                return
        self._view = view
        self._probe.begin(view)
        if self._compiled:
            self._run_eagerly(inputs)

    def _run_eagerly(self, inputs: Mapping[str, Any]) -> None:
        self._in_extra_forward = True
        self._attach_heads()
        try:
            run_quietly(self._adapter, inputs)
            self._forward_ends(None)
        finally:
            self._in_extra_forward = False
            self._inner_hooks.detach()

    def _forward_ends(self, _: Any) -> None:
        view, self._view = self._view, None
        if view is not None:
            self._skipped.score(view)
        self._probe.end()
