"""Gradient norms and updates per parameter, from one optimizer step.

Guarantees
- Gradients are read after the whole backward pass and before clipping, in a callback of the autograd engine that runs
  after DDP's. If the callback never ran, they are read after clipping and `before_clipping` is False.
- fp16 gradients are divided by the scale of the gradient scaler. `skipped` is True if the scaler skipped the step.
- Updates are the weights after the optimizer step minus those before, on a sample of the weights: valid for any
  optimizer and precision. With DeepSpeed ZeRO-1/2 they are those of the fp32 weights of the optimizer (`zero.py`).
- `sees_clipping`: gradients were read twice, before and after clipping. Not so with a gradient scaler or DeepSpeed.
- A frozen parameter, or one without gradient, has a state and no number.
- Sharded parameters contribute their shard and replicated ones their share, so that the sum over ranks is right.

    flow = FlowProbe(model, adapter)
    flow.attach(hooks)
    flow.watch(loss, hooks)       # in the forward
    flow.before_update(optimizer)
    flow.after_update(optimizer)
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
from tracker_logging.probes.zero import ZeroShards, is_zero

LOW_PRECISION = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Watched:
    """One parameter, with component and layer as the adapter names them."""

    name: str
    parameter: nn.Parameter
    component: str
    layer: int | None


class FlowProbe:
    """`sums` are [P] float64, one entry per parameter in the order of `parameters`, which is the same on all ranks.

    - `gradient`, `clipped` (the gradient after clipping), `update` and `weight` are sums of squares; `along` is the sum
      of ΔW · W; `has_gradient` is positive if a rank had a gradient
    - `low_precision` counts weights of bf16 and fp16 parameters that have a gradient, `unchanged` those of them that
      the optimizer did not change: their update was rounded to zero
    - `skipped` [1] is positive if the optimizer skipped the step
    """

    def __init__(self, model: nn.Module, adapter: ModelAdapter) -> None:
        self.parameters = [
            Watched(name, parameter, *named)
            for name, parameter in model.named_parameters()
            if (named := adapter.component(name))[0] != "codec"  # the codec is never trained
        ]
        zeros = torch.zeros(len(self.parameters), dtype=torch.float64)
        names = ("gradient", "has_gradient", "clipped", "update", "weight", "along", "low_precision", "unchanged")
        self.sums = {name: zeros.clone() for name in names} | {"skipped": torch.zeros(1, dtype=torch.float64)}
        self.before_clipping = self.sees_clipping = False
        self.before_optimizer = False  # whether the optimizer was about to step
        self._trained = [index for index, watched in enumerate(self.parameters) if watched.parameter.requires_grad]
        trained = [self.parameters[index].parameter for index in self._trained]
        self._zero = ZeroShards(trained) if any(map(is_zero, trained)) else None
        self._weights: list[torch.Tensor] = []
        self._with_gradient: list[torch.Tensor | None] = []
        self._queued = self._scaled = False

    def attach(self, hooks: Hooks) -> None:
        """With DeepSpeed, read gradients and weights when its engine calls the optimizer, inside of `backward`."""
        if self._zero is not None:
            hooks.before_optimizers("gradients", self._zero_step)

    def watch(self, loss: torch.Tensor, hooks: Hooks) -> None:
        """Read the gradients at the end of the backward pass through `loss`; the last micro-batch of a step counts."""
        if not loss.requires_grad or self._zero is not None:
            return
        engine = torch.autograd.Variable._execution_engine  # type: ignore[attr-defined]

        def read() -> None:
            self._queued = False
            self._read_gradients()
            self.before_clipping = True

        # Queued from a queued callback: the outer one runs beside DDP's, the inner one after DDP has finished.
        def last() -> None:
            engine.queue_callback(lambda: hooks.run_in_step("gradients", read))

        def hook(_: torch.Tensor) -> None:
            if not self._queued:
                self._queued = True
                hooks.run_in_step("gradients", engine.queue_callback, last)

        loss.register_hook(hook)

    def before_update(self, optimizer: Any, scaler: Any = None) -> None:
        """Read gradients that were not read yet (they are clipped by now), then sample the weights.

        `scaler`: the gradient scaler; None: that of an accelerate optimizer, if it has one.
        """
        self.before_optimizer = True
        if self._zero is not None:
            clipping = self._zero.clip_factor(optimizer)
            self.before_clipping = clipping is not None
            self.sums["gradient"] *= 1.0 if clipping is None else clipping**2
            return
        scaler = getattr(optimizer, "scaler", None) if scaler is None else scaler
        self._scaled = scaler is not None
        if not self.before_clipping:
            self._read_gradients()
        elif scaler is None:
            self.sums["clipped"], _ = self._gradients()
            self.sees_clipping = True
        else:
            self.sums["gradient"] /= float(scaler.get_scale()) ** 2  # read while they were still scaled
        self._sample_weights(optimizer)

    def after_update(self, optimizer: Any) -> None:
        """Compare the sampled weights with those before the optimizer step."""
        self.sums["skipped"] = self._was_skipped(optimizer)
        if not self._weights:
            return
        after = [sampled_weights(self._local_weights(index)) for index in self._trained]
        scale = self._scale()
        self._count_unchanged(after, scale)
        torch._foreach_sub_(after, self._weights)
        scale = scale.to(after[0].device)
        self.sums["update"] = self._placed(squared_norms(after) * scale)
        self.sums["weight"] = self._placed(squared_norms(self._weights) * scale)
        along = [product.sum().to(scale.device) for product in torch._foreach_mul(after, self._weights)]
        self.sums["along"] = self._placed(torch.stack(along).double() * scale)
        self._weights, self._with_gradient = [], []

    def _was_skipped(self, optimizer: Any) -> torch.Tensor:
        """[1]: 1 if the gradient scaler skipped the step, else 0.

        accelerate detects it by whether `step` was called. Fused optimizers are always called and skip the update
        themselves, so non-finite gradients under a scaler count too.
        """
        skipped = ~self.sums["gradient"].isfinite().all() & self._scaled
        if getattr(optimizer, "step_was_skipped", False):
            skipped = torch.ones_like(skipped)
        return skipped.double().reshape(1)

    def _zero_step(self, optimizer: Any) -> None:
        """DeepSpeed is about to update the fp32 weights of `optimizer`."""
        assert self._zero is not None
        if not self._weights:
            self._sample_weights(optimizer)
        gradients = self._zero.gradients(optimizer)
        if gradients:
            indices = [self._trained[position] for position in gradients]
            squares = squared_norms(list(gradients.values()))
            for name, values in (("gradient", squares), ("has_gradient", torch.ones_like(squares))):
                self.sums[name] = self.sums[name].to(values.device) + self._placed(values, indices)

    def _sample_weights(self, optimizer: Any) -> None:
        moving = _moving(optimizer)
        self._weights, self._with_gradient = [], []
        for index in self._trained:
            parameter, weights = self.parameters[index].parameter, self._local_weights(index)
            self._weights.append(sampled_weights(weights))
            is_counted = weights.dtype in LOW_PRECISION and parameter.grad is not None and parameter in moving
            self._with_gradient.append(sampled_weights(_local(parameter.grad)) != 0 if is_counted else None)

    def _read_gradients(self) -> None:
        self.sums["gradient"], self.sums["has_gradient"] = self._gradients()

    def _gradients(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of squares of the gradients as they are now, and 1 where there is one."""
        indices = [index for index in self._trained if self.parameters[index].parameter.grad is not None]
        squares = squared_norms([_local(self.parameters[index].parameter.grad) for index in indices])
        shares = torch.tensor([self._share(index) for index in indices], dtype=torch.float64)
        return self._placed(squares * shares.to(squares.device), indices), self._placed(
            torch.ones_like(squares), indices
        )

    def _count_unchanged(self, after: Sequence[torch.Tensor], scale: torch.Tensor) -> None:
        """Weights with a gradient whose value is the same after the update, in low precision."""
        counted = [(at, mask) for at, mask in enumerate(self._with_gradient) if mask is not None]
        if not counted:
            return
        indices = [self._trained[at] for at, _ in counted]
        whole = torch.stack([mask.sum().double() for _, mask in counted])
        same = torch.stack([(mask & (after[at] == self._weights[at])).sum().double() for at, mask in counted])
        factors = scale[[at for at, _ in counted]].to(whole.device) * (self.sums["skipped"].to(whole.device) == 0)
        self.sums["low_precision"] = self._placed(whole * factors, indices)
        self.sums["unchanged"] = self._placed(same * factors, indices)

    def _scale(self) -> torch.Tensor:
        """Factors from a sampled sum to that of the whole tensor, counted once over all ranks."""
        scale = []
        for index, sample in zip(self._trained, self._weights, strict=True):
            size = self._local_weights(index).numel()
            scale.append(size / sample.numel() * self._share(index) if sample.numel() else 0.0)
        return torch.tensor(scale, dtype=torch.float64)

    def _local_weights(self, index: int) -> torch.Tensor:
        parameter = self.parameters[index].parameter
        return _local(parameter) if self._zero is None else self._zero.weights(parameter)

    def _share(self, index: int) -> float:
        """Weight of this rank's part in a sum over ranks: 1 / number of ranks that hold the same part."""
        return 1.0 if self._zero is not None else _share(self.parameters[index].parameter)

    def _placed(self, values: torch.Tensor, index: Sequence[int] | None = None) -> torch.Tensor:
        placed = values.new_zeros(len(self.parameters))
        placed[torch.tensor(list(self._trained if index is None else index), dtype=torch.int64)] = values
        return placed


def _moving(optimizer: Any) -> set[nn.Parameter]:
    """Parameters with a learning rate above zero: the others (warm-up) do not change for another reason."""
    groups = getattr(optimizer, "param_groups", ())
    return {parameter for group in groups if float(group.get("lr", 1.0)) > 0 for parameter in group["params"]}


def _local(tensor: Any) -> torch.Tensor:
    """This rank's part of a parameter or gradient."""
    detached = tensor.detach()
    return detached.to_local() if isinstance(detached, DTensor) else detached


def _share(parameter: nn.Parameter) -> float:
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
