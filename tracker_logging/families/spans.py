"""Runs of audio positions, and which of them is the target. Pure functions for adapters of one-stream families."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracker_logging.families.base import IGNORE, Role, Segment, Span


def runs(row: torch.Tensor, *, ends: torch.Tensor | None = None) -> list[Span]:
    """Start and stop of each run of True in a 1-D bool tensor on the CPU; a True of `ends` is the last of its run."""
    edges = torch.diff(row.int(), prepend=torch.zeros(1, dtype=torch.int), append=torch.zeros(1, dtype=torch.int))
    starts = (edges == 1).nonzero().squeeze(-1).tolist()
    stops = (edges == -1).nonzero().squeeze(-1).tolist()
    found: list[Span] = []
    for start, stop in zip(starts, stops, strict=True):
        inner = [] if ends is None else [at + 1 for at in ends.nonzero().squeeze(-1).tolist() if start <= at < stop - 1]
        found += list(zip([start, *inner], [*inner, stop], strict=True))
    return found


def audio_segments(
    spans: Sequence[Sequence[Span]], audio_labels: torch.Tensor | None, *, overhang: int, lead: int
) -> tuple[Segment, ...]:
    """The segments of a batch from the audio spans of each sample.

    A span is the target if it is trained ([B, T, K] labels) and the last trained one of its sample. `overhang`:
    positions beyond the frames of a whole clip, `lead` of them before its first code.
    """
    labelled = None if audio_labels is None else (audio_labels != IGNORE).any(dim=-1).cpu()
    segments: list[Segment] = []
    for sample, own in enumerate(spans):
        trained = [span for span in own if labelled is not None and bool(labelled[sample, slice(*span)].any())]
        target = trained[-1] if trained else None
        for start, stop in own:
            role = Role.TARGET if (start, stop) == target else Role.REFERENCE
            segments.append(Segment(sample, role, start, stop, max(0, stop - start - overhang), lead))
    return tuple(segments)


def with_segments(attention_mask: torch.Tensor, segments: Sequence[Segment]) -> torch.Tensor:
    """`roles` [B, T]: text where the mask is, the segments' roles on top, padding elsewhere."""
    roles = torch.where(attention_mask, int(Role.TEXT), int(Role.PADDING))
    for segment in segments:
        roles[segment.sample, segment.start : segment.stop] = int(segment.role)
    return roles
