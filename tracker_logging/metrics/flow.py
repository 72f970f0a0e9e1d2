"""Gradient norms and update ratios of the components of a model.

Sums of squares are computed per tensor and added over components, layers, shards and ranks; the root is taken last.
‖ΔW‖ / ‖W‖ is estimated from blocks of neighbouring weights, evenly spaced in each tensor (all weights of a small one).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

BLOCKS, BLOCK = 64, 256  # at most 16,384 weights of a tensor are compared


def squared_norms(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """‖t‖² of each tensor: [n] float64 on the device of the first. Low precision is added up in fp32."""
    if not tensors:
        return torch.zeros(0, dtype=torch.float64)
    norms = torch._foreach_norm(list(tensors), 2, dtype=torch.float32)
    return torch.stack([norm.to(norms[0].device) for norm in norms]).double().square()


def sampled_weights(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of at most BLOCKS × BLOCK weights of a contiguous tensor, float32; all of them if it is not larger."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() > BLOCKS * BLOCK:
        stride = (flat.numel() - BLOCK) // (BLOCKS - 1)
        flat = flat.as_strided((BLOCKS, BLOCK), (stride, 1), flat.storage_offset())
    return flat.to(torch.float32, copy=True)


def update_ratio(*, update_squares: float, weight_squares: float) -> float | None:
    """‖ΔW‖ / ‖W‖ from sums of squares; None where the weights are all zero."""
    return (update_squares / weight_squares) ** 0.5 if weight_squares > 0 else None
