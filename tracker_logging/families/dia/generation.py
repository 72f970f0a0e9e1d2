"""Free-running generation of Dia, row by row, with one random generator per prompt.

transformers' own `generate` of Dia takes no logits processor and draws from the global generator, so a clip would
depend on its batch. The rules here are the same: channel c lags by its delay, only channel 0 ends a clip, an audio
prompt is a prefix, and the model's own classifier-free guidance is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, EncoderDecoderCache
from transformers.generation.logits_process import DiaClassifierFreeGuidanceLogitsProcessor

from tracker_logging.families.base import GeneratedCodes, Prompt, SamplingSettings, StopReason
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.first_frame import StepTimes
from tracker_logging.families.sampling import Chooser

_NOT_YET = 2**31
_NEVER = -1e9  # finite: guidance takes differences of logits


def generate(
    core: Any, pattern: CodePattern, prompts: Sequence[Prompt], settings: SamplingSettings
) -> list[GeneratedCodes]:
    """All prompts in one batch with a KV cache. The caller isolates mode and gradients."""
    steps = StepTimes()
    device = next(core.parameters()).device
    choose = Chooser(settings, [prompt.seed for prompt in prompts])
    clips, decode = _Clips(pattern, prompts, device), _Decoder(core, pattern, prompts, device)
    rows = [clips.row(at, None) for at in range(clips.begin)]
    new_rows = torch.stack(rows, dim=1)
    for at in range(clips.begin, clips.last):
        rows.append(clips.row(at, choose(decode(new_rows, clips.mask(at)))))
        new_rows = rows[-1].unsqueeze(1)
        steps.note(device)
        if clips.done(at):
            break
    return clips.generated(torch.stack(rows, dim=1).cpu(), steps)


class _Clips:
    """The state of each clip. Clips are padded on the left, so that generation begins at the same row for all."""

    def __init__(self, pattern: CodePattern, prompts: Sequence[Prompt], device: torch.device) -> None:
        no_codes = torch.zeros(len(pattern.delays), 0, dtype=torch.int64)
        codes = [no_codes if prompt.audio_codes is None else pattern.revert(prompt.audio_codes) for prompt in prompts]
        lengths = [clip.shape[1] for clip in codes]
        self._pattern, self._prompts = pattern, prompts
        self._codes = pad_sequence([clip.T for clip in codes], batch_first=True).to(device)  # [B, N, K]
        self._prompt_frames = torch.tensor(lengths, device=device)
        self._limit = self._prompt_frames + torch.tensor([prompt.max_frames for prompt in prompts], device=device)
        self._pads = max(lengths) - self._prompt_frames
        self._end = torch.full_like(self._prompt_frames, _NOT_YET)
        self._by_itself = torch.zeros_like(self._prompt_frames, dtype=torch.bool)
        self._delays = torch.tensor(pattern.delays, device=device)
        self.begin = 1 + max(lengths)
        self.last = int((self._pads + self._limit).max()) + pattern.overhang

    def mask(self, at: int) -> torch.Tensor:
        """[B, at] int64: 0 where a row before `at` is padding."""
        return (torch.arange(at, device=self._pads.device) >= self._pads[:, None]).long()

    def row(self, at: int, predicted: torch.Tensor | None) -> torch.Tensor:
        """Row `at` of all clips [B, K]: prompt codes and codes that the pattern determines, else the predicted ones."""
        pattern, frame = self._pattern, at - self._pads[:, None] - 1 - self._delays
        row = torch.full_like(frame, pattern.fill) if predicted is None else predicted
        if predicted is not None:
            is_eos, is_late = predicted[:, 0] == pattern.eos, frame[:, 0] >= self._limit
            ends = (is_eos | is_late) & (frame[:, 0] >= self._prompt_frames) & (self._end == _NOT_YET)
            self._end = torch.where(ends, frame[:, 0], self._end)
            self._by_itself |= ends & is_eos
        if self._codes.shape[1]:
            known = self._codes.gather(1, frame.clamp(0, self._codes.shape[1] - 1).unsqueeze(1)).squeeze(1)
            row = torch.where(frame < self._prompt_frames[:, None], known, row)
        row = row.masked_fill(frame < 0, pattern.bos or 0)
        row = row.masked_fill(frame == self._end[:, None], pattern.eos)
        return row.masked_fill(frame > self._end[:, None], pattern.fill)

    def done(self, at: int) -> bool:
        """Whether every channel of every clip has ended by row `at`."""
        return bool((at - self._pads - 1 - max(self._pattern.delays) >= self._end).all())

    def generated(self, rows: torch.Tensor, steps: StepTimes) -> list[GeneratedCodes]:
        """The clips without their audio prompts; `rows` [B, R, K] on the CPU.

        The first frame needs one row, and as many more as the longest delay has.
        """
        first_frame_s = steps.after(1 + max(self._pattern.delays))
        pads, prompt_frames = self._pads.tolist(), self._prompt_frames.tolist()
        clips = []
        for clip, prompt in enumerate(self._prompts):
            codes = self._pattern.revert(rows[clip, pads[clip] :])[:, prompt_frames[clip] :][:, : prompt.max_frames]
            stop_reason: StopReason = "eos" if self._by_itself[clip] else "max_length"
            clips.append(
                GeneratedCodes(
                    codes=codes.numpy(),
                    stop_reason=stop_reason,
                    first_frame_s=first_frame_s if codes.shape[1] else None,
                )
            )
        return clips


class _Decoder:
    """The model with its encoder's output, cache and guidance. A call returns the next row's logits [B, K, V]."""

    def __init__(self, core: Any, pattern: CodePattern, prompts: Sequence[Prompt], device: torch.device) -> None:
        texts = [prompt.token_ids for prompt in prompts]
        text_ids = pad_sequence(texts, batch_first=True).to(device)
        self._mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True).to(device)
        scale = core.generation_config.guidance_scale
        self._guidance = None
        if scale is not None and scale > 1:
            top_k = core.generation_config.top_k or None
            self._guidance = DiaClassifierFreeGuidanceLogitsProcessor(scale, guidance_top_k=top_k)
            text_ids = torch.cat([text_ids, torch.zeros_like(text_ids)])  # without text
            self._mask = self._mask.repeat(2, 1)
        self._core, self._codes, self._eos = core, pattern.codes, pattern.eos
        self._memory = core.model.encoder(input_ids=text_ids, attention_mask=self._mask).last_hidden_state
        self._cache = EncoderDecoderCache(DynamicCache(config=core.config), DynamicCache(config=core.config))

    def __call__(self, rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        times = 1 if self._guidance is None else 2
        logits = self._core(
            encoder_outputs=(self._memory,),
            attention_mask=self._mask,
            decoder_input_ids=rows.repeat(times, 1, 1),
            decoder_attention_mask=mask.repeat(times, 1),
            past_key_values=self._cache,
            use_cache=True,
        ).logits[:, -1]
        samples, channels = rows.shape[0], rows.shape[2]
        split: torch.Tensor = logits.float().view(times * samples, channels, -1)
        split[:, 1:, self._codes :] = _NEVER  # only channel 0 ends a clip
        end = split[:, 0, self._eos].clone()
        split[:, 0, self._codes :] = _NEVER
        split[:, 0, self._eos] = end
        if self._guidance is None:
            return split
        dummy = torch.empty(samples * channels, 0, dtype=torch.int64)
        guided: torch.Tensor = self._guidance(dummy, split.flatten(0, 1))
        return guided.view(samples, channels, -1)
