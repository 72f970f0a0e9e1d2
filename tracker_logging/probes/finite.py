"""In which layer do non-finite values begin? Counts them behind every layer, padding left out.

probe = FiniteProbe(adapter.layers())
probe.begin(view)
hooks.after(layer, "layers", partial(probe.observe, row))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tracker_logging.families.base import BatchView, LayerParts


class FiniteProbe:
    """Adds up over forwards. `sums["non_finite"]` [L] int64: positions with a non-finite value, by layer."""

    def __init__(self, layers: Sequence[LayerParts]) -> None:
        self.sums = {"non_finite": torch.zeros(len(layers), dtype=torch.int64)}
        self._keep: torch.Tensor | None = None

    def begin(self, view: BatchView) -> None:
        """The batch of the forward that comes next."""
        self._keep = view.attention_mask[:, view.in_layers]
        self.sums["non_finite"] = self.sums["non_finite"].to(view.attention_mask.device)

    def end(self) -> None:
        """Ignore what the layers do until the next `begin`."""
        self._keep = None

    def observe(self, row: int, output: Any) -> None:
        """`output` of layer `row`: [B, T, hidden], or a tuple that begins with it."""
        if self._keep is None:
            return
        hidden = output[0] if isinstance(output, tuple) else output
        bad = ~hidden.isfinite().all(dim=-1)
        self.sums["non_finite"][row] += (bad & self._keep if bad.shape == self._keep.shape else bad).sum()
