"""How a model is distributed, and what cannot be measured because of it.

    parallelism = parallelism_of(model)
    parallelism.name                # "ZeRO-3"
    parallelism.not_shown           # {"gradients": "gradient norms: …", "updates": …}
    parallelism.gathers             # True: every rank must take part in each forward

It is read from the model that the loop passes to callbacks, from the same attributes on every rank. DDP needs nothing:
hooks are on the inner module, whose forward runs no collective.

>>> parallelism_of(nn.Linear(2, 2)).name
'replicated'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn
from torch.distributed.fsdp import FlatParameter, FullyShardedDataParallel
from torch.distributed.tensor import DTensor

_IN_LAYERS = ("tokens", "gaps", "finite", "attention", "activations", "causality", "conflict")
_OF_LAYERS = {
    "tokens": "predictions",
    "gaps": "gaps of training samples",
    "finite": "first non-finite layer",
    "attention": "attention",
    "activations": "FFN paths",
    "causality": "causality",
    "conflict": "cosine of text and audio gradients",
}
_NAMES = _OF_LAYERS | {"gradients": "gradient norms", "updates": "update ratios"}
_OF_GRADIENTS = ("gradients", "updates", "conflict")
_FORWARDS = "gaps"  # of one rank: where parameters are sharded, one that fails stops the other ranks
DATA_PARALLEL = (
    "predictions, attention and FFN paths: nn.DataParallel runs copies of the model in threads. Start the training "
    "with `torchrun --nproc_per_node N`, or on one GPU (CUDA_VISIBLE_DEVICES=0)"
)


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How a model is distributed.

    - `not_shown`: by need (`probe_set.NEEDS`), what cannot be measured and why
    - `gathers`: a forward runs collectives, so that no rank may run one alone
    - `extra_forwards`: whether a forward may run between the backward pass and the optimizer step
    """

    name: str
    not_shown: Mapping[str, str] = field(default_factory=dict)
    gathers: bool = False
    extra_forwards: bool = True


def parallelism_of(model: nn.Module) -> Parallelism:
    """The distribution of `model`, wrapped or not. Does not synchronise."""
    parameters = list(model.parameters())
    if isinstance(model, nn.DataParallel):
        return Parallelism("nn.DataParallel", dict.fromkeys(_IN_LAYERS, DATA_PARALLEL))
    if any(hasattr(parameter, "ds_id") for parameter in parameters):
        reason = "ZeRO-3 shards the parameters; use ZeRO-2"
        return Parallelism("ZeRO-3", _because((*_OF_GRADIENTS, _FORWARDS), reason), gathers=True)
    if any(hasattr(parameter, "_hp_mapping") for parameter in parameters):
        return Parallelism("ZeRO-1/2", _because(("conflict",), "DeepSpeed reduces gradients in backward hooks"))
    if any(isinstance(parameter, DTensor) for parameter in parameters):
        return Parallelism("FSDP2", _because(("conflict", _FORWARDS), "sharded parameters"), gathers=True)
    if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        return _fsdp1(parameters)
    devices = {str(device) for device in getattr(model, "hf_device_map", {}).values()}
    if len(devices) > 1:
        return Parallelism(
            "device_map", _because(_OF_LAYERS, f"device_map puts layers on {', '.join(sorted(devices))}")
        )
    return Parallelism("replicated")


def _fsdp1(parameters: list[nn.Parameter]) -> Parallelism:
    """Without `use_orig_params` a flat parameter holds the weights of many modules, which have no names then.

    An extra forward between backward and optimizer step changes the gradients (torch 2.13), so none may run.
    """
    extra = _because(("causality", "conflict", _FORWARDS), "FSDP1 allows no extra forward")
    if not any(isinstance(parameter, FlatParameter) for parameter in parameters):
        return Parallelism("FSDP1", extra, gathers=True, extra_forwards=False)
    reason = "FSDP1 without use_orig_params; set it to true"
    return Parallelism("FSDP1", extra | _because(_OF_GRADIENTS, reason), gathers=True, extra_forwards=False)


def _because(needs: Iterable[str], reason: str) -> dict[str, str]:
    return {need: f"{_NAMES[need]}: {reason}" for need in needs}
