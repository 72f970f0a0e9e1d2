"""References of a batch that has waveforms, which the model encodes in its forward.

    class CsmAdapter(ReferenceWaves, BaseAdapter): ...

Layouts of transformers: `input_values` [B, 1, n] with the clips of a sample one after the other, which end at
`input_values_cutoffs` [B, clips] (CSM); or [clips, 1, n] with `padding_mask` [clips, n] (VibeVoice).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tracker_logging.families.base import BatchView, Segment


class ReferenceWaves:
    """`reference_clip` and `with_reference_clips` of `ModelAdapter`. Every clip is a segment of the view."""

    def reference_clip(self, inputs: Mapping[str, Any], view: BatchView, segment: Segment) -> torch.Tensor:
        """See `ModelAdapter`: a waveform [n]."""
        wave: torch.Tensor = inputs["input_values"][_place(inputs, view, segment)]
        return wave

    def with_reference_clips(
        self, inputs: Mapping[str, Any], view: BatchView, clips: Mapping[Segment, torch.Tensor]
    ) -> dict[str, Any]:
        """See `ModelAdapter`."""
        waves = inputs["input_values"].clone()
        for segment, clip in clips.items():
            waves[_place(inputs, view, segment)] = clip.to(waves)
        return {**inputs, "input_values": waves}


def _place(inputs: Mapping[str, Any], view: BatchView, segment: Segment) -> tuple[int, int, slice]:
    """Where the waveform of a clip is in `input_values`."""
    if inputs.get("input_values_cutoffs") is not None:
        ends = [0, *inputs["input_values_cutoffs"][segment.sample].tolist()]
        clip = [one for one in view.segments if one.sample == segment.sample].index(segment)
        return segment.sample, 0, slice(ends[clip], ends[clip + 1])
    clip, mask = view.segments.index(segment), inputs.get("padding_mask")
    return clip, 0, slice(None) if mask is None else slice(int(mask[clip].sum()))
