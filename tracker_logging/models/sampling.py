"""Sampling that needs no global random state: the Gumbel-max trick with one generator per prompt.

argmax(log p + Gumbel noise) is a draw from p (Gumbel 1954; Maddison et al. 2014), so a greedy `generate` with this
processor samples, each prompt repeatably by its own seed, whichever prompts share its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tracker_logging.models.base import SamplingSettings


class SeededSampler(TemperatureLogitsWarper):
    """Temperature, top-k and top-p, then one draw per row, as a logits processor for greedy decoding.

    Rows come as [prompts × rows_per_prompt, vocabulary]. A subclass of the temperature warper because
    HiggsAudioV2GenerationMixin accepts only processors of the sampling warpers' types.
    """

    def __init__(self, settings: SamplingSettings, seeds: Sequence[int]) -> None:
        super().__init__(settings.temperature)
        self._filters: list[TopKLogitsWarper | TopPLogitsWarper] = []
        if settings.top_k is not None:
            self._filters.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p < 1.0:
            self._filters.append(TopPLogitsWarper(settings.top_p))
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        scores = super().__call__(input_ids, scores)
        for keep in self._filters:
            scores = keep(input_ids, scores)
        rows = scores.shape[0] // len(self._generators)
        uniform = torch.cat([torch.rand(rows, scores.shape[1], generator=own) for own in self._generators])
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return scores + noise.to(scores.device, scores.dtype)
