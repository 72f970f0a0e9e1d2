"""Compares the loss that the model returns with the loss computed from its predictions, over a whole step.

Valid for a family whose loss is the sum over codebooks of their mean cross-entropies, plus that of the text with a text
head. If the Trainer counts the labels of the whole step (`num_items_in_batch`) and the model divides by that count,
each micro-batch and rank returns its part of the loss of the step; otherwise each returns a mean over its own labels.

    check = LossCheck(tokens)
    check.begin(inputs)             # before the forward
    check.end(loss)                 # after it
    loss_ratio(sums_over_ranks, shared_count=True)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed

from tracker_logging.metrics.tokens import COLUMNS
from tracker_logging.probes.tokens import TokenProbe

_ROWS, _NLL, _NON_FINITE = (COLUMNS.index(name) for name in ("rows", "nll", "non_finite"))


class LossCheck:
    """`sums["loss"]` [4] float64: loss returned, loss computed, micro-batches that returned a mean, micro-batches that
    returned a part of the loss of the step. `tokens` must have scored a forward before `end`."""

    def __init__(self, tokens: TokenProbe) -> None:
        self._tokens = tokens
        self._before: dict[str, torch.Tensor] = {}
        self._counted = False
        self.sums = {"loss": torch.zeros(4, dtype=torch.float64)}

    def begin(self, inputs: Mapping[str, Any]) -> None:
        """Before a forward with `inputs`."""
        self._before = {name: self._tokens.sums[name] for name in ("tokens", "text")}
        self._counted = inputs.get("num_items_in_batch") is not None

    def end(self, loss: torch.Tensor) -> None:
        """After the forward: it returned `loss`, 0-d. Ignored without a `begin`."""
        if not self._before:
            return
        added = [self._tokens.sums[name].to(loss.device) - sums.to(loss.device) for name, sums in self._before.items()]
        labelled = torch.stack([sums[:, _ROWS].sum() for sums in added]).sum() > 0
        mean = torch.tensor(float(not self._counted), dtype=torch.float64, device=loss.device)
        values = torch.stack(
            [loss.detach().double(), _sum_of_means(added[0]) + _sum_of_means(added[1]), mean, 1 - mean]
        )
        # The mean of a micro-batch without labels is NaN.
        self.sums["loss"] = self.sums["loss"].to(loss.device) + values.where(labelled, 0.0)
        self._before = {}


def _sum_of_means(sums: torch.Tensor) -> torch.Tensor:
    """Sum of the mean cross-entropies of the codebooks that have labels."""
    rows, nll = sums[:, _ROWS], sums[:, _NLL]
    return (nll / rows.clamp(min=1)).sum()


def loss_ratio(sums: Mapping[str, npt.NDArray[np.float64]], *, shared_count: bool) -> float | None:
    """Loss returned / loss computed, from sums over all ranks; None if they cannot be compared.

    `shared_count`: the Trainer counts the labels of all ranks together (`average_tokens_across_devices`), so that each
    rank returns its share of the loss of the step; else the loss of the step is the mean over ranks.
    """
    if "loss" not in sums or any(sums[name][:, _NON_FINITE].any() for name in ("tokens", "text")):
        return None
    reported, expected, means, parts = sums["loss"]
    if parts:
        expected = sum(_sum_of_means(torch.from_numpy(sums[name])).item() for name in ("tokens", "text"))
        expected *= 1 if shared_count else _ranks()
    comparable = bool(means) != bool(parts) and expected > 0 and np.isfinite(reported)
    return float(reported / expected) if comparable else None


def _ranks() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
