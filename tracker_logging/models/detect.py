"""Which adapter fits a model, whatever it is wrapped in.

adapter = adapter_for(model)          # model may be DDP, compiled or a PeftModel
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tracker_logging.models.base import ModelAdapter


class UnknownModelError(ValueError):
    """No adapter knows this model's family."""


def unwrap(model: Any) -> Any:
    """The model itself, out of `torch.compile`, DDP / FSDP1 wrappers and PEFT."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif type(model).__name__ in {"DistributedDataParallel", "FullyShardedDataParallel", "DataParallel"}:
            model = model.module
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        else:
            return model


def adapter_for(model: nn.Module) -> ModelAdapter:
    """The adapter of the model's family, by `config.model_type`.

    Raises `UnknownModelError`, which names the class and the families that are known.
    """
    core = unwrap(model)
    family = getattr(getattr(core, "config", None), "model_type", None)
    known = _adapters()
    if family not in known:
        raise UnknownModelError(
            f"{type(core).__name__} (model_type {family!r}) is not a model family that tracker_logging knows "
            f"({', '.join(sorted(known))}). Pass `adapter=` with your own ModelAdapter "
            f"(tracker_logging/models/base.py says what it must answer)."
        )
    return known[family](core)


def _adapters() -> dict[str, Callable[[Any], ModelAdapter]]:
    from tracker_logging.models.higgs_v2 import HiggsV2Adapter

    return {"higgs_audio_v2": HiggsV2Adapter}
