"""The arguments of a forward by name, however a trainer hands its batch over.

named_arguments(model, (), {"input_ids": ids})      # {"input_ids": ids}
named_arguments(model, (batch,), {})                # what the batch holds: a dataclass, mapping or plain object
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn


def named_arguments(core: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """`args` and `kwargs` by the names that `core.forward` has for them.

    A single argument that is a whole batch (it has `input_ids`) is taken apart: the arguments are what it holds.
    """
    given = [*args, *kwargs.values()]
    if len(given) == 1 and (held := _held(given[0])) is not None:
        return held
    if not args:
        return dict(kwargs)
    return dict(kwargs) | inspect.signature(core.forward).bind_partial(*args).arguments


def _held(batch: Any) -> dict[str, Any] | None:
    """What a batch holds by name, or None if it is no batch."""
    if isinstance(batch, torch.Tensor):
        return None
    if isinstance(batch, Mapping):
        held = dict(batch)
    elif is_dataclass(batch):
        held = {field.name: getattr(batch, field.name) for field in fields(batch)}
    else:
        held = {name: value for name, value in getattr(batch, "__dict__", {}).items() if not name.startswith("_")}
    return held if "input_ids" in held else None
