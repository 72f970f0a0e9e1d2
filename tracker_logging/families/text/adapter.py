"""Any causal language model of text: `…ForCausalLM` with an output embedding and a list of layers, no codebooks.

Logs inputs, text predictions, attention and gradients. A language model that generates codec tokens of its text
vocabulary is logged as text too: which tokens are audio is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from tracker_logging.families.adapter import BaseAdapter
from tracker_logging.families.base import BatchView, LayerParts
from tracker_logging.families.spans import batch_view, tokens_and_mask

_CLASS_ENDINGS = ("ForCausalLM", "LMHeadModel")
_ALSO = frozenset({"Qwen2_5OmniThinkerForConditionalGeneration", "Qwen3OmniMoeThinkerForConditionalGeneration"})
_LISTS = ("layers", "h", "blocks")
_ATTENTION = ("self_attn", "attn", "self_attention", "attention")
_FFN = ("mlp", "feed_forward", "ffn")


class TextAdapter(BaseAdapter):
    """See `ModelAdapter`. Layers without attention (state space, convolution) are skipped."""

    family = "text"
    ffn = "text_ffn"

    @classmethod
    def fits(cls, core: Any) -> bool:
        """Whether the class is a causal language model by name (of itself or a base), has a head and layers, and no
        codebooks: `MusicgenForCausalLM` and `MoshiForCausalLM` predict audio."""
        names = [base.__name__ for base in type(core).__mro__]
        is_causal = any(name.endswith(_CLASS_ENDINGS) or name in _ALSO for name in names)
        has_codebooks = bool(getattr(core.config, "num_codebooks", None)) if is_causal else False
        return is_causal and not has_codebooks and _head(core) is not None and _layers(core) is not None

    def view(self, inputs: Mapping[str, Any]) -> BatchView:
        labels = inputs.get("labels")
        return batch_view(*tokens_and_mask(inputs), text_labels=None if labels is None else labels.detach())

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
    for parent in (base, getattr(base, "decoder", None), getattr(base, "language_model", None)):
        for name in _LISTS:
            layers = getattr(parent, name, None)
            if isinstance(layers, nn.ModuleList) and len(layers):
                return layers
    return None


def _first(module: nn.Module, names: Sequence[str]) -> nn.Module | None:
    return next((part for name in names if isinstance(part := getattr(module, name, None), nn.Module)), None)
