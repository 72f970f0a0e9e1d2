"""Gradients and weights of one rank under DeepSpeed ZeRO-1/2, where `.grad` holds nothing after the backward pass.

The engine reduces the gradients of a partition into one flat fp32 tensor, clips them and steps the optimizer before
`backward` returns (accelerate calls `engine.step()` there). Both are read when the engine calls the step of the torch
optimizer that it wraps. Each parameter is mapped to its part of the flat tensors (`_hp_mapping`, the interface behind
`deepspeed.utils.safe_get_full_grad`); parts that belong to other ranks are empty here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def is_zero(parameter: nn.Parameter) -> bool:
    """Whether DeepSpeed ZeRO-1/2 partitions the optimizer state of this parameter."""
    return hasattr(parameter, "_hp_mapping")


class ZeroShards:
    """The parts of `parameters` that this rank updates."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._mappings = [getattr(parameter, "_hp_mapping", None) for parameter in parameters]

    def weights(self, parameter: nn.Parameter) -> torch.Tensor:
        """This rank's part of the fp32 weights [n], empty if another rank updates them."""
        mapping: Any = getattr(parameter, "_hp_mapping", None)
        return torch.empty(0, device=parameter.device) if mapping is None else mapping.get_hp_fragment().detach()

    def gradients(self, optimizer: Any) -> dict[int, torch.Tensor]:
        """This rank's part of the gradients that `optimizer`, which the engine wraps, is about to apply.

        By position among the parameters: reduced over ranks, unscaled and clipped.
        """
        flat = {
            partition.untyped_storage().data_ptr(): partition.grad
            for group in optimizer.param_groups
            for partition in group["params"]
            if partition.grad is not None
        }
        gradients: dict[int, torch.Tensor] = {}
        for position, mapping in enumerate(self._mappings):
            if mapping is None:
                continue
            gradient = flat.get(mapping.get_hp_fragment().untyped_storage().data_ptr())
            if gradient is not None:
                address = mapping.get_hp_fragment_address()
                gradients[position] = gradient.detach().flatten().narrow(0, address.start, address.numel)
        return gradients

    def clip_factor(self, optimizer: Any) -> float | None:
        """By what the gradients of the last step were divided for clipping; None if DeepSpeed does not tell.

        `optimizer`: DeepSpeed's, or accelerate's wrapper of it.
        """
        inner = getattr(optimizer, "optimizer", optimizer)
        zero = inner if hasattr(inner, "clip_grad") else optimizer
        norm, limit = getattr(zero, "_global_grad_norm", None), getattr(zero, "clip_grad", None)
        if norm is None or limit is None:
            return None
        return max(1.0, (float(norm) + 1e-6) / float(limit)) if limit > 0 else 1.0
