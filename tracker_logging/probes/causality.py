"""Causality test: the last position of one sample is perturbed, and no earlier position may change.

A model that is patched to run with another library version can lose its causal mask without any error. Its training
loss then falls to zero, because each position reads its label, and generation is noise.

Guarantees
- Works for any family whose layers are known: the perturbation is added before the first layer and measured after the
  last one.
- Three forwards of one sample in evaluation mode. Two equal ones measure the run-to-run difference of the kernels (0 on
  a CPU, and wherever they are deterministic); only change beyond it counts.
- All state is restored (`isolated`) after each of them, so that a forward that draws noise draws the same each time. If
  parameters are sharded, every rank must call it, as each forward gathers them.

    leak = causality_leak(model, adapter, adapter.first_sample(batch))       # 0.0 for a causal model
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tracker_logging.families.base import ModelAdapter
from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.side_forward import forward_inputs


def causality_leak(model: nn.Module, adapter: ModelAdapter, inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """Largest change of an earlier position, relative to its norm (0-d float32, ≥ 0).

    `model` is the unwrapped model and `inputs` one sample. None without layers or earlier positions, and if the layers
    do not pass on one hidden state per position of the batch.
    """
    layers = adapter.layers()
    view = adapter.view(inputs)
    mask = view.attention_mask[0, view.in_layers]
    positions = mask.nonzero().squeeze(-1)
    if not layers or len(positions) < 2:
        return None
    forward = _Forward(model, first=layers[0].layer, last=layers[-1].layer, inputs=forward_inputs(inputs))
    states = [forward(perturb) for perturb in (None, None, int(positions[-1]))]
    if any(state is None or state.shape[1] != len(mask) for state in states):
        return None
    plain, again, perturbed = (state[0, positions[:-1]].float() for state in states if state is not None)
    norm = plain.norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)
    noise = ((again - plain).norm(dim=-1) / norm).max()
    leak: torch.Tensor = (((perturbed - plain).norm(dim=-1) / norm).max() - noise).clamp(min=0.0)
    return leak


class _Forward:
    """One forward of `inputs`; returns the output of the last layer, [1, T, hidden]."""

    def __init__(self, model: nn.Module, *, first: nn.Module, last: nn.Module, inputs: Mapping[str, Any]) -> None:
        self._model, self._first, self._last, self._inputs = model, first, last, inputs

    def __call__(self, perturb: int | None) -> torch.Tensor | None:
        """`perturb`: position whose hidden state is changed before the first layer; None: no change.

        Returns None if the layers do not return one hidden state per position.
        """
        outputs: list[Any] = []
        handles = [self._last.register_forward_hook(lambda _, __, output: outputs.append(_first(output)))]
        if perturb is not None:
            hook = _perturbing(perturb)
            handles.append(self._first.register_forward_pre_hook(hook, with_kwargs=True))
        try:
            with isolated(self._model):
                self._model(**self._inputs)
        finally:
            for handle in handles:
                handle.remove()
        return outputs[-1] if outputs and _is_state(outputs[-1]) else None


def _perturbing(position: int) -> Any:
    """A pre-hook that adds ± the RMS of the hidden states, with alternating sign, to the state at `position`.

    This changes the direction of the state. A change of length alone would be removed by the norm of the layer.
    """

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = args[0] if args else kwargs.get("hidden_states")
        if given is None or not _is_state(given):
            raise ValueError("the first layer gets no hidden state [B, T, hidden], so no position can be perturbed")
        hidden = given.clone()
        size = hidden.float().square().mean().sqrt().to(hidden.dtype)
        signs = 1 - 2 * (torch.arange(hidden.shape[-1], device=hidden.device) % 2)
        hidden[:, position] += size * signs
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    return hook


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def _is_state(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() == 3
