"""Runs of audio positions, and the view of a batch that follows from them. Pure functions for adapters.

>>> runs(torch.tensor([0, 1, 1, 0, 1]).bool())
[(1, 3), (4, 5)]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from tracker_logging.families.base import IGNORE, BatchView, Inputs, Role, Segment, Span

TRAINED = 0.5


def padding_mask(mask: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    """`mask` as bool [B, T] of the shape of `like`: False where padding is.

    All True without a mask, and with one of another shape, which tells who attends to whom (4-D or packed).
    """
    if mask is None or mask.shape != like.shape:
        return torch.ones_like(like, dtype=torch.bool)
    return mask.detach().bool()


def tokens_and_mask(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """`input_ids` and the `padding_mask` of a batch, [B, T] each."""
    token_ids = inputs["input_ids"].detach()
    return token_ids, padding_mask(inputs.get("attention_mask"), token_ids)


def runs(row: torch.Tensor, *, ends: torch.Tensor | None = None) -> list[Span]:
    """Start and stop of each run of True in a 1-D bool tensor on the CPU. A True of `ends` ends its run after it."""
    edges = torch.diff(row.int(), prepend=torch.zeros(1, dtype=torch.int), append=torch.zeros(1, dtype=torch.int))
    starts = (edges == 1).nonzero().squeeze(-1).tolist()
    stops = (edges == -1).nonzero().squeeze(-1).tolist()
    cuts = [] if ends is None else [at + 1 for at in ends.nonzero().squeeze(-1).tolist()]
    spans: list[Span] = []
    for start, stop in zip(starts, stops, strict=True):
        inner = [cut for cut in cuts if start < cut < stop]
        spans += list(zip([start, *inner], [*inner, stop], strict=True))
    return spans


def runs_by_sample(where: torch.Tensor, *, ends: torch.Tensor | None = None) -> list[list[Span]]:
    """`runs` of each row of a bool tensor [B, T] on any device."""
    marks = [None] * len(where) if ends is None else ends.cpu()
    return [runs(row, ends=of_row) for row, of_row in zip(where.cpu(), marks, strict=True)]


def audio_segments(
    spans: Sequence[Sequence[Span]],
    audio_labels: torch.Tensor | None,
    *,
    overhang: int,
    lead: int,
    continued: bool = False,
) -> tuple[Segment, ...]:
    """The segments of a batch from the audio spans of each sample.

    Every trained span is a target, however many a sample has; all others are references. A span is trained if the share
    of its codes that carry a label ([B, T, K] labels) is at least `TRAINED` of the highest share in its sample: a few
    stray labels make no target, nor does a codebook that a family trains in every clip. `overhang`: positions beyond
    the frames of a whole clip, `lead` of them before its first code.

    `continued`: a target may continue a reference in one span (an audio prompt), which is then cut at its first label.

    >>> labels = torch.tensor([-100, -100, -100, -100, 5, 5, 5]).view(1, 7, 1)
    >>> parts = audio_segments([[(1, 7)]], labels, overhang=2, lead=1, continued=True)
    >>> [(part.role.name, part.start, part.stop, part.frames, part.lead) for part in parts]
    [('REFERENCE', 1, 4, 2, 1), ('TARGET', 4, 7, 2, 0)]
    """
    labelled = None if audio_labels is None else (audio_labels != IGNORE).float().mean(dim=-1).cpu()
    segments: list[Segment] = []
    for sample, sample_spans in enumerate(spans):
        share = torch.zeros(0) if labelled is None else labelled[sample]
        parts = [Segment(sample, Role.REFERENCE, *span, span[1] - span[0] - overhang, lead) for span in sample_spans]
        if continued:
            parts = [part for whole in parts for part in _cut_at_label(whole, share)]
        shares = [float(share[part.start : part.stop].sum()) / (part.stop - part.start) for part in parts]
        for part, trained in zip(parts, shares, strict=True):
            role = Role.TARGET if 0 < trained >= TRAINED * max(shares) else Role.REFERENCE
            segments.append(replace(part, role=role, frames=max(0, part.frames)))
    return tuple(segments)


def _cut_at_label(whole: Segment, share: torch.Tensor) -> list[Segment]:
    """A clip and what continues it from its first label on; `whole` where no code is before the label."""
    labelled = share[whole.start : whole.stop].nonzero()
    frames = int(labelled[0]) - whole.lead if len(labelled) else 0
    if frames <= 0:
        return [whole]
    cut = whole.start + whole.lead + frames
    return [replace(whole, stop=cut, frames=frames), replace(whole, start=cut, frames=whole.frames - frames, lead=0)]


def with_segments(attention_mask: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
    """`roles` [B, T]: the segments' roles at their positions, else text where the mask is True, else padding."""
    roles = torch.where(attention_mask, int(Role.TEXT), int(Role.PADDING))
    for segment in segments:
        roles[segment.sample, segment.start : segment.stop] = int(segment.role)
    return roles


def batch_view(
    token_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    segments: Sequence[Segment] = (),
    *,
    codes: torch.Tensor | None = None,
    **more: Any,
) -> BatchView:
    """The view of a batch, with roles from its segments. `codes` None: no codebooks. `more`: its other fields."""
    return BatchView(
        token_ids=token_ids,
        attention_mask=attention_mask,
        roles=with_segments(attention_mask, segments),
        codes=token_ids.new_empty((*token_ids.shape, 0)) if codes is None else codes,
        segments=tuple(segments),
        **more,
    )
