"""What is wrong with one audio span, or with the end of one sample? Answered from its codes and positions alone.

Guarantees
- Views are on the CPU. Positions to which the batch gave no frame hold −1 and decide nothing.

    codes = span_codes(view, segment)       # [F, K], the frames that the batch gave
    is_delayed(codes, adapter), two_clips(codes, adapter)
"""

from __future__ import annotations

from collections.abc import Collection

import torch

from tracker_logging.models import BatchView, ModelAdapter, Role, Segment


def span_codes(view: BatchView, segment: Segment) -> torch.Tensor:
    """The codes [F, K] of a span in the delay pattern, as far as the batch gave frames for its positions."""
    codes = view.codes[segment.sample, segment.start : segment.stop]
    return codes[(codes >= 0).all(dim=-1)]


def is_delayed(codes: torch.Tensor, adapter: ModelAdapter) -> bool:
    """Whether each codebook k of [F, K] starts with k + 1 begin codes and then leaves them."""
    begins = codes == adapter.bos_code
    lead = torch.cumprod(begins.int(), dim=0).sum(dim=0)
    return bool((lead == torch.arange(1, adapter.num_codebooks + 1)).all() and (begins.sum(dim=0) == lead).all())


def two_clips(codes: torch.Tensor, adapter: ModelAdapter) -> bool:
    """Whether another clip begins inside [F, K]: a frame of begin codes only, after one that is not."""
    begins = (codes == adapter.bos_code).all(dim=-1)
    lead = int(torch.cumprod(begins.int(), dim=0).sum())
    return bool(begins[lead:].any())


def is_cut(view: BatchView, sample: int, adapter: ModelAdapter, special_ids: Collection[int]) -> bool:
    """Whether a sample was cut off: it ends in audio, its last audio lacks an end code, or (without any target)
    it ends in the middle of a text, where the tokenizer's special tokens are known."""
    there = view.attention_mask[sample].nonzero().squeeze(-1)
    if len(there) == 0:
        return False
    last = int(there[-1])
    if int(view.roles[sample, last]) in (Role.REFERENCE, Role.TARGET):
        return True
    own = [segment for segment in view.segments if segment.sample == sample]
    if own and sample not in view.mismatched:
        codes = span_codes(view, own[-1])
        return len(codes) > 0 and not bool((codes == adapter.eos_code).any(dim=0).all())
    return not own and bool(special_ids) and int(view.token_ids[sample, last]) not in special_ids
