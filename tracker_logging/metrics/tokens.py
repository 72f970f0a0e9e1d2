"""Per-codebook statistics of teacher-forced predictions, from logits at labelled positions only.

Guarantees
- No full fp32 copy of the logits: rows are gathered and scored in chunks of at most `CHUNK_ELEMENTS` values.
- Sums are kept in float64, so adding micro-batches, batches and ranks in any order gives the same means.
- A row with a non-finite logit is counted in `non_finite` and left out of every mean.
- A codebook without a labelled row has no value (NaN), never 0.

>>> logits, labels = torch.zeros(6, 2 * 16), torch.zeros(6, 2, dtype=torch.int64)     # 6 positions, K = 2, V = 16
>>> sums, histogram = score(logits, labels=labels, next_labels=labels)
>>> statistics(sums.numpy(), histogram.numpy()).nll.round(4).tolist()                 # ln 16 nats
[2.7726, 2.7726]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

IGNORE = -100
CHUNK_ELEMENTS = 2**19  # 2 MB of fp32: a chunk and its temporaries stay in a CPU's cache
COLUMNS = ("rows", "nll", "correct", "top5", "entropy", "non_finite", "shift0_rows", "shift0_nll")
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Means over labelled positions. Arrays are [K] float64, one entry per codebook (K = 1 for text); NaN = no label.

    - `nll`, `entropy`, `nll_shift0` in nats; `accuracy`, `top5`, `usage` as shares of 1; `rows`, `non_finite` counts
    - `usage` is exp(entropy of the histogram of predicted codes) / number of codes, Jelinek's perplexity of the codes
    - `outside`: share of the predictions that are no code of the codebook; NaN for logits that have only its codes
    - `top5`: codes that tie with the label share the places that are left, so that an untrained head has 5 / V
    - `nll_shift0` is the loss against the label of the same position: far below `nll`, the model copies its input
    """

    rows: FloatArray
    nll: FloatArray
    accuracy: FloatArray
    top5: FloatArray
    entropy: FloatArray
    usage: FloatArray
    nll_shift0: FloatArray
    non_finite: FloatArray
    outside: FloatArray

    @property
    def perplexity(self) -> FloatArray:
        """exp(nll) [K]."""
        perplexity: FloatArray = np.exp(self.nll)
        return perplexity

    def mean(self, values: FloatArray) -> float | None:
        """Mean of a per-codebook mean over all labelled codes; None without any."""
        counted = self.rows > 0
        if not counted.any():
            return None
        return float((values[counted] * self.rows[counted]).sum() / self.rows[counted].sum())


def shift_labels(labels: torch.Tensor, *, predicts_next: torch.Tensor) -> torch.Tensor:
    """Labels [B, T, K] aligned with the positions that predict them: at t the label of t + 1, else `IGNORE`.

    `predicts_next` [B, T] bool: whether the logits at t may be scored by the label at t + 1.
    """
    shifted = torch.full_like(labels, IGNORE)
    shifted[:, :-1] = labels[:, 1:]
    return shifted.masked_fill(~predicts_next.unsqueeze(-1), IGNORE)


def score(
    logits: torch.Tensor, *, labels: torch.Tensor, next_labels: torch.Tensor, by_row: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over the labelled rows, on the device of the logits and with one synchronisation at most.

    `logits` [N, K·V] of any float type, `next_labels` [N, K] int64 are the labels that the rows predict, `labels`
    [N, K] int64 those of the rows themselves. `by_row` [N, 2] float64, zeros, gets for each row the nll summed over
    its finite labelled codes, and their number. Returns sums [K, len(COLUMNS)] float64 and counts of predicted codes
    [K, V] int64.
    """
    codebooks = labels.shape[-1]
    vocabulary = logits.shape[-1] // codebooks
    sums = torch.zeros(codebooks, len(COLUMNS), dtype=torch.float64, device=logits.device)
    histogram = torch.zeros(codebooks * vocabulary, dtype=torch.int64, device=logits.device)
    index = ((next_labels != IGNORE) | (labels != IGNORE)).any(dim=-1).nonzero().squeeze(-1)
    for rows in index.split(max(1, CHUNK_ELEMENTS // logits.shape[-1])):
        chunk = logits[rows].float().unflatten(-1, (codebooks, vocabulary))
        nll, counted = _score_chunk(chunk, labels[rows], next_labels[rows], sums, histogram)
        if by_row is not None:
            by_row[rows] = torch.stack([nll.sum(dim=-1), counted.double().sum(dim=-1)], dim=-1)
    return sums, histogram.view(codebooks, vocabulary)


def _score_chunk(
    logits: torch.Tensor, labels: torch.Tensor, next_labels: torch.Tensor, sums: torch.Tensor, histogram: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the rows `logits` [R, K, V] float32 to `sums` and `histogram`. Returns the nll [R, K] float64, 0 where it
    does not count, and whether it counts."""
    finite = logits.sum(dim=-1).isfinite()
    labelled = next_labels != IGNORE
    counted, copied = labelled & finite, (labels != IGNORE) & finite
    target = next_labels.clamp(min=0).unsqueeze(-1)
    target_logit = logits.gather(-1, target)
    predicted = logits.argmax(dim=-1)
    higher, tied = (logits > target_logit).sum(dim=-1), (logits == target_logit).sum(dim=-1)
    top5 = ((5 - higher).clamp(min=0) / tied).clamp(max=1.0)
    log_p = logits.log_softmax(dim=-1)
    nll = -log_p.gather(-1, target).squeeze(-1)
    nll_shift0 = -log_p.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    entropy = -(log_p.exp() * log_p).sum(dim=-1)
    columns = [
        counted.double(),
        nll.double().where(counted, 0.0),
        ((predicted == next_labels) & counted).double(),
        top5.double().where(counted, 0.0),
        entropy.double().where(counted, 0.0),
        (labelled & ~finite).double(),
        copied.double(),
        nll_shift0.double().where(copied, 0.0),
    ]
    sums += torch.stack(columns, dim=-1).sum(dim=0)
    codebooks, vocabulary = logits.shape[1:]
    offsets = torch.arange(codebooks, device=logits.device) * vocabulary
    histogram.scatter_add_(0, (predicted + offsets).flatten(), counted.long().flatten())
    return columns[1], counted


def statistics(
    sums: FloatArray,
    histogram: npt.NDArray[np.floating] | npt.NDArray[np.integer],
    *,
    sizes: npt.NDArray[np.int64] | None = None,
) -> TokenStatistics:
    """Means from the sums [K, len(COLUMNS)] and code counts [K, V] of `score`, added over batches and ranks.

    `sizes` [K], for logits of a vocabulary that holds more than the codes: the number of codes of each codebook; the
    counts are then those of its codes alone.
    """
    column = dict(zip(COLUMNS, sums.T, strict=True))
    rows = column["rows"]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = histogram / histogram.sum(axis=1, keepdims=True)
        code_entropy = -np.where(share > 0, share * np.log(share), 0.0).sum(axis=1)
        used = np.where(histogram.any(axis=1), np.exp(code_entropy), 0.0)
        usage = np.where(rows > 0, used / (histogram.shape[1] if sizes is None else sizes), np.nan)
        return TokenStatistics(
            rows=rows,
            nll=column["nll"] / rows,
            accuracy=column["correct"] / rows,
            top5=column["top5"] / rows,
            entropy=column["entropy"] / rows,
            usage=usage,
            nll_shift0=column["shift0_nll"] / column["shift0_rows"],
            non_finite=column["non_finite"],
            outside=1.0 - histogram.sum(axis=1) / rows if sizes is not None else np.full_like(rows, np.nan),
        )
