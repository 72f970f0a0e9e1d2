"""Runs of audio positions and the roles that follow from them. Pure functions for adapters of one-stream families.

>>> runs(torch.tensor([0, 1, 1, 0, 1]).bool())
[(1, 3), (4, 5)]
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracker_logging.families.base import IGNORE, Role, Segment, Span

TRAINED = 0.5


def padding_mask(mask: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    """`mask` as bool [B, T] of the shape of `like`: False where padding is.

    All True without a mask, and with one of another shape, which tells who attends to whom (4-D or packed).
    """
    if mask is None or mask.shape != like.shape:
        return torch.ones_like(like, dtype=torch.bool)
    return mask.detach().bool()


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


def audio_segments(
    spans: Sequence[Sequence[Span]], audio_labels: torch.Tensor | None, *, overhang: int, lead: int
) -> tuple[Segment, ...]:
    """The segments of a batch from the audio spans of each sample.

    Every trained span is a target, however many a sample has; all others are references. A span is trained if the share
    of its codes that carry a label ([B, T, K] labels) is at least `TRAINED` of the highest share in its sample: a few
    stray labels make no target, nor does a codebook that a family trains in every clip. `overhang`: positions beyond
    the frames of a whole clip, `lead` of them before its first code.
    """
    labelled = None if audio_labels is None else (audio_labels != IGNORE).float().mean(dim=-1).cpu()
    segments: list[Segment] = []
    for sample, sample_spans in enumerate(spans):
        shares = [0.0 if labelled is None else float(labelled[sample, slice(*span)].mean()) for span in sample_spans]
        most = max(shares, default=0.0)
        for (start, stop), share in zip(sample_spans, shares, strict=True):
            role = Role.TARGET if share > 0 and share >= TRAINED * most else Role.REFERENCE
            segments.append(Segment(sample, role, start, stop, max(0, stop - start - overhang), lead))
    return tuple(segments)


def with_segments(attention_mask: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
    """`roles` [B, T]: the segments' roles at their positions, else text where the mask is True, else padding."""
    roles = torch.where(attention_mask, int(Role.TEXT), int(Role.PADDING))
    for segment in segments:
        roles[segment.sample, segment.start : segment.stop] = int(segment.role)
    return roles
