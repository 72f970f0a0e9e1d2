"""Tensors of a batch: a summary of each in a few numbers, and moving a dataclass of tensors between devices.

>>> pending = summarise({"input_ids": torch.tensor([[1, 5, 2]])})     # computed on the device, no synchronisation
>>> summary, = pending.read()                                         # one transfer
>>> summary.shape, summary.maximum, summary.first_values
((1, 3), 5.0, '1 5 2')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch

FIRST_VALUES = 8
Record = TypeVar("Record")


def to_device(record: Record, device: torch.device) -> Record:
    """A copy of a dataclass instance with the tensors among its fields on `device`."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
    moved = {name: value.to(device) for name, value in values.items() if isinstance(value, torch.Tensor)}
    return replace(record, **moved)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """`minimum`, `maximum` and `mean` of the finite values (None without any); `first_values` is text."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    minimum: float | None
    maximum: float | None
    mean: float | None
    non_finite: int
    first_values: str


@dataclass(frozen=True, slots=True)
class PendingSummaries:
    """Summaries that are still on the device, one row of numbers per tensor."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    rows: tuple[torch.Tensor, ...]

    def read(self) -> tuple[TensorSummary, ...]:
        """Synchronise with the device and transfer the numbers."""
        if not self.rows:
            return ()
        table = torch.stack(self.rows).cpu().tolist()
        return tuple(
            _summary(*described) for described in zip(self.names, self.shapes, self.dtypes, table, strict=True)
        )


def summarise(values: Mapping[str, Any]) -> PendingSummaries:
    """Summarise the tensors among `values`; other values are ignored."""
    tensors = {name: value.detach() for name, value in values.items() if isinstance(value, torch.Tensor)}
    device = next(iter(tensors.values())).device if tensors else None
    return PendingSummaries(
        names=tuple(tensors),
        shapes=tuple(tuple(tensor.shape) for tensor in tensors.values()),
        dtypes=tuple(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()),
        rows=tuple(_numbers(tensor).to(device) for tensor in tensors.values()),
    )


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    """[finite count, min, max, sum, non-finite count, first values…] float64."""
    flat = tensor.reshape(-1)
    values = flat if flat.is_floating_point() else flat.double()
    finite = values.isfinite()
    first = torch.zeros(FIRST_VALUES, dtype=torch.float64, device=flat.device)
    first[: min(FIRST_VALUES, len(flat))] = flat[:FIRST_VALUES].double()
    if len(flat) == 0:
        return torch.cat([torch.zeros(5, dtype=torch.float64, device=flat.device), first])
    numbers = [
        finite.sum(),
        values.where(finite, float("inf")).min(),
        values.where(finite, float("-inf")).max(),
        values.where(finite, 0.0).sum(dtype=torch.float64),
        (~finite).sum(),
    ]
    return torch.cat([torch.stack([number.double() for number in numbers]), first])


def _summary(name: str, shape: tuple[int, ...], dtype: str, numbers: list[float]) -> TensorSummary:
    count, low, high, total, non_finite = numbers[:5]
    size = 1
    for length in shape:
        size *= length
    return TensorSummary(
        name=name,
        shape=shape,
        dtype=dtype,
        minimum=low if count else None,
        maximum=high if count else None,
        mean=total / count if count else None,
        non_finite=int(non_finite),
        first_values=" ".join(f"{value:.6g}" for value in numbers[5 : 5 + min(FIRST_VALUES, size)]),
    )
