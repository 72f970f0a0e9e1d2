"""Sums tensors over ranks with one collective.

    total = sum_over_ranks({"tokens": sums, "mass": mass})      # the same names and shapes on every rank

Guarantees
- One `all_reduce` of one float64 vector, or none in a single process. Every rank must call it with the same shapes; a
  rank whose probe failed passes zeros.
- The result is NumPy on the CPU: a logged step synchronises with the device here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed


def all_ranks(ready: bool, *, device: torch.device) -> bool:
    """Whether `ready` is True on every rank. Every rank must call it; a single process runs no collective."""
    if not _several_ranks():
        return ready
    flag = torch.tensor(float(ready), device=device)
    distributed.all_reduce(flag, op=distributed.ReduceOp.MIN)
    return bool(flag.item())


def from_rank_0(values: Mapping[str, float], *, device: torch.device) -> dict[str, float]:
    """`values` of rank 0, on every rank. Every rank must call it; a single process runs no collective."""
    received = [dict(values)]
    if _several_ranks():
        distributed.broadcast_object_list(received, src=0, device=device)
    return received[0]


def sum_over_ranks(sums: Mapping[str, torch.Tensor], *, device: torch.device) -> dict[str, npt.NDArray[np.float64]]:
    """The sums of all ranks, by name, in the shapes given."""
    if not sums:
        return {}
    packed = torch.cat([value.detach().to(device).double().reshape(-1) for value in sums.values()])
    if _several_ranks():
        distributed.all_reduce(packed)
    flat = packed.cpu().numpy()
    parts = np.split(flat, np.cumsum([value.numel() for value in sums.values()])[:-1])
    return {name: part.reshape(value.shape) for (name, value), part in zip(sums.items(), parts, strict=True)}


def _several_ranks() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
