"""Sampling without global random state: the Gumbel-max trick with one generator per prompt.

argmax(log p + Gumbel noise) is a draw from p (Gumbel 1954; Maddison et al. 2014). A greedy `generate` with this
processor therefore samples, and each prompt is repeatable by its own seed whichever prompts share its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tracker_logging.families.base import GeneratedCodes, Prompt, SamplingSettings
from tracker_logging.families.delay_pattern import CodePattern
from tracker_logging.families.first_frame import StepTimes

HIGGS_SAMPLING = SamplingSettings(temperature=0.3, top_p=0.95, top_k=50)
"""As the examples of boson-ai/higgs-audio sample."""


def sampling_of(config: Any, published: SamplingSettings, *, lowest_temperature: float = 0.0) -> SamplingSettings:
    """As the generation config of a checkpoint samples; as its family is `published` if it does not say whether to.

    `config`: a transformers `GenerationConfig`, or None. `lowest_temperature`: see `BaseAdapter`.
    """
    if config is None or config.do_sample is None:
        return published
    if not config.do_sample:
        return SamplingSettings()
    temperature = max(lowest_temperature, 1.0 if config.temperature is None else float(config.temperature))
    return SamplingSettings(temperature=temperature, top_p=float(config.top_p or 1.0), top_k=top_k_of(config))


def top_k_of(config: Any) -> int | None:
    """The `top_k` of a generation config; 50 where it sets none, as `generate` of transformers takes; None for 0."""
    return 50 if config.top_k is None else config.top_k or None


class SeededSampler(TemperatureLogitsWarper):  # type: ignore[misc]  # untyped where transformers is
    """Temperature, top-k and top-p, then one draw per row, as a logits processor for greedy decoding.

    Rows are [prompts × rows_per_prompt, vocabulary]. A subclass of the temperature warper because
    HiggsAudioV2GenerationMixin accepts only processors of the sampling warpers' types.
    """

    def __init__(
        self, settings: SamplingSettings, seeds: Sequence[int], *, generators: Sequence[torch.Generator] | None = None
    ) -> None:
        super().__init__(settings.temperature)
        self._filters: list[TopKLogitsWarper | TopPLogitsWarper] = []
        if settings.top_k is not None:
            self._filters.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p < 1.0:
            self._filters.append(TopPLogitsWarper(settings.top_p))
        self._generators = generators or [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        scores = super().__call__(input_ids, scores)
        for keep in self._filters:
            scores = keep(input_ids, scores)
        rows = scores.shape[0] // len(self._generators)
        uniform = torch.cat([torch.rand(rows, scores.shape[1], generator=generator) for generator in self._generators])
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return scores + noise.to(scores.device, scores.dtype)


class Chooser:
    """The next code of each prompt: the most likely, or a draw from the prompt's own generator.

    logits [B, V] or [B, n, V] of any float type -> ids [B] or [B, n] int64.
    """

    def __init__(self, settings: SamplingSettings, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._use(settings)

    def another(self, settings: SamplingSettings) -> Chooser:
        """One that chooses by other settings and draws from the same generators."""
        chooser = copy(self)
        chooser._use(settings)
        return chooser

    def _use(self, settings: SamplingSettings) -> None:
        is_drawn = settings.temperature > 0
        self._sampler = SeededSampler(settings, (), generators=self._generators) if is_drawn else None

    @property
    def processors(self) -> LogitsProcessorList:
        """The same choice for the greedy `generate` of a class of transformers."""
        return LogitsProcessorList([] if self._sampler is None else [self._sampler])

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        scores = logits.float().flatten(0, -2)
        if self._sampler is not None:
            scores = self._sampler(torch.LongTensor(), scores)
        return scores.argmax(dim=-1).reshape(logits.shape[:-1])


def left_padded(
    prompts: Sequence[Prompt], *, pad: int | None, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask [B, T] int64, padded on the left."""
    longest = max(len(prompt.token_ids) for prompt in prompts)
    token_ids = torch.full((len(prompts), longest), pad or 0, dtype=torch.int64)
    mask = torch.zeros_like(token_ids)
    for row, prompt in enumerate(prompts):
        token_ids[row, longest - len(prompt.token_ids) :] = prompt.token_ids
        mask[row, longest - len(prompt.token_ids) :] = 1
    return token_ids.to(device), mask.to(device)


def generated(
    frames: torch.Tensor,
    prompt: Prompt,
    pattern: CodePattern,
    *,
    lead: int | None = None,
    steps: StepTimes | None = None,
) -> GeneratedCodes:
    """Generated frames [F, K] -> the clip, cut to `max_frames`; it ended by itself if all codebooks did by then.

    A begin or fill code inside the audio is replaced by the nearest audio code, which keeps the clip's length. `lead`:
    frames before the first code of codebook 0, see `CodePattern.revert`. `steps`: the times of these frames, for the
    time to the first one: after those before it and the longest delay.
    """
    lead = int(pattern.bos is not None) if lead is None else lead
    codes = pattern.revert(frames, lead=lead)
    ends = frames == pattern.eos
    longest_delay = max(pattern.delays)
    ended = bool(ends.any(dim=0).all() if longest_delay else ends.all(dim=1).any())
    stopped = ended and codes.shape[1] <= prompt.max_frames
    codes = codes[:, : prompt.max_frames].clamp(min=0, max=pattern.codes - 1)
    return GeneratedCodes(
        codes=codes.numpy(),
        stop_reason="eos" if stopped else "max_length",
        first_frame_s=steps.after(lead + 1 + longest_delay) if steps is not None and codes.shape[1] else None,
    )
