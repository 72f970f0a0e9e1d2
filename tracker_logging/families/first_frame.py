"""The time to the first frame: seconds from the start of generation to the end of each step of it.

    steps = StepTimes()
    model.generate(..., stopping_criteria=StoppingCriteriaList([steps]))     # or `note` after each step of an own loop
    steps.after(3)     # seconds to the end of the third step; None: there was none

Guarantees
- Generation is the same with and without it: it stops nothing, draws nothing and changes no tensor.
- On a GPU the work of a step is waited for before its time is read; `generate` waits once per step in any case.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import StoppingCriteria

clock = time.perf_counter


class StepTimes(StoppingCriteria):  # type: ignore[misc]  # untyped where transformers is
    """Counts from its making. A stopping criterion that never stops."""

    def __init__(self) -> None:
        self._begin = clock()
        self._seconds: list[float] = []

    def note(self, device: torch.device) -> None:
        """A step has ended on `device`."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self._seconds.append(clock() - self._begin)

    @contextmanager
    def of_calls(self, module: nn.Module, device: torch.device) -> Iterator[None]:
        """Inside, each call of `module` is a step."""
        handle = module.register_forward_hook(lambda *_: self.note(device))
        try:
            yield
        finally:
            handle.remove()

    def after(self, steps: int) -> float | None:
        """Seconds to the end of step number `steps`, the first is 1; None if fewer were made."""
        return self._seconds[steps - 1] if 0 < steps <= len(self._seconds) else None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        self.note(input_ids.device)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
