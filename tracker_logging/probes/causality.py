"""Does a position see what comes after it? The last position of one sample is disturbed; nothing before it may move.

A model that is patched to run with another library version can lose its causal mask without any error. Its loss then
falls to nothing, because each position reads its own label, and generation is noise.

Guarantees
- Any family whose layers are known: the disturbance enters before the first layer and is looked for behind the last.
- Three forwards of one sample in evaluation mode: two equal ones show by how much the kernels themselves differ from
  run to run (0 on a CPU, and wherever they are deterministic); only movement beyond that counts.
- Everything is put back (`isolated`). Every rank calls it, so that sharded parameters can be gathered.

    leak = causality_leak(model, adapter, adapter.first_sample(batch))       # 0.0 for a causal model
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tracker_logging.families.base import ModelAdapter
from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.side_forward import unlabelled


def causality_leak(model: nn.Module, adapter: ModelAdapter, inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """How far the earlier position that moves most is moved, as a share of its own norm (0-d float32, ≥ 0).

    `model` is what the Trainer gave, `inputs` are one sample. None where there is no layer, no earlier position, or
    where the layers do not hand on one hidden state per position of the batch.
    """
    layers = adapter.layers()
    view = adapter.view(inputs)
    seen = view.attention_mask[0, view.in_layers]
    there = seen.nonzero().squeeze(-1)
    if not layers or len(there) < 2:
        return None
    forward = _Forward(model, first=layers[0].layer, last=layers[-1].layer, inputs=unlabelled(inputs))
    with isolated(model):
        states = [forward(disturb) for disturb in (None, None, int(there[-1]))]
    if any(state is None or state.shape[1] != len(seen) for state in states):
        return None
    plain, again, disturbed = (state[0, there[:-1]].float() for state in states if state is not None)
    norm = plain.norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)
    noise = ((again - plain).norm(dim=-1) / norm).max()
    leak: torch.Tensor = (((disturbed - plain).norm(dim=-1) / norm).max() - noise).clamp(min=0.0)
    return leak


class _Forward:
    """One forward of `inputs`; its answer is what the last layer gives, [1, T, hidden]."""

    def __init__(self, model: nn.Module, *, first: nn.Module, last: nn.Module, inputs: Mapping[str, Any]) -> None:
        self._model, self._first, self._last, self._inputs = model, first, last, inputs

    def __call__(self, disturb: int | None) -> torch.Tensor | None:
        """`disturb`: the position whose hidden state is changed before the first layer; None: none.

        None where the layers take or give something else than a hidden state per position.
        """
        seen: list[Any] = []
        handles = [self._last.register_forward_hook(lambda _, __, output: seen.append(_first(output)))]
        if disturb is not None:
            hook = _disturbing(disturb)
            handles.append(self._first.register_forward_pre_hook(hook, with_kwargs=True))
        try:
            self._model(**self._inputs, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return seen[-1] if seen and _is_state(seen[-1]) else None


def _disturbing(position: int) -> Any:
    """A pre-hook that adds a step of the sample's own size, up and down by turns, to the hidden state at `position`.

    It changes the direction of the state, not only its length, which a layer's norm would take out again.
    """

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = args[0] if args else kwargs.get("hidden_states")
        if given is None or not _is_state(given):
            raise ValueError(
                "the first layer is given no hidden state [B, T, hidden], so its future cannot be disturbed"
            )
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
