"""Samples of one batch that have the same target, or the same text with another target.

repeated = repeats_in(view)
repeated.target_pct, repeated.text_pct
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import torch

from tracker_logging.families.base import BatchView
from tracker_logging.probes.attention_plan import text_of


@dataclass(frozen=True, slots=True)
class Repeats:
    """Shares of the samples with a target, in percent; None where fewer than two samples can be compared.

    - `target_pct`: another sample of the batch has the same target codes
    - `text_pct`: another sample of the batch has the same target text, and other target codes
    """

    target_pct: float | None
    text_pct: float | None


def repeats_in(view: BatchView, *, special_ids: Collection[int] = ()) -> Repeats:
    """Compare the samples of a batch on the CPU by the last target of each. `special_ids` bound the target's text."""
    if view.codes.shape[-1] == 0:  # no codes to compare
        return Repeats(None, None)
    codes: dict[int, tuple[int, ...]] = {}
    texts: dict[int, tuple[int, ...]] = {}
    for segment in view.targets:
        if segment.frames:
            sample = segment.sample
            codes[sample] = tuple(view.codes[sample, segment.start : segment.stop].flatten().tolist())
            text = _text(view, sample, before=segment.start, special_ids=special_ids)
            if text:
                texts[sample] = text
    pairs = {sample: (text, codes[sample]) for sample, text in texts.items()}
    targets, by_text, by_pair = Counter(codes.values()), Counter(texts.values()), Counter(pairs.values())
    same_target = [targets[target] > 1 for target in codes.values()]
    same_text = [by_text[text] > by_pair[text, target] for text, target in pairs.values()]
    return Repeats(_share(same_target), _share(same_text))


def _text(view: BatchView, sample: int, *, before: int, special_ids: Collection[int]) -> tuple[int, ...]:
    """Token ids of the target's text; empty where it cannot be located."""
    span = text_of(view, sample, before=before, special_ids=special_ids)
    ids: torch.Tensor = view.token_ids[sample]
    return () if span is None else tuple(ids[slice(*span)].tolist())


def _share(chosen: Collection[bool]) -> float | None:
    return 100.0 * sum(chosen) / len(chosen) if len(chosen) > 1 else None
