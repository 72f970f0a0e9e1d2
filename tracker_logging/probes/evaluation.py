"""Statistics of predictions over a whole evaluation set.

    capture = EvaluationCapture(adapter=adapter)
    capture.attach(model)                # before the first evaluation batch, on every rank
    snapshot = capture.snapshot(step)    # after the last one, on every rank: one collective

Means are over all labelled positions that the model got. If the number of samples is not divisible by the number of
ranks, the Trainer repeats some samples to fill the last batch, and those count twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from tracker_logging.families.base import ModelAdapter
from tracker_logging.families.batches import named_arguments
from tracker_logging.probes.hooks import Hooks
from tracker_logging.probes.reduce import sum_over_ranks
from tracker_logging.probes.snapshot import EvaluationSnapshot
from tracker_logging.probes.statistics import token_statistics
from tracker_logging.probes.tokens import TokenProbe


class EvaluationCapture:
    """Captures one evaluation: the forwards in evaluation mode. Guarantees as `StepCapture`."""

    def __init__(self, *, adapter: ModelAdapter) -> None:
        self._adapter = adapter
        self._hooks = Hooks()
        self._probe = TokenProbe(adapter, keep_sample=False)
        self._model: nn.Module | None = None

    @property
    def errors(self) -> list[tuple[str, Exception]]:
        """(part, exception) of each failure."""
        return self._hooks.errors

    def attach(self, model: nn.Module) -> None:
        """Observe `model` until `snapshot` or `detach`."""
        self.detach()
        self._model = model
        self._hooks.before(model, "evaluation", self._forward_begins)
        for head in self._hooks.run("evaluation", self._adapter.audio_heads) or ():
            self._hooks.after(head.module, "evaluation", partial(self._probe.audio, head))
        text_head = self._hooks.run("evaluation", self._adapter.text_head)
        if text_head is not None:
            self._hooks.after(text_head, "evaluation", self._probe.text)
        self._hooks.after(model, "evaluation", lambda _: self._probe.end())

    def detach(self) -> None:
        """Remove everything from the model. Safe at any time."""
        self._hooks.detach()

    def snapshot(self, step: int) -> EvaluationSnapshot | None:
        """Statistics over all batches and ranks; None if it was never attached. Every rank must call it."""
        self.detach()
        if self._model is None:
            return None
        device = next(self._model.parameters()).device
        keep = self._hooks.is_on("evaluation")
        sums = {name: value if keep else value.new_zeros(value.shape) for name, value in self._probe.sums.items()}
        tokens, text = token_statistics(sum_over_ranks(sums, device=device))
        return EvaluationSnapshot(step=step, tokens=tokens, text=text, missing=())

    def _forward_begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._probe.end()
        if self._model is None or self._model.training:
            return
        view = self._adapter.view(named_arguments(self._adapter.core, args, kwargs))
        if view.audio_labels is not None or view.text_labels is not None:
            self._probe.begin(view)
