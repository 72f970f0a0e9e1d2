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

from tracker_logging.families.base import GeneratedCodes, Prompt, SamplingSettings
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.frame_loop import frame_by_frame
from tracker_logging.families.sampling import Chooser

_NEVER = -1e9  # finite: guidance takes differences of logits


def generate(
    core: Any, pattern: CodePattern, prompts: Sequence[Prompt], settings: SamplingSettings
) -> list[GeneratedCodes]:
    """All prompts in one batch with a KV cache. The caller isolates mode and gradients."""
    device = next(core.parameters()).device
    choose = Chooser(settings, [prompt.seed for prompt in prompts])
    decode = _Decoder(core, pattern, prompts, device)
    return frame_by_frame(
        lambda rows, mask: choose(decode(rows, mask)), prompts, pattern, device, continued=True, padded=True
    )


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
