"""Observes an evaluation outside training, which begins without an event.

    gate = EvaluationGate(model)            # one forward pre-hook on the root
    ...                                     # Trainer.evaluate()
    gate.close()
    session.evaluation_begins(gate.capture)

The first forward in evaluation mode with labels attaches an `EvaluationCapture`; generation and other forwards pass.
The hook pickles and copies as one that does nothing: a model can be saved or copied while it is on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tracker_logging.families import ModelAdapter, adapter_for
from tracker_logging.families.batches import named_arguments
from tracker_logging.families.processors import processor_parts
from tracker_logging.probes.evaluation import EvaluationCapture
from tracker_logging.probes.labels import has_labels


class EvaluationGate:
    """`capture` is None until a labelled forward in evaluation mode. `error`: why a forward was not understood.
    `compiled`: the model runs through `torch.compile`, which must not trace the hook."""

    def __init__(
        self, model: nn.Module, *, adapter: ModelAdapter | None = None, processor: Any = None, compiled: bool = False
    ) -> None:
        self.capture: EvaluationCapture | None = None
        self.error: Exception | None = None
        self._model = model
        self._adapter = adapter
        self._processor = processor
        self._compiled = compiled
        begins = torch.compiler.disable(self.forward_begins) if compiled else self.forward_begins
        self._handle = model.register_forward_pre_hook(_Hook(begins), with_kwargs=True)

    def close(self) -> None:
        """Take the hook off. A capture stays attached until its snapshot."""
        self._handle.remove()

    def forward_begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Attach the capture if this is a forward of an evaluation."""
        if self._model.training or self.capture is not None:
            return
        try:
            adapter = adapter_for(self._model, given=self._adapter, parts=processor_parts(self._processor))
            view = adapter.view(named_arguments(adapter.core, args, dict(kwargs)))
            if not has_labels(adapter, view) and view.text_labels is None:
                return
            self.capture = EvaluationCapture(adapter=adapter, compiled=self._compiled)
            self.capture.attach(self._model)
            self.capture.forward_begins(args, kwargs)  # its own pre-hook is called from the next forward on
        except Exception as error:  # a forward of generation need not be a batch: the next one may be
            self.error = error


class _Hook:
    """The pre-hook. Copies and pickles of a model must not hold the gate."""

    def __init__(self, begins: Callable[[tuple[Any, ...], Mapping[str, Any]], None]) -> None:
        self._begins = begins

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._begins(args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _no_hook, ()


def _pass(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Does nothing."""


def _no_hook() -> Any:
    return _pass
