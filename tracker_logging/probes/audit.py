"""Does a batch have the structure that voice cloning needs? Counts and violations, from the batch alone.

A target of T frames has T + 1 positions to be trained in each codebook: its codes and its first end code. Everything
else (begin codes, the fill after the end, the reference, the prompt's text) must carry no label.

- A batch that is wrong in any way is counted, never refused: what cannot be measured in it is None.

    audit = audit_batch(adapter.view(inputs), adapter)
    audit.violations        # () for a sound batch
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from tracker_logging.families import BatchView, ModelAdapter
from tracker_logging.probes.audit_labels import LabelShares, label_shares
from tracker_logging.probes.audit_spans import is_cut, is_delayed, two_clips
from tracker_logging.probes.audit_violations import Violation, violations


@dataclass(frozen=True, slots=True)
class BatchAudit:
    """Shares are in percent; None where the batch has nothing to measure them on.

    `labels`: who carries a label. `delay_violations` and `crossing_spans` count audio spans, `placeholder_mismatch` and
    `truncated` count samples.
    """

    lengths: tuple[int, ...]
    padding_pct: float
    labels: LabelShares
    delay_violations: int
    crossing_spans: int
    placeholder_mismatch: int
    truncated: int
    violations: tuple[Violation, ...]


def audit_batch(view: BatchView, adapter: ModelAdapter, *, special_ids: Collection[int] = ()) -> BatchAudit:
    """Audit one batch. Tensors may be on any device; one copy to the CPU is made.

    `special_ids` are the tokenizer's special tokens: they bound the target's own text.
    """
    view = _on_cpu(view)
    return BatchAudit(
        lengths=tuple(view.attention_mask.sum(dim=1).tolist()),
        padding_pct=100.0 * (1.0 - view.attention_mask.float().mean().item()),
        labels=label_shares(view, adapter, special_ids=special_ids),
        delay_violations=sum(not is_delayed(view, segment, adapter.pattern) for segment in view.segments),
        crossing_spans=sum(two_clips(view, segment, adapter.pattern) for segment in view.segments),
        placeholder_mismatch=len(view.mismatched),
        truncated=sum(is_cut(view, sample, adapter, special_ids) for sample in range(len(view.token_ids))),
        violations=tuple(violations(view, adapter, special_ids=special_ids)),
    )


def _on_cpu(view: BatchView) -> BatchView:
    values = {field.name: getattr(view, field.name) for field in fields(view)}
    moved: dict[str, Any] = {name: own.cpu() for name, own in values.items() if isinstance(own, torch.Tensor)}
    return replace(view, **moved)
