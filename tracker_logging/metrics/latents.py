"""Statistics of models that predict continuous latents: flow loss by noise level, end of speech, spread and drift.

- Noise level: 1 for pure noise, 0 for the latent itself. `LEVELS` bins of equal width.
- Flow loss: squared error of the predicted velocity, mean over dimensions, unweighted.
- Spread ratio: standard deviation of the predicted latents over that of the targets, by dimension. Below 1 the model
  predicts an average (collapse).
- Drift: distance of the two means in standard deviations of the targets, by dimension.

>>> import torch
>>> sums = flow_sums(torch.tensor([0.1, 0.9]), torch.tensor([2.0, 4.0]))
>>> sums[:, 0].tolist(), sums[:, 1].tolist()
([2.0, 0.0, 0.0, 0.0, 4.0], [1.0, 0.0, 0.0, 0.0, 1.0])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

LEVELS = 5
FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LatentStatistics:
    """Over all frames of a step. D dimensions; NaN where nothing was measured.

    - `flow_loss`, and `by_level` [LEVELS] from little to much noise; `draws` [LEVELS]: noise draws
    - `eos_loss` (binary cross-entropy), `eos_accuracy` over all positions, `eos_recall` over the ends of speech
    - `target_mean`, `target_std`, `predicted_mean`, `predicted_std` [D], in the normalised space of the model
    - `own_frame_seen`: share of the frames whose condition has seen them; `wrong_noise`: share of the noise draws whose
      noise is not that of their target
    """

    flow_loss: float
    by_level: FloatArray
    draws: FloatArray
    eos_loss: float
    eos_accuracy: float
    eos_recall: float
    target_mean: FloatArray
    target_std: FloatArray
    predicted_mean: FloatArray
    predicted_std: FloatArray
    own_frame_seen: float
    wrong_noise: float

    @property
    def spread_ratio(self) -> FloatArray:
        """[D] predicted over target standard deviation."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.target_std > 0, self.predicted_std / self.target_std, np.nan)

    @property
    def drift(self) -> FloatArray:
        """[D] distance of the means in standard deviations of the targets."""
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.abs(self.predicted_mean - self.target_mean)
            return np.where(self.target_std > 0, apart / self.target_std, np.nan)


def flow_sums(levels: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
    """[LEVELS, 2] float64: sum of the finite `losses` [N] and their count, by noise level [N] in 0 to 1."""
    sums = torch.zeros(LEVELS, 2, dtype=torch.float64, device=losses.device)
    finite = losses.isfinite()
    bins = (levels * LEVELS).long().clamp(0, LEVELS - 1)
    sums[:, 0].index_add_(0, bins, losses.where(finite, 0.0).double())
    sums[:, 1].index_add_(0, bins, finite.double())
    return sums


def eos_sums(logits: torch.Tensor, is_end: torch.Tensor, *, threshold: float) -> torch.Tensor:
    """[5] float64: loss, positions, right decisions, ends, ends found, for logits [M]; above `threshold` is an end."""
    logits = logits.float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, is_end.float(), reduction="sum")
    predicted = logits > threshold
    right, ends_found = (predicted == is_end).sum(), (predicted & is_end).sum()
    counts = [loss, torch.ones_like(logits).sum(), right, is_end.sum(), ends_found]
    return torch.stack([count.double() for count in counts])


def fault_sums(own_frame_seen: torch.Tensor | None, wrong_noise: torch.Tensor | None) -> torch.Tensor:
    """[2, 2] float64: true values and number of each bool tensor; zeros for None."""
    counts = [
        torch.zeros(2) if fault is None else torch.stack([fault.sum(), torch.ones_like(fault).sum()]).cpu()
        for fault in (own_frame_seen, wrong_noise)
    ]
    return torch.stack(counts).double()


def moment_sums(values: torch.Tensor) -> torch.Tensor:
    """[3, D] float64: count, sum and sum of squares of the rows [N, D]."""
    rows = values.double()
    return torch.stack([torch.ones_like(rows).sum(dim=0), rows.sum(dim=0), rows.square().sum(dim=0)])


def statistics(sums: Mapping[str, FloatArray]) -> LatentStatistics | None:
    """From `latent_flow` [LEVELS, 2], `latent_eos` [5], `latent_faults` [2, 2], `latent_targets` and `latent_predicted`
    [3, D].

    None if nothing was observed.
    """
    flow, eos = sums["latent_flow"], sums["latent_eos"]
    if not flow[:, 1].any() and not eos[1]:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        target_mean, target_std = _moments(sums["latent_targets"])
        predicted_mean, predicted_std = _moments(sums["latent_predicted"])
        own_frame_seen, wrong_noise = sums["latent_faults"][:, 0] / sums["latent_faults"][:, 1]
        return LatentStatistics(
            flow_loss=float(flow[:, 0].sum() / flow[:, 1].sum()),
            by_level=flow[:, 0] / flow[:, 1],
            draws=flow[:, 1],
            eos_loss=float(eos[0] / eos[1]),
            eos_accuracy=float(eos[2] / eos[1]),
            eos_recall=float(eos[4] / eos[3]),
            target_mean=target_mean,
            target_std=target_std,
            predicted_mean=predicted_mean,
            predicted_std=predicted_std,
            own_frame_seen=float(own_frame_seen),
            wrong_noise=float(wrong_noise),
        )


def _moments(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation [D]."""
    count, total, squares = sums
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))
