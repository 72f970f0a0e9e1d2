"""Observes attention modules that call torch's `scaled_dot_product_attention` directly.

transformers before 4.48 has a class per kernel and no interface in which a kernel could be wrapped. While such a module
runs, a `TorchFunctionMode` sees each call of a torch function and observes this one.

Guarantees
- The module's call is made with its arguments, and its result is returned unchanged.
- The mode is active for the observed modules only, on their thread, and is removed when a forward raises.

    undo = tap_attention([layer.self_attn for layer in model.layers], observe)
    ...forward...
    undo()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from tracker_logging.probes.hooks import recomputing
from tracker_logging.probes.tap import AttentionCall, tap


def tap_attention(modules: Sequence[nn.Module], observe: Callable[[int, AttentionCall], None]) -> Callable[[], None]:
    """Call `observe(index in modules, call)` after each attention of `modules`. Returns the function that undoes it.

    Wraps transformers' interface where the modules use it, else torch's function. Raises `CannotTapError` for neither.
    """
    if not modules or not all(calls_sdpa(module) for module in modules):
        return tap(modules, observe)
    handles: list[Any] = []
    for index, module in enumerate(modules):
        modes: list[_Watch] = []
        handles.append(module.register_forward_pre_hook(partial(_enter, modes, partial(observe, index), module)))
        handles.append(module.register_forward_hook(partial(_leave, modes), always_call=True))

    def restore() -> None:
        while handles:
            handles.pop().remove()

    return restore


def calls_sdpa(module: nn.Module) -> bool:
    """Whether the code of the module's `forward` names torch's function."""
    code = getattr(type(module).forward, "__code__", None)
    return code is not None and scaled_dot_product_attention.__name__ in code.co_names


class _Watch(TorchFunctionMode):
    """Passes each call of torch's attention to `observe`."""

    def __init__(self, observe: Callable[[AttentionCall], None], module: nn.Module) -> None:
        super().__init__()
        self._observe = observe
        self._module = module

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        if function is scaled_dot_product_attention:
            self._observe(_call(self._module, *args, **(kwargs or {})))
        return output


def _call(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> AttentionCall:
    """The call with the signature of transformers' interface, and a function with that signature to repeat it."""

    def again(
        _: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **arguments: Any
    ) -> tuple[torch.Tensor, None]:
        output = scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=arguments["dropout"],
            is_causal=arguments["is_causal"],
            scale=arguments["scaling"],
            enable_gqa=enable_gqa,
        )
        return output.transpose(1, 2), None

    arguments = {"dropout": dropout_p, "is_causal": is_causal, "scaling": scale}
    if attn_mask is not None:  # to [B or 1, H or 1, S, S]: a mask of two dimensions is one of padding in the interface
        attn_mask = attn_mask[(None,) * (4 - attn_mask.dim())]
    return AttentionCall(again, module, query, key, value, attn_mask, arguments)


def _enter(modes: list[_Watch], observe: Callable[[AttentionCall], None], module: nn.Module, *_: Any) -> None:
    if not recomputing():
        modes.append(_Watch(observe, module))
        modes[-1].__enter__()  # type: ignore[no-untyped-call]


def _leave(modes: list[_Watch], *_: Any) -> None:
    if modes:
        modes.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]
