"""Gradient norms and update ratios per parameter, from one step.

Guarantees
- Gradients are read after the whole backward pass and before clipping, in a callback of the autograd engine that runs
  after DDP's. If the callback never ran, they are read after clipping and `before_clipping` is False.
- Updates are the weights after the optimizer step minus those before, on a sample of the weights: valid for any
  optimizer and precision.
- A frozen parameter, or one without gradient, has a state and no number.
- Sharded parameters (FSDP) contribute their shard and replicated ones their share, so that the sum over ranks is right.

    flow = FlowProbe(model, adapter)
    flow.watch(loss, hooks)       # in the forward
    flow.before_update(optimizer)
    flow.after_update()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.tensor import DTensor

from tracker_logging.families.base import ModelAdapter
from tracker_logging.metrics.flow import sampled_weights, squared_norms
from tracker_logging.probes.hooks import Hooks


@dataclass(frozen=True, slots=True)
class Watched:
    """One parameter, with component and layer as the adapter names them."""

    name: str
    parameter: nn.Parameter
    component: str
    layer: int | None


class FlowProbe:
    """`sums` are [P] float64, one entry per parameter in the order of `parameters`, which is the same on all ranks.

    `gradient`, `update` and `weight` are sums of squares; `has_gradient` is positive if a rank had a gradient.
    """

    def __init__(self, model: nn.Module, adapter: ModelAdapter) -> None:
        self.parameters = [
            Watched(name, parameter, *named)
            for name, parameter in model.named_parameters()
            if (named := adapter.component(name))[0] != "codec"  # the codec is never trained
        ]
        zeros = torch.zeros(len(self.parameters), dtype=torch.float64)
        self.sums = {name: zeros.clone() for name in ("gradient", "has_gradient", "update", "weight")}
        self.before_clipping = self.before_optimizer = False
        self._trained = [index for index, watched in enumerate(self.parameters) if watched.parameter.requires_grad]
        self._weights: list[torch.Tensor] = []

    def watch(self, loss: torch.Tensor, hooks: Hooks) -> None:
        """Read the gradients at the end of the backward pass through `loss`; the last micro-batch of a step counts."""
        if not loss.requires_grad:
            return
        engine = torch.autograd.Variable._execution_engine  # type: ignore[attr-defined]

        def read() -> None:
            self._read_gradients()
            self.before_clipping = True

        # Queued from a queued callback: the outer one runs beside DDP's, the inner one after DDP has finished.
        def last() -> None:
            engine.queue_callback(lambda: hooks.run("gradients", read))

        def hook(_: torch.Tensor) -> None:
            hooks.run("gradients", engine.queue_callback, last)

        loss.register_hook(hook)

    def before_update(self, optimizer: Any) -> None:
        """Read gradients that were not read yet (they are clipped by now), then sample the weights."""
        self.before_optimizer = True
        scaler = getattr(optimizer, "scaler", None)
        if not self.before_clipping:
            self._read_gradients()
        elif scaler is not None:
            self.sums["gradient"] /= float(scaler.get_scale()) ** 2  # fp16: read while they were still scaled
        self._weights = [sampled_weights(_local(self.parameters[index].parameter)) for index in self._trained]

    def after_update(self) -> None:
        """Compare the sampled weights with those before the optimizer step."""
        if not self._weights:
            return
        after = [sampled_weights(_local(self.parameters[index].parameter)) for index in self._trained]
        torch._foreach_sub_(after, self._weights)
        scale = self._shares([_local(self.parameters[index].parameter).numel() for index in self._trained])
        self.sums["update"] = self._placed(squared_norms(after) * scale.to(after[0].device))
        self.sums["weight"] = self._placed(squared_norms(self._weights) * scale.to(after[0].device))
        self._weights = []

    def _read_gradients(self) -> None:
        indices = [index for index in self._trained if self.parameters[index].parameter.grad is not None]
        squares = squared_norms([_local(self.parameters[index].parameter.grad) for index in indices])
        weights = torch.tensor([_weight(self.parameters[index].parameter) for index in indices], dtype=torch.float64)
        self.sums["gradient"] = self._placed(squares * weights.to(squares.device), indices)
        self.sums["has_gradient"] = self._placed(torch.ones_like(squares), indices)

    def _shares(self, sizes: Sequence[int]) -> torch.Tensor:
        """Factors from a sampled sum of squares to that of the whole tensor, counted once over all ranks."""
        shares = []
        for index, size, sample in zip(self._trained, sizes, self._weights, strict=True):
            whole = size / sample.numel() if sample.numel() else 0.0
            shares.append(whole * _weight(self.parameters[index].parameter))
        return torch.tensor(shares, dtype=torch.float64)

    def _placed(self, values: torch.Tensor, index: Sequence[int] | None = None) -> torch.Tensor:
        placed = values.new_zeros(len(self.parameters))
        placed[torch.tensor(list(self._trained if index is None else index), dtype=torch.int64)] = values
        return placed


def _local(tensor: Any) -> torch.Tensor:
    """This rank's part of a parameter or gradient."""
    detached = tensor.detach()
    return detached.to_local() if isinstance(detached, DTensor) else detached


def _weight(parameter: nn.Parameter) -> float:
    """Weight of this rank's part in a sum over ranks: 1 / number of ranks that hold the same part."""
    ranks = distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
    if isinstance(parameter, DTensor):
        mesh = parameter.device_mesh
        parts = 1
        for dimension, placement in enumerate(parameter.placements):
            parts *= mesh.size(dimension) if placement.is_shard() else 1
        return parts / ranks
    if getattr(parameter, "_fsdp_flattened", False):  # FSDP1 with use_orig_params: a plain tensor that is a shard
        return 1.0
    return 1.0 / ranks
