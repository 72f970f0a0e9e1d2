"""How much worse is the loss of a training sample with another sample's text, or with another reference?

The batch keeps its layout: the words before a target are replaced by those of another sample, repeated or cut to the
same number of tokens, and the frames of its reference likewise. The other sample is of the batch, else of an earlier
logged step.

Guarantees
- At most `MOST` samples of the first micro-batch, in at most three forwards without gradients; everything is restored
  (`isolated`).
- A sample of several targets has no gap, nor one whose text the model does not read as `input_ids`. Gaps of the
  reference need an adapter with `with_codes`.

    gaps = TrainingGaps(adapter, special_ids=special_ids)
    gaps.measure(inputs, view, {0: 3.1, 1: 2.4})    # {0: SampleGaps(reference=0.31, text=1.24), …}, in nats per code
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tracker_logging.families.base import BatchView, ModelAdapter, Role, Segment, Span
from tracker_logging.probes.attention_plan import text_of
from tracker_logging.probes.isolation import isolated
from tracker_logging.probes.side_forward import forward_inputs
from tracker_logging.probes.tensors import to_device

MOST = 4  # samples of a logged step
REMEMBERED = 8  # texts and references of earlier samples

_Swapped = tuple[dict[str, Any], Collection[int]]  # inputs, rows that differ


@dataclass(frozen=True, slots=True)
class SampleGaps:
    """nll with another sample's reference, or text, − nll with its own, in nats; None where it was not measured."""

    reference: float | None = None
    text: float | None = None


class TrainingGaps:
    """Of one training. One thread."""

    def __init__(self, adapter: ModelAdapter, *, special_ids: Collection[int]) -> None:
        self._adapter = adapter
        self._special_ids = special_ids
        self._texts: deque[torch.Tensor] = deque(maxlen=REMEMBERED)
        self._references: deque[torch.Tensor] = deque(maxlen=REMEMBERED)

    def measure(self, inputs: Mapping[str, Any], view: BatchView, losses: Mapping[int, float]) -> dict[int, SampleGaps]:
        """By sample of the batch, for those with the highest of `losses`. `inputs` has the labels of the batch."""
        targets = [segment.sample for segment in view.targets]
        single = [sample for sample in targets if targets.count(sample) == 1 and sample in losses]
        rows = sorted(sorted(single, key=lambda sample: -losses[sample])[:MOST])
        token_ids: torch.Tensor = inputs["input_ids"]
        if not rows or view.audio_labels is None or not _equal(view.token_ids[:, : token_ids.shape[-1]], token_ids):
            return {}
        own = _rows(inputs, rows, samples=len(view.roles))
        own_view = self._adapter.view(own)
        if own_view.audio_labels is None or not _equal(own_view.audio_labels, view.audio_labels[rows]):
            return {}  # the family lays the rows of a batch out in another way
        at_hand = to_device(own_view, torch.device("cpu"))
        swapped = {"text": self._other_texts(own, at_hand), "reference": self._other_references(own, at_hand)}
        if not any(swapped.values()):
            return {}
        gaps: dict[str, dict[int, float]] = {"text": {}, "reference": {}}
        with isolated(self._adapter.core):
            nll = self._nll(own)
            for name, other in swapped.items():
                if other is not None:
                    difference = self._nll(other[0]) - nll
                    gaps[name] = {row: float(difference[row]) for row in other[1]}
        return {row: SampleGaps(gaps["reference"].get(at), gaps["text"].get(at)) for at, row in enumerate(rows)}

    def _nll(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        """[B] float64: mean over the codebooks that the target has."""
        given = {name: value for name, value in forward_inputs(inputs, labels=True).items() if name != "use_cache"}
        return self._adapter.audio_nll(given).double().nanmean(dim=1).cpu()

    def _other_texts(self, inputs: Mapping[str, Any], view: BatchView) -> _Swapped | None:
        spans: dict[int, Span] = {}
        for target in view.targets:
            span = text_of(view, target.sample, before=target.start, special_ids=self._special_ids)
            if span is not None and span[1] <= inputs["input_ids"].shape[1]:
                spans[target.sample] = span
        words = {row: view.token_ids[row, slice(*span)] for row, span in spans.items()}
        others = _others(words, self._texts)
        token_ids = inputs["input_ids"].clone()
        for row, other in others.items():
            token_ids[row, slice(*spans[row])] = _as_long(other, len(words[row])).to(token_ids)
        return ({**inputs, "input_ids": token_ids}, others.keys()) if others else None

    def _other_references(self, inputs: Mapping[str, Any], view: BatchView) -> _Swapped | None:
        pattern, with_codes = self._adapter.pattern, getattr(self._adapter, "with_codes", None)
        if pattern is None or with_codes is None:
            return None
        segments = {row: only for row in range(len(view.roles)) if (only := _only_reference(view, row)) is not None}
        clips = {
            row: pattern.revert(_codes(view, segment), lead=segment.lead, frames=segment.frames).T
            for row, segment in segments.items()
        }
        others = _others({row: clip for row, clip in clips.items() if len(clip)}, self._references)
        codes, changed = view.codes.clone(), []
        for row, other in others.items():
            of_reference = _codes(view, segments[row])
            laid = pattern.apply(_as_long(other, len(clips[row])).T)[: len(of_reference)]
            place = codes[row, segments[row].start :][: len(laid)]
            if torch.equal(laid >= 0, place >= 0):
                place.copy_(laid)
                changed.append(row)
        given = with_codes(inputs, codes.to(inputs["input_ids"].device)) if changed else None
        return None if given is None else (given, changed)


def _rows(inputs: Mapping[str, Any], rows: Sequence[int], *, samples: int) -> dict[str, Any]:
    """These samples of every tensor that has one row, or equally many, for each sample."""
    chosen: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, torch.Tensor) and value.dim() and len(value) and len(value) % samples == 0:
            value = value.unflatten(0, (samples, -1))[list(rows)].flatten(0, 1)
        chosen[name] = value
    return chosen


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.shape == right.shape and torch.equal(left, right)


def _others(own: Mapping[int, torch.Tensor], remembered: deque[torch.Tensor]) -> dict[int, torch.Tensor]:
    """For each row the value of the next row that differs, else the latest of earlier samples that does."""
    rows, partners = list(own), {}
    for place, row in enumerate(rows):
        candidates = [*(own[other] for other in rows[place + 1 :] + rows[:place]), *reversed(remembered)]
        other = next((value for value in candidates if not torch.equal(value, own[row])), None)
        if other is not None:
            partners[row] = other
    remembered.extend(value.clone() for value in own.values())
    return partners


def _as_long(values: torch.Tensor, length: int) -> torch.Tensor:
    """`values` repeated or cut to `length` along the first dimension."""
    return values[torch.arange(length) % len(values)]


def _only_reference(view: BatchView, row: int) -> Segment | None:
    """The reference of a sample that has one before its target, with a layout of its own."""
    clips = [segment for segment in view.segments if segment.sample == row]
    if [clip.role for clip in clips] != [Role.REFERENCE, Role.TARGET] or clips[0].stop >= clips[1].start:
        return None
    return clips[0]


def _codes(view: BatchView, segment: Segment) -> torch.Tensor:
    return view.codes[segment.sample, segment.start : segment.stop]
