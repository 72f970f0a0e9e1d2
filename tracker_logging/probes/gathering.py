"""A sharded model (FSDP2) made whole for a while, so that ranks may call it differently often.

A forward of a sharded model gathers parameters, layer by layer, and waits for all ranks. Voices are of different
lengths, and one rank's may fail: the others would wait for ever, or gather the next step's parameters into this one.

Guarantees
- Every rank enters and leaves together; in between a forward waits for nobody, and no token gathers anything.
- Afterwards parameters are sharded again, also after a forward that raised in the middle.
- What one rank raised is raised by all, so that all decide alike what to do next.
- A model that is not sharded is left as it is: no collective at all.

    with gathered(model):
        clip = adapter.generate(prompts, settings)      # each rank its own

It takes the memory of the whole model, in the precision in which it computes, on every rank.
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
    """Every rank calls it, on the training thread, after the model has run at least once.

    Raises `RuntimeError` at the end if another rank's body raised.
    """
    sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
    if not sharded:
        yield
        return
    device = next(model.parameters()).device
    # Whether a forward shards again (FSDP2's setter has no getter), and the mark by which transformers' `generate` goes
    # on until all ranks are done, with a collective at each token.
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
        raise RuntimeError("Another rank failed here; its log has the reason.")


def _shard(sharded: Sequence[FSDPModule]) -> None:
    """Shard again, and forget the forwards that no backward pass followed (FSDP2's own `reset_iter_state` is of 2026).

    One that raised has left its modules "in forward", where nothing is sharded; the order of all of them, which differs
    over ranks, is that in which the next backward pass would gather ahead.
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
    """The module's parameter groups: one or none before torch 2.11, any number since."""
    state: Any = module._get_fsdp_state()
    several = getattr(state, "_fsdp_param_groups", None)
    return [own for own in ([state._fsdp_param_group] if several is None else several) if own is not None]


def _any_failed(failed: bool, *, device: torch.device) -> bool:
    flag = torch.tensor(float(failed), device=device)
    distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
    return bool(flag.item())
