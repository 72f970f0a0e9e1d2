"""Any causal language model of text: `…ForCausalLM` with an output embedding and a list of layers, no codebooks.

It shows inputs, text predictions, attention and gradients. A language model that speaks through codec tokens in its
text vocabulary is shown as text too: which tokens are audio is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import BatchView, LayerParts
from tracker_logging.families.spans import with_segments

_CLASS_ENDINGS = ("ForCausalLM", "LMHeadModel")
_LISTS = ("layers", "h", "blocks")
_ATTENTION = ("self_attn", "attn", "self_attention", "attention")
_FFN = ("mlp", "feed_forward", "ffn")


class TextAdapter(BaseAdapter):
    """See `ModelAdapter`. Layers without attention of their own (state space, convolution) are passed over."""

    family = "text"
    ffn = "text_ffn"

    @classmethod
    def fits(cls, core: Any) -> bool:
        """Whether the class is a causal language model by name (of itself or a base) and has a head and layers."""
        named = any(base.__name__.endswith(_CLASS_ENDINGS) for base in type(core).__mro__)
        return named and _head(core) is not None and _layers(core) is not None

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        token_ids = inputs["input_ids"].detach()
        mask, labels = inputs.get("attention_mask"), inputs.get("labels")
        attention_mask = torch.ones_like(token_ids, dtype=torch.bool)
        # A mask of another shape is 4-D or packed: it says who sees whom, not what is padding.
        if mask is not None and mask.shape == token_ids.shape:
            attention_mask = mask.detach().bool()
        return BatchView(
            token_ids=token_ids,
            attention_mask=attention_mask,
            roles=with_segments(attention_mask, ()),
            codes=token_ids.new_empty((*token_ids.shape, 0)),
            audio_labels=None,
            text_labels=None if labels is None else labels.detach(),
            segments=(),
        )

    def layers(self) -> Sequence[LayerParts]:
        parts = [(index, layer, _first(layer, _ATTENTION)) for index, layer in enumerate(_layers(self.core) or ())]
        return [
            LayerParts(index=index, layer=layer, attention=attention, text_ffn=_first(layer, _FFN), audio_ffn=None)
            for index, layer, attention in parts
            if attention is not None
        ]

    def text_head(self) -> nn.Module | None:
        return _head(self.core)


def _head(core: Any) -> nn.Module | None:
    head = core.get_output_embeddings() if hasattr(core, "get_output_embeddings") else None
    head = getattr(core, "lm_head", None) if head is None else head
    return head if isinstance(head, nn.Module) else None


def _layers(core: Any) -> nn.ModuleList | None:
    """The list of layers of the model under the head."""
    base = getattr(core, "base_model", core)
    base = getattr(core, "model", base) if base is core else base
    for inner in (base, getattr(base, "decoder", None)):
        for name in _LISTS:
            found = getattr(inner, name, None)
            if isinstance(found, nn.ModuleList) and len(found):
                return found
    return None


def _first(module: nn.Module, names: Sequence[str]) -> nn.Module | None:
    return next((own for name in names if isinstance(own := getattr(module, name, None), nn.Module)), None)
