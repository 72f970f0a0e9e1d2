"""One extra forward of one sample, for what cannot be measured in the training step.

- Under `torch.compile` hooks inside the model do not fire reliably and cause recompilation, so the uncompiled module
  runs once more with the probes attached.
- The cosine of text and audio gradients needs the gradients of two separate losses.

Both run inside `isolated`, in evaluation mode, after the backward pass, when the activations have been freed.

    inputs = adapter.first_sample(batch)
    cosine = gradient_cosine(adapter, inputs)        # None without text labels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tracker_logging.families.base import IGNORE, BatchView, ModelAdapter
from tracker_logging.families.heads import head_outputs, scored_rows
from tracker_logging.metrics.tokens import shift_labels
from tracker_logging.probes.isolation import isolated

LAST_LAYERS = 2
_LABELS = ("labels", "audio_labels", "acoustic_loss_mask")
_OF_THE_LOSS = ("num_items_in_batch", "fused_lm_head", "skip_logits", "return_token_accuracy")  # Trainer, TRL, Liger


def run_quietly(adapter: ModelAdapter, inputs: Mapping[str, Any]) -> None:
    """A forward without loss and without gradients; hooks on the model fire."""
    with isolated(adapter.core):
        adapter.core(**forward_inputs(inputs))


def gradient_cosine(adapter: ModelAdapter, inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """Cosine (0-d float32) of the gradients of text and audio loss in the shared attention of the last layers.

    1: same direction, 0: orthogonal, -1: opposite. None if the sample trains no text or no audio, or the attention is
    frozen. Accumulated gradients are not changed.
    """
    view = adapter.view(inputs)
    text_head, audio_heads = adapter.text_head(), adapter.audio_heads()
    parameters = [
        parameter
        for parts in list(adapter.layers())[-LAST_LAYERS:]
        for parameter in parts.attention.parameters()
        if parameter.requires_grad
    ]
    if view.text_labels is None or view.audio_labels is None or text_head is None or not audio_heads or not parameters:
        return None
    text_labels = shift_labels(view.text_labels.unsqueeze(-1), predicts_next=view.attention_mask)
    if not (text_labels != IGNORE).any() or not (view.audio_labels != IGNORE).any():
        return None
    with isolated(adapter.core), torch.enable_grad():
        # With text labels in the inputs the model runs its text head too; the loss that it returns is not used.
        modules = [text_head, *(head.module for head in audio_heads)]
        text_logits, *outputs = head_outputs(adapter.core, modules, forward_inputs(inputs, labels=True))
        losses = (_loss(text_logits.flatten(0, 1), text_labels.flatten(0, 1)), _audio_loss(adapter, view, outputs))
        gradients = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in losses]
    flat = [_flat(of_loss, parameters) for of_loss in gradients]
    return nn.functional.cosine_similarity(flat[0], flat[1], dim=0)


def _audio_loss(adapter: ModelAdapter, view: BatchView, outputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Sum over the audio heads of their mean cross-entropies."""
    losses = []
    for head, output in zip(adapter.audio_heads(), outputs, strict=True):
        rows = scored_rows(head, output, view, vocabulary=adapter.codebook_vocabulary, bos_code=adapter.bos_code)
        assert rows is not None
        losses.append(_loss(rows.logits, rows.next_labels))
    return torch.stack(losses).sum()


def _loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of logits [N, k·V] against shifted labels [N, k]."""
    labelled = (labels != IGNORE).any(dim=-1).nonzero().squeeze(-1)
    logits, labels = logits[labelled], labels[labelled]
    split = logits.unflatten(-1, (labels.shape[-1], -1)).float()
    return nn.functional.cross_entropy(
        split.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum"
    ) / labels.ne(IGNORE).sum().clamp(min=1)


def _flat(gradients: tuple[torch.Tensor | None, ...], parameters: list[nn.Parameter]) -> torch.Tensor:
    parts = [
        torch.zeros_like(parameter) if gradient is None else gradient
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]
    return torch.cat([part.flatten().float() for part in parts])


def forward_inputs(inputs: Mapping[str, Any], *, labels: bool = False) -> dict[str, Any]:
    """Arguments for an extra forward: without cache and without switches of fused losses, which would skip the heads;
    without `labels` the model computes no loss."""
    dropped = _OF_THE_LOSS if labels else (*_OF_THE_LOSS, *_LABELS)
    return {name: value for name, value in inputs.items() if name not in dropped} | {"use_cache": False}
