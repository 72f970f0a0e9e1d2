"""Generation frame by frame, for a family whose class cannot draw each prompt's codes from a generator of its own.

    def following(frames, mask):        # what the model predicts after these frames: codes [B, K]
        return choose(self.core(…).logits[:, -1])

    clips = frame_by_frame(following, prompts, self.pattern, device)

Codebook k lags as the pattern says. Codebook 0 ends a clip and the others end with it, each after its delay; without
delays a clip ends at the frame that holds the end code in every codebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch.nn.utils.rnn import pad_sequence

from tracker_logging.families.base import GeneratedCodes, Prompt
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.sampling import generated

Following: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_NOT_YET = 2**31


def frame_by_frame(
    following: Following,
    prompts: Sequence[Prompt],
    pattern: CodePattern,
    device: torch.device,
    *,
    continued: bool = False,
    padded: bool = False,
) -> list[GeneratedCodes]:
    """Generate all prompts in one batch, at most `max_frames` each.

    `following(frames, mask)` returns the codes [B, K] int64 that come next. `frames` [B, n, K] are those since its last
    call: first what is known before, which is nothing without begin codes and audio prompts, then one frame at a time.
    `mask` [B, N] int64 is 0 where one of the N frames so far is padding.

    `continued`: the clips go on with the prompts' `audio_codes`, in one pattern (an audio prompt). These are then read
    frame by frame, and a shorter one is continued while a longer one is still read. With `padded`, for a model whose
    positions are relative, they are padded on the left and read at once.
    """
    clips, steps = _Clips(prompts, pattern, device, continued=continued, padded=padded), StepTimes()
    frames = [clips.frame(at, None) for at in range(clips.first)]
    known = torch.full((len(prompts), 0, len(pattern.delays)), pattern.fill, device=device)
    new = torch.stack(frames, dim=1) if frames else known
    for at in range(clips.first, clips.last):
        frames.append(clips.frame(at, following(new, clips.mask(at))))
        new = frames[-1].unsqueeze(1)
        steps.note(device)
        if clips.are_done(at):
            break
    whole = torch.stack(frames[clips.first :], dim=1).cpu()
    return [
        generated(clip, prompt, pattern, lead=start - clips.first, steps=steps)
        for clip, prompt, start in zip(whole, prompts, clips.starts.tolist(), strict=True)
    ]


class _Clips:
    """The clips of a batch: what is known of each, where it starts to be generated, and where it ended."""

    def __init__(
        self, prompts: Sequence[Prompt], pattern: CodePattern, device: torch.device, *, continued: bool, padded: bool
    ) -> None:
        none = torch.zeros(len(pattern.delays), 0, dtype=torch.int64)
        references = [prompt.audio_codes if continued else None for prompt in prompts]
        given = [none if reference is None else pattern.revert(reference) for reference in references]
        self._pattern, self._lead = pattern, int(pattern.bos is not None)
        self._delays = torch.tensor(pattern.delays, device=device)
        self._codes = pad_sequence([codes.T for codes in given], batch_first=True).to(device)  # [B, N, K]
        self._given = torch.tensor([codes.shape[1] for codes in given], device=device)
        self._pads = (self._given.max() - self._given) * int(padded)
        self._end = torch.full_like(self._given, _NOT_YET)
        self.starts = self._pads + self._lead + self._given
        self.first = int(self.starts.min()) if padded else self._lead  # a prompt's draws do not depend on the others
        most = torch.tensor([prompt.max_frames for prompt in prompts], device=device)
        self.last = int((self.starts + most).max()) + 1 + max(pattern.delays)

    def mask(self, at: int) -> torch.Tensor:
        """[B, at] int64: 0 where a frame before `at` is padding."""
        return (torch.arange(at, device=self._pads.device) >= self._pads[:, None]).long()

    def frame(self, at: int, predicted: torch.Tensor | None) -> torch.Tensor:
        """Frame `at` of all clips [B, K]: codes of the prompts and of the pattern, else the predicted ones."""
        pattern, place = self._pattern, at - self._pads[:, None] - self._lead - self._delays
        frame = torch.full_like(place, pattern.fill) if predicted is None else predicted
        if predicted is not None:
            at_end = predicted == pattern.eos
            ends = at_end[:, 0] if max(pattern.delays) else at_end.all(dim=1)
            ends = ends & (place[:, 0] >= self._given) & (self._end == _NOT_YET)
            self._end = torch.where(ends, place[:, 0], self._end)
        if self._codes.shape[1]:
            known = self._codes.gather(1, place.clamp(0, self._codes.shape[1] - 1).unsqueeze(1)).squeeze(1)
            frame = torch.where(place < self._given[:, None], known, frame)
        frame = frame.masked_fill(place < 0, pattern.fill if pattern.bos is None else pattern.bos)
        frame = frame.masked_fill(place == self._end[:, None], pattern.eos)
        return frame.masked_fill(place > self._end[:, None], pattern.fill)

    def are_done(self, at: int) -> bool:
        """Whether every codebook of every clip has ended by frame `at`."""
        return bool((at - self._pads - self._lead - max(self._pattern.delays) >= self._end).all())
