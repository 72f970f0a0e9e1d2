"""Gradient norms and update ratios per parameter, from one step.

Guarantees
- Gradients are read when the whole backward pass is done and before clipping, from a callback of the autograd engine
  (it runs after DDP's own). Where that never ran, they are read after clipping and `before_clipping` is False.
- Updates are the weights after the optimizer minus those before, on a sample: true for any optimizer and precision.
- A frozen parameter or one without gradient has a state, not a zero.
- Sharded parameters (FSDP) contribute their shard, replicated ones their share, so that a sum over ranks is right.

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
    """One parameter: its component and layer as the adapter names them."""

    name: str
    parameter: nn.Parameter
    component: str
    layer: int | None


class FlowProbe:
    """`sums` are [P] float64, one entry per parameter in the order of `parameters`, which is the same on all ranks.

    `gradient`, `update` and `weight` are sums of squares; `has_gradient` is not 0 where a rank had one.
    """

    def __init__(self, model: nn.Module, adapter: ModelAdapter) -> None:
        self.parameters = [
            Watched(name, parameter, *named)
            for name, parameter in model.named_parameters()
            if (named := adapter.component(name))[0] != "codec"  # run without gradients: it is not part of the training
        ]
        zeros = torch.zeros(len(self.parameters), dtype=torch.float64)
        self.sums = {name: zeros.clone() for name in ("gradient", "has_gradient", "update", "weight")}
        self.before_clipping = False
        self._trained = [index for index, own in enumerate(self.parameters) if own.parameter.requires_grad]
        self._weights: list[torch.Tensor] = []

    def watch(self, loss: torch.Tensor, hooks: Hooks) -> None:
        """Read the gradients when the backward pass through `loss` has ended. The last micro-batch's reading stays."""
        if not loss.requires_grad:
            return
        engine = torch.autograd.Variable._execution_engine  # type: ignore[attr-defined]

        def read() -> None:
            self._read_gradients()
            self.before_clipping = True

        # Queued from a queued callback: the outer one runs where DDP queues its own, the inner one after DDP is done.
        def last() -> None:
            engine.queue_callback(lambda: hooks.run("gradients", read))

        def hook(_: torch.Tensor) -> None:
            hooks.run("gradients", engine.queue_callback, last)

        loss.register_hook(hook)

    def before_update(self, optimizer: Any) -> None:
        """Gradients that were not read yet are read now, after clipping; then the weights are sampled."""
        scaler = getattr(optimizer, "scaler", None)
        if not self.before_clipping:
            self._read_gradients()
        elif scaler is not None:
            self.sums["gradient"] /= float(scaler.get_scale()) ** 2  # fp16: read while they were still scaled
        self._weights = [sampled_weights(_local(self.parameters[index].parameter)) for index in self._trained]

    def after_update(self) -> None:
        """How far the optimizer moved the sampled weights."""
        if not self._weights:
            return
        after = [sampled_weights(_local(self.parameters[index].parameter)) for index in self._trained]
        torch._foreach_sub_(after, self._weights)
        scale = self._shares([_local(self.parameters[index].parameter).numel() for index in self._trained])
        self.sums["update"] = self._placed(squared_norms(after) * scale.to(after[0].device))
        self.sums["weight"] = self._placed(squared_norms(self._weights) * scale.to(after[0].device))
        self._weights = []

    def _read_gradients(self) -> None:
        found = [index for index in self._trained if self.parameters[index].parameter.grad is not None]
        squares = squared_norms([_local(self.parameters[index].parameter.grad) for index in found])
        weights = torch.tensor([_weight(self.parameters[index].parameter) for index in found], dtype=torch.float64)
        self.sums["gradient"] = self._placed(squares * weights.to(squares.device), found)
        self.sums["has_gradient"] = self._placed(torch.ones_like(squares), found)

    def _shares(self, sizes: Sequence[int]) -> torch.Tensor:
        """What a sampled sum of squares stands for: all weights of the tensor, once over all ranks."""
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
    own = tensor.detach()
    return own.to_local() if isinstance(own, DTensor) else own


def _weight(parameter: nn.Parameter) -> float:
    """What this rank's part counts in a sum over ranks: 1 over the number of ranks that hold the same part."""
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
