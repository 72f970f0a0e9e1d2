"""Which component a parameter belongs to, from the names that model families share.

>>> component_of("model.layers.3.self_attn.q_proj.weight")
('attention_q', 3)
>>> component_of("base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight")
('lora_ffn', 0)
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

_PROJECTIONS = {"q_proj": "attention_q", "k_proj": "attention_k", "v_proj": "attention_v", "o_proj": "attention_o"}
_ATTENTION = {"self_attn", "self_attention", "attention", "attn"}
_FFN = {"mlp", "feed_forward", "ffn"}
_HEADS = ("lm_head", "head")
_LISTS = {"layers", "h", "blocks"}


def component_of(name: str, *, prefixes: Mapping[str, str] = {}, ffn: str = "ffn") -> tuple[str, int | None]:
    """(component, layer) of a parameter name as `named_parameters` gives it.

    `prefixes` maps a part of a name that is specific to a family to a component. `ffn` is the component of its `mlp`.
    """
    parts = name.split(".")
    adapter = "lora_" if any(part.startswith("lora_") for part in parts) else ""
    specific = next((component for part, component in prefixes.items() if part in parts), None)
    return adapter + (specific or _component(parts, ffn)), _layer(parts)


def _component(parts: list[str], ffn: str) -> str:
    if any(part.endswith(("norm", "layernorm")) or part.startswith("ln_") for part in parts):
        return "norms"
    projection = next((_PROJECTIONS[part] for part in parts if part in _PROJECTIONS), None)
    if projection is not None:
        return projection
    if _ATTENTION & set(parts):
        return "attention"
    if _FFN & set(parts):
        return ffn
    if any(part.startswith("embed") or part in ("wte", "wpe") for part in parts):
        return "embeddings"
    return "heads" if any(part.endswith(_HEADS) for part in parts) else "other"


def _layer(parts: list[str]) -> int | None:
    """The number after the list of layers."""
    for before, part in pairwise(parts):
        if before in _LISTS and part.isdigit():
            return int(part)
    return None
