"""A batch with the texts, or the references, of other samples in place of its own; everything else stays as it was.

- The words before a target are replaced by those of another sample, repeated or cut to the same number of tokens. What
  both texts begin and end with stays: it may be of a template.
- All references before a target are replaced by those of another sample, repeated or cut to the same length.
- The other sample is of the batch, else of an earlier one.
- `missing` has what could not be replaced, with the reason.

    texts = OtherTexts(adapter, special_ids=special_ids)
    texts.swapped(inputs, view, targets, samples)      # (the batch with other texts, its rows that differ), or None
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from tracker_logging.families.base import BatchView, ModelAdapter, Role, Segment, Span
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.probes.attention_plan import text_of

REMEMBERED = 8  # texts and references of earlier samples

Swapped: TypeAlias = tuple[dict[str, Any], Collection[int]]
_Replace: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor | None]


class OtherTexts:
    """Of one training. One thread."""

    subject = "text gaps of training samples"

    def __init__(self, adapter: ModelAdapter, *, special_ids: Collection[int]) -> None:
        self._adapter = adapter
        self._special_ids = special_ids
        self._seen: deque[torch.Tensor] = deque(maxlen=REMEMBERED)
        self.missing: set[str] = set()

    def swapped(
        self, inputs: Mapping[str, Any], view: BatchView, targets: Sequence[Segment], samples: Sequence[int]
    ) -> Swapped | None:
        """`view` of `inputs` on the CPU; for each row its target, and the sample of the training batch that it is."""
        spans: dict[int, Span] = {}
        for row, target in enumerate(targets):
            span = text_of(view, row, before=target.start, special_ids=self._special_ids)
            if span is not None:
                spans[row] = span
            elif view.target_text is not None:
                self.missing.add("the words of a target that continues its reference are not told from the reference's")
        words = {row: view.token_ids[row, slice(*span)] for row, span in spans.items()}
        others = _others(words, samples, self._seen, _other_words)
        if not others:
            return None
        token_ids = view.token_ids.clone()
        for row, other in others.items():
            token_ids[row, slice(*spans[row])] = other
        given = self._with_text(inputs, view, token_ids)
        return None if given is None else (given, others.keys())

    def _with_text(self, inputs: Mapping[str, Any], view: BatchView, token_ids: torch.Tensor) -> dict[str, Any] | None:
        if (with_text := getattr(self._adapter, "with_text", None)) is not None:
            made: dict[str, Any] = with_text(inputs, token_ids.to(_device(inputs)))
            return made
        own: torch.Tensor | None = inputs.get("input_ids")
        if own is None or not torch.equal(view.token_ids[:, : own.shape[1]], own.cpu()):
            lacking = "makes its tokens from other arguments than" if own is None else "expands"
            self.missing.add(f"the adapter ({self._adapter.family}) {lacking} `input_ids` and has no `with_text`")
            return None
        return {**inputs, "input_ids": token_ids[:, : own.shape[1]].to(own)}


class OtherReferences:
    """Of one training. One thread."""

    subject = "reference gaps of training samples"

    def __init__(self, adapter: ModelAdapter) -> None:
        self._adapter = adapter
        self._seen: deque[torch.Tensor] = deque(maxlen=REMEMBERED)
        self.missing: set[str] = set()

    def swapped(
        self, inputs: Mapping[str, Any], view: BatchView, targets: Sequence[Segment], samples: Sequence[int]
    ) -> Swapped | None:
        """As `OtherTexts.swapped`."""
        segments = {row: found for row, target in enumerate(targets) if (found := _references(view, target))}
        several = len(view.segments) > len(targets)
        if several and not segments and getattr(self._adapter, "trains_references", False):
            self.missing.add(f"every clip of this batch ({self._adapter.family}) is trained, none is a reference")
        clips = {one: self._clip(inputs, view, one) for of_row in segments.values() for one in of_row}
        joined = {row: torch.cat([clips[one] for one in of_row]) for row, of_row in segments.items()}
        others = _others({row: clip for row, clip in joined.items() if len(clip)}, samples, self._seen, _other_clip)
        new: dict[Segment, torch.Tensor] = {}
        for row, other in others.items():
            new |= zip(segments[row], other.split([len(clips[one]) for one in segments[row]]), strict=True)
        return self._with_clips(inputs, view, new) if new else None

    def _clip(self, inputs: Mapping[str, Any], view: BatchView, segment: Segment) -> torch.Tensor:
        """[frames, K] codes of the segment, or [n, …] as the adapter gives them, on the CPU."""
        if (of_adapter := getattr(self._adapter, "reference_clip", None)) is not None:
            clip: torch.Tensor = of_adapter(inputs, view, segment)
            return clip.detach().cpu()
        laid, pattern = view.codes[segment.sample, segment.start :], self._adapter.pattern
        return laid[:0] if pattern is None else pattern.revert(laid, lead=segment.lead, frames=segment.frames).T

    def _with_clips(
        self, inputs: Mapping[str, Any], view: BatchView, clips: Mapping[Segment, torch.Tensor]
    ) -> Swapped | None:
        rows = {segment.sample for segment in clips}
        if (of_adapter := getattr(self._adapter, "with_reference_clips", None)) is not None:
            return of_adapter(inputs, view, clips), rows
        if (with_codes := getattr(self._adapter, "with_codes", None)) is None:
            self.missing.add(f"the adapter ({self._adapter.family}) has no `with_codes`")
            return None
        codes, pattern = view.codes.clone(), self._adapter.pattern
        for segment, clip in clips.items():
            if pattern is None or not _lay(pattern, view, codes, segment, clip):
                self.missing.add(f"the codes of a reference are not laid out as the family's ({self._adapter.family})")
                rows.discard(segment.sample)
        given = with_codes(inputs, codes.to(_device(inputs))) if rows else None
        if rows and given is None:
            self.missing.add(f"this batch ({self._adapter.family}) has more of a reference than codes of its frames")
        return None if given is None else (given, rows)


def _device(inputs: Mapping[str, Any]) -> torch.device:
    """Of the batch's first tensor."""
    return next(value.device for value in inputs.values() if isinstance(value, torch.Tensor))


def _references(view: BatchView, target: Segment) -> list[Segment]:
    """The references before a target, in order."""
    return [
        segment
        for segment in view.segments
        if segment.sample == target.sample and segment.role == Role.REFERENCE and segment.stop <= target.start
    ]


def _lay(pattern: CodePattern, view: BatchView, codes: torch.Tensor, segment: Segment, clip: torch.Tensor) -> bool:
    """Write the codes [frames, K] of `clip` over those of `segment` in `codes`; False if the layout is another one.

    A clip that goes on as the next segment has its last codes, delayed, among those of that one.
    """
    follows = [one for one in view.segments if (one.sample, one.start) == (segment.sample, segment.stop)]
    place = codes[segment.sample, segment.start : max(one.stop for one in (segment, *follows))]
    own = pattern.revert(place, lead=segment.lead, frames=sum(one.frames for one in (segment, *follows)))
    new, other = own.clone(), own.clone()
    new[:, : len(clip)] = clip.T
    other[:, : len(clip)] += 1
    before, after, all_changed = (pattern.apply(of)[: len(place)] for of in (own, new, other))
    rows = 1 + int((before != all_changed).any(dim=1).nonzero().max())
    if not torch.equal(place[:rows], before[:rows]):
        return False
    place[:rows] = after[:rows]
    return True


def _others(
    own: Mapping[int, torch.Tensor], samples: Sequence[int], remembered: deque[torch.Tensor], replace: _Replace
) -> dict[int, torch.Tensor]:
    """For each row what replaces its value: that of the next row of another sample, else the latest of earlier ones."""
    rows, others = list(own), {}
    for place, row in enumerate(rows):
        in_batch = [own[one] for one in rows[place + 1 :] + rows[:place] if samples[one] != samples[row]]
        replaced = (replace(own[row], value) for value in (*in_batch, *reversed(remembered)))
        other = next((value for value in replaced if value is not None), None)
        if other is not None:
            others[row] = other
    remembered.extend(value.clone() for value in own.values())
    return others


def _other_words(own: torch.Tensor, other: torch.Tensor) -> torch.Tensor | None:
    """`other` in the length of `own`, with the beginning and the end that both have; None if nothing differs.

    >>> _other_words(torch.tensor([1, 2, 3, 4, 9]), torch.tensor([1, 5, 6, 9])).tolist()
    [1, 5, 6, 5, 9]
    """
    shortest = min(len(own), len(other))
    begin = _in_common(own[:shortest], other[:shortest])
    end = _in_common(own.flip(0)[: shortest - begin], other.flip(0)[: shortest - begin])
    words = other[begin : len(other) - end]
    if not len(words) or begin + end == len(own):
        return None
    return torch.cat([own[:begin], _as_long(words, len(own) - begin - end), own[len(own) - end :]])


def _in_common(left: torch.Tensor, right: torch.Tensor) -> int:
    """How many values both begin with."""
    return int((left == right).int().cumprod(dim=0).sum())


def _other_clip(own: torch.Tensor, other: torch.Tensor) -> torch.Tensor | None:
    """`other` in the length of `own`; None if that is no other clip."""
    made = _as_long(other, len(own))
    return None if torch.equal(made, own) else made


def _as_long(values: torch.Tensor, length: int) -> torch.Tensor:
    """`values` repeated or cut to `length` along the first dimension."""
    return values[torch.arange(length) % len(values)]
