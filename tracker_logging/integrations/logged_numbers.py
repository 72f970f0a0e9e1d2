"""The numbers that a loop logs by itself, such as its loss, under the tags that the Trainer's numbers have.

>>> loop_scalars({"loss": 2.0, "eval_loss": 3.0, "val_acc": 0.5, "lr/group_0": 1e-3, "note": "a"})
{'train/loss': 2.0, 'eval/loss': 3.0, 'eval/acc': 0.5, 'lr/group_0': 0.001}
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import torch

_SECTIONS = {"train_": "train/", "eval_": "eval/", "val_": "eval/", "valid_": "eval/", "test_": "test/"}


def loop_scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """Values that are numbers, by tag. A name without a slash goes to the section of its prefix, else to `train/`."""
    named = {name: as_number(value) for name, value in values.items()}
    return {tag_of(name): number for name, number in named.items() if number is not None}


def tag_of(name: str) -> str:
    """The tag of a number that a loop calls `name`.

    >>> tag_of("train_loss"), tag_of("loss"), tag_of("val_loss"), tag_of("mine/loss")
    ('train/loss', 'train/loss', 'eval/loss', 'mine/loss')
    """
    if "/" in name:
        return name
    prefix = next((prefix for prefix in _SECTIONS if name.startswith(prefix)), "")
    return _SECTIONS.get(prefix, "train/") + name.removeprefix(prefix)


def as_number(value: Any) -> float | None:
    """A logged value as a float, also of a NumPy scalar or a tensor with one element; None for anything else."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value.detach())
    return float(value) if isinstance(value, numbers.Real) else None
