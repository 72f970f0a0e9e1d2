"""The arguments of a forward by name, however a trainer passes its batch.

>>> named_arguments(nn.Identity(), (), {"input_ids": 1})
{'input_ids': 1}
>>> named_arguments(nn.Identity(), ({"input_ids": 1, "labels": 2},), {})
{'input_ids': 1, 'labels': 2}
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn


def named_arguments(core: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """`args` and `kwargs` by the parameter names of `core.forward`.

    A single argument that is a batch (a mapping, dataclass or object with `input_ids`) is replaced by its content.
    """
    values = [*args, *kwargs.values()]
    if len(values) == 1 and (content := _content(values[0])) is not None:
        return content
    if not args:
        return dict(kwargs)
    return dict(kwargs) | inspect.signature(core.forward).bind_partial(*args).arguments


def present(inputs: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those of the arguments that the batch has.

    >>> present({"input_ids": 1, "labels": None}, "input_ids", "labels", "attention_mask")
    {'input_ids': 1}
    """
    return {name: inputs[name] for name in names if inputs.get(name) is not None}


def rows_of(inputs: Mapping[str, Any], rows: Sequence[int], *, samples: int) -> dict[str, Any]:
    """The batch of these of its `samples` alone: of every tensor that has one row, or equally many, for each sample.

    >>> rows_of({"labels": torch.arange(6), "num_items_in_batch": 4}, (1,), samples=3)
    {'labels': tensor([2, 3])}
    """
    chosen: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, torch.Tensor) and value.dim() and len(value) and len(value) % samples == 0:
            value = value.unflatten(0, (samples, -1))[list(rows)].flatten(0, 1)
        if name != "num_items_in_batch":
            chosen[name] = value
    return chosen


def indexed(inputs: Mapping[str, Any], rows: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The batch with `rows[name]` of each tensor named, and without a tensor of which no row is left: for a batch whose
    clips are not one, or equally many, per sample.

    >>> indexed({"labels": torch.arange(6), "clips": torch.ones(2)}, {"labels": (1, 0), "clips": ()})
    {'labels': tensor([1, 0])}
    """
    chosen = {name: value for name, value in inputs.items() if name != "num_items_in_batch"}
    for name, numbers in rows.items():
        if chosen.get(name) is not None:
            chosen[name] = chosen[name][list(numbers)] if numbers else None
    return present(chosen, *chosen)


def _content(batch: Any) -> dict[str, Any] | None:
    """The content of a batch by name, or None if it is no batch."""
    if isinstance(batch, torch.Tensor):
        return None
    if isinstance(batch, Mapping):
        content = dict(batch)
    elif is_dataclass(batch):
        content = {field.name: getattr(batch, field.name) for field in fields(batch)}
    else:
        content = {name: value for name, value in getattr(batch, "__dict__", {}).items() if not name.startswith("_")}
    return content if "input_ids" in content else None
