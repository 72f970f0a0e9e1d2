"""How much worse is the loss of a training sample with another sample's text, or with another reference?

The batch keeps its layout, see `swaps.py`.

Guarantees
- At most `MOST` targets of the first micro-batch, and no more rows than it has, in at most three forwards without
  gradients; everything is restored (`isolated`).
- Of a dialogue, the words before one target are replaced at a time, and all references before it.
- `missing` has what this training cannot give, with the reason.

    gaps = TrainingGaps(adapter, special_ids=special_ids)
    gaps.measure(inputs, view, {target: 3.1})    # {target: SampleGaps(reference=0.31, text=1.24)}, in nats per code
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tracker_logging.families.base import BatchView, ModelAdapter, Segment
from tracker_logging.families.batches import rows_of
from tracker_logging.families.latents import LatentAdapter
from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.side_forward import forward_inputs
from tracker_logging.probes.swaps import OtherReferences, OtherTexts
from tracker_logging.probes.tensors import to_device
from tracker_logging.probes.tokens import losses_of

MOST = 4  # targets of a logged step


@dataclass(frozen=True, slots=True)
class SampleGaps:
    """nll with another sample's reference, or text, − nll with its own, in nats; None where it was not measured."""

    reference: float | None = None
    text: float | None = None


class TrainingGaps:
    """Of one training. One thread."""

    def __init__(self, adapter: ModelAdapter, *, special_ids: Collection[int]) -> None:
        self._adapter = adapter
        self._texts = OtherTexts(adapter, special_ids=special_ids)
        self._references = OtherReferences(adapter)
        self._missing: set[str] = set()

    @property
    def missing(self) -> list[str]:
        """What was not measured so far, with the reason."""
        of_swaps = (f"{part.subject}: {why}" for part in (self._texts, self._references) for why in part.missing)
        return sorted({*self._missing, *of_swaps})

    def measure(
        self, inputs: Mapping[str, Any], view: BatchView, losses: Mapping[Segment, float]
    ) -> dict[Segment, SampleGaps]:
        """By target, for those with the highest of `losses`. `inputs` has the labels of the batch."""
        most = min(MOST, len(view.roles))
        hardest = sorted(losses, key=lambda target: -losses[target])[:most]
        chosen = sorted(hardest, key=lambda target: (target.sample, target.start))
        if not chosen:
            return {}
        rows = [target.sample for target in chosen]
        of_adapter = getattr(self._adapter, "samples", None)
        own = rows_of(inputs, rows, samples=len(view.roles)) if of_adapter is None else of_adapter(inputs, rows)
        own_view = self._adapter.view(own)
        if not _same(own_view, view, rows):
            self._missing.add(f"gaps of training samples: rows of a batch of {self._adapter.family} cannot be chosen")
            return {}
        places = [_of(view, target.sample).index(target) for target in chosen]
        targets = [_of(own_view, row)[place] for row, place in enumerate(places)]
        at_hand = to_device(own_view, torch.device("cpu"))
        swapped = [part.swapped(own, at_hand, targets, rows) for part in (self._references, self._texts)]
        if not any(swapped):
            return {}
        gaps: list[dict[Segment, float]] = [{}, {}]
        with isolated(self._adapter.core):
            nll = self._nll(own)
            for of_part, other in zip(gaps, swapped, strict=True):
                if other is not None:
                    changed = self._nll(other[0])
                    of_part |= {chosen[row]: changed[targets[row]] - nll[targets[row]] for row in other[1]}
        return {target: SampleGaps(*(of_part.get(target) for of_part in gaps)) for target in chosen}

    def _nll(self, inputs: Mapping[str, Any]) -> dict[Segment, float]:
        """Of each target, per code; the flow loss of latents, with the same noise for every batch."""
        given = {name: value for name, value in forward_inputs(inputs, labels=True).items() if name != "use_cache"}
        if isinstance(self._adapter, LatentAdapter):
            of_rows = self._adapter.audio_nll(given)[:, 0].tolist()
            return {target: of_rows[target.sample] for target in self._adapter.view(given).targets}
        return {target: nll for target, nll, _ in losses_of(self._adapter, given)}


def _of(view: BatchView, sample: int) -> list[Segment]:
    return [target for target in view.targets if target.sample == sample]


def _same(own: BatchView, view: BatchView, rows: Sequence[int]) -> bool:
    """Whether `own` has these rows of `view`, apart from padding."""
    parts = [(of.token_ids, of.codes, of.audio_labels, of.frame_labels) for of in (own, view)]
    masks = own.attention_mask, view.attention_mask[list(rows)]
    return all(
        left is right is None
        or (left is not None and right is not None and _equal(left[masks[0]], right[list(rows)][masks[1]]))
        for left, right in zip(*parts, strict=True)
    )


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.shape == right.shape and torch.equal(left, right)
