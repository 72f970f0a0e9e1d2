"""Gathers the parameters of a sharded model (FSDP2) temporarily, so that ranks may run different numbers of forwards.

A forward of a sharded model gathers parameters layer by layer and waits for all ranks. Voices differ in length and the
generation of one rank may fail: the others would then wait forever, or mix up gathers of different steps.

Guarantees
- All ranks enter and leave together. In between, a forward runs no collective.
- Afterwards the parameters are sharded again, also if a forward raised.
- An exception on one rank is raised on all, so that all ranks continue alike.
- For a model that is not sharded this does nothing and runs no collective.

    with gathered(model):
        clip = adapter.generate(prompts, settings)      # each rank its prompts

It needs memory for the whole model, in its compute precision, on every rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.fsdp import FSDPModule

_MANAGED = "_is_fsdp_managed_module"


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Every rank must enter it, on the training thread.

    Raises `RuntimeError` at the end if the body raised on another rank.
    """
    sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
    if not sharded:
        yield
        return
    for module in sharded:  # what FSDP2 does before the first forward; the outermost module comes first
        state: Any = module._get_fsdp_state()
        state._lazy_init()
    device = next(model.parameters()).device
    # `post_forward_mesh_info`: whether a forward reshards (FSDP2 has a setter, but no getter). `_MANAGED` makes
    # transformers' `generate` continue until all ranks are done, with a collective at each token.
    kept: list[tuple[Any, str, Any]] = [
        (group, "post_forward_mesh_info", None) for module in sharded for group in _groups(module)
    ]
    kept += [(module, _MANAGED, False) for module in model.modules() if _MANAGED in vars(module)]
    before = [getattr(holder, name) for holder, name, _ in kept]
    try:
        for holder, name, meanwhile in kept:
            setattr(holder, name, meanwhile)
        for module in sharded:
            module.unshard()
        try:
            yield
        finally:
            _shard(sharded)
    except Exception:
        _any_failed(True, device=device)
        raise
    finally:
        for (holder, name, _), value in zip(kept, before, strict=True):
            setattr(holder, name, value)
    if _any_failed(False, device=device):
        raise RuntimeError("Another rank failed here; the reason is in its log.")


def _shard(sharded: Sequence[FSDPModule]) -> None:
    """Reshard, and reset the state of forwards that no backward pass followed (`reset_iter_state` is new in 2026).

    A forward that raised leaves its modules in the forward state, in which nothing is resharded. The recorded order of
    forwards differs between ranks, and the next backward pass would prefetch in that order.
    """
    for module in sharded:
        state: Any = module._get_fsdp_state()
        idle = type(state._training_state).IDLE
        state._training_state = idle
        state._state_ctx.iter_forward_root = None
        state._comm_ctx.post_forward_order.clear()
        for group in _groups(module):
            group._training_state = idle
            group._post_forward_indices.clear()
        module.reshard()


def _groups(module: FSDPModule) -> list[Any]:
    """The parameter groups of the module: one or none before torch 2.11, any number since."""
    state: Any = module._get_fsdp_state()
    groups = getattr(state, "_fsdp_param_groups", None)
    return [group for group in ([state._fsdp_param_group] if groups is None else groups) if group is not None]


def _any_failed(failed: bool, *, device: torch.device) -> bool:
    flag = torch.tensor(float(failed), device=device)
    distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
    return bool(flag.item())
