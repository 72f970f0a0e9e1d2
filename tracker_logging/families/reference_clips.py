"""References of a batch that has them as waveforms or latents, which the model reads in its forward.

class CsmAdapter(ReferenceClips, BaseAdapter): ...      # waveforms as transformers' classes take them
class PocketTTSAdapter(ReferenceClips, LatentModelAdapter): ...     # with a tensor and a `place` of its own
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tracker_logging.families.base import BatchView, Inputs, Segment


class ReferenceClips:
    """`reference_clip` and `with_reference_clips` of `ModelAdapter`, for clips that are in the tensor `clips_in`."""

    clips_in = "input_values"

    def reference_clip(self, inputs: Inputs, view: BatchView, segment: Segment) -> torch.Tensor:
        """See `ModelAdapter`."""
        clip: torch.Tensor = inputs[self.clips_in][self.place(inputs, view, segment)]
        return clip

    def with_reference_clips(
        self, inputs: Inputs, view: BatchView, clips: Mapping[Segment, torch.Tensor]
    ) -> dict[str, Any]:
        """See `ModelAdapter`."""
        replaced = inputs[self.clips_in].clone()
        for segment, clip in clips.items():
            replaced[self.place(inputs, view, segment)] = clip.to(replaced)
        return {**inputs, self.clips_in: replaced}

    def place(self, inputs: Inputs, view: BatchView, segment: Segment) -> Any:
        """The index of a clip in the tensor: for `input_values` [B, 1, n] with the clips of a sample one after the
        other, which end at `input_values_cutoffs` [B, clips] (CSM); or [clips, 1, n] with `padding_mask` [clips, n]
        (VibeVoice). Every clip is a segment of the view."""
        if inputs.get("input_values_cutoffs") is not None:
            ends = [0, *inputs["input_values_cutoffs"][segment.sample].tolist()]
            clip = [one for one in view.segments if one.sample == segment.sample].index(segment)
            return segment.sample, 0, slice(ends[clip], ends[clip + 1])
        clip, mask = view.segments.index(segment), inputs.get("padding_mask")
        return clip, 0, slice(None) if mask is None else slice(int(mask[clip].sum()))
