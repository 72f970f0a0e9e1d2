"""Attention in numbers: masses between groups of positions, entropy, and diagonality.

The attention weights P [H, S, S] are never built. A kernel that computes P·V gives every sum over keys that is linear
in P when V holds indicators instead of values: with one column per bin of keys, P·V is the attention each query gives
to each bin. Everything here starts from such sums.

>>> pooled = torch.tensor([[[1.0, 0.0], [0.25, 0.75]]])     # one head, two bins of queries and of keys: [1, 2, 2]
>>> sums = mass_sums(pooled, sizes=torch.tensor([3.0, 4.0]), groups=torch.eye(2))       # one bin per group
>>> sums[0] / torch.tensor([[3.0], [4.0]])                  # mean attention of group g on group h: [2, 2]
tensor([[1.0000, 0.0000],
        [0.2500, 0.7500]])
"""

from __future__ import annotations

import torch


def mass_sums(pooled: torch.Tensor, *, sizes: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Attention of all queries of group g that falls on keys of group h, summed over the queries: [H, G, G].

    `pooled` [H, Q, N]: mean attention of the queries in bin q on the keys of bin n. `sizes` [Q]: queries per bin.
    `groups` [G, Q]: 1 where the bin belongs to the group, else 0 (the same bins for queries and keys, Q = N).
    """
    return torch.einsum("gq,hqn,kn->hgk", groups * sizes, pooled, groups)


def entropy(weights: torch.Tensor) -> torch.Tensor:
    """Entropy in nats of attention rows [..., S] that sum to 1: 0 = one key, ln(n) = even over n keys."""
    summed: torch.Tensor = torch.special.entr(weights).sum(dim=-1)
    return summed


def distance_from_diagonal(*, mass: torch.Tensor, moment: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """|centre of mass − straight line| of each query, as a share of the text's length: [H, F] in [0, 1].

    `mass` [H, F] is the attention of target frame f on the target's text, `moment` [H, F] the same weighted with the
    position in the text (0 = its start, 1 = its end), `times` [F] the frame's position in the target (0 to 1).
    Diagonality is 1 − its mean over frames: 1 = in step with the text, 0.75 = even over the text, 0.5 = backwards.
    """
    centre = (moment / mass.clamp(min=1e-6)).clamp(0.0, 1.0)
    return (centre - times).abs()


def alignment_head(diagonality: torch.Tensor, text_mass: torch.Tensor, *, floor: float) -> tuple[int, int] | None:
    """(layer, head) of the most diagonal head among those that give the text at least `floor` of their attention.

    `diagonality` and `text_mass` are [L, H]. None where no head does, or nothing was measured.
    """
    candidates = diagonality.masked_fill(~(text_mass >= floor) | diagonality.isnan(), -1.0)
    best = int(candidates.argmax())
    layer, head = divmod(best, diagonality.shape[1])
    return (layer, head) if float(candidates[layer, head]) >= 0.0 else None
