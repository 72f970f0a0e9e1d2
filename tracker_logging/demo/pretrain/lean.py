"""The losses of a Higgs Audio v2 model as `transformers` computes them, in about half of the time on a CPU.

Text and audio positions lie apart in memory, so that each feed-forward network reads a slice; padding is not computed;
logits are made of labelled positions alone; attention is causal without a mask, since padding is on the right.

Guarantees
- The same losses and gradients as of the model's `forward`, up to rounding.
- Raises `ValueError` for a model with other parts: attention biases, a rotary embedding that is scaled.

    losses = lean_losses(model, batch)      # [K], each the mean cross-entropy of one codebook
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from tracker_logging.families.base import IGNORE, Features


def lean_losses(model: Any, batch: Features) -> torch.Tensor:
    """[K]: each codebook's mean cross-entropy over its labels. `batch`: as of `VoiceCloningCollator`."""
    config = model.config
    if config.attention_bias or config.rope_parameters["rope_type"] != "default":
        raise ValueError("lean_losses knows models without attention biases and with an unscaled rotary embedding.")
    layout = _Layout.of(batch, (config.audio_token_id, config.audio_delay_token_id))
    hidden = _hidden(model.model, batch, layout)
    labels = _next_labels(batch, layout)  # of each audio position [N, K]
    chosen = (labels != IGNORE).any(dim=1).nonzero().squeeze(1)
    audio = _normed(model.model.norm, hidden[layout.text :][chosen])
    logits = model.audio_lm_head(audio).float().view(len(chosen), config.num_codebooks, -1)
    labels = labels[chosen]
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=IGNORE)
    counts = (labels != IGNORE).sum(dim=0).clamp(min=1)
    return losses.view_as(labels).sum(dim=0) / counts


@dataclass(frozen=True, slots=True)
class _Layout:
    """`places` [N]: where in [B * T] each position is, the `text` ones first; `rows` B, `length` T."""

    places: torch.Tensor
    text: int
    rows: int
    length: int

    @classmethod
    def of(cls, batch: Features, audio_tokens: tuple[int, int]) -> _Layout:
        ids = batch["input_ids"]
        is_audio = torch.isin(ids, torch.tensor(audio_tokens))
        text = (~is_audio & batch["attention_mask"].bool()).flatten().nonzero().squeeze(1)
        return cls(torch.cat([text, is_audio.flatten().nonzero().squeeze(1)]), len(text), *ids.shape)

    def padded(self, values: torch.Tensor) -> torch.Tensor:
        """[N, C] -> [B, T, C], zeros where there is padding."""
        empty = values.new_zeros(self.rows * self.length, values.shape[1])
        return empty.index_copy(0, self.places, values).view(self.rows, self.length, -1)


def _hidden(model: Any, batch: Features, layout: _Layout) -> torch.Tensor:
    """[N, H] after the last layer, before the last norm."""
    is_valid = batch["audio_input_ids_mask"]
    text = model.embed_tokens(batch["input_ids"].flatten()[layout.places[: layout.text]])
    hidden = torch.cat([text, model.embed_audio_tokens(batch["audio_input_ids"][is_valid])])
    positions = torch.arange(layout.length)[None]
    cos, sin = (part[0] for part in model.rotary_emb(hidden, positions))
    for layer in model.layers:
        hidden = hidden + _attended(layer, hidden, layout, cos, sin)
        hidden = hidden + _fed_forward(layer, hidden, layout.text)
    return hidden


def _attended(layer: Any, hidden: torch.Tensor, layout: _Layout, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    attention = layer.self_attn
    text, audio = hidden[: layout.text], hidden[layout.text :]
    normed = torch.cat([_normed(layer.input_layernorm, text), _normed(layer.audio_input_layernorm, audio)])
    weight = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
    projected = layout.padded(functional.linear(normed, weight))
    heads = projected.view(layout.rows, layout.length, -1, attention.head_dim).transpose(1, 2)
    keys = attention.k_proj.out_features // attention.head_dim
    queries, key_heads, values = heads.split([heads.shape[1] - 2 * keys, keys, keys], dim=1)
    groups = (layout.rows * keys, attention.num_key_value_groups * layout.length, attention.head_dim)
    of_group = (layout.rows * keys, layout.length, attention.head_dim)
    scores = torch.baddbmm(
        _causal(layout.length, attention.num_key_value_groups, queries.dtype),
        _rotated(queries, cos, sin).reshape(groups),
        _rotated(key_heads, cos, sin).reshape(of_group).mT,
        alpha=attention.scaling,
    )
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(values.dtype)
    attended = (weights @ values.reshape(of_group)).view(layout.rows, -1, layout.length, attention.head_dim)
    flat = attended.transpose(1, 2).reshape(layout.rows * layout.length, -1)
    output: torch.Tensor = attention.o_proj(flat[layout.places])
    return output


def _causal(length: int, groups: int, dtype: torch.dtype) -> torch.Tensor:
    """[1, groups * length, length]: 0 where a query sees a key, else minus infinity."""
    later = torch.full((length, length), float("-inf"), dtype=dtype).triu(1)
    return later.repeat(groups, 1)[None]


def _fed_forward(layer: Any, hidden: torch.Tensor, text: int) -> torch.Tensor:
    return torch.cat(
        [
            layer.mlp(_normed(layer.post_attention_layernorm, hidden[:text])),
            layer.audio_mlp(_normed(layer.audio_post_attention_layernorm, hidden[text:])),
        ]
    )


def _normed(norm: Any, values: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(values, values.shape[-1:], norm.weight.to(values.dtype), norm.variance_epsilon)


def _rotated(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * cos.to(heads.dtype) + torch.cat([-second, first], dim=-1) * sin.to(heads.dtype)


def _next_labels(batch: Features, layout: _Layout) -> torch.Tensor:
    """[N, K]: of each audio position the labels of the position after it."""
    codebooks = batch["audio_labels"].shape[-1]
    everywhere = torch.full((layout.rows * layout.length, codebooks), IGNORE)
    audio = layout.places[layout.text :]
    everywhere[audio] = batch["audio_labels"][batch["audio_input_ids_mask"]]
    shifted = everywhere.view(layout.rows, layout.length, codebooks).roll(-1, dims=1)
    shifted[:, -1] = IGNORE
    return shifted.view(-1, codebooks)[audio]
