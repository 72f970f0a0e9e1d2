"""Free-running generation of Dia, row by row, with one random generator per prompt.

transformers' own `generate` of Dia takes no logits processor and draws from the global generator, so a clip would
depend on its batch. The rules here are the same: channel c lags by its delay, only channel 0 ends a clip, where the end
is its most likely code and nowhere else, an audio prompt is a prefix, and the model's own classifier-free guidance is
applied, with the top-k of the sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, EncoderDecoderCache, LogitsProcessorList
from transformers.generation.logits_process import (
    DiaClassifierFreeGuidanceLogitsProcessor,
    DiaEOSChannelFilterLogitsProcessor,
)

from tracker_logging.families.base import GeneratedCodes, Prompt, SamplingSettings
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.frame_loop import frame_by_frame
from tracker_logging.families.sampling import Chooser, top_k_of


def generate(
    core: Any, pattern: CodePattern, prompts: Sequence[Prompt], settings: SamplingSettings
) -> list[GeneratedCodes]:
    """All prompts in one batch with a KV cache. The caller isolates mode and gradients."""
    device = next(core.parameters()).device
    choose = Chooser(settings, [prompt.seed for prompt in prompts])
    decode = _Decoder(core, pattern, prompts, settings, device)
    return frame_by_frame(
        lambda rows, mask: choose(decode(rows, mask)), prompts, pattern, device, continued=True, padded=True
    )


class _Decoder:
    """The model with its encoder's output, cache and guidance. A call returns the next row's logits [B, K, V], -inf for
    what may not be chosen."""

    def __init__(
        self,
        core: Any,
        pattern: CodePattern,
        prompts: Sequence[Prompt],
        settings: SamplingSettings,
        device: torch.device,
    ) -> None:
        texts = [prompt.token_ids for prompt in prompts]
        text_ids = pad_sequence(texts, batch_first=True).to(device)
        self._mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True).to(device)
        self._processors, self._times = LogitsProcessorList(), 1
        scale = core.generation_config.guidance_scale
        if scale is not None and scale > 1:
            top_k = settings.top_k
            if top_k is None and settings.temperature == 0:  # guidance filters a greedy choice too
                top_k = top_k_of(core.generation_config)
            self._processors.append(DiaClassifierFreeGuidanceLogitsProcessor(scale, guidance_top_k=top_k))
            text_ids = torch.cat([text_ids, torch.zeros_like(text_ids)])  # without text
            self._mask, self._times = self._mask.repeat(2, 1), 2
        self._processors.append(DiaEOSChannelFilterLogitsProcessor(len(pattern.delays), pattern.eos))
        self._core = core
        self._memory = core.model.encoder(input_ids=text_ids, attention_mask=self._mask).last_hidden_state
        self._cache = EncoderDecoderCache(DynamicCache(config=core.config), DynamicCache(config=core.config))

    def __call__(self, rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        logits = self._core(
            encoder_outputs=(self._memory,),
            attention_mask=self._mask,
            decoder_input_ids=rows.repeat(self._times, 1, 1),
            decoder_attention_mask=mask.repeat(self._times, 1),
            past_key_values=self._cache,
            use_cache=True,
        ).logits[:, -1]
        samples, channels = rows.shape[0], rows.shape[2]
        dummy = torch.empty(samples * channels, 0, dtype=torch.int64)
        scores: torch.Tensor = self._processors(dummy, logits.float().view(self._times * samples * channels, -1))
        return scores.view(samples, channels, -1)
