"""What is wrong with one audio span, or with the end of one sample? Answered from its codes and positions alone.

Guarantees
- Views are on the CPU. Positions to which the batch gave no frame hold −1 and decide nothing.
- Where a family has no begin code, or a clip goes on from the audio before it, nothing is said of how it begins.

    is_delayed(view, segment, pattern), two_clips(view, segment, pattern)
"""

from __future__ import annotations

from collections.abc import Collection

import torch

from tracker_logging.families import BatchView, ModelAdapter, Role, Segment
from tracker_logging.families.delay_pattern import CodePattern


def is_delayed(view: BatchView, segment: Segment, pattern: CodePattern | None) -> bool:
    """Whether each codebook of the span starts with its own number of begin codes and then leaves them."""
    if pattern is None or pattern.bos is None or segment.lead == 0:
        return True
    begins = _codes(view, segment) == pattern.bos
    lead = torch.cumprod(begins.int(), dim=0).sum(dim=0)
    expected = (torch.tensor(pattern.delays) + segment.lead).clamp(max=len(begins))  # of a clip that was cut
    return bool((lead == expected).all() and (begins.sum(dim=0) == lead).all())


def two_clips(view: BatchView, segment: Segment, pattern: CodePattern | None) -> bool:
    """Whether another clip begins inside the span: a frame of begin codes only, after one that is not."""
    if pattern is None or pattern.bos is None:
        return False
    begins = (_codes(view, segment) == pattern.bos).all(dim=-1)
    lead = int(torch.cumprod(begins.int(), dim=0).sum())
    return bool(begins[lead:].any())


def is_cut(view: BatchView, sample: int, adapter: ModelAdapter, special_ids: Collection[int]) -> bool:
    """Whether a sample was cut off: its last audio has no end, or (where nothing of it is trained as a target) it ends
    in the middle of a text, which is known from the tokenizer's special tokens."""
    there = view.attention_mask[sample].nonzero().squeeze(-1)
    if adapter.pattern is None or len(there) == 0:
        return False
    last = int(there[-1])
    in_audio = int(view.roles[sample, last]) in (Role.REFERENCE, Role.TARGET)
    if sample in view.mismatched:
        return in_audio
    own = [segment for segment in view.segments if segment.sample == sample]
    if own and not _ends(view, own[-1], adapter.pattern):
        return True
    is_whole = in_audio or any(segment.role == Role.TARGET for segment in own) or not special_ids
    return not is_whole and int(view.token_ids[sample, last]) not in special_ids


def _ends(view: BatchView, segment: Segment, pattern: CodePattern) -> bool:
    """Whether every codebook of the span has an end code (all in one frame, where a family has no delay)."""
    ends = _codes(view, segment) == pattern.eos
    if len(ends) == 0:
        return True
    return bool(ends.any(dim=0).all() if max(pattern.delays) > 0 else ends.all(dim=1).any())


def _codes(view: BatchView, segment: Segment) -> torch.Tensor:
    """The codes [F, K] of a span in the family's pattern, as far as the batch gave frames for its positions."""
    codes = view.codes[segment.sample, segment.start : segment.stop]
    return codes[(codes >= 0).all(dim=-1)]
