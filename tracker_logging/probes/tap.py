"""Observes query, key and mask of each call of the model's attention function, for any kernel of transformers.

transformers looks the kernel up by name in an `AttentionInterface` at each forward. The tap registers a wrapper under
that name in the local mapping of the instance that the model's file uses, and removes it afterwards. Projections are
not run again (with LoRA dropout that would consume random numbers), and the model is not switched to eager attention.

    undo = tap([layer.self_attn for layer in model.model.layers], observe)
    ...forward...
    undo()
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


class CannotTapError(ValueError):
    """The module calls no attention function that can be wrapped."""


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """One call of the kernel: `query` [B, H, S, D], `key` and `value` [B, H_kv, S, D], the mask as it was given."""

    function: Callable[..., Any]
    module: nn.Module
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    attention_mask: Any
    arguments: Mapping[str, Any]


def tap(modules: Sequence[nn.Module], observe: Callable[[int, AttentionCall], None]) -> Callable[[], None]:
    """Call `observe(index in modules, call)` after each attention of `modules`. Returns the function that undoes it.

    Other models that use the same interface are not observed. Raises `CannotTapError` before anything is changed.
    """
    index = {module: number for number, module in enumerate(modules)}
    kernels = {(id(interface), name): (interface, name, kernel) for interface, name, kernel in map(_kernel, modules)}
    undo: list[Callable[[], None]] = []
    for interface, name, kernel in kernels.values():
        undo.append(_replace(interface, name, _wrapped(kernel, index, observe)))

    def restore() -> None:
        while undo:
            undo.pop()()

    return restore


def _kernel(module: nn.Module) -> tuple[Any, str, Callable[..., Any]]:
    """The interface instance that the module's file uses, the name of the kernel, and the kernel."""
    name = getattr(getattr(module, "config", None), "_attn_implementation", None)
    for cls in type(module).__mro__:
        namespace = vars(sys.modules[cls.__module__])
        interface = namespace.get("ALL_ATTENTION_FUNCTIONS")
        if interface is not None and isinstance(name, str):
            kernel = interface.get(name, namespace.get("eager_attention_forward"))
            if kernel is not None:
                return interface, name, kernel
    raise CannotTapError(f"{type(module).__name__} does not look its attention up in transformers' AttentionInterface")


def _wrapped(
    kernel: Callable[..., Any], index: Mapping[nn.Module, int], observe: Callable[[int, AttentionCall], None]
) -> Callable[..., Any]:
    def attention(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any,
        **arguments: Any,
    ) -> Any:
        output = kernel(module, query, key, value, attention_mask, **arguments)
        if module in index:
            observe(index[module], AttentionCall(kernel, module, query, key, value, attention_mask, arguments))
        return output

    return attention


def _replace(interface: Any, name: str, wrapper: Callable[..., Any]) -> Callable[[], None]:
    """Register `wrapper` under `name` in this instance only; the returned function restores the previous state."""
    local = interface._local_mapping
    had, before = name in local, local.get(name)
    interface[name] = wrapper

    def restore() -> None:
        if had:
            interface[name] = before
        else:
            del interface[name]

    return restore
