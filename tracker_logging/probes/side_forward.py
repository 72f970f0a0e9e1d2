"""One extra forward of one sample through the model itself, for what cannot be seen in the training step.

- Under `torch.compile` no hook inside the model fires reliably, and one that is there makes it compile again: the
  un-compiled module is run once more with the probes on.
- The agreement of text and audio gradients needs the two losses apart.

Both run inside `isolated`, in evaluation mode, after the backward pass, when activations are free again.

    inputs = one_sample(batch)
    cosine = gradient_cosine(adapter, inputs)        # None without text labels
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from tracker_logging.metrics.tokens import shift_labels
from tracker_logging.models.base import IGNORE, ModelAdapter
from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.tokens import predicts_next

LAST_LAYERS = 2
_LABELS = ("labels", "audio_labels")


def one_sample(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The first sample of a batch: the first row of every tensor that has one row per sample."""
    count = len(inputs["input_ids"])
    return {
        name: value[:1] if isinstance(value, torch.Tensor) and value.dim() and len(value) == count else value
        for name, value in inputs.items()
        if name != "num_items_in_batch"
    }


def run_quietly(adapter: ModelAdapter, inputs: Mapping[str, Any]) -> None:
    """A forward without loss and without gradients; hooks on the model fire."""
    with isolated(adapter.core):
        adapter.core(**unlabelled(inputs), use_cache=False)


def can_part_gradients(model: nn.Module) -> bool:
    """Whether the gradients of two losses can be taken apart: not where parameters are sharded."""
    return not any(isinstance(own, DTensor) or hasattr(own, "_fsdp_flattened") for own in model.parameters())


def gradient_cosine(adapter: ModelAdapter, inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """Cosine (0-d float32) between the gradients of the text and the audio loss in the last layers' shared attention.

    1: both pull the same way, 0: they do not touch each other, −1: they fight. None where the sample trains no text or
    no audio, or the attention is frozen. Gradients that are being accumulated are not touched.
    """
    view = adapter.view(inputs)
    heads = (adapter.text_head(), adapter.audio_head())
    parameters = [
        parameter
        for parts in list(adapter.layers())[-LAST_LAYERS:]
        for parameter in parts.attention.parameters()
        if parameter.requires_grad
    ]
    if view.text_labels is None or view.audio_labels is None or None in heads or not parameters:
        return None
    text_labels = shift_labels(view.text_labels.unsqueeze(-1), predicts_next=view.attention_mask)
    audio_labels = shift_labels(view.audio_labels, predicts_next=predicts_next(view, bos_code=adapter.bos_code))
    if not (text_labels != IGNORE).any() or not (audio_labels != IGNORE).any():
        return None
    with isolated(adapter.core), torch.enable_grad():
        text_logits, audio_logits = _logits(adapter, heads, inputs)
        gradients = [
            torch.autograd.grad(_loss(logits, labels), parameters, retain_graph=True, allow_unused=True)
            for logits, labels in ((text_logits, text_labels), (audio_logits, audio_labels))
        ]
    flat = [_flat(own, parameters) for own in gradients]
    return nn.functional.cosine_similarity(flat[0], flat[1], dim=0)


def _logits(adapter: ModelAdapter, heads: tuple[Any, ...], inputs: Mapping[str, Any]) -> list[torch.Tensor]:
    """What the text and the audio head give in one forward."""
    seen: dict[nn.Module, torch.Tensor] = {}
    handles = [head.register_forward_hook(lambda module, _, output: seen.update({module: output})) for head in heads]
    try:
        # With text labels the model runs its text head too; its own loss is not used.
        adapter.core(**inputs, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return [seen[head] for head in heads]


def _loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of logits [B, T, K·V] against labels [B, T, K] that are shifted already."""
    split = logits.unflatten(-1, (labels.shape[-1], -1)).float()
    return nn.functional.cross_entropy(split.flatten(0, 2), labels.flatten(), ignore_index=IGNORE)


def _flat(gradients: tuple[torch.Tensor | None, ...], parameters: list[nn.Parameter]) -> torch.Tensor:
    parts = [
        torch.zeros_like(parameter) if gradient is None else gradient
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]
    return torch.cat([part.flatten().float() for part in parts])


def unlabelled(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs without labels: then the model computes no loss."""
    return {name: value for name, value in inputs.items() if name not in _LABELS}
