"""Which logits score which labels, whatever heads a family has.

Guarantees
- The label at t is scored by the logits at t − 1, within one clip: the last frame of a clip never predicts the first
  of the next, and frame 0 of a clip is predicted from the token before it (audio-begin).
- A head that sees only some positions (a depth decoder on labelled frames, a decoder beside an encoder) is scored at
  those positions; logits of an unexpected shape raise an error.

>>> from tracker_logging.families.base import Segment
>>> view = BatchView(
...     token_ids=torch.tensor([[7, 9, 9]]), attention_mask=torch.ones(1, 3, dtype=torch.bool),
...     roles=torch.tensor([[1, 3, 3]]), codes=torch.tensor([[[-1], [4], [5]]]),
...     audio_labels=torch.tensor([[[-100], [4], [5]]]), text_labels=None,
...     segments=(Segment(sample=0, role=Role.TARGET, start=1, stop=3, frames=2, lead=0),),
... )
>>> head = AudioHead(nn.Linear(1, 8), codebooks=range(1))
>>> scored_rows(head, torch.zeros(1, 3, 8), view, vocabulary=8, bos_code=-1).next_labels.tolist()
[[4], [5], [-100]]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tracker_logging.families.base import IGNORE, AudioHead, BatchView, ModelAdapter, Role
from tracker_logging.metrics.tokens import shift_labels


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """N rows of a head of k codebooks: `logits` [N, k·V], `next_labels` [N, k] that score them, `labels` [N, k] of the
    position itself, and `at` [N], the flat position b · T + t (None: row n is position n).

    Labels are columns of the logits: the codes themselves, except in a head with `AudioHead.columns`."""

    logits: torch.Tensor
    next_labels: torch.Tensor
    labels: torch.Tensor
    at: torch.Tensor | None


def predicts_next(view: BatchView, *, bos_code: int) -> torch.Tensor:
    """[B, T] bool: whether the audio label at t + 1 scores the logits at t.

    True within a segment, except where the next frame begins another clip (the begin code in all codebooks, after an
    audio position). The first frame of a clip is predicted by the text before it, never by another clip; a segment
    without lead continues the audio before it.
    """
    audio = (view.roles == Role.REFERENCE) | (view.roles == Role.TARGET)
    clip = torch.zeros_like(view.roles)
    continues = torch.zeros_like(audio)
    for number, segment in enumerate(view.segments, start=1):
        clip[segment.sample, segment.start : segment.stop] = number
        continues[segment.sample, segment.start] = segment.lead == 0
    begins = (view.codes == bos_code).all(dim=-1)
    allowed = torch.zeros_like(audio)
    same_clip = (clip[:, 1:] == clip[:, :-1]) & ~begins[:, 1:]
    after_text = ~audio[:, :-1]
    allowed[:, :-1] = view.attention_mask[:, :-1] & audio[:, 1:] & (after_text | same_clip | continues[:, 1:])
    return allowed


def audio_rows(
    head: AudioHead, output: torch.Tensor, view: BatchView, *, vocabulary: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(logits [N, k·V], flat positions [N] or None for all). Raises `ValueError` for an output of another shape."""
    at = view.rows_in_layers if head.rows is None else head.rows(view)
    rows = view.token_ids.numel() if at is None else len(at)
    width = len(head.codebooks) * vocabulary if head.columns is None else output.shape[-1]
    if output.numel() != rows * width:
        raise ValueError(
            f"audio logits have shape {tuple(output.shape)}; the config and the batch need {rows} rows of "
            f"{len(head.codebooks)} × {vocabulary}"
        )
    return output.reshape(rows, width), at


def scored_rows(
    head: AudioHead, output: torch.Tensor, view: BatchView, *, vocabulary: int, bos_code: int
) -> ScoredRows | None:
    """A head's output with its labels; None for a batch without audio labels. Raises as `audio_rows` does."""
    logits, at = audio_rows(head, output, view, vocabulary=vocabulary)
    if view.audio_labels is None:
        return None
    columns = slice(head.codebooks.start, head.codebooks.stop)
    labels = view.audio_labels
    shifted = shift_labels(labels, predicts_next=predicts_next(view, bos_code=bos_code))
    flat, flat_shifted = labels[..., columns].flatten(0, 1), shifted[..., columns].flatten(0, 1)
    if at is not None:
        flat, flat_shifted = flat[at], flat_shifted[at]
    if head.columns is not None:
        flat, flat_shifted = (_in_columns(labels, head.columns.to(labels.device)) for labels in (flat, flat_shifted))
    return ScoredRows(logits, flat_shifted, flat, at)


def _in_columns(labels: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """The column of each label; `IGNORE` stays."""
    return torch.where(labels == IGNORE, labels, columns[labels.clamp(min=0)])


def head_outputs(
    core: nn.Module, heads: Sequence[nn.Module], inputs: Mapping[str, Any], **more: Any
) -> list[torch.Tensor]:
    """The outputs of these modules in one forward of `core`; the hooks are removed again."""
    outputs: dict[nn.Module, torch.Tensor] = {}
    handles = [head.register_forward_hook(lambda module, _, output: outputs.update({module: output})) for head in heads]
    try:
        core(**inputs, **more)
    finally:
        for handle in handles:
            handle.remove()
    return [outputs[head] for head in heads]


def mean_nll(adapter: ModelAdapter, inputs: Mapping[str, Any]) -> torch.Tensor:
    """[B, K] float32: mean nll in nats at the labelled positions of each target, from one forward; NaN without one.

    Raises `ValueError` for a batch without audio labels.
    """
    view, heads = adapter.view(inputs), adapter.audio_heads()
    if view.audio_labels is None:
        raise ValueError("audio_nll needs audio labels in the batch.")
    samples, length = view.token_ids.shape
    sums = torch.zeros(samples, adapter.num_codebooks, device=view.roles.device)
    counts = torch.zeros_like(sums)
    outputs = head_outputs(adapter.core, [head.module for head in heads], inputs, use_cache=False)
    for head, output in zip(heads, outputs, strict=True):
        vocabulary = adapter.codebook_vocabulary
        rows = scored_rows(head, output, view, vocabulary=vocabulary, bos_code=adapter.bos_code)
        assert rows is not None
        at = torch.arange(len(rows.labels), device=sums.device) if rows.at is None else rows.at
        # A family that trains references labels them too; only the target counts.
        of_target = view.roles.flatten()[(at + 1).clamp(max=samples * length - 1)] == Role.TARGET
        keep = ((rows.next_labels != IGNORE).any(dim=-1) & of_target).nonzero().squeeze(-1)
        logits = rows.logits[keep].unflatten(-1, (len(head.codebooks), -1)).float()
        nll = nn.functional.cross_entropy(
            logits.movedim(-1, 1), rows.next_labels[keep], ignore_index=IGNORE, reduction="none"
        )
        columns = slice(head.codebooks.start, head.codebooks.stop)
        sums[:, columns].index_add_(0, at[keep] // length, nll)
        counts[:, columns].index_add_(0, at[keep] // length, (rows.next_labels[keep] != IGNORE).float())
    return sums / counts
